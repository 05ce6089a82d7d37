//! When a run ends at the earliest, by learned durations and with workers enough. Must not decide anything.

use hortator_core::id::{TaskIndex, TaskKey};
use hortator_core::run::{RunPhase, Standing, WHOLE_TASK};
use hortator_core::time::{Span, Timestamp};

use super::RunActor;

impl RunActor {
    /// The longest of the paths that what has not ended still has to go.
    pub(super) fn eta(&self) -> Option<Timestamp> {
        if !matches!(self.state.header().phase, RunPhase::Running { .. }) || !self.scope.knows_durations() {
            return None;
        }
        let now = self.context.journal.time();
        let tasks = self.scope.definition.tasks.iter().enumerate();
        let open = tasks.filter_map(|(index, task)| {
            let item = if task.foreach.is_some() { WHOLE_TASK } else { 0 };
            let index = index as TaskIndex;
            self.is_open(TaskKey { task: index, item }).then_some(index)
        });
        let longest = open.map(|task| self.scope.left(task, self.ran(task, now))).max()?;
        Some(now.plus(longest))
    }

    fn is_open(&self, key: TaskKey) -> bool {
        !matches!(self.state.standing(key), Some(Standing::Ended(_) | Standing::Unreached(_)) | None)
    }

    /// For how long the task has run: of several items the one that began last counts, and nothing before all have begun.
    fn ran(&self, task: TaskIndex, now: Timestamp) -> Span {
        let items = self.scope.task(TaskKey { task, item: 0 }).items();
        let open = (0..items).map(|item| TaskKey { task, item }).filter(|key| self.is_open(*key));
        let mut began = open.map(|key| self.scope.attempt_began(key));
        let last = began.try_fold(Timestamp::default(), |last, began| began.map(|at| last.max(at)));
        last.map_or(Span::ZERO, |at| now.since(at))
    }
}
