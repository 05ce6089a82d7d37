//! The order in which ready tasks are taken: by priority, then by activation; one queue per priority and shape.
//! Must not know why a task is ready. Entries may be out of date; the caller's stages say which still count.

use std::collections::{BTreeMap, VecDeque};

use crate::definition::{Definition, Priority, TaskKind};
use crate::id::TaskIndex;

use super::progress::{Progress, Stage};

/// What makes tasks alike for placement, as a number within the run.
pub(super) type Shape = u32;

#[derive(Clone, Debug)]
pub(super) struct Frontier {
    /// Of each task.
    shapes: Vec<Shape>,
    /// Ready tasks, in the order of their places.
    queues: BTreeMap<(Priority, Shape), VecDeque<TaskIndex>>,
    places: u32,
}

/// The heads of queues that still take part in one call of `take_ready`, in the order in which they are taken.
pub(super) type Heads = BTreeMap<(Priority, u32), Shape>;

impl Frontier {
    pub(super) fn new(definition: &Definition) -> Frontier {
        let mut known = BTreeMap::new();
        let shapes = definition.tasks.iter().map(|task| {
            let kind = match task.kind {
                TaskKind::Shell(_) => 0u8,
                TaskKind::Noop => 1,
            };
            let number = known.len() as Shape;
            *known.entry((&task.group, task.slots, kind, &task.resources, &task.place)).or_insert(number)
        });
        Frontier { shapes: shapes.collect(), queues: BTreeMap::new(), places: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.queues.clear();
    }

    /// The next place in the order of activation.
    pub(super) fn place(&mut self) -> u32 {
        self.places += 1;
        self.places
    }

    /// Adds a task at its place: nearly always at the back, near the front when a `foreach` may go on.
    pub(super) fn push(&mut self, priority: Priority, task: TaskIndex, place: u32, tasks: &[Progress]) {
        let queue = self.queues.entry((priority, self.shapes[task as usize])).or_default();
        let later = |entry: &TaskIndex| place_of(tasks, *entry).is_some_and(|other| other > place);
        match queue.back() {
            Some(back) if later(back) => {
                let at = queue.iter().position(later).unwrap_or(queue.len());
                queue.insert(at, task);
            }
            Some(_) | None => queue.push_back(task),
        }
    }

    pub(super) fn heads(&mut self, tasks: &[Progress]) -> Heads {
        let keys: Vec<_> = self.queues.keys().copied().collect();
        keys.into_iter()
            .filter_map(|(priority, shape)| Some((self.head(priority, shape, tasks)?, shape)))
            .collect()
    }

    /// The queue's first entry that still counts, after dropping those before it that do not.
    pub(super) fn head(
        &mut self,
        priority: Priority,
        shape: Shape,
        tasks: &[Progress],
    ) -> Option<(Priority, u32)> {
        let queue = self.queues.get_mut(&(priority, shape))?;
        while let Some(task) = queue.front() {
            match place_of(tasks, *task) {
                Some(place) => return Some((priority, place)),
                None => queue.pop_front(),
            };
        }
        self.queues.remove(&(priority, shape));
        None
    }

    pub(super) fn front(&self, priority: Priority, shape: Shape) -> Option<TaskIndex> {
        self.queues.get(&(priority, shape))?.front().copied()
    }
}

fn place_of(tasks: &[Progress], task: TaskIndex) -> Option<u32> {
    match tasks[task as usize].stage {
        Stage::Ready { place } => Some(place),
        Stage::Waiting { .. } | Stage::Open | Stage::Doomed | Stage::Active | Stage::Ended(_) => None,
    }
}
