//! What the Dispatcher is told of a worker: its row in the membership group, and what its heartbeats measured.
//! Must not know leases or how a loss is decided.

use crate::id::{Name, WorkerRef};
use crate::placement::KindTag;
use crate::time::Timestamp;

/// A worker as the membership rows have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerFacts {
    pub worker: WorkerRef,
    pub groups: Vec<Name>,
    pub slots: u32,
    pub kinds: Vec<KindTag>,
    pub version: String,
    pub state: WorkerState,
}

/// Whether people let it have new work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerState {
    Up,
    /// Finishes what it has and will leave.
    Draining {
        by: String,
        since: Timestamp,
    },
    /// Stays, but gets nothing new.
    Cordoned {
        by: String,
        since: Timestamp,
    },
}

/// What a heartbeat measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Slots that running attempts hold, by the worker's own count.
    pub running_slots: u32,
}
