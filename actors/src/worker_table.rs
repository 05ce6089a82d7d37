//! The workers as the membership group's rows on this master have them. Others compare with this table whenever they
//! decide; a notice only says that it is time to look.

use std::collections::BTreeMap;
use std::sync::Arc;

use hortator_core::dispatch::{GroupConfig, Quota};
use hortator_core::id::{AttemptId, Fence, Incarnation, Name, WorkerRef};
use hortator_proto::row::{Admission, WorkerRow};

/// One state of the membership rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WorkerTable {
    /// The membership log's index that this state belongs to.
    pub index: u64,
    pub workers: BTreeMap<Name, Arc<WorkerRow>>,
    /// Worker groups with a configuration of their own.
    pub groups: BTreeMap<Name, GroupConfig>,
    /// By namespace.
    pub quotas: BTreeMap<Name, Quota>,
}

impl WorkerTable {
    /// Whether both say the same, whatever their index.
    pub fn is_like(&self, other: &WorkerTable) -> bool {
        self.workers == other.workers && self.groups == other.groups && self.quotas == other.quotas
    }

    /// The worker groups that any worker's row names, the lost ones' too: a group does not vanish with its workers. And
    /// those that people have configured.
    pub(crate) fn group_configs(&self) -> BTreeMap<Name, GroupConfig> {
        let named = self.workers.values().flat_map(|row| &row.profile.groups);
        let usual = named.map(|name| (name.clone(), GroupConfig::default()));
        usual.chain(self.groups.clone()).collect()
    }

    pub fn get(&self, name: &Name) -> Option<&WorkerRow> {
        self.workers.get(name).map(Arc::as_ref)
    }

    /// Whether more lives are lost than in that earlier state.
    pub(crate) fn has_losses_after(&self, earlier: &WorkerTable) -> bool {
        let lost_through = |table: &WorkerTable, name| table.get(name).map_or(0, |row| row.lost_through);
        self.workers.keys().any(|name| lost_through(self, name) > lost_through(earlier, name))
    }

    /// Whether that life is the worker's present one and not lost.
    pub fn is_alive(&self, name: &Name, incarnation: Incarnation) -> bool {
        self.get(name).is_some_and(|row| row.incarnation == incarnation && row.lost_through < incarnation)
    }

    /// Whether that life may have new attempts. The rows have the last word; a Dispatcher only hints.
    pub(crate) fn takes(&self, worker: &WorkerRef) -> bool {
        self.is_alive(&worker.name, worker.incarnation)
            && self.get(&worker.name).is_some_and(|row| row.admission == Admission::Open)
    }

    /// Whether the loss of that life is committed and the attempt's end does not lie in the worker's spool.
    pub fn is_lost(&self, name: &Name, incarnation: Incarnation, attempt: AttemptId, fence: Fence) -> bool {
        self.get(name)
            .is_some_and(|row| incarnation <= row.lost_through && !row.spooled.contains(&(attempt, fence)))
    }
}
