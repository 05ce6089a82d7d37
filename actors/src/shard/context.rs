//! What the actors of one epoch of one shard share: the Journal, the offers, and the way to each other. All of them
//! live on one thread, so sharing is by `Rc`, and calls into it are synchronous.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use hortator_core::dispatch::Offer;
use hortator_core::dispatch::stream::OfferBook;
use hortator_core::event::Event;
use hortator_core::expression::Engine;
use hortator_core::id::{AttemptId, Fence, Name, RunId, TaskRunId, WorkerRef, WorkflowName};
use hortator_core::reason::Reason;
use hortator_core::time::Span;
use hortator_proto::frame::SpeaksFor;
use hortator_proto::row;
use hortator_raft::{Entropy, Position, Rows, Write};
use slog::Logger;

use super::board::Board;
use super::doubts::Doubts;
use super::effect::{self, Effect};
use super::leading::Leading;
use super::learned::LearnedDurations;
use super::limits::{AllRows, LimitDesk};
use super::turns::Turns;
use super::{Flush, Shard};
use crate::definitions::Definitions;
use crate::journal::{Journal, Turn};
use crate::mailbox::{Mailbox, Meter};
use crate::mutant::Mutant;
use crate::run::RunActor;
use crate::schedule::{Alarms, ScheduleActor};
use crate::task::TaskActor;
use crate::waits::GroupWaits;
use crate::worker_table::WorkerTable;
use crate::workflow::WorkflowActor;

/// See the module.
pub struct ShardContext {
    pub shard: u32,
    /// Raised when a cluster is restored from a backup; part of every fence.
    pub generation: u32,
    pub mutant: Mutant,
    pub journal: Journal<Effect>,
    pub rows: Rows,
    pub definitions: Arc<Definitions>,
    pub engine: Engine,
    pub meter: Arc<Meter>,
    pub log: Logger,
    pub book: RefCell<OfferBook>,
    pub board: Board,
    pub turns: Turns,
    pub leading: Leading,
    pub learned: LearnedDurations,
    pub limits: LimitDesk,
    pub runs: RefCell<BTreeMap<RunId, Mailbox<RunActor>>>,
    pub tasks: RefCell<BTreeMap<TaskRunId, Mailbox<TaskActor>>>,
    pub workflows: RefCell<BTreeMap<WorkflowName, Mailbox<WorkflowActor>>>,
    /// When each schedule of the shard is to be looked at.
    pub alarms: RefCell<Alarms>,
    /// From the end of the rebuild on.
    pub schedule_actor: RefCell<Option<Mailbox<ScheduleActor>>>,
    /// Free space is below the watermark.
    disk_low: Cell<bool>,
    /// Finished runs whose deletion is handed in: rows that still show them are out of date.
    pub deleted: RefCell<BTreeSet<RunId>>,
    /// How often an actor of a workflow was asked for: one that retires knows that nobody writes to it meanwhile.
    pub workflows_asked_for: Cell<u64>,
    /// Task runs with an attempt that has not ended, by worker: whom a worker's loss or return concerns.
    held: RefCell<BTreeMap<Name, BTreeSet<TaskRunId>>>,
    /// Fences of dispatched attempts whose end is not committed; the least is the watermark.
    fences: RefCell<BTreeSet<(Fence, TaskRunId)>>,
    doubts: RefCell<Doubts>,
    settled: Cell<Position>,
    /// Whether all attempts that the rows know are in `fences`.
    rebuilt: Cell<bool>,
    workers: RefCell<Arc<WorkerTable>>,
    /// How many tables there were: who has looked at one knows whether there is another.
    tables_seen: Cell<u64>,
    entropy: RefCell<Box<dyn Entropy>>,
    shard_mailbox: Mailbox<Shard>,
    flush_arranged: Cell<bool>,
    flush_refused: Cell<bool>,
    /// How long task runs wait, by the worker groups that were seen here.
    waits: RefCell<BTreeMap<Name, Arc<GroupWaits>>>,
}

/// What a [`ShardContext`] is made of.
pub struct ContextParts {
    pub shard: u32,
    pub generation: u32,
    pub mutant: Mutant,
    pub journal: Journal<Effect>,
    pub rows: Rows,
    pub all_rows: AllRows,
    pub definitions: Arc<Definitions>,
    pub meter: Arc<Meter>,
    pub log: Logger,
    pub book: OfferBook,
    pub workers: Arc<WorkerTable>,
    pub disk_low: bool,
    pub leading: Leading,
    pub entropy: Box<dyn Entropy>,
    pub shard_mailbox: Mailbox<Shard>,
    /// The barrier's position: nothing before it is in flight.
    pub began: Position,
}

impl ShardContext {
    pub fn new(parts: ContextParts) -> Rc<ShardContext> {
        Rc::new(ShardContext {
            shard: parts.shard,
            generation: parts.generation,
            mutant: parts.mutant,
            journal: parts.journal,
            learned: LearnedDurations::new(parts.rows.clone()),
            limits: LimitDesk::new(parts.all_rows),
            rows: parts.rows,
            definitions: parts.definitions,
            engine: Engine::new(),
            meter: parts.meter,
            log: parts.log,
            book: RefCell::new(parts.book),
            board: Board::default(),
            turns: Turns::default(),
            leading: parts.leading,
            runs: RefCell::default(),
            tasks: RefCell::default(),
            workflows: RefCell::default(),
            alarms: RefCell::default(),
            schedule_actor: RefCell::default(),
            disk_low: Cell::new(parts.disk_low),
            deleted: RefCell::default(),
            workflows_asked_for: Cell::new(0),
            held: RefCell::default(),
            fences: RefCell::default(),
            doubts: RefCell::default(),
            settled: Cell::new(parts.began),
            rebuilt: Cell::new(false),
            workers: RefCell::new(parts.workers),
            tables_seen: Cell::new(0),
            entropy: RefCell::new(parts.entropy),
            shard_mailbox: parts.shard_mailbox,
            flush_arranged: Cell::new(false),
            flush_refused: Cell::new(false),
            waits: RefCell::default(),
        })
    }

    /// Where the waiting of the group's task runs is counted.
    pub fn waits_of(&self, group: &Name) -> Arc<GroupWaits> {
        if let Some(known) = self.waits.borrow().get(group) {
            return known.clone();
        }
        let waits = self.meter.waits.of(group);
        self.waits.borrow_mut().insert(group.clone(), waits.clone());
        waits
    }

    /// Moves the newest attempt of an earlier round out of its task run's row, which a new round writes over, into a
    /// row of its own. That round has ended, so what is stored is complete.
    pub fn keep_attempt(&self, task_run: TaskRunId) -> Option<Write> {
        let stored = self.rows.get(&row::key::task_run(task_run)).ok().flatten()?;
        let last = row::decode_task(&stored.value).ok()?.last?;
        let key = row::key::attempt(AttemptId { task_run, attempt: last.number });
        Some(Write::Put { key, value: row::encode_attempt(&last) })
    }

    /// Hands a decision to the Journal.
    pub fn hand_in(&self, writes: Vec<Write>, events: Vec<(RunId, Event)>, effects: Vec<Effect>) {
        events.iter().for_each(|(_, event)| self.meter.tally.note(event));
        let soft = writes.is_empty() && events.is_empty();
        let effects = match soft && self.mutant.is(Mutant::AnswersWithoutAnEntry) {
            true => effect::answer_now(self, effects),
            false => effects,
        };
        if self.journal.hand_in(Turn { writes, events, effects }) {
            self.arrange_flush();
        }
    }

    /// Lets the offers and the pending entry go out once the decisions that follow from this one have been made.
    pub fn arrange_flush(&self) {
        if self.flush_arranged.replace(true) {
            return;
        }
        // Refused, it is arranged again with the shard's next look at what is due.
        if self.shard_mailbox.send(Flush).is_err() {
            self.flush_arranged.set(false);
            self.flush_refused.set(true);
        }
    }

    pub(super) fn flush_again_if_refused(&self) {
        if self.flush_refused.take() {
            self.arrange_flush();
        }
    }

    pub fn flush_done(&self) {
        self.flush_arranged.set(false);
    }

    /// Whether there is room for new runs: in the Journal, and on the disk.
    pub fn takes_new(&self) -> bool {
        !self.journal.under_pressure() && !self.disk_low.get()
    }

    pub fn set_disk_low(&self, low: bool) {
        self.disk_low.set(low);
    }

    pub fn random(&self, stream: &str) -> u64 {
        self.entropy.borrow_mut().next_u64(stream)
    }

    pub fn workers(&self) -> Arc<WorkerTable> {
        self.workers.borrow().clone()
    }

    pub fn set_workers(&self, table: Arc<WorkerTable>) {
        *self.workers.borrow_mut() = table;
        self.tables_seen.set(self.tables_seen.get() + 1);
    }

    /// Another number after each change of the workers.
    pub fn tables_seen(&self) -> u64 {
        self.tables_seen.get()
    }

    /// Shows a ready task run to the Dispatcher.
    pub fn offer(&self, offer: Offer, expected: Option<Span>) {
        self.book.borrow_mut().insert(offer, expected);
        self.arrange_flush();
    }

    /// The fence of whatever this entry dispatched.
    pub fn fence(&self, position: Position) -> Fence {
        Fence { generation: self.generation, shard: self.shard, term: position.term, index: position.index }
    }

    pub fn hold(&self, worker: &Name, task_run: TaskRunId) {
        self.held.borrow_mut().entry(worker.clone()).or_default().insert(task_run);
    }

    pub fn let_go(&self, worker: &Name, task_run: TaskRunId) {
        let mut held = self.held.borrow_mut();
        if let Some(task_runs) = held.get_mut(worker) {
            task_runs.remove(&task_run);
            if task_runs.is_empty() {
                held.remove(worker);
            }
        }
    }

    /// The actors of the task runs that a worker holds.
    pub fn held_by(&self, worker: &Name) -> Vec<(TaskRunId, Mailbox<TaskActor>)> {
        let (held, tasks) = (self.held.borrow(), self.tasks.borrow());
        let task_runs = held.get(worker).into_iter().flatten();
        task_runs.filter_map(|task_run| Some((*task_run, tasks.get(task_run)?.clone()))).collect()
    }

    pub fn workers_with_attempts(&self) -> Vec<Name> {
        self.held.borrow().keys().cloned().collect()
    }

    pub fn fence_open(&self, fence: Fence, task_run: TaskRunId) {
        self.fences.borrow_mut().insert((fence, task_run));
    }

    pub fn fence_closed(&self, fence: Fence, task_run: TaskRunId) {
        self.fences.borrow_mut().remove(&(fence, task_run));
    }

    /// A `Run` goes out to that worker.
    pub(super) fn run_sent(&self, attempt: (AttemptId, Fence), worker: &WorkerRef, now: Span) {
        self.doubts.borrow_mut().sent(attempt, worker, now, self.journal.time());
    }

    /// Why a task run's attempt is not known to run, although its worker was sent it.
    pub fn doubt(&self, task_run: TaskRunId) -> Option<Reason> {
        self.doubts.borrow().reason(task_run)
    }

    /// The worker holds these, or they have ended.
    pub(super) fn not_in_doubt(&self, attempts: &[(AttemptId, Fence)]) {
        let mut doubts = self.doubts.borrow_mut();
        attempts.iter().for_each(|(attempt, fence)| doubts.settled(*fence, *attempt));
    }

    /// Whom to ask about what.
    pub(super) fn in_doubt(&self, now: Span) -> Vec<(WorkerRef, Vec<(AttemptId, Fence)>)> {
        self.doubts.borrow_mut().due(now)
    }

    pub fn set_settled(&self, position: Position) {
        self.settled.set(position);
    }

    /// Whatever the actors know now has everything up to there; it may have more, which is news to whoever asks what
    /// comes after.
    pub fn seen(&self) -> hortator_core::id::Position {
        let index = self.settled.get().index.max(self.rows.applied());
        hortator_core::id::Position { group: self.shard, index }
    }

    /// The rebuild is through: every open fence is known.
    pub fn set_rebuilt(&self) {
        self.rebuilt.set(true);
    }

    /// What frames of this epoch say of themselves.
    pub fn speaks_for(&self) -> SpeaksFor {
        SpeaksFor::Group { group: self.shard, term: self.journal.term() }
    }

    /// Every fence below it has ended by commit: the oldest open one, or else the entry after the last settled one.
    /// Workers kill what runs below it, so until the rebuild is through it is below everything.
    pub fn watermark(&self) -> Fence {
        if !self.rebuilt.get() {
            return self.fence(Position { term: 0, index: 0 });
        }
        let open = self.fences.borrow().first().map(|(fence, _)| *fence);
        let Position { term, index } = self.settled.get();
        open.unwrap_or_else(|| self.fence(Position { term, index: index + 1 }))
    }
}

impl std::fmt::Debug for ShardContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ShardContext({})", self.shard)
    }
}

impl std::fmt::Debug for ContextParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ContextParts({})", self.shard)
    }
}
