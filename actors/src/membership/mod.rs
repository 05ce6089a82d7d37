//! The membership group's deciding actor: which workers there are, in which of their lives, and which lives are lost.
//! On every master it also keeps the table of workers that this master's rows say, and tells whoever depends on it.

mod admission;
mod leases;
mod requests;
mod roster;
mod settings;
mod silence;
mod tokens;
mod workers;

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use hortator_core::event::HistoryEntry;
use hortator_core::id::{Incarnation, Name, RunId};
use hortator_core::lease::Leases;
use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::{Query, Response};
use hortator_proto::frame::{HeardHeartbeat, PeerFrame};
use hortator_proto::row::{SettingsRow, WorkerRow};
use hortator_raft::{Notice, Rows, Write};
use slog::{Logger, error, info};

use crate::dispatcher::{Reign, WorkersSeen};
use crate::gateway::ReplyTo;
use crate::group::{GroupActor, GroupNotice, GroupNotices};
use crate::journal::Journal;
use crate::leaders::Leaders;
use crate::mailbox::{Mailbox, Meter};
use crate::post::Post;
use crate::seam::Clock;
use crate::shard::WorkersChanged;
use crate::worker_table::WorkerTable;

use roster::Roster;

pub use leases::{HeartbeatCame, HeartbeatsPassed, HeartbeatsSeen};
pub use requests::AskMembership;
use settings::Settings;
use silence::{Beat, Listening};
pub use workers::RegisterWorker;

/// Notices, registrations, heartbeats and what operators ask; those of agents beyond it are repeated by them.
const MAILBOX: usize = 4_096;

/// What follows a membership entry.
#[derive(Debug)]
enum Effect {
    Reply {
        reply: ReplyTo,
        response: Response,
    },
    /// Answered from rows, once they have what was committed when it was asked.
    Read {
        query: Query,
        reply: ReplyTo,
    },
    /// The registration came through that master.
    Registered {
        through: u64,
        worker: Name,
        session: u128,
        incarnation: Incarnation,
    },
    /// A quorum has confirmed this leader after these came.
    HeartbeatsSeen(Vec<Beat>),
}

/// See the module.
pub struct MembershipActor {
    me: u64,
    cluster: [u8; 16],
    masters: Vec<u64>,
    group: Mailbox<GroupActor>,
    rows: Rows,
    clock: Arc<dyn Clock>,
    post: Arc<Post>,
    leaders: Arc<Leaders>,
    log: Logger,
    /// What a new cluster begins with.
    initial_leases: Leases,
    /// Masters with a vote in the membership group.
    voters: usize,
    /// This master's rows, as last read.
    table: Arc<WorkerTable>,
    settings: Settings,
    /// Heartbeats that came here while another leads, to be passed on.
    heard: BTreeMap<Name, HeardHeartbeat>,
    epoch: Option<Epoch>,
}

struct Epoch {
    journal: Rc<Journal<Effect>>,
    /// Rows as decided, which may run ahead of `table`.
    decided: BTreeMap<Name, Arc<WorkerRow>>,
    /// Masters and tokens as decided.
    roster: Roster,
    /// Questions that wait until that index is applied.
    reads: VecDeque<(u64, Query, ReplyTo)>,
    /// As decided; none in a group that is new.
    settings: Option<SettingsRow>,
    /// With a vote, as last heard.
    masters: usize,
    /// In time since boot.
    began: Span,
    listening: Listening,
}

/// The collaborators of a [`MembershipActor`].
pub struct MembershipParts {
    pub me: u64,
    pub cluster: [u8; 16],
    pub masters: Vec<u64>,
    pub initial_leases: Leases,
    pub leaders: Arc<Leaders>,
    pub group: Mailbox<GroupActor>,
    pub rows: Rows,
    pub clock: Arc<dyn Clock>,
    pub post: Arc<Post>,
    pub meter: Arc<Meter>,
    pub log: Logger,
}

impl MembershipActor {
    /// Starts it in the present room.
    pub fn start_in_room(parts: MembershipParts) -> Mailbox<MembershipActor> {
        let meter = parts.meter.clone();
        let actor = MembershipActor {
            me: parts.me,
            cluster: parts.cluster,
            initial_leases: parts.initial_leases,
            voters: parts.masters.len(),
            masters: parts.masters,
            group: parts.group,
            rows: parts.rows,
            clock: parts.clock,
            post: parts.post,
            leaders: parts.leaders,
            log: parts.log,
            table: Arc::default(),
            settings: Settings::Unwritten,
            heard: BTreeMap::new(),
            epoch: None,
        };
        Mailbox::new(actor.start(), meter)
    }

    fn on_notice(&mut self, notice: GroupNotice) {
        match notice {
            GroupNotice::Raft(Notice::EpochBegan { term, epoch, .. }) => self.begin(term, epoch),
            GroupNotice::Raft(Notice::EpochEnded { .. }) => self.end(),
            GroupNotice::Raft(Notice::Committed { position, epoch, sequence }) => {
                if let Some(settled) = self.journal().and_then(|j| j.committed(position, epoch, sequence)) {
                    self.execute(settled.effects, position.index);
                }
            }
            GroupNotice::Raft(Notice::Applied { index } | Notice::Rescan { index }) => {
                self.look_at_rows();
                self.answer_reads(index);
            }
            GroupNotice::Raft(Notice::ConfChanged { voters, .. }) => self.voters = voters.len(),
            GroupNotice::Raft(_) => {}
            GroupNotice::ReadConfirmed { token, index } => {
                if let Some(settled) = self.journal().and_then(|journal| journal.read_confirmed(token)) {
                    self.execute(settled.effects, index);
                }
            }
            GroupNotice::ReadDropped { token } => {
                if let Some(journal) = self.journal() {
                    journal.read_dropped(token);
                }
            }
        }
    }

    fn journal(&self) -> Option<Rc<Journal<Effect>>> {
        self.epoch.as_ref().map(|epoch| epoch.journal.clone())
    }

    fn begin(&mut self, term: u64, epoch: u64) {
        self.look_at_rows();
        let roster = match Roster::read(&self.rows) {
            Ok(roster) => roster,
            // Without rows nothing can be decided; the group's replica has stopped and says so itself.
            Err(error) => return error!(self.log, "no epoch, rows cannot be read"; "error" => %error),
        };
        let registered = self.table.workers.values().map(|row| row.registered_at).max();
        let floor = registered.unwrap_or(Timestamp(0)).max(roster.latest());
        let journal = Journal::new(self.group.clone(), self.clock.clone(), no_history, (term, epoch), floor);
        let began = self.clock.boot();
        self.epoch = Some(Epoch {
            journal: Rc::new(journal),
            decided: self.table.workers.clone(),
            roster,
            reads: VecDeque::new(),
            settings: self.settings.row().copied(),
            masters: self.voters,
            began,
            listening: Listening::new(began),
        });
        self.tend_settings(began);
        info!(self.log, "dispatches from here"; "term" => term);
        if let Some(dispatcher) = self.post.dispatcher() {
            let _ = dispatcher.send(Reign::Begins { term });
        }
        self.post.announce_dispatcher(term, &self.masters);
    }

    fn end(&mut self) {
        if let Some(epoch) = self.epoch.take() {
            epoch.journal.close();
        }
        if let Some(dispatcher) = self.post.dispatcher() {
            let _ = dispatcher.send(Reign::Ends);
        }
    }

    /// Reads the workers' rows and, when they differ from what was seen last, says so to all who depend on them.
    fn look_at_rows(&mut self) {
        match self.settings.read(&self.rows, self.clock.boot()) {
            Ok(settings) => self.settings = settings,
            Err(error) => return error!(self.log, "the settings cannot be read"; "error" => %error),
        }
        let table = match workers::read_workers(&self.rows) {
            Ok(table) => table,
            Err(error) => return error!(self.log, "workers' rows cannot be read"; "error" => %error),
        };
        if table.workers == self.table.workers {
            return;
        }
        self.table = Arc::new(table);
        for (_, shard) in self.post.shards() {
            let _ = shard.send(WorkersChanged(self.table.clone()));
        }
        if let Some(dispatcher) = self.post.dispatcher() {
            let _ = dispatcher.send(WorkersSeen(self.table.clone()));
        }
    }

    /// What waited for that index.
    fn execute(&mut self, effects: Vec<Effect>, index: u64) {
        for effect in effects {
            match effect {
                Effect::Registered { through, worker, session, incarnation } => {
                    let cluster = self.cluster;
                    let frame = PeerFrame::Registered { worker, session, incarnation, cluster };
                    self.post.to_master(through, frame);
                }
                Effect::Reply { reply, response } => reply.send(response),
                Effect::Read { query, reply } => {
                    let epoch = self.epoch.as_mut().expect("effects are executed in their epoch");
                    epoch.reads.push_back((index, query, reply));
                }
                Effect::HeartbeatsSeen(beats) => self.acknowledge(beats),
            }
        }
        if let Some(journal) = self.journal() {
            journal.flush();
        }
        self.answer_reads(self.rows.applied());
    }

    /// Answers what waited for rows up to `applied`; the group's rows are few, so it happens here.
    fn answer_reads(&mut self, applied: u64) {
        let Some(epoch) = &mut self.epoch else { return };
        while epoch.reads.front().is_some_and(|(index, ..)| *index <= applied) {
            let (_, query, reply) = epoch.reads.pop_front().expect("it was just looked at");
            reply.send(requests::answer(&self.rows, &query, epoch.journal.time()));
        }
    }
}

/// The membership group keeps rows only.
fn no_history(_: RunId, _: &HistoryEntry) -> Write {
    unreachable!("membership decisions carry no run events")
}

impl std::fmt::Debug for MembershipActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MembershipActor(n{})", self.me)
    }
}

impl Actor for MembershipActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        MembershipActor::schedule_tick(ctx);
    }
}

impl Handler<GroupNotices> for MembershipActor {
    type Result = ();

    fn handle(&mut self, GroupNotices(notices): GroupNotices, _: &mut Context<Self>) {
        for notice in notices {
            self.on_notice(notice);
        }
    }
}

/// Says the table again, for an actor that has just started.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TellWorkers;

impl Handler<TellWorkers> for MembershipActor {
    type Result = ();

    fn handle(&mut self, _: TellWorkers, _: &mut Context<Self>) {
        self.look_at_rows();
        for (_, shard) in self.post.shards() {
            let _ = shard.send(WorkersChanged(self.table.clone()));
        }
        if let Some(dispatcher) = self.post.dispatcher() {
            let _ = dispatcher.send(WorkersSeen(self.table.clone()));
        }
    }
}

impl std::fmt::Debug for MembershipParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MembershipParts(n{})", self.me)
    }
}
