//! Frames take the direct link while both ends hear each other, and go over a third master while they do not. Lies
//! between the actors and the transport, so that nobody above or below knows of it.
//!
//! ```text
//!  Post, Agent ─▶ Relay ─path─▶ Transport ═══ direct ═══▶ Transport ─▶ Relay ─▶ Post, Agent
//!                                   ╚══▶ Relay of a master ══▶╝
//! ```
//!
//! Must not know what is in a frame; its envelope says for whom it speaks and which way it goes.

mod keeper;
mod paths;
mod queue;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use bytes::Bytes;
use hortator_core::time::Span;
use hortator_proto::api::RelayedView;
use hortator_proto::frame::{
    Content, Envelope, FRAME_BYTES_MAX, MasterAddress, NodeId, RelayedPath, Route, SpeaksFor,
};
use hortator_raft::sometimes;
use slog::{Logger, debug, info, warn};

use self::paths::{Path, Paths, Session};
use self::queue::{Pair, Pairs};
use crate::mailbox::Meter;
use crate::seam::{Clock, Incoming, SendError, Transport};

/// See the module.
pub struct Relay {
    me: NodeId,
    transport: Arc<dyn Transport>,
    clock: Arc<dyn Clock>,
    above: OnceLock<Arc<dyn Incoming>>,
    paths: RwLock<Paths>,
    /// The highest term heard of, by group.
    terms: Mutex<BTreeMap<u32, u64>>,
    pairs: Pairs,
    refused: AtomicU64,
    of_old_terms: AtomicU64,
    own: Weak<Relay>,
    log: Logger,
}

/// What a relay has done so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayCounts {
    /// Frames passed on, and dropped since too much waited or no link led on: from whom to whom.
    pub pairs: Vec<(NodeId, NodeId, u64, u64)>,
    /// Frames that must not be relayed: another's, a second time, or of who does not belong.
    pub refused: u64,
    /// Frames of a leader that has been followed by another.
    pub of_old_terms: u64,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Relay({})", self.me)
    }
}

impl Relay {
    /// Over that transport; `keep` must be called once, in a room.
    pub fn new(me: NodeId, transport: Arc<dyn Transport>, clock: Arc<dyn Clock>, log: Logger) -> Arc<Relay> {
        let paths = RwLock::new(Paths::new(me.clone(), clock.boot()));
        Arc::new_cyclic(|own| Relay {
            me,
            transport,
            clock,
            above: OnceLock::new(),
            paths,
            terms: Mutex::default(),
            pairs: Pairs::default(),
            refused: AtomicU64::new(0),
            of_old_terms: AtomicU64::new(0),
            own: own.clone(),
            log,
        })
    }

    /// Starts looking after the links, in the present room, for as long as anybody uses this.
    pub fn keep(&self, meter: &Arc<Meter>) {
        keeper::start(self.own.clone(), paths::looks_every(&self.me), meter);
    }

    /// Sends a frame in somebody's name, directly or over a third.
    pub fn send_for(&self, speaks_for: SpeaksFor, to: &NodeId, frame: Bytes) -> Result<(), SendError> {
        let path = self.paths().path(to);
        let Path::Via(via) = path else {
            // Whether there is a connection the transport knows itself.
            let plain = speaks_for == SpeaksFor::Nobody;
            let bytes = if plain { frame } else { seal(speaks_for, Route::Direct, frame, to)? };
            return self.transport.send(to, bytes);
        };
        let route = Route::Relayed { origin: self.me.clone(), destination: to.clone(), via };
        let sent = self.transport.send(&NodeId::Master(via), seal(speaks_for, route, frame, to)?);
        sent.map_err(|error| match error {
            SendError::NotConnected(_) => SendError::NotConnected(to.clone()),
            full @ SendError::Full { .. } => full,
        })
    }

    /// Whether this node and that one hear each other.
    pub fn is_linked(&self, node: &NodeId) -> bool {
        self.paths().is_linked(node)
    }

    /// The paths over a third of this node, and those that others told it of.
    pub fn view(&self) -> Vec<RelayedView> {
        let view = |(from, path): (NodeId, RelayedPath)| RelayedView {
            from: from.to_string(),
            to: path.to.to_string(),
            via: NodeId::Master(path.via).to_string(),
        };
        self.paths().relayed().into_iter().map(view).collect()
    }

    pub fn counts(&self) -> RelayCounts {
        RelayCounts {
            pairs: self.pairs.counts(),
            refused: self.refused.load(Ordering::Relaxed),
            of_old_terms: self.of_old_terms.load(Ordering::Relaxed),
        }
    }

    /// Judges all links, changes paths, tells peers.
    fn look(&self) {
        let pings = {
            let mut paths = self.paths_mut();
            let look = paths.look(self.clock.boot());
            self.tell(look.sessions);
            look.pings
        };
        for (to, content) in pings {
            let envelope = Envelope { speaks_for: SpeaksFor::Nobody, route: Route::Direct, content };
            // One that does not leave is silence, and silence is what it would tell.
            let _ = self.transport.send(&to, envelope.encode());
        }
    }

    /// Called with the paths locked, so that what is told comes in order. Nobody above answers at once.
    fn tell(&self, sessions: Vec<Session>) {
        let Some(above) = self.above.get() else { return };
        for session in sessions {
            match session {
                Session::Closed(node) => above.session_closed(&node),
                Session::Opened(node, path) => {
                    if let Path::Via(via) = path {
                        info!(self.log, "a peer is reached over a third"; "peer" => %node, "via" => format!("n{via}"));
                    }
                    above.session_opened(&node);
                }
            }
        }
    }

    fn on_envelope(&self, from: &NodeId, bytes: Bytes) {
        let envelope = match Envelope::decode_shared(&bytes) {
            Ok(envelope) => envelope,
            Err(error) => return warn!(self.log, "envelope refused"; "from" => %from, "error" => %error),
        };
        let now = self.clock.boot();
        match (envelope.route, envelope.content) {
            (Route::Direct, Content::Frame(frame)) => self.deliver(from, envelope.speaks_for, frame),
            (Route::Direct, Content::Links(links)) => self.paths_mut().on_links(from, links, now),
            (Route::Direct, Content::Workers { version, names }) => {
                self.paths_mut().on_workers(from, version, names, now);
            }
            (Route::Relayed { origin, destination, via }, Content::Frame(frame)) => {
                if destination == self.me {
                    self.on_arrived(from, &origin, via, envelope.speaks_for, frame);
                } else {
                    self.pass_on(from, (origin, destination), via, envelope.speaks_for, bytes);
                }
            }
            // What is said of links holds for the link that it came over.
            (Route::Relayed { .. }, Content::Links(_) | Content::Workers { .. }) => self.refuse(from),
        }
    }

    /// The last hop of a relayed frame. That a master speaks the truth about who gave it the frame is part of what
    /// its certificate stands for.
    fn on_arrived(&self, from: &NodeId, origin: &NodeId, via: u64, speaks_for: SpeaksFor, frame: Bytes) {
        let by_its_hop = *from == NodeId::Master(via) && from != origin;
        let workers = matches!((origin, &self.me), (NodeId::Worker(_), NodeId::Worker(_)));
        if !by_its_hop || workers || *origin == self.me || !self.paths().belongs(origin) {
            return self.refuse(from);
        }
        sometimes!("relay: a frame comes over a third");
        self.deliver(origin, speaks_for, frame);
    }

    /// The one hop: only what comes from its origin, only to who hears this master directly.
    fn pass_on(
        &self,
        from: &NodeId,
        (origin, destination): (NodeId, NodeId),
        via: u64,
        speaks_for: SpeaksFor,
        bytes: Bytes,
    ) {
        let workers = matches!((&origin, &destination), (NodeId::Worker(_), NodeId::Worker(_)));
        let first_hop = *from == origin && self.me == NodeId::Master(via) && origin != destination;
        let (belong, linked) = {
            let paths = self.paths();
            (paths.belongs(&origin) && paths.belongs(&destination), paths.is_linked(&destination))
        };
        if !first_hop || workers || !belong {
            return self.refuse(from);
        }
        if !self.is_of_now(speaks_for) {
            return;
        }
        let pair: Arc<Pair> = self.pairs.of(&origin, &destination);
        let sent = match pair.admit(bytes).filter(|_| linked) {
            Some(counted) => self.transport.send(&destination, counted).is_ok(),
            None => false,
        };
        pair.count(sent);
    }

    fn deliver(&self, from: &NodeId, speaks_for: SpeaksFor, frame: Bytes) {
        if let (true, Some(above)) = (self.is_of_now(speaks_for), self.above.get()) {
            above.frame(from, frame);
        }
    }

    /// False for a term below one that was heard of, whichever way it came.
    fn is_of_now(&self, speaks_for: SpeaksFor) -> bool {
        let SpeaksFor::Group { group, term } = speaks_for else { return true };
        let mut terms = self.terms.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = terms.entry(group).or_insert(term);
        let of_now = term >= *highest;
        *highest = term.max(*highest);
        drop(terms);
        if !of_now {
            self.of_old_terms.fetch_add(1, Ordering::Relaxed);
            debug!(self.log, "a frame of an earlier leader was refused"; "raft_group" => group, "term" => term);
        }
        of_now
    }

    fn refuse(&self, from: &NodeId) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        debug!(self.log, "a frame must not take this way"; "from" => %from);
    }

    fn paths(&self) -> RwLockReadGuard<'_, Paths> {
        self.paths.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn paths_mut(&self) -> RwLockWriteGuard<'_, Paths> {
        self.paths.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An envelope must fit what any peer takes.
fn seal(speaks_for: SpeaksFor, route: Route, frame: Bytes, to: &NodeId) -> Result<Bytes, SendError> {
    let bytes = Envelope { speaks_for, route, content: Content::Frame(frame) }.encode();
    if bytes.len() > FRAME_BYTES_MAX {
        return Err(SendError::Full { to: to.clone(), bytes: bytes.len(), max: FRAME_BYTES_MAX });
    }
    Ok(bytes)
}

impl Transport for Relay {
    fn send(&self, to: &NodeId, frame: Bytes) -> Result<(), SendError> {
        self.send_for(SpeaksFor::Nobody, to, frame)
    }

    fn listen(&self, incoming: Arc<dyn Incoming>) {
        assert!(self.above.set(incoming).is_ok(), "a relay is listened to once");
        self.transport.listen(Arc::new(Ear(self.own.clone())));
    }

    fn masters_changed(&self, masters: &[MasterAddress], removed: &BTreeSet<u64>) {
        self.paths_mut().set_masters(masters.iter().map(|master| master.id).collect(), removed.clone());
        self.transport.masters_changed(masters, removed);
    }
}

/// What the transport calls. It must not keep alive who uses it.
struct Ear(Weak<Relay>);

impl Incoming for Ear {
    fn frame(&self, from: &NodeId, frame: Bytes) {
        let Some(relay) = self.0.upgrade() else { return };
        let now: Span = relay.clock.boot();
        relay.paths().hear(from, now);
        if Envelope::is_one(&frame) {
            relay.on_envelope(from, frame);
        } else if let Some(above) = relay.above.get() {
            above.frame(from, frame);
        }
    }

    fn session_opened(&self, peer: &NodeId) {
        let Some(relay) = self.0.upgrade() else { return };
        let mut paths = relay.paths_mut();
        let sessions = paths.opened(peer, relay.clock.boot());
        relay.tell(sessions);
    }

    fn session_closed(&self, peer: &NodeId) {
        let Some(relay) = self.0.upgrade() else { return };
        let mut paths = relay.paths_mut();
        let sessions = paths.closed(peer, relay.clock.boot());
        relay.tell(sessions);
    }
}
