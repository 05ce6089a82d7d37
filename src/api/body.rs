//! Request and answer bodies that exist only over HTTP; everything else is a type of `hortator_proto::api` as it is.
//! The command line reads the same types, so the two cannot drift apart.

use std::collections::BTreeMap;

use hortator_core::access::Role;
use hortator_core::definition::Priority;
use hortator_core::dispatch::Metric;
use hortator_core::id::{Name, Position, RunId};
use hortator_proto::api::EventEntry;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where workflows live whose file names no namespace.
pub const NAMESPACE_DEFAULT: &str = "default";

/// `POST /api/v1/runs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartBody {
    pub workflow: Name,
    #[serde(default = "namespace_default")]
    pub namespace: Name,
    #[serde(default)]
    pub inputs: BTreeMap<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// `POST /api/v1/runs/{id}/cancel`; an empty body is allowed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CancelBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `POST /api/v1/limits/{namespace}/{name}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitBody {
    pub max: u32,
}

/// The answer to an apply.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppliedBody {
    pub namespace: Name,
    pub name: Name,
    pub version: u32,
    /// False when the text was already the latest version.
    pub changed: bool,
    /// Diagnostics that did not stop it.
    pub warnings: Vec<Value>,
    /// Tasks that no worker would get as things are now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<TaskWaits>,
    pub position: Position,
}

/// A task that would wait however long, unless somebody does something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskWaits {
    pub task: Name,
    pub code: String,
    pub reason: String,
    pub help: String,
}

/// The answer to a start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartedBody {
    pub run: RunId,
    /// The idempotency key was known: this is the run of the first request.
    pub existing: bool,
    pub position: Position,
}

/// The answer to a cancel or a retry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AcceptedBody {
    pub run: RunId,
    pub state: String,
    pub position: Position,
}

/// The answer to a command about the cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangedBody {
    pub name: String,
    /// False when it was so already.
    pub changed: bool,
}

/// `GET /api/v1/whoami`: the token that was shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhoBody {
    pub name: String,
    pub role: Role,
}

/// `GET /api/v1/cluster/rows/{group}`: what reading every row of a replica has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditBody {
    pub group: u32,
    /// The last entry whose rows were read.
    pub index: u64,
    pub rows: u64,
    pub bytes: u64,
    /// Rows whose own checksum does not match.
    pub broken: u64,
    /// As it was kept while rows were written.
    pub kept: u64,
    /// Of what there is.
    pub counted: u64,
}

/// `POST /api/v1/settings`; spans as text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_lease: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declare_lost: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_keep: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_keep_runs: Option<u32>,
}

/// `POST /api/v1/groups/NAME`; spans as text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ageing: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slow_start: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub thresholds: BTreeMap<Metric, f64>,
}

/// One page of a list. `next` goes into `?cursor=` for the page after it; none means this is the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Of what was found when at most `limit` were asked for. A full page says where the next one begins, although none may
    /// follow.
    pub fn of(items: Vec<T>, limit: u32, cursor: impl FnOnce(&T) -> String) -> Page<T> {
        let full = items.len() as u32 >= limit;
        let next = items.last().filter(|_| full).map(cursor);
        Page { items, next }
    }
}

/// One page of a run's history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventsPage {
    pub entries: Vec<EventEntry>,
    /// The run is final and this is the end of its history.
    pub last: bool,
    /// Goes into `?after=` for the page after it.
    pub next: Position,
}

/// The data of the `end` event that closes a stream of events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndBody {
    pub run: RunId,
    pub state: String,
}

pub fn namespace_default() -> Name {
    Name::new(NAMESPACE_DEFAULT).expect("a constant that fits the grammar")
}
