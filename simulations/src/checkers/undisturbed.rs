//! Processes that nobody had a reason to end.

use std::collections::BTreeMap;

use hortator_core::id::Fence;

use crate::evidence::{Evidence, LedgerKey, Mark};

/// P7: every process that started also ended by itself, and none had to be started again.
pub(super) fn every_start_ends(evidence: &Evidence) -> Vec<String> {
    let mut open: BTreeMap<(&LedgerKey, u64), Fence> = BTreeMap::new();
    let mut starts: BTreeMap<&LedgerKey, u32> = BTreeMap::new();
    for line in &evidence.ledger {
        match line.mark {
            Mark::Start => {
                open.insert((&line.key, line.fence.index), line.fence);
                *starts.entry(&line.key).or_default() += 1;
            }
            Mark::Beat => {}
            Mark::End => {
                open.remove(&(&line.key, line.fence.index));
            }
        }
    }
    let mut wrong: Vec<String> = open
        .into_iter()
        .map(|((key, _), fence)| format!("{key:?} with fence {fence} started and never ended"))
        .collect();
    let again = starts.into_iter().filter(|(_, count)| *count > 1);
    wrong.extend(again.map(|(key, count)| format!("{key:?} had to start {count} times")));
    wrong
}
