//! Deletes finished runs whose time is over: a pass over the shard's workflows, a page at a time, each page an entry like
//! any other decision. It works on rows, so a new leader goes on where they are. Live runs are never touched.
//!
//! ```text
//!  rest ─▶ workflows ─ count their runs ─▶ of one with too many: judge them, newest first ─▶ DeleteRuns to its actor ─▶ … ─▶ next
//!            ▲ first of all: pages of runs that are deleted and still have rows
//! ```

use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use hortator_core::id::{RunId, WorkflowName};
use hortator_core::retention::{Census, HistoryRule, Verdict};
use hortator_core::run::{RunHeader, RunPhase};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::row::{self, WorkflowRow};
use hortator_raft::{RowsView, Write};
use slog::{error, info};

use super::context::ShardContext;
use super::rebuild::after;
use super::{Shard, Stage};
use crate::context::Context;
use crate::query::Failure;
use crate::workflow::{DeleteRuns, Remains, RetireIfIdle, Victim, WorkflowActor};

/// Between two passes: history grows by what a minute brings, and a pass over history that stays costs little.
const REST: Duration = Duration::from_secs(60);
/// Between two pages: live work has the thread and the disk for most of the time, and yet 20,000 rows go in a second,
/// about as many as a busy shard writes.
const PAUSE: Duration = Duration::from_millis(50);
/// Rows that one entry deletes: some milliseconds of the writer's time.
const ROWS_PER_ENTRY: usize = 1_000;
/// Keys of runs that are counted at a time: some milliseconds of the shard's thread, most of it for keys that stay.
const COUNTED_PER_PAGE: usize = 4_000;
/// Finding and reading a workflow's row takes as long as counting so many keys.
const KEYS_PER_WORKFLOW: usize = 20;
/// Run rows that are read at a time, and their bytes, since each holds up to 256 KiB of inputs.
const JUDGED_PER_PAGE: usize = 256;
const JUDGED_BYTES: usize = 1 << 20;

/// How far the pass is.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// The workflow it was at last.
    last: Option<WorkflowName>,
    at: Option<At>,
    /// A key that the last page of a large run deletes: the next page is read when it is gone.
    awaited: Option<Bytes>,
    deleted: usize,
}

/// The runs of one workflow.
#[derive(Debug)]
enum At {
    /// Oldest first; most workflows have too few runs to judge any.
    Counting(Counting),
    /// Newest first, up to that key.
    Judging { workflow: WorkflowName, end: Bytes, census: Census },
}

#[derive(Debug)]
struct Counting {
    workflow: WorkflowName,
    /// The next key.
    from: Bytes,
    counted: usize,
}

/// What a page leaves to do.
enum Page {
    Again,
    /// The pass is through.
    Over,
}

impl Shard {
    pub(super) fn schedule_sweep(ctx: &mut Context<Self>) {
        Shard::sweep_after(PAUSE, ctx);
    }

    fn sweep_after(wait: Duration, ctx: &mut Context<Self>) {
        ctx.run_later(ctx.paced(wait), |shard, ctx| {
            let wait = shard.sweep();
            Shard::sweep_after(wait, ctx);
        });
    }

    /// One page, and how long to wait for the next one.
    fn sweep(&mut self) -> Duration {
        /// Until this master leads, or knows the settings.
        const LOOK_AGAIN: Duration = Duration::from_secs(1);
        let (Some(context), Some(rule)) = (self.open(), self.parts.tables.history()) else {
            return LOOK_AGAIN;
        };
        let Some(epoch) = self.epoch.as_mut().filter(|epoch| matches!(epoch.stage, Stage::Open)) else {
            return LOOK_AGAIN;
        };
        if context.journal.under_pressure() {
            return LOOK_AGAIN;
        }
        match epoch.sweep.page(&context, rule) {
            Ok(Page::Again) => PAUSE,
            Ok(Page::Over) => {
                let deleted = std::mem::take(&mut epoch.sweep).deleted;
                if deleted > 0 {
                    info!(context.log, "history swept"; "runs" => deleted);
                }
                retire_idle_workflows(&context);
                REST
            }
            Err(error) => {
                error!(context.log, "history cannot be swept"; "error" => %error);
                epoch.sweep = Sweep::default();
                REST
            }
        }
    }
}

/// A workflow's actor holds the keys of its starts; the next one who needs it reads them from rows again.
fn retire_idle_workflows(context: &ShardContext) {
    let asked_for = context.workflows_asked_for.get();
    for workflow in context.workflows.borrow().values() {
        // A full mailbox is not idle.
        let _ = workflow.send(RetireIfIdle { asked_for });
    }
}

impl Sweep {
    fn page(&mut self, context: &Rc<ShardContext>, rule: HistoryRule) -> Result<Page, Failure> {
        if self.waits(context)? {
            return Ok(Page::Again);
        }
        let view = context.rows.read()?;
        if let Some(key) = first_key(&view, &row::key::deleted_runs())? {
            let run = row::key::parse_deleted_run(&key).expect("keys of this shard were made by this crate");
            self.awaited = Some(delete_remains(context, &view, run)?);
            return Ok(Page::Again);
        }
        match self.at.take() {
            Some(At::Judging { workflow, end, census }) => {
                self.judge(context, &view, (workflow, end, census), rule)
            }
            Some(At::Counting(counting)) => {
                self.count_on(Some(counting), &view, rule, context.journal.time())
            }
            None => self.count_on(None, &view, rule, context.journal.time()),
        }
    }

    /// What was handed in last is on its way to the rows: one page at a time.
    fn waits(&mut self, context: &ShardContext) -> Result<bool, Failure> {
        let mut deleted = context.deleted.borrow_mut();
        for run in deleted.iter().copied().collect::<Vec<_>>() {
            if context.rows.get(&row::key::run(run))?.is_none() {
                deleted.remove(&run);
            }
        }
        let awaited = match &self.awaited {
            Some(key) => context.rows.get(key)?.is_some(),
            None => false,
        };
        Ok(awaited || !deleted.is_empty())
    }

    /// Goes on from workflow to workflow, until a page's keys are counted or one has runs that may have to go.
    fn count_on(
        &mut self,
        mut begun: Option<Counting>,
        view: &RowsView,
        rule: HistoryRule,
        now: Timestamp,
    ) -> Result<Page, Failure> {
        let mut left = COUNTED_PER_PAGE;
        while left > 0 {
            let counting = match begun.take() {
                Some(counting) => counting,
                None => match self.next_workflow(view)? {
                    Some(counting) => counting,
                    None => return Ok(Page::Over),
                },
            };
            let (keys, then) = count(view, (counting, left), rule, now)?;
            left = left.saturating_sub(keys + KEYS_PER_WORKFLOW);
            match then {
                Some(At::Counting(counting)) => begun = Some(counting),
                Some(judging) => {
                    self.at = Some(judging);
                    return Ok(Page::Again);
                }
                None => {}
            }
        }
        self.at = begun.map(At::Counting);
        Ok(Page::Again)
    }

    fn next_workflow(&mut self, view: &RowsView) -> Result<Option<Counting>, Failure> {
        let (first, to) = row::key::range(&row::key::workflows());
        let from = self.last.as_ref().map_or(first, |name| after(&row::key::workflow(name)));
        let Some((_, stored)) = view.scan(&from, &to, 1, false)?.into_iter().next() else {
            return Ok(None);
        };
        let workflow = WorkflowRow::decode(&stored.value)?.name;
        self.last = Some(workflow.clone());
        let from = row::key::runs_of_workflow(&workflow);
        Ok(Some(Counting { workflow, from, counted: 0 }))
    }

    fn judge(
        &mut self,
        context: &Rc<ShardContext>,
        view: &RowsView,
        (workflow, mut end, mut census): (WorkflowName, Bytes, Census),
        rule: HistoryRule,
    ) -> Result<Page, Failure> {
        let now = context.journal.time();
        let page = view.scan(&row::key::runs_of_workflow(&workflow), &end, JUDGED_PER_PAGE, true)?;
        let is_last = page.len() < JUDGED_PER_PAGE;
        let (mut victims, mut rows_left, mut bytes) = (Vec::new(), ROWS_PER_ENTRY, 0);
        let mut stopped_early = false;
        for (key, _) in page {
            if bytes >= JUDGED_BYTES || rows_left == 0 {
                stopped_early = true;
                break;
            }
            let run =
                row::key::parse_run_of_workflow(&key).expect("keys of this shard were made by this crate");
            if let Some((header, size)) = finished(context, view, run)? {
                bytes += size;
                let RunPhase::Finished { outcome, finished_at, .. } = header.phase else { continue };
                if census.judge(rule, outcome, finished_at, now) == Verdict::Goes {
                    let remains = match rows_of(view, run, rows_left)? {
                        Some(rows) => {
                            rows_left -= rows;
                            Remains::Nothing
                        }
                        None if victims.is_empty() => {
                            rows_left = 0;
                            Remains::TasksAndHistory
                        }
                        // It has a page to itself.
                        None => {
                            stopped_early = true;
                            break;
                        }
                    };
                    victims.push(Victim { run, key: header.key, remains });
                }
            }
            end = key;
        }
        self.deleted += victims.len();
        if !victims.is_empty() {
            // A full mailbox: the next pass finds them again.
            let _ = WorkflowActor::of(context, &workflow)?.send(DeleteRuns(victims));
        }
        if !is_last || stopped_early {
            self.at = Some(At::Judging { workflow, end, census });
        }
        Ok(Page::Again)
    }
}

/// Counts a page of a workflow's runs, `left` keys at most: how many it were, and what is left to do with that workflow. Any of its
/// runs may have to go when there are more than may stay, or the oldest is too old.
fn count(
    view: &RowsView,
    (counting, left): (Counting, usize),
    rule: HistoryRule,
    now: Timestamp,
) -> Result<(usize, Option<At>), Failure> {
    let Counting { workflow, from, counted } = counting;
    let (_, end) = row::key::range(&row::key::runs_of_workflow(&workflow));
    let keys = view.keys(&from, &end, left)?;
    let counted_now = counted + keys.len();
    let oldest = keys.first().filter(|_| counted == 0).and_then(|key| row::key::parse_run_of_workflow(key));
    let too_old = oldest.is_some_and(|run| now.since(created_at(run)) >= rule.keep);
    let then = match keys.last() {
        _ if too_old || counted_now > rule.keep_runs as usize => {
            Some(At::Judging { workflow, end, census: Census::default() })
        }
        Some(last) if keys.len() == left => {
            Some(At::Counting(Counting { workflow, from: after(last), counted: counted_now }))
        }
        _ => None,
    };
    Ok((keys.len(), then))
}

/// The row of a run that is over, and its bytes. One that has an actor is live, or was a moment ago.
fn finished(
    context: &ShardContext,
    view: &RowsView,
    run: RunId,
) -> Result<Option<(RunHeader, usize)>, Failure> {
    if context.runs.borrow().contains_key(&run) {
        return Ok(None);
    }
    let Some(stored) = view.get(&row::key::run(run))? else { return Ok(None) };
    let header = row::decode_run(&stored.value)?;
    Ok((!header.is_live()).then_some((header, stored.value.len())))
}

/// How many rows of task runs and history the run has; none when more than `limit`.
fn rows_of(view: &RowsView, run: RunId, limit: usize) -> Result<Option<usize>, Failure> {
    let mut rows = 0;
    for prefix in [row::key::task_runs(run), row::key::history_of(run)] {
        let (from, to) = row::key::range(&prefix);
        rows += view.keys(&from, &to, limit + 1)?.len();
    }
    Ok((rows <= limit).then_some(rows))
}

/// A page of the rows of a deleted run, and at last the row that says that there are any. Gives a key that goes.
fn delete_remains(context: &ShardContext, view: &RowsView, run: RunId) -> Result<Bytes, Failure> {
    for prefix in [row::key::task_runs(run), row::key::history_of(run)] {
        let (from, to) = row::key::range(&prefix);
        let keys = view.keys(&from, &to, ROWS_PER_ENTRY)?;
        if let (Some(first), Some(last)) = (keys.first(), keys.last()) {
            let page = Write::DeleteRange { from: first.clone(), to: after(last) };
            context.hand_in(vec![page], Vec::new(), Vec::new());
            return Ok(first.clone());
        }
    }
    let key = row::key::deleted_run(run);
    context.hand_in(vec![Write::Delete { key: key.clone() }], Vec::new(), Vec::new());
    Ok(key)
}

fn first_key(view: &RowsView, prefix: &[u8]) -> Result<Option<Bytes>, Failure> {
    let (from, to) = row::key::range(prefix);
    Ok(view.keys(&from, &to, 1)?.into_iter().next())
}

/// A run's id says when it was made, to the millisecond.
fn created_at(run: RunId) -> Timestamp {
    Timestamp(0).plus(Span::from_millis((run.0 >> 80) as u64))
}
