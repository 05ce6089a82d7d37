//! What is written down of a schedule: its row, and a line for each decision about its times. Must not know how either
//! is stored.

use serde::{Deserialize, Serialize};

use super::state::{Policy, ScheduleEvent, ScheduleState};
use super::times::Timing;
use crate::id::{Name, RunId, WorkflowName};
use crate::time::Timestamp;

/// A schedule as its shard keeps it: what fires next is read from here alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRecord {
    pub workflow: WorkflowName,
    pub schedule: Name,
    pub timing: Timing,
    pub policy: Policy,
    /// What the definition says; a person's switch counts until that changes.
    pub enabled: bool,
    pub state: ScheduleState,
    /// No time before this one is a time of the present generation.
    pub since: Timestamp,
    /// How many decisions were written down.
    pub lines: u64,
    /// None before the first run.
    pub last: Option<LastFire>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastFire {
    pub nominal: Timestamp,
    pub at: Timestamp,
    pub run: RunId,
}

/// One decision about a schedule. Nothing that it was to do vanishes: it fired, or a line says why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleLine {
    /// The stamp of the entry.
    pub at: Timestamp,
    pub generation: u32,
    pub event: ScheduleEvent,
    /// Of what made one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}

impl ScheduleLine {
    /// Where it belongs in time: at the nominal time, the last of several, or when it was said.
    pub fn time(&self) -> Timestamp {
        match &self.event {
            ScheduleEvent::Fired { nominal, .. } => *nominal,
            ScheduleEvent::PassedOver { last, .. } => *last,
            ScheduleEvent::Triggered { at, .. } | ScheduleEvent::Disabled { at, .. } => *at,
            ScheduleEvent::Enabled { .. } | ScheduleEvent::Retimed { .. } => self.at,
        }
    }
}
