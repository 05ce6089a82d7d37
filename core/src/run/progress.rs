//! How far each task of a run is, in 16 bytes a task and at most 2 an item.
//! Must not know the graph: `fold` moves tasks from stage to stage.

use crate::event::TaskResult;
use crate::id::TaskKey;
use crate::time::Timestamp;

/// One task. A run may have 100,000 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Since when it is open, or when it ended; of no meaning in the other stages.
    pub since: Timestamp,
    pub stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// This many parents have not ended; 0 only while the run starts nothing.
    Waiting {
        open: u32,
    },
    /// All parents have ended; to be judged.
    Open,
    /// Judged: it will not run. Its end is not in the log yet.
    Doomed,
    /// A task run of it may be taken; `place` is its place in the order of activation.
    Ready {
        place: u32,
    },
    /// Every task run of it that may be active is.
    Active,
    Ended(TaskResult),
}

/// The items of a task with `foreach`, from its first activation on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Items {
    stages: Vec<ItemStage>,
    parallel: u32,
    /// No waiting item is below.
    next: u32,
    active: u32,
    left: u32,
    /// When an item ended last.
    ended_at: Timestamp,
    pub place: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ItemStage {
    Waiting,
    Active,
    Ended(TaskResult),
}

impl Items {
    pub(super) fn new(count: u32, parallel: Option<u32>) -> Items {
        Items {
            stages: vec![ItemStage::Waiting; count as usize],
            // None at a time would never end.
            parallel: parallel.unwrap_or(u32::MAX).max(1),
            next: 0,
            active: 0,
            left: count,
            ended_at: Timestamp::default(),
            place: 0,
        }
    }

    pub(super) fn stage(&self, item: u32) -> Option<ItemStage> {
        self.stages.get(item as usize).copied()
    }

    pub(super) fn active(&self) -> u32 {
        self.active
    }

    /// Most that may be active at a time.
    pub(super) fn parallel(&self) -> u32 {
        self.parallel
    }

    /// The next item that may be taken now.
    pub(super) fn takable(&self) -> Option<u32> {
        let waiting = (self.next as usize) < self.stages.len();
        (waiting && self.active < self.parallel).then_some(self.next)
    }

    pub(super) fn begin(&mut self, item: u32) {
        self.stages[item as usize] = ItemStage::Active;
        self.active += 1;
        self.skip_begun();
    }

    /// False, and nothing, when it has ended already.
    pub(super) fn end(&mut self, item: u32, result: TaskResult, at: Timestamp) -> bool {
        match self.stages[item as usize] {
            ItemStage::Ended(_) => return false,
            ItemStage::Active => self.active -= 1,
            ItemStage::Waiting => {}
        }
        self.stages[item as usize] = ItemStage::Ended(result);
        self.left -= 1;
        self.ended_at = self.ended_at.max(at);
        self.skip_begun();
        true
    }

    /// The task's result, once every item has ended: the worst of theirs.
    pub(super) fn result(&self) -> Option<TaskResult> {
        let worst = |result| self.stages.contains(&ItemStage::Ended(result));
        match self.left {
            0 => [TaskResult::Failed, TaskResult::Cancelled, TaskResult::Skipped]
                .into_iter()
                .find(|result| worst(*result))
                .or(Some(TaskResult::Succeeded)),
            _ => None,
        }
    }

    pub(super) fn ended_at(&self) -> Timestamp {
        self.ended_at
    }

    /// Since when another item may be active beside those that are; 1970 without a bound.
    pub(super) fn freed_at(&self) -> Timestamp {
        if self.parallel == u32::MAX { Timestamp::default() } else { self.ended_at }
    }

    /// Everything that has not ended does now, unattempted; returns how many items that are.
    pub(super) fn end_rest(&mut self, result: TaskResult) -> u32 {
        for stage in &mut self.stages {
            match stage {
                ItemStage::Waiting | ItemStage::Active => *stage = ItemStage::Ended(result),
                ItemStage::Ended(_) => {}
            }
        }
        (self.active, self.next) = (0, self.stages.len() as u32);
        std::mem::take(&mut self.left)
    }

    pub(super) fn ended(&self) -> impl Iterator<Item = TaskResult> + '_ {
        self.stages.iter().filter_map(|stage| match stage {
            ItemStage::Ended(result) => Some(*result),
            ItemStage::Waiting | ItemStage::Active => None,
        })
    }

    /// Everything that has not succeeded waits again.
    pub(super) fn reset(&mut self) {
        for stage in &mut self.stages {
            if *stage != ItemStage::Ended(TaskResult::Succeeded) {
                *stage = ItemStage::Waiting;
            }
        }
        self.left = self.stages.iter().filter(|stage| **stage == ItemStage::Waiting).count() as u32;
        (self.active, self.next) = (0, 0);
        self.skip_begun();
    }

    fn skip_begun(&mut self) {
        while self.stages.get(self.next as usize).is_some_and(|stage| *stage != ItemStage::Waiting) {
            self.next += 1;
        }
    }
}

/// Where a task run stands, as far as its run knows: an active one's own row says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Parents have not ended, or its turn among its task's items has not come.
    Waiting,
    Ready,
    Active,
    Ended(TaskResult),
    /// The run finished before it was reached.
    Unreached(TaskResult),
}

impl Standing {
    /// The state word that people see; an active task run's row knows a better one.
    pub fn word(self) -> &'static str {
        match self {
            Standing::Waiting => "waiting",
            Standing::Ready => "ready",
            Standing::Active => "running",
            Standing::Ended(result) | Standing::Unreached(result) => result.word(),
        }
    }
}

/// A task run that is to have its own actor now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Activation {
    pub key: TaskKey,
    /// Of the run; goes into the task run's rows.
    pub round: u32,
    /// Number of its newest attempt in earlier rounds; 0 without one.
    pub attempts: u16,
    pub since: Timestamp,
}

/// The item of the key under which a whole task with `foreach` is skipped or fails over its condition: no item of
/// it is ever attempted then. Tasks without `foreach` use item 0 for everything.
pub const WHOLE_TASK: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_costs_16_bytes_and_an_item_2() {
        assert_eq!(size_of::<Progress>(), 16);
        assert!(size_of::<ItemStage>() <= 2);
    }
}
