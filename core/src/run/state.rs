//! A live run in memory: its header, how far its tasks are, and what of them may run next.
//! Must not know attempts beyond their numbers; an active task run's state is its own actor's.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::Value;

use crate::definition::Definition;
use crate::event::{ResultCounts, TaskOutcome, TaskResult};
use crate::id::{TaskIndex, TaskKey};
use crate::time::{Span, Timestamp};

use super::frontier::Frontier;
use super::header::unreached;
use super::lines::Lines;
use super::progress::{Activation, ItemStage, Items, Progress, Stage, Standing, WHOLE_TASK};
use super::{RunHeader, RunPhase};

/// A run. Made by `new` for a queued run or by `restore` from rows, and moved by `apply`; `judge` and `take_ready`
/// change only what follows from the rest.
#[derive(Clone, Debug)]
pub struct RunState {
    pub(super) header: RunHeader,
    pub(super) definition: Arc<Definition>,
    pub(super) tasks: Vec<Progress>,
    pub(super) items: BTreeMap<TaskIndex, Items>,
    pub(super) tally: Tally,
    /// Open tasks that are to be judged, in the order in which they opened; entries may be out of date.
    pub(super) open: VecDeque<TaskIndex>,
    /// Judged tasks that will not run, with the end that `Advance` is to write; entries may be out of date.
    pub(super) doomed: VecDeque<(TaskIndex, TaskOutcome)>,
    pub(super) lines: Lines,
    pub(super) frontier: Frontier,
    /// Only of task runs that gave any.
    pub(super) outputs: BTreeMap<TaskKey, BTreeMap<String, Value>>,
    /// Newest attempt numbers of task runs that may be attempted again.
    pub(super) attempts: BTreeMap<TaskKey, u16>,
}

/// Sums over a run's tasks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Task runs that have ended.
    pub counts: ResultCounts,
    /// Tasks that have not.
    pub unended: u32,
    /// Task runs with an actor.
    pub active: u32,
    /// The earliest failure of this round; of one entry's the smallest key.
    pub first_failed: Option<(Timestamp, TaskKey)>,
}

impl RunState {
    /// A run without task rows, as right after its creation.
    pub fn new(header: RunHeader, definition: Arc<Definition>) -> RunState {
        let tasks = (0..definition.tasks.len() as TaskIndex).map(|task| {
            let open = definition.graph.parents(task).len() as u32;
            Progress { since: Timestamp::default(), stage: Stage::Waiting { open } }
        });
        let lines = Lines::of(&definition);
        RunState {
            header,
            tasks: tasks.collect(),
            items: BTreeMap::new(),
            tally: Tally { unended: definition.tasks.len() as u32, ..Tally::default() },
            open: VecDeque::new(),
            doomed: VecDeque::new(),
            frontier: Frontier::new(lines.clone()),
            lines,
            outputs: BTreeMap::new(),
            attempts: BTreeMap::new(),
            definition,
        }
    }

    pub fn header(&self) -> &RunHeader {
        &self.header
    }

    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// Task runs that have ended so far.
    pub fn counts(&self) -> ResultCounts {
        self.tally.counts
    }

    /// Task runs that have an actor.
    pub fn active(&self) -> u32 {
        self.tally.active
    }

    /// The task's result, once all of it has ended.
    pub fn result(&self, task: TaskIndex) -> Option<TaskResult> {
        match self.tasks.get(task as usize)?.stage {
            Stage::Ended(result) => Some(result),
            Stage::Waiting { .. } | Stage::Open | Stage::Doomed | Stage::Ready { .. } | Stage::Active => None,
        }
    }

    /// What a succeeded task run gave; none when that was nothing.
    pub fn outputs(&self, key: TaskKey) -> Option<&BTreeMap<String, Value>> {
        self.outputs.get(&key)
    }

    /// The number of the task run's newest attempt in earlier rounds, for the row of one that ends unattempted.
    pub fn attempts(&self, key: TaskKey) -> u16 {
        self.attempts.get(&key).copied().unwrap_or(0)
    }

    /// The parents that a task still waits for.
    pub fn open_parents(&self, task: TaskIndex) -> impl Iterator<Item = TaskIndex> + '_ {
        let parents = self.definition.graph.parents(task).iter().copied();
        parents.filter(|parent| self.result(*parent).is_none())
    }

    /// How many of the task's items are active, and how many may be; none without items or before the first.
    pub fn items_active(&self, task: TaskIndex) -> Option<(u32, u32)> {
        let items = self.items.get(&task)?;
        Some((items.active(), items.parallel()))
    }

    /// Where a task run stands; none when the run has no such task run.
    pub fn standing(&self, key: TaskKey) -> Option<Standing> {
        if !self.has(key) {
            return None;
        }
        let stage = self.tasks[key.task as usize].stage;
        let item = self.items.get(&key.task).map(|items| match items.stage(key.item) {
            Some(item) => item,
            // All of the task.
            None if items.active() > 0 => ItemStage::Active,
            None => ItemStage::Waiting,
        });
        let standing = match (item, stage) {
            (Some(ItemStage::Ended(result)), _) | (_, Stage::Ended(result)) => Standing::Ended(result),
            (Some(ItemStage::Active), _) | (None, Stage::Active) => Standing::Active,
            (_, Stage::Ready { .. }) => Standing::Ready,
            (_, _) => Standing::Waiting,
        };
        Some(match (&self.header.phase, standing) {
            (_, Standing::Ended(_)) | (RunPhase::Running { .. }, _) => standing,
            (RunPhase::Finished { outcome, .. }, _) => Standing::Unreached(unreached(*outcome)),
            (_, Standing::Active) => Standing::Active,
            (_, _) => Standing::Waiting,
        })
    }

    /// How long the path from each task to the end of the run takes: what is ready is taken by it from now on.
    pub fn foresee(&mut self, paths: Arc<[Span]>) {
        self.frontier.foresee(paths);
    }

    /// Takes up to `limit` ready task runs that are to have an actor now: by their task's priority, then the longest
    /// remaining path, then in the order of activation. `admits` is the window: a task it refuses, and all of its
    /// line and priority behind it, stay for a later call. Nothing once the run starts nothing any more.
    pub fn take_ready(&mut self, limit: usize, admits: &mut dyn FnMut(TaskIndex) -> bool) -> Vec<Activation> {
        let mut taken = Vec::new();
        if !matches!(self.header.phase, RunPhase::Running { .. }) {
            return taken;
        }
        let mut heads = self.frontier.heads(&self.tasks);
        while taken.len() < limit {
            let Some(((priority, (.., task)), line)) = heads.pop_first() else { break };
            if !admits(task) {
                continue;
            }
            taken.push(self.take(task));
            if let Some(head) = self.frontier.head(priority, line, &self.tasks) {
                heads.insert((priority, head), line);
            }
        }
        taken
    }

    /// Makes the ready task's next task run active.
    fn take(&mut self, task: TaskIndex) -> Activation {
        let mut since = self.tasks[task as usize].since;
        let item = match self.items.get(&task) {
            Some(items) => {
                since = since.max(items.freed_at());
                items.takable().expect("a task is ready only while an item may be taken")
            }
            None => 0,
        };
        let key = TaskKey { task, item };
        self.begin(key);
        Activation { key, round: self.header.round, attempts: self.attempts(key), since }
    }

    /// Whether the run can have a row under this key.
    pub(super) fn has(&self, key: TaskKey) -> bool {
        self.definition.tasks.get(key.task as usize).is_some_and(|task| match &task.foreach {
            Some(foreach) => key.item == WHOLE_TASK || (key.item as usize) < foreach.items.len(),
            None => key.item == 0,
        })
    }
}
