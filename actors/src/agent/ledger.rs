//! What one life of the agent has decided: which attempts run, which fences are settled for good. Pure.
//! Must not know masters, frames or processes: `machine` asks here before it starts or refuses anything.

use std::collections::{BTreeMap, BTreeSet};

use hortator_core::id::{AttemptId, Fence, Incarnation, RunId, TaskKey, TaskRunId};

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
    slots: u32,
    slots_taken: u32,
    /// By attempt first, so that those of a run are neighbours.
    running: BTreeMap<(AttemptId, Fence), u32>,
    shards: BTreeMap<u32, Settled>,
}

/// Decided, over and acknowledged, at or above the floor.
#[derive(Debug)]
struct Settled {
    floor: Fence,
    keys: BTreeSet<Key>,
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

/// Too few slots are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room: {taken} of {slots} slots are taken and the attempt needs {asked}")]
pub(crate) struct NoRoom {
    slots: u32,
    taken: u32,
    asked: u32,
}

impl Ledger {
    pub(crate) fn new(incarnation: Incarnation, slots: u32) -> Ledger {
        Ledger { incarnation, slots, slots_taken: 0, running: BTreeMap::new(), shards: BTreeMap::new() }
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

    /// Takes the slots of an attempt that was never seen.
    pub(crate) fn admit(&mut self, (fence, attempt): Key, asked: u32) -> Result<(), NoRoom> {
        debug_assert_eq!(self.standing((fence, attempt)), Standing::NeverSeen);
        if asked > self.slots.saturating_sub(self.slots_taken) {
            return Err(NoRoom { slots: self.slots, taken: self.slots_taken, asked });
        }
        self.slots_taken += asked;
        self.running.insert((attempt, fence), asked);
        Ok(())
    }

    /// Nothing more is started; what runs goes on.
    pub(crate) fn close(&mut self) {
        self.slots = 0;
    }

    /// The process is over. False when nothing of that name runs.
    pub(crate) fn end(&mut self, (fence, attempt): Key) -> bool {
        let slots = self.running.remove(&(attempt, fence));
        self.slots_taken -= slots.unwrap_or(0);
        slots.is_some()
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

    pub(crate) fn slots_taken(&self) -> u32 {
        self.slots_taken
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
