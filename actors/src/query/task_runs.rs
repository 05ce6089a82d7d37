//! The task runs of a run, in the order of the definition, those without a row included.

use std::collections::BTreeMap;

use hortator_core::definition::Definition;
use hortator_core::id::{RunId, TaskKey, TaskRunId};
use hortator_core::run::{RunHeader, WHOLE_TASK};
use hortator_core::task_run::TaskState;
use hortator_proto::api::{
    AttemptView, PAGE_MAX, Problem, ProblemKind, Response, TaskRunDetail, TaskRunView, TaskSelector,
};
use hortator_proto::row;
use hortator_raft::RowsView;

use super::{Failure, Reader, header_of, view};
use crate::shard::rebuild::is_current;

/// Earlier attempts shown; a task may have thousands.
const ATTEMPTS_SHOWN_MAX: usize = 1_000;

pub(super) fn list(
    reader: &Reader,
    rows: &RowsView,
    run: RunId,
    states: &[String],
    after: Option<TaskKey>,
    limit: u32,
) -> Result<Response, Failure> {
    let header = header_of(rows, run)?;
    let definition = reader.definitions.get(&reader.rows, &header.workflow, header.version)?;
    let limit = limit.clamp(1, PAGE_MAX) as usize;
    let stored = task_rows(rows, run, after)?;
    let (mut tasks, mut next) = (Vec::new(), None);
    for key in keys(&definition, after) {
        if tasks.len() == limit {
            break;
        }
        next = Some(key);
        let shown = task_view(reader, &definition, &header, key, stored.of(key));
        if states.is_empty() || states.contains(&shown.state) {
            tasks.push(shown);
        }
    }
    let more = next.filter(|last| keys(&definition, Some(*last)).next().is_some());
    Ok(Response::TaskRuns { tasks, next: more, position: reader.position(rows)? })
}

/// Current rows of the run from a key on. A whole run's rows are at most 100,000.
struct Stored {
    rows: BTreeMap<TaskKey, TaskState>,
}

impl Stored {
    /// The row of a task run; items of a `foreach` that was skipped as a whole share one.
    fn of(&self, key: TaskKey) -> Option<&TaskState> {
        self.rows.get(&key).or_else(|| self.rows.get(&TaskKey { task: key.task, item: WHOLE_TASK }))
    }
}

fn task_rows(rows: &RowsView, run: RunId, after: Option<TaskKey>) -> Result<Stored, Failure> {
    let (first, to) = row::key::range(&row::key::task_runs(run));
    let from = after
        .map_or(first, |key| row::key::task_run(TaskRunId { run, key: TaskKey { task: key.task, item: 0 } }));
    let mut found = BTreeMap::new();
    for (key, stored) in rows.scan(&from, &to, usize::MAX, false)? {
        if !is_current(&key) {
            continue;
        }
        let state = row::decode_task(&stored.value)?;
        found.insert(state.key, state);
    }
    Ok(Stored { rows: found })
}

/// Every task run's key after the given one.
fn keys(definition: &Definition, after: Option<TaskKey>) -> impl Iterator<Item = TaskKey> + '_ {
    let first = after.map_or(0, |key| key.task);
    (first..definition.tasks.len() as u32)
        .flat_map(move |task| {
            (0..definition.tasks[task as usize].items()).map(move |item| TaskKey { task, item })
        })
        .filter(move |key| after.is_none_or(|after| *key > after))
}

fn task_view(
    reader: &Reader,
    definition: &Definition,
    header: &RunHeader,
    key: TaskKey,
    stored: Option<&TaskState>,
) -> TaskRunView {
    let counted = stored.filter(|state| header.counts(state));
    let active = reader.active.get(&key);
    let word = match (counted, active) {
        (None, Some(_)) => "ready",
        (_, _) => header.task_word(counted, reader.now),
    };
    let mut shown = match counted {
        Some(state) => view::task_run(definition, state, word),
        None => view::without_row(definition, key, word),
    };
    shown.item = definition.tasks[key.task as usize].foreach.as_ref().map(|_| key.item);
    if let Some(Some(reason)) = active {
        shown.reason = Some(format!("{} [{}]", reason.text(), reason.code()));
    }
    shown
}

pub(super) fn one(
    reader: &Reader,
    rows: &RowsView,
    run: RunId,
    selector: &TaskSelector,
) -> Result<Response, Failure> {
    let header = header_of(rows, run)?;
    let definition = reader.definitions.get(&reader.rows, &header.workflow, header.version)?;
    let key = select(&definition, run, selector).map_err(Failure::Problem)?;
    let stored = rows.get(&row::key::task_run(TaskRunId { run, key }))?;
    let state = stored.map(|stored| row::decode_task(&stored.value)).transpose()?;
    let shown = task_view(reader, &definition, &header, key, state.as_ref());
    let mut attempts = earlier(rows, run, key)?;
    if let Some(state) = &state {
        attempts.extend(state.last.as_ref().map(view::attempt_ended));
        attempts.extend(state.attempt().map(|attempt| AttemptView {
            attempt: attempt.number,
            state: shown.state.clone(),
            worker: attempt.worker.name.clone(),
            exit_code: None,
            signal: None,
            error: None,
            started_at: None,
            finished_at: None,
        }));
    }
    let ended = ["succeeded", "failed", "skipped", "cancelled"].contains(&shown.state.as_str());
    Ok(Response::TaskRun(Box::new(TaskRunDetail {
        view: shown,
        key,
        namespace: header.workflow.namespace.clone(),
        workflow: header.workflow.name.clone(),
        last: ended,
        attempts,
    })))
}

fn earlier(rows: &RowsView, run: RunId, key: TaskKey) -> Result<Vec<AttemptView>, Failure> {
    let (from, to) = row::key::range(&row::key::attempts(TaskRunId { run, key }));
    let page = rows.scan(&from, &to, ATTEMPTS_SHOWN_MAX, false)?;
    let earlier = page.iter().filter(|(key, _)| !is_current(key));
    earlier.map(|(_, stored)| Ok(view::attempt_ended(&row::decode_attempt(&stored.value)?))).collect()
}

/// The key of a task run that a person names.
pub(crate) fn select(
    definition: &Definition,
    run: RunId,
    selector: &TaskSelector,
) -> Result<TaskKey, Problem> {
    let Some((task, found)) = definition.task(selector.task.as_str()) else {
        let detail = format!("run {run} has no task {:?}", selector.task.as_str());
        return Err(
            Problem::new(ProblemKind::NotFound, "H3003", detail).hint(format!("hortator run tasks {run}"))
        );
    };
    let item = selector.item.unwrap_or(0);
    match item < found.items() {
        true => Ok(TaskKey { task, item }),
        false => {
            let detail =
                format!("task {} of run {run} has {} items; {item} was asked for", found.id, found.items());
            Err(Problem::new(ProblemKind::NotFound, "H3004", detail))
        }
    }
}
