//! Worker groups, quotas and choices as clients see them. Must not know the rows they come from.

use std::collections::BTreeMap;

use hortator_core::dispatch::{Amounts, Metric, Policy, Verdict};
use hortator_core::id::{Name, RunId, TaskKey};
use hortator_core::reason::Reason;
use hortator_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};

/// How a group's workers are chosen; what is not named stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupChange {
    #[serde(default)]
    pub policy: Option<Policy>,
    /// 0 means none.
    #[serde(default)]
    pub ageing: Option<Span>,
    #[serde(default)]
    pub slow_start: Option<Span>,
    /// In per cent; 0 means no limit.
    #[serde(default)]
    pub thresholds: BTreeMap<Metric, f64>,
}

/// The most that a namespace may hold, by resource: none takes a limit away.
pub type QuotaChange = BTreeMap<String, Option<u64>>;

/// A worker group: how its workers are chosen, and what waits for them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerGroupView {
    pub name: Name,
    pub policy: Policy,
    pub ageing: Option<Span>,
    pub slow_start: Span,
    pub thresholds: BTreeMap<Metric, f64>,
    /// Those that are not lost.
    pub workers: u32,
    pub slots: u64,
    pub slots_used: u64,
    /// Task runs that are ready.
    pub waiting: u64,
    /// Since when the oldest is ready.
    pub oldest: Option<Timestamp>,
    /// What would begin all of them within a minute, by learned durations, and what is in use.
    pub wanted: Amounts,
    /// The same in workers as large as the present ones; none without any.
    pub wanted_workers: Option<u64>,
    /// The resource that asks for so many workers.
    pub wanted_by: Option<String>,
    /// How many of those that are shown have each reason.
    pub blocked: Vec<BlockedView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockedView {
    /// Of the reason.
    pub code: String,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaView {
    pub namespace: Name,
    pub most: BTreeMap<String, u64>,
    pub used: Amounts,
}

/// What would become of a task run that waits if something were different.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum WhatIfView {
    Starts {
        worker: Name,
    },
    /// There would be room, but others come first.
    Follows {
        behind: Reason,
    },
    Waits {
        reasons: Vec<Reason>,
    },
    /// The worker that was named is in other groups than the one that it asks for.
    Elsewhere {
        worker: Name,
        group: Name,
        groups: Vec<Name>,
    },
    /// The Dispatcher does not see it wait: it runs, waits for something else first, or its shard shows others first.
    NotShown,
}

/// Why a worker gets what it gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerWhyView {
    pub name: Name,
    pub total: Amounts,
    pub reserved: Amounts,
    /// By reservations and measurements.
    pub free: Amounts,
    pub attempts: u32,
    pub grants: u32,
    /// How many times as long as usual attempts take there.
    pub slowness: f64,
    /// Its last choices for and against, oldest first.
    pub choices: Vec<ChoiceView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChoiceView {
    pub at: Timestamp,
    pub run: RunId,
    pub task: TaskKey,
    pub verdict: Verdict,
}
