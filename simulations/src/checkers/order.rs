//! What comes first: parents before children, starts before the end of a cancelled run.

use std::collections::{BTreeMap, BTreeSet};

use hortator_core::id::RunId;

use crate::evidence::{Evidence, Mark};

/// S8: all task runs of all parents have written their end before a task run writes its start.
pub(super) fn parents_end_first(evidence: &Evidence) -> Vec<String> {
    let mut wrong = late_starts(evidence);
    let mut ended: BTreeSet<(RunId, &str, u32)> = BTreeSet::new();
    let expected = items(evidence);
    for (place, line) in evidence.ledger.iter().enumerate() {
        match line.mark {
            Mark::Beat => continue,
            Mark::End => {
                ended.insert((line.key.run, line.key.task.as_str(), line.key.item));
                continue;
            }
            Mark::Start => {}
        }
        let Some(run) = evidence.runs.get(&line.key.run) else { continue };
        let Some(task) = run.tasks.iter().find(|task| task.name == line.key.task) else { continue };
        for parent in task.parents.iter().filter_map(|parent| run.tasks.get(*parent)) {
            let all = expected.get(&(line.key.run, parent.name.as_str())).into_iter().flatten();
            let open =
                all.filter(|item| !ended.contains(&(line.key.run, parent.name.as_str(), **item))).count();
            if open > 0 {
                wrong.push(format!(
                    "line {}: {:?} starts while {open} of {:?} have not ended",
                    place + 1,
                    line.key,
                    parent.name
                ));
            }
        }
    }
    wrong
}

/// The items of each task that ever started in a run.
fn items(evidence: &Evidence) -> BTreeMap<(RunId, &str), BTreeSet<u32>> {
    let mut items: BTreeMap<(RunId, &str), BTreeSet<u32>> = BTreeMap::new();
    for line in evidence.ledger.iter().filter(|line| line.mark == Mark::Start) {
        items.entry((line.key.run, line.key.task.as_str())).or_default().insert(line.key.item);
    }
    items
}

fn late_starts(evidence: &Evidence) -> Vec<String> {
    let over: BTreeMap<RunId, usize> =
        evidence.cancels.iter().map(|cancel| (cancel.run, cancel.over_at)).collect();
    let starts = evidence.ledger.iter().enumerate().filter(|(_, line)| line.mark == Mark::Start);
    let late = starts.filter(|(place, line)| over.get(&line.key.run).is_some_and(|end| place >= end));
    late.map(|(place, line)| format!("line {}: {:?} starts after its run was cancelled", place + 1, line.key))
        .collect()
}
