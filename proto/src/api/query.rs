//! What clients may ask to be told. Must not know who answers.

use hortator_core::dispatch::{Change, Shape};
use hortator_core::id::{LimitName, Name, RunId, TaskKey, WorkflowName};
use hortator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// Reads; answered at the leader after a ReadIndex round, or by this replica when `local`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    Workflows {
        namespace: Option<Name>,
        after: Option<WorkflowName>,
        limit: u32,
    },
    /// `version`: none means the latest.
    Workflow {
        name: WorkflowName,
        version: Option<u32>,
    },
    /// How long a workflow's tasks take.
    Durations {
        name: WorkflowName,
    },
    Runs {
        filter: RunFilter,
        before: Option<RunId>,
        limit: u32,
    },
    Run {
        run: RunId,
    },
    /// The nth newest run of a workflow, 0 = the newest.
    NthRun {
        workflow: WorkflowName,
        back: u32,
    },
    /// `states`: state words; empty means all.
    TaskRuns {
        run: RunId,
        states: Vec<String>,
        after: Option<TaskKey>,
        limit: u32,
    },
    /// One task run with all its attempts.
    TaskRun {
        run: RunId,
        task: TaskSelector,
    },
    /// History after a log index of the run's shard, oldest first.
    Events {
        run: RunId,
        after: u64,
        limit: u32,
    },
    Explain {
        run: RunId,
        task: Option<TaskSelector>,
    },
    Schedules {
        namespace: Option<Name>,
        /// The last one of the page before.
        after: Option<(WorkflowName, Name)>,
        limit: u32,
    },
    Schedule {
        workflow: WorkflowName,
        schedule: Name,
    },
    /// Times to come.
    ScheduleNext {
        workflow: WorkflowName,
        schedule: Name,
        count: u32,
    },
    /// Decisions, newest first, before that time.
    ScheduleHistory {
        workflow: WorkflowName,
        schedule: Name,
        before: Option<Timestamp>,
        limit: u32,
    },
    /// Why it did not fire at that time, or what it waits for.
    ExplainSchedule {
        workflow: WorkflowName,
        schedule: Name,
        at: Option<Timestamp>,
    },
    Limits {
        namespace: Option<Name>,
        /// The last one of the page before.
        after: Option<LimitName>,
        limit: u32,
    },
    Limit {
        name: LimitName,
    },
    Workers,
    /// How workers of each group are chosen, and what waits for them.
    WorkerGroups,
    Quotas,
    /// What would become of a waiting task run if some things were different.
    WhatIf {
        run: RunId,
        task: TaskKey,
        imagined: Change,
    },
    /// For each shape, why nothing of it would be placed unless somebody does something.
    Placeable {
        shapes: Vec<Shape>,
    },
    /// Why a worker gets what it gets.
    WorkerWhy {
        name: Name,
    },
    /// What each master leads, and what the Balancer would move.
    Balance,
    Status,
    Tokens,
    Settings,
    Masters,
    /// How far a group is: what was acknowledged before the question is at or below the answer.
    Position {
        group: u32,
    },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSelector {
    pub task: Name,
    pub item: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunFilter {
    /// State words; empty means all.
    pub states: Vec<String>,
    pub workflow: Option<WorkflowName>,
    pub namespace: Option<Name>,
    pub since: Option<Timestamp>,
}
