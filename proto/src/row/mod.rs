//! Keys and values of the rows in the groups' files. A value begins with one byte, the row format.
//! Must not know who reads them. What core defines is encoded by functions, what is only stored by methods.

mod access;
mod form;
pub mod key;
mod limit;
mod placement;

use std::collections::BTreeMap;

use bytes::Bytes;
use hortator_core::access::{Role, SecretHash};
use hortator_core::cluster::{JoinRole, JoinedAs, MasterState};
use hortator_core::dispatch::{GroupConfig, Quota};
use hortator_core::id::{AttemptId, Fence, Incarnation, Name, WorkflowName};
use hortator_core::lease::LeaseRule;
use hortator_core::limit::{HoldRecord, LimitRecord, WantRecord};
use hortator_core::retention::HistoryRule;
use hortator_core::run::RunHeader;
use hortator_core::schedule::{ScheduleLine, ScheduleRecord};
use hortator_core::task_run::{LastAttempt, TaskState};
use hortator_core::time::Timestamp;
use hortator_core::workflow::Started;

pub use hortator_core::event::HistoryEntry as HistoryRow;

use crate::codec::Format;
use crate::error::DecodeError;
use crate::frame::{LifeId, WorkerProfile};

/// A definition's text and its checked form are stored in pieces of this size, so that no row is large.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Longest value that is read. The store refuses longer ones than 1 MiB; this leaves room for it to grow.
pub const ROW_BYTES_MAX: usize = 4 << 20;

const FORMAT: Format = Format { version: 1, bytes_max: ROW_BYTES_MAX };

/// A workflow: which versions there are.
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

/// A worker, in the membership group.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerRow {
    pub name: Name,
    pub incarnation: Incarnation,
    /// The same life, from its agent's side.
    pub life: LifeId,
    pub profile: WorkerProfile,
    pub registered_at: Timestamp,
    /// Every incarnation up to this one is lost by commit.
    pub lost_through: Incarnation,
    /// Attempts of lost incarnations that end by their reports all the same.
    pub spooled: Vec<(AttemptId, Fence)>,
    pub admission: Admission,
}

/// Whether a worker gets new work, as people ordered it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    #[default]
    Open,
    /// Stays, but gets nothing new.
    Cordoned(Ordered),
    /// Finishes what it has and will leave.
    Draining(Ordered),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    pub by: String,
    pub since: Timestamp,
}

/// What operators set for the whole cluster, in the membership group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettingsRow {
    pub leases: LeaseRule,
    pub history: HistoryRule,
}

/// How workers of a group are chosen, in the membership group.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerGroupRow {
    pub name: Name,
    pub config: GroupConfig,
}

/// The most that a namespace's attempts may hold, in the membership group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaRow {
    pub namespace: Name,
    pub most: Quota,
}

/// A token of a person or program, in the membership group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    pub name: Name,
    pub hash: SecretHash,
    pub role: Role,
    pub created_at: Timestamp,
    pub expires: Expiry,
    pub state: TokenState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    Never,
    At(Timestamp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenState {
    Valid,
    Revoked { at: Timestamp },
}

/// What was fixed when the cluster was made, in the membership group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterRow {
    pub id: [u8; 16],
    pub shards: u32,
    /// Raised when the cluster is restored from a backup.
    pub generation: u32,
    /// What every member can read: newer kinds are written from their level on.
    pub feature_level: u32,
    /// The id that the next master gets; ids are never used again.
    pub next_master: u64,
}

/// A master, in the membership group. It stays when the master is gone, so that its id never comes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterRow {
    pub id: u64,
    pub name: Name,
    /// Addresses (`HOST:PORT`) at which others reach it: masters, workers, clients. Empty where nodes find each other
    /// without.
    pub peer: String,
    pub worker: String,
    pub api: String,
    pub state: MasterState,
    pub added_at: Timestamp,
}

/// What lets one node into the cluster, once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinTokenRow {
    pub id: String,
    pub hash: SecretHash,
    pub role: JoinRole,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub state: JoinTokenState,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JoinTokenState {
    Open,
    /// `key`: hash of the node's public key, so that a node that missed the answer may ask again.
    Used {
        by: JoinedAs,
        at: Timestamp,
        key: SecretHash,
    },
}

/// The cluster's own authority for certificates, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct CaRow {
    pub certificate: String,
    pub key: String,
}

/// Without the key.
impl std::fmt::Debug for CaRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaRow").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Values of `BTreeMap<String, Value>` as JSON text inside a row.
pub type Values = BTreeMap<String, serde_json::Value>;

macro_rules! stored {
    ($($row:ident),+) => {$(
        impl $row {
            pub fn encode(&self) -> Bytes {
                FORMAT.encode(self)
            }

            pub fn decode(bytes: &[u8]) -> Result<$row, DecodeError> {
                FORMAT.decode(bytes)
            }
        }
    )+};
}

stored!(
    WorkflowRow,
    VersionRow,
    WorkerRow,
    ClusterRow,
    TokenRow,
    SettingsRow,
    MasterRow,
    JoinTokenRow,
    CaRow,
    WorkerGroupRow,
    QuotaRow
);

pub fn encode_run(header: &RunHeader) -> Bytes {
    FORMAT.encode(header)
}

pub fn decode_run(bytes: &[u8]) -> Result<RunHeader, DecodeError> {
    FORMAT.decode(bytes)
}

/// The current row of a task run, with its newest ended attempt inside.
pub fn encode_task(state: &TaskState) -> Bytes {
    FORMAT.encode(state)
}

pub fn decode_task(bytes: &[u8]) -> Result<TaskState, DecodeError> {
    FORMAT.decode(bytes)
}

/// The row of an earlier attempt.
pub fn encode_attempt(attempt: &LastAttempt) -> Bytes {
    FORMAT.encode(attempt)
}

pub fn decode_attempt(bytes: &[u8]) -> Result<LastAttempt, DecodeError> {
    FORMAT.decode(bytes)
}

/// One entry's events about one run, in order.
pub fn encode_history(row: &HistoryRow) -> Bytes {
    FORMAT.encode(row)
}

pub fn decode_history(bytes: &[u8]) -> Result<HistoryRow, DecodeError> {
    FORMAT.decode(bytes)
}

pub fn encode_schedule(record: &ScheduleRecord) -> Bytes {
    FORMAT.encode(record)
}

pub fn decode_schedule(bytes: &[u8]) -> Result<ScheduleRecord, DecodeError> {
    FORMAT.decode(bytes)
}

/// A decision about a schedule.
pub fn encode_schedule_line(line: &ScheduleLine) -> Bytes {
    FORMAT.encode(line)
}

pub fn decode_schedule_line(bytes: &[u8]) -> Result<ScheduleLine, DecodeError> {
    FORMAT.decode(bytes)
}

pub fn encode_limit(limit: &LimitRecord) -> Bytes {
    FORMAT.encode(limit)
}

pub fn decode_limit(bytes: &[u8]) -> Result<LimitRecord, DecodeError> {
    FORMAT.decode(bytes)
}

pub fn encode_want(want: &WantRecord) -> Bytes {
    FORMAT.encode(want)
}

pub fn decode_want(bytes: &[u8]) -> Result<WantRecord, DecodeError> {
    FORMAT.decode(bytes)
}

pub fn encode_hold(hold: &HoldRecord) -> Bytes {
    FORMAT.encode(hold)
}

pub fn decode_hold(bytes: &[u8]) -> Result<HoldRecord, DecodeError> {
    FORMAT.decode(bytes)
}

/// What a start's idempotency key has made.
pub fn encode_start_key(started: &Started) -> Bytes {
    FORMAT.encode(started)
}

pub fn decode_start_key(bytes: &[u8]) -> Result<Started, DecodeError> {
    FORMAT.decode(bytes)
}
