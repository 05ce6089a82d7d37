//! A master's post office: which actor an incoming frame is for, and how an outgoing one reaches its node.
//! It must not know what a frame asks for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use hortator_core::dispatch::stream::DispatcherTerm;
use hortator_core::id::Name;
use hortator_proto::frame::{FromWorker, NodeId, PeerFrame, SpeaksFor, ToWorker};
use slog::{Logger, debug, warn};

use crate::balancer::{Balancer, LoadReported};
use crate::dispatcher::{FromShard, MasterReturned};
use crate::gateway::{AskedByPeer, Gateway, PeerAnswer};
use crate::group::{GroupActor, HandOver, Heir, PeerGone, PeerPayload};
use crate::leaders::MEMBERSHIP;
use crate::mailbox::{Mailbox, Meter};
use crate::membership::{HeartbeatsPassed, HeartbeatsSeen, MembershipActor, RegisterWorker, TellMembers};
use crate::relay::Relay;
use crate::seam::{Incoming, SendError};
use crate::shard::{FromDispatcher, NewDispatcher, Shard};
use crate::worker::{FirstFrame, FromSession, SessionClosed, SessionOpened, WorkerActor, WorkerPost};

/// See the module.
pub struct Post {
    me: u64,
    relay: Arc<Relay>,
    meter: Arc<Meter>,
    log: Logger,
    rooms: OnceLock<Recipients>,
    sessions: Mutex<BTreeMap<Name, Mailbox<WorkerActor>>>,
}

/// Whom frames are for, known once all actors have started.
#[derive(Debug)]
pub struct Recipients {
    pub balancer: Mailbox<Balancer>,
    pub groups: BTreeMap<u32, Mailbox<GroupActor>>,
    pub shards: BTreeMap<u32, Mailbox<Shard>>,
    pub membership: Mailbox<MembershipActor>,
    pub dispatcher: Mailbox<crate::dispatcher::Dispatcher>,
    pub gateway: Mailbox<Gateway>,
    /// Starts and ends the actors of worker sessions.
    pub workers: Mailbox<WorkerPost>,
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Post(n{})", self.me)
    }
}

impl Post {
    pub fn new(me: u64, relay: Arc<Relay>, meter: Arc<Meter>, log: Logger) -> Arc<Post> {
        Arc::new(Post {
            me,
            relay,
            meter,
            log,
            rooms: OnceLock::new(),
            sessions: Mutex::new(BTreeMap::new()),
        })
    }

    /// Opens the office; frames that came before are lost, as frames may be.
    pub fn open(&self, recipients: Recipients) {
        assert!(self.rooms.set(recipients).is_ok(), "a post office opens once");
    }

    /// Sends a frame to a master, this one included. What cannot be sent is lost: every sender repeats itself.
    pub fn to_master(&self, master: u64, frame: PeerFrame) {
        if master == self.me {
            self.on_peer_frame(master, frame);
        } else {
            let speaks_for = match &frame {
                PeerFrame::HeartbeatsSeen { term, .. } | PeerFrame::Registered { term, .. } => {
                    SpeaksFor::Group { group: MEMBERSHIP, term: *term }
                }
                _ => SpeaksFor::Nobody,
            };
            self.send(speaks_for, &NodeId::Master(master), frame.encode());
        }
    }

    /// Sends a frame to a worker, in the name of a group's leader or of nobody.
    pub fn to_worker(&self, speaks_for: SpeaksFor, worker: &Name, frame: &ToWorker) {
        self.send(speaks_for, &NodeId::Worker(worker.clone()), frame.encode());
    }

    pub fn relay(&self) -> &Relay {
        &self.relay
    }

    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// This master's number.
    pub fn me(&self) -> u64 {
        self.me
    }

    /// The workers that have a session with this master.
    pub fn sessions(&self) -> Vec<Name> {
        self.lock_sessions().keys().cloned().collect()
    }

    pub fn session_started(&self, worker: Name, mailbox: Mailbox<WorkerActor>) {
        self.lock_sessions().insert(worker.clone(), mailbox);
        if let Some(rooms) = self.rooms.get() {
            // A full mailbox: the worker knows the masters it came by, and hears of the next change.
            let _ = rooms.membership.send(TellMembers(worker));
        }
    }

    pub fn session_ended(&self, worker: &Name) {
        self.lock_sessions().remove(worker);
    }

    fn lock_sessions(&self) -> std::sync::MutexGuard<'_, BTreeMap<Name, Mailbox<WorkerActor>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, speaks_for: SpeaksFor, to: &NodeId, frame: Bytes) {
        match self.relay.send_for(speaks_for, to, frame) {
            Ok(()) => Meter::add(&self.meter.frames_sent, 1),
            Err(SendError::NotConnected(_)) => {}
            Err(error @ SendError::Full { .. }) => debug!(self.log, "frame dropped"; "error" => %error),
        }
    }

    fn on_peer_frame(&self, from: u64, frame: PeerFrame) {
        let Some(rooms) = self.rooms.get() else { return };
        // A full mailbox drops the frame; raft, streams and requests all recover from a lost frame.
        let _ = match frame {
            PeerFrame::Raft { group, payload } => match rooms.groups.get(&group) {
                Some(actor) => actor.send(PeerPayload { from, payload }),
                None => Ok(()),
            },
            // Groups greet each other inside their own payloads.
            PeerFrame::Hello { .. } => Ok(()),
            PeerFrame::Offers(frame) => rooms.dispatcher.send(FromShard { from, frame }),
            PeerFrame::Dispatcher(frame) => match rooms.shards.get(&frame.stream.shard) {
                Some(shard) => shard.send(FromDispatcher { frame }),
                None => Ok(()),
            },
            PeerFrame::DispatcherHere { term } => {
                for shard in rooms.shards.values() {
                    let _ = shard.send(NewDispatcher { master: from, term });
                }
                Ok(())
            }
            PeerFrame::Request { id, body } => rooms.gateway.send(AskedByPeer { from, id, body }),
            PeerFrame::Response { id, body } => rooms.gateway.send(PeerAnswer { from, id, body }),
            PeerFrame::Load(report) => rooms.balancer.send(LoadReported { from, report }),
            PeerFrame::HandShardOver { shard, to } => match rooms.groups.get(&shard) {
                Some(group) => group.send(HandOver { to: Heir::Named(to) }),
                None => Ok(()),
            },
            PeerFrame::Heartbeats(heard) => rooms.membership.send(HeartbeatsPassed { from, heard }),
            PeerFrame::HeartbeatsSeen { term, lease, seen } => {
                rooms.membership.send(HeartbeatsSeen { leader: from, term, lease, seen })
            }
            PeerFrame::Registration(registration) => {
                let session_of = registration.name.clone();
                rooms.membership.send(RegisterWorker { session_of, through: from, registration })
            }
            PeerFrame::Registered { term, worker, life, incarnation, cluster } => {
                let speaks_for = SpeaksFor::Group { group: MEMBERSHIP, term };
                self.to_worker(speaks_for, &worker, &ToWorker::Registered { life, incarnation, cluster });
                Ok(())
            }
        };
    }

    /// Tells all masters, this one included.
    pub fn announce_dispatcher(&self, term: DispatcherTerm, masters: impl IntoIterator<Item = u64>) {
        for master in masters {
            self.to_master(master, PeerFrame::DispatcherHere { term });
        }
    }

    /// Tells the local Dispatcher, for membership changes and heartbeats.
    pub fn dispatcher(&self) -> Option<Mailbox<crate::dispatcher::Dispatcher>> {
        self.rooms.get().map(|rooms| rooms.dispatcher.clone())
    }

    pub fn balancer(&self) -> Option<Mailbox<Balancer>> {
        self.rooms.get().map(|rooms| rooms.balancer.clone())
    }

    pub fn membership(&self) -> Option<Mailbox<MembershipActor>> {
        self.rooms.get().map(|rooms| rooms.membership.clone())
    }

    pub fn gateway(&self) -> Option<Mailbox<Gateway>> {
        self.rooms.get().map(|rooms| rooms.gateway.clone())
    }

    pub fn shards(&self) -> Vec<(u32, Mailbox<Shard>)> {
        self.rooms.get().map_or_else(Vec::new, |rooms| {
            rooms.shards.iter().map(|(id, shard)| (*id, shard.clone())).collect()
        })
    }

    pub fn shard(&self, id: u32) -> Option<Mailbox<Shard>> {
        self.rooms.get()?.shards.get(&id).cloned()
    }

    pub fn groups(&self) -> Vec<(u32, Mailbox<GroupActor>)> {
        self.rooms.get().map_or_else(Vec::new, |rooms| {
            rooms.groups.iter().map(|(id, group)| (*id, group.clone())).collect()
        })
    }

    fn on_worker_frame(&self, worker: &Name, frame: FromWorker) {
        let (session, rooms) = (self.session(worker), self.rooms.get());
        let sent = match (session, rooms) {
            (Some(session), _) => session.send(FromSession(frame)),
            // The session has just opened and its actor is about to start: what comes first is said only once.
            (None, Some(rooms)) => rooms.workers.send(FirstFrame { worker: worker.clone(), frame }),
            (None, None) => Ok(()),
        };
        if sent.is_err() {
            debug!(self.log, "worker's frame dropped, its mailbox is full"; "worker" => %worker);
        }
    }

    /// The actor of the worker's session, once it has started.
    pub fn session(&self, worker: &Name) -> Option<Mailbox<WorkerActor>> {
        self.lock_sessions().get(worker).cloned()
    }
}

/// What the transport calls, as long as some actor uses the post; the post holds the transport, and not the other way round.
#[derive(Debug)]
pub struct Inbox(Weak<Post>);

impl Inbox {
    pub fn of(post: &Arc<Post>) -> Inbox {
        Inbox(Arc::downgrade(post))
    }
}

impl Incoming for Inbox {
    fn frame(&self, from: &NodeId, frame: Bytes) {
        let Some(post) = self.0.upgrade() else { return };
        Meter::add(&post.meter.frames_received, 1);
        let result = match from {
            NodeId::Master(id) => {
                PeerFrame::decode_shared(&frame).map(|frame| post.on_peer_frame(*id, frame))
            }
            NodeId::Worker(name) => {
                FromWorker::decode_shared(&frame).map(|frame| post.on_worker_frame(name, frame))
            }
        };
        if let Err(error) = result {
            warn!(post.log, "frame refused"; "from" => %from, "error" => %error);
        }
    }

    fn session_opened(&self, peer: &NodeId) {
        let Some(post) = self.0.upgrade() else { return };
        let Some(rooms) = post.rooms.get() else { return };
        // A full mailbox here loses a hint: shards look at the leader of the membership group by themselves, and a worker's
        // first frame opens its session.
        let _ = match peer {
            NodeId::Master(id) => rooms.dispatcher.send(MasterReturned(*id)),
            NodeId::Worker(name) => rooms.workers.send(SessionOpened(name.clone())),
        };
    }

    fn session_closed(&self, peer: &NodeId) {
        let Some(post) = self.0.upgrade() else { return };
        let Some(rooms) = post.rooms.get() else { return };
        match peer {
            NodeId::Master(id) => {
                for group in rooms.groups.values() {
                    let _ = group.send(PeerGone(*id));
                }
            }
            // Lost, it leaves an actor that frames to nobody are lost at, until the worker comes again.
            NodeId::Worker(name) => drop(rooms.workers.send(SessionClosed(name.clone()))),
        }
    }
}
