//! Answers from rows: what a leader tells once it is confirmed and has applied what is committed. Runs on the room for
//! reads, so that a long list never holds up a decision.

pub mod active;
mod durations;
mod events;
pub mod explain;
mod limits;
mod runs;
mod schedules;
mod task_runs;
pub mod view;
mod workflows;

use std::collections::BTreeMap;
use std::sync::Arc;

use hortator_core::event::HistoryEntry;
use hortator_core::id::{Position, RunId, TaskKey};
use hortator_core::reason::Reason;
use hortator_core::run::RunHeader;
use hortator_core::time::Timestamp;
use hortator_proto::api::{PAGE_MAX, Problem, ProblemKind, Query, Response};
use hortator_proto::row::{self, HistoryRow};
use hortator_raft::{ReadError, Rows, RowsView, Write};

use crate::definitions::{DefinitionError, Definitions};
use crate::gateway::ReplyTo;
use crate::mutant::Mutant;
use crate::shard::context::ShardContext;
use crate::shard::limits::AllRows;
use durations::Taught;

/// A read that waits for its turn.
#[derive(Debug)]
pub struct ReadJob {
    pub query: Query,
    pub reply: ReplyTo,
}

/// What a read may use; safe to take to another thread.
pub(crate) struct Reader {
    pub shard: u32,
    pub mutant: Mutant,
    pub rows: Rows,
    /// Of all groups.
    pub all_rows: AllRows,
    pub definitions: Arc<Definitions>,
    pub now: Timestamp,
    /// Active task runs of the run that is asked about, with what they wait for; empty when it is not live.
    pub active: BTreeMap<TaskKey, Option<Reason>>,
    /// Of the workflow whose durations are asked for.
    taught: Option<Taught>,
}

/// Task runs of one run whose soft state goes into an answer; a page shows no more.
const ACTIVE_MAX: usize = PAGE_MAX as usize;

/// Takes along what only the deciding thread knows; the rest happens on the room for reads.
pub(crate) fn prepare(context: &ShardContext, job: ReadJob) -> Box<dyn FnOnce() + Send> {
    let reader = Reader {
        shard: context.shard,
        mutant: context.mutant,
        rows: context.rows.clone(),
        all_rows: context.limits.all_rows(),
        definitions: context.definitions.clone(),
        now: context.journal.time(),
        active: active(context, &job.query),
        taught: taught(context, &job.query),
    };
    Box::new(move || {
        let response = reader.answer(&job.query).unwrap_or_else(|failure| Response::Problem(failure.into()));
        job.reply.send(response);
    })
}

fn active(context: &ShardContext, query: &Query) -> BTreeMap<TaskKey, Option<Reason>> {
    let run = match query {
        Query::TaskRuns { run, .. } | Query::TaskRun { run, .. } => *run,
        _ => return BTreeMap::new(),
    };
    let tasks = context.tasks.borrow();
    let limits = context.limits.looks(&context.leading);
    tasks
        .range(crate::shard::rebuild::directory_range(run))
        .take(ACTIVE_MAX)
        .map(|(task_run, _)| {
            let reason = match active::active(context, &limits, *task_run) {
                active::Active::Waits(wait) => wait.reasons.into_iter().next(),
                active::Active::Runs | active::Active::Over => None,
            };
            (task_run.key, reason)
        })
        .collect()
}

fn taught(context: &ShardContext, query: &Query) -> Option<Taught> {
    let Query::Durations { name } = query else { return None };
    Some(Taught { learned: context.learned.all(name), workers: context.workers() })
}

/// Why a read has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the rows cannot be read: {0}")]
    Rows(#[from] ReadError),
    #[error("a row cannot be read: {0}")]
    Decode(#[from] hortator_proto::frame::DecodeError),
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    #[error("{}", .0.detail)]
    Problem(Problem),
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        match failure {
            Failure::Problem(problem) => problem,
            Failure::Rows(ReadError::Closed) => {
                Problem::new(ProblemKind::Unavailable, "H1106", "the shard's file is not open on this master")
            }
            other => Problem::new(ProblemKind::Internal, "H9004", other.to_string()),
        }
    }
}

impl Reader {
    fn answer(&self, query: &Query) -> Result<Response, Failure> {
        let view = self.rows.read()?;
        match query {
            Query::Workflows { namespace, after, limit } => {
                workflows::list(&view, namespace.as_ref(), after.as_ref(), *limit)
            }
            Query::Workflow { name, version } => workflows::detail(&view, name, *version),
            Query::Durations { name } => match &self.taught {
                Some(taught) => durations::show(&view, name, taught),
                None => Err(Failure::Problem(Problem::new(
                    ProblemKind::Internal,
                    "H9005",
                    "a reader without what was learned",
                ))),
            },
            Query::Runs { filter, before, limit } => runs::list(self, &view, filter, *before, *limit),
            Query::Run { run } => runs::one(self, &view, *run),
            Query::NthRun { workflow, back } => runs::nth(self, &view, workflow, *back),
            Query::TaskRuns { run, states, after, limit } => {
                task_runs::list(self, &view, *run, states, *after, *limit)
            }
            Query::TaskRun { run, task } => task_runs::one(self, &view, *run, task),
            Query::Events { run, after, limit } => events::list(self, &view, *run, *after, *limit),
            Query::Explain { run, task } => explain::finished(self, &view, *run, task.as_ref()),
            Query::Schedules { namespace, after, limit } => {
                schedules::list(self, &view, namespace.as_ref(), after.as_ref(), *limit)
            }
            Query::Schedule { workflow, schedule } => schedules::one(self, &view, workflow, schedule),
            Query::ScheduleNext { workflow, schedule, count } => {
                schedules::next(self, &view, workflow, schedule, *count)
            }
            Query::ScheduleHistory { workflow, schedule, before, limit } => {
                schedules::history(self, &view, (workflow, schedule), *before, *limit)
            }
            Query::ExplainSchedule { workflow, schedule, at } => {
                schedules::explain(self, &view, (workflow, schedule), *at)
            }
            Query::Limits { namespace, after, limit } => {
                limits::list(self, &view, namespace.as_ref(), after.as_ref(), *limit)
            }
            Query::Limit { name } => limits::one(self, &view, name),
            Query::Position { .. } => Ok(Response::Position(self.position(&view)?)),
            Query::Workers
            | Query::WorkerGroups
            | Query::Quotas
            | Query::WorkerWhy { .. }
            | Query::Placeable { .. }
            | Query::WhatIf { .. }
            | Query::Balance
            | Query::Status
            | Query::Settings
            | Query::Tokens
            | Query::Masters => {
                let detail = "a shard was asked what the membership group knows";
                Err(Failure::Problem(Problem::new(ProblemKind::Internal, "H9005", detail)))
            }
        }
    }

    pub(crate) fn position(&self, view: &RowsView) -> Result<Position, ReadError> {
        Ok(Position { group: self.shard, index: view.applied()?.index })
    }
}

pub(crate) fn header_of(view: &RowsView, run: RunId) -> Result<RunHeader, Failure> {
    match view.get(&row::key::run(run))? {
        Some(stored) => Ok(row::decode_run(&stored.value)?),
        None => Err(Failure::Problem(no_such_run(run))),
    }
}

/// A run's header as this master's rows have it.
pub fn header(rows: &Rows, run: RunId) -> Result<Option<RunHeader>, Problem> {
    let read = || -> Result<Option<RunHeader>, Failure> {
        let stored = rows.get(&row::key::run(run))?;
        Ok(stored.map(|stored| row::decode_run(&stored.value)).transpose()?)
    };
    read().map_err(Problem::from)
}

pub fn no_such_run(run: RunId) -> Problem {
    let detail = format!("run {run} does not exist, or it has finished and its history was deleted since");
    let hint = "runs: hortator ps; how long finished ones are kept: hortator settings show";
    Problem::new(ProblemKind::NotFound, "H3001", detail).hint(hint)
}

/// An entry of a run's history as a row, under the index of the log entry that carries it.
pub fn history_write(run: RunId, entry: &HistoryEntry) -> Write {
    let row = HistoryRow { at: entry.at, events: entry.events.clone() };
    Write::PutAtIndex { prefix: row::key::history_of(run), value: row::encode_history(&row) }
}
