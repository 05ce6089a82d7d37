//! How long each workflow's tasks take, as the shard's rows have it and this epoch's successes add to it.
//! Must not know what the figures are used for.

use std::cell::RefCell;
use std::collections::BTreeMap;

use hortator_core::definition::Definition;
use hortator_core::dispatch::{Durations, LEARNED_TASKS_MAX, LearnedTasks, NO_CLASS};
use hortator_core::id::{Name, TaskIndex, WorkflowName};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::WorkerProfile;
use hortator_proto::row;
use hortator_raft::{Rows, Write};

/// Workflows that are remembered; of more, all that is written goes and is read again.
const WORKFLOWS_MAX: usize = 10_000;

/// See the module.
#[derive(Debug)]
pub struct LearnedDurations {
    rows: Rows,
    workflows: RefCell<BTreeMap<WorkflowName, Workflow>>,
}

#[derive(Debug, Default)]
struct Workflow {
    tasks: LearnedTasks,
    news: News,
}

/// Whether what is known reads otherwise than its row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum News {
    #[default]
    None,
    Some,
}

impl LearnedDurations {
    pub fn new(rows: Rows) -> LearnedDurations {
        LearnedDurations { rows, workflows: RefCell::default() }
    }

    /// Of the tasks of that version.
    pub fn of(&self, definition: &Definition) -> Durations {
        self.with(&definition.name, |workflow| {
            let mut durations = Durations::default();
            for (index, task) in definition.tasks.iter().enumerate() {
                for (class, learned) in workflow.tasks.of(&task.id) {
                    durations.set(index as TaskIndex, class, learned.clone());
                }
            }
            durations
        })
    }

    /// Of all tasks that any version had.
    pub fn all(&self, workflow: &WorkflowName) -> LearnedTasks {
        self.with(workflow, |known| known.tasks.clone())
    }

    /// A task succeeded after so long, on such a worker.
    pub fn learn(
        &self,
        workflow: &WorkflowName,
        task: &Name,
        worker: Option<&WorkerProfile>,
        took: Span,
        at: Timestamp,
    ) {
        let class = worker.map_or(NO_CLASS, WorkerProfile::class);
        self.with(workflow, |known| {
            if known.tasks.len() >= LEARNED_TASKS_MAX && known.tasks.of(task).next().is_none() {
                return;
            }
            if known.tasks.learn(task, class, took, at) {
                known.news = News::Some;
            }
        });
    }

    /// What is to be written with the end of one of its runs, if anything has changed that people or the order would see.
    pub fn write(&self, workflow: &WorkflowName) -> Option<Write> {
        self.with(workflow, |known| {
            let news = std::mem::take(&mut known.news);
            let write =
                || Write::Put { key: row::key::learned(workflow), value: known.tasks.encode().into() };
            (news == News::Some).then(write)
        })
    }

    fn with<T>(&self, name: &WorkflowName, what: impl FnOnce(&mut Workflow) -> T) -> T {
        let mut workflows = self.workflows.borrow_mut();
        if workflows.len() >= WORKFLOWS_MAX {
            workflows.retain(|_, workflow| workflow.news == News::Some);
        }
        let workflow = workflows.entry(name.clone()).or_insert_with(|| {
            let stored = self.rows.get(&row::key::learned(name)).ok().flatten();
            // What cannot be read is learned anew: nothing rests on it but order.
            let tasks = stored.and_then(|stored| LearnedTasks::decode(&stored.value).ok());
            Workflow { tasks: tasks.unwrap_or_default(), news: News::None }
        });
        what(workflow)
    }
}
