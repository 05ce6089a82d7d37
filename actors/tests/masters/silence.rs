//! A worker that is not heard gets nothing, and people are told since when.

use std::time::Duration;

use hortator_core::reason::Reason;
use hortator_core::time::Span;
use hortator_proto::api::{Command, Query, Request, Response, WorkerOrder};
use tokio::time::sleep;

use crate::world::{World, name, world};

async fn order(world: &World, order: WorkerOrder) {
    let command = Command::OrderWorker { name: name("w1"), order, by: "li".into() };
    let answer = world.request(1, Request::Command(command)).await;
    assert!(matches!(answer, Ok(Response::Changed { changed: true, .. })), "{answer:?}");
}

#[test]
fn a_silent_worker_whose_row_changes_stays_silent() {
    world(651, 1, 1, async |world| {
        let (workflow, _) = world.apply(1, "tasks: [{ id: one, shell: { script: run 10 } }]").await;
        let first = world.try_start(1, &workflow, "first").await.expect("started");
        assert_eq!(world.finished(1, first).await, "succeeded");
        let cut_at = world.now();
        world.cut_off("w1", true);
        sleep(Duration::from_secs(3)).await;
        let run = world.try_start(1, &workflow, "second").await.expect("started");
        order(&world, WorkerOrder::Cordon).await;
        order(&world, WorkerOrder::Uncordon).await;
        // Longer than reasons take to be told, shorter than a worker is heard for.
        sleep(Duration::from_millis(1500)).await;
        let query = Query::Explain { run, task: None };
        let Ok(Response::Explain(view)) = world.ask(1, query).await else { panic!("no explanation") };
        let reasons = view.tasks[0].reasons.as_slice();
        let [Reason::WorkerSilent { last_heartbeat, .. }] = reasons else { panic!("{reasons:?}") };
        let before = cut_at.since(*last_heartbeat);
        assert!(*last_heartbeat <= cut_at && before < Span::from_secs(1), "{before:?} before the cut");
        world.cut_off("w1", false);
        assert_eq!(world.finished(1, run).await, "succeeded");
    });
}
