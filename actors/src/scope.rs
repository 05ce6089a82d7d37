//! What the actors of one run share: its definition, inputs, the outputs so far, and the way back to the RunActor.
//! It answers what conditions and templates may see.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hortator_core::definition::{Definition, Task};
use hortator_core::dispatch::{Durations, Shape, TaskTag, learned_paths, path_left};
use hortator_core::event::{TaskOutcome, TaskResult};
use hortator_core::expression::{self, ExpressionError, Scope, TaskScope, Tasks};
use hortator_core::id::{RunId, TaskIndex, TaskKey, fnv1a64};
use hortator_core::run::{RunState, Window};
use hortator_core::task_run::Stance;
use hortator_core::time::{Span, Timestamp};
use serde_json::Value;

use crate::mailbox::Mailbox;
use crate::run::{DecisionFailed, RoomMade, RunActor, TasksEnded};

/// See the module.
pub struct RunScope {
    pub run: RunId,
    pub definition: Arc<Definition>,
    pub inputs: BTreeMap<String, Value>,
    names: expression::RunScope,
    /// Whether any condition or variable speaks of tasks; most workflows' do not, and then nothing is remembered.
    speaks_of_tasks: bool,
    /// Of ended tasks, what conditions and templates may ask for.
    known: RefCell<BTreeMap<TaskIndex, Known>>,
    /// Task runs whose end is handed in and that the RunActor has not looked at yet. At most one per task run.
    ended: RefCell<Vec<(TaskKey, TaskOutcome)>>,
    stance: Cell<Stance>,
    /// Of each task that was asked for; equal ones are one.
    shapes: RefCell<Shapes>,
    forecast: OnceCell<Forecast>,
    /// When the attempts that have not ended were dispatched.
    began: RefCell<BTreeMap<TaskKey, Timestamp>>,
    window: RefCell<Window>,
    /// Whether the RunActor is to look for more that may enter the window.
    has_room: Cell<bool>,
    /// Why a task run's decider failed, until the RunActor has looked.
    failure: RefCell<Option<String>>,
    actor: RefCell<Option<Mailbox<RunActor>>>,
}

/// Shapes of tasks.
#[derive(Default)]
struct Shapes {
    of_tasks: BTreeMap<TaskIndex, Arc<Shape>>,
    distinct: BTreeSet<Arc<Shape>>,
}

/// How long tasks take, as far as was known when the run got its actor.
struct Forecast {
    durations: Durations,
    /// Of each task, to the end of the run.
    paths: Arc<[Span]>,
}

struct Known {
    word: &'static str,
    outputs: BTreeMap<String, Value>,
}

impl RunScope {
    pub fn new(state: &RunState) -> RunScope {
        let (run, definition) = (state.header().id, state.definition().clone());
        let names = expression::RunScope {
            id: run.to_string(),
            workflow: definition.name.name.to_string(),
            namespace: definition.name.namespace.to_string(),
        };
        RunScope {
            run,
            speaks_of_tasks: definition.tasks.iter().any(speaks_of_tasks),
            definition,
            inputs: state.header().inputs.clone(),
            names,
            known: RefCell::default(),
            ended: RefCell::default(),
            stance: Cell::default(),
            shapes: RefCell::default(),
            forecast: OnceCell::new(),
            began: RefCell::default(),
            window: RefCell::new(Window::new(state)),
            has_room: Cell::default(),
            failure: RefCell::default(),
            actor: RefCell::default(),
        }
    }

    pub fn task(&self, key: TaskKey) -> &Task {
        &self.definition.tasks[key.task as usize]
    }

    /// What decides where the task's runs fit.
    pub fn shape(&self, task: TaskIndex) -> Arc<Shape> {
        let Shapes { of_tasks, distinct } = &mut *self.shapes.borrow_mut();
        let shape = of_tasks.entry(task).or_insert_with(|| {
            let namespace = &self.definition.name.namespace;
            let shape = self.task(TaskKey { task, item: 0 }).shape(namespace);
            let known = distinct.get(&shape).cloned();
            known.unwrap_or_else(|| {
                let shape = Arc::new(shape);
                distinct.insert(shape.clone());
                shape
            })
        });
        shape.clone()
    }

    /// What is known of how long its tasks take; later words change nothing.
    pub fn foresee(&self, durations: Durations) {
        self.forecast.get_or_init(|| {
            let paths = learned_paths(&self.definition.graph, &durations).into();
            Forecast { durations, paths }
        });
    }

    /// Of each task, to the end of the run; empty before anything was foreseen.
    pub fn paths(&self) -> Arc<[Span]> {
        self.forecast.get().map(|forecast| forecast.paths.clone()).unwrap_or_default()
    }

    /// Of the longest path from the task's start to the end of the run.
    pub fn remaining(&self, task: TaskIndex) -> Span {
        let path = self.forecast.get().and_then(|forecast| forecast.paths.get(task as usize));
        path.copied().unwrap_or_default()
    }

    /// The same of a task that has run for so long already.
    pub fn left(&self, task: TaskIndex, ran: Span) -> Span {
        let left = |forecast: &Forecast| path_left(&self.definition.graph, &forecast.paths, task, ran);
        self.forecast.get().map(left).unwrap_or_default()
    }

    /// A task run has another attempt, or its attempt is over.
    pub fn note_attempt(&self, key: TaskKey, began: Option<Timestamp>) {
        match began {
            Some(at) => _ = self.began.borrow_mut().insert(key, at),
            None => _ = self.began.borrow_mut().remove(&key),
        }
    }

    pub fn attempt_began(&self, key: TaskKey) -> Option<Timestamp> {
        self.began.borrow().get(&key).copied()
    }

    /// How long the task usually takes, if that is known.
    pub fn expected(&self, key: TaskKey) -> Option<Span> {
        let estimate = self.forecast.get()?.durations.anywhere(key.task)?;
        Some(estimate.p50)
    }

    /// Whether anything was learned of its tasks: otherwise paths count hops.
    pub fn knows_durations(&self) -> bool {
        self.forecast.get().is_some_and(|forecast| forecast.durations.middle().is_some())
    }

    /// The task, in whatever run and version.
    pub fn tag(&self, key: TaskKey) -> TaskTag {
        fnv1a64(format!("{}/{}", self.definition.name, self.task(key).id).as_bytes())
    }

    pub fn stance(&self) -> Stance {
        self.stance.get()
    }

    pub fn set_stance(&self, stance: Stance) {
        self.stance.set(stance);
    }

    /// One of the run's deciders has failed: from now on none of its actors decides more than what ends it.
    pub fn quarantine(&self, reason: String) {
        self.stance.set(Stance::Quarantined);
        *self.failure.borrow_mut() = Some(reason);
        if let Some(actor) = &*self.actor.borrow() {
            // Full means that it has messages to handle, and with each of them it looks here.
            let _ = actor.send(DecisionFailed);
        }
    }

    pub fn take_failure(&self) -> Option<String> {
        self.failure.borrow_mut().take()
    }

    pub fn set_actor(&self, actor: Mailbox<RunActor>) {
        *self.actor.borrow_mut() = Some(actor);
    }

    /// Lets go of the RunActor, which holds this scope.
    pub fn retire(&self) {
        *self.actor.borrow_mut() = None;
    }

    /// A task run's end is handed in: the RunActor is to fold it.
    pub fn task_ended(&self, key: TaskKey, outcome: TaskOutcome) {
        self.ended.borrow_mut().push((key, outcome));
        if let Some(actor) = &*self.actor.borrow() {
            // Full means that it has messages to handle, and with each of them it looks here.
            let _ = actor.send(TasksEnded);
        }
    }

    /// Whether there is anything to take.
    pub fn has_ended(&self) -> bool {
        !self.ended.borrow().is_empty()
    }

    pub fn take_ended(&self) -> Vec<(TaskKey, TaskOutcome)> {
        std::mem::take(&mut self.ended.borrow_mut())
    }

    /// A task run that has an actor waits for a worker from now on.
    pub fn enter_window(&self, key: TaskKey) {
        self.window.borrow_mut().enter(key.task);
    }

    /// It waits no longer: when its place is wanted, the RunActor is to give it away.
    pub fn leave_window(&self, key: TaskKey) {
        if self.window.borrow_mut().leave(key.task) {
            self.has_room.set(true);
            if let Some(actor) = &*self.actor.borrow() {
                // Full means that it has messages to handle, and with each of them it looks here.
                let _ = actor.send(RoomMade);
            }
        }
    }

    /// Takes a place in the window, if there is one.
    pub fn admit(&self, task: TaskIndex) -> bool {
        self.window.borrow_mut().admit(task)
    }

    /// How many in the window ask for the same, and come before it.
    pub fn ahead_in_window(&self, task: TaskIndex) -> u64 {
        self.window.borrow().ahead_of(task)
    }

    /// Whether there is room for what was refused, until the next refusal.
    pub fn take_room(&self) -> bool {
        self.has_room.take()
    }

    /// Remembers what conditions and templates may ask of an ended task.
    pub fn remember(&self, key: TaskKey, outcome: &TaskOutcome) {
        if !self.speaks_of_tasks {
            return;
        }
        let word = outcome.result().word();
        let outputs = match outcome {
            TaskOutcome::Succeeded { outputs } => outputs.clone(),
            TaskOutcome::Failed { .. } | TaskOutcome::Skipped { .. } | TaskOutcome::Cancelled => {
                BTreeMap::new()
            }
        };
        let mut known = self.known.borrow_mut();
        let entry = known.entry(key.task).or_insert_with(|| Known { word, outputs: BTreeMap::new() });
        // Of the items of a `foreach` the worst word counts, and outputs are no single value.
        if outcome.result() != TaskResult::Succeeded {
            entry.word = word;
        }
        if self.task(key).foreach.is_none() {
            entry.outputs = outputs;
        }
    }

    /// Begins a new round: all that has not succeeded is open again.
    pub fn forget(&self, task: TaskIndex) {
        self.known.borrow_mut().remove(&task);
    }

    /// What a task's condition may see: everything but an item and an attempt.
    pub fn of_task(&self) -> Scope<'_> {
        Scope { inputs: &self.inputs, tasks: self, item: None, run: Some(&self.names), attempt: None }
    }

    /// Calls `use_scope` with what the task run's expressions may see. The item is rendered first: its text may hold
    /// templates of its own.
    pub fn with<T>(
        &self,
        engine: &expression::Engine,
        key: TaskKey,
        attempt: Option<u16>,
        use_scope: impl FnOnce(&Scope<'_>, Option<&Value>) -> Result<T, ExpressionError>,
    ) -> Result<T, ExpressionError> {
        let bare = Scope { attempt, ..self.of_task() };
        let Some(foreach) = &self.task(key).foreach else { return use_scope(&bare, None) };
        let item = match &foreach.items[key.item as usize] {
            Value::String(text) if expression::contains_template(text) => {
                Value::String(engine.render(text, &bare)?)
            }
            value => value.clone(),
        };
        use_scope(&Scope { item: Some((&foreach.r#as, &item)), ..bare }, Some(&item))
    }
}

fn speaks_of_tasks(task: &Task) -> bool {
    let items = task.foreach.iter().flat_map(|foreach| &foreach.items).filter_map(Value::as_str);
    let texts = task.when.as_deref().into_iter().chain(task.env.values().map(String::as_str)).chain(items);
    texts.into_iter().any(|text| text.contains("tasks"))
}

impl Tasks for RunScope {
    fn task(&self, id: &str) -> Option<TaskScope<'_>> {
        let (index, _) = self.definition.task(id)?;
        let known = self.known.borrow();
        Some(match known.get(&index) {
            Some(known) => TaskScope { state: known.word, outputs: Cow::Owned(known.outputs.clone()) },
            None => TaskScope { state: "waiting", outputs: Cow::Owned(BTreeMap::new()) },
        })
    }
}

impl std::fmt::Debug for RunScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunScope({})", self.run)
    }
}
