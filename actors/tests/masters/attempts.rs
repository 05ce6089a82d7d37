//! The end-of-attempt rule: a dispatched attempt ends by its worker's word for its fence, or by the committed loss of
//! that life of the worker, and until then no other attempt of the task run begins.

use std::collections::BTreeMap;
use std::time::Duration;

use hortator_actors::seam::LaunchResult;
use hortator_core::event::{AttemptEnd, AttemptResult, StopCause};
use hortator_core::id::{AttemptId, Fence, RunId, WorkerRef};
use hortator_core::time::Timestamp;
use hortator_proto::frame::{FromWorker, NodeId, Report, ToWorker, Word};
use tokio::time::sleep;

use crate::world::{Deed, Passing, What, World, name, world};

const HANGS: &str = "tasks: [{ id: one, shell: { script: hang } }, { id: two, needs: [one], noop: {} }]";
const DEAF: &str = "tasks: [{ id: one, shell: { script: deaf } }, { id: two, needs: [one], noop: {} }]";
const TIMES_OUT: &str =
    "tasks: [{ id: one, timeout: 1s, retry: { max: 1, delay: 10ms }, shell: { script: deaf } }]";

const DONE: LaunchResult = LaunchResult::Exited { code: 0 };

/// Starts the run and waits for the first task's process on `w1`.
async fn begin(world: &World, text: &str) -> (RunId, (AttemptId, Fence)) {
    let (run, _) = world.begin(1, text).await;
    world.until("the process starts", || !world.host("w1").running().is_empty()).await;
    (run, world.host("w1").running()[0])
}

fn starts(world: &World) -> Vec<Deed> {
    world.deeds().into_iter().filter(|deed| deed.what == What::Started).collect()
}

fn stops(world: &World) -> Vec<StopCause> {
    let told = world.net.told().into_iter();
    let stops = told.filter_map(|(_, _, _, frame)| match frame {
        ToWorker::Stop(stops) => Some(stops),
        _ => None,
    });
    stops.flatten().map(|stop| stop.cause).collect()
}

#[test]
fn a_report_of_another_fence_is_acknowledged_and_not_applied() {
    world(41, 1, 1, async |world| {
        let (run, (attempt, fence)) = begin(&world, HANGS).await;
        let result = AttemptResult::Succeeded { outputs: BTreeMap::new() };
        let end = AttemptEnd { started_at: Timestamp(1), finished_at: Timestamp(2), result };
        let others = [
            (AttemptId { attempt: 2, ..attempt }, Fence { index: fence.index + 1, ..fence }),
            (attempt, Fence { index: fence.index - 1, ..fence }),
            (attempt, Fence { term: fence.term + 1, ..fence }),
            (attempt, Fence { generation: 2, ..fence }),
        ];
        for (attempt, fence) in others {
            let worker = WorkerRef { name: name("w1"), incarnation: 1 };
            let report = Report { attempt, fence, worker, word: Word::Ended(end.clone()) };
            let frame = FromWorker::Reports(vec![report]).encode();
            world.net.inject(&NodeId::Worker(name("w1")), &NodeId::Master(1), frame);
            sleep(Duration::from_millis(200)).await;
            let acknowledged = world.net.told().iter().any(|(_, _, _, frame)| match frame {
                ToWorker::Acknowledge { reports, .. } => reports.contains(&(attempt, fence)),
                _ => false,
            });
            assert!(acknowledged, "{attempt:?} {fence}");
            let task = &world.tasks(1, run).await[0];
            assert_eq!(task.state, "dispatched", "{attempt:?} {fence} {task:?}");
        }
        world.host("w1").end((attempt, fence), DONE, What::Ended);
        assert_eq!(world.finished(1, run).await, "succeeded");
        assert_eq!(starts(&world).len(), 1);
    });
}

#[test]
fn a_cancel_waits_for_the_workers_word() {
    world(42, 1, 1, async |world| {
        let (run, process) = begin(&world, DEAF).await;
        assert_eq!(world.cancel(1, run).await, "cancelling");
        sleep(Duration::from_secs(30)).await;
        let view = world.view(1, run).await.expect("there");
        assert_eq!((view.state.as_str(), view.finished_at), ("running", None));
        assert!(
            !stops(&world).is_empty() && stops(&world).iter().all(|cause| *cause == StopCause::Cancelled)
        );
        world.host("w1").end(process, LaunchResult::Signalled { signal: 9 }, What::Killed);
        assert_eq!(world.finished(1, run).await, "cancelled");
        assert_eq!(starts(&world).len(), 1, "nothing starts in a cancelled run");
    });
}

#[test]
fn a_timeout_asks_and_retries_only_after_the_word() {
    world(43, 1, 1, async |world| {
        let (run, process) = begin(&world, TIMES_OUT).await;
        sleep(Duration::from_secs(5)).await;
        assert!(stops(&world).contains(&StopCause::Timeout));
        assert_eq!(starts(&world).len(), 1, "the first has not ended");
        world.host("w1").end(process, LaunchResult::Signalled { signal: 9 }, What::Killed);
        world.until("it is tried again", || starts(&world).len() == 2).await;
        let second = world.host("w1").running()[0];
        assert!(second.0.attempt == 2 && second.1 > process.1);
        world.host("w1").end(second, DONE, What::Ended);
        assert_eq!(world.finished(1, run).await, "succeeded");
    });
}

#[test]
fn a_lost_life_is_repeated_once_and_only_when_its_death_is_proven() {
    for (seed, proven) in [(44, true), (45, false)] {
        world(seed, 1, 1, async |world| {
            let (run, _) = begin(&world, HANGS).await;
            world.crash_worker("w1").await;
            sleep(Duration::from_secs(2)).await;
            world.start_worker("w1", proven);
            sleep(Duration::from_secs(20)).await;
            let attempts: Vec<u16> = starts(&world).iter().map(|deed| deed.attempt.attempt).collect();
            if !proven {
                assert_eq!(attempts, [1], "what became of the first is unknown");
                return;
            }
            assert_eq!(attempts, [1, 2]);
            world.host("w1").end(world.host("w1").running()[0], DONE, What::Ended);
            assert_eq!(world.finished(1, run).await, "succeeded");
            assert_eq!(starts(&world).len(), 2);
        });
    }
}

#[test]
fn an_end_that_lies_in_the_spool_counts_although_its_life_is_lost() {
    world(46, 1, 1, async |world| {
        let (run, process) = begin(&world, HANGS).await;
        let (worker, master) = (NodeId::Worker(name("w1")), NodeId::Master(1));
        world.net.cut(&worker, &master, true);
        world.host("w1").end(process, DONE, What::Ended);
        world.until("it is spooled", || world.host("w1").spooled() > 0).await;
        world.crash_worker("w1").await;
        // The registration comes through at once, the report only later.
        world.net.lose(|passing| matches!(passing, Passing::FromWorker(FromWorker::Reports(_))));
        world.start_worker("w1", true);
        world.net.cut(&worker, &master, false);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(starts(&world).len(), 1);
        world.net.lose_nothing();
        assert_eq!(world.finished(1, run).await, "succeeded");
        assert_eq!(starts(&world).len(), 1);
    });
}

#[test]
fn a_lost_run_is_said_again_over_the_next_session() {
    world(47, 1, 1, async |world| {
        world.net.lose(|passing| matches!(passing, Passing::ToWorker(ToWorker::Run(_))));
        let (run, _) = world.begin(1, HANGS).await;
        sleep(Duration::from_millis(500)).await;
        assert!(starts(&world).is_empty());
        world.net.lose_nothing();
        new_session(&world).await;
        world.until("the process starts", || starts(&world).len() == 1).await;
        world.host("w1").end(world.host("w1").running()[0], DONE, What::Ended);
        assert_eq!(world.finished(1, run).await, "succeeded");
    });
}

#[test]
fn a_lost_run_is_found_out_although_its_session_stays() {
    for seed in 511..516 {
        world(seed, 1, 1, async |world| {
            // The worker is known before, so that the first `Run` goes out at once and is lost.
            world.wait_leader(1, 0, &[]).await;
            sleep(Duration::from_secs(2)).await;
            world.net.lose(|passing| matches!(passing, Passing::ToWorker(ToWorker::Run(_))));
            let (run, _) = world.begin(1, HANGS).await;
            sleep(Duration::from_millis(500)).await;
            assert!(starts(&world).is_empty());
            world.net.lose_nothing();
            sleep(Duration::from_millis(800)).await;
            assert_eq!(asks(&world), 1, "asked after a second");
            // The refusal counts as load until the next heartbeat; then it is dispatched anew.
            sleep(Duration::from_millis(600)).await;
            assert_eq!(starts(&world).len(), 1);
            let process = world.host("w1").running()[0];
            // One that runs says so once and is not asked for again.
            sleep(Duration::from_secs(20)).await;
            assert_eq!(asks(&world), 2);
            world.host("w1").end(process, DONE, What::Ended);
            assert_eq!(world.finished(1, run).await, "succeeded");
        });
    }
}

fn asks(world: &World) -> usize {
    world.net.told().iter().filter(|(_, _, _, frame)| matches!(frame, ToWorker::Ask { .. })).count()
}

#[test]
fn a_lost_stop_is_said_again_with_and_without_a_new_session() {
    for (seed, session) in [(48, false), (49, true)] {
        world(seed, 1, 1, async |world| {
            let (run, _) = begin(&world, HANGS).await;
            world.net.lose(|passing| matches!(passing, Passing::ToWorker(ToWorker::Stop(_))));
            assert_eq!(world.cancel(1, run).await, "cancelling");
            sleep(Duration::from_millis(700)).await;
            world.net.lose_nothing();
            if session {
                new_session(&world).await;
                world.until("it is stopped", || world.host("w1").running().is_empty()).await;
            }
            assert_eq!(world.finished(1, run).await, "cancelled");
        });
    }
}

async fn new_session(world: &World) {
    let (worker, master) = (NodeId::Worker(name("w1")), NodeId::Master(1));
    world.net.cut(&worker, &master, true);
    sleep(Duration::from_millis(50)).await;
    world.net.cut(&worker, &master, false);
}

#[test]
fn a_loss_that_comes_before_the_dispatch_has_its_place_is_seen_afterwards() {
    world(50, 1, 1, async |world| {
        let (workflow, _) = world.apply(1, HANGS).await;
        sleep(Duration::from_secs(1)).await;
        // The shard decides ahead and can commit nothing; the membership group can. What it says then comes too early
        // for the task run, and the `Run` frame is for a life that is over.
        world.stall_disk(1, true);
        let hasty = Duration::from_millis(300);
        let asked = tokio::time::timeout(hasty, world.try_start(1, &workflow, "once")).await;
        assert!(asked.is_err(), "nothing is committed");
        world.crash_worker("w1").await;
        world.start_worker("w1", true);
        sleep(Duration::from_secs(1)).await;
        world.net.lose(|passing| match passing {
            Passing::ToWorker(ToWorker::Run(attempts)) => attempts.iter().all(|run| run.incarnation == 1),
            _ => false,
        });
        world.stall_disk(1, false);
        world.until("it starts in the new life", || starts(&world).len() == 1).await;
        let process = world.host("w1").running()[0];
        assert_eq!(process.0.attempt, 2, "the first was dispatched to the life that was lost");
        world.host("w1").end(process, DONE, What::Ended);
        let run = world.try_start(1, &workflow, "once").await.expect("the same start");
        assert_eq!(world.finished(1, run).await, "succeeded");
    });
}
