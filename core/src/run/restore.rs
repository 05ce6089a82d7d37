//! A run from its rows: the same state that its events would give, in pages.
//! Must not read rows; the caller brings them in any order.

use std::sync::Arc;

use crate::definition::Definition;
use crate::event::TaskOutcome;
use crate::id::TaskIndex;
use crate::task_run::{TaskPhase, TaskState};
use crate::time::Timestamp;

use super::progress::{Stage, WHOLE_TASK};
use super::{RunHeader, RunPhase, RunState};

/// A run on its way back from rows.
#[derive(Debug)]
pub struct Restore {
    state: RunState,
}

/// What a task run's row says to the one who restores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// The task run is to have an actor.
    Active,
    Ended,
    /// The row is of an earlier round and was overruled by a retry; or the run has no such task run.
    Stale,
}

impl RunState {
    /// The run of these rows, and those of its task runs that are to have an actor.
    pub fn restore(
        header: RunHeader,
        definition: Arc<Definition>,
        rows: impl Iterator<Item = TaskState>,
    ) -> (RunState, Vec<TaskState>) {
        let mut restore = RunState::restoring(header, definition);
        let active = rows.filter(|row| restore.restore_task(row) == Restored::Active).collect();
        (restore.finish_restore(), active)
    }

    /// Begins a restore in pages.
    pub fn restoring(header: RunHeader, definition: Arc<Definition>) -> Restore {
        Restore { state: RunState::new(header, definition) }
    }
}

impl Restore {
    pub fn restore_task(&mut self, row: &TaskState) -> Restored {
        let state = &mut self.state;
        if !state.has(row.key) {
            return Restored::Stale;
        }
        let succeeded = matches!(&row.phase, TaskPhase::Ended { outcome: TaskOutcome::Succeeded { .. }, .. });
        if row.attempts > 0 && !succeeded {
            state.attempts.insert(row.key, row.attempts);
        }
        if !state.header.counts(row) {
            return Restored::Stale;
        }
        match &row.phase {
            TaskPhase::Ended { outcome, at } => {
                self.restore_ended(row, outcome, *at);
                Restored::Ended
            }
            TaskPhase::Ready { .. }
            | TaskPhase::Dispatched(_)
            | TaskPhase::Stopping { .. }
            | TaskPhase::Backoff { .. } => {
                state.begin(row.key);
                Restored::Active
            }
        }
    }

    fn restore_ended(&mut self, row: &TaskState, outcome: &TaskOutcome, at: Timestamp) {
        let state = &mut self.state;
        let (key, result) = (row.key, outcome.result());
        match outcome {
            TaskOutcome::Succeeded { outputs } if !outputs.is_empty() => {
                state.outputs.insert(key, outputs.clone());
            }
            TaskOutcome::Failed { .. } => {
                let failure = (at, key);
                let first = state.tally.first_failed.map_or(failure, |first| first.min(failure));
                state.tally.first_failed = Some(first);
            }
            TaskOutcome::Succeeded { .. } | TaskOutcome::Skipped { .. } | TaskOutcome::Cancelled => {}
        }
        let foreach = state.definition.tasks[key.task as usize].foreach.is_some();
        if foreach && key.item != WHOLE_TASK {
            state.ensure_items(key.task);
            if let Some(items) = state.items.get_mut(&key.task) {
                items.end(key.item, result, at);
            }
            // A row of this round says that the task was judged; successes of earlier rounds do not.
            if row.round == state.header.round {
                state.set_going(key.task);
            }
        } else {
            let progress = &mut state.tasks[key.task as usize];
            (progress.stage, progress.since) = (Stage::Ended(result), at);
        }
    }

    /// Counts what the rows together mean. The rows must be complete.
    pub fn finish_restore(mut self) -> RunState {
        let state = &mut self.state;
        let mut going = Vec::new();
        let with_items: Vec<TaskIndex> = state.items.keys().copied().collect();
        for task in with_items {
            let Some(items) = state.items.get_mut(&task) else { continue };
            let progress = &mut state.tasks[task as usize];
            match (progress.stage, items.result()) {
                (Stage::Ended(result), _) => {
                    items.end_rest(result);
                }
                (_, Some(result)) => {
                    (progress.stage, progress.since) = (Stage::Ended(result), items.ended_at())
                }
                (Stage::Waiting { .. } | Stage::Open | Stage::Doomed, None) => {}
                (Stage::Ready { .. } | Stage::Active, None) => going.push(task),
            }
        }
        state.recount();
        if let RunPhase::Running { started_at } = state.header.phase {
            for task in going {
                state.tasks[task as usize].since = state.opened_at(task, started_at);
                // Rows that came after its first may have left nothing to take.
                state.set_going(task);
            }
            state.open_all();
        }
        self.state
    }
}
