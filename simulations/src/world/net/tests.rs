//! Links that were slow are as fast as others afterwards.

use std::rc::Rc;
use std::time::Duration;

use tokio::time::sleep;

use super::*;
use crate::world::{Shape, World, tell};

/// What two bytes in a millisecond need most of a minute for.
const LONG: usize = 100_000;
const SLOW: Weather = Weather { bytes_per_milli: 2, ..FAIR };

type EndsSlow = fn(&Net, &(NodeId, NodeId));

#[derive(Default)]
struct Heard(Mutex<Vec<usize>>);

impl Incoming for Heard {
    /// The cluster itself has something to say as well.
    fn frame(&self, from: &NodeId, frame: Bytes) {
        if *from != NodeId::Master(91) {
            return;
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(frame.len());
    }

    fn session_opened(&self, _: &NodeId) {}

    fn session_closed(&self, _: &NodeId) {}
}

/// Two ends besides the cluster; how the link was slow for a long frame, and what comes of a short one after that.
async fn short_after_long(world: Rc<World>, ends_slow: EndsSlow) -> Vec<usize> {
    let net = world.net().clone();
    let (one, other) = (NodeId::Master(91), NodeId::Master(92));
    let heard = Arc::new(Heard::default());
    let (from, to) = (net.port(one.clone(), 1), net.port(other.clone(), 1));
    from.listen(Arc::new(Heard::default()));
    to.listen(heard.clone());
    sleep(Duration::from_secs(2)).await;
    net.set_weather(SLOW);
    from.send(&other, vec![0; LONG].into()).expect("there is a session");
    sleep(Duration::from_secs(2)).await;
    ends_slow(&net, &pair(&one, &other));
    sleep(Duration::from_secs(3)).await;
    from.send(&other, vec![0; 3].into()).expect("there is a session again");
    sleep(Duration::from_secs(2)).await;
    net.set_weather(FAIR);
    heard.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

#[test]
fn a_slow_link_holds_up_nothing_of_the_time_after_it() {
    let cases: [EndsSlow; 2] = [|net, _| net.set_weather(FAIR), |net, link| net.break_session(link)];
    for ends_slow in cases {
        let shape = Shape { masters: 1, workers: 1, shards: 1, ..Shape::default() };
        let (heard, _) = tell(7, shape, None, move |world| short_after_long(world, ends_slow));
        assert_eq!(heard, [3]);
    }
}
