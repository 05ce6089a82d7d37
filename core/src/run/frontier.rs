//! The order in which ready tasks are taken: by priority, then the longest remaining path, then by activation, as they
//! are ranked for placement; one queue per priority and line. Must not know why a task is ready. Entries may be out of
//! date; the caller's stages say which still count.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::definition::Priority;
use crate::id::TaskIndex;
use crate::time::Span;

use super::lines::{Line, Lines};
use super::progress::{Progress, Stage};

/// A ready task's turn within its queue: its remaining path, and its place in the order of activation.
type Turn = (Reverse<Span>, u32, TaskIndex);

#[derive(Clone, Debug)]
pub(super) struct Frontier {
    lines: Lines,
    /// Of each task, to the end of the run; empty while nothing is known.
    paths: Arc<[Span]>,
    queues: BTreeMap<(Priority, Line), BTreeSet<Turn>>,
    places: u32,
}

/// The heads of queues that still take part in one call of `take_ready`, in the order in which they are taken.
pub(super) type Heads = BTreeMap<(Priority, Turn), Line>;

impl Frontier {
    pub(super) fn new(lines: Lines) -> Frontier {
        Frontier { lines, paths: Arc::default(), queues: BTreeMap::new(), places: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.queues.clear();
    }

    /// What is ready already takes its turn by the new paths.
    pub(super) fn foresee(&mut self, paths: Arc<[Span]>) {
        self.paths = paths;
        for queue in std::mem::take(&mut self.queues).into_values() {
            queue.into_iter().for_each(|(_, place, task)| self.push(task, place));
        }
    }

    /// The next place in the order of activation.
    pub(super) fn place(&mut self) -> u32 {
        self.places += 1;
        self.places
    }

    pub(super) fn push(&mut self, task: TaskIndex, place: u32) {
        let remaining = self.paths.get(task as usize).copied().unwrap_or_default();
        self.queues.entry(self.lines.get(task)).or_default().insert((Reverse(remaining), place, task));
    }

    pub(super) fn heads(&mut self, tasks: &[Progress]) -> Heads {
        let keys: Vec<_> = self.queues.keys().copied().collect();
        keys.into_iter()
            .filter_map(|(priority, line)| Some(((priority, self.head(priority, line, tasks)?), line)))
            .collect()
    }

    /// The queue's first entry that still counts, after dropping those before it that do not.
    pub(super) fn head(&mut self, priority: Priority, line: Line, tasks: &[Progress]) -> Option<Turn> {
        let queue = self.queues.get_mut(&(priority, line))?;
        while let Some(turn) = queue.first() {
            match counts(tasks, turn) {
                true => return Some(*turn),
                false => queue.pop_first(),
            };
        }
        self.queues.remove(&(priority, line));
        None
    }
}

fn counts(tasks: &[Progress], (_, at, task): &Turn) -> bool {
    match tasks[*task as usize].stage {
        Stage::Ready { place } => place == *at,
        Stage::Waiting { .. } | Stage::Open | Stage::Doomed | Stage::Active | Stage::Ended(_) => false,
    }
}
