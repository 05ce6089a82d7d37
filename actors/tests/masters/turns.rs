//! Runs that wait for their turn, and those that give it back: whatever a run's end is decided by, its place is free.

use std::time::Duration;

use hortator_core::id::RunId;
use hortator_proto::api::{Command, Request, Response};
use hortator_proto::row;
use hortator_raft::memory::Crash;
use tokio::time::sleep;

use crate::world::{What, World, rows_after, world};

const ONE_AT_A_TIME: &str = "
concurrency: { runs: 1, when_full: queue }
tasks:
  - { id: hangs, shell: { script: hang } }
";

fn starts_of(world: &World, run: RunId) -> usize {
    let started = world.deeds().into_iter().filter(|deed| deed.what == What::Started);
    started.filter(|deed| deed.attempt.task_run.run == run).count()
}

async fn ends(world: &World, run: RunId) {
    assert_eq!(world.cancel(1, run).await, "cancelling");
    assert_eq!(world.finished(1, run).await, "cancelled");
}

/// `again` comes between the cancel of the run that waits and the end of the one that runs.
fn check(seed: u64, again: impl AsyncFn(&World, RunId)) {
    world(seed, 1, 1, async |world| {
        let (workflow, _) = world.apply(1, ONE_AT_A_TIME).await;
        let start = async |key: &str| world.try_start(1, &workflow, key).await.expect("started");
        let (first, waits, last) = (start("first").await, start("waits").await, start("last").await);
        world.until("the first runs", || starts_of(&world, first) == 1).await;
        ends(&world, waits).await;
        again(&world, first).await;
        ends(&world, first).await;
        world.until("the last has its turn", || starts_of(&world, last) == 1).await;
        // Accepted while another runs: it waits for its turn and gets it.
        let command = Command::RetryFailed { run: waits, by: "test".into() };
        let answer = world.request(1, Request::Command(command)).await;
        assert!(matches!(answer, Ok(Response::Accepted { .. })), "{answer:?}");
        ends(&world, last).await;
        world.until("the retried run has its turn", || starts_of(&world, waits) == 1).await;
        ends(&world, waits).await;
        world.crash_master(1, Crash::Keep).await;
        let (rows, _group) = rows_after(&world.disk(1));
        let (from, to) = row::key::live_runs();
        assert_eq!(rows.scan(&from, &to, 100, false).expect("readable"), []);
    });
}

#[test]
fn a_run_that_is_cancelled_while_it_waits_gives_its_turn_to_the_next() {
    (531..541).for_each(|seed| check(seed, async |_, _| {}));
}

#[test]
fn so_it_does_at_the_next_leader() {
    check(541, async |world, first| {
        world.crash_master(1, Crash::Keep).await;
        world.start_master(1).await;
        world.wait_leader(1, 1, &[]).await;
        // Until the shard is rebuilt.
        while world.view(1, first).await.is_err() {
            sleep(Duration::from_millis(25)).await;
        }
    });
}
