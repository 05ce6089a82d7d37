//! Who uses a worker at the same time, seen by what processes wrote themselves: from its first line to its last an attempt
//! was alive there.

use std::collections::BTreeMap;

use hortator_core::id::Fence;

use crate::evidence::{Evidence, LedgerKey, LedgerLine, Mark, TaskShape};

type Alive<'a> = BTreeMap<(&'a str, &'a LedgerKey, Fence), (&'a LedgerLine, &'a TaskShape)>;

/// S11, for what workers have: never more of it than there is, and a device is one process' own.
pub(super) fn workers_hold_what_they_are_given(evidence: &Evidence) -> Vec<String> {
    let mut last = BTreeMap::new();
    for (place, line) in evidence.ledger.iter().enumerate() {
        last.insert((line.worker.as_str(), &line.key, line.fence), place);
    }
    let (mut alive, mut wrong) = (Alive::new(), Vec::new());
    for (place, line) in evidence.ledger.iter().enumerate() {
        let id = (line.worker.as_str(), &line.key, line.fence);
        let run = evidence.runs.get(&line.key.run);
        let shape = run.and_then(|run| run.tasks.iter().find(|task| task.name == line.key.task));
        if let Some(shape) = shape.filter(|_| line.mark == Mark::Start) {
            let words = against_the_others(evidence, &alive, line, shape);
            wrong.extend(
                words.into_iter().map(|why| {
                    format!("line {}: {:?} starts on {}: {why}", place + 1, line.key, line.worker)
                }),
            );
            alive.insert(id, (line, shape));
        }
        if last.get(&id) == Some(&place) {
            alive.remove(&id);
        }
    }
    wrong
}

fn against_the_others(
    evidence: &Evidence,
    alive: &Alive<'_>,
    line: &LedgerLine,
    shape: &TaskShape,
) -> Vec<String> {
    let there = || alive.iter().filter(|((worker, ..), _)| *worker == line.worker).map(|(_, other)| *other);
    let mut wrong = Vec::new();
    for (resource, amount) in &shape.takes {
        let used: u64 = there().filter_map(|(_, other)| other.takes.get(resource)).sum();
        if let Some(has) = evidence.has.get(resource).filter(|has| used + amount > **has) {
            wrong.push(format!("{} of {resource} are in use then, and it has {has}", used + amount));
        }
    }
    for device in &line.given.devices {
        if let Some((other, _)) = there().find(|(other, _)| other.given.devices.contains(device)) {
            wrong.push(format!("device {device} is in use by {:?}", other.key));
        }
    }
    let wants = shape.takes.get("gpu").copied().unwrap_or(0);
    if evidence.has.contains_key("gpu") && line.given.devices.len() as u64 != wants {
        wrong.push(format!("it is to have {wants} devices and has {:?}", line.given.devices));
    }
    wrong
}
