//! The cluster as clients see it: masters, workers, tokens, settings. Must not know the rows they come from.

use hortator_core::access::Role;
use hortator_core::cluster::JoinedAs;
use hortator_core::id::Name;
use hortator_core::lease::Leases;
use hortator_core::retention::HistoryRule;
use hortator_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::WorkerOrder;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerView {
    pub name: Name,
    pub incarnation: u64,
    pub state: String,
    pub groups: Vec<Name>,
    pub slots: u32,
    pub slots_used: u32,
    pub cpu_percent: f32,
    pub load1: f32,
    pub memory_used: u64,
    pub memory_total: u64,
    pub version: String,
    pub host: String,
    /// When the master that answers last heard it, itself or through another.
    pub seen_at: Option<Timestamp>,
    /// The master that says so from what it heard itself, when none could be asked that hears all workers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seen_by: Option<String>,
    /// Attempts it has now, as its last heartbeat said.
    #[serde(default)]
    pub running: u32,
    /// Who cordoned or drains it, and since when.
    #[serde(default)]
    pub ordered: Option<OrderView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderView {
    pub order: WorkerOrder,
    pub by: String,
    pub since: Timestamp,
}

/// Times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsView {
    /// As people set it.
    pub leases: Leases,
    /// As the number of masters makes of it.
    pub in_force: Leases,
    /// Longer than in force while leases of an earlier setting may still be out there.
    pub nobody_lost_before: Span,
    /// How long finished runs are kept.
    pub history: HistoryRule,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenView {
    pub name: Name,
    pub role: Role,
    /// `valid`, `expired` or `revoked`.
    pub state: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// A master as the cluster keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MasterDetail {
    pub id: u64,
    pub name: Name,
    /// `joining`, `member`, `leaving` or `removed`.
    pub state: String,
    pub peer: String,
    pub worker: String,
    pub api: String,
    pub added_at: Timestamp,
}

/// What a node that was let in must know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    pub node: JoinedAs,
    /// 32 hexadecimal digits.
    pub cluster: String,
    pub generation: u32,
    pub shards: u32,
    pub masters: Vec<MasterDetail>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    pub cluster: String,
    /// `available`, `degraded` or `unavailable`, from quorum and agreement.
    pub verdict: String,
    pub sentence: String,
    pub masters: Vec<MasterView>,
    pub groups: Vec<GroupView>,
    pub workers: Vec<WorkerView>,
    /// Paths that lead over a third since a link is down, as the asked master knows of them.
    #[serde(default)]
    pub relayed: Vec<RelayedView>,
    /// Faults that were injected by hand where the asked master runs, and have not ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
    pub runs_live: u64,
    pub runs_queued: u64,
    pub tasks_active: u64,
}

/// `from` reaches `to` over `via`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayedView {
    pub from: String,
    pub to: String,
    pub via: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MasterView {
    pub id: u64,
    pub name: String,
    pub state: String,
    pub leads: Vec<u32>,
    pub lag: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupView {
    pub group: u32,
    pub term: u64,
    pub leader: Option<u64>,
    pub commit: u64,
    pub applied: u64,
    pub voters: Vec<u64>,
}

/// What the Balancer knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BalanceView {
    pub masters: Vec<MasterLoadView>,
    /// What it would move next.
    pub next: Option<MoveView>,
    /// Why it moves nothing, in a sentence.
    pub why_not: Option<String>,
    /// All moves until it would come to rest, by what was measured last, and at once.
    #[serde(default)]
    pub moves: Vec<MoveView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MasterLoadView {
    pub id: u64,
    /// Whether it reports, is settled and is a member.
    pub fit: bool,
    pub cpu_percent: f32,
    /// Shards that it leads.
    pub leads: Vec<u32>,
    /// Workers that are connected to it.
    #[serde(default)]
    pub workers: u32,
    pub runs: u64,
    pub proposals_per_second: u64,
    /// By how much its clock is ahead of that of the master that says so, in microseconds; what the report was on the
    /// way is in it.
    pub clock_ahead_us: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveView {
    pub shard: u32,
    pub from: u64,
    pub to: u64,
}
