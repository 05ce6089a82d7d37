//! Fences, as the processes themselves were given them.

use std::collections::BTreeMap;

use hortator_core::id::Fence;

use crate::evidence::{Evidence, LedgerKey, Mark};

/// S6: a later attempt has a higher fence, and no fence starts two processes.
pub(super) fn fences_rise(evidence: &Evidence) -> Vec<String> {
    let mut last: BTreeMap<&LedgerKey, Fence> = BTreeMap::new();
    let mut wrong = Vec::new();
    for line in evidence.ledger.iter().filter(|line| line.mark == Mark::Start) {
        let Some(before) = last.insert(&line.key, line.fence) else { continue };
        if place(before) == place(line.fence) {
            wrong.push(format!("{:?}: fence {} was started twice", line.key, line.fence));
        } else if place(before) > place(line.fence) {
            wrong.push(format!("{:?}: fence {} started after {before}", line.key, line.fence));
        }
    }
    wrong
}

/// Terms and indexes of one shard rise together; a task run never changes its shard.
fn place(fence: Fence) -> (u32, u32, u64, u64) {
    (fence.generation, fence.shard, fence.term, fence.index)
}
