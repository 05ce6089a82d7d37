//! What the actors of one run share: its definition, inputs, the outputs so far, and the way back to the RunActor.
//! It answers what conditions and templates may see.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use hortator_core::definition::{Definition, Task};
use hortator_core::event::{TaskOutcome, TaskResult};
use hortator_core::expression::{self, ExpressionError, Scope, TaskScope, Tasks};
use hortator_core::id::{RunId, TaskIndex, TaskKey};
use hortator_core::task_run::Stance;
use serde_json::Value;

use crate::mailbox::Mailbox;
use crate::run::{DecisionFailed, RunActor, TasksEnded};

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
    /// Why a task run's decider failed, until the RunActor has looked.
    failure: RefCell<Option<String>>,
    actor: RefCell<Option<Mailbox<RunActor>>>,
}

struct Known {
    word: &'static str,
    outputs: BTreeMap<String, Value>,
}

impl RunScope {
    pub fn new(run: RunId, definition: Arc<Definition>, inputs: BTreeMap<String, Value>) -> RunScope {
        let names = expression::RunScope {
            id: run.to_string(),
            workflow: definition.name.name.to_string(),
            namespace: definition.name.namespace.to_string(),
        };
        RunScope {
            run,
            speaks_of_tasks: definition.tasks.iter().any(speaks_of_tasks),
            definition,
            inputs,
            names,
            known: RefCell::default(),
            ended: RefCell::default(),
            stance: Cell::default(),
            failure: RefCell::default(),
            actor: RefCell::default(),
        }
    }

    pub fn task(&self, key: TaskKey) -> &Task {
        &self.definition.tasks[key.task as usize]
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
