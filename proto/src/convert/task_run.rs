//! A task run's current row, and the rows of its earlier attempts. Times count from an earlier one of the same row.
//! Must not know what a phase means.

use hortator_core::id::{Name, TaskKey, WorkerRef};
use hortator_core::task_run::{Attempt, Exit, Fate, FenceAt, LastAttempt, TaskPhase, TaskState};
use hortator_core::time::Timestamp;

use super::enumerations::Choice;
use super::{EPOCH, id, later, narrow, need, outcome, since, unknown_kind};
use crate::codec::Form;
use crate::error::Unreadable;
use crate::generated::id::Nothing;
use crate::generated::row as wire;

impl Form for TaskState {
    type Message = wire::TaskState;
    const WHAT: &'static str = "task run's row";

    fn to_message(&self) -> wire::TaskState {
        use wire::task_state::Phase;
        let base = base(self.last.as_ref());
        let phase = match &self.phase {
            TaskPhase::Ready { since: ready } => Phase::Ready(since(base, *ready)),
            TaskPhase::Dispatched(attempt) => Phase::Dispatched(attempt_message(attempt, base)),
            TaskPhase::Stopping { attempt, cause, since: asked } => Phase::Stopping(wire::Stopping {
                attempt: Some(attempt_message(attempt, base)).into(),
                cause: cause.wire(),
                since: since(attempt.dispatched_at, *asked),
                ..Default::default()
            }),
            TaskPhase::Backoff { until } => Phase::Backoff(since(base, *until)),
            TaskPhase::Ended { outcome, at } => Phase::Ended(wire::Ended {
                at: since(base, *at),
                outcome: Some(outcome::outcome_message(outcome)).into(),
                ..Default::default()
            }),
        };
        wire::TaskState {
            task: self.key.task,
            item: self.key.item,
            round: self.round,
            attempts: u32::from(self.attempts),
            tries: self.tries,
            losses: self.losses,
            last: self.last.as_ref().map(Form::to_message).into(),
            phase: Some(phase),
            ..Default::default()
        }
    }

    fn from_message(message: wire::TaskState) -> Result<TaskState, Unreadable> {
        use wire::task_state::Phase;
        let last = message.last.into_option().map(LastAttempt::from_message).transpose()?;
        let base = base(last.as_ref());
        let phase = match message.phase {
            Some(Phase::Ready(ready)) => TaskPhase::Ready { since: later(base, ready) },
            Some(Phase::Dispatched(message)) => TaskPhase::Dispatched(attempt(message, base)?),
            Some(Phase::Stopping(stopping)) => {
                let attempt = attempt(need(stopping.attempt, "attempt")?, base)?;
                let since = later(attempt.dispatched_at, stopping.since);
                TaskPhase::Stopping { attempt, cause: Choice::read(stopping.cause)?, since }
            }
            Some(Phase::Backoff(until)) => TaskPhase::Backoff { until: later(base, until) },
            Some(Phase::Ended(ended)) => TaskPhase::Ended {
                outcome: outcome::outcome(need(ended.outcome, "outcome of the task run")?)?,
                at: later(base, ended.at),
            },
            None => return Err(unknown_kind("phase of a task run", &message.special_fields)),
        };
        Ok(TaskState {
            key: TaskKey { task: message.task, item: message.item },
            round: message.round,
            attempts: narrow(message.attempts, "number of attempts")?,
            tries: message.tries,
            losses: message.losses,
            last,
            phase,
        })
    }
}

/// What the times of a row count from.
fn base(last: Option<&LastAttempt>) -> Timestamp {
    last.map_or(EPOCH, |last| last.ready_at)
}

fn attempt_message(attempt: &Attempt, base: Timestamp) -> wire::Attempt {
    wire::Attempt {
        number: u32::from(attempt.number),
        worker: attempt.worker.name.to_string(),
        incarnation: attempt.worker.incarnation,
        ready_at: since(base, attempt.ready_at),
        dispatched_at: since(attempt.ready_at, attempt.dispatched_at),
        fence: match attempt.fence {
            FenceAt::ThisRow => None.into(),
            FenceAt::Known(fence) => Some(id::fence_message(fence)).into(),
        },
        request: u32::from(attempt.share.request),
        devices: attempt.share.devices.clone(),
        ..Default::default()
    }
}

fn attempt(message: wire::Attempt, base: Timestamp) -> Result<Attempt, Unreadable> {
    let ready_at = later(base, message.ready_at);
    Ok(Attempt {
        number: narrow(message.number, "attempt number")?,
        worker: worker(message.worker, message.incarnation)?,
        ready_at,
        dispatched_at: later(ready_at, message.dispatched_at),
        fence: message.fence.as_ref().map_or(FenceAt::ThisRow, |fence| FenceAt::Known(id::fence(fence))),
        share: super::event::share(message.request, message.devices)?,
    })
}

fn worker(name: String, incarnation: u64) -> Result<WorkerRef, Unreadable> {
    Ok(WorkerRef { name: Name::try_from(name)?, incarnation })
}

impl Form for LastAttempt {
    type Message = wire::LastAttempt;
    const WHAT: &'static str = "row of an earlier attempt";

    fn to_message(&self) -> wire::LastAttempt {
        use wire::last_attempt::Fate as Kind;
        let fate = match &self.fate {
            Fate::Reported { started_at, finished_at, exit } => Kind::Reported(wire::Reported {
                started_at: since(self.dispatched_at, *started_at),
                finished_at: since(*started_at, *finished_at),
                exit: Some(exit_kind(exit)),
                ..Default::default()
            }),
            Fate::Lost { at } => Kind::Lost(since(self.dispatched_at, *at)),
            Fate::LostAfterTimeout { at } => Kind::LostAfterTimeout(since(self.dispatched_at, *at)),
        };
        wire::LastAttempt {
            number: u32::from(self.number),
            worker: self.worker.name.to_string(),
            incarnation: self.worker.incarnation,
            ready_at: self.ready_at.0,
            dispatched_at: since(self.ready_at, self.dispatched_at),
            fate: Some(fate),
            ..Default::default()
        }
    }

    fn from_message(message: wire::LastAttempt) -> Result<LastAttempt, Unreadable> {
        use wire::last_attempt::Fate as Kind;
        let ready_at = Timestamp(message.ready_at);
        let dispatched_at = later(ready_at, message.dispatched_at);
        let fate = match message.fate {
            Some(Kind::Reported(reported)) => {
                let started_at = later(dispatched_at, reported.started_at);
                Fate::Reported {
                    started_at,
                    finished_at: later(started_at, reported.finished_at),
                    exit: exit(reported)?,
                }
            }
            Some(Kind::Lost(at)) => Fate::Lost { at: later(dispatched_at, at) },
            Some(Kind::LostAfterTimeout(at)) => Fate::LostAfterTimeout { at: later(dispatched_at, at) },
            None => return Err(unknown_kind("fate of an attempt", &message.special_fields)),
        };
        Ok(LastAttempt {
            number: narrow(message.number, "attempt number")?,
            worker: worker(message.worker, message.incarnation)?,
            ready_at,
            dispatched_at,
            fate,
        })
    }
}

fn exit_kind(exit: &Exit) -> wire::reported::Exit {
    use wire::reported::Exit as Kind;
    match exit {
        Exit::Succeeded => Kind::Succeeded(Nothing::default()),
        Exit::Exited { code } => Kind::Exited(*code),
        Exit::Signalled { signal } => Kind::Signalled(*signal),
        Exit::NotStarted { error } => Kind::NotStarted(error.clone()),
        Exit::OutputsInvalid { error } => Kind::OutputsInvalid(error.clone()),
        Exit::TimedOut => Kind::TimedOut(Nothing::default()),
        Exit::Cancelled => Kind::Cancelled(Nothing::default()),
    }
}

fn exit(message: wire::Reported) -> Result<Exit, Unreadable> {
    use wire::reported::Exit as Kind;
    Ok(match message.exit {
        Some(Kind::Succeeded(_)) => Exit::Succeeded,
        Some(Kind::Exited(code)) => Exit::Exited { code },
        Some(Kind::Signalled(signal)) => Exit::Signalled { signal },
        Some(Kind::NotStarted(error)) => Exit::NotStarted { error },
        Some(Kind::OutputsInvalid(error)) => Exit::OutputsInvalid { error },
        Some(Kind::TimedOut(_)) => Exit::TimedOut,
        Some(Kind::Cancelled(_)) => Exit::Cancelled,
        None => return Err(unknown_kind("exit of an attempt", &message.special_fields)),
    })
}
