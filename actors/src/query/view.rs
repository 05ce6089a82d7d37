//! How rows become what people see. One place, so that every answer says the same words.

use std::collections::BTreeMap;

use hortator_core::definition::Definition;
use hortator_core::event::{ResultCounts, TaskOutcome};
use hortator_core::id::{Position, TaskKey};
use hortator_core::reason::Reason;
use hortator_core::run::{RunHeader, RunPhase, Started};
use hortator_core::task_run::{Exit, Fate, LastAttempt, TaskPhase, TaskState};
use hortator_core::time::Timestamp;
use hortator_proto::api::{AttemptView, RunView, TaskRunView};

/// A run by its header; the counts of a live one are its actor's to add.
pub fn run(header: &RunHeader, definition: &Definition) -> RunView {
    let reason = quarantined(header).map(|reason| format!("{} [{}]", reason.text(), reason.code()));
    let (started_at, finished_at, counts, first_failed) = match &header.phase {
        RunPhase::Queued => (None, None, ResultCounts::default(), None),
        RunPhase::Running { started_at } => (Some(*started_at), None, ResultCounts::default(), None),
        RunPhase::Stopping { started_at, first_failed } => {
            (Some(*started_at), None, ResultCounts::default(), Some(*first_failed))
        }
        RunPhase::Cancelling { started, .. } => (when(*started), None, ResultCounts::default(), None),
        RunPhase::Quarantined { started, .. } => (when(*started), None, ResultCounts::default(), None),
        RunPhase::Finished { started, finished_at, counts, first_failed, .. } => {
            (when(*started), Some(*finished_at), *counts, *first_failed)
        }
    };
    RunView {
        id: header.id,
        namespace: header.workflow.namespace.clone(),
        workflow: header.workflow.name.clone(),
        version: header.version,
        state: header.word().to_string(),
        priority: header.priority,
        by: header.by.clone(),
        inputs: header.inputs.clone(),
        created_at: header.created_at,
        started_at,
        finished_at,
        counts: words(&counts),
        first_failed: first_failed.map(|key| label(definition, key)),
        eta: None,
        reason,
        position: Position { group: 0, index: 0 },
    }
}

/// Why a quarantined run does nothing.
pub fn quarantined(header: &RunHeader) -> Option<Reason> {
    let RunPhase::Quarantined { quarantine, .. } = &header.phase else { return None };
    let (code, cause) = (quarantine.code.clone(), quarantine.reason.clone());
    Some(Reason::Quarantined { code, cause, since: quarantine.at })
}

/// Counts by state word, without the zeros.
pub fn words(counts: &ResultCounts) -> BTreeMap<String, u32> {
    [
        ("succeeded", counts.succeeded),
        ("failed", counts.failed),
        ("skipped", counts.skipped),
        ("cancelled", counts.cancelled),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(word, count)| (word.to_string(), count))
    .collect()
}

/// `task` or `task[item]`.
pub fn label(definition: &Definition, key: TaskKey) -> String {
    let task = &definition.tasks[key.task as usize];
    match task.foreach {
        Some(_) if key.item != hortator_core::run::WHOLE_TASK => format!("{}[{}]", task.id, key.item),
        Some(_) | None => task.id.to_string(),
    }
}

fn when(started: Started) -> Option<Timestamp> {
    match started {
        Started::At(at) => Some(at),
        Started::Never => None,
    }
}

/// A task run without a row.
pub fn without_row(definition: &Definition, key: TaskKey, state: &str) -> TaskRunView {
    let task = &definition.tasks[key.task as usize];
    TaskRunView {
        id: task.id.clone(),
        item: task.foreach.as_ref().map(|_| key.item),
        state: state.to_string(),
        attempt: 0,
        worker: None,
        exit_code: None,
        signal: None,
        error: None,
        ready_at: None,
        started_at: None,
        finished_at: None,
        outputs: BTreeMap::new(),
        reason: None,
    }
}

/// A task run by its row.
pub fn task_run(definition: &Definition, state: &TaskState, word: &str) -> TaskRunView {
    let mut view = without_row(definition, state.key, word);
    view.attempt = state.attempts;
    view.ready_at = state.ready_at();
    if let Some(attempt) = state.attempt() {
        view.worker = Some(attempt.worker.name.clone());
        view.ready_at = Some(attempt.ready_at);
        return view;
    }
    if let Some(last) = &state.last {
        let attempt = attempt_ended(last);
        view.worker = Some(attempt.worker);
        view.exit_code = attempt.exit_code;
        view.signal = attempt.signal;
        view.error = attempt.error;
        view.started_at = attempt.started_at;
        view.finished_at = attempt.finished_at;
        view.ready_at = view.ready_at.or(Some(last.ready_at));
    }
    if let TaskPhase::Ended { outcome, .. } = &state.phase {
        match outcome {
            TaskOutcome::Succeeded { outputs } => view.outputs = outputs.clone(),
            TaskOutcome::Failed { error } => view.error = Some(error.clone()),
            TaskOutcome::Skipped { cause } => view.error = Some(skipped(definition, cause)),
            TaskOutcome::Cancelled => {}
        }
    }
    view
}

fn skipped(definition: &Definition, cause: &hortator_core::event::SkipCause) -> String {
    use hortator_core::event::SkipCause;
    match cause {
        SkipCause::RunIf { rule, because, .. } => {
            let rule = serde_json::to_value(rule).ok().and_then(|word| word.as_str().map(str::to_owned));
            let parents: Vec<String> = because
                .iter()
                .map(|parent| {
                    format!("{} {}", definition.tasks[parent.task as usize].id, parent.result.word())
                })
                .collect();
            format!("skipped: run_if {} is not met ({})", rule.unwrap_or_default(), parents.join(", "))
        }
        SkipCause::Condition { expression, values } => {
            let values: Vec<String> =
                values.iter().map(|(name, value)| format!("{name} = {value}")).collect();
            format!("skipped: when {expression:?} is false ({})", values.join(", "))
        }
        SkipCause::RunStopped => "skipped: the run stopped before its turn".to_string(),
    }
}

/// An attempt that has ended.
pub fn attempt_ended(last: &LastAttempt) -> AttemptView {
    let mut view = AttemptView {
        attempt: last.number,
        state: "failed".to_string(),
        worker: last.worker.name.clone(),
        exit_code: None,
        signal: None,
        error: None,
        started_at: None,
        finished_at: None,
    };
    match &last.fate {
        Fate::Lost { at } | Fate::LostAfterTimeout { at } => {
            view.state = "lost".to_string();
            view.finished_at = Some(*at);
            view.error = Some(last.fate.to_string());
        }
        Fate::Reported { started_at, finished_at, exit } => {
            view.started_at = Some(*started_at);
            view.finished_at = Some(*finished_at);
            match exit {
                Exit::Succeeded => {
                    view.state = "succeeded".to_string();
                    view.exit_code = Some(0);
                }
                Exit::Exited { code } => view.exit_code = Some(*code),
                Exit::Signalled { signal } => view.signal = Some(*signal),
                Exit::OutputsInvalid { .. } => view.exit_code = Some(0),
                Exit::Cancelled => view.state = "cancelled".to_string(),
                Exit::NotStarted { .. } | Exit::TimedOut => {}
            }
            if !matches!(exit, Exit::Succeeded) {
                view.error = Some(exit.to_string());
            }
        }
    }
    view
}
