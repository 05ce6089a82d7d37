//! The values an expression may see, borrowed from whoever evaluates; only what an expression uses is copied.
//! Must not know the syntax of expressions.

use std::borrow::Cow;
use std::collections::BTreeMap;

use minijinja::value::{Serde, Value as Dynamic};
use serde_json::Value;

use super::Reference;

/// What `inputs`, `tasks`, `run`, `attempt` and the item's name stand for.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub inputs: &'a BTreeMap<String, Value>,
    /// Looked up only for the tasks an expression names.
    pub tasks: &'a dyn Tasks,
    /// The name that `foreach.as` gives and the item; none outside of a `foreach`.
    pub item: Option<(&'a str, &'a Value)>,
    /// None before there is a run, as for the defaults of inputs.
    pub run: Option<&'a RunScope>,
    /// None before there is an attempt, as for conditions.
    pub attempt: Option<u16>,
}

/// Finds what an expression may know of a task; none for a task that does not exist.
pub trait Tasks {
    fn task(&self, id: &str) -> Option<TaskScope<'_>>;
}

/// No task at all.
#[derive(Clone, Copy, Debug)]
pub struct NoTasks;

impl Tasks for NoTasks {
    fn task(&self, _: &str) -> Option<TaskScope<'_>> {
        None
    }
}

/// `tasks.ID`.
#[derive(Clone, Debug)]
pub struct TaskScope<'a> {
    /// As people see it: `succeeded`, `failed`, `skipped`, …
    pub state: &'a str,
    pub outputs: Cow<'a, BTreeMap<String, Value>>,
}

/// `run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunScope {
    pub id: String,
    /// The workflow's name without its namespace.
    pub workflow: String,
    pub namespace: String,
}

impl std::fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Scope { inputs, tasks: _, item, run, attempt } = self;
        f.debug_struct("Scope")
            .field("inputs", inputs)
            .field("item", item)
            .field("run", run)
            .field("attempt", attempt)
            .finish_non_exhaustive()
    }
}

impl Scope<'_> {
    /// Everything the references name, and little else.
    pub(super) fn context(&self, references: &[Reference]) -> Dynamic {
        let mut root = Tree::default();
        for Reference { path, .. } in references {
            let path = &path[..path.len().min(copied_steps(&path[0]))];
            let known =
                (1..=path.len()).rev().find_map(|length| Some((length, self.value(&path[..length])?)));
            if let Some((length, value)) = known {
                root.put(&path[..length], value);
            }
        }
        root.into_value()
    }

    /// What a path stands for.
    pub(super) fn value(&self, path: &[String]) -> Option<Value> {
        let (first, rest) = path.split_first()?;
        match (first.as_str(), rest) {
            ("inputs", []) => {
                Some(self.inputs.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
            }
            ("inputs", [name, steps @ ..]) => walk(self.inputs.get(name)?, steps),
            ("tasks", [id, steps @ ..]) => task(&self.tasks.task(id)?, steps),
            ("run", steps) => run(self.run?, steps),
            ("attempt", []) => self.attempt.map(Value::from),
            (name, steps) => match self.item {
                Some((item_name, item)) if item_name == name => walk(item, steps),
                _ => None,
            },
        }
    }
}

/// How many steps of a path are looked up before the evaluator walks on by itself.
fn copied_steps(first: &str) -> usize {
    match first {
        "inputs" | "run" => 2,
        "tasks" => 4,
        _ => 1,
    }
}

fn walk(value: &Value, steps: &[String]) -> Option<Value> {
    let found = steps.iter().try_fold(value, |value, step| match value {
        Value::Object(map) => map.get(step),
        Value::Array(list) => list.get(step.parse::<usize>().ok()?),
        _ => None,
    });
    found.cloned()
}

fn task(scope: &TaskScope<'_>, steps: &[String]) -> Option<Value> {
    let outputs =
        || scope.outputs.iter().map(|(name, value)| (name.clone(), value.clone())).collect::<Value>();
    let (first, rest) = match steps.split_first() {
        Some((first, rest)) => (first.as_str(), rest),
        None => return Some(serde_json::json!({"state": scope.state, "outputs": outputs()})),
    };
    match (first, rest) {
        ("state", []) => Some(scope.state.into()),
        ("outputs", []) => Some(outputs()),
        ("outputs", [name, steps @ ..]) => walk(scope.outputs.get(name)?, steps),
        _ => None,
    }
}

fn run(scope: &RunScope, steps: &[String]) -> Option<Value> {
    let RunScope { id, workflow, namespace } = scope;
    walk(&serde_json::json!({"id": id, "workflow": workflow, "namespace": namespace}), steps)
}

/// A context under construction: paths put one by one.
#[derive(Default)]
struct Tree {
    value: Option<Value>,
    children: BTreeMap<String, Tree>,
}

impl Tree {
    fn put(&mut self, path: &[String], value: Value) {
        match path.split_first() {
            None => self.value = Some(value),
            Some((first, rest)) => self.children.entry(first.clone()).or_default().put(rest, value),
        }
    }

    /// A value put for a whole path holds everything put below it.
    fn into_value(self) -> Dynamic {
        match self.value {
            Some(value) => Dynamic::from(Serde(value)),
            None => {
                Dynamic::from_pairs(self.children.into_iter().map(|(name, child)| (name, child.into_value())))
            }
        }
    }
}
