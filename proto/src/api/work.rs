//! Workflows, runs and task runs as clients see them. Must not know the rows they come from.

use std::collections::BTreeMap;

use hortator_core::definition::Priority;
use hortator_core::event::Event;
use hortator_core::id::{Name, Position, RunId, TaskKey};
use hortator_core::reason::Reason;
use hortator_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkflowView {
    pub namespace: Name,
    pub name: Name,
    pub version: u32,
    pub tasks: u32,
    pub applied_at: Timestamp,
    pub by: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkflowDetail {
    #[serde(flatten)]
    pub view: WorkflowView,
    pub latest: u32,
    pub hash: String,
    pub source: String,
    /// Live runs, oldest first, at most 100.
    pub live: Vec<RunId>,
}

/// A run, with task counts by state word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    pub id: RunId,
    pub namespace: Name,
    pub workflow: Name,
    pub version: u32,
    pub state: String,
    pub priority: Priority,
    pub by: String,
    pub inputs: BTreeMap<String, Value>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub counts: BTreeMap<String, u32>,
    pub first_failed: Option<String>,
    /// When a running one ends at the earliest, by learned durations; none before any task has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<Timestamp>,
    /// The reason of a queued run, in one sentence.
    pub reason: Option<String>,
    pub position: Position,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRunView {
    pub id: Name,
    pub item: Option<u32>,
    pub state: String,
    /// 0 when none was dispatched.
    pub attempt: u16,
    pub worker: Option<Name>,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub error: Option<String>,
    pub ready_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub outputs: BTreeMap<String, Value>,
    /// The top reason of one that waits, as a sentence with its code.
    pub reason: Option<String>,
}

/// A task run, where it is kept, and its attempts, oldest first: what finding a log needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRunDetail {
    #[serde(flatten)]
    pub view: TaskRunView,
    pub key: TaskKey,
    pub namespace: Name,
    pub workflow: Name,
    /// Whether the task run is over for good.
    pub last: bool,
    pub attempts: Vec<AttemptView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptView {
    pub attempt: u16,
    pub state: String,
    pub worker: Name,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub error: Option<String>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventEntry {
    pub position: Position,
    pub at: Timestamp,
    pub events: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainView {
    pub run: RunId,
    pub run_state: String,
    /// Reasons of the run itself, when it waits.
    pub run_reasons: Vec<Reason>,
    /// Waiting task runs with their reasons, at most 100, best first.
    pub tasks: Vec<TaskExplain>,
    pub more: u32,
    /// When the run ends with workers enough, by learned durations; none without any, and of one that is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta: Option<Timestamp>,
    pub position: Position,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskExplain {
    pub id: Name,
    pub item: Option<u32>,
    pub state: String,
    pub since: Option<Timestamp>,
    pub reasons: Vec<Reason>,
}
