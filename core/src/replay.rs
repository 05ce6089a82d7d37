//! A run as of any moment of its history: the folds that move live runs and task runs, over the events up to there.
//! Must not know where a history is kept, and decides nothing: what may run is judged as a live run judges it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::definition::Definition;
use crate::event::Event;
use crate::id::{TaskIndex, TaskKey};
use crate::run::{Answer, Conditions, RunHeader, RunState, WHOLE_TASK};
use crate::task_run::{TaskPhase, TaskState};
use crate::time::Timestamp;

/// A run on its way through its history.
#[derive(Clone, Debug)]
pub struct Replay {
    run: RunState,
    /// What the task runs' rows said, with the time of the event that wrote each last.
    rows: BTreeMap<TaskKey, (TaskState, Timestamp)>,
}

/// A task run at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TaskThen<'a> {
    pub key: TaskKey,
    /// The state word that people saw.
    pub word: &'static str,
    /// What counted of its row; none before its first dispatch.
    pub row: Option<&'a TaskState>,
    /// Since when it was in that state; none where no event says so.
    pub since: Option<Timestamp>,
}

impl Replay {
    /// Before anything but the creation that made this header.
    pub fn new(header: RunHeader, definition: Arc<Definition>) -> Replay {
        Replay { run: RunState::new(header, definition), rows: BTreeMap::new() }
    }

    /// Folds the next event.
    pub fn apply(&mut self, event: &Event, at: Timestamp) {
        if let Some(key) = event.task_key() {
            self.apply_to_row(key, event, at);
        }
        self.run.apply(event, at);
    }

    pub fn run(&self) -> &RunState {
        &self.run
    }

    /// The task runs in the order of the definition, as they were at `now`.
    pub fn tasks(&self, now: Timestamp) -> Vec<TaskThen<'_>> {
        let ready = self.ready();
        let definition = self.run.definition();
        let indexes = (0..).zip(&definition.tasks);
        let keys = indexes.flat_map(|(task, spec)| (0..spec.items()).map(move |item| TaskKey { task, item }));
        keys.map(|key| self.task(key, &ready, now)).collect()
    }

    /// The row of a task run, were there one that counts; items of a task that ended as a whole share one.
    pub fn row(&self, key: TaskKey) -> Option<&TaskState> {
        self.stored(key).map(|(row, _)| row)
    }

    fn stored(&self, key: TaskKey) -> Option<&(TaskState, Timestamp)> {
        let whole = TaskKey { item: WHOLE_TASK, ..key };
        let stored = self.rows.get(&key).or_else(|| self.rows.get(&whole))?;
        Some(stored).filter(|(row, _)| self.run.header().counts(row))
    }

    fn task(&self, key: TaskKey, ready: &BTreeSet<TaskKey>, now: Timestamp) -> TaskThen<'_> {
        let (row, since) = match self.stored(key) {
            Some((row, written)) => (Some(row), Some(since(row, *written, now))),
            None => (None, None),
        };
        let word = match row {
            None if ready.contains(&key) => "ready",
            _ => self.run.header().task_word(row, now),
        };
        TaskThen { key, word, row, since }
    }

    /// Task runs that may be dispatched and never were: what a live run finds by judging.
    fn ready(&self) -> BTreeSet<TaskKey> {
        let mut run = self.run.clone();
        while run.judge(usize::MAX, &mut Met) > 0 {}
        run.take_ready(usize::MAX, &mut |_| true).into_iter().map(|ready| ready.key).collect()
    }

    fn apply_to_row(&mut self, key: TaskKey, event: &Event, at: Timestamp) {
        let header = self.run.header();
        let (round, attempts) = (header.round, self.run.attempts(key));
        let current = self.rows.get_mut(&key).filter(|(row, _)| header.counts(row));
        match (current, event) {
            (Some(current), _) => {
                current.0.apply(event, at);
                current.1 = at;
            }
            (None, Event::AttemptDispatched { ready_at, .. }) => {
                let mut row = TaskState::ready(key, round, attempts, *ready_at);
                row.apply(event, at);
                self.rows.insert(key, (row, at));
            }
            (None, Event::TaskEnded { outcome, .. }) => {
                let row = TaskState::ended(key, round, attempts, outcome.clone(), at);
                self.rows.insert(key, (row, at));
            }
            // Nothing else begins a row; a fold must not fail over it.
            (None, _) => {}
        }
    }
}

fn since(row: &TaskState, written: Timestamp, now: Timestamp) -> Timestamp {
    match &row.phase {
        TaskPhase::Ready { since } | TaskPhase::Stopping { since, .. } => *since,
        TaskPhase::Dispatched(attempt) => attempt.dispatched_at,
        TaskPhase::Backoff { until } if *until <= now => *until,
        TaskPhase::Backoff { .. } => written,
        TaskPhase::Ended { at, .. } => *at,
    }
}

/// A task whose condition was not met ended in the entry that opened it, so one that is still open met it.
struct Met;

impl Conditions for Met {
    fn evaluate(&mut self, _: &RunState, _: TaskIndex, _: &str) -> Result<Answer, String> {
        Ok(Answer::True)
    }
}
