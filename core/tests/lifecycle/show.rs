//! Events and answers as the short lines that stories are written in.

use hortator_core::definition::Definition;
use hortator_core::event::{AttemptResult, Event, SkipCause, TaskOutcome};
use hortator_core::id::TaskKey;
use hortator_core::run::WHOLE_TASK;
use hortator_core::time::Timestamp;

/// `a`, `a[2]` or `a[*]` for all of a `foreach`.
pub(crate) fn key(definition: &Definition, key: TaskKey) -> String {
    let task = &definition.tasks[key.task as usize];
    match (&task.foreach, key.item) {
        (None, _) => task.id.to_string(),
        (Some(_), WHOLE_TASK) => format!("{}[*]", task.id),
        (Some(_), item) => format!("{}[{item}]", task.id),
    }
}

pub(crate) fn event(event: &Event, key: &dyn Fn(TaskKey) -> String) -> String {
    match event {
        Event::RunCreated { .. } => "created".into(),
        Event::RunStarted => "started".into(),
        Event::RunCancelRequested { by, .. } => format!("cancel by {by}"),
        Event::RunStopping { first_failed } => format!("stopping for {}", key(*first_failed)),
        Event::RunQuarantined { code, .. } => format!("quarantined {code}"),
        Event::RunFinished { outcome } => format!("run {}", outcome.word()),
        Event::RunRetried { tasks, .. } => {
            let tasks: Vec<_> =
                tasks.iter().map(|task| key(TaskKey { task: *task, item: WHOLE_TASK })).collect();
            format!("retried {}", tasks.join(" "))
        }
        Event::AttemptDispatched { attempt, worker, ready_at, .. } => {
            format!("#{attempt} to {}.{} ready {}", worker.name, worker.incarnation, seconds(*ready_at))
        }
        Event::AttemptStopping { attempt, cause, .. } => format!("#{attempt} stopping {cause:?}"),
        Event::AttemptRefused { attempt, why, .. } => format!("#{attempt} refused: {why}"),
        Event::AttemptEnded { attempt, end, .. } => format!("#{attempt} {}", result(&end.result)),
        Event::AttemptLost { attempt, worker, .. } => {
            format!("#{attempt} lost with {}.{}", worker.name, worker.incarnation)
        }
        Event::TaskBackoff { until, .. } => format!("backoff to {}", seconds(*until)),
        Event::TaskEnded { key: ended, outcome } => format!("{}{}", key(*ended), self::outcome(outcome)),
    }
}

pub(crate) fn seconds(time: Timestamp) -> String {
    format!("{}s", time.0 / 1_000_000)
}

fn result(result: &AttemptResult) -> String {
    match result {
        AttemptResult::Succeeded { .. } => "ok".into(),
        AttemptResult::Exited { code } => format!("exit {code}"),
        AttemptResult::Signalled { signal } => format!("signal {signal}"),
        AttemptResult::NotStarted { error } => format!("not started: {error}"),
        AttemptResult::OutputsInvalid { error } => format!("bad outputs: {error}"),
        AttemptResult::TimedOut => "timed out".into(),
        AttemptResult::Cancelled => "cancelled".into(),
    }
}

fn outcome(outcome: &TaskOutcome) -> String {
    match outcome {
        TaskOutcome::Succeeded { .. } => " succeeded".into(),
        TaskOutcome::Failed { error } => format!(" failed ({error})"),
        TaskOutcome::Skipped { cause: SkipCause::RunIf { rule, .. } } => format!(" skipped ({rule:?})"),
        TaskOutcome::Skipped { cause: SkipCause::Condition { expression, .. } } => {
            format!(" skipped ({expression})")
        }
        TaskOutcome::Skipped { cause: SkipCause::RunStopped } => " skipped (run stopped)".into(),
        TaskOutcome::Cancelled => " cancelled".into(),
    }
}
