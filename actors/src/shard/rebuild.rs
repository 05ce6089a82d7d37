//! From rows to actors when an epoch begins: the live runs, page by page, each with its active task runs. Finished
//! runs are never touched. Until it is through, requests are told to come again and reports stay in their spools.

use std::collections::BTreeSet;
use std::rc::Rc;

use actix::prelude::*;
use bytes::Bytes;
use hortator_core::id::{RunId, TaskRunId, WorkflowName};
use hortator_core::run::{Restored, RunHeader, RunState};
use hortator_core::task_run::TaskState;
use hortator_proto::row;
use hortator_raft::{Write, sometimes};
use slog::{error, info};

use super::context::ShardContext;
use super::{Shard, Stage};
use crate::context::Context;
use crate::run::RunActor;
use crate::schedule::ScheduleActor;
use crate::workflow::{Settle, WorkflowActor};

/// Live runs taken per turn; a turn with large runs takes longer, and heartbeats of the group run on another thread.
const RUNS_PER_PAGE: usize = 64;
/// Task rows read at a time.
const ROWS_PER_PAGE: usize = 2_000;

/// The next page.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Page;

/// How far it is.
#[derive(Debug, Default)]
pub(super) struct Rebuild {
    after: Option<RunId>,
    runs: usize,
    workflows: BTreeSet<WorkflowName>,
}

/// Tasks of a large run, for a mark.
const MANY: usize = 100;

/// A run's rows cannot be turned into a run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("there is no such run")]
    Unknown,
    #[error("its rows are damaged: {0}")]
    Damaged(String),
    #[error("its definition cannot be had")]
    Definition(#[from] crate::definitions::DefinitionError),
    #[error("the rows cannot be read")]
    Rows(#[from] hortator_raft::ReadError),
}

/// A run's state from its rows, with the task runs that need an actor.
pub fn load_run(context: &ShardContext, run: RunId) -> Result<(RunState, Vec<TaskState>), LoadError> {
    let stored = context.rows.get(&row::key::run(run))?.ok_or(LoadError::Unknown)?;
    let damaged = |error: hortator_proto::frame::DecodeError| LoadError::Damaged(error.to_string());
    let header: RunHeader = row::decode_run(&stored.value).map_err(damaged)?;
    let definition = context.definitions.get(&context.rows, &header.workflow, header.version)?;
    // Another leader's clock may have been ahead of this one's.
    let (first, to) = row::key::range(&row::key::history_of(run));
    if let Some((_, last)) = context.rows.scan(&first, &to, 1, true)?.first() {
        context.journal.no_earlier_than(row::decode_history(&last.value).map_err(damaged)?.at);
    }
    let mut restore = RunState::restoring(header, definition);
    let mut active = Vec::new();
    let (mut from, to) = row::key::range(&row::key::task_runs(run));
    loop {
        let page = context.rows.scan(&from, &to, ROWS_PER_PAGE, false)?;
        for (_, stored) in page.iter().filter(|(key, _)| is_current(key)) {
            let mut task = row::decode_task(&stored.value).map_err(damaged)?;
            task.resolve_fence(context.fence(stored.written));
            if restore.restore_task(&task) == Restored::Active {
                active.push(task);
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == ROWS_PER_PAGE => from = after(key),
            _ => break,
        }
    }
    Ok((restore.finish_restore(), active))
}

/// Whether the key is that of a task run's current row, not of an earlier attempt.
pub fn is_current(key: &[u8]) -> bool {
    row::key::parse_task_run(key).is_some_and(|id| id.attempt == 0)
}

/// The least key above this one.
pub fn after(key: &[u8]) -> Bytes {
    let mut next = key.to_vec();
    next.push(0);
    next.into()
}

impl Shard {
    fn rebuild_page(&mut self, ctx: &mut Context<Self>) {
        let Some(epoch) = &mut self.epoch else { return };
        let Stage::Rebuilding(rebuild) = &mut epoch.stage else { return };
        let context = epoch.context.clone();
        if rebuild.after.is_none()
            && let Err(error) = context.limits.restore(&context.rows)
        {
            return error!(context.log, "wants cannot be read"; "error" => %error);
        }
        let (first, to) = row::key::live_runs();
        let from = rebuild.after.map_or(first, |run| after(&row::key::live_run(run)));
        let page = match context.rows.scan(&from, &to, RUNS_PER_PAGE, false) {
            Ok(page) => page,
            Err(error) => return error!(context.log, "live runs cannot be read"; "error" => %error),
        };
        for (key, _) in &page {
            let Some(run) = row::key::parse_live_run(key) else { continue };
            rebuild.after = Some(run);
            rebuild.runs += 1;
            match load_run(&context, run) {
                // Its end was written and this row left: there is nothing to do for it.
                Ok((state, _)) if !state.header().is_live() => {
                    let left = Write::Delete { key: key.clone() };
                    context.hand_in(vec![left], Vec::new(), Vec::new());
                }
                Ok((state, active)) => {
                    sometimes!(state.definition().tasks.len() >= MANY, "run: a hundred tasks are rebuilt");
                    rebuild.workflows.insert(state.header().workflow.clone());
                    RunActor::start_with(&context, state, active);
                }
                // The run stays as it is, for a person to look at; all others go on.
                Err(error) => error!(context.log, "run cannot be rebuilt"; "run" => %run, "error" => %error),
            }
        }
        match page.len() {
            RUNS_PER_PAGE => ctx.notify(Page),
            _ => self.rebuilt(&context),
        }
    }

    fn rebuilt(&mut self, context: &Rc<ShardContext>) {
        let Some(epoch) = &mut self.epoch else { return };
        let Stage::Rebuilding(rebuild) = std::mem::replace(&mut epoch.stage, Stage::Open) else { return };
        context.set_rebuilt();
        info!(context.log, "shard is open"; "runs" => rebuild.runs, "tasks" => context.tasks.borrow().len());
        for name in rebuild.workflows {
            match WorkflowActor::of(context, &name) {
                Ok(workflow) => drop(workflow.send(Settle)),
                Err(error) => {
                    error!(context.log, "workflow cannot be rebuilt"; "workflow" => %name, "error" => %error)
                }
            }
        }
        let schedules = ScheduleActor::start_in_epoch(context);
        *context.schedule_actor.borrow_mut() = Some(schedules);
        super::limits::look_elsewhere(context);
        for worker in self.parts.post.sessions() {
            self.announce_to(context, &worker);
        }
        context.arrange_flush();
    }
}

impl Handler<Page> for Shard {
    type Result = ();

    fn handle(&mut self, _: Page, ctx: &mut Context<Self>) {
        self.rebuild_page(ctx);
    }
}

/// The task runs of one run, as a range of the directory.
pub fn directory_range(run: RunId) -> std::ops::RangeInclusive<TaskRunId> {
    use hortator_core::id::TaskKey;
    let (first, last) = (TaskKey { task: 0, item: 0 }, TaskKey { task: u32::MAX, item: u32::MAX });
    TaskRunId { run, key: first }..=TaskRunId { run, key: last }
}
