//! How attempts and task runs end.
//! Must not know what follows from it.

use hortator_core::event::{AttemptEnd, AttemptResult, ParentResult, ResultCounts, SkipCause, TaskOutcome};
use hortator_core::time::Timestamp;

use super::enumerations::Choice;
use super::{id, later, need, since, unknown_kind};
use crate::error::Unreadable;
use crate::generated::event as wire;
use crate::generated::id::Nothing;

/// `base`: what the start counts from.
pub(crate) fn end_message(end: &AttemptEnd, base: Timestamp) -> wire::AttemptEnd {
    use wire::attempt_end::Result as Kind;
    wire::AttemptEnd {
        started_at: since(base, end.started_at),
        finished_at: since(end.started_at, end.finished_at),
        result: Some(match &end.result {
            AttemptResult::Succeeded { outputs } => Kind::Succeeded(outputs_message(outputs)),
            AttemptResult::Exited { code } => Kind::Exited(*code),
            AttemptResult::Signalled { signal } => Kind::Signalled(*signal),
            AttemptResult::NotStarted { error } => Kind::NotStarted(error.clone()),
            AttemptResult::OutputsInvalid { error } => Kind::OutputsInvalid(error.clone()),
            AttemptResult::TimedOut => Kind::TimedOut(Nothing::default()),
            AttemptResult::Cancelled => Kind::Cancelled(Nothing::default()),
        }),
        ..Default::default()
    }
}

pub(crate) fn end(message: wire::AttemptEnd, base: Timestamp) -> Result<AttemptEnd, Unreadable> {
    use wire::attempt_end::Result as Kind;
    let started_at = later(base, message.started_at);
    let finished_at = later(started_at, message.finished_at);
    let result = match message.result {
        Some(Kind::Succeeded(outputs)) => AttemptResult::Succeeded { outputs: id::values(outputs.values)? },
        Some(Kind::Exited(code)) => AttemptResult::Exited { code },
        Some(Kind::Signalled(signal)) => AttemptResult::Signalled { signal },
        Some(Kind::NotStarted(error)) => AttemptResult::NotStarted { error },
        Some(Kind::OutputsInvalid(error)) => AttemptResult::OutputsInvalid { error },
        Some(Kind::TimedOut(_)) => AttemptResult::TimedOut,
        Some(Kind::Cancelled(_)) => AttemptResult::Cancelled,
        None => return Err(unknown_kind("result of an attempt", &message.special_fields)),
    };
    Ok(AttemptEnd { started_at, finished_at, result })
}

fn outputs_message(outputs: &std::collections::BTreeMap<String, serde_json::Value>) -> wire::Outputs {
    wire::Outputs { values: id::values_message(outputs), ..Default::default() }
}

pub(crate) fn outcome_message(outcome: &TaskOutcome) -> wire::TaskOutcome {
    use wire::task_outcome::Outcome as Kind;
    let kind = match outcome {
        TaskOutcome::Succeeded { outputs } => Kind::Succeeded(outputs_message(outputs)),
        TaskOutcome::Failed { error } => Kind::Failed(error.clone()),
        TaskOutcome::Skipped { cause } => Kind::Skipped(cause_message(cause)),
        TaskOutcome::Cancelled => Kind::Cancelled(Nothing::default()),
    };
    wire::TaskOutcome { outcome: Some(kind), ..Default::default() }
}

pub(crate) fn outcome(message: wire::TaskOutcome) -> Result<TaskOutcome, Unreadable> {
    use wire::task_outcome::Outcome as Kind;
    Ok(match message.outcome {
        Some(Kind::Succeeded(outputs)) => TaskOutcome::Succeeded { outputs: id::values(outputs.values)? },
        Some(Kind::Failed(error)) => TaskOutcome::Failed { error },
        Some(Kind::Skipped(message)) => TaskOutcome::Skipped { cause: cause(message)? },
        Some(Kind::Cancelled(_)) => TaskOutcome::Cancelled,
        None => return Err(unknown_kind("outcome of a task run", &message.special_fields)),
    })
}

fn cause_message(cause: &SkipCause) -> wire::SkipCause {
    use wire::skip_cause::Cause as Kind;
    let kind = match cause {
        SkipCause::RunIf { rule, parents, because } => Kind::RunIf(wire::SkippedByRule {
            rule: rule.wire(),
            parents: Some(counts_message(*parents)).into(),
            because: because
                .iter()
                .map(|parent| wire::ParentResult {
                    task: parent.task,
                    result: parent.result.wire(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }),
        SkipCause::Condition { expression, values } => Kind::Condition(wire::SkippedByCondition {
            expression: expression.clone(),
            values: id::values_message(values),
            ..Default::default()
        }),
        SkipCause::RunStopped => Kind::RunStopped(Nothing::default()),
    };
    wire::SkipCause { cause: Some(kind), ..Default::default() }
}

fn cause(message: wire::SkipCause) -> Result<SkipCause, Unreadable> {
    use wire::skip_cause::Cause as Kind;
    Ok(match message.cause {
        Some(Kind::RunIf(rule)) => SkipCause::RunIf {
            rule: Choice::read(rule.rule)?,
            parents: counts(&need(rule.parents, "results of the parents")?),
            because: rule
                .because
                .iter()
                .map(|parent| Ok(ParentResult { task: parent.task, result: Choice::read(parent.result)? }))
                .collect::<Result<_, Unreadable>>()?,
        },
        Some(Kind::Condition(condition)) => {
            SkipCause::Condition { expression: condition.expression, values: id::values(condition.values)? }
        }
        Some(Kind::RunStopped(_)) => SkipCause::RunStopped,
        None => return Err(unknown_kind("cause of a skip", &message.special_fields)),
    })
}

pub(crate) fn counts_message(counts: ResultCounts) -> wire::ResultCounts {
    let ResultCounts { succeeded, failed, skipped, cancelled } = counts;
    wire::ResultCounts { succeeded, failed, skipped, cancelled, ..Default::default() }
}

pub(crate) fn counts(message: &wire::ResultCounts) -> ResultCounts {
    let wire::ResultCounts { succeeded, failed, skipped, cancelled, .. } = *message;
    ResultCounts { succeeded, failed, skipped, cancelled }
}
