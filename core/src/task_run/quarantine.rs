//! A task run of a quarantined run: its attempt is asked to end and ends by its worker's word, and nothing follows. These
//! decisions do not rest on those that may have failed. Must not know what has failed.

use crate::event::{AttemptEnd, AttemptResult, Event, StopCause, TaskOutcome};
use crate::id::Fence;

use super::{Attempt, FenceAt, Rejection, TaskCommand, TaskPhase, TaskState};

/// Decides one command, whatever it is: towards the end. A success that is reported stays one.
pub(super) fn decide(state: &TaskState, command: &TaskCommand) -> Result<Vec<Event>, Rejection> {
    let key = state.key;
    let ended = |outcome| Event::TaskEnded { key, outcome };
    let attempt = match &state.phase {
        TaskPhase::Ended { .. } => return Err(Rejection::AlreadyEnded),
        TaskPhase::Ready { .. } | TaskPhase::Backoff { .. } => {
            return Ok(vec![ended(TaskOutcome::Cancelled)]);
        }
        TaskPhase::Dispatched(attempt) | TaskPhase::Stopping { attempt, .. } => attempt,
    };
    let (number, worker) = (attempt.number, attempt.worker.clone());
    match command {
        TaskCommand::Report { attempt: named, fence, end } => {
            is_of(attempt, *named, *fence)?;
            let outcome = outcome(end);
            Ok(vec![Event::AttemptEnded { key, attempt: number, end: end.clone(), worker }, ended(outcome)])
        }
        TaskCommand::Refused { attempt: named, fence, why } => {
            is_of(attempt, *named, *fence)?;
            let refused = Event::AttemptRefused { key, attempt: number, worker, why: why.clone() };
            Ok(vec![refused, ended(TaskOutcome::Cancelled)])
        }
        TaskCommand::WorkerLost { name, through } => {
            if worker.name != *name || worker.incarnation > *through {
                return Err(Rejection::OtherWorker);
            }
            Ok(vec![Event::AttemptLost { key, attempt: number, worker }, ended(TaskOutcome::Cancelled)])
        }
        TaskCommand::Grant { .. }
        | TaskCommand::TimeoutElapsed { .. }
        | TaskCommand::BackoffElapsed
        | TaskCommand::Cancel
        | TaskCommand::Stop => match (&state.phase, attempt.fence) {
            (TaskPhase::Stopping { cause: StopCause::Cancelled, .. }, _) => Err(Rejection::AlreadyStopping),
            (_, FenceAt::ThisRow) => Err(Rejection::FencePending),
            (_, FenceAt::Known(_)) => {
                Ok(vec![Event::AttemptStopping { key, attempt: number, cause: StopCause::Cancelled }])
            }
        },
    }
}

fn is_of(attempt: &Attempt, number: u16, fence: Fence) -> Result<(), Rejection> {
    match attempt.fence {
        FenceAt::Known(known) if (attempt.number, known) == (number, fence) => Ok(()),
        FenceAt::ThisRow if attempt.number == number => Err(Rejection::FencePending),
        FenceAt::Known(_) | FenceAt::ThisRow => Err(Rejection::OtherAttempt),
    }
}

fn outcome(end: &AttemptEnd) -> TaskOutcome {
    match &end.result {
        AttemptResult::Succeeded { outputs } => TaskOutcome::Succeeded { outputs: outputs.clone() },
        _ => TaskOutcome::Cancelled,
    }
}
