//! What was acknowledged comes to an end.

use crate::evidence::{Evidence, Start};

/// L2: every acknowledged run is in a final state.
pub(super) fn acknowledged_runs_end(evidence: &Evidence) -> Vec<String> {
    let mut open = Vec::new();
    for start in evidence.starts.values() {
        let Start::Acknowledged { runs, .. } = start else { continue };
        for run in runs {
            let state = evidence.runs.get(run).map_or("not there", |run| run.state.as_str());
            if !["succeeded", "failed", "cancelled"].contains(&state) {
                open.push(format!("run {run} is {state}"));
            }
        }
    }
    open.sort();
    open.dedup();
    open
}
