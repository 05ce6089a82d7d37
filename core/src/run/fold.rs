//! How events move a run: the same fold serves the live run, and the reader of a whole history.
//! Must not decide anything; what no decision makes leaves the state as it was.

use std::fmt::Debug;

use crate::event::{Event, RunOutcome, TaskOutcome, TaskResult};
use crate::id::{TaskIndex, TaskKey};
use crate::time::Timestamp;

use super::header::unreached;
use super::progress::{ItemStage, Items, Stage, WHOLE_TASK};
use super::state::Tally;
use super::{CancelRequest, Quarantine, RunPhase, RunState, Started};

impl RunState {
    /// Folds one event of the run or of one of its task runs. The events of attempts may be left out (a live run's
    /// actor does not see them): only attempt numbers come from them, which a retry takes from rows.
    pub fn apply(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::RunCreated { .. } => {}
            Event::RunStarted => self.on_started(at),
            Event::RunCancelRequested { by, reason } => {
                let request = CancelRequest { by: by.clone(), reason: reason.clone(), at };
                self.on_cancel_requested(request);
            }
            Event::RunStopping { first_failed } => match self.header.phase {
                RunPhase::Running { started_at } => {
                    self.header.phase = RunPhase::Stopping { started_at, first_failed: *first_failed };
                    self.start_nothing();
                }
                _ => illegal(event, &self.header.phase),
            },
            Event::RunQuarantined { code, reason } => self.on_quarantined(code, reason, at),
            Event::RunFinished { outcome } => self.on_finished(*outcome, at),
            Event::RunRetried { tasks, .. } => self.on_retried(tasks),
            Event::AttemptDispatched { key, attempt, .. } if self.has(*key) => {
                self.attempts.insert(*key, *attempt);
                self.begin(*key);
            }
            Event::TaskEnded { key, outcome } if self.has(*key) => self.on_task_ended(*key, outcome, at),
            Event::AttemptDispatched { key, .. } | Event::TaskEnded { key, .. } => illegal(event, key),
            Event::AttemptRefused { key, attempt: 1, .. } => {
                self.attempts.remove(key);
            }
            Event::AttemptRefused { key, attempt, .. } => {
                self.attempts.insert(*key, attempt - 1);
            }
            Event::AttemptStopping { .. }
            | Event::AttemptEnded { .. }
            | Event::AttemptLost { .. }
            | Event::TaskBackoff { .. } => {}
        }
    }

    fn on_started(&mut self, at: Timestamp) {
        match self.header.phase {
            RunPhase::Queued => {
                self.header.phase = RunPhase::Running { started_at: at };
                self.open_all();
            }
            _ => illegal(&"started", &self.header.phase),
        }
    }

    fn on_cancel_requested(&mut self, request: CancelRequest) {
        let started = match &self.header.phase {
            RunPhase::Queued => Started::Never,
            RunPhase::Running { started_at } | RunPhase::Stopping { started_at, .. } => {
                Started::At(*started_at)
            }
            RunPhase::Quarantined { started, quarantine } => {
                let quarantine = Quarantine { cancel: Some(request), ..quarantine.clone() };
                self.header.phase = RunPhase::Quarantined { started: *started, quarantine };
                return;
            }
            RunPhase::Cancelling { .. } | RunPhase::Finished { .. } => {
                return illegal(&request, &self.header.phase);
            }
        };
        self.header.phase = RunPhase::Cancelling { started, request };
        self.start_nothing();
    }

    fn on_quarantined(&mut self, code: &str, reason: &str, at: Timestamp) {
        let (started, cancel) = match &self.header.phase {
            RunPhase::Queued => (Started::Never, None),
            RunPhase::Running { started_at } | RunPhase::Stopping { started_at, .. } => {
                (Started::At(*started_at), None)
            }
            // Who asked for the cancel waits for the end.
            RunPhase::Cancelling { started, request } => (*started, Some(request.clone())),
            RunPhase::Quarantined { .. } | RunPhase::Finished { .. } => {
                return illegal(&reason, &self.header.phase);
            }
        };
        let quarantine = Quarantine { cancel, ..Quarantine::new(code, reason, at) };
        self.header.phase = RunPhase::Quarantined { started, quarantine };
        self.start_nothing();
    }

    fn on_finished(&mut self, outcome: RunOutcome, at: Timestamp) {
        let (started, cancel) = match &self.header.phase {
            RunPhase::Running { started_at } | RunPhase::Stopping { started_at, .. } => {
                (Started::At(*started_at), None)
            }
            RunPhase::Cancelling { started, request } => (*started, Some(request.clone())),
            RunPhase::Quarantined { started, quarantine } => (*started, quarantine.cancel.clone()),
            RunPhase::Queued | RunPhase::Finished { .. } => return illegal(&outcome, &self.header.phase),
        };
        let mut counts = self.tally.counts;
        counts.add(unreached(outcome), self.task_runs() - counts.total());
        let first_failed = self.tally.first_failed.map(|(_, key)| key);
        self.header.phase =
            RunPhase::Finished { outcome, started, finished_at: at, counts, first_failed, cancel };
        self.start_nothing();
    }

    fn on_retried(&mut self, tasks: &[TaskIndex]) {
        match self.header.phase {
            RunPhase::Finished { .. } => {}
            _ => return illegal(&tasks, &self.header.phase),
        }
        self.header.phase = RunPhase::Queued;
        self.header.round += 1;
        for task in tasks {
            let Some(progress) = self.tasks.get_mut(*task as usize) else { continue };
            progress.stage = Stage::Waiting { open: 0 };
            if let Some(items) = self.items.get_mut(task) {
                items.reset();
            }
        }
        self.tally.first_failed = None;
        self.recount();
    }

    fn on_task_ended(&mut self, key: TaskKey, outcome: &TaskOutcome, at: Timestamp) {
        let whole = self.definition.tasks[key.task as usize].foreach.is_none() || key.item == WHOLE_TASK;
        let ended =
            if whole { self.end_whole(key, outcome.result(), at) } else { self.end_item(key, outcome, at) };
        if !ended {
            return illegal(outcome, &key);
        }
        match outcome {
            TaskOutcome::Succeeded { outputs } => {
                self.attempts.remove(&key);
                if !outputs.is_empty() {
                    self.outputs.insert(key, outputs.clone());
                }
            }
            TaskOutcome::Failed { .. } => {
                let failure = (at, key);
                let first = self.tally.first_failed.map_or(failure, |first| first.min(failure));
                self.tally.first_failed = Some(first);
            }
            TaskOutcome::Skipped { .. } | TaskOutcome::Cancelled => {}
        }
    }

    /// Ends a task at once; false when it has ended already.
    fn end_whole(&mut self, key: TaskKey, result: TaskResult, at: Timestamp) -> bool {
        let stage = self.tasks[key.task as usize].stage;
        if let Stage::Ended(_) = stage {
            return false;
        }
        let (active, task_runs) = match self.items.get_mut(&key.task) {
            Some(items) => (items.active(), items.end_rest(result)),
            None => (u32::from(stage == Stage::Active), self.definition.tasks[key.task as usize].items()),
        };
        self.tally.active -= active;
        self.tally.counts.add(result, task_runs);
        self.end_task(key.task, result, at);
        true
    }

    /// Ends one item, and with the last one its task; false when it has ended already.
    fn end_item(&mut self, key: TaskKey, outcome: &TaskOutcome, at: Timestamp) -> bool {
        // An item ends only after it was active, but a fold of a whole history may not have seen that.
        self.begin(key);
        let items = self.items.get_mut(&key.task).expect("an item that began has its items");
        if !items.end(key.item, outcome.result(), at) {
            return false;
        }
        self.tally.active -= 1;
        self.tally.counts.add(outcome.result(), 1);
        match items.result() {
            Some(result) => self.end_task(key.task, result, at),
            None => self.set_going(key.task),
        }
        true
    }

    /// The task has ended: its children have one parent less to wait for.
    fn end_task(&mut self, task: TaskIndex, result: TaskResult, at: Timestamp) {
        let progress = &mut self.tasks[task as usize];
        (progress.stage, progress.since) = (Stage::Ended(result), at);
        self.tally.unended -= 1;
        while self.doomed.front().is_some_and(|(task, _)| self.tasks[*task as usize].stage != Stage::Doomed) {
            self.doomed.pop_front();
        }
        let definition = self.definition.clone();
        for child in definition.graph.children(task) {
            if let Stage::Waiting { open } = &mut self.tasks[*child as usize].stage {
                *open -= 1;
                if *open == 0 {
                    self.open_task(*child);
                }
            }
        }
    }

    /// The task run has an actor from now on; nothing when it has one already or has ended.
    pub(super) fn begin(&mut self, key: TaskKey) {
        if self.definition.tasks[key.task as usize].foreach.is_some() {
            self.ensure_items(key.task);
        }
        let stage = self.tasks[key.task as usize].stage;
        let begun = match (self.items.get_mut(&key.task), stage) {
            (_, Stage::Ended(_)) | (None, Stage::Active) => false,
            (Some(items), _) => {
                let waits = items.stage(key.item) == Some(ItemStage::Waiting);
                if waits {
                    items.begin(key.item);
                }
                waits
            }
            (None, _) => {
                self.tasks[key.task as usize].stage = Stage::Active;
                true
            }
        };
        self.tally.active += u32::from(begun);
        if begun && self.items.contains_key(&key.task) {
            self.set_going(key.task);
        }
    }

    pub(super) fn ensure_items(&mut self, task: TaskIndex) {
        let Some(foreach) = &self.definition.tasks[task as usize].foreach else { return };
        let count = foreach.items.len() as u32;
        self.items.entry(task).or_insert_with(|| Items::new(count, foreach.parallel));
    }

    /// The task may run: it takes its place in the order, once, and is ready while something of it can be taken.
    pub(super) fn set_going(&mut self, task: TaskIndex) {
        let stage = self.tasks[task as usize].stage;
        if let Stage::Ended(_) = stage {
            return;
        }
        let place = match (self.items.get_mut(&task), stage) {
            (Some(items), Stage::Waiting { .. } | Stage::Open) => {
                items.place = self.frontier.place();
                items.place
            }
            (Some(items), _) => items.place,
            (None, _) => self.frontier.place(),
        };
        let takable = self.items.get(&task).is_none_or(|items| items.takable().is_some());
        let starts = matches!(self.header.phase, RunPhase::Running { .. });
        self.tasks[task as usize].stage = match takable && starts {
            true => Stage::Ready { place },
            false => Stage::Active,
        };
        if takable && starts && !matches!(stage, Stage::Ready { .. }) {
            self.frontier.push(task, place);
        }
    }

    /// Opens every task that waits for nothing; the run has just started or been restored.
    pub(super) fn open_all(&mut self) {
        for task in 0..self.tasks.len() {
            if self.tasks[task].stage == (Stage::Waiting { open: 0 }) {
                self.open_task(task as TaskIndex);
            }
        }
    }

    /// The task's parents have all ended: it is to be judged, in a run that still starts something.
    fn open_task(&mut self, task: TaskIndex) {
        if let RunPhase::Running { started_at } = self.header.phase {
            let since = self.opened_at(task, started_at);
            let progress = &mut self.tasks[task as usize];
            (progress.stage, progress.since) = (Stage::Open, since);
            self.open.push_back(task);
        }
    }

    /// When the last of the task's parents, all of which have ended, did, or the run started.
    pub(super) fn opened_at(&self, task: TaskIndex, started_at: Timestamp) -> Timestamp {
        let parents = self.definition.graph.parents(task).iter();
        parents.map(|parent| self.tasks[*parent as usize].since).fold(started_at, Timestamp::max)
    }

    fn start_nothing(&mut self) {
        self.open = Default::default();
        self.doomed = Default::default();
        self.frontier.clear();
    }

    /// Counts again what follows from the tasks' stages: waiting parents and the sums.
    pub(super) fn recount(&mut self) {
        let mut tally = Tally { first_failed: self.tally.first_failed, ..Tally::default() };
        for task in 0..self.tasks.len() {
            let index = task as TaskIndex;
            let stage = self.tasks[task].stage;
            let items = self.items.get(&index);
            tally.unended += u32::from(!matches!(stage, Stage::Ended(_)));
            match (items, stage) {
                (Some(items), _) => {
                    items.ended().for_each(|result| tally.counts.add(result, 1));
                    tally.active += items.active();
                }
                (None, Stage::Ended(result)) => {
                    tally.counts.add(result, self.definition.tasks[task].items());
                }
                (None, Stage::Active) => tally.active += 1,
                (None, _) => {}
            }
            if let Stage::Waiting { .. } = stage {
                let open = self.open_parents(index).count() as u32;
                self.tasks[task].stage = Stage::Waiting { open };
            }
        }
        self.tally = tally;
    }

    /// Of the whole run, ended or not.
    pub(super) fn task_runs(&self) -> u32 {
        self.definition.tasks.iter().map(|task| task.items()).sum()
    }
}

/// Decisions never make such an event; a fold must not fail over one.
fn illegal(what: &dyn Debug, state: &dyn Debug) {
    debug_assert!(false, "{what:?} does not fit {state:?}");
}
