//! A node's links behind faults: frames that are late or lost, and links that are cut as if the session had broken.
//! Looks into a frame only to tell a worker's heartbeat.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hortator_actors::seam::{Incoming, SendError, Transport};
use hortator_proto::frame::{Content, Envelope, FromWorker, MasterAddress, NodeId};
use hortator_raft::Entropy;

use super::late::Line;
use crate::env::OsEntropy;

/// One link direction, as this node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Out,
    In,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Any,
    One(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    Cut {
        peer: String,
    },
    Late {
        way: Way,
        peer: Peer,
        by: Duration,
        spread: Duration,
    },
    Lost {
        way: Way,
        peer: Peer,
        percent: u8,
    },
    /// Of a worker that sends them, or that they come from.
    NoHeartbeats {
        way: Way,
        peer: Peer,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    /// No rule, and nothing late: then a frame costs one look at this.
    busy: AtomicBool,
    state: Mutex<State>,
    incoming: OnceLock<Inner>,
    /// Held while the node is told of sessions, so that it hears of them in order.
    telling: Mutex<()>,
    line: Line,
}

struct Inner(Arc<dyn Incoming>);

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Incoming")
    }
}

#[derive(Debug, Default)]
struct State {
    rules: BTreeMap<u64, Vec<Rule>>,
    sessions: BTreeSet<NodeId>,
    /// When the last late frame of a direction is due: nothing overtakes it.
    due: BTreeMap<(NodeId, Way), Instant>,
    entropy: OsEntropy,
}

enum Fate {
    Passes,
    Lost,
    Cut,
    Late(Instant),
}

impl Peer {
    fn is(&self, node: &NodeId) -> bool {
        match self {
            Peer::Any => true,
            Peer::One(name) => node.to_string() == *name,
        }
    }
}

impl State {
    fn is_cut(&self, node: &NodeId) -> bool {
        let name = node.to_string();
        self.rules.values().flatten().any(|rule| matches!(rule, Rule::Cut { peer } if *peer == name))
    }

    /// In [0, 100).
    fn roll(&mut self) -> u64 {
        self.entropy.next_u64("wires") % 100
    }

    fn fate(&mut self, way: Way, node: &NodeId, frame: &Bytes) -> Fate {
        if self.is_cut(node) {
            return Fate::Cut;
        }
        let mut late = None;
        for rule in self.rules.values().flatten().cloned().collect::<Vec<_>>() {
            match rule {
                Rule::Lost { way: on, peer, percent }
                    if on == way && peer.is(node) && self.roll() < u64::from(percent) =>
                {
                    return Fate::Lost;
                }
                Rule::NoHeartbeats { way: on, peer } if on == way && peer.is(node) && is_heartbeat(frame) => {
                    return Fate::Lost;
                }
                Rule::Late { way: on, peer, by, spread } if on == way && peer.is(node) => {
                    let width = 2 * spread.as_micros() as u64 + 1;
                    let off = Duration::from_micros(self.entropy.next_u64("wires") % width);
                    *late.get_or_insert(Duration::ZERO) += by.saturating_sub(spread) + off;
                }
                _ => {}
            }
        }
        self.late(way, node, late)
    }

    fn late(&mut self, way: Way, node: &NodeId, late: Option<Duration>) -> Fate {
        let (now, key) = (Instant::now(), (node.clone(), way));
        let before = self.due.get(&key).copied().filter(|due| *due > now);
        let at = match (late, before) {
            (None, None) => {
                self.due.remove(&key);
                return Fate::Passes;
            }
            (late, before) => (now + late.unwrap_or_default()).max(before.unwrap_or(now)),
        };
        self.due.insert(key, at);
        Fate::Late(at)
    }
}

fn is_heartbeat(frame: &Bytes) -> bool {
    let inner = match Envelope::is_one(frame) {
        false => frame.clone(),
        true => match Envelope::decode_shared(frame) {
            Ok(Envelope { content: Content::Frame(frame), .. }) => frame,
            _ => return false,
        },
    };
    matches!(FromWorker::decode_shared(&inner), Ok(FromWorker::Heartbeat(_)))
}

impl Wires {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, id: u64, rule: Rule) {
        self.busy.store(true, Ordering::Release);
        self.changed(|state| state.rules.entry(id).or_default().push(rule));
    }

    pub(super) fn lift(&self, id: u64) {
        self.changed(|state| drop(state.rules.remove(&id)));
    }

    /// A link that is cut ends its session, and one that is mended begins one.
    fn changed(&self, change: impl FnOnce(&mut State)) {
        let _telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.state();
        let cut = |state: &State| -> BTreeSet<NodeId> {
            state.sessions.iter().filter(|node| state.is_cut(node)).cloned().collect()
        };
        let before = cut(&state);
        change(&mut state);
        let now = cut(&state);
        drop(state);
        let Some(Inner(incoming)) = self.incoming.get() else { return };
        now.difference(&before).for_each(|peer| incoming.session_closed(peer));
        before.difference(&now).for_each(|peer| incoming.session_opened(peer));
    }

    fn fate(&self, way: Way, node: &NodeId, frame: &Bytes) -> Fate {
        if !self.busy.load(Ordering::Acquire) {
            return Fate::Passes;
        }
        let mut state = self.state();
        let fate = state.fate(way, node, frame);
        if state.rules.is_empty() && state.due.is_empty() {
            self.busy.store(false, Ordering::Release);
        }
        fate
    }

    pub(super) fn before(self: &Arc<Wires>, transport: Arc<dyn Transport>) -> Arc<dyn Transport> {
        Arc::new(Faulty { wires: self.clone(), inner: transport })
    }
}

struct Faulty {
    wires: Arc<Wires>,
    inner: Arc<dyn Transport>,
}

impl Transport for Faulty {
    fn send(&self, to: &NodeId, frame: Bytes) -> Result<(), SendError> {
        match self.wires.fate(Way::Out, to, &frame) {
            Fate::Passes => self.inner.send(to, frame),
            Fate::Lost => Ok(()),
            Fate::Cut => Err(SendError::NotConnected(to.clone())),
            Fate::Late(at) => {
                let (inner, to, bytes) = (self.inner.clone(), to.clone(), frame.len());
                // A session that ended meanwhile loses it, as it would on a slow line.
                self.wires.line.push(at, bytes, Box::new(move || drop(inner.send(&to, frame))));
                Ok(())
            }
        }
    }

    fn listen(&self, incoming: Arc<dyn Incoming>) {
        let known = self.wires.incoming.set(Inner(incoming));
        assert!(known.is_ok(), "a node listens once");
        self.inner.listen(Arc::new(Ear(self.wires.clone())));
    }

    fn masters_changed(&self, masters: &[MasterAddress], removed: &BTreeSet<u64>) {
        self.inner.masters_changed(masters, removed);
    }
}

/// Stands between the transport and the node.
struct Ear(Arc<Wires>);

impl Ear {
    fn inner(&self) -> &Arc<dyn Incoming> {
        let Inner(incoming) = self.0.incoming.get().expect("it listens only after it is set");
        incoming
    }
}

impl Incoming for Ear {
    fn frame(&self, from: &NodeId, frame: Bytes) {
        match self.0.fate(Way::In, from, &frame) {
            Fate::Passes => self.inner().frame(from, frame),
            Fate::Lost | Fate::Cut => {}
            Fate::Late(at) => {
                let (inner, from, bytes) = (self.inner().clone(), from.clone(), frame.len());
                self.0.line.push(at, bytes, Box::new(move || inner.frame(&from, frame)));
            }
        }
    }

    fn session_opened(&self, peer: &NodeId) {
        let _telling = self.0.telling.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.0.state();
        state.sessions.insert(peer.clone());
        let cut = state.is_cut(peer);
        drop(state);
        if !cut {
            self.inner().session_opened(peer);
        }
    }

    fn session_closed(&self, peer: &NodeId) {
        let _telling = self.0.telling.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.0.state();
        state.sessions.remove(peer);
        let cut = state.is_cut(peer);
        drop(state);
        if !cut {
            self.inner().session_closed(peer);
        }
    }
}
