//! Why a run, or a task run, does not run: the reasons of the deciders and of the Dispatcher's own filters, never a
//! second opinion.

use hortator_core::id::{LimitName, RunId, TaskIndex, TaskKey, TaskRunId};
use hortator_core::reason::{Reason, RunEnding, TaskStanding};
use hortator_core::run::{RunPhase, RunState, Standing};
use hortator_core::time::Timestamp;
use hortator_proto::api::Response;
use hortator_proto::api::{ExplainView, Problem, TaskExplain, TaskSelector};
use hortator_raft::RowsView;

use super::task_runs::select;
use super::{Failure, Reader, header_of};
use crate::mutant::Mutant;
use crate::scope::RunScope;
use crate::shard::context::ShardContext;
use crate::shard::limits::Looks;
use crate::shard::rebuild::directory_range;

/// Waiting task runs explained in one answer.
const EXPLAINED_MAX: usize = 100;
/// Open parents named for one task.
const PARENTS_NAMED_MAX: usize = 10;

/// Of a live run, by its own state.
pub fn explain(
    context: &ShardContext,
    state: &RunState,
    scope: &RunScope,
    task: Option<&TaskSelector>,
) -> Result<ExplainView, Problem> {
    let run = scope.run;
    let run_reasons = run_reasons(context, state);
    let limits = context.limits.looks();
    let keys: Box<dyn Iterator<Item = TaskKey>> = match task {
        Some(selector) => Box::new(std::iter::once(select(&scope.definition, run, selector)?)),
        None => Box::new(all_keys(scope)),
    };
    let (mut tasks, mut more) = (Vec::new(), 0);
    for key in keys {
        let Some(wait) = task_wait(context, state, scope, key, &run_reasons, &limits) else { continue };
        if tasks.len() == EXPLAINED_MAX {
            more += 1;
            continue;
        }
        let definition = scope.task(key);
        tasks.push(TaskExplain {
            id: definition.id.clone(),
            item: definition.foreach.as_ref().map(|_| key.item),
            state: wait.word.to_string(),
            since: wait.since,
            reasons: wait.reasons,
        });
    }
    let position = hortator_core::id::Position { group: context.shard, index: 0 };
    let run_state = state.header().word().to_string();
    Ok(ExplainView { run, run_state, run_reasons, tasks, more, eta: None, position })
}

fn all_keys(scope: &RunScope) -> impl Iterator<Item = TaskKey> + '_ {
    scope.definition.tasks.iter().enumerate().flat_map(|(task, definition)| {
        (0..definition.items()).map(move |item| TaskKey { task: task as TaskIndex, item })
    })
}

pub fn run_reasons(context: &ShardContext, state: &RunState) -> Vec<Reason> {
    if let Some(reason) = super::view::quarantined(state.header()) {
        return vec![reason];
    }
    if state.header().word() != "queued" {
        return Vec::new();
    }
    let limit = state.definition().concurrency.runs.unwrap_or(0);
    let runs = context.runs.borrow();
    let ahead = || runs.keys().copied().filter(|run| *run < state.header().id);
    let holders = ahead().take(PARENTS_NAMED_MAX).collect();
    vec![Reason::RunsFull { limit, running: ahead().count() as u64, holders }]
}

/// What is said of a task run that waits, and of one that runs.
struct Wait {
    word: &'static str,
    /// Where it is known: since when it is ready.
    since: Option<Timestamp>,
    reasons: Vec<Reason>,
}

impl Wait {
    fn new(word: &'static str, reasons: Vec<Reason>) -> Wait {
        Wait { word, since: None, reasons }
    }
}

/// None for a task run that is over.
fn task_wait(
    context: &ShardContext,
    state: &RunState,
    scope: &RunScope,
    key: TaskKey,
    run_reasons: &[Reason],
    limits: &Looks<'_>,
) -> Option<Wait> {
    let standing = state.standing(key)?;
    let task_run = TaskRunId { run: scope.run, key };
    match standing {
        Standing::Ended(_) | Standing::Unreached(_) => None,
        Standing::Active => {
            if let Some(reason) = context.board.why_it_waits(task_run) {
                return Some(Wait::new("backoff", vec![reason]));
            }
            if let Some((since, reason)) = limits.reason(task_run) {
                return Some(Wait { word: "ready", since: Some(since), reasons: vec![reason] });
            }
            let reasons = match context.mutant.is(Mutant::WaitsInSilence) {
                true => Vec::new(),
                false => context.book.borrow().explain(task_run),
            };
            // Whatever waits for a worker has a reason there; an attempt that a worker has needs none.
            let word = if reasons.is_empty() { "running" } else { "ready" };
            Some(Wait { word, since: context.book.borrow().since(task_run), reasons })
        }
        Standing::Ready if !scope.task(key).limits.is_empty() => {
            // The run shows a window of what is ready, and this is behind it: those before it wait for the same.
            let first = scope.task(key).limits.iter().min()?;
            let namespace = scope.definition.name.namespace.clone();
            let limit = LimitName { namespace, name: first.key.clone() };
            Some(Wait::new("ready", vec![limits.reason_of(&limit, first)]))
        }
        Standing::Ready => {
            let group = scope.task(key).group.clone();
            // It has no actor yet: the run shows the Dispatcher a window of what is ready, and this is behind it.
            let ahead = context.tasks.borrow().range(directory_range(scope.run)).count() as u64;
            let reason = Reason::Behind { group, ahead, first: Vec::new(), ageing: None };
            Some(Wait::new("ready", vec![reason]))
        }
        Standing::Waiting => {
            if let Some(why) = ending(state) {
                return Some(Wait::new("waiting", vec![Reason::RunEnds { why }]));
            }
            let mut reasons = run_reasons.to_vec();
            let parents: Vec<_> = state.open_parents(key.task).take(PARENTS_NAMED_MAX).collect();
            if !parents.is_empty() {
                let tasks = parents.iter().map(|parent| {
                    let task = scope.definition.tasks[*parent as usize].id.clone();
                    let word =
                        state.standing(TaskKey { task: *parent, item: 0 }).map_or("waiting", Standing::word);
                    TaskStanding { task, state: word.to_string() }
                });
                let tasks = tasks.collect();
                reasons
                    .push(Reason::WaitsForTask { open: state.open_parents(key.task).count() as u64, tasks });
            }
            Some(Wait::new("waiting", reasons))
        }
    }
}

/// Why nothing of the run starts any more, although something of it may still run.
fn ending(state: &RunState) -> Option<RunEnding> {
    match &state.header().phase {
        RunPhase::Stopping { first_failed, .. } => {
            Some(RunEnding::Failed(state.definition().tasks[first_failed.task as usize].id.clone()))
        }
        RunPhase::Cancelling { request, .. } => Some(RunEnding::Cancelled(request.by.clone())),
        RunPhase::Queued
        | RunPhase::Running { .. }
        | RunPhase::Quarantined { .. }
        | RunPhase::Finished { .. } => None,
    }
}

/// Of a run that is over: nothing waits.
pub(super) fn finished(
    reader: &Reader,
    rows: &RowsView,
    run: RunId,
    task: Option<&TaskSelector>,
) -> Result<Response, Failure> {
    let header = header_of(rows, run)?;
    if let Some(selector) = task {
        let definition = reader.definitions.get(&reader.rows, &header.workflow, header.version)?;
        select(&definition, run, selector).map_err(Failure::Problem)?;
    }
    Ok(Response::Explain(ExplainView {
        run,
        run_state: header.word().to_string(),
        run_reasons: Vec::new(),
        tasks: Vec::new(),
        more: 0,
        eta: None,
        position: reader.position(rows)?,
    }))
}
