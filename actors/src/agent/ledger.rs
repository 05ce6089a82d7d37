//! What one life of the agent has decided: which attempts run, which fences are settled for good. Pure.
//! Must not know masters, frames or processes: `machine` asks here before it starts or refuses anything.

use std::collections::{BTreeMap, BTreeSet};

use hortator_core::dispatch::{Amounts, Resource, Shortfall};
use hortator_core::id::{AttemptId, Fence, Incarnation, RunId, TaskKey, TaskRunId};
use hortator_raft::always;

/// Settled attempts remembered per shard, about 25 MB. Above it the older half is forgotten and the floor raised, so
/// that one long attempt, which holds the shard's watermark back, cannot fill the memory. An attempt below the floor
/// that was never seen is refused, which is always safe.
pub(crate) const SETTLED_MAX: usize = 262_144;

/// An attempt and the entry that dispatched it.
pub(crate) type Key = (Fence, AttemptId);

/// One life's decisions. A fence is decided once: running, refused, done; the word goes into the reports.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) incarnation: Incarnation,
    total: Amounts,
    taken: Amounts,
    /// Devices in use.
    devices: BTreeSet<String>,
    /// By attempt first, so that those of a run are neighbours.
    running: BTreeMap<(AttemptId, Fence), Part>,
    shards: BTreeMap<u32, Settled>,
}

/// Decided, over and acknowledged, at or above the floor.
#[derive(Debug)]
struct Settled {
    floor: Fence,
    keys: BTreeSet<Key>,
}

/// What an attempt takes of the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) amounts: Amounts,
    pub(crate) devices: Vec<String>,
}

/// What the ledger knows of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Running,
    Settled,
    /// Not remembered, and too old to be started.
    BelowFloor,
    NeverSeen,
}

/// Why an attempt does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRoom {
    #[error("no room: {taken} of {total} {resource} are taken and the attempt needs {asked}")]
    Short { resource: Resource, total: u64, taken: u64, asked: u64 },
    #[error("no room: device {0} is in use")]
    Device(String),
}

impl Ledger {
    pub(crate) fn new(incarnation: Incarnation, total: Amounts) -> Ledger {
        Ledger {
            incarnation,
            total,
            taken: Amounts::default(),
            devices: BTreeSet::new(),
            running: BTreeMap::new(),
            shards: BTreeMap::new(),
        }
    }

    pub(crate) fn standing(&self, (fence, attempt): Key) -> Standing {
        if self.running.contains_key(&(attempt, fence)) {
            return Standing::Running;
        }
        match self.shards.get(&fence.shard) {
            Some(shard) if fence < shard.floor => Standing::BelowFloor,
            Some(shard) if shard.keys.contains(&(fence, attempt)) => Standing::Settled,
            _ => Standing::NeverSeen,
        }
    }

    /// Takes the part of an attempt that was never seen.
    pub(crate) fn admit(&mut self, (fence, attempt): Key, asked: Part) -> Result<(), NoRoom> {
        let never_seen = self.standing((fence, attempt)) == Standing::NeverSeen;
        debug_assert!(never_seen, "{attempt:?} of {fence:?} is admitted twice");
        always!(never_seen, "agent: what is admitted was never seen");
        let free = self.total.less(&self.taken);
        if let Some(Shortfall { resource, needed, .. }) = asked.amounts.shortfalls(&free).into_iter().next() {
            let (total, taken) = (self.total.get(&resource), self.taken.get(&resource));
            return Err(NoRoom::Short { resource, total, taken, asked: needed });
        }
        if let Some(device) = asked.devices.iter().find(|device| self.devices.contains(*device)) {
            return Err(NoRoom::Device(device.clone()));
        }
        self.taken.add(&asked.amounts);
        self.devices.extend(asked.devices.iter().cloned());
        self.running.insert((attempt, fence), asked);
        Ok(())
    }

    /// Nothing more is started; what runs goes on.
    pub(crate) fn close(&mut self) {
        self.total = Amounts::default();
    }

    /// The process is over. False when nothing of that name runs.
    pub(crate) fn end(&mut self, (fence, attempt): Key) -> bool {
        let Some(part) = self.running.remove(&(attempt, fence)) else { return false };
        self.taken.subtract(&part.amounts);
        for device in &part.devices {
            self.devices.remove(device);
        }
        true
    }

    /// The word about a decided attempt is committed: remember that it was decided, and nothing more.
    pub(crate) fn settle(&mut self, key: Key) {
        let shard = self.shard(key.0.shard);
        if key.0 >= shard.floor {
            shard.keys.insert(key);
        }
        if shard.keys.len() > SETTLED_MAX {
            let middle =
                *shard.keys.iter().nth(SETTLED_MAX / 2).expect("there are more than half of the most");
            // All attempts of that entry stay, so that below the floor everything is forgotten.
            shard.forget_below(middle.0);
        }
    }

    /// Every fence of the shard below has ended by commit. What still runs there is nobody's any more.
    pub(crate) fn raise_watermark(&mut self, watermark: Fence) -> Vec<Key> {
        self.shard(watermark.shard).forget_below(watermark);
        let stray = |(_, fence): &&(AttemptId, Fence)| fence.shard == watermark.shard && *fence < watermark;
        self.running.keys().filter(stray).map(|(attempt, fence)| (*fence, *attempt)).collect()
    }

    pub(crate) fn running(&self) -> impl ExactSizeIterator<Item = (AttemptId, Fence)> {
        self.running.keys().copied()
    }

    pub(crate) fn runs_any_of(&self, run: RunId) -> bool {
        let first = TaskRunId { run, key: TaskKey { task: 0, item: 0 } };
        let least = Fence { generation: 0, shard: 0, term: 0, index: 0 };
        let from = (AttemptId { task_run: first, attempt: 0 }, least);
        self.running.range(from..).next().is_some_and(|((attempt, _), _)| attempt.task_run.run == run)
    }

    /// What running attempts hold.
    pub(crate) fn taken(&self) -> &Amounts {
        &self.taken
    }

    pub(crate) fn slots_taken(&self) -> u32 {
        u32::try_from(self.taken.get(&Resource::Slots)).unwrap_or(u32::MAX)
    }

    pub(crate) fn settled(&self) -> usize {
        self.shards.values().map(|shard| shard.keys.len()).sum()
    }

    fn shard(&mut self, shard: u32) -> &mut Settled {
        let floor = Fence { generation: 0, shard, term: 0, index: 0 };
        self.shards.entry(shard).or_insert_with(|| Settled { floor, keys: BTreeSet::new() })
    }
}

impl Settled {
    fn forget_below(&mut self, fence: Fence) {
        if fence <= self.floor {
            return;
        }
        self.floor = fence;
        let task_run = TaskRunId { run: RunId(0), key: TaskKey { task: 0, item: 0 } };
        self.keys = self.keys.split_off(&(fence, AttemptId { task_run, attempt: 0 }));
    }
}
