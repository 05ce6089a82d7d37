//! How many task runs that wait for a worker have an actor: a large `foreach` costs memory for what may soon be placed,
//! not for all that waits. Must not know why one waits, nor what comes of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::definition::Priority;
use crate::id::TaskIndex;

use super::RunState;
use super::lines::{Line, Lines};

/// Most task runs of one line and one priority that enter: each level has room of its own, so none that waits keeps a
/// more important one from being offered. Those of a level enter in the order of their ranks; one that is ready later
/// and would come before all that are in waits until one of them is dispatched.
pub const READY_WINDOW: u32 = 4_096;

/// A place is held while a task run waits and free while it runs. Those that come back from a worker need not ask, so
/// there may be more in than may enter, by what ran at once.
#[derive(Debug)]
pub struct Window {
    lines: Lines,
    waiting: BTreeMap<(Priority, Line), u32>,
    /// Where somebody was refused since a place was last given back.
    refused: BTreeSet<(Priority, Line)>,
}

impl Window {
    pub fn new(run: &RunState) -> Window {
        Window { lines: run.lines.clone(), waiting: BTreeMap::new(), refused: BTreeSet::new() }
    }

    /// Takes a place for a task run of the task, if there is one.
    pub fn admit(&mut self, task: TaskIndex) -> bool {
        let at = self.lines.get(task);
        let admits = self.waiting.get(&at).is_none_or(|waiting| *waiting < READY_WINDOW);
        match admits {
            true => self.enter(task),
            false => _ = self.refused.insert(at),
        }
        admits
    }

    /// How many are in that ask for the same as the task, and are as urgent or more.
    pub fn ahead_of(&self, task: TaskIndex) -> u64 {
        let (level, line) = self.lines.get(task);
        let more_urgent = self.waiting.range(..=(level, line));
        more_urgent.filter(|((_, other), _)| *other == line).map(|(_, waiting)| u64::from(*waiting)).sum()
    }

    /// A task run of the task has an actor already, and waits from now on.
    pub fn enter(&mut self, task: TaskIndex) {
        *self.waiting.entry(self.lines.get(task)).or_default() += 1;
    }

    /// One of them waits no longer. Says whether somebody who was refused is to ask again.
    pub fn leave(&mut self, task: TaskIndex) -> bool {
        let at = self.lines.get(task);
        let waiting = self.waiting.get_mut(&at).expect("who leaves was in");
        *waiting -= 1;
        let admits = *waiting < READY_WINDOW;
        if *waiting == 0 {
            self.waiting.remove(&at);
        }
        admits && self.refused.remove(&at)
    }
}
