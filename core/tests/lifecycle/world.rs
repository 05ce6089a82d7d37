//! A run with its task runs, rows and history, moved by hand: what the actors around the deciders do, without them.
//! Whatever it is asked, it checks afterwards that the run, its rows and its history still tell the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use hortator_core::definition::Definition;
use hortator_core::event::{AttemptResult, Event, RunOutcome, Share, TaskResult};
use hortator_core::id::{Fence, TaskIndex, TaskKey, WorkerRef};
use hortator_core::replay::Replay;
use hortator_core::run::{
    self, Activation, Answer, Conditions, RunCommand, RunPhase, RunRejection, RunState, Standing, WHOLE_TASK,
};
use hortator_core::task_run::{
    self, Outstanding, Rejection, Stance, TaskCommand, TaskPhase, TaskSpec, TaskState,
};
use hortator_core::time::{Span, Timestamp};

use crate::definitions::{header, name};
use crate::task_stories::{end, fence};

/// Knows the conditions `true` and `false`; everything else is an error.
pub(crate) struct Words;

impl Conditions for Words {
    fn evaluate(&mut self, _: &RunState, _: TaskIndex, expression: &str) -> Result<Answer, String> {
        match expression {
            "true" => Ok(Answer::True),
            "false" => Ok(Answer::False { values: BTreeMap::new() }),
            other => Err(format!("{other} has no value")),
        }
    }
}

pub(crate) struct World {
    pub(crate) run: RunState,
    /// The actors of active task runs.
    pub(crate) actors: BTreeMap<TaskKey, TaskState>,
    /// With the position that wrote them last.
    pub(crate) rows: BTreeMap<TaskKey, (TaskState, u64)>,
    pub(crate) history: Vec<(Timestamp, Event)>,
    pub(crate) now: Timestamp,
    index: u64,
    /// Most task runs per decision and per call of `take_ready`.
    pub(crate) page: usize,
    /// Most active task runs.
    pub(crate) window: usize,
}

impl World {
    pub(crate) fn new(definition: Arc<Definition>) -> World {
        World {
            run: RunState::new(header(), definition),
            actors: BTreeMap::new(),
            rows: BTreeMap::new(),
            history: Vec::new(),
            now: Timestamp(0),
            index: 0,
            page: 1000,
            window: usize::MAX,
        }
    }

    pub(crate) fn wait(&mut self, seconds: u64) {
        self.now = self.now.plus(Span::from_secs(seconds));
    }

    pub(crate) fn definition(&self) -> Arc<Definition> {
        self.run.definition().clone()
    }

    /// Tells the run, writes down what comes of it, and lets the run go on as far as it can.
    pub(crate) fn tell(&mut self, command: &RunCommand) -> Result<(), RunRejection> {
        let events = run::decide(&self.run, command, self.now)?;
        self.write(events);
        self.pump();
        Ok(())
    }

    /// Tells a task run's actor; its end goes to the run.
    pub(crate) fn tell_task(&mut self, key: TaskKey, command: &TaskCommand) -> Result<(), Rejection> {
        let definition = self.definition();
        let spec = TaskSpec::new(&definition.tasks[key.task as usize], self.run.header().stance());
        let state = self.actors.get_mut(&key).expect("an actor");
        let events = task_run::decide(state, &spec, command, 0, self.now)?;
        self.index += 1;
        for event in &events {
            state.apply(event, self.now);
            self.history.push((self.now, event.clone()));
        }
        if !events.is_empty() {
            self.rows.insert(key, (state.clone(), self.index));
        }
        // The entry is placed at once.
        state.resolve_fence(fence(self.index));
        if let Some(Event::TaskEnded { outcome, .. }) = events.last() {
            self.actors.remove(&key);
            let ended = RunCommand::TaskEnded { key, outcome: outcome.clone() };
            let follow = run::decide(&self.run, &ended, self.now).expect("the run knows its task run");
            self.run.apply(events.last().unwrap(), self.now);
            self.write(follow);
        }
        self.pump();
        Ok(())
    }

    pub(crate) fn grant(&mut self, key: TaskKey) -> Result<(), Rejection> {
        let worker = WorkerRef { name: name("w"), incarnation: 1 };
        self.tell_task(key, &TaskCommand::Grant { worker, share: Share::default() })
    }

    /// The word of the worker that holds the task run's attempt.
    pub(crate) fn report(&mut self, key: TaskKey, result: AttemptResult) -> Result<(), Rejection> {
        let (attempt, fence) = self.attempt(key).expect("an attempt");
        self.tell_task(key, &TaskCommand::Report { attempt, fence, end: end(result) })
    }

    pub(crate) fn attempt(&self, key: TaskKey) -> Option<(u16, Fence)> {
        let attempt = self.actors.get(&key)?.attempt()?;
        match attempt.fence {
            task_run::FenceAt::Known(fence) => Some((attempt.number, fence)),
            task_run::FenceAt::ThisRow => panic!("every entry is placed at once"),
        }
    }

    /// A new leader: everything soft is gone, and found again in the rows.
    pub(crate) fn restart(&mut self) {
        let (run, active) = self.restored();
        self.run = run;
        self.actors = active.into_iter().map(|state| (state.key, state)).collect();
        self.pump();
    }

    fn restored(&self) -> (RunState, Vec<TaskState>) {
        let rows = self.rows.values().map(|(state, index)| {
            let mut state = state.clone();
            state.resolve_fence(fence(*index));
            state
        });
        RunState::restore(self.run.header().clone(), self.definition(), rows)
    }

    fn write(&mut self, events: Vec<Event>) {
        self.index += 1;
        for event in events {
            if let Event::TaskEnded { key, outcome } = &event {
                let (round, attempts) = (self.run.header().round, self.run.attempts(*key));
                let row = TaskState::ended(*key, round, attempts, outcome.clone(), self.now);
                self.rows.insert(*key, (row, self.index));
            }
            self.run.apply(&event, self.now);
            self.history.push((self.now, event));
        }
    }

    /// What follows without anyone's word: judgements, ends, activations, and the end of waiting task runs whose run
    /// starts nothing any more.
    fn pump(&mut self) {
        loop {
            self.settle();
            let command = match self.run.header().stance() {
                Stance::Going => break,
                Stance::Stopping => TaskCommand::Stop,
                Stance::Cancelling | Stance::Quarantined => TaskCommand::Cancel,
            };
            let told: Vec<_> =
                self.actors.values().filter(|state| asks(state, &command)).map(|s| s.key).collect();
            let Some(key) = told.first() else { break };
            self.tell_task(*key, &command).expect("a waiting task run can be ended");
        }
        let window = self.window;
        while self.actors.len() < window {
            let limit = self.page.min(window - self.actors.len());
            let taken = self.run.take_ready(limit, &mut |_| true);
            if taken.is_empty() {
                break;
            }
            for Activation { key, round, attempts, since } in taken {
                let known = self.actors.insert(key, TaskState::ready(key, round, attempts, since));
                assert_eq!(known, None, "one actor per task run");
            }
        }
    }

    fn settle(&mut self) {
        loop {
            let judged = self.run.judge(self.page, &mut Words);
            let events = run::decide(&self.run, &RunCommand::Advance { limit: self.page }, self.now).unwrap();
            assert!(events.len() <= self.page + 1, "a decision is bounded");
            if judged == 0 && events.is_empty() {
                break;
            }
            self.write(events);
        }
    }

    // What always holds.

    pub(crate) fn check(&self) {
        assert_eq!(self.run.active() as usize, self.actors.len());
        assert!(self.actors.values().all(|state| !matches!(state.phase, TaskPhase::Ended { .. })));
        self.check_finish();
        self.check_parallel();
        self.check_history();
        let live = view(self.run.clone());
        assert_eq!(live, view(self.restored().0), "restored from rows");
        let mut replay = Replay::new(header(), self.definition());
        self.history.iter().for_each(|(at, event)| replay.apply(event, *at));
        let restored = self.restored().0;
        self.check_since(restored.clone());
        for key in keys(&self.definition()) {
            assert_eq!(restored.attempts(key), replay.run().attempts(key), "{key:?}");
        }
        assert_eq!(live, view(replay.run().clone()), "folded from history");
        self.check_replay(&replay);
    }

    /// Whoever reads the history sees each task run as the rows and the actors have it.
    fn check_replay(&self, replay: &Replay) {
        for then in replay.tasks(self.now) {
            let whole = TaskKey { item: WHOLE_TASK, ..then.key };
            let row = self.rows.get(&then.key).or_else(|| self.rows.get(&whole));
            let mut row = row.map(|(row, _)| row.clone()).filter(|row| self.run.header().counts(row));
            let word = self.run.header().task_word(row.as_ref(), self.now);
            match (&row, self.actors.contains_key(&then.key)) {
                (None, true) => assert_eq!(then.word, "ready", "{:?}", then.key),
                // It may run, and waits for room among the active task runs.
                (None, false) if then.word == "ready" => {
                    assert_eq!(self.run.standing(then.key), Some(Standing::Ready), "{:?}", then.key);
                }
                (_, _) => assert_eq!(then.word, word, "{:?}", then.key),
            }
            // A history does not say where it lies.
            if let Some(TaskPhase::Dispatched(attempt) | TaskPhase::Stopping { attempt, .. }) =
                row.as_mut().map(|row| &mut row.phase)
            {
                attempt.fence = task_run::FenceAt::ThisRow;
            }
            assert_eq!(then.row, row.as_ref(), "{:?}", then.key);
        }
    }

    /// What is ready without a row is ready again after a restore, since the same time. (An item that waited for
    /// its task's other items may seem younger.)
    fn check_since(&self, mut restored: RunState) {
        while restored.judge(7, &mut Words) > 0 {}
        for Activation { key, since, .. } in restored.take_ready(usize::MAX, &mut |_| true) {
            let foreach = &self.definition().tasks[key.task as usize].foreach;
            if let (Some(actor), true) =
                (self.actors.get(&key), foreach.as_ref().is_none_or(|f| f.parallel.is_none()))
            {
                assert_eq!(actor.ready_at(), Some(since), "{key:?}");
            }
        }
    }

    /// The run has finished exactly when nothing is left that could still happen.
    fn check_finish(&self) {
        let counts = self.run.counts();
        match &self.run.header().phase {
            RunPhase::Queued => assert!(self.actors.is_empty()),
            RunPhase::Quarantined { .. } => panic!("no decider fails here"),
            RunPhase::Running { .. } | RunPhase::Stopping { .. } | RunPhase::Cancelling { .. } => {
                assert!(!self.actors.is_empty(), "it goes on by its active task runs only");
            }
            RunPhase::Finished { outcome, counts: all, cancel, first_failed, .. } => {
                assert!(self.actors.is_empty());
                assert_eq!(all.total() as usize, task_runs(&self.definition()));
                assert_eq!(first_failed.is_some(), counts.failed > 0 || self.whole_failed());
                match outcome {
                    RunOutcome::Cancelled => assert!(cancel.is_some()),
                    RunOutcome::Failed => assert!(first_failed.is_some()),
                    RunOutcome::Succeeded => assert_eq!((counts.failed, all.cancelled), (0, 0)),
                }
            }
        }
    }

    /// A `foreach` without items may fail over its condition and has no task run that counts.
    fn whole_failed(&self) -> bool {
        (0..self.definition().tasks.len())
            .any(|task| self.run.result(task as u32) == Some(TaskResult::Failed))
    }

    fn check_parallel(&self) {
        let definition = self.definition();
        for (index, task) in definition.tasks.iter().enumerate() {
            if let Some(parallel) = task.foreach.as_ref().and_then(|foreach| foreach.parallel) {
                let active = self.actors.keys().filter(|key| key.task == index as u32).count();
                assert!(active <= parallel as usize);
            }
        }
    }

    /// No attempt before all parents have ended, none after a stop, none twice; nothing after the finish.
    fn check_history(&self) {
        let definition = self.definition();
        let mut state = RunState::new(header(), definition.clone());
        let mut numbers: BTreeMap<TaskKey, u16> = BTreeMap::new();
        for (at, event) in &self.history {
            match &state.header().phase {
                RunPhase::Finished { .. } => assert!(matches!(event, Event::RunRetried { .. })),
                RunPhase::Queued => assert!(event.task_key().is_none()),
                _ => {}
            }
            if let Event::AttemptDispatched { key, attempt, ready_at, .. } = event {
                assert_eq!(state.header().stance(), Stance::Going);
                assert_eq!(state.open_parents(key.task).count(), 0);
                let newest = numbers.insert(*key, *attempt).unwrap_or(0);
                assert_eq!(*attempt, newest + 1, "numbers go on, over retries of the run too");
                assert!(ready_at <= at);
            }
            if let Event::AttemptRefused { key, attempt, .. } = event {
                numbers.insert(*key, attempt - 1);
            }
            state.apply(event, *at);
        }
    }
}

fn asks(state: &TaskState, command: &TaskCommand) -> bool {
    match (&state.phase, command) {
        (TaskPhase::Ready { .. } | TaskPhase::Backoff { .. }, _) => true,
        (TaskPhase::Dispatched(_), TaskCommand::Cancel) => true,
        (TaskPhase::Stopping { cause, .. }, TaskCommand::Cancel) => {
            *cause == hortator_core::event::StopCause::Timeout
        }
        (_, _) => false,
    }
}

pub(crate) fn task_runs(definition: &Definition) -> usize {
    definition.tasks.iter().map(|task| task.items() as usize).sum()
}

/// Every key a row may have.
pub(crate) fn keys(definition: &Definition) -> Vec<TaskKey> {
    let mut keys = Vec::new();
    for (index, spec) in definition.tasks.iter().enumerate() {
        let task = index as TaskIndex;
        keys.extend((0..spec.items()).map(|item| TaskKey { task, item }));
        keys.extend(spec.foreach.is_some().then_some(TaskKey { task, item: WHOLE_TASK }));
    }
    keys
}

type Outputs = BTreeMap<String, serde_json::Value>;

/// All that a run's state says once everything soft has been found again.
#[derive(Debug, PartialEq)]
pub(crate) struct View {
    phase: RunPhase,
    round: u32,
    counts: hortator_core::event::ResultCounts,
    standings: BTreeMap<TaskKey, Standing>,
    outputs: BTreeMap<TaskKey, Outputs>,
}

fn view(mut state: RunState) -> View {
    while state.judge(7, &mut Words) > 0 {}
    while !state.take_ready(3, &mut |_| true).is_empty() {}
    let keys = keys(state.definition());
    View {
        phase: state.header().phase.clone(),
        round: state.header().round,
        counts: state.counts(),
        standings: keys.iter().filter_map(|key| Some((*key, state.standing(*key)?))).collect(),
        outputs: keys.iter().filter_map(|key| Some((*key, state.outputs(*key)?.clone()))).collect(),
    }
}

/// The active task runs of which the outside has this to do.
pub(crate) fn by_effect(world: &World, effect: Outstanding) -> Vec<TaskKey> {
    world.actors.values().filter(|state| state.effect() == effect).map(|state| state.key).collect()
}
