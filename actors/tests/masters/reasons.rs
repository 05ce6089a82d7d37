//! Reasons of deciders: for each code a run, or a task of it, for which it is the only one, as clients are told.

use std::time::Duration;

use hortator_actors::seam::LaunchResult;
use hortator_core::id::RunId;
use hortator_core::task_run::LOSSES_FREE;
use hortator_proto::api::{ExplainView, Query, Response};
use tokio::time::sleep;

use crate::world::{What, World, world};

async fn explained(world: &World, run: RunId) -> ExplainView {
    match world.ask(1, Query::Explain { run, task: None }).await {
        Ok(Response::Explain(view)) => view,
        other => panic!("{other:?} answers explain"),
    }
}

/// Of the run and of each task that waits, with its name.
async fn codes(world: &World, run: RunId) -> Vec<String> {
    let view = explained(world, run).await;
    let own = view.run_reasons.iter().map(|reason| format!("run {}", reason.code()));
    let waiting = view.tasks.iter().filter(|task| !task.reasons.is_empty());
    let of_tasks = waiting.map(|task| {
        let codes: Vec<&str> = task.reasons.iter().map(hortator_core::reason::Reason::code).collect();
        format!("{} {}", task.id, codes.join(" "))
    });
    own.chain(of_tasks).collect()
}

fn started(world: &World) -> usize {
    world.deeds().iter().filter(|deed| deed.what == What::Started).count()
}

#[test]
fn a_parent_a_delay_and_a_group() {
    world(601, 1, 1, async |world| {
        let waits = "tasks: [{ id: first, shell: { script: hang } }, { id: then, needs: [first], noop: {} }]";
        let (workflow, _) = world.apply(1, waits).await;
        let run = world.try_start(1, &workflow, "parent").await.expect("started");
        world.until("the parent runs", || started(&world) == 1).await;
        assert_eq!(codes(&world, run).await, ["first R501", "then R101"], "its worker was not asked yet");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(codes(&world, run).await, ["then R101"]);

        let fails = "tasks: [{ id: one, retry: { max: 2, delay: 60s }, shell: { script: hang } }]";
        let (workflow, _) = world.apply(1, fails).await;
        let run = world.try_start(1, &workflow, "delay").await.expect("started");
        world.until("it runs", || started(&world) == 2).await;
        let last = *world.host("w1").running().last().expect("it runs");
        world.host("w1").end(last, LaunchResult::Exited { code: 1 }, What::Ended);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(codes(&world, run).await, ["one R111"]);

        let (workflow, _) = world.apply(1, "tasks: [{ id: one, group: gpu, noop: {} }]").await;
        let run = world.try_start(1, &workflow, "group").await.expect("started");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(codes(&world, run).await, ["one R304"]);
    });
}

#[test]
fn a_turn() {
    world(602, 1, 1, async |world| {
        let turns =
            "concurrency: { runs: 1, when_full: queue }\ntasks: [{ id: one, shell: { script: hang } }]";
        let (workflow, _) = world.apply(1, turns).await;
        world.try_start(1, &workflow, "first").await.expect("started");
        let run = world.try_start(1, &workflow, "second").await.expect("started");
        world.until("the first runs", || started(&world) == 1).await;
        assert_eq!(codes(&world, run).await, ["run R201", "one R201"]);
    });
}

#[test]
fn a_place_among_items_and_a_rule_that_cannot_be_met() {
    world(605, 1, 1, async |world| {
        let items = "tasks: [{ id: each, foreach: { items: [a, b], as: part, parallel: 1 }, shell: { script: hang } }]";
        let (workflow, _) = world.apply(1, items).await;
        let run = world.try_start(1, &workflow, "items").await.expect("started");
        world.until("one runs", || started(&world) == 1).await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(codes(&world, run).await, ["each R205"]);
        assert_eq!(explained(&world, run).await.tasks.len(), 2);

        let rule = "tasks: [{ id: fails, shell: { script: hang } }, { id: hangs, shell: { script: hang } }, \
                    { id: then, needs: [fails, hangs], noop: {} }]";
        let (workflow, _) = world.apply(1, rule).await;
        let run = world.try_start(1, &workflow, "rule").await.expect("started");
        world.until("both run", || started(&world) == 3).await;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(codes(&world, run).await, ["then R101"]);
        let tasks = world.tasks(1, run).await;
        assert!(tasks.iter().all(|task| task.reason.is_none()), "what runs needs no reason: {tasks:?}");
        let fails = world.host("w1").running()[1];
        world.host("w1").end(fails, LaunchResult::Exited { code: 1 }, What::Ended);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(codes(&world, run).await, ["then R102"]);
    });
}

#[test]
fn losses_in_a_row() {
    world(603, 1, 1, async |world| {
        let (workflow, _) = world.apply(1, "tasks: [{ id: one, shell: { script: hang } }]").await;
        let run = world.try_start(1, &workflow, "losses").await.expect("started");
        for life in 1..=LOSSES_FREE as usize + 1 {
            world.until("it runs", || started(&world) == life).await;
            world.crash_worker("w1").await;
            world.start_worker("w1", true);
        }
        // Shorter than the shortest wait after them.
        let grain = Duration::from_millis(50);
        let mut told = Vec::new();
        for _ in 0..200 {
            told = codes(&world, run).await;
            if told == ["one R112"] {
                return;
            }
            sleep(grain).await;
        }
        panic!("never told alone: {told:?}");
    });
}

#[test]
fn a_run_that_ends() {
    world(604, 1, 1, async |world| {
        let stops = "on_failure: stop\ntasks: [{ id: fails, shell: { script: hang } }, { id: hangs, shell: { script: hang } }, { id: then, needs: [hangs], noop: {} }]";
        let (workflow, _) = world.apply(1, stops).await;
        let run = world.try_start(1, &workflow, "stops").await.expect("started");
        world.until("both run", || started(&world) == 2).await;
        let first = *world.host("w1").running().first().expect("it runs");
        world.host("w1").end(first, LaunchResult::Exited { code: 1 }, What::Ended);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(codes(&world, run).await, ["then R106"]);
    });
}
