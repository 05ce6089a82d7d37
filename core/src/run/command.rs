//! What may be asked of a run, and the answers that are no events.
//! Must not know how a run decides.

use crate::event::TaskOutcome;
use crate::id::TaskKey;

#[derive(Clone, Debug, PartialEq)]
pub enum RunCommand {
    /// Its workflow gives the queued run its turn.
    Start,
    /// A task run's own actor has decided its end, and `TaskEnded` is in the log with that decision. Checks it and
    /// decides what it means for the run: fold the task run's event first of all, then the events that come back.
    TaskEnded {
        key: TaskKey,
        outcome: TaskOutcome,
    },
    /// Writes down what `RunState::judge` found not to run, at most `limit` task runs, and the run's end when
    /// nothing is left. To be repeated until no event comes.
    Advance {
        limit: usize,
    },
    Cancel {
        by: String,
        reason: Option<String>,
    },
    /// Queues the finished run once more: all that has not succeeded starts afresh. Needs a state restored from rows.
    Retry {
        by: String,
    },
}

/// Why a command makes nothing happen. None of these is a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunRejection {
    #[error("the run has started already")]
    AlreadyStarted,
    #[error("the run has finished")]
    AlreadyFinished,
    #[error("the run is quarantined: it can only be cancelled")]
    Quarantined,
    #[error("the run is being cancelled already")]
    AlreadyCancelling,
    #[error("the run has not finished yet")]
    NotFinished,
    #[error("every task run of it succeeded: there is nothing to retry")]
    NothingToRetry,
    #[error("the run has no such task run")]
    NoSuchTaskRun,
    #[error("the task run has ended already")]
    TaskAlreadyEnded,
}
