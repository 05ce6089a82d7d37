//! What clients may ask to be changed. Must not know who carries it out.

use std::collections::BTreeMap;

use hortator_core::access::{Role, SecretHash};
use hortator_core::cluster::{JoinRole, Joiner};
use hortator_core::definition::Priority;
use hortator_core::id::{LimitName, Name, RunId, WorkflowName};
use hortator_core::time::Span;
use serde::{Deserialize, Serialize};

use super::{GroupChange, QuotaChange};
use serde_json::Value;

/// Changes something; answered after commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// `canonical` is the checked definition as JSON text; `source` what the person wrote.
    Apply {
        name: WorkflowName,
        source: String,
        canonical: String,
        hash: String,
        if_version: Option<u32>,
        by: String,
    },
    Start {
        workflow: WorkflowName,
        version: Option<u32>,
        inputs: BTreeMap<String, Value>,
        priority: Option<Priority>,
        key: Option<String>,
        by: String,
    },
    Cancel {
        run: RunId,
        reason: Option<String>,
        by: String,
    },
    RetryFailed {
        run: RunId,
        by: String,
    },
    /// A run of the schedule now, beside its times.
    ScheduleTrigger {
        workflow: WorkflowName,
        schedule: Name,
        key: Option<String>,
        by: String,
    },
    ScheduleSwitch {
        workflow: WorkflowName,
        schedule: Name,
        to: ScheduleSwitch,
        by: String,
    },
    /// The secret is drawn and shown at the edge; only its hash comes here. `valid_for`: none means for ever.
    TokenCreate {
        name: Name,
        hash: SecretHash,
        role: Role,
        valid_for: Option<Span>,
    },
    TokenRevoke {
        name: Name,
    },
    /// Whether a worker is to get new work.
    OrderWorker {
        name: Name,
        order: WorkerOrder,
        by: String,
    },
    ChangeSettings {
        change: SettingsChange,
        by: String,
    },
    /// How workers of a group are chosen, from now on.
    SetGroup {
        name: Name,
        change: GroupChange,
        by: String,
    },
    /// The group is as if it had never been: its configuration goes, and the lost workers that were in it do not name it.
    DeleteGroup {
        name: Name,
        by: String,
    },
    /// How much of a limit may be in use. Whoever holds it goes on.
    SetLimit {
        name: LimitName,
        max: u32,
        by: String,
    },
    /// Nothing of it may be taken any more.
    DeleteLimit {
        name: LimitName,
        by: String,
    },
    /// The most that a namespace's attempts may hold.
    SetQuota {
        namespace: Name,
        change: QuotaChange,
        by: String,
    },
    /// Makes a token that lets one node in. The secret is drawn at the edge; only its hash comes here.
    JoinTokenCreate {
        id: String,
        hash: SecretHash,
        role: JoinRole,
        valid_for: Span,
    },
    /// A node shows its join token. `key`: hash of its public key; it may ask again with the same one.
    Redeem {
        token: String,
        hash: SecretHash,
        key: SecretHash,
        joiner: Joiner,
    },
    MasterRemove {
        id: u64,
    },
    /// A master says where it is reached now. Taken from that master itself only.
    MasterMove {
        id: u64,
        peer: String,
        worker: String,
        api: String,
    },
}

/// Settings of the whole cluster; what is not named stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsChange {
    pub worker_lease: Option<Span>,
    pub declare_lost: Option<Span>,
    pub history_keep: Option<Span>,
    pub history_keep_runs: Option<u32>,
}

/// Whether a schedule fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleSwitch {
    On,
    Off,
}

/// What people may order about a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerOrder {
    /// Nothing new; it stays.
    Cordon,
    /// New work again.
    Uncordon,
    /// Nothing new; what it has is to end, and then it is free to leave.
    Drain,
}
