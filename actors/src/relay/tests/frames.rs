//! Which frames go where: four relays whose frames lie in a heap until the test lets each of them arrive.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::{Content, Envelope, MasterAddress, NodeId, Route, SpeaksFor};
use slog::{Logger, o};

use super::super::{Relay, seal};
use super::mesh::node;
use crate::seam::{Clock, Incoming, SendError, Transport};

#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn wall(&self) -> Timestamp {
        Timestamp(0)
    }
    fn boot(&self) -> Span {
        Span(3_600_000_000 + self.0.load(Ordering::Relaxed))
    }
}

/// Frames on their way: from whom to whom.
type Heap = Arc<Mutex<Vec<(NodeId, NodeId, Bytes)>>>;
type Ears = Arc<Mutex<BTreeMap<NodeId, Arc<dyn Incoming>>>>;

struct Port {
    me: NodeId,
    heap: Heap,
    ears: Ears,
}

impl Transport for Port {
    fn send(&self, to: &NodeId, frame: Bytes) -> Result<(), SendError> {
        self.heap.lock().unwrap().push((self.me.clone(), to.clone(), frame));
        Ok(())
    }
    fn listen(&self, incoming: Arc<dyn Incoming>) {
        self.ears.lock().unwrap().insert(self.me.clone(), incoming);
    }
}

/// What one node's actors heard.
#[derive(Default)]
struct Above(Mutex<Vec<(NodeId, Bytes)>>);

impl Incoming for Above {
    fn frame(&self, from: &NodeId, frame: Bytes) {
        self.0.lock().unwrap().push((from.clone(), frame));
    }
    fn session_opened(&self, _: &NodeId) {}
    fn session_closed(&self, _: &NodeId) {}
}

struct World {
    clock: Arc<Hand>,
    heap: Heap,
    ears: Ears,
    nodes: BTreeMap<NodeId, (Arc<Relay>, Arc<Above>)>,
    cut: Vec<(NodeId, NodeId)>,
}

impl World {
    /// n1, n2, n3 and w1, of which two do not reach each other.
    fn without(a: &str, b: &str) -> World {
        let (clock, heap, ears) = (Arc::<Hand>::default(), Heap::default(), Ears::default());
        let mut nodes = BTreeMap::new();
        for me in ["n1", "n2", "n3", "w1"].map(node) {
            let port = Arc::new(Port { me: me.clone(), heap: heap.clone(), ears: ears.clone() });
            let relay = Relay::new(me.clone(), port, clock.clone(), Logger::root(slog::Discard, o!()));
            let above = Arc::<Above>::default();
            relay.listen(above.clone());
            nodes.insert(me, (relay, above));
        }
        let cut = vec![(node(a), node(b)), (node(b), node(a))];
        let world = World { clock, heap, ears, nodes, cut };
        let all: Vec<NodeId> = world.nodes.keys().cloned().collect();
        for own in &all {
            for other in all.iter().filter(|other| *other != own) {
                world.ear(own).session_opened(other);
            }
        }
        // Long enough for a worker's link to be given up.
        for _ in 0..80 {
            world.clock.0.fetch_add(50_000, Ordering::Relaxed);
            world.nodes.values().for_each(|(relay, _)| relay.look());
            world.arrive(|_, _, _| true);
        }
        world
    }

    fn ear(&self, of: &NodeId) -> Arc<dyn Incoming> {
        self.ears.lock().unwrap()[of].clone()
    }

    fn relay(&self, of: &str) -> &Relay {
        &self.nodes[&node(of)].0
    }

    /// Lets arrive what is on its way and chosen, in order, until nothing more comes of it.
    fn arrive(&self, chosen: impl Fn(&NodeId, &NodeId, &Bytes) -> bool) {
        loop {
            let next = {
                let mut heap = self.heap.lock().unwrap();
                heap.retain(|(from, to, _)| !self.cut.contains(&(from.clone(), to.clone())));
                let place = heap.iter().position(|(from, to, bytes)| chosen(from, to, bytes));
                place.map(|place| heap.remove(place))
            };
            let Some((from, to, bytes)) = next else { return };
            self.ear(&to).frame(&from, bytes);
        }
    }

    fn heard(&self, by: &str) -> Vec<(NodeId, Bytes)> {
        std::mem::take(&mut *self.nodes[&node(by)].1.0.lock().unwrap())
    }
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn term(term: u64) -> SpeaksFor {
    SpeaksFor::Group { group: 1, term }
}

#[test]
fn frames_arrive_as_if_they_had_come_directly() {
    for (a, b) in [("n1", "n3"), ("n1", "w1"), ("w1", "n3")] {
        let world = World::without(a, b);
        world.relay(a).send_for(term(5), &node(b), bytes("there")).unwrap();
        world.relay(b).send(&node(a), bytes("back")).unwrap();
        world.arrive(|_, _, _| true);
        assert_eq!(world.heard(b), [(node(a), bytes("there"))]);
        assert_eq!(world.heard(a), [(node(b), bytes("back"))]);
        let via = if a == "w1" { "n1" } else { "n2" };
        assert_eq!(world.heard(via), [], "the relay's own actors hear nothing of it");
        let pairs = world.relay(via).counts().pairs;
        assert!(
            pairs.contains(&(node(a), node(b), 1, 0)) && pairs.contains(&(node(b), node(a), 1, 0)),
            "{pairs:?}"
        );
        assert!(world.relay(a).view().iter().any(|path| (&*path.from, &*path.to, &*path.via) == (a, b, via)));
    }
}

/// The leader of term 5 sends a frame over a relay; it is held back until the leader of term 6 has spoken.
#[test]
fn a_relayed_frame_of_a_deposed_leader_that_comes_late_is_refused() {
    for (old, new) in [(5, 6), (6, 6), (7, 6)] {
        let world = World::without("n1", "w1");
        world.relay("n1").send_for(term(old), &node("w1"), bytes("old")).unwrap();
        world.arrive(|_, to, _| *to == node("n2"));
        world.relay("n3").send_for(term(new), &node("w1"), bytes("new")).unwrap();
        world.arrive(|from, _, _| *from == node("n3"));
        assert_eq!(world.heard("w1"), [(node("n3"), bytes("new"))]);
        world.arrive(|_, _, _| true);
        let late = world.heard("w1");
        let refused = world.relay("w1").counts().of_old_terms;
        match old < new {
            true => assert_eq!((late, refused), (vec![], 1)),
            false => assert_eq!((late, refused), (vec![(node("n1"), bytes("old"))], 0)),
        }
    }
}

#[test]
fn the_terms_of_two_groups_have_nothing_to_do_with_each_other() {
    let world = World::without("n1", "n3");
    for (group, term) in [(1, 9), (2, 3), (1, 8), (2, 3), (2, 4), (2, 2)] {
        world.relay("n2").send_for(SpeaksFor::Group { group, term }, &node("w1"), bytes("x")).unwrap();
    }
    world.relay("n2").send(&node("w1"), bytes("x")).unwrap();
    world.arrive(|_, _, _| true);
    assert_eq!((world.heard("w1").len(), world.relay("w1").counts().of_old_terms), (5, 2));
}

#[test]
fn only_what_comes_from_its_origin_is_passed_on_and_only_once() {
    let world = World::without("n1", "n3");
    let relayed = |origin: &str, destination: &str, via| {
        let route = Route::Relayed { origin: node(origin), destination: node(destination), via };
        seal(SpeaksFor::Nobody, route, bytes("x"), &node(destination)).unwrap()
    };
    for (what, at, from, frame) in [
        ("a second hop", "n2", "n3", relayed("n1", "w1", 2)),
        ("another's hop", "n2", "n1", relayed("n1", "n3", 3)),
        ("back to its origin", "n2", "n1", relayed("n1", "n1", 2)),
        ("from worker to worker", "n2", "w1", relayed("w1", "w2", 2)),
        ("a worker that speaks for a master", "n2", "w1", relayed("n1", "n3", 2)),
        ("arrived by another than its hop", "n2", "n3", relayed("n1", "n2", 1)),
        ("arrived from its origin", "n2", "n1", relayed("n1", "n2", 1)),
        ("a hop that is no master", "n2", "w1", relayed("n1", "n2", 3)),
        ("its own", "n2", "n3", relayed("n2", "n2", 3)),
        ("a worker asked to pass on", "w1", "n1", relayed("n1", "n3", 1)),
        ("of a worker to a worker", "w1", "n2", relayed("w2", "w1", 2)),
    ] {
        let before = world.relay(at).counts().refused;
        world.ear(&node(at)).frame(&node(from), frame);
        assert_eq!(world.relay(at).counts().refused, before + 1, "{what}");
        assert!(world.heap.lock().unwrap().is_empty() && world.heard(at).is_empty(), "{what}");
    }
}

#[test]
fn nothing_is_relayed_for_a_master_that_was_removed() {
    let world = World::without("n1", "n3");
    let rest = [1, 2].map(|id| MasterAddress { id, address: format!("h{id}:1"), api: format!("h{id}:3") });
    world.relay("n2").masters_changed(&rest, &[3].into());
    world.relay("n1").send(&node("n3"), bytes("x")).unwrap();
    world.relay("n3").send(&node("n1"), bytes("x")).unwrap();
    world.arrive(|_, _, _| true);
    assert_eq!((world.heard("n1"), world.heard("n3")), (vec![], vec![]));
    assert_eq!(world.relay("n2").counts().refused, 2);
}

#[test]
fn a_relay_without_a_good_link_drops_and_envelopes_of_strangers_do_no_harm() {
    let world = World::without("n1", "n3");
    let route = Route::Relayed { origin: node("n1"), destination: node("w9"), via: 2 };
    let frame = seal(SpeaksFor::Nobody, route.clone(), bytes("x"), &node("w9")).unwrap();
    world.ear(&node("n2")).frame(&node("n1"), frame.clone());
    assert_eq!(world.relay("n2").counts().pairs, [(node("n1"), node("w9"), 0, 1)]);
    for bytes in [frame.slice(..frame.len() / 2), frame.slice(..1), Bytes::from_static(&[0x45, 0xff, 0xff])] {
        world.ear(&node("n2")).frame(&node("n1"), bytes);
    }
    let content = Content::Links(hortator_proto::frame::Links::default());
    let links = Envelope { speaks_for: SpeaksFor::Nobody, route, content }.encode();
    world.ear(&node("n2")).frame(&node("n1"), links);
    assert_eq!((world.relay("n2").counts().refused, world.heard("n2")), (1, vec![]));
}
