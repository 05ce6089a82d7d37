//! A run whose decider has failed: it starts nothing, its attempts are ended, and a cancel ends it. These decisions are
//! so plain that they do not rest on what has failed. Must not know what that was.

use crate::event::{Event, RunOutcome};
use crate::time::Timestamp;

use super::header::{Quarantine, RunHeader, RunPhase};
use super::{RunCommand, RunRejection};

/// The event that puts a live run into quarantine; none when it is there already or over.
pub fn quarantine(header: &RunHeader, code: &str, reason: &str) -> Option<Event> {
    match &header.phase {
        RunPhase::Quarantined { .. } | RunPhase::Finished { .. } => None,
        RunPhase::Queued
        | RunPhase::Running { .. }
        | RunPhase::Stopping { .. }
        | RunPhase::Cancelling { .. } => {
            Some(Event::RunQuarantined { code: code.to_string(), reason: reason.to_string() })
        }
    }
}

/// Decides for a quarantined run. `active`: its task runs that have an actor; they end by their workers' words.
pub(super) fn decide(
    quarantine: &Quarantine,
    active: u32,
    command: &RunCommand,
) -> Result<Vec<Event>, RunRejection> {
    let finished = || (active == 0).then_some(Event::RunFinished { outcome: RunOutcome::Cancelled });
    match (command, &quarantine.cancel) {
        (RunCommand::Start | RunCommand::Retry { .. }, _) => Err(RunRejection::Quarantined),
        (RunCommand::TaskEnded { .. }, _) | (RunCommand::Advance { .. }, None) => Ok(Vec::new()),
        (RunCommand::Advance { .. }, Some(_)) => Ok(finished().into_iter().collect()),
        (RunCommand::Cancel { .. }, Some(_)) => Err(RunRejection::AlreadyCancelling),
        (RunCommand::Cancel { by, reason }, None) => {
            let requested = Event::RunCancelRequested { by: by.clone(), reason: reason.clone() };
            Ok([requested].into_iter().chain(finished()).collect())
        }
    }
}

impl Quarantine {
    pub(super) fn new(code: &str, reason: &str, at: Timestamp) -> Quarantine {
        Quarantine { code: code.to_string(), reason: reason.to_string(), at, cancel: None }
    }
}
