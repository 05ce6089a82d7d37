//! Why an active task run does not run: what holds it up before it is offered, while it is offered, and until its worker
//! is known to have it. Asked by `explain`, by lists, and by a world that judges it; there is no second opinion.

use hortator_core::id::TaskRunId;
use hortator_core::reason::{Reason, SentStage};
use hortator_core::time::Timestamp;

use crate::leaders::MEMBERSHIP;
use crate::mutant::Mutant;
use crate::shard::board::Passing;
use crate::shard::context::ShardContext;
use crate::shard::limits::Looks;

/// How an active task run stands.
#[derive(Debug)]
pub enum Active {
    /// It has ended, and its run has not looked yet.
    Over,
    /// Its worker has it, or had it when it was heard last.
    Runs,
    Waits(Wait),
}

/// What is said of a task run that waits.
#[derive(Debug)]
pub struct Wait {
    pub word: &'static str,
    /// Where it is known: since when it is ready.
    pub since: Option<Timestamp>,
    pub reasons: Vec<Reason>,
}

impl Wait {
    pub fn new(word: &'static str, reasons: Vec<Reason>) -> Wait {
        Wait { word, since: None, reasons }
    }
}

pub fn active(context: &ShardContext, limits: &Looks<'_>, task_run: TaskRunId) -> Active {
    if let Some(reason) = context.board.why_it_waits(task_run) {
        return Active::Waits(Wait::new("backoff", vec![reason]));
    }
    if let Some((since, reasons)) = limits.reasons(task_run) {
        return Active::Waits(Wait { word: "ready", since: Some(since), reasons });
    }
    let book = context.book.borrow();
    if let Some(since) = book.since(task_run) {
        return match context.mutant.is(Mutant::WaitsInSilence) {
            true => Active::Runs,
            false => {
                let reasons = placement(context, task_run);
                Active::Waits(Wait { word: "ready", since: Some(since), reasons })
            }
        };
    }
    let holder = book.holder(task_run);
    match (context.board.passing(task_run), holder) {
        (Some(Passing::Commits { since }), Some(worker)) => {
            let (worker, stage) = (worker.clone(), SentStage::Granted);
            sent(Reason::SentNotAcknowledged { worker, since, stage })
        }
        (Some(Passing::Begins), _) => {
            let what = "its turn has come, and it is about to be offered to the Dispatcher".to_owned();
            Active::Waits(Wait::new("ready", vec![Reason::Starting { what, done: 0, total: 1 }]))
        }
        (_, Some(_)) => context.doubt(task_run).map_or(Active::Runs, sent),
        (_, None) if context.tasks.borrow().contains_key(&task_run) => {
            Active::Waits(Wait::new("ready", Vec::new()))
        }
        (_, None) => Active::Over,
    }
}

fn sent(reason: Reason) -> Active {
    Active::Waits(Wait::new("dispatched", vec![reason]))
}

/// Of one that is offered.
fn placement(context: &ShardContext, task_run: TaskRunId) -> Vec<Reason> {
    // What was told of its shape is as old as the leader that is missed.
    if let Some(reason) = context.leading.no_leader(MEMBERSHIP) {
        return vec![reason];
    }
    let mut reasons = context.book.borrow().explain(task_run);
    if context.mutant.is(Mutant::ParksWithoutAReason) {
        reasons.retain(|reason| !reason.code().starts_with("R3"));
    }
    reasons
}
