//! What history says of an attempt's end, against what its process and its agent wrote down.

use std::collections::{BTreeMap, BTreeSet};

use hortator_core::event::{AttemptResult, Event};
use hortator_core::id::{Fence, Position, RunId, TaskKey};
use hortator_core::time::Timestamp;

use crate::evidence::{Evidence, LedgerKey, Mark, RunEvidence};

/// An attempt of a task run, by the place of its dispatch.
type Dispatches = BTreeMap<(TaskKey, u16), Position>;

/// S22: a success in history was written by the process that was dispatched there, and a word that its agent kept is
/// what the attempt ended by.
pub(super) fn words_are_of_their_attempt(evidence: &Evidence) -> Vec<String> {
    let (mut ended, mut known) = (BTreeSet::new(), BTreeSet::new());
    for line in &evidence.ledger {
        known.insert(&line.key);
        if line.mark == Mark::End {
            ended.insert((&line.key, line.fence.shard, line.fence.index));
        }
    }
    let mut kept: BTreeMap<RunId, Vec<(TaskKey, Fence)>> = BTreeMap::new();
    evidence.kept.iter().for_each(|(run, key, fence)| kept.entry(*run).or_default().push((*key, *fence)));
    let mut begun: BTreeMap<RunId, BTreeMap<(TaskKey, u32, u64), Timestamp>> = BTreeMap::new();
    for (run, key, fence, at) in &evidence.begun {
        begun.entry(*run).or_default().insert((*key, fence.shard, fence.index), *at);
    }
    let mut wrong = Vec::new();
    for (id, run) in &evidence.runs {
        strangers(*id, run, begun.get(id), &mut wrong);
        let wrote = |key: &LedgerKey, at: Position| {
            !known.contains(key) || ended.contains(&(key, at.group, at.index))
        };
        read(*id, run, kept.get(id).map_or(&[], Vec::as_slice), wrote, &mut wrong);
    }
    wrong
}

fn read(
    id: RunId,
    run: &RunEvidence,
    kept: &[(TaskKey, Fence)],
    wrote: impl Fn(&LedgerKey, Position) -> bool,
    wrong: &mut Vec<String>,
) {
    let mut dispatched = Dispatches::new();
    for (position, entry) in &run.history {
        for event in &entry.events {
            match event {
                Event::AttemptDispatched { key, attempt, .. } => {
                    dispatched.insert((*key, *attempt), *position);
                }
                Event::AttemptEnded { key, attempt, end, .. }
                    if matches!(end.result, AttemptResult::Succeeded { .. }) =>
                {
                    let at = dispatched.get(&(*key, *attempt));
                    let (Some(at), Some(ledger)) = (at, run.ledger_key(id, *key)) else { continue };
                    if !wrote(&ledger, *at) {
                        wrong.push(format!(
                            "{ledger:?}: attempt {attempt} of {at} succeeded, its process says nothing"
                        ));
                    }
                }
                Event::AttemptLost { key, attempt, .. } => {
                    let Some(at) = dispatched.get(&(*key, *attempt)) else { continue };
                    let is_kept = |(kept, fence): &(TaskKey, Fence)| {
                        kept == key && (fence.shard, fence.index) == (at.group, at.index)
                    };
                    if kept.iter().any(is_kept) {
                        wrong.push(format!(
                            "run {id}: attempt {attempt} of {key:?} is lost, its end lay in the spool"
                        ));
                    }
                }
                _ => {}
            }
        }
    }
}

/// Ends whose word names another beginning than that of the attempt's process: it is about another one.
fn strangers(
    id: RunId,
    run: &RunEvidence,
    begun: Option<&BTreeMap<(TaskKey, u32, u64), Timestamp>>,
    wrong: &mut Vec<String>,
) {
    let Some(begun) = begun else { return };
    let mut dispatched = Dispatches::new();
    for (position, entry) in &run.history {
        for event in &entry.events {
            match event {
                Event::AttemptDispatched { key, attempt, .. } => {
                    dispatched.insert((*key, *attempt), *position);
                }
                Event::AttemptEnded { key, attempt, end, .. } => {
                    let at = dispatched.get(&(*key, *attempt));
                    let own = at.and_then(|at| begun.get(&(*key, at.group, at.index)));
                    if let Some(own) = own.filter(|own| **own != end.started_at) {
                        wrong.push(format!(
                            "run {id}: attempt {attempt} of {key:?} began at {own}, and ended by the word of one that \
                             began at {}",
                            end.started_at
                        ));
                    }
                }
                _ => {}
            }
        }
    }
}

/// S18: whoever follows a history page by page misses nothing of it and sees nothing twice.
pub(super) fn followers_miss_nothing(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (id, followed) in &evidence.followed {
        let Some(run) = evidence.runs.get(id) else { continue };
        let whole: Vec<(Position, usize)> =
            run.history.iter().map(|(position, entry)| (*position, entry.events.len())).collect();
        if !whole.starts_with(followed) {
            let apart = followed.iter().zip(&whole).take_while(|(one, other)| one == other).count();
            wrong.push(format!(
                "run {id}: entry {apart} was followed as {:?} and is {:?}",
                followed.get(apart),
                whole.get(apart)
            ));
        }
    }
    wrong
}
