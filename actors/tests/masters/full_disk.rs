//! A full disk stops a master's replicas; when there is space they go on, in the same process.

use std::time::Duration;

use hortator_core::id::{RunId, WorkflowName};
use hortator_proto::api::Problem;
use tokio::time::{sleep, timeout};

use crate::world::{World, world};

const QUICK: &str = "tasks: [{ id: one, noop: {} }]";
/// A client's patience.
const PATIENCE: Duration = Duration::from_secs(2);

async fn begun(world: &World, through: u64, workflow: &WorkflowName, key: &str) -> Option<RunId> {
    let asked: Result<Result<RunId, Problem>, _> =
        timeout(PATIENCE, world.try_start(through, workflow, key)).await;
    asked.ok().and_then(Result::ok)
}

/// Starts runs until none is taken any more, at most a thousand. A replica that opens its file again may find some pages
/// free in it, so one that is refused says little.
async fn until_refused(world: &World, through: u64, workflow: &WorkflowName) -> Vec<RunId> {
    let (mut runs, mut refused) = (Vec::new(), 0);
    for number in 0..1_000 {
        match begun(world, through, workflow, &format!("k{number}")).await {
            Some(run) => {
                runs.push(run);
                refused = 0;
            }
            None => {
                refused += 1;
                sleep(Duration::from_secs(5)).await;
            }
        }
        if refused == 2 {
            return runs;
        }
    }
    panic!("the disk is never full")
}

#[test]
fn a_lone_master_goes_on_when_there_is_space() {
    world(601, 1, 1, async |world| {
        let (workflow, _) = world.apply(1, QUICK).await;
        let disk = world.disk(1);
        disk.set_quota(Some(disk.used_bytes() + (64 << 10)));
        let runs = until_refused(&world, 1, &workflow).await;
        sleep(Duration::from_secs(5)).await;
        assert_eq!(begun(&world, 1, &workflow, "later").await, None, "there is no space yet");
        disk.set_quota(None);
        sleep(Duration::from_secs(5)).await;
        let later = world.try_start(1, &workflow, "later").await.expect("open again");
        for run in runs.into_iter().chain([later]) {
            assert_eq!(world.finished(1, run).await, "succeeded", "what was taken is not lost");
        }
    });
}

#[test]
fn a_follower_whose_disk_was_full_catches_up() {
    world(602, 3, 1, async |world| {
        let (workflow, _) = world.apply(1, QUICK).await;
        let leader = world.wait_leader(1, 1, &[]).await;
        let follower = world.masters().into_iter().find(|id| *id != leader).expect("two follow");
        let disk = world.disk(follower);
        disk.set_quota(Some(disk.used_bytes()));
        let mut last = None;
        for number in 0..200 {
            last = begun(&world, leader, &workflow, &format!("k{number}")).await;
        }
        let last = last.expect("two masters go on");
        disk.set_quota(None);
        sleep(Duration::from_secs(10)).await;
        // With it there is a majority without the other one.
        let other = world.masters().into_iter().find(|id| ![leader, follower].contains(id)).expect("three");
        world.crash_master(other, hortator_raft::memory::Crash::Keep).await;
        sleep(Duration::from_secs(3)).await;
        let more = begun(&world, leader, &workflow, "more").await.expect("a majority");
        assert_eq!(world.finished(follower, more).await, "succeeded");
        assert_eq!(world.finished(follower, last).await, "succeeded");
    });
}
