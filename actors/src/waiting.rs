//! What a shard would tell of all that waits, for a world that judges it: of active task runs after each batch of the
//! shard's changes, of the others after each turn of their run, since nothing that is told of them changes in between.
//! Outside a world nobody listens, and all of this is one branch on a thread's own flag.

use hortator_core::id::{Name, TaskRunId, WorkerRef};
use hortator_core::reason::Reason;
use hortator_core::run::RunState;
use hortator_core::task_run::TaskPhase;
use hortator_core::time::Timestamp;
use hortator_proto::row;

use crate::query::active::{Active, Wait, active};
use crate::query::explain::inactive;
use crate::scope::RunScope;
use crate::shard::context::ShardContext;
use crate::worker_table::WorkerTable;

hortator_raft::ear!(Listener);

/// A world's ear.
pub trait Listener {
    fn told(&mut self, told: &Told<'_>);
}

/// What would be told of one task run that has not ended, and what is true of it.
pub struct Told<'a> {
    pub shard: u32,
    /// Of the leader that tells it.
    pub term: u64,
    pub task_run: TaskRunId,
    pub word: &'static str,
    pub reasons: &'a [Reason],
    pub now: Timestamp,
    /// Whether it waits among the shard's offers.
    pub offered: bool,
    /// Who has an attempt of it, or is about to.
    pub held: Option<WorkerRef>,
    pub workers: &'a WorkerTable,
    /// Whether a task of its run has ended, by its rows.
    pub ended: &'a dyn Fn(&Name) -> bool,
}

/// After a batch of a shard's changes.
#[inline]
pub(crate) fn shard_changed(context: &ShardContext) {
    if is_heard() && context.journal.is_open() {
        tell_active(context);
    }
}

/// After a turn of a run.
#[inline]
pub(crate) fn run_changed(context: &ShardContext, state: &RunState, scope: &RunScope) {
    if is_heard() && context.journal.is_open() {
        tell_waiting(context, state, scope);
    }
}

fn tell_active(context: &ShardContext) {
    let limits = context.limits.looks(&context.leading);
    let task_runs: Vec<TaskRunId> = context.tasks.borrow().keys().copied().collect();
    for task_run in task_runs {
        let wait = match active(context, &limits, task_run) {
            Active::Over => continue,
            Active::Runs => Wait::new("running", Vec::new()),
            Active::Waits(wait) => wait,
        };
        tell(context, task_run, &wait, &|_| false);
    }
}

fn tell_waiting(context: &ShardContext, state: &RunState, scope: &RunScope) {
    let has_ended = |task: &Name| has_ended(context, state, task);
    for (key, wait) in inactive(context, state, scope) {
        tell(context, TaskRunId { run: scope.run, key }, &wait, &has_ended);
    }
}

fn tell(context: &ShardContext, task_run: TaskRunId, wait: &Wait, ended: &dyn Fn(&Name) -> bool) {
    let (offered, held) = {
        let book = context.book.borrow();
        (book.since(task_run).is_some(), book.holder(task_run).cloned())
    };
    let told = Told {
        shard: context.shard,
        term: context.journal.term(),
        task_run,
        word: wait.word,
        reasons: &wait.reasons,
        now: context.journal.time(),
        offered,
        held,
        workers: &context.workers(),
        ended,
    };
    with(|listener| listener.told(&told));
}

/// By the rows of the run's present round.
fn has_ended(context: &ShardContext, state: &RunState, name: &Name) -> bool {
    let Some((task, definition)) = state.definition().task(name.as_str()) else { return false };
    (0..definition.items()).all(|item| {
        let key = hortator_core::id::TaskKey { task, item };
        let id = TaskRunId { run: state.header().id, key };
        let stored = context.rows.get(&row::key::task_run(id)).ok().flatten();
        let row = stored.and_then(|stored| row::decode_task(&stored.value).ok());
        row.is_some_and(|row| state.header().counts(&row) && matches!(row.phase, TaskPhase::Ended { .. }))
    })
}

impl std::fmt::Debug for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} is {}: {:?}", self.task_run, self.word, self.reasons)
    }
}
