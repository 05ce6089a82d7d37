//! What clients were told, against what is there in the end. An answer that never came may mean either.

use std::collections::BTreeMap;

use hortator_core::event::Event;
use hortator_core::id::RunId;

use crate::evidence::{Evidence, RunEvidence, Shown, Start};

/// S1: every acknowledged run exists.
pub(super) fn nothing_is_lost(evidence: &Evidence) -> Vec<String> {
    let mut lost = Vec::new();
    for (key, start) in &evidence.starts {
        let Start::Acknowledged { runs, .. } = start else { continue };
        for run in runs.iter().filter(|run| !evidence.runs.contains_key(run)) {
            lost.push(format!("run {run} was acknowledged for key {key:?} and is not there"));
        }
    }
    for (run, settled) in &evidence.settled {
        if settled.now == Shown::Nothing {
            lost.push(format!("run {run} was {} when it was judged and is not there", settled.state));
        }
    }
    for cancel in &evidence.cancels {
        match evidence.runs.get(&cancel.run) {
            Some(run) if run.state == "cancelled" => {}
            // It was asked to stop, and its last task had ended by itself before it heard of that.
            Some(run) if knows_of_cancel(run) => {}
            Some(run) => lost.push(format!("run {} was cancelled and is {}", cancel.run, run.state)),
            None => lost.push(format!("run {} was cancelled and is not there", cancel.run)),
        }
    }
    for id in &evidence.retries {
        match evidence.runs.get(id) {
            Some(run) if has_begun_again(run) => {}
            Some(_) => lost.push(format!("run {id} was to try again, and its history knows nothing of that")),
            None => lost.push(format!("run {id} was to try again and is not there")),
        }
    }
    lost
}

fn has_begun_again(run: &RunEvidence) -> bool {
    let mut events = run.history.iter().flat_map(|(_, entry)| &entry.events);
    events.any(|event| matches!(event, Event::RunRetried { .. }))
}

fn knows_of_cancel(run: &RunEvidence) -> bool {
    let mut events = run.history.iter().flat_map(|(_, entry)| &entry.events);
    events.any(|event| matches!(event, Event::RunCancelRequested { .. }))
}

/// S2: a key has one run, however often it was asked.
pub(super) fn keys_apply_once(evidence: &Evidence) -> Vec<String> {
    let mut twice = Vec::new();
    for (key, start) in &evidence.starts {
        let Start::Acknowledged { runs, .. } = start else { continue };
        if runs.windows(2).any(|pair| pair[0] != pair[1]) {
            twice.push(format!("key {key:?} was answered with different runs: {}", listed(runs)));
        }
    }
    let mut by_key: BTreeMap<&str, Vec<RunId>> = BTreeMap::new();
    let settled = evidence.settled.iter().map(|(id, run)| (id, &run.key));
    for (id, key) in evidence.runs.iter().map(|(id, run)| (id, &run.key)).chain(settled) {
        if let Some(key) = key {
            by_key.entry(key).or_default().push(*id);
        }
    }
    for (key, runs) in by_key.iter().filter(|(_, runs)| runs.len() > 1) {
        twice.push(format!("key {key:?} has {} runs: {}", runs.len(), listed(runs)));
    }
    twice
}

fn listed(runs: &[RunId]) -> String {
    runs.iter().map(RunId::to_string).collect::<Vec<_>>().join(", ")
}
