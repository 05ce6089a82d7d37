//! The wires between nodes: frames in order per pair and direction, a moment late, over links that can be cut and that
//! lose what a test says. Must not know what a frame asks for, but shows those to workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use hortator_actors::seam::{Incoming, SendError, Transport};
use hortator_core::id::Name;
use hortator_proto::frame::{Content, Envelope, FromWorker, NodeId, PeerFrame, Route, ToWorker};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Draw;

/// A frame on its way, for a test that loses some.
pub(crate) enum Passing<'a> {
    Peer(&'a PeerFrame),
    ToWorker(&'a ToWorker),
    FromWorker(&'a FromWorker),
}

type Loss = Box<dyn FnMut(&Passing<'_>) -> bool + Send>;

enum Item {
    Frame(Bytes),
    Opened,
    Closed,
}

#[derive(Default)]
struct Wires {
    joined: BTreeMap<NodeId, Arc<dyn Incoming>>,
    cut: BTreeSet<(NodeId, NodeId)>,
    queue: BTreeMap<(Instant, u64), (NodeId, NodeId, Item)>,
    /// Per pair, when the last of it arrives: nothing overtakes.
    last: BTreeMap<(NodeId, NodeId), Instant>,
    sequence: u64,
    loss: Option<Loss>,
    told: Vec<(Instant, u64, Name, ToWorker)>,
}

pub(crate) struct Net {
    wires: Mutex<Wires>,
    draw: Mutex<Draw>,
    news: Notify,
}

/// One node's end.
struct Port {
    net: Arc<Net>,
    me: NodeId,
}

impl Transport for Port {
    fn send(&self, to: &NodeId, frame: Bytes) -> Result<(), SendError> {
        self.net.send(&self.me, to, frame)
    }

    fn listen(&self, incoming: Arc<dyn Incoming>) {
        self.net.join(&self.me, incoming);
    }
}

impl Net {
    pub(crate) fn new(seed: u64) -> Arc<Net> {
        Arc::new(Net {
            wires: Mutex::default(),
            draw: Mutex::new(Draw(seed ^ 0x6e65_7473)),
            news: Notify::new(),
        })
    }

    pub(crate) fn port(net: &Arc<Net>, me: NodeId) -> Arc<dyn Transport> {
        Arc::new(Port { net: net.clone(), me })
    }

    fn wires(&self) -> MutexGuard<'_, Wires> {
        self.wires.lock().expect("one thread")
    }

    fn send(&self, from: &NodeId, to: &NodeId, frame: Bytes) -> Result<(), SendError> {
        let mut wires = self.wires();
        if !wires.connected(from, to) {
            return Err(SendError::NotConnected(to.clone()));
        }
        if wires.passes(from, to, &frame) {
            self.put(&mut wires, from, to, Item::Frame(frame));
        }
        Ok(())
    }

    /// A frame that nobody sent.
    pub(crate) fn inject(&self, from: &NodeId, to: &NodeId, frame: Bytes) {
        self.put(&mut self.wires(), from, to, Item::Frame(frame));
    }

    fn put(&self, wires: &mut Wires, from: &NodeId, to: &NodeId, item: Item) {
        let late = Duration::from_micros(self.draw.lock().expect("one thread").below(1_500));
        let pair = (from.clone(), to.clone());
        let at = (Instant::now() + late).max(wires.last.get(&pair).copied().unwrap_or_else(Instant::now));
        wires.last.insert(pair, at);
        wires.sequence += 1;
        let key = (at, wires.sequence);
        wires.queue.insert(key, (from.clone(), to.clone(), item));
        self.news.notify_one();
    }

    fn join(&self, me: &NodeId, incoming: Arc<dyn Incoming>) {
        let mut wires = self.wires();
        wires.joined.insert(me.clone(), incoming);
        let others: Vec<NodeId> =
            wires.joined.keys().filter(|node| wires.connected(me, node)).cloned().collect();
        for other in others {
            self.put(&mut wires, me, &other, Item::Opened);
            self.put(&mut wires, &other, me, Item::Opened);
        }
    }

    pub(crate) fn leave(&self, me: &NodeId) {
        let mut wires = self.wires();
        let others: Vec<NodeId> =
            wires.joined.keys().filter(|node| wires.connected(me, node)).cloned().collect();
        wires.joined.remove(me);
        wires.queue.retain(|_, (from, to, _)| from != me && to != me);
        for other in others {
            self.put(&mut wires, me, &other, Item::Closed);
        }
    }

    /// Cuts or mends the link between two nodes.
    pub(crate) fn cut(&self, a: &NodeId, b: &NodeId, cut: bool) {
        let mut wires = self.wires();
        let (one, other) = ((a.clone(), b.clone()), (b.clone(), a.clone()));
        if cut {
            let was = wires.connected(a, b);
            wires.cut.extend([one, other]);
            wires.queue.retain(|_, (from, to, _)| !((from == a && to == b) || (from == b && to == a)));
            if was {
                self.put(&mut wires, a, b, Item::Closed);
                self.put(&mut wires, b, a, Item::Closed);
            }
        } else if wires.cut.remove(&one) {
            wires.cut.remove(&other);
            if wires.connected(a, b) {
                self.put(&mut wires, a, b, Item::Opened);
                self.put(&mut wires, b, a, Item::Opened);
            }
        }
    }

    /// From now on frames vanish for which `loss` says so; the sessions do not notice.
    pub(crate) fn lose(&self, loss: impl FnMut(&Passing<'_>) -> bool + Send + 'static) {
        self.wires().loss = Some(Box::new(loss));
    }

    pub(crate) fn lose_nothing(&self) {
        self.wires().loss = None;
    }

    /// What masters sent to workers so far, lost frames too: when, who, to whom.
    pub(crate) fn told(&self) -> Vec<(Instant, u64, Name, ToWorker)> {
        self.wires().told.clone()
    }

    /// Delivers, for ever.
    pub(crate) async fn pump(self: Arc<Net>) {
        loop {
            let next = self.wires().queue.keys().next().map(|(at, _)| *at);
            match next {
                None => self.news.notified().await,
                Some(at) if at > Instant::now() => {
                    tokio::select! { biased; () = self.news.notified() => {}, () = sleep_until(at) => {} }
                }
                Some(_) => self.deliver(),
            }
        }
    }

    fn deliver(&self) {
        let (to, from, item) = {
            let mut wires = self.wires();
            let Some((_, (from, to, item))) = wires.queue.pop_first() else { return };
            let Some(incoming) = wires.joined.get(&to).cloned() else { return };
            (incoming, from, item)
        };
        match item {
            Item::Frame(frame) => to.frame(&from, frame),
            Item::Opened => to.session_opened(&from),
            Item::Closed => to.session_closed(&from),
        }
    }
}

/// The frame that the bytes carry, with its first and last node, on its first way. What is said of links is no frame.
fn carried(from: &NodeId, to: &NodeId, bytes: &Bytes) -> Option<(NodeId, NodeId, Bytes)> {
    if !Envelope::is_one(bytes) {
        return Some((from.clone(), to.clone(), bytes.clone()));
    }
    let envelope = Envelope::decode_shared(bytes).expect("nodes send envelopes");
    let Content::Frame(frame) = envelope.content else { return None };
    match envelope.route {
        Route::Direct => Some((from.clone(), to.clone(), frame)),
        Route::Relayed { origin, destination, .. } => {
            (origin == *from).then_some((origin, destination, frame))
        }
    }
}

impl Wires {
    fn connected(&self, a: &NodeId, b: &NodeId) -> bool {
        let both = self.joined.contains_key(a) && self.joined.contains_key(b);
        let kinds = matches!(a, NodeId::Master(_)) || matches!(b, NodeId::Master(_));
        a != b && both && kinds && !self.cut.contains(&(a.clone(), b.clone()))
    }

    fn passes(&mut self, from: &NodeId, to: &NodeId, bytes: &Bytes) -> bool {
        let Some((from, to, frame)) = carried(from, to, bytes) else { return true };
        let lost =
            |loss: &mut Option<Loss>, passing: Passing<'_>| loss.as_mut().is_some_and(|lost| lost(&passing));
        let frame = &frame;
        !match (&from, &to) {
            (NodeId::Master(_), NodeId::Master(_)) if self.loss.is_some() => {
                let frame = PeerFrame::decode(frame).expect("masters send frames");
                lost(&mut self.loss, Passing::Peer(&frame))
            }
            (NodeId::Master(from), NodeId::Worker(to)) => {
                let frame = ToWorker::decode(frame).expect("masters send frames");
                let lost = lost(&mut self.loss, Passing::ToWorker(&frame));
                self.told.push((Instant::now(), *from, to.clone(), frame));
                lost
            }
            (NodeId::Worker(_), NodeId::Master(_)) if self.loss.is_some() => {
                let frame = FromWorker::decode(frame).expect("workers send frames");
                lost(&mut self.loss, Passing::FromWorker(&frame))
            }
            _ => false,
        }
    }
}
