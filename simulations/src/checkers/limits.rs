//! Who runs at the same time under a limit, seen by what processes wrote themselves: from its first line to its last an
//! attempt was alive, so what it holds was in use.

use std::collections::BTreeMap;

use hortator_core::id::Fence;

use crate::evidence::{Evidence, LedgerKey};

/// S11, for limits: judged against the largest maximum that anybody asked for, since whoever holds goes on under a lower one.
pub(super) fn nobody_takes_more_than_there_is(evidence: &Evidence) -> Vec<String> {
    let mut last = BTreeMap::new();
    for (place, line) in evidence.ledger.iter().enumerate() {
        last.insert((&line.key, line.fence), place);
    }
    let mut alive: BTreeMap<(&LedgerKey, Fence), &[(String, u32)]> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (place, line) in evidence.ledger.iter().enumerate() {
        let id = (&line.key, line.fence);
        let shape = evidence.runs.get(&line.key.run).and_then(|run| {
            let mut tasks = run.tasks.iter();
            tasks.find(|task| task.name == line.key.task)
        });
        let limits = shape.map_or(&[][..], |task| &task.limits);
        if !limits.is_empty() && alive.insert(id, limits).is_none() {
            for (name, _) in limits {
                let all = alive.values().flat_map(|limits| limits.iter());
                let used: u32 = all.filter(|(other, _)| other == name).map(|(_, weight)| weight).sum();
                let most = evidence.limits.get(name).copied().unwrap_or(0);
                if used > most {
                    wrong.push(format!(
                        "line {}: {:?} starts with fence {} at {}, and {used} of limit {name} are in use, which is {most}",
                        place + 1,
                        line.key,
                        line.fence,
                        line.at
                    ));
                }
            }
        }
        if last.get(&id) == Some(&place) {
            alive.remove(&id);
        }
    }
    wrong
}
