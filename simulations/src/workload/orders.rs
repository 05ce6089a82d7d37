//! What a client changes besides runs: versions of workflows, switches of schedules, workers that get nothing new, settings. As
//! data, each with what is to be so from then on. Must not know whether it comes true.

use hortator_core::id::Name;
use hortator_proto::api::{Command, ScheduleSwitch, SettingsChange, WorkerOrder};
use serde::{Deserialize, Serialize};

use super::subject::{OFF_WORD, ON_WORD, Subject};
use super::{Flow, Habits, QuotaSet};
use crate::world::draw::Draw;

/// Runs that are kept at least, whatever clients set: more than a world has, or they would vanish.
const KEPT_MIN: u32 = 100_000;
/// Of orders about schedules in a million.
const TRIGGERS: u64 = 400_000;
/// Of the others: a schedule that is off shows little.
const ON: u64 = 600_000;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// A run of the schedule, beside its times.
    Trigger(Name),
    SwitchOn(Name),
    SwitchOff(Name),
    /// Another version of the workflow, which differs by its description.
    Apply(u32),
    Cordon(Name),
    Uncordon(Name),
    /// Finished runs that are kept.
    KeepRuns(u32),
    Quota(QuotaSet),
}

impl Order {
    /// Everybody triggers; the rest is one client's, so that it is known what was said last.
    pub(super) fn draw(
        client: u64,
        habits: &Habits,
        flow: &Flow,
        workers: &[Name],
        draw: &mut Draw,
    ) -> Option<Order> {
        if client == 0 && habits.quotas > 0 && draw.chance(habits.quotas) {
            return Some(Order::Quota(QuotaSet::draw(draw)));
        }
        let schedule = draw.pick(&flow.definition.schedules).map(|schedule| schedule.id.clone());
        if !draw.chance(habits.orders) {
            return None;
        }
        if client != 0 {
            return schedule.map(Order::Trigger);
        }
        // One of several at most: what runs needs somewhere to run.
        let cordoned = workers.first().filter(|_| workers.len() > 1 && draw.chance(habits.cordons)).cloned();
        match (draw.below(4), schedule, cordoned) {
            (0 | 1, Some(schedule), _) if draw.chance(TRIGGERS) => Some(Order::Trigger(schedule)),
            (0 | 1, Some(schedule), _) if draw.chance(ON) => Some(Order::SwitchOn(schedule)),
            (0 | 1, Some(schedule), _) => Some(Order::SwitchOff(schedule)),
            (0..=2, _, Some(worker)) if draw.chance(500_000) => Some(Order::Cordon(worker)),
            (0..=2, _, Some(worker)) => Some(Order::Uncordon(worker)),
            (0..=1, None, None) => Some(Order::KeepRuns(KEPT_MIN + draw.below(100) as u32)),
            _ => Some(Order::Apply(1 + draw.below(100) as u32)),
        }
    }

    /// What it is about and what that is then; none of what makes a run.
    pub(super) fn sets(&self, flow: &Flow) -> Option<(Subject, String)> {
        let workflow = flow.definition.name.clone();
        Some(match self {
            Order::Trigger(_) => return None,
            Order::SwitchOn(schedule) => (Subject::Switch(workflow, schedule.clone()), ON_WORD.into()),
            Order::SwitchOff(schedule) => (Subject::Switch(workflow, schedule.clone()), OFF_WORD.into()),
            Order::Apply(edition) => (Subject::Workflow(workflow), flow.edition(*edition).hash()),
            Order::Cordon(worker) => (Subject::Worker(worker.clone()), OFF_WORD.into()),
            Order::Uncordon(worker) => (Subject::Worker(worker.clone()), ON_WORD.into()),
            Order::KeepRuns(runs) => (Subject::KeptRuns, runs.to_string()),
            Order::Quota(quota) => quota.sets(),
        })
    }

    pub(super) fn command(&self, flow: &Flow, key: String, by: String) -> Command {
        let workflow = flow.definition.name.clone();
        let switch = |schedule: &Name, to| Command::ScheduleSwitch {
            workflow: workflow.clone(),
            schedule: schedule.clone(),
            to,
            by: by.clone(),
        };
        let worker = |name: &Name, order| Command::OrderWorker { name: name.clone(), order, by: by.clone() };
        match self {
            Order::Trigger(schedule) => {
                Command::ScheduleTrigger { workflow, schedule: schedule.clone(), key: Some(key), by }
            }
            Order::SwitchOn(schedule) => switch(schedule, ScheduleSwitch::On),
            Order::SwitchOff(schedule) => switch(schedule, ScheduleSwitch::Off),
            Order::Apply(edition) => flow.edition(*edition).apply(),
            Order::Cordon(name) => worker(name, WorkerOrder::Cordon),
            Order::Uncordon(name) => worker(name, WorkerOrder::Uncordon),
            Order::Quota(quota) => quota.command(by),
            Order::KeepRuns(runs) => {
                let change = SettingsChange { history_keep_runs: Some(*runs), ..SettingsChange::default() };
                Command::ChangeSettings { change, by }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another edition is another version of the same tasks.
    #[test]
    fn editions_differ_by_their_description() {
        let source = "hortator: v1\nname: flow\ntasks:\n  - { id: t0, noop: {} }\n";
        let flow = Flow::new(source.to_owned(), true);
        assert_ne!(flow.edition(1).hash(), flow.hash());
        assert_ne!(flow.edition(1).hash(), flow.edition(2).hash());
        assert_eq!(flow.edition(1).hash(), flow.edition(1).hash());
        assert_eq!(flow.edition(1).shapes, flow.shapes);
    }
}
