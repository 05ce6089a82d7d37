//! What a client is told of why its run waits: whatever waits has a reason. Must not know which reasons there are.

use std::collections::BTreeMap;
use std::time::Duration;

use hortator_core::id::{Name, RunId};
use hortator_proto::api::{ExplainView, TaskExplain, TaskRunView};
use tokio::time::Instant;

/// A grant that is taken has no reason any more, and what it decided is in no row before it is committed.
const COMMITS_IN: Duration = Duration::from_secs(10);
/// States in which a task run may be without a reason.
const GOES: &str = "running";
/// States in which a run has reasons of its own.
const RUN_WAITS: [&str; 2] = ["queued", "quarantined"];

/// Fewer looks could each have met an attempt that ended between two questions.
const LOOKS: u32 = 4;

/// A task run and its attempts so far.
type Item = (Name, u32, u16);

/// Of one run, over all looks at it.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Since when, and at how many looks, a task run is ready by its row and has no reason.
    unexplained: BTreeMap<Item, (Instant, u32)>,
}

impl Waits {
    /// What is wrong with an answer, given what rows that were read after it show as ready.
    pub(super) fn judge(
        &mut self,
        run: RunId,
        told: &ExplainView,
        ready: &[TaskRunView],
        now: Instant,
    ) -> Option<String> {
        if RUN_WAITS.contains(&told.run_state.as_str()) && told.run_reasons.is_empty() {
            return Some(format!("run {run} is {} without a reason", told.run_state));
        }
        let waits = |task: &&TaskExplain| task.state != GOES && task.reasons.is_empty();
        if let Some(task) = told.tasks.iter().find(waits) {
            return Some(format!("task {} of run {run} is {} without a reason", task.id, task.state));
        }
        let goes = |item: &Item| {
            let named = |task: &&TaskExplain| task.id == item.0 && task.item.unwrap_or(0) == item.1;
            told.tasks.iter().find(named).is_some_and(|task| task.reasons.is_empty())
        };
        let items = ready.iter().map(|task| (task.id.clone(), task.item.unwrap_or(0), task.attempt));
        let unexplained: Vec<Item> = items.filter(goes).collect();
        self.unexplained.retain(|item, _| unexplained.contains(item));
        for item in unexplained {
            let (since, looks) = self.unexplained.entry(item.clone()).or_insert((now, 0));
            *looks += 1;
            if *looks >= LOOKS && now.duration_since(*since) > COMMITS_IN {
                return Some(format!(
                    "task {}[{}] of run {run} is ready and has no reason to wait",
                    item.0, item.1
                ));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use hortator_core::id::Position;

    use super::*;

    fn told(run_state: &str, task_state: &str) -> ExplainView {
        let task = TaskExplain {
            id: Name::new("one").unwrap(),
            item: None,
            state: task_state.to_owned(),
            since: None,
            reasons: Vec::new(),
        };
        ExplainView {
            run: RunId::new(0, 1, 0),
            run_state: run_state.to_owned(),
            run_reasons: Vec::new(),
            tasks: vec![task],
            more: 0,
            eta: None,
            position: Position { group: 1, index: 1 },
        }
    }

    #[test]
    fn whatever_waits_has_a_reason() {
        let run = RunId::new(0, 1, 0);
        let judge = |told: &ExplainView| Waits::default().judge(run, told, &[], Instant::now());
        assert_eq!(judge(&told("running", "running")), None);
        assert!(judge(&told("running", "ready")).is_some());
        assert!(judge(&told("queued", "running")).is_some());
    }

    #[test]
    fn what_does_not_start_does_not_run() {
        let run = RunId::new(0, 1, 0);
        let ready: TaskRunView = serde_json::from_value(
            serde_json::json!({"id": "one", "state": "ready", "attempt": 0, "outputs": {}}),
        )
        .unwrap();
        let (mut waits, began) = (Waits::default(), Instant::now());
        let mut judge = |seconds, ready: &[TaskRunView]| {
            let now = began + Duration::from_secs(seconds);
            waits.judge(run, &told("running", "running"), ready, now).is_some()
        };
        let one = std::slice::from_ref(&ready);
        assert_eq!(
            [judge(0, one), judge(6, one), judge(12, one), judge(13, one)],
            [false, false, false, true]
        );
        assert!(!judge(14, &[]), "it runs");
        assert!(!judge(30, one), "it waits anew");
    }
}
