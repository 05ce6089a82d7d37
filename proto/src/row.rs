//! Keys and values of the rows in the groups' files.
//! Keys sort as people read: kind, run, task, item, attempt. Must not know who reads them.

use std::collections::BTreeMap;

use hortator_core::event::Event;
use hortator_core::id::{AttemptId, Fence, Incarnation, Name, WorkflowName};
use hortator_core::time::Timestamp;

use crate::frame::WorkerProfile;

/// A definition's text and its checked form are stored in pieces of this size, so that no row is large.
pub const CHUNK_BYTES: usize = 256 << 10;

/// A workflow: which versions there are, and the idempotency keys of its starts.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowRow {
    pub name: WorkflowName,
    pub latest: u32,
    pub created_at: Timestamp,
}

/// One immutable version.
#[derive(Clone, Debug, PartialEq)]
pub struct VersionRow {
    pub version: u32,
    pub hash: String,
    pub tasks: u32,
    pub applied_at: Timestamp,
    pub by: String,
    pub source_chunks: u32,
    pub canonical_chunks: u32,
}

/// One entry of a run's history.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryRow {
    pub at: Timestamp,
    pub events: Vec<Event>,
}

/// A worker, in the membership group.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerRow {
    pub name: Name,
    pub incarnation: Incarnation,
    pub session: u128,
    pub profile: WorkerProfile,
    pub registered_at: Timestamp,
    /// Every incarnation up to this one is lost by commit.
    pub lost_through: Incarnation,
    /// Attempts of lost incarnations that end by their reports all the same.
    pub spooled: Vec<(AttemptId, Fence)>,
    pub cordoned: bool,
}

/// Values of `BTreeMap<String, Value>` as JSON text inside a row.
pub type Values = BTreeMap<String, serde_json::Value>;
