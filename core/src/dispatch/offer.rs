//! A ready task run as the Dispatcher sees it: what it needs (its shape) and when it is its turn (its rank).
//! Must not know the task itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::amounts::Amounts;
use crate::definition::{Priority, TaskKind};
use crate::id::{Name, RunId, TaskKey, TaskRunId};
use crate::reason::Ahead;
use crate::time::{Span, Timestamp};

/// Most alternatives of one request ("1 gpu + 4 cpu or 16 cpu"): people write two or three, and all are tried on every
/// candidate.
pub const REQUESTS_MAX: usize = 8;

/// A task kind by name only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KindTag {
    Shell,
    Noop,
}

impl From<&TaskKind> for KindTag {
    fn from(kind: &TaskKind) -> KindTag {
        match kind {
            TaskKind::Shell(_) => KindTag::Shell,
            TaskKind::Noop => KindTag::Noop,
        }
    }
}

impl fmt::Display for KindTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            KindTag::Shell => "shell",
            KindTag::Noop => "noop",
        })
    }
}

/// What a worker calls itself: zone, architecture, owner.
pub type Labels = BTreeMap<Name, String>;

/// All that decides where a task run fits: what fits one of a shape fits all of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Shape {
    pub group: Name,
    /// Whose quota it uses.
    pub namespace: Name,
    pub kind: KindTag,
    /// Alternatives, the preferred one first; one to `REQUESTS_MAX`.
    pub requests: Vec<Amounts>,
    pub labels: Vec<LabelRule>,
    pub zone: ZoneWish,
}

impl Shape {
    /// One that asks for slots and nothing else.
    pub fn of_slots(group: Name, namespace: Name, kind: KindTag, slots: u64) -> Shape {
        let requests = vec![Amounts::slots(slots)];
        Shape { group, namespace, kind, requests, labels: Vec::new(), zone: ZoneWish::Anywhere }
    }
}

/// What a task says about its worker's labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelRule {
    /// Without it nothing is placed.
    Require(LabelTest),
    /// Workers that meet it come first; `weight` from 1 to 100.
    Prefer { test: LabelTest, weight: u8 },
    /// Attempts of the shape are spread over the values of this label.
    Spread { key: Name },
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LabelTest {
    Is { key: Name, values: Vec<String> },
    IsNot { key: Name, values: Vec<String> },
    Has { key: Name },
}

impl LabelTest {
    pub fn holds(&self, labels: &Labels) -> bool {
        match self {
            LabelTest::Is { key, values } => labels.get(key).is_some_and(|value| values.contains(value)),
            LabelTest::IsNot { key, values } => labels.get(key).is_none_or(|value| !values.contains(value)),
            LabelTest::Has { key } => labels.contains_key(key),
        }
    }

    pub fn key(&self) -> &Name {
        match self {
            LabelTest::Is { key, .. } | LabelTest::IsNot { key, .. } | LabelTest::Has { key } => key,
        }
    }
}

/// As a reason names it: `label zone = eu-1`.
impl fmt::Display for LabelTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LabelTest::Is { key, values } => write!(f, "label {key} = {}", values.join(" or ")),
            LabelTest::IsNot { key, values } => write!(f, "label {key} other than {}", values.join(" or ")),
            LabelTest::Has { key } => write!(f, "label {key}"),
        }
    }
}

/// Where it would rather run, and for how long it insists.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ZoneWish {
    #[default]
    Anywhere,
    /// When nothing of the shape could be placed in the zone for so long, another will do, until the zone has room again.
    Near { zone: String, wait: Span },
}

/// Strict order within a worker group; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    pub run_priority: Priority,
    /// When the run was created; its id decides between equals.
    pub run_created: Timestamp,
    pub task_priority: Priority,
    /// Of the longest path from its start to the end of its run, by learned durations: the longest goes first.
    pub remaining: Span,
    /// Numbers the activations within the run.
    pub activation: u64,
}

/// A ready task run that asks for a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub task_run: TaskRunId,
    pub shape: Arc<Shape>,
    pub rank: Rank,
    /// Since when it is ready.
    pub since: Timestamp,
}

/// Rank and task run in one compact key: a queue is ordered by it, and it says all of an offer but shape and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::dispatch) struct QueueKey {
    run_priority: Priority,
    run_created: Timestamp,
    run: RunId,
    task_priority: Priority,
    /// Milliseconds of remaining path, counted from above.
    shortness: u32,
    activation: u64,
    key: TaskKey,
}

impl QueueKey {
    pub(in crate::dispatch) fn new(rank: &Rank, task_run: TaskRunId) -> QueueKey {
        QueueKey {
            run_priority: rank.run_priority,
            run_created: rank.run_created,
            run: task_run.run,
            task_priority: rank.task_priority,
            shortness: u32::MAX - u32::try_from(rank.remaining.0 / 1000).unwrap_or(u32::MAX),
            activation: rank.activation,
            key: task_run.key,
        }
    }

    pub(in crate::dispatch) fn task_run(&self) -> TaskRunId {
        TaskRunId { run: self.run, key: self.key }
    }

    /// The rank again, its path in whole milliseconds: what another key made of it compares like this one.
    pub(in crate::dispatch) fn rank(&self) -> Rank {
        Rank {
            run_priority: self.run_priority,
            run_created: self.run_created,
            task_priority: self.task_priority,
            remaining: Span::from_millis(u64::from(u32::MAX - self.shortness)),
            activation: self.activation,
        }
    }

    pub(in crate::dispatch) fn raised_to(mut self, priority: Priority) -> QueueKey {
        self.run_priority = priority;
        self
    }

    /// Behind all others.
    pub(super) fn at_the_tail(mut self, number: u64) -> QueueKey {
        self.run_priority = Priority::Lowest;
        self.run_created = Timestamp(i64::MAX);
        self.activation = number;
        self
    }

    /// As a reason names it.
    pub(in crate::dispatch) fn ahead(&self, since: Timestamp) -> Ahead {
        Ahead {
            run: self.run,
            task: self.key,
            run_priority: self.run_priority,
            task_priority: self.task_priority,
            since,
        }
    }
}

/// The priority that has been earned by waiting since then, one level each time, and when it rises again.
pub(in crate::dispatch) fn aged(
    asked: Priority,
    since: Timestamp,
    every: Span,
    now: Timestamp,
) -> (Priority, Option<Timestamp>) {
    let lifts = now.since(since).0 / every.0;
    let priority = (0..lifts.min(4)).fold(asked, |priority, _| raised(priority));
    let next = || since.plus(Span(every.0.saturating_mul(lifts + 1)));
    (priority, (priority != Priority::Highest).then(next))
}

/// One level up; the highest stays.
fn raised(priority: Priority) -> Priority {
    match priority {
        Priority::Highest | Priority::High => Priority::Highest,
        Priority::Normal => Priority::High,
        Priority::Low => Priority::Normal,
        Priority::Lowest => Priority::Low,
    }
}
