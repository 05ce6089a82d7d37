//! Who leads each group, as this master's replicas last saw it. A hint for routing: whoever acts as leader knows it
//! from its own epoch.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The group that keeps masters, workers and tokens, and whose leader dispatches. Shards are numbered from 1.
pub const MEMBERSHIP: u32 = 0;

/// Shared by the threads of one master.
#[derive(Debug, Default)]
pub struct Leaders {
    seen: Mutex<BTreeMap<u32, Leadership>>,
}

/// What a replica knows of its group's leader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    pub term: u64,
    pub leader: Option<u64>,
}

impl Leaders {
    pub fn set(&self, group: u32, leadership: Leadership) {
        self.lock().insert(group, leadership);
    }

    pub fn of(&self, group: u32) -> Leadership {
        self.lock().get(&group).copied().unwrap_or_default()
    }

    pub fn all(&self) -> BTreeMap<u32, Leadership> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, Leadership>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
