//! The membership group's deciding actor: which workers there are, in which of their lives, and which lives are lost.
//! On every master it also keeps the table of workers that this master's rows say, and tells whoever depends on it.

mod admission;
mod genesis;
mod groups;
mod heard;
mod joining;
mod leases;
mod masters;
mod moving;
mod reading;
mod requests;
mod roster;
mod settings;
mod silence;
mod telling;
mod tokens;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use hortator_core::dispatch::stream::DispatcherTerm;
use hortator_core::event::HistoryEntry;
use hortator_core::id::{Incarnation, Name, RunId};
use hortator_core::lease::Leases;
use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::Response;
use hortator_proto::frame::{LifeId, PeerFrame, SpeaksFor, ToWorker};
use hortator_proto::row::{SettingsRow, WorkerRow};
use hortator_raft::{Notice, Rows, Write, sometimes};
use slog::{Logger, error, info};

use crate::context::{self, Context};
use crate::dispatcher::Reign;
use crate::gateway::ReplyTo;
use crate::group::{Drained, GroupActor, GroupNotice, GroupNotices};
use crate::journal::{Journal, Turn};
use crate::leaders::Leaders;
use crate::mailbox::{Mailbox, Meter};
use crate::mutant::Mutant;
use crate::observe::ActorName;
use crate::post::Post;
use crate::replicas::Replicas;
use crate::seam::{Clock, Transport};
use crate::tables::{MasterTable, TableKeeper, TokenTable};
use crate::worker_table::WorkerTable;

use roster::{Roster, RosterRow};

pub use genesis::{FEATURE_LEVEL, FirstToken, Founder, Genesis};
use heard::Heard;
pub use leases::{HeartbeatCame, HeartbeatsPassed, HeartbeatsSeen};
use reading::{Question, Questions};
pub use requests::AskMembership;
pub(crate) use roster::authority;
use settings::Settings;
use silence::{Beat, Listening};
use telling::Telling;
pub use workers::RegisterWorker;

/// Notices, registrations, heartbeats and what operators ask; those of agents beyond it are repeated by them.
const MAILBOX: usize = 4_096;
/// How often the leader looks whether a master has arrived where it goes. Nothing waits for it but people.
const MASTERS_LOOK: Duration = Duration::from_millis(200);

/// How this master came to its cluster. Counts only while its directory is empty.
#[derive(Clone, Debug)]
pub enum Founding {
    /// It is one of the first, which form the cluster.
    First(Box<Genesis>),
    /// It is let in, or was: it opens its groups empty, or as they are, and waits for their leaders.
    Joiner,
}

/// What follows a membership entry.
#[derive(Debug)]
enum Effect {
    Reply {
        reply: ReplyTo,
        response: Response,
    },
    Read(Question),
    /// The registration came through that master.
    Registered {
        through: u64,
        worker: Name,
        life: LifeId,
        incarnation: Incarnation,
    },
    /// A quorum has confirmed this leader after these came.
    HeartbeatsSeen(Vec<Beat>),
}

/// See the module.
pub struct MembershipActor {
    me: u64,
    mutant: Mutant,
    /// Losses that only a mutant misses: the incarnation up to which they are, and what is taken for it.
    missed: BTreeMap<Name, (Incarnation, Incarnation)>,
    cluster: [u8; 16],
    founding: Founding,
    group: Mailbox<GroupActor>,
    rows: Rows,
    clock: Arc<dyn Clock>,
    post: Arc<Post>,
    leaders: Arc<Leaders>,
    transport: Arc<dyn Transport>,
    replicas: Arc<Replicas>,
    keeper: TableKeeper,
    log: Logger,
    /// What a new cluster begins with.
    initial_leases: Leases,
    /// This master's rows, as last read.
    table: Arc<WorkerTable>,
    /// The index up to which they were read.
    read_through: u64,
    settings: Settings,
    /// Heartbeats that came here while another leads, to be passed on.
    heard: Heard,
    telling: Telling,
    epoch: Option<Epoch>,
}

struct Epoch {
    journal: Rc<Journal<Effect>>,
    /// Rows as decided, which may run ahead of `table`.
    decided: BTreeMap<Name, Arc<WorkerRow>>,
    /// Masters and tokens as decided.
    roster: Roster,
    questions: Questions,
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
    pub mutant: Mutant,
    pub cluster: [u8; 16],
    pub founding: Founding,
    pub initial_leases: Leases,
    pub leaders: Arc<Leaders>,
    pub group: Mailbox<GroupActor>,
    pub rows: Rows,
    pub clock: Arc<dyn Clock>,
    pub post: Arc<Post>,
    pub transport: Arc<dyn Transport>,
    pub replicas: Arc<Replicas>,
    pub(crate) keeper: TableKeeper,
    pub meter: Arc<Meter>,
    pub log: Logger,
}

impl MembershipActor {
    /// Starts it in the present room.
    pub fn start_in_room(parts: MembershipParts) -> Mailbox<MembershipActor> {
        let meter = parts.meter.clone();
        let actor = MembershipActor {
            me: parts.me,
            mutant: parts.mutant,
            missed: BTreeMap::new(),
            cluster: parts.cluster,
            initial_leases: parts.initial_leases,
            founding: parts.founding,
            group: parts.group,
            rows: parts.rows,
            clock: parts.clock,
            post: parts.post,
            leaders: parts.leaders,
            transport: parts.transport,
            replicas: parts.replicas,
            keeper: parts.keeper,
            log: parts.log,
            table: Arc::default(),
            read_through: 0,
            settings: Settings::Unwritten,
            heard: Heard::default(),
            telling: Telling::default(),
            epoch: None,
        };
        context::start(&meter, ActorName::Only, actor)
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
            GroupNotice::Raft(notice @ (Notice::Applied { .. } | Notice::Rescan { .. })) => {
                if matches!(notice, Notice::Rescan { .. }) && self.mutant.is(Mutant::MissesLossesInSnapshots)
                {
                    self.miss_losses();
                }
                let before = matches!(notice, Notice::Rescan { .. }).then(|| self.table.clone());
                self.look_at_rows();
                sometimes!(
                    before.is_some_and(|before| self.table.has_losses_after(&before)),
                    "membership: a loss came with a snapshot"
                );
                self.answer();
            }
            GroupNotice::Raft(_) => {}
            GroupNotice::Drain { epoch } => self.drain(epoch),
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
        self.end();
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
            questions: Questions::default(),
            settings: self.settings.row().copied(),
            masters: self.replicas.of(0).voters.len(),
            began,
            listening: match self.mutant.is(Mutant::CountsEarlierSilence) {
                true => Listening::after_silence(began),
                false => Listening::new(began),
            },
        });
        self.hear_what_was_kept();
        self.tend_settings(began);
        info!(self.log, "dispatches from here"; "term" => term, "epoch" => epoch);
        let term = DispatcherTerm::of_epoch(term, epoch);
        self.tell_reign(Reign::Begins { term });
        self.form_cluster();
        self.announce(term);
    }

    /// A new cluster's first entry says what it is.
    fn form_cluster(&mut self) {
        let (Founding::First(genesis), Some(epoch)) = (&self.founding, &mut self.epoch) else { return };
        let rows = genesis::form(&epoch.roster, genesis, epoch.journal.now());
        if !rows.is_empty() {
            info!(self.log, "a new cluster is formed"; "masters" => genesis.masters.len());
            epoch.write(rows);
        }
    }

    /// Says that workers are chosen here, to every master that has or will have a replica.
    fn announce(&self, term: DispatcherTerm) {
        let (seen, table) = (self.replicas.of(0), self.keeper.masters());
        let mut masters: BTreeSet<u64> = seen.voters.into_iter().chain(seen.learners).collect();
        masters.extend(table.present().map(|row| row.id));
        masters.insert(self.me);
        self.post.announce_dispatcher(term, masters);
    }

    /// Masters that have come to the end of their way.
    fn look_at_masters(&mut self) {
        let Some(epoch) = &mut self.epoch else { return };
        let rows = masters::arrived(&epoch.roster.masters, &self.replicas.all());
        if !rows.is_empty() && epoch.journal.is_open() {
            info!(self.log, "masters have arrived"; "rows" => ?rows);
            epoch.write(rows);
        }
    }

    fn end(&mut self) {
        if let Some(epoch) = self.epoch.take() {
            epoch.journal.close();
        }
        self.tell_reign(Reign::Ends);
    }

    /// Nothing more is decided in that epoch; what was decided goes out.
    fn drain(&self, epoch: u64) {
        if let Some(journal) = self.journal().filter(|journal| journal.epoch() == epoch) {
            journal.drain();
        }
        // A full mailbox: the group waits a bounded time only.
        let _ = self.group.send(Drained { epoch });
    }

    /// Masters and tokens of this master's rows, for all who look at them.
    fn look_at_roster(&self) {
        let roster = match Roster::read(&self.rows) {
            Ok(roster) => roster,
            Err(error) => return error!(self.log, "masters' rows cannot be read"; "error" => %error),
        };
        self.keeper.set_tokens(TokenTable::new(roster.tokens.into_values()));
        if self.keeper.set_masters(MasterTable { masters: roster.masters }) {
            let table = self.keeper.masters();
            self.transport.masters_changed(&table.peer_addresses(), &table.removed());
            for worker in self.post.sessions() {
                self.tell_members(&worker);
            }
        }
    }

    /// An empty list would say nothing: workers of such a cluster know their masters from elsewhere.
    fn tell_members(&self, worker: &Name) {
        let masters = self.keeper.masters().worker_addresses();
        if !masters.is_empty() {
            let index = self.rows.applied();
            // Each master reads its own rows, whoever leads; the index says whose are newer.
            self.post.to_worker(SpeaksFor::Nobody, worker, &ToWorker::Members { masters, index });
        }
    }

    /// Reads the workers' rows and, when they differ from what was seen last, says so to all who depend on them.
    fn look_at_rows(&mut self) {
        let applied = self.rows.applied();
        match self.settings.read(&self.rows, self.clock.boot()) {
            Ok(settings) => self.settings = settings,
            Err(error) => return error!(self.log, "the settings cannot be read"; "error" => %error),
        }
        if let Some(row) = self.settings.row() {
            self.keeper.set_history(row.history);
        }
        self.look_at_roster();
        let table = match workers::read_workers(&self.rows) {
            Ok(table) => table,
            Err(error) => return error!(self.log, "workers' rows cannot be read"; "error" => %error),
        };
        let table = self.without_missed(table);
        self.read_through = applied;
        if table.is_like(&self.table) {
            return;
        }
        self.table = Arc::new(table);
        self.tell_table();
    }

    /// From here on the losses that the rows have and this master has not seen are none; only a mutant does that.
    fn miss_losses(&mut self) {
        let Ok(table) = workers::read_workers(&self.rows) else { return };
        for (name, row) in table.workers {
            let seen = self.table.get(&name).map_or(0, |known| known.lost_through);
            if row.lost_through > seen {
                slog::warn!(self.log, "a loss is missed"; "worker" => %name, "lost_through" => row.lost_through);
                self.missed.insert(name, (row.lost_through, seen));
            }
        }
    }

    fn without_missed(&self, mut table: WorkerTable) -> WorkerTable {
        for (name, (lost_through, seen)) in &self.missed {
            if let Some(row) = table.workers.get_mut(name).filter(|row| row.lost_through == *lost_through) {
                *row = Arc::new(WorkerRow { lost_through: *seen, ..(**row).clone() });
            }
        }
        table
    }

    /// What waited for that index.
    fn execute(&mut self, effects: Vec<Effect>, index: u64) {
        for effect in effects {
            match effect {
                Effect::Registered { through, worker, life, incarnation } => {
                    let cluster = self.cluster;
                    let epoch = self.epoch.as_ref().expect("effects are executed in their epoch");
                    let term = epoch.journal.term();
                    let frame = PeerFrame::Registered { term, worker, life, incarnation, cluster };
                    self.post.to_master(through, frame);
                }
                Effect::Reply { reply, response } => reply.send(response),
                Effect::Read(question) => {
                    let epoch = self.epoch.as_mut().expect("effects are executed in their epoch");
                    epoch.questions.wait_for(index, question);
                }
                Effect::HeartbeatsSeen(beats) => self.acknowledge(beats),
            }
        }
        if let Some(journal) = self.journal() {
            journal.flush();
        }
        self.answer();
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
        ctx.run_interval(ctx.paced(MASTERS_LOOK), |membership, _| membership.look_at_masters());
    }
}

impl Epoch {
    fn write(&mut self, rows: Vec<RosterRow>) {
        rows.iter().for_each(|row| self.roster.apply(row));
        let writes = rows.iter().map(RosterRow::write).collect();
        self.journal.hand_in(Turn { writes, ..Turn::default() });
        self.journal.flush();
    }
}

/// A worker's session opened: it hears which masters there are.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TellMembers(pub Name);

impl Handler<TellMembers> for MembershipActor {
    type Result = ();

    fn handle(&mut self, TellMembers(worker): TellMembers, _: &mut Context<Self>) {
        self.tell_members(&worker);
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
        self.tell_table();
    }
}

impl std::fmt::Debug for MembershipParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "MembershipParts(n{})", self.me)
    }
}
