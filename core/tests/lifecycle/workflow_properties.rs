//! Any commands to a workflow: what it keeps, and that its runs' rows tell the same.

use std::collections::BTreeMap;

use hortator_core::definition::{Concurrency, WhenFull};
use hortator_core::event::ResultCounts;
use hortator_core::event::RunOutcome;
use hortator_core::id::RunId;
use hortator_core::run::{CancelRequest, RunPhase, Started};
use hortator_core::time::Timestamp;
use hortator_core::workflow::{
    Lane, LiveRun, Place, StartKey, WorkflowCommand, WorkflowEvent, WorkflowRejection, WorkflowState, decide,
};
use proptest::prelude::*;

use crate::workflow_stories::workflow;

fn commands() -> impl Strategy<Value = WorkflowCommand> {
    let run = || (0..12u128).prop_map(RunId);
    let key =
        (0..6u8, 0..2u64).prop_map(|(key, request_hash)| StartKey { key: key.to_string(), request_hash });
    let when_full = prop_oneof![Just(WhenFull::Queue), Just(WhenFull::Skip), Just(WhenFull::CancelOldest)];
    prop_oneof![
        1 => (0..4u8, prop::option::of(1..4u32), when_full).prop_map(|(hash, runs, when_full)| {
            WorkflowCommand::ApplyVersion { hash: hash.to_string(), concurrency: Concurrency { runs, when_full } }
        }),
        6 => (run(), prop::option::of(key), place()).prop_map(|(run, key, place)| {
            WorkflowCommand::StartRun { run, key, place }
        }),
        1 => (run(), place()).prop_map(|(run, place)| WorkflowCommand::RetryRun { run, place }),
        6 => run().prop_map(|run| WorkflowCommand::RunFinished { run }),
        1 => (run(), 0..3u8).prop_map(|(run, key)| WorkflowCommand::DeleteRun { run, key: Some(key.to_string()) }),
        1 => Just(WorkflowCommand::Advance),
    ]
}

fn place() -> impl Strategy<Value = Place> {
    let lane = || {
        prop_oneof![Just("a"), Just("b")].prop_map(|name| Lane::OfSchedule(crate::definitions::name(name)))
    };
    let beside = Just(Place::Beside(crate::definitions::name("a")));
    prop_oneof![3 => Just(Place::Free), 1 => beside, 3 => lane().prop_map(Place::Behind), 2 => lane().prop_map(Place::InPlaceOfTheOldest)]
}

/// The phase that a run's row has while the workflow sees it like this.
fn phase(stage: LiveRun) -> RunPhase {
    let at = Timestamp(1);
    match stage {
        LiveRun::Queued => RunPhase::Queued,
        LiveRun::Running => RunPhase::Running { started_at: at },
        LiveRun::Cancelling => RunPhase::Cancelling {
            started: Started::At(at),
            request: CancelRequest { by: "the workflow".into(), reason: None, at },
        },
    }
}

fn restored(state: &WorkflowState, keys: &[(StartKey, RunId)]) -> WorkflowState {
    let mut restored = workflow();
    restored.latest = state.latest.clone();
    state.live().for_each(|(run, stage)| restored.restore_run(run, &phase(stage), state.place(run)));
    let finished = RunPhase::Finished {
        outcome: RunOutcome::Succeeded,
        started: Started::Never,
        finished_at: Timestamp(1),
        counts: ResultCounts::default(),
        first_failed: None,
        cancel: None,
    };
    restored.restore_run(RunId(99), &finished, &Place::Free);
    keys.iter().for_each(|(key, run)| restored.restore_key(key, *run));
    restored
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_workflow_keeps_its_rules(commands in prop::collection::vec(commands(), 1..60)) {
        let mut state = workflow();
        let mut known: BTreeMap<String, RunId> = BTreeMap::new();
        let mut keys = Vec::new();
        for command in commands {
            let before = state.clone();
            match decide(&state, &command) {
                Ok(events) => {
                    for event in &events {
                        state.apply(event);
                        if let WorkflowEvent::RunAccepted { run, key: Some(key), .. } = event {
                            prop_assert_eq!(known.insert(key.key.clone(), *run), None, "a key starts one run");
                            keys.push((key.clone(), *run));
                        }
                        if let WorkflowEvent::KeyForgotten { key } = event {
                            known.remove(key);
                            keys.retain(|(kept, _): &(StartKey, RunId)| kept.key != *key);
                        }
                    }
                }
                Err(WorkflowRejection::SameKey { run } | WorkflowRejection::KeyTaken { run }) => {
                    prop_assert!(known.values().any(|started| *started == run));
                }
                Err(_) => {}
            }
            let concurrency = state.latest.as_ref().map(|latest| latest.concurrency);
            let limit = concurrency.and_then(|it| it.runs).map_or(usize::MAX, |limit| limit as usize);
            let holders = |state: &WorkflowState| state.live().filter(|(_, stage)| *stage != LiveRun::Queued).count();
            let mut held = std::collections::BTreeSet::new();
            for (run, _) in state.live().filter(|(_, stage)| *stage != LiveRun::Queued) {
                let lane = state.place(run).lane();
                let alone = !lane.is_narrow() || held.insert(lane.clone());
                let cancelling = state.live_run(run) == Some(LiveRun::Cancelling);
                let others = state.live().filter(|(other, stage)| {
                    *other != run && *stage == LiveRun::Cancelling && state.place(*other).lane() == lane
                });
                prop_assert!(alone || cancelling || others.count() > 0, "{} runs beside another of {:?}", run, lane);
            }
            let may_go = |run: RunId| !held.contains(state.place(run).lane());
            if state.live().any(|(run, stage)| stage == LiveRun::Queued && may_go(run)) {
                prop_assert!(holders(&state) >= limit, "nobody waits beside a free place");
            }
            // A lower limit takes effect as runs finish.
            let running = state.live().filter(|(_, stage)| *stage == LiveRun::Running).count();
            let was_running = before.live().filter(|(_, stage)| *stage == LiveRun::Running).count();
            prop_assert!(running <= limit.max(was_running));
            prop_assert_eq!(&restored(&state, &keys), &state);
        }
    }
}
