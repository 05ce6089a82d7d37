//! Tasks that would rather fail than run twice.

use std::collections::BTreeMap;

use crate::evidence::{Delivery, Evidence, LedgerKey, Mark};

/// S7: one start in the ledger, ever.
pub(super) fn starts_once(evidence: &Evidence) -> Vec<String> {
    let mut starts: BTreeMap<&LedgerKey, u32> = BTreeMap::new();
    for line in evidence.ledger.iter().filter(|line| line.mark == Mark::Start) {
        let shapes = evidence.runs.get(&line.key.run).map(|run| &run.tasks);
        let shape = shapes.and_then(|tasks| tasks.iter().find(|task| task.name == line.key.task));
        if shape.is_some_and(|task| task.delivery == Delivery::AtMostOnce) {
            *starts.entry(&line.key).or_default() += 1;
        }
    }
    let twice = starts.into_iter().filter(|(_, count)| *count > 1);
    twice.map(|(key, count)| format!("{key:?} started {count} times")).collect()
}
