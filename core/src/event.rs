//! What can happen to a run and its task runs: the facts that history keeps and that states are folded from.
//! Must not know who decides them or how they are stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::definition::{Priority, RunIf};
use crate::id::{TaskIndex, TaskKey, WorkerRef, WorkflowName};
use crate::schedule::Fire;
use crate::time::Timestamp;

/// What one log entry says about one run: a line of its history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// The shard's stamp; never falls from entry to entry.
    pub at: Timestamp,
    pub events: Vec<Event>,
}

/// What an attempt gets of its worker beyond a place there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The place of the request that was met among its task's alternatives.
    #[serde(default, skip_serializing_if = "is_first")]
    pub request: u8,
    /// Devices that are its own while it runs, by the names that processes know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
}

impl Share {
    /// The first request, without devices: what most tasks ask for.
    pub fn is_plain(&self) -> bool {
        *self == Share::default()
    }
}

fn is_first(request: &u8) -> bool {
    *request == 0
}

/// A fact about a run. In a history the first is `RunCreated`, and nothing follows `RunFinished` but `RunRetried`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run exists, queued.
    RunCreated {
        workflow: WorkflowName,
        version: u32,
        /// Complete: defaults filled in.
        inputs: BTreeMap<String, Value>,
        priority: Priority,
        /// Who asked for it: a user, a schedule.
        by: String,
        /// The idempotency key of the start.
        key: Option<String>,
        #[serde(default, skip_serializing_if = "Origin::is_asked")]
        origin: Origin,
    },
    RunStarted,
    RunCancelRequested {
        by: String,
        reason: Option<String>,
    },
    /// `on_failure: stop` took effect: running attempts finish, nothing new starts.
    RunStopping {
        first_failed: TaskKey,
    },
    /// One of its deciders has failed; `code` and `reason` say how. It starts nothing, its attempts are ended, and only a
    /// cancel goes on from here.
    RunQuarantined {
        code: String,
        reason: String,
    },
    /// Task runs that have not ended by now never will: they count as cancelled in a cancelled run, else as skipped.
    RunFinished {
        outcome: RunOutcome,
    },
    /// The finished run is queued once more; everything of these tasks that has not succeeded starts afresh.
    RunRetried {
        by: String,
        tasks: Vec<TaskIndex>,
    },
    AttemptDispatched {
        key: TaskKey,
        attempt: u16,
        worker: WorkerRef,
        /// Since when it could have been dispatched.
        ready_at: Timestamp,
        #[serde(default, skip_serializing_if = "Share::is_plain")]
        share: Share,
    },
    /// The attempt's worker is asked to end it; said again only when a cancel overtakes a timeout.
    AttemptStopping {
        key: TaskKey,
        attempt: u16,
        cause: StopCause,
    },
    /// The worker never started it. The task run is ready again and its next attempt has the same number.
    AttemptRefused {
        key: TaskKey,
        attempt: u16,
        worker: WorkerRef,
        why: String,
    },
    /// Its worker's word.
    AttemptEnded {
        key: TaskKey,
        attempt: u16,
        end: AttemptEnd,
        worker: WorkerRef,
    },
    /// The loss of its worker's incarnation is committed; what became of the attempt is unknown.
    AttemptLost {
        key: TaskKey,
        attempt: u16,
        worker: WorkerRef,
    },
    /// It may be dispatched again from `until` on.
    TaskBackoff {
        key: TaskKey,
        until: Timestamp,
    },
    TaskEnded {
        key: TaskKey,
        outcome: TaskOutcome,
    },
}

/// What made a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Somebody started it.
    #[default]
    Asked,
    Schedule(Fire),
}

impl Origin {
    pub fn is_asked(&self) -> bool {
        *self == Origin::Asked
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    Succeeded,
    Failed,
    Cancelled,
}

/// Why an attempt is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopCause {
    Timeout,
    Cancelled,
}

/// How an attempt ended, by its worker's word and its worker's clock.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptEnd {
    /// Equals `finished_at` when nothing was started.
    pub started_at: Timestamp,
    pub finished_at: Timestamp,
    pub result: AttemptResult,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum AttemptResult {
    Succeeded {
        outputs: BTreeMap<String, Value>,
    },
    /// The process ended with another code than 0.
    Exited {
        code: i32,
    },
    /// A signal ended the process.
    Signalled {
        signal: i32,
    },
    /// The worker tried and could not start it.
    NotStarted {
        error: String,
    },
    /// The process ended with code 0, but what it wrote is not what the task declares.
    OutputsInvalid {
        error: String,
    },
    /// The worker ended it for its timeout.
    TimedOut,
    /// The worker ended it for a cancel.
    Cancelled,
}

/// How a task run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum TaskOutcome {
    Succeeded { outputs: BTreeMap<String, Value> },
    Failed { error: String },
    Skipped { cause: SkipCause },
    Cancelled,
}

/// A task run's outcome without its data: what `run_if` looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskResult {
    Succeeded,
    Failed,
    Skipped,
    Cancelled,
}

/// Why a task run was never attempted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum SkipCause {
    /// Its parents' results do not fit its rule.
    RunIf {
        rule: RunIf,
        parents: ResultCounts,
        /// The first parents that speak against it, at most [`PARENTS_NAMED_MAX`].
        because: Vec<ParentResult>,
    },
    /// Its `when` is false.
    Condition { expression: String, values: BTreeMap<String, Value> },
    /// The run stopped or finished before its turn came.
    RunStopped,
}

/// Enough to understand a skip; a task may have 100,000 parents.
pub const PARENTS_NAMED_MAX: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentResult {
    pub task: TaskIndex,
    pub result: TaskResult,
}

/// How many ended which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultCounts {
    pub succeeded: u32,
    pub failed: u32,
    pub skipped: u32,
    pub cancelled: u32,
}

impl ResultCounts {
    pub fn add(&mut self, result: TaskResult, count: u32) {
        match result {
            TaskResult::Succeeded => self.succeeded += count,
            TaskResult::Failed => self.failed += count,
            TaskResult::Skipped => self.skipped += count,
            TaskResult::Cancelled => self.cancelled += count,
        }
    }

    pub fn total(&self) -> u32 {
        self.succeeded + self.failed + self.skipped + self.cancelled
    }
}

impl TaskOutcome {
    pub fn result(&self) -> TaskResult {
        match self {
            TaskOutcome::Succeeded { .. } => TaskResult::Succeeded,
            TaskOutcome::Failed { .. } => TaskResult::Failed,
            TaskOutcome::Skipped { .. } => TaskResult::Skipped,
            TaskOutcome::Cancelled => TaskResult::Cancelled,
        }
    }
}

impl TaskResult {
    /// The state word that people see.
    pub fn word(self) -> &'static str {
        match self {
            TaskResult::Succeeded => "succeeded",
            TaskResult::Failed => "failed",
            TaskResult::Skipped => "skipped",
            TaskResult::Cancelled => "cancelled",
        }
    }
}

impl RunOutcome {
    /// The state word that people see.
    pub fn word(self) -> &'static str {
        match self {
            RunOutcome::Succeeded => "succeeded",
            RunOutcome::Failed => "failed",
            RunOutcome::Cancelled => "cancelled",
        }
    }
}

impl Event {
    /// The task run it is about; none for what is about the run itself.
    pub fn task_key(&self) -> Option<TaskKey> {
        match self {
            Event::AttemptDispatched { key, .. }
            | Event::AttemptStopping { key, .. }
            | Event::AttemptRefused { key, .. }
            | Event::AttemptEnded { key, .. }
            | Event::AttemptLost { key, .. }
            | Event::TaskBackoff { key, .. }
            | Event::TaskEnded { key, .. } => Some(*key),
            Event::RunCreated { .. }
            | Event::RunStarted
            | Event::RunCancelRequested { .. }
            | Event::RunStopping { .. }
            | Event::RunQuarantined { .. }
            | Event::RunFinished { .. }
            | Event::RunRetried { .. } => None,
        }
    }
}
