//! What tasks leave for those behind them. Each process leaves a mark of its own; which attempt counts is the history's word,
//! what that attempt left the ledger's.

use hortator_core::event::{AttemptResult, Event, SkipCause, TaskOutcome};
use hortator_core::id::{Fence, RunId, TaskKey};

use crate::evidence::{Evidence, LedgerLine, Mark, RunEvidence};
use crate::world::cast::is_odd;

/// See the module.
pub(super) fn what_was_left_is_what_is_given(evidence: &Evidence) -> Vec<String> {
    let starts = evidence.ledger.iter().enumerate().filter(|(_, line)| line.mark == Mark::Start);
    let given = starts.flat_map(|(place, line)| {
        let wrong =
            evidence.runs.get(&line.key.run).map(|run| given(evidence, run, line)).unwrap_or_default();
        wrong.into_iter().map(move |why| format!("line {}: {:?} {why}", place + 1, line.key))
    });
    let skipped = evidence.runs.iter().flat_map(|(id, run)| skipped(evidence, *id, run));
    given.chain(skipped).collect()
}

fn given(evidence: &Evidence, run: &RunEvidence, line: &LedgerLine) -> Vec<String> {
    let mut wrong = Vec::new();
    let place = |name: &str| run.tasks.iter().position(|task| task.name == name);
    if let Some((teller, mark)) = &line.given.mark {
        let left = place(teller).and_then(|teller| left(evidence, line.key.run, run, teller));
        if left.map(|fence| fence.to_string()).as_ref() != Some(mark) {
            wrong.push(format!("is given {mark:?} as what {teller} left, which is {left:?}"));
        }
    }
    let asks = place(&line.key.task).and_then(|task| run.tasks[task].only_if_odd);
    if let Some(teller) = asks {
        let left = left(evidence, line.key.run, run, teller);
        if !left.is_some_and(is_odd) {
            wrong.push(format!("starts, and what {:?} left says no: {left:?}", run.tasks[teller].name));
        }
    }
    wrong
}

/// Tasks that were skipped by their condition although it holds.
fn skipped(evidence: &Evidence, id: RunId, run: &RunEvidence) -> Vec<String> {
    let events = run.history.iter().flat_map(|(_, entry)| &entry.events);
    let by_condition = events.filter_map(|event| match event {
        Event::TaskEnded { key, outcome: TaskOutcome::Skipped { cause: SkipCause::Condition { .. } } } => {
            run.tasks.get(key.task as usize)
        }
        _ => None,
    });
    let holds = by_condition.filter(|task| {
        let left = task.only_if_odd.and_then(|teller| left(evidence, id, run, teller));
        left.is_some_and(is_odd)
    });
    holds.map(|task| format!("run {id}: {} is skipped, and its condition holds", task.name)).collect()
}

/// The fence of the process whose end is the task's, which is its mark as well.
fn left(evidence: &Evidence, id: RunId, run: &RunEvidence, task: usize) -> Option<Fence> {
    let key = TaskKey { task: task as u32, item: 0 };
    let events = run.history.iter().flat_map(|(_, entry)| &entry.events);
    let mut attempts = events.filter_map(|event| match event {
        Event::AttemptEnded { key: of, attempt, end, .. } if *of == key => {
            matches!(end.result, AttemptResult::Succeeded { .. }).then_some(*attempt)
        }
        _ => None,
    });
    let (attempt, name) = (attempts.next_back()?, run.ledger_key(id, key)?);
    let ended = evidence.ledger.iter().filter(|line| line.mark == Mark::End && line.key == name);
    ended.filter(|line| line.attempt == attempt).map(|line| line.fence).next_back()
}
