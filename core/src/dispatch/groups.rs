//! Worker groups: their members, those that take work now, and what is configured for each.
//! Must not know what waits for them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::crowd::WorkerIndex;
use super::slab::Slab;
use super::worker::{Metric, Metrics};
use crate::id::Name;
use crate::reason::LastSeen;
use crate::time::{Span, Timestamp};

pub(super) type GroupIndex = u32;

/// How workers of a group are chosen among those that fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The one that is least full after it, slow and young ones counting as fuller.
    #[default]
    LeastLoaded,
    /// Smooth: in turn, as often as weight and free share say; a full one gets nothing.
    WeightedRoundRobin,
    /// The one that was chosen longest ago.
    RoundRobin,
    Random,
    /// The fullest that still fits, so that others stay empty.
    BinPack,
}

impl Policy {
    pub const ALL: [Policy; 5] = [
        Policy::LeastLoaded,
        Policy::WeightedRoundRobin,
        Policy::RoundRobin,
        Policy::Random,
        Policy::BinPack,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Policy::LeastLoaded => "least_loaded",
            Policy::WeightedRoundRobin => "weighted_round_robin",
            Policy::RoundRobin => "round_robin",
            Policy::Random => "random",
            Policy::BinPack => "bin_pack",
        }
    }
}

/// What a group may do differently; changeable at any time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupConfig {
    pub policy: Policy,
    /// A task run that has waited so long counts as one level more important, again and again.
    pub ageing: Option<Span>,
    /// A worker over one of them gets nothing.
    pub thresholds: Metrics,
    /// A young worker's share grows for so long.
    pub slow_start: Span,
}

impl Default for GroupConfig {
    /// Limits that only a host in trouble exceeds: a busy processor is what workers are for.
    fn default() -> GroupConfig {
        let thresholds = Metrics::NO_LIMIT
            .with(Metric::MemoryPercent, 95.0)
            .with(Metric::DiskPercent, 95.0)
            .with(Metric::PressureMemory, 60.0);
        GroupConfig { policy: Policy::default(), ageing: None, thresholds, slow_start: Span::from_secs(60) }
    }
}

#[derive(Debug)]
pub(super) struct Groups {
    all: Slab<Group>,
    by_name: BTreeMap<Name, GroupIndex>,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: Name,
    pub(super) config: GroupConfig,
    /// The membership rows name it, with or without workers.
    pub(super) declared: bool,
    /// In, also those that get nothing.
    pub(super) members: BTreeSet<WorkerIndex>,
    /// Those that take work.
    pub(super) open: Crew,
    /// Those of them with a free slot.
    pub(super) roomy: Crew,
    /// The roomy ones, the least loaded first.
    by_load: BTreeSet<(LoadKey, WorkerIndex)>,
    pub(super) last_left: Option<LastSeen>,
    /// Shapes that name it.
    pub(super) shapes: u32,
}

/// The order of workers by load; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LoadKey {
    pub(super) load: u64,
    pub(super) turn: u64,
}

/// Workers from which any can be drawn at once.
#[derive(Debug, Default)]
pub(super) struct Crew {
    crew: Vec<WorkerIndex>,
    /// By worker: its place in `crew`, or `NOWHERE`.
    places: Vec<u32>,
}

const NOWHERE: u32 = u32::MAX;

impl Crew {
    pub(super) fn as_slice(&self) -> &[WorkerIndex] {
        &self.crew
    }

    pub(super) fn set(&mut self, worker: WorkerIndex, inside: bool) {
        let at = worker as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, NOWHERE);
        }
        match (self.places[at], inside) {
            (NOWHERE, true) => {
                self.places[at] = u32::try_from(self.crew.len()).expect("fewer than 2^32 workers");
                self.crew.push(worker);
            }
            (NOWHERE, false) | (_, true) => {}
            (place, false) => {
                self.places[at] = NOWHERE;
                self.crew.swap_remove(place as usize);
                if let Some(moved) = self.crew.get(place as usize) {
                    self.places[*moved as usize] = place;
                }
            }
        }
    }
}

impl Group {
    /// Moves a worker to another place in the order by load, or into it, or out of it.
    pub(super) fn list(&mut self, worker: WorkerIndex, before: Option<LoadKey>, after: Option<LoadKey>) {
        if let Some(before) = before {
            self.by_load.remove(&(before, worker));
        }
        if let Some(after) = after {
            self.by_load.insert((after, worker));
        }
    }

    /// The roomy ones, the least loaded first.
    pub(super) fn by_load(&self) -> impl DoubleEndedIterator<Item = WorkerIndex> {
        self.by_load.iter().map(|(_, worker)| *worker)
    }
}

impl Groups {
    pub(super) fn new() -> Groups {
        Groups { all: Slab::new(), by_name: BTreeMap::new() }
    }

    pub(super) fn find(&self, name: &Name) -> Option<GroupIndex> {
        self.by_name.get(name).copied()
    }

    pub(super) fn intern(&mut self, name: &Name) -> GroupIndex {
        if let Some(index) = self.find(name) {
            return index;
        }
        let index = self.all.insert(Group {
            name: name.clone(),
            config: GroupConfig::default(),
            declared: false,
            members: BTreeSet::new(),
            open: Crew::default(),
            roomy: Crew::default(),
            by_load: BTreeSet::new(),
            last_left: None,
            shapes: 0,
        });
        self.by_name.insert(name.clone(), index);
        index
    }

    pub(super) fn get(&self, index: GroupIndex) -> &Group {
        &self.all[index]
    }

    pub(super) fn get_mut(&mut self, index: GroupIndex) -> &mut Group {
        &mut self.all[index]
    }

    /// A group goes when nobody names it: no row, no worker, no shape.
    pub(super) fn forget_if_unused(&mut self, index: GroupIndex) {
        let group = &self.all[index];
        if !group.declared && group.members.is_empty() && group.shapes == 0 {
            let group = self.all.remove(index);
            self.by_name.remove(&group.name);
        }
    }

    pub(super) fn leave(&mut self, group: GroupIndex, worker: WorkerIndex, name: &Name, now: Timestamp) {
        let group = self.get_mut(group);
        group.members.remove(&worker);
        group.open.set(worker, false);
        group.roomy.set(worker, false);
        group.last_left = Some(LastSeen { worker: name.clone(), at: now });
    }

    /// Declared ones and those with workers, by name.
    pub(super) fn known(&self) -> Vec<&Group> {
        let all = self.by_name.values().map(|index| &self.all[*index]);
        all.filter(|group| group.declared || !group.members.is_empty()).collect()
    }
}
