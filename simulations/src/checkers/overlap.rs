//! Two attempts of one task run at the same time, seen by what they wrote themselves: an attempt that writes anything
//! after a later one has started was still alive then.

use std::collections::BTreeMap;

use crate::evidence::{Evidence, LedgerKey, Mark};

/// S5, in its strictest form: no overlap at all.
pub(super) fn attempts_are_apart(evidence: &Evidence) -> Vec<String> {
    let mut newest: BTreeMap<&LedgerKey, _> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (place, line) in evidence.ledger.iter().enumerate() {
        if line.mark == Mark::Start {
            newest.insert(&line.key, line.fence);
            continue;
        }
        match newest.get(&line.key) {
            Some(fence) if *fence == line.fence => {}
            Some(fence) => wrong.push(format!(
                "line {}: {:?} with fence {} was alive at {} after {fence} had started",
                place + 1,
                line.key,
                line.fence,
                line.at
            )),
            None => wrong.push(format!("line {}: {:?} writes without having started", place + 1, line.key)),
        }
    }
    wrong
}

/// Once the API said that a task run succeeded, no attempt of it starts.
pub(super) fn nothing_runs_after_success(evidence: &Evidence) -> Vec<String> {
    let mut wrong = Vec::new();
    for (place, line) in evidence.ledger.iter().enumerate().filter(|(_, line)| line.mark == Mark::Start) {
        if evidence.seen_succeeded.get(&line.key).is_some_and(|length| place >= *length) {
            wrong.push(format!(
                "line {}: {:?} was seen as succeeded and starts again with fence {}",
                place + 1,
                line.key,
                line.fence
            ));
        }
    }
    wrong
}
