//! A ready task run as placement sees it: what it needs (its shape) and when it is its turn (its rank).
//! Must not know the task itself.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::definition::{Priority, TaskKind};
use crate::id::{Name, RunId, TaskKey, TaskRunId};
use crate::reason::Ahead;
use crate::time::Timestamp;

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

/// All that decides where a task run fits: what fits one of a shape fits all of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Shape {
    pub group: Name,
    pub kind: KindTag,
    /// 0 fits everywhere.
    pub slots: u32,
}

/// Strict order within a worker group; less is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Rank {
    pub run_priority: Priority,
    /// When the run was created, then its id.
    pub run_order: (Timestamp, RunId),
    pub task_priority: Priority,
    /// Numbers the activations within the run.
    pub activation: u64,
}

/// A ready task run that asks for a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    pub task_run: TaskRunId,
    pub shape: Arc<Shape>,
    pub rank: Rank,
    /// Since when it is ready.
    pub since: Timestamp,
}

/// Rank and task run in one compact key; a queue is ordered by it and it says all of an offer but shape and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct QueueKey {
    run_priority: Priority,
    created_at: Timestamp,
    order_run: RunId,
    task_priority: Priority,
    activation: u64,
    key: TaskKey,
}

impl QueueKey {
    /// A rank's run is its task run's run, so the run is kept once.
    pub(super) fn new(rank: &Rank, task_run: TaskRunId) -> QueueKey {
        QueueKey {
            run_priority: rank.run_priority,
            created_at: rank.run_order.0,
            order_run: task_run.run,
            task_priority: rank.task_priority,
            activation: rank.activation,
            key: task_run.key,
        }
    }

    pub(super) fn rank(&self) -> Rank {
        Rank {
            run_priority: self.run_priority,
            run_order: (self.created_at, self.order_run),
            task_priority: self.task_priority,
            activation: self.activation,
        }
    }

    pub(super) fn task_run(&self) -> TaskRunId {
        TaskRunId { run: self.order_run, key: self.key }
    }

    /// As a reason names it.
    pub(super) fn ahead(&self, since: Timestamp) -> Ahead {
        Ahead {
            run: self.order_run,
            task: self.key,
            run_priority: self.run_priority,
            task_priority: self.task_priority,
            since,
        }
    }
}
