//! How long task runs waited before their first attempt, by worker group: for what they need, then for a worker.
//! Must not know why.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use hortator_core::id::Name;

use crate::histogram::Histogram;
use crate::metrics::head;

/// Of one node. Shards keep what they were given, so that a task run costs no lock here.
#[derive(Debug, Default)]
pub struct Waits {
    groups: Mutex<BTreeMap<Name, Arc<GroupWaits>>>,
}

/// Of task runs of one worker group.
#[derive(Debug)]
pub struct GroupWaits {
    /// From the run's creation until it could run: its run's turn, and what it needs.
    pub dependency: Histogram,
    /// From then until a worker was chosen.
    pub capacity: Histogram,
}

impl Default for GroupWaits {
    fn default() -> GroupWaits {
        GroupWaits { dependency: Histogram::long(), capacity: Histogram::long() }
    }
}

impl Waits {
    pub fn of(&self, group: &Name) -> Arc<GroupWaits> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.entry(group.clone()).or_default().clone()
    }

    pub(crate) fn write(&self, text: &mut String) {
        let name = "task_wait_seconds";
        head(text, name, "How long task runs waited before their first attempt", "histogram");
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (group, waits) in groups {
            for (phase, histogram) in [("dependency", &waits.dependency), ("capacity", &waits.capacity)] {
                histogram.write(text, name, &format!("group=\"{group}\",phase=\"{phase}\","));
            }
        }
    }
}
