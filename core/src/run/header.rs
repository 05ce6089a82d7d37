//! What a run's row stores: who started what with which inputs, and how far it is.
//! Must not know single tasks.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::definition::Priority;
use crate::event::{Event, Origin, ResultCounts, RunOutcome, TaskOutcome, TaskResult};
use crate::id::{RunId, TaskKey, WorkflowName};
use crate::task_run::{Stance, TaskPhase, TaskState};
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq)]
pub struct RunHeader {
    pub id: RunId,
    pub workflow: WorkflowName,
    pub version: u32,
    pub inputs: BTreeMap<String, Value>,
    pub priority: Priority,
    /// The idempotency key of the start.
    pub key: Option<String>,
    /// Who asked for it.
    pub by: String,
    pub origin: Origin,
    pub created_at: Timestamp,
    /// 0, then one more with each retry. Task rows of an earlier round count only when they say `succeeded`.
    pub round: u32,
    pub phase: RunPhase,
}

#[derive(Clone, Debug, PartialEq)]
pub enum RunPhase {
    /// Waits for its turn among its workflow's runs; nothing of it is active.
    Queued,
    Running {
        started_at: Timestamp,
    },
    /// `on_failure: stop` took effect: running attempts finish, nothing new starts.
    Stopping {
        started_at: Timestamp,
        first_failed: TaskKey,
    },
    /// Every attempt was asked to end; nothing new starts.
    Cancelling {
        started: Started,
        request: CancelRequest,
    },
    /// A decider has failed: nothing starts, attempts are ended, and a person has to look.
    Quarantined {
        started: Started,
        quarantine: Quarantine,
    },
    Finished {
        outcome: RunOutcome,
        started: Started,
        finished_at: Timestamp,
        /// Of all task runs; those that were never reached are in it as cancelled or skipped.
        counts: ResultCounts,
        /// Of this round's failed task runs the earliest, whatever the outcome.
        first_failed: Option<TaskKey>,
        /// The cancel, when one was asked for, whatever the outcome.
        cancel: Option<CancelRequest>,
    },
}

/// Whether and when a run's present round left the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    Never,
    At(Timestamp),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CancelRequest {
    pub by: String,
    pub reason: Option<String>,
    pub at: Timestamp,
}

/// Why a run is in quarantine, and whether it was asked to end since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    pub code: String,
    pub reason: String,
    pub at: Timestamp,
    /// It finishes with its last attempt.
    pub cancel: Option<CancelRequest>,
}

impl RunHeader {
    /// The header of the run that the event creates; none for any other event.
    pub fn created(id: RunId, event: &Event, at: Timestamp) -> Option<RunHeader> {
        let Event::RunCreated { workflow, version, inputs, priority, by, key, origin } = event else {
            return None;
        };
        Some(RunHeader {
            id,
            workflow: workflow.clone(),
            version: *version,
            inputs: inputs.clone(),
            priority: *priority,
            key: key.clone(),
            by: by.clone(),
            origin: origin.clone(),
            created_at: at,
            round: 0,
            phase: RunPhase::Queued,
        })
    }

    /// Whether it still takes part in anything: a finished run's rows are read by people only.
    pub fn is_live(&self) -> bool {
        !matches!(self.phase, RunPhase::Finished { .. })
    }

    /// What the run wants of its task runs.
    pub fn stance(&self) -> Stance {
        match self.phase {
            RunPhase::Queued | RunPhase::Running { .. } => Stance::Going,
            RunPhase::Stopping { .. } => Stance::Stopping,
            RunPhase::Cancelling { .. } | RunPhase::Finished { .. } => Stance::Cancelling,
            RunPhase::Quarantined { .. } => Stance::Quarantined,
        }
    }

    /// The state word that people see. A cancel under way reads `running`, or `queued` before the start.
    pub fn word(&self) -> &'static str {
        match &self.phase {
            RunPhase::Queued | RunPhase::Cancelling { started: Started::Never, .. } => "queued",
            RunPhase::Running { .. } | RunPhase::Stopping { .. } | RunPhase::Cancelling { .. } => "running",
            RunPhase::Quarantined { .. } => "quarantined",
            RunPhase::Finished { outcome, .. } => outcome.word(),
        }
    }

    /// Whether a task run's row speaks of the present round; else the task run counts as not begun.
    pub fn counts(&self, row: &TaskState) -> bool {
        let succeeded = matches!(&row.phase, TaskPhase::Ended { outcome: TaskOutcome::Succeeded { .. }, .. });
        row.round == self.round || succeeded
    }

    /// The state word of a task run by its row, where it has one. Without one that counts it is `waiting` in a live
    /// run (whether it is ready only `RunState` knows), and was never reached in a finished one.
    pub fn task_word(&self, row: Option<&TaskState>, now: Timestamp) -> &'static str {
        match (row.filter(|row| self.counts(row)), &self.phase) {
            (Some(row), _) => row.phase.word(now),
            (None, RunPhase::Finished { outcome, .. }) => unreached(*outcome).word(),
            (None, _) => "waiting",
        }
    }
}

/// What task runs count as that a finished run never ended.
pub(super) fn unreached(outcome: RunOutcome) -> TaskResult {
    match outcome {
        RunOutcome::Cancelled => TaskResult::Cancelled,
        RunOutcome::Succeeded | RunOutcome::Failed => TaskResult::Skipped,
    }
}
