//! One shard on one master: its epochs, its directory of actors, and the desk where commands, reports and grants
//! arrive. While this master leads the shard it holds the epoch's context; otherwise it holds nothing.
//!
//! ```text
//!  Gateway ──AskShard──▶┐            ┌──▶ WorkflowActor ─▶ RunActor ─▶ TaskActor
//!  WorkerActor ─Reported▶│   Shard   │         └───────┬───────┴──────────┘
//!  Dispatcher ──grants──▶┘           └── effects ◀── Journal ──▶ GroupActor ──▶ notices ──▶ Shard
//! ```

pub mod board;
pub mod context;
mod doubts;
mod early;
pub mod effect;
mod epoch;
pub mod leading;
mod learned;
pub mod limits;
pub mod rebuild;
mod requests;
mod stream;
mod sweep;
pub mod turns;
mod upkeep;

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use hortator_core::dispatch::stream::{DispatcherFrame, DispatcherTerm};
use hortator_core::id::{AttemptId, Fence, Incarnation, Name, RunId};
use hortator_proto::api::Request;
use hortator_proto::frame::{Report, ToWorker};
use hortator_raft::{Changed, Cursor, Rows};
use slog::Logger;

use crate::context::{Context, start};
use crate::definitions::Definitions;
use crate::gateway::ReplyTo;
use crate::group::{GroupActor, GroupNotices};
use crate::leaders::Leaders;
use crate::mailbox::{Mailbox, Meter};
use crate::mutant::Mutant;
use crate::observe::ActorName;
use crate::post::Post;
use crate::query::ReadJob;
use crate::replicas::Replicas;
use crate::seam::Seams;
use crate::tables::Tables;
use crate::task::{Look, WorkerSaid};
use crate::worker_table::WorkerTable;
use context::ShardContext;
use early::EarlyGrant;
use rebuild::Rebuild;
use stream::Hold;
use sweep::Sweep;

/// Requests, batches of reports, frames of the Dispatcher, notices. Requests and reports beyond it are repeated by
/// their senders.
const MAILBOX: usize = 8_192;

/// A client's request.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AskShard {
    /// In which this master is asked for commands.
    pub term: u64,
    pub request: Request,
    pub reply: ReplyTo,
}

/// Words of a worker.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Reported {
    pub reports: Vec<Report>,
}

/// What a worker holds, running or in its spool.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FromInventory {
    pub worker: Name,
    pub incarnation: Incarnation,
    pub held: Vec<(AttemptId, Fence)>,
}

/// What a worker runs of the attempts that it was asked for.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FromAsked {
    pub running: Vec<(AttemptId, Fence)>,
}

/// A worker opened a session with this master.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct WorkerConnected(pub Name);

/// This master's membership rows changed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct WorkersChanged(pub Arc<WorkerTable>);

/// The Dispatcher's frame for this shard.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FromDispatcher {
    pub frame: DispatcherFrame,
}

/// A Dispatcher's term began, or goes on at that master.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct NewDispatcher {
    pub master: u64,
    pub term: DispatcherTerm,
}

/// Rows of wants or holds have changed on this master, in whichever group.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct LimitsMoved;

/// Lets offers and entries go out, after the decisions that follow at once from those made so far.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Flush;

/// What the shard does now, for status and metrics.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "ShardReport")]
pub struct ObserveShard;

/// See [`ObserveShard`]; all zero where this master does not lead the shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShardReport {
    pub leads: bool,
    pub runs_live: u64,
    pub runs_queued: u64,
    pub tasks_active: u64,
}

/// The limits whose home the shard is, in figures; none where this master does not lead it.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Vec<limits::LimitSize>")]
pub struct ObserveLimits;

/// The collaborators of a [`Shard`].
pub struct ShardParts {
    pub id: u32,
    pub generation: u32,
    pub mutant: Mutant,
    pub group: Mailbox<GroupActor>,
    pub rows: Rows,
    /// Of all groups.
    pub all_rows: limits::AllRows,
    pub seams: Seams,
    pub post: Arc<Post>,
    pub leaders: Arc<Leaders>,
    pub replicas: Arc<Replicas>,
    pub tables: Tables,
    pub meter: Arc<Meter>,
    /// Rises with what this master's replica has applied; readers wait for it.
    pub applied: tokio::sync::watch::Sender<u64>,
    pub log: Logger,
}

/// See the module.
pub struct Shard {
    parts: ShardParts,
    definitions: Arc<Definitions>,
    workers: Arc<WorkerTable>,
    /// The Dispatcher as last heard of: its master and term.
    dispatcher: Option<(u64, DispatcherTerm)>,
    /// Looks at a leader of the membership group that has not said that it dispatches.
    silent: u64,
    /// Free space is below the watermark: no new commands.
    disk_low: bool,
    /// How far the other shards of this master were told of changed rows.
    told: Cursor,
    epoch: Option<Epoch>,
}

/// While this master leads.
struct Epoch {
    context: Rc<ShardContext>,
    stage: Stage,
    /// Runs whose end is committed at that index: their actors go once it is applied.
    finished: VecDeque<(u64, RunId)>,
    /// Bounded by what the Dispatcher may grant that is not settled.
    early: Vec<EarlyGrant>,
    /// Reads that wait until that index is applied.
    reads: VecDeque<(u64, ReadJob)>,
    hold: Hold,
    /// A timer for the book's deadline is running.
    expiry_armed: bool,
    pace_armed: bool,
    sweep: Sweep,
    /// Looks so far.
    looks: u64,
}

enum Stage {
    Rebuilding(Rebuild),
    Open,
}

impl Shard {
    /// Starts it in the present room.
    pub fn start_in_room(parts: ShardParts) -> Mailbox<Shard> {
        let (id, meter) = (parts.id, parts.meter.clone());
        let shard = Shard {
            parts,
            definitions: Arc::default(),
            workers: Arc::default(),
            dispatcher: None,
            silent: 0,
            disk_low: false,
            told: Cursor::default(),
            epoch: None,
        };
        start(&meter, ActorName::Group(id), shard)
    }

    /// The epoch's context once the rebuild is through, and until leadership is handed over.
    fn open(&self) -> Option<Rc<ShardContext>> {
        match &self.epoch {
            Some(Epoch { context, stage: Stage::Open, .. }) if context.journal.is_open() => {
                Some(context.clone())
            }
            Some(_) | None => None,
        }
    }

    /// Whose rows changed looks by itself who is concerned: on this master that may be any shard.
    fn tell_limits_moved(&mut self) {
        match self.parts.rows.changed(&mut self.told) {
            Changed::Rows(keys) if keys.is_empty() => {}
            Changed::Rows(_) | Changed::Anything => {
                for (_, shard) in self.parts.post.shards() {
                    // A full mailbox: it looks every so often by itself.
                    let _ = shard.send(LimitsMoved);
                }
            }
        }
    }

    fn look_elsewhere(&self) {
        if let Some(context) = self.open() {
            limits::look_elsewhere(&context);
        }
    }

    fn on_reports(&self, reports: Vec<Report>) {
        let Some(context) = self.open() else { return };
        if context.journal.under_pressure() {
            return;
        }
        for report in reports {
            let task = context.tasks.borrow().get(&report.attempt.task_run).cloned();
            match task {
                // A full mailbox drops the word; the agent keeps it and says it again.
                Some(task) => drop(task.send(WorkerSaid(report))),
                None if context.mutant.is(Mutant::LeavesOrphansUnanswered) => {}
                None => acknowledge(&context, &report),
            }
        }
    }

    fn on_inventory(&self, message: &FromInventory) {
        let Some(context) = self.open() else { return };
        context.not_in_doubt(&message.held);
        let held: std::collections::BTreeSet<_> =
            message.held.iter().map(|(attempt, _)| attempt.task_run).collect();
        for (task_run, task) in context.held_by(&message.worker) {
            let _ = task.send(Look::AtWorkerAgain { held: held.contains(&task_run) });
        }
    }

    /// Asks each worker, in one frame, for what it was sent and has said nothing of.
    fn ask(&self) {
        let Some(context) = self.open() else { return };
        if context.mutant.is(Mutant::NeverAsks) {
            return;
        }
        for (worker, attempts) in context.in_doubt(self.parts.seams.clock.boot()) {
            let frame = ToWorker::Ask { incarnation: worker.incarnation, attempts };
            self.parts.post.to_worker(context.speaks_for(), &worker.name, &frame);
        }
    }

    fn on_connected(&self, worker: &Name) {
        if let Some(context) = self.open() {
            self.announce_to(&context, worker);
        }
    }

    /// Tells a worker that reports of this shard come here.
    fn announce_to(&self, context: &ShardContext, worker: &Name) {
        let (shard, term) = (self.parts.id, context.journal.term());
        let leads = ToWorker::Leads { shard, term, watermark: context.watermark() };
        self.parts.post.to_worker(context.speaks_for(), worker, &leads);
    }

    fn on_workers(&mut self, table: Arc<WorkerTable>) {
        let before = std::mem::replace(&mut self.workers, table.clone());
        let Some(epoch) = &self.epoch else { return };
        epoch.context.set_workers(table.clone());
        for worker in epoch.context.workers_with_attempts() {
            if before.get(&worker) != table.get(&worker) {
                for (_, task) in epoch.context.held_by(&worker) {
                    // A full mailbox holds messages, and with each of them the task run looks at the table.
                    let _ = task.send(Look::AtWorkers);
                }
            }
        }
    }
}

/// A word about a task run that has no attempt any more: it changes nothing, and may leave the spool.
fn acknowledge(context: &ShardContext, report: &Report) {
    Meter::add(&context.meter.rejections, 1);
    Meter::add(&context.meter.orphan_reports, 1);
    let worker = report.worker.name.clone();
    let effect = effect::Effect::Acknowledge { worker, attempt: report.attempt, fence: report.fence };
    context.hand_in(Vec::new(), Vec::new(), vec![effect]);
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shard({})", self.parts.id)
    }
}

impl Actor for Shard {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        Shard::schedule_look(ctx);
        Shard::schedule_sweep(ctx);
    }
}

impl Handler<GroupNotices> for Shard {
    type Result = ();

    fn handle(&mut self, GroupNotices(notices): GroupNotices, ctx: &mut Context<Self>) {
        for notice in notices {
            self.on_notice(notice, ctx);
        }
    }
}

impl Handler<AskShard> for Shard {
    type Result = ();

    fn handle(&mut self, AskShard { term, request, reply }: AskShard, _: &mut Context<Self>) {
        self.on_request(term, request, reply);
    }
}

impl Handler<Reported> for Shard {
    type Result = ();

    fn handle(&mut self, Reported { reports }: Reported, _: &mut Context<Self>) {
        Meter::add(&self.parts.meter.reports, reports.len() as u64);
        self.on_reports(reports);
    }
}

impl Handler<FromInventory> for Shard {
    type Result = ();

    fn handle(&mut self, message: FromInventory, _: &mut Context<Self>) {
        self.on_inventory(&message);
    }
}

impl Handler<FromAsked> for Shard {
    type Result = ();

    fn handle(&mut self, FromAsked { running }: FromAsked, _: &mut Context<Self>) {
        if let Some(context) = self.open() {
            context.not_in_doubt(&running);
        }
    }
}

impl Handler<WorkerConnected> for Shard {
    type Result = ();

    fn handle(&mut self, WorkerConnected(worker): WorkerConnected, _: &mut Context<Self>) {
        self.on_connected(&worker);
    }
}

impl Handler<WorkersChanged> for Shard {
    type Result = ();

    fn handle(&mut self, WorkersChanged(table): WorkersChanged, ctx: &mut Context<Self>) {
        self.on_workers(table);
        self.hand_over_early(ctx);
    }
}

impl Handler<FromDispatcher> for Shard {
    type Result = ();

    fn handle(&mut self, FromDispatcher { frame }: FromDispatcher, ctx: &mut Context<Self>) {
        self.on_dispatcher_frame(frame, ctx);
    }
}

impl Handler<NewDispatcher> for Shard {
    type Result = ();

    fn handle(&mut self, NewDispatcher { master, term }: NewDispatcher, _: &mut Context<Self>) {
        self.on_dispatcher(master, term);
    }
}

impl Handler<LimitsMoved> for Shard {
    type Result = ();

    fn handle(&mut self, _: LimitsMoved, _: &mut Context<Self>) {
        self.look_elsewhere();
    }
}

impl Handler<Flush> for Shard {
    type Result = ();

    fn handle(&mut self, _: Flush, ctx: &mut Context<Self>) {
        self.on_flush(ctx);
    }
}

impl Handler<ObserveShard> for Shard {
    type Result = MessageResult<ObserveShard>;

    fn handle(&mut self, _: ObserveShard, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.report())
    }
}

impl Handler<ObserveLimits> for Shard {
    type Result = MessageResult<ObserveLimits>;

    fn handle(&mut self, _: ObserveLimits, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.limit_sizes())
    }
}

impl std::fmt::Debug for ShardParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ShardParts({})", self.id)
    }
}
