//! Worker groups: their members, and those with room in the order in which they are chosen.
//! Must not know what makes a worker loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::workers::WorkerIndex;
use crate::id::Name;
use crate::reason::LastSeen;
use crate::time::Timestamp;

pub(super) type GroupIndex = u32;

#[derive(Debug)]
pub(super) struct WorkerGroups {
    all: Vec<WorkerGroup>,
    by_name: BTreeMap<Name, GroupIndex>,
    /// Those that the membership rows name, with or without workers.
    declared: BTreeSet<Name>,
}

#[derive(Debug)]
pub(super) struct WorkerGroup {
    pub(super) name: Name,
    /// In, also those that get nothing.
    pub(super) members: BTreeSet<WorkerIndex>,
    by_load: BTreeSet<(LoadKey, WorkerIndex)>,
    by_free: BTreeSet<(u32, WorkerIndex)>,
    pub(super) last_left: Option<LastSeen>,
}

/// The order of choice: least loaded, then longest without a choice, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LoadKey {
    /// Used part of the slots, in 2^-32.
    pub(super) load: u64,
    pub(super) turn: u64,
    pub(super) name: Arc<str>,
}

impl WorkerGroups {
    pub(super) fn new() -> WorkerGroups {
        WorkerGroups { all: Vec::new(), by_name: BTreeMap::new(), declared: BTreeSet::new() }
    }

    pub(super) fn intern(&mut self, name: &Name) -> GroupIndex {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let index = u32::try_from(self.all.len()).expect("fewer than 2^32 groups fit into memory");
        self.by_name.insert(name.clone(), index);
        self.all.push(WorkerGroup {
            name: name.clone(),
            members: BTreeSet::new(),
            by_load: BTreeSet::new(),
            by_free: BTreeSet::new(),
            last_left: None,
        });
        index
    }

    pub(super) fn get(&self, index: GroupIndex) -> &WorkerGroup {
        &self.all[index as usize]
    }

    pub(super) fn get_mut(&mut self, index: GroupIndex) -> &mut WorkerGroup {
        &mut self.all[index as usize]
    }

    pub(super) fn indices(&self) -> impl Iterator<Item = GroupIndex> + use<> {
        0..self.all.len() as GroupIndex
    }

    pub(super) fn join(&mut self, group: GroupIndex, worker: WorkerIndex) {
        self.get_mut(group).members.insert(worker);
    }

    pub(super) fn leave(&mut self, group: GroupIndex, worker: WorkerIndex, name: &Name, now: Timestamp) {
        let group = self.get_mut(group);
        group.members.remove(&worker);
        group.last_left = Some(LastSeen { worker: name.clone(), at: now });
    }

    pub(super) fn declare(&mut self, groups: &[Name]) {
        self.declared = groups.iter().cloned().collect();
    }

    /// Declared ones and those with workers.
    pub(super) fn known(&self) -> BTreeSet<Name> {
        let with_workers = self.all.iter().filter(|group| !group.members.is_empty());
        self.declared.iter().cloned().chain(with_workers.map(|group| group.name.clone())).collect()
    }
}

impl WorkerGroup {
    pub(super) fn list(&mut self, key: LoadKey, free: u32, worker: WorkerIndex) {
        self.by_load.insert((key, worker));
        self.by_free.insert((free, worker));
    }

    pub(super) fn unlist(&mut self, key: LoadKey, free: u32, worker: WorkerIndex) {
        self.by_load.remove(&(key, worker));
        self.by_free.remove(&(free, worker));
    }

    /// Free slots of the worker that has most.
    pub(super) fn most_free(&self) -> Option<u32> {
        self.by_free.last().map(|(free, _)| *free)
    }

    pub(super) fn by_load(&self) -> impl Iterator<Item = WorkerIndex> {
        self.by_load.iter().map(|(_, worker)| *worker)
    }

    /// Those with at least `slots` free.
    pub(super) fn by_free(&self, slots: u32) -> impl Iterator<Item = WorkerIndex> {
        self.by_free.range((slots, 0)..).map(|(_, worker)| *worker)
    }
}
