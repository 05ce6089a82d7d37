//! Which connection leads to which node, and the sessions that the node hears of.
//! A session lasts as long as the connection that its frames go out on. A second connection to the same node, dialled
//! the other way round, stands by: its frames are heard, and when the first ends a new session begins on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use hortator_actors::seam::{Incoming, SendError};
use hortator_proto::frame::NodeId;

use super::links::{Flow, kind_of};
use super::outgoing::{Outgoing, QUEUE_BYTES_MAX, Refusal};

/// Who called whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Dialled,
    Accepted,
}

pub(super) struct Peers {
    /// Nobody of these is spoken with. Taken before `routes`, and held while one is added there.
    barred: Mutex<BTreeSet<NodeId>>,
    routes: Mutex<BTreeMap<NodeId, Routes>>,
    incoming: OnceLock<Arc<dyn Incoming>>,
    masters: Flow,
    workers: Flow,
}

/// The connections of one peer; the first carries the session.
#[derive(Default)]
struct Routes {
    connections: Vec<(Direction, Arc<Outgoing>)>,
}

/// A registered connection; dropping it ends what it carries.
pub(super) struct Registered {
    peers: Arc<Peers>,
    pub(super) node: NodeId,
    pub(super) outgoing: Arc<Outgoing>,
}

impl Peers {
    pub(super) fn new() -> Peers {
        Peers {
            barred: Mutex::default(),
            routes: Mutex::default(),
            incoming: OnceLock::new(),
            masters: Flow::default(),
            workers: Flow::default(),
        }
    }

    /// Of peers of a kind.
    pub(super) fn flow(&self, kind: &str) -> &Flow {
        if kind == "master" { &self.masters } else { &self.workers }
    }

    /// Those with a connection.
    pub(super) fn connected(&self) -> Vec<NodeId> {
        self.lock().keys().cloned().collect()
    }

    pub(super) fn listen(&self, incoming: Arc<dyn Incoming>) {
        assert!(self.incoming.set(incoming).is_ok(), "a transport is listened to once");
    }

    pub(super) fn send(&self, to: &NodeId, frame: Bytes) -> Result<(), SendError> {
        let route =
            self.lock().get(to).and_then(|routes| routes.connections.first()).map(|(_, route)| route.clone());
        let not_connected = || SendError::NotConnected(to.clone());
        let bytes = frame.len() as u64;
        route.ok_or_else(not_connected)?.push(frame).map_err(|refusal| match refusal {
            Refusal::Closed => not_connected(),
            Refusal::Full { bytes } => SendError::Full { to: to.clone(), bytes, max: QUEUE_BYTES_MAX },
        })?;
        self.flow(kind_of(to)).sent.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// These nodes belong to the cluster no more, in place of the last set: what is open to them closes.
    pub(super) fn bar(&self, nodes: BTreeSet<NodeId>) {
        let mut barred = self.lock_barred();
        let mut closed = Vec::new();
        {
            let mut routes = self.lock();
            for node in &nodes {
                // A connection that stands by must not carry a session for the moment until it ends.
                if let Some(peer) = routes.remove(node) {
                    peer.connections.iter().for_each(|(_, outgoing)| outgoing.close());
                    closed.push(node.clone());
                }
            }
        }
        *barred = nodes;
        drop(barred);
        closed.iter().for_each(|node| self.tell(node, true, false));
    }

    pub(super) fn is_barred(&self, node: &NodeId) -> bool {
        self.lock_barred().contains(node)
    }

    /// A connection is through its handshake. None when that peer is barred, or when this node has called it already,
    /// under another address. A caller that calls again has lost its last connection, whatever we know of it.
    pub(super) fn register(self: &Arc<Peers>, node: &NodeId, direction: Direction) -> Option<Registered> {
        let outgoing = Arc::new(Outgoing::default());
        let barred = self.lock_barred();
        if barred.contains(node) {
            return None;
        }
        let mut routes = self.lock();
        let connections = &mut routes.entry(node.clone()).or_default().connections;
        let same = connections.iter().position(|(other, _)| *other == direction);
        let (mut closed, mut opened) = (false, connections.is_empty());
        if let Some(place) = same {
            if direction == Direction::Dialled {
                return None;
            }
            connections.remove(place).1.close();
            closed = place == 0;
            opened = closed;
        }
        // The session stays where it is while that connection lives; after a close the newest carries it.
        let place = if opened { 0 } else { connections.len() };
        connections.insert(place, (direction, outgoing.clone()));
        drop(routes);
        drop(barred);
        self.tell(node, closed, opened);
        Some(Registered { peers: self.clone(), node: node.clone(), outgoing })
    }

    pub(super) fn deliver(&self, from: &NodeId, frame: Bytes) {
        self.flow(kind_of(from)).received.fetch_add(frame.len() as u64, Ordering::Relaxed);
        self.incoming().frame(from, frame);
    }

    fn tell(&self, node: &NodeId, closed: bool, opened: bool) {
        if closed {
            self.incoming().session_closed(node);
        }
        if opened {
            self.incoming().session_opened(node);
        }
    }

    fn incoming(&self) -> &dyn Incoming {
        self.incoming.get().expect("nobody connects before somebody listens").as_ref()
    }

    fn lock_barred(&self) -> std::sync::MutexGuard<'_, BTreeSet<NodeId>> {
        self.barred.lock().expect("nothing panics while it holds the list")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<NodeId, Routes>> {
        self.routes.lock().expect("nothing panics while it holds the routes")
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.outgoing.close();
        let mut routes = self.peers.lock();
        let Some(peer) = routes.get_mut(&self.node) else {
            return;
        };
        let place = peer.connections.iter().position(|(_, route)| Arc::ptr_eq(route, &self.outgoing));
        let Some(place) = place else { return };
        peer.connections.remove(place);
        let left = !peer.connections.is_empty();
        if !left {
            routes.remove(&self.node);
        }
        drop(routes);
        self.peers.tell(&self.node, place == 0, place == 0 && left);
    }
}
