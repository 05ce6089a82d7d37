//! How long a workflow's tasks take, as clients see it. Must not know how it is learned.

use hortator_core::dispatch::Amounts;
use hortator_core::id::Name;
use hortator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Of all tasks that have succeeded, in whichever version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DurationsView {
    pub namespace: Name,
    pub workflow: Name,
    /// Those that any of the tasks ran on.
    pub classes: Vec<WorkerClassView>,
    pub tasks: Vec<DurationView>,
}

/// Workers that declare the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerClassView {
    /// Four hexadecimal digits; `0000` are workers that were forgotten before their task ended.
    pub class: String,
    /// That there are now.
    pub workers: u32,
    /// What each of them declares; nothing of a class without workers.
    pub has: Amounts,
}

/// One task on one class of workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DurationView {
    pub task: Name,
    pub class: String,
    /// Successes that count: the last ones, newer ones more.
    pub samples: u32,
    /// In seconds.
    pub p50_s: f64,
    pub p95_s: f64,
    /// When it last succeeded there.
    pub last_seen: Timestamp,
}
