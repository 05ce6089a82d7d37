//! The epoch rule: what a leader had under way when it lost its majority has no effect, unless the log has it, and its
//! successor finishes the work.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hortator_core::event::Event;
use hortator_core::id::{AttemptId, RunId};
use hortator_proto::api::{Query, Response};
use hortator_proto::frame::{NodeId, ToWorker};
use tokio::time::sleep;

use crate::recovery::{each_ran_once, random_dag};
use crate::world::{World, world};

/// By index, the attempts that the entry dispatched.
async fn dispatches(world: &World, run: RunId) -> BTreeMap<u64, BTreeSet<AttemptId>> {
    let query = Query::Events { run, after: 0, limit: 5_000 };
    let Ok(Response::Events { entries, .. }) = world.ask(1, query).await else { panic!("no history") };
    let mut found: BTreeMap<u64, BTreeSet<AttemptId>> = BTreeMap::new();
    for entry in entries {
        for event in entry.events {
            if let Event::AttemptDispatched { key, attempt, .. } = event {
                let task_run = hortator_core::id::TaskRunId { run, key };
                found.entry(entry.position.index).or_default().insert(AttemptId { task_run, attempt });
            }
        }
    }
    found
}

/// No `Run` was ever sent that does not rest on the log.
async fn every_dispatch_is_in_the_log(world: &World, run: RunId) {
    let dispatched = dispatches(world, run).await;
    let mut sent = 0;
    for (at, master, _, frame) in world.net.told() {
        let ToWorker::Run(attempts) = frame else { continue };
        for attempt in attempts.iter().filter(|attempt| attempt.attempt.task_run.run == run) {
            let known =
                dispatched.get(&attempt.fence.index).is_some_and(|known| known.contains(&attempt.attempt));
            assert!(known, "n{master} sent {:?} with {} at {at:?}", attempt.attempt, attempt.fence);
            sent += 1;
        }
    }
    assert!(sent >= dispatched.len(), "frames were looked at");
}

fn isolate(world: &World, id: u64, cut: bool) {
    for other in world.masters().iter().filter(|other| **other != id) {
        world.net.cut(&NodeId::Master(id), &NodeId::Master(*other), cut);
    }
}

#[test]
fn an_old_leader_has_no_effect_and_the_new_one_finishes() {
    for seed in 21..27 {
        world(seed, 3, 2, async |world| {
            let text = random_dag(&mut world.draw.borrow_mut());
            let (workflow, _) = world.apply(1, &text).await;
            let run = world.try_start(1, &workflow, "first").await.expect("started");
            let mut acknowledged = vec![run];
            for round in 0..4 {
                let (before, apart) = (world.below(300), world.below(4_000));
                sleep(Duration::from_millis(before)).await;
                let old = world.wait_leader(1, 1, &[]).await;
                isolate(&world, old, true);
                // The old leader takes it and can commit nothing; unless its stay apart is short, it never answers.
                let key = format!("apart-{round}");
                let asked =
                    tokio::time::timeout(Duration::from_millis(apart), world.try_start(old, &workflow, &key));
                acknowledged.extend(asked.await.ok().and_then(Result::ok));
                isolate(&world, old, false);
                if let Ok(run) = world.try_start(1 + round % 3, &workflow, &format!("key-{round}")).await {
                    acknowledged.push(run);
                }
            }
            for run in &acknowledged {
                assert_eq!(world.finished(2, *run).await, "succeeded", "{run}");
                every_dispatch_is_in_the_log(&world, *run).await;
            }
        });
    }
}

#[test]
fn a_leader_that_stays_apart_is_replaced_and_its_own_decisions_are_forgotten() {
    for seed in 31..37 {
        world(seed, 3, 2, async |world| {
            let text = random_dag(&mut world.draw.borrow_mut());
            let (run, definition) = world.begin(1, &text).await;
            let (pause, old) = (world.below(400), world.wait_leader(1, 1, &[]).await);
            sleep(Duration::from_millis(pause)).await;
            // It still hears its workers' reports, decides on them and proposes; its dispatches reach nobody.
            isolate(&world, old, true);
            let survivor = if old == 1 { 2 } else { 1 };
            let new = world.wait_leader(survivor, 1, &[old]).await;
            assert_ne!(new, old);
            assert_eq!(world.finished(new, run).await, "succeeded");
            each_ran_once(&world, &definition);
            isolate(&world, old, false);
            sleep(Duration::from_secs(3)).await;
            assert_eq!(world.view(old, run).await.expect("it is back").state, "succeeded");
            every_dispatch_is_in_the_log(&world, run).await;
            each_ran_once(&world, &definition);
        });
    }
}
