//! Why a run, or a task run, does not run: the reasons of the deciders and of the Dispatcher's own filters, never a
//! second opinion.

use hortator_core::event::ParentResult;
use hortator_core::id::{LimitName, RunId, TaskIndex, TaskKey, TaskRunId};
use hortator_core::reason::{Among, Reason, RunEnding, TaskStanding};
use hortator_core::run::{RunPhase, RunState, Standing};
use hortator_proto::api::Response;
use hortator_proto::api::{ExplainView, Problem, TaskExplain, TaskSelector};
use hortator_raft::RowsView;

use super::active::{Active, Wait, active};
use super::task_runs::select;
use super::{Failure, Reader, header_of};
use crate::scope::RunScope;
use crate::shard::context::ShardContext;
use crate::shard::limits::Looks;

/// Waiting task runs explained in one answer.
const EXPLAINED_MAX: usize = 100;
/// Open parents named for one task.
const PARENTS_NAMED_MAX: usize = 10;
/// Runs named that have the turn that another waits for.
const HOLDERS_NAMED_MAX: usize = 10;

/// Of a live run, by its own state.
pub fn explain(
    context: &ShardContext,
    state: &RunState,
    scope: &RunScope,
    task: Option<&TaskSelector>,
) -> Result<ExplainView, Problem> {
    let run = scope.run;
    let run_reasons = run_reasons(context, state);
    let limits = context.limits.looks(&context.leading);
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

/// Of all its task runs that wait and have no actor.
pub(crate) fn inactive(context: &ShardContext, state: &RunState, scope: &RunScope) -> Vec<(TaskKey, Wait)> {
    let (run_reasons, limits) = (run_reasons(context, state), context.limits.looks(&context.leading));
    let waits = |key: TaskKey| match state.standing(key)? {
        Standing::Waiting | Standing::Ready => {
            Some((key, task_wait(context, state, scope, key, &run_reasons, &limits)?))
        }
        Standing::Active | Standing::Ended(_) | Standing::Unreached(_) => None,
    };
    all_keys(scope).filter_map(waits).collect()
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
    // Without a limit of its own it waits for another run of its schedule.
    let limit = state.definition().concurrency.runs.unwrap_or(1);
    let (running, holders) = context.turns.holders(&state.header().workflow, HOLDERS_NAMED_MAX);
    vec![Reason::RunsFull { limit, running, holders }]
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
        Standing::Active => match active(context, limits, task_run) {
            Active::Over => None,
            Active::Runs => Some(Wait::new("running", Vec::new())),
            Active::Waits(wait) => Some(wait),
        },
        Standing::Ready if !scope.task(key).limits.is_empty() => {
            // The run shows a window of what is ready, and this is behind it: those before it wait for the same.
            let first = scope.task(key).limits.iter().min()?;
            let namespace = scope.definition.name.namespace.clone();
            let limit = LimitName { namespace, name: first.key.clone() };
            Some(Wait::new("ready", limits.reasons_of(&limit, first)))
        }
        Standing::Ready => {
            let group = scope.task(key).group.clone();
            // It has no actor yet: the run shows the Dispatcher a window of what is ready, and this is behind it.
            let ahead = scope.ahead_in_window(key.task);
            let reason =
                Reason::Behind { group, ahead, first: Vec::new(), ageing: None, among: Among::Shape };
            Some(Wait::new("ready", vec![reason]))
        }
        Standing::Waiting => {
            if let Some(why) = ending(state) {
                return Some(Wait::new("waiting", vec![Reason::RunEnds { why }]));
            }
            let mut reasons = run_reasons.to_vec();
            reasons.extend(waits_for(state, scope, key.task));
            if reasons.is_empty() {
                reasons.push(its_turn(state, scope, key.task));
            }
            Some(Wait::new("waiting", reasons))
        }
    }
}

/// The parents that it waits for, and whether it waits for more than being skipped.
fn waits_for(state: &RunState, scope: &RunScope, task: TaskIndex) -> Option<Reason> {
    let name = |task: TaskIndex| scope.definition.tasks[task as usize].id.clone();
    let open = state.open_parents(task).count() as u64;
    if open == 0 {
        return None;
    }
    let against = state.skipped_for(task);
    if !against.is_empty() {
        let standing = |parent: &ParentResult| TaskStanding {
            task: name(parent.task),
            state: parent.result.word().to_string(),
        };
        let rule = scope.definition.tasks[task as usize].run_if;
        return Some(Reason::RunIfNotMet { rule, upstream: against.iter().map(standing).collect(), open });
    }
    let standing = |parent: TaskIndex| {
        let word = state.standing(TaskKey { task: parent, item: 0 }).map_or("waiting", Standing::word);
        TaskStanding { task: name(parent), state: word.to_string() }
    };
    let tasks = state.open_parents(task).take(PARENTS_NAMED_MAX).map(standing).collect();
    Some(Reason::WaitsForTask { open, tasks })
}

/// Of one that waits for no parent: for a place among its items, or for its run, which goes on page by page.
fn its_turn(state: &RunState, scope: &RunScope, task: TaskIndex) -> Reason {
    match state.items_active(task) {
        Some((active, max)) if active >= max => {
            Reason::ItemsFull { task: scope.definition.tasks[task as usize].id.clone(), active, max }
        }
        Some(_) | None => {
            let what = "its run looks at which of its tasks may run, a page at a time".to_owned();
            let done = u64::from(state.counts().total() + state.active());
            let total = scope.definition.tasks.iter().map(|task| u64::from(task.items())).sum();
            Reason::Starting { what, done, total }
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
