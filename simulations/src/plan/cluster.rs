//! What a world's cluster is made of. Must not know what happens to it.

use hortator_core::dispatch::{Amounts, Resource};
use hortator_core::id::Name;
use serde::{Deserialize, Serialize};

use crate::workload::{LICENCE, Mix};
use crate::world::draw::Draw;
use crate::world::equipment::Equipment;

/// How many seeds have workers with devices and cores, and with licences, in millionths.
const EQUIPPED: u64 = 500_000;
const LICENSED: u64 = 350_000;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    pub masters: u64,
    pub workers: u64,
    pub shards: u32,
    pub slots: u32,
    /// Entries of a group's log that are kept behind what is applied.
    pub log_keep: u64,
    /// Devices of each worker.
    pub gpus: u64,
    /// Cores of each worker; none means that nobody counts them.
    pub cpu: u64,
    /// What each worker declares beside those, by the name that tasks ask for.
    pub licences: u64,
}

impl Cluster {
    pub(crate) fn equipment(&self) -> Equipment {
        let named = Resource::Named(Name::new(LICENCE).expect("letters are a name"));
        let all = [(Resource::Gpu, self.gpus), (Resource::Cpu, self.cpu * 1_000), (named, self.licences)];
        let has = all.into_iter().filter(|(_, amount)| *amount > 0);
        let has = has.fold(Amounts::default(), |has, (resource, amount)| has.with(resource, amount));
        Equipment { has, ..Equipment::default() }
    }

    /// Draws what workers have beside slots, and how many tasks ask for it.
    pub(super) fn equip(&mut self, seed: u64) -> Mix {
        let mut mix = Mix::default();
        // A stream of its own each: seeds tell the same story besides.
        let mut apart = Draw::of(seed, "swarm's resources");
        if apart.chance(EQUIPPED) {
            (self.gpus, self.cpu) = (apart.between([2, 4]), apart.between([2, 8]));
            mix.equipped = apart.between([200_000, 900_000]);
        }
        let mut apart = Draw::of(seed, "swarm's licences");
        if apart.chance(LICENSED) {
            self.licences = apart.between([1, 3]);
            mix.licensed = apart.between([200_000, 900_000]);
        }
        mix
    }

    /// Whether something is missing without which nothing runs.
    pub fn is_empty(&self) -> bool {
        self.masters == 0 || self.workers == 0 || self.shards == 0 || self.slots == 0
    }
}

impl Default for Cluster {
    fn default() -> Cluster {
        Cluster { masters: 3, workers: 3, shards: 2, slots: 4, log_keep: 1_000, gpus: 0, cpu: 0, licences: 0 }
    }
}
