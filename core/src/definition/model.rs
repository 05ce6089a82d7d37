//! What a workflow definition says, after it was checked: every reference resolved, every default filled in.
//! Must not know YAML: `parse` makes these from text, `canonical` writes and reads them as JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Graph;
use crate::dispatch::{Amounts, KindTag, LabelRule, Shape, ZoneWish};
use crate::id::{LimitName, Name, TaskIndex, WorkflowName};
use crate::limit::Want;
use crate::schedule::{CatchUp, Overlap, Policy, Timing};
use crate::time::Span;

/// Largest definition text.
pub const DEFINITION_BYTES_MAX: usize = 16 << 20;
/// Most tasks of a workflow; task runs of all `foreach` items count against it too.
pub const TASKS_MAX: usize = 100_000;
/// Most `needs` of a workflow together.
pub const EDGES_MAX: usize = 1_000_000;
/// Most schedules of a workflow; each has a row and an alarm.
pub const SCHEDULES_MAX: usize = 100;
/// Largest inputs of one run, as JSON.
pub const INPUTS_BYTES_MAX: usize = 256 << 10;
/// Largest outputs of one attempt, as JSON.
pub const OUTPUTS_BYTES_MAX: usize = 64 << 10;

/// A checked definition. Immutable; shared by every run of its version.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    pub name: WorkflowName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Input>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: Priority,
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_failure: OnFailure,
    #[serde(default, skip_serializing_if = "is_default")]
    pub concurrency: Concurrency,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<Schedule>,
    /// In the order of the file; a task's place here is its index.
    pub tasks: Vec<Task>,
    /// Parents and children by index; agrees with `tasks`.
    pub graph: Graph,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    pub id: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    pub kind: TaskKind,
    /// The worker group it asks for.
    #[serde(default = "default_group", skip_serializing_if = "is_default_group")]
    pub group: Name,
    #[serde(default, skip_serializing_if = "is_default")]
    pub priority: Priority,
    /// Of its first request.
    #[serde(default = "one_slot", skip_serializing_if = "is_one_slot")]
    pub slots: u32,
    /// What it takes of a worker, alternatives in the order of preference; none means its slots and nothing else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<Amounts>,
    /// What it says about the worker itself.
    #[serde(default, skip_serializing_if = "is_default")]
    pub place: PlaceWish,
    /// What it must hold while it runs, in the order of the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Want>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub retry: Retry,
    /// Of one attempt; none means no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub run_if: RunIf,
    #[serde(default, skip_serializing_if = "is_default")]
    pub delivery: Delivery,
    /// A condition without braces, checked for syntax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Values may hold `{{ }}`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub outputs: BTreeMap<String, ValueType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreach: Option<Foreach>,
}

/// On which workers of its group a task would like to run.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PlaceWish {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<LabelRule>,
    #[serde(default, skip_serializing_if = "is_default")]
    pub zone: ZoneWish,
}

/// When a workflow starts by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    pub id: Name,
    pub timing: Timing,
    #[serde(default, skip_serializing_if = "is_default")]
    pub catch_up: CatchUp,
    #[serde(default, skip_serializing_if = "is_default")]
    pub overlap: Overlap,
    /// Whether it is switched on when it is first applied; people switch it afterwards.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub enabled: bool,
    /// Of its runs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub inputs: BTreeMap<String, Value>,
}

impl Schedule {
    pub fn policy(&self) -> Policy {
        Policy { catch_up: self.catch_up, overlap: self.overlap }
    }
}

impl Task {
    /// What it takes of a worker: at least one alternative.
    pub fn requests(&self) -> Vec<Amounts> {
        match self.resources.is_empty() {
            true => vec![Amounts::slots(u64::from(self.slots))],
            false => self.resources.clone(),
        }
    }

    /// What decides where its runs fit, in that namespace.
    pub fn shape(&self, namespace: &Name) -> Shape {
        Shape {
            group: self.group.clone(),
            namespace: namespace.clone(),
            kind: KindTag::from(&self.kind),
            requests: self.requests(),
            labels: self.place.labels.clone(),
            zone: self.place.zone.clone(),
        }
    }

    /// How many task runs the task makes: one, or one per item.
    pub fn items(&self) -> u32 {
        self.foreach.as_ref().map_or(1, |foreach| foreach.items.len() as u32)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    Shell(Shell),
    /// Done at once in the agent; starts no process.
    Noop,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shell {
    pub source: ShellSource,
    /// The program that reads the script: a path, or a name looked up in the worker's `PATH`. Default `sh`.
    #[serde(default = "default_interpreter", skip_serializing_if = "is_default_interpreter")]
    pub interpreter: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ShellSource {
    /// The script's text, given to the interpreter as a file.
    Script(String),
    /// A path on the worker's host.
    File(String),
}

/// An input of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    pub name: Name,
    pub r#type: InputType,
    /// May hold `{{ }}` when it is text; none means that a start must give the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputType {
    String,
    Int,
    Float,
    Bool,
    /// `2026-11-20`
    Date,
    /// One of these texts.
    Enum(Vec<String>),
}

/// The type of an output that a task declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    String,
    Int,
    Float,
    Bool,
    Json,
}

/// Five levels, best first in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    Highest,
    High,
    #[default]
    Normal,
    Low,
    Lowest,
}

/// What a failed task means for the rest of its run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Independent branches go on.
    #[default]
    Continue,
    /// Running tasks finish, nothing new starts, the rest become skipped.
    Stop,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concurrency {
    /// Most runs of the workflow at a time; none means any number.
    pub runs: Option<u32>,
    pub when_full: WhenFull,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    #[default]
    Queue,
    /// A start is refused.
    Skip,
    CancelOldest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Tries after the first.
    pub max: u32,
    pub delay: Span,
    pub backoff: Backoff,
    pub max_delay: Span,
    /// Each delay is drawn from ± this many per cent.
    pub jitter_percent: u8,
}

/// No retries; with `max` above 0, every 10 seconds.
impl Default for Retry {
    fn default() -> Retry {
        Retry {
            max: 0,
            delay: Span::from_secs(10),
            backoff: Backoff::Fixed,
            max_delay: Span::from_secs(600),
            jitter_percent: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    #[default]
    Fixed,
    /// Doubles from try to try, up to `max_delay`.
    Exponential,
}

/// What follows when the worker of an attempt is lost, and so nobody knows how far the attempt came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Another attempt, once the loss is committed.
    #[default]
    AtLeastOnce,
    /// The task run fails.
    AtMostOnce,
}

/// Which results of the parents let a task run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunIf {
    #[default]
    AllSuccess,
    AllDone,
    OneSuccess,
    OneFailed,
    NoneFailed,
    Always,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Foreach {
    /// Literal values; text may hold `{{ }}`.
    pub items: Vec<Value>,
    /// The name under which templates see the item.
    pub r#as: String,
    /// Most items at a time; none means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parallel: Option<u32>,
}

impl Definition {
    /// The task of that id.
    pub fn task(&self, id: &str) -> Option<(TaskIndex, &Task)> {
        let index = self.tasks.iter().position(|task| task.id.as_str() == id)?;
        Some((index as TaskIndex, &self.tasks[index]))
    }

    /// All limits that its tasks want.
    pub fn limits(&self) -> BTreeSet<LimitName> {
        let wants = self.tasks.iter().flat_map(|task| &task.limits);
        let namespace = &self.name.namespace;
        wants.map(|want| LimitName { namespace: namespace.clone(), name: want.key.clone() }).collect()
    }

    /// The schedule of that id.
    pub fn schedule(&self, id: &Name) -> Option<&Schedule> {
        self.schedules.iter().find(|schedule| schedule.id == *id)
    }
}

// What has its default is left out of the JSON: 100,000 tasks stay a few MB.

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The worker group of tasks that name none.
pub(super) fn default_group() -> Name {
    Name::new("default").expect("a valid name")
}

fn is_default_group(group: &Name) -> bool {
    group.as_str() == "default"
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

fn one_slot() -> u32 {
    1
}

fn is_one_slot(slots: &u32) -> bool {
    *slots == 1
}

/// The interpreter of scripts that name none.
pub(super) fn default_interpreter() -> String {
    "sh".into()
}

fn is_default_interpreter(interpreter: &str) -> bool {
    interpreter == "sh"
}
