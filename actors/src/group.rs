//! The driver of one Raft group on one master: ticks, frames and proposals go in; frames, rows and notices come out.
//! It begins and ends epochs. It must not know what a row means.

mod handing;
pub(crate) mod votes;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use actix::prelude::*;
use bytes::Bytes;
use hortator_proto::frame::PeerFrame;
use hortator_raft::{Batch, Group, GroupStatus, Importance, LogEntry, Notice, ReadId, Rows, Ticket, Wake};
use slog::{Logger, debug, error, info, warn};

pub use handing::{BeginAnew, Drained, HandOver, HandOverAnswer, Heir};

use crate::context::{self, Context};
use crate::leaders::{Leaders, Leadership};
use crate::mailbox::{Door, GroupMeter, Mailbox, Meter};
use crate::observe::ActorName;
use crate::post::Post;
use crate::replicas::{Replicas, Seen};
use crate::tables::Tables;
use handing::Handing;
use votes::Step;

/// LAN timing: an election begins after 10 to 20 ticks of silence, so after half a second to one second.
pub const TICK: Duration = Duration::from_millis(50);

/// Frames of all peers, proposals and wake-ups of one group; a full mailbox drops peers' frames, which raft repeats.
const MAILBOX: usize = 16_384;

/// What the deciding actors of a group hear, in the order in which it happened.
#[derive(Clone, Debug)]
pub enum GroupNotice {
    Raft(Notice),
    /// The ReadIndex round that was asked for under `token` says: whatever is applied up to `index` is fresh.
    ReadConfirmed {
        token: u64,
        index: u64,
    },
    /// The round came to nothing; ask again with a new token.
    ReadDropped {
        token: u64,
    },
    /// Leadership is about to be handed over: decide nothing more in that epoch, hand in what there is, and answer with
    /// [`Drained`].
    Drain {
        epoch: u64,
    },
}

/// A batch of notices.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct GroupNotices(pub Vec<GroupNotice>);

/// From here on notices go there; what happened before comes first.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Listen(pub Door<GroupNotices>);

/// A raft payload of a peer.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PeerPayload {
    pub from: u64,
    pub payload: Bytes,
}

/// The session with a peer closed: it is probed before more is sent.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PeerGone(pub u64);

/// The Journal's next entry.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Propose {
    pub ticket: Ticket,
    pub batch: Batch,
}

/// Asks for a ReadIndex round; answered by a notice with the same token.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ConfirmRead {
    pub token: u64,
}

/// The group's state for status and metrics.
#[derive(Debug, Message)]
#[rtype(result = "GroupStatus")]
pub struct ObserveGroup;

/// Entries of its log, from an index on.
#[derive(Debug, Message)]
#[rtype(result = "Vec<LogEntry>")]
pub struct LookAtLog {
    pub from: u64,
    pub limit: u64,
}

/// Cuts its log now, as far as the others can do without it; gives the first index that is left.
#[derive(Debug, Message)]
#[rtype(result = "Option<u64>")]
pub struct CutLog;

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct WriteFinished;

#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Tick;

/// Tells the actor of finished writes; many become one message.
#[derive(Default)]
pub struct WriteBell {
    pending: Arc<AtomicBool>,
    actor: Mutex<Option<Mailbox<GroupActor>>>,
}

impl Wake for WriteBell {
    fn wake(&self) {
        if self.pending.swap(true, Ordering::AcqRel) {
            return;
        }
        let actor = self.actor.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A full mailbox holds messages, and each of them ends in a turn that sees the write as well.
        if actor.as_ref().is_none_or(|actor| actor.knock(WriteFinished).is_err()) {
            self.pending.store(false, Ordering::Release);
        }
    }
}

impl std::fmt::Debug for WriteBell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WriteBell")
    }
}

/// See the module.
pub struct GroupActor {
    id: u32,
    me: u64,
    group: Group,
    bell: Arc<WriteBell>,
    post: Arc<Post>,
    leaders: Arc<Leaders>,
    meter: Arc<Meter>,
    listener: Option<Door<GroupNotices>>,
    /// Not yet taken by the listener. It grows only while the deciding thread stands still, and then proposals and
    /// so commits stop as well.
    backlog: VecDeque<GroupNotice>,
    reads: BTreeMap<ReadId, u64>,
    /// Rounds that could not begin, told with the next tick: whoever asks again at once would be refused at once.
    refused_reads: Vec<u64>,
    epoch_open: bool,
    handing: Handing,
    tables: Tables,
    replicas: Arc<Replicas>,
    /// Entries proposed here so far.
    proposals: u64,
    own: Arc<GroupMeter>,
    /// When each entry of the open epoch was proposed that is not committed yet.
    proposed: VecDeque<(u64, Instant)>,
    /// When those were committed whose rows are not visible yet.
    committed: VecDeque<(u64, Instant)>,
    log: Logger,
}

/// The collaborators of a [`GroupActor`].
#[derive(Debug)]
pub struct GroupParts {
    pub id: u32,
    pub me: u64,
    pub group: Group,
    pub rows: Rows,
    pub bell: Arc<WriteBell>,
    pub post: Arc<Post>,
    pub leaders: Arc<Leaders>,
    pub tables: Tables,
    pub replicas: Arc<Replicas>,
    pub meter: Arc<Meter>,
    pub log: Logger,
}

impl GroupActor {
    /// Starts the driver in the present room.
    pub fn start_in_room(parts: GroupParts) -> Mailbox<GroupActor> {
        let (id, meter) = (parts.id, parts.meter.clone());
        let actor = GroupActor {
            id: parts.id,
            me: parts.me,
            group: parts.group,
            bell: parts.bell,
            post: parts.post,
            leaders: parts.leaders,
            meter: parts.meter,
            listener: None,
            backlog: VecDeque::new(),
            reads: BTreeMap::new(),
            refused_reads: Vec::new(),
            epoch_open: false,
            handing: Handing::No,
            tables: parts.tables,
            replicas: parts.replicas,
            proposals: 0,
            own: meter.of_group(id),
            proposed: VecDeque::new(),
            committed: VecDeque::new(),
            log: parts.log,
        };
        actor.show();
        context::start(&meter, ActorName::Group(id), actor)
    }

    /// Everything that can be done now, then telling the deciders.
    fn turn(&mut self) {
        loop {
            let output = self.group.turn();
            if output.messages.is_empty() && output.notices.is_empty() {
                break;
            }
            Meter::add(&self.own.messages, output.messages.len() as u64);
            for outgoing in output.messages {
                let frame = PeerFrame::Raft { group: self.id, payload: outgoing.payload };
                self.post.to_master(outgoing.to, frame);
            }
            for notice in output.notices {
                self.on_notice(notice);
            }
        }
        self.ask_raft_when_drained();
        self.begin_epoch_if_leader();
        self.pass_notices();
    }

    fn on_notice(&mut self, notice: Notice) {
        match &notice {
            Notice::LeaderChanged { leader, term } => {
                Meter::add(&self.meter.leader_changes, 1);
                Meter::add(&self.own.leader_changes, 1);
                info!(self.log, "leader changed"; "leader" => ?leader, "term" => term);
                self.leaders.set(self.id, Leadership { term: *term, leader: *leader });
                if *leader != Some(self.me) {
                    self.handing_is_over();
                }
            }
            Notice::Committed { position, .. } => self.note_commit(position.index),
            Notice::Applied { index } => self.note_applied(*index),
            Notice::Rescan { .. } => Meter::add(&self.own.snapshots, 1),
            Notice::EpochEnded { epoch } => {
                // What becomes of them only the log knows.
                self.proposed.clear();
                self.committed.clear();
                info!(self.log, "epoch ended"; "epoch" => epoch);
                self.epoch_open = false;
                self.handing_is_over();
            }
            Notice::EpochBegan { term, epoch, index } => {
                // Whoever decides in this epoch asks at once who answers; the next tick is too late.
                self.show();
                info!(self.log, "epoch began"; "epoch" => epoch, "term" => term, "index" => index);
            }
            Notice::DiskLow { low } => warn!(self.log, "free space crossed the watermark"; "low" => low),
            Notice::Stopped { reason } => error!(self.log, "this replica has stopped"; "reason" => reason),
            Notice::SpaceReturned => match self.group.reopen(self.bell.clone()) {
                Ok(()) => info!(self.log, "this replica is open again"),
                // Half a second later it is told once more; a reader may still have the old file.
                Err(error) => warn!(self.log, "this replica cannot be opened yet"; "error" => %error),
            },
            Notice::RefusedByPeer { peer, reason } => {
                error!(self.log, "a peer refuses this replica"; "peer" => peer, "reason" => reason);
                self.replicas.refuse(reason);
            }
            Notice::ReadReady { id, index } => {
                if let Some(token) = self.reads.remove(id) {
                    self.backlog.push_back(GroupNotice::ReadConfirmed { token, index: *index });
                }
                return;
            }
            Notice::ReadDropped { id } => {
                if let Some(token) = self.reads.remove(id) {
                    self.backlog.push_back(GroupNotice::ReadDropped { token });
                }
                return;
            }
            _ => {}
        }
        self.backlog.push_back(GroupNotice::Raft(notice));
    }

    fn note_commit(&mut self, index: u64) {
        while let Some((index, at)) = self.proposed.pop_front_if(|(proposed, _)| *proposed <= index) {
            let took = at.elapsed();
            self.own.commit.add(took);
            self.meter.slow_entries.note(took, || format!("entry {index} of group {}", self.id));
            self.committed.push_back((index, Instant::now()));
        }
    }

    fn note_applied(&mut self, index: u64) {
        while let Some((_, at)) = self.committed.pop_front_if(|(committed, _)| *committed <= index) {
            self.own.apply.add(at.elapsed());
        }
    }

    fn begin_epoch_if_leader(&mut self) {
        if self.epoch_open || self.leaders.of(self.id).leader != Some(self.me) {
            return;
        }
        match self.group.begin_epoch() {
            Ok(epoch) => {
                self.epoch_open = true;
                debug!(self.log, "barrier proposed"; "epoch" => epoch);
            }
            // Not confirmed in this term yet: the next turn or tick tries again.
            Err(error) => debug!(self.log, "no epoch yet"; "error" => %error),
        }
    }

    /// What others of this master may look at.
    fn show(&self) {
        self.replicas.set(self.id, Seen::new(&self.group.status(), self.proposals));
    }

    /// Compares the group's members with the masters' rows, at its leader.
    fn compare_members(&mut self) {
        let seen = self.replicas.of(self.id);
        if !seen.leads || !self.epoch_open || !matches!(self.handing, Handing::No) {
            return;
        }
        let elsewhere = |id| self.id == 0 && self.replicas.known_beside(0, id);
        match votes::next(self.me, &seen, &self.tables.masters(), elsewhere) {
            Step::Nothing => {}
            Step::Change(change) => match self.group.propose_conf_change(change) {
                Ok(_) => info!(self.log, "members are to change"; "change" => ?change),
                // Looked at again with the next tick.
                Err(error) => debug!(self.log, "members do not change yet"; "error" => %error),
            },
            Step::HandOver { to } => drop(self.hand_over(Heir::Named(to))),
        }
    }

    fn pass_notices(&mut self) {
        if self.backlog.is_empty() {
            return;
        }
        let Some(listener) = &self.listener else { return };
        let notices: Vec<GroupNotice> = self.backlog.drain(..).collect();
        Meter::add(&self.meter.actor_messages, 1);
        if let Err(SendError::Full(GroupNotices(notices))) = listener.send(GroupNotices(notices)) {
            self.backlog.extend(notices);
        }
    }
}

impl Actor for GroupActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        *self.bell.actor.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(ctx.mailbox());
        ctx.notify(WriteFinished);
        ctx.notify_later(Tick, ctx.paced(TICK));
    }
}

impl Handler<Tick> for GroupActor {
    type Result = ();

    /// The next tick is armed from now, so ticks missed in a stall collapse into one.
    fn handle(&mut self, _: Tick, ctx: &mut Context<Self>) {
        // Whoever is refused in one group must not go on in another until its process has ended.
        if self.replicas.refusal().is_none() {
            self.group.tick();
        }
        self.tick_handing();
        self.show();
        self.compare_members();
        let refused = self.refused_reads.drain(..);
        self.backlog.extend(refused.map(|token| GroupNotice::ReadDropped { token }));
        self.turn();
        ctx.notify_later(Tick, ctx.paced(TICK));
    }
}

impl Handler<WriteFinished> for GroupActor {
    type Result = ();

    fn handle(&mut self, _: WriteFinished, _: &mut Context<Self>) {
        self.bell.pending.store(false, Ordering::Release);
        self.turn();
    }
}

impl Handler<Listen> for GroupActor {
    type Result = ();

    fn handle(&mut self, Listen(listener): Listen, _: &mut Context<Self>) {
        self.listener = Some(listener);
        self.turn();
    }
}

impl Handler<PeerPayload> for GroupActor {
    type Result = ();

    fn handle(&mut self, message: PeerPayload, _: &mut Context<Self>) {
        if self.replicas.refusal().is_some() {
            return;
        }
        if let Err(error) = self.group.step(message.from, &message.payload) {
            debug!(self.log, "peer's message refused"; "from" => message.from, "error" => %error);
        }
        self.turn();
    }
}

impl Handler<CutLog> for GroupActor {
    type Result = Option<u64>;

    fn handle(&mut self, _: CutLog, _: &mut Context<Self>) -> Option<u64> {
        let first = self.group.cut_log();
        info!(self.log, "the log is cut as somebody asked"; "first" => first);
        self.turn();
        first
    }
}

impl Handler<PeerGone> for GroupActor {
    type Result = ();

    fn handle(&mut self, PeerGone(peer): PeerGone, _: &mut Context<Self>) {
        self.group.peer_unreachable(peer);
        self.turn();
    }
}

impl Handler<Propose> for GroupActor {
    type Result = ();

    fn handle(&mut self, message: Propose, _: &mut Context<Self>) {
        // While the disk is low new commands are refused at the shard's desk; what comes here is the rest: reports,
        // and what follows from what was accepted before.
        match self.group.propose_as(message.ticket, &message.batch, Importance::Essential) {
            Ok(position) => {
                self.proposals += 1;
                self.proposed.push_back((position.index, Instant::now()));
                Meter::add(&self.meter.entries, 1);
                Meter::add(&self.own.proposals, 1);
                Meter::add(&self.meter.row_writes, message.batch.writes.len() as u64);
            }
            // The group ends the epoch and says so in its notices.
            Err(error) => info!(self.log, "proposal refused"; "error" => %error),
        }
        self.turn();
    }
}

impl Handler<ConfirmRead> for GroupActor {
    type Result = ();

    fn handle(&mut self, ConfirmRead { token }: ConfirmRead, _: &mut Context<Self>) {
        match self.group.read_index() {
            Ok(id) => {
                self.reads.insert(id, token);
            }
            Err(_) => self.refused_reads.push(token),
        }
        self.turn();
    }
}

impl Handler<ObserveGroup> for GroupActor {
    type Result = MessageResult<ObserveGroup>;

    fn handle(&mut self, _: ObserveGroup, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.group.status())
    }
}

impl Handler<LookAtLog> for GroupActor {
    type Result = MessageResult<LookAtLog>;

    fn handle(&mut self, LookAtLog { from, limit }: LookAtLog, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.group.log(from, limit))
    }
}

impl std::fmt::Debug for GroupActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GroupActor({})", self.id)
    }
}
