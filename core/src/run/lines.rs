//! Where task runs stand one behind the other: tasks that are alike for placement share a line.
//! Must not know who stands there.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::definition::{Definition, Priority, TaskKind};
use crate::id::TaskIndex;

/// A number within the run.
pub(super) type Line = u32;

/// The level and the line of each task.
#[derive(Clone, Debug)]
pub(super) struct Lines(Arc<[(Priority, Line)]>);

impl Lines {
    pub(super) fn of(definition: &Definition) -> Lines {
        let mut known = BTreeMap::new();
        let lines = definition.tasks.iter().enumerate().map(|(index, task)| {
            let kind = match task.kind {
                TaskKind::Shell(_) => 0u8,
                TaskKind::Noop => 1,
            };
            // Those that wait for limits must not keep others of their shape back.
            let limited = (!task.limits.is_empty()).then_some(index);
            let number = known.len() as Line;
            let alike = (&task.group, task.slots, kind, &task.resources, &task.place, limited);
            (task.priority, *known.entry(alike).or_insert(number))
        });
        Lines(lines.collect())
    }

    pub(super) fn get(&self, task: TaskIndex) -> (Priority, Line) {
        self.0[task as usize]
    }
}
