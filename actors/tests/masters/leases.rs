//! Leases and losses: who is believed alive, by whose word, and when a worker's work may start elsewhere.

use std::time::Duration;

use hortator_actors::seam::LaunchResult;
use hortator_core::id::RunId;
use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::{Command, Query, Request, Response, SettingsChange, WorkerOrder};
use hortator_proto::frame::{NodeId, PeerFrame, ToWorker};
use hortator_raft::memory::Crash;
use tokio::time::{Instant, sleep};

use crate::world::{Deed, Draw, Passing, What, World, name, world};

const HANGS: &str = "tasks: [{ id: one, shell: { script: hang } }]";

const DONE: LaunchResult = LaunchResult::Exited { code: 0 };

const LEASE: Duration = Duration::from_secs(10);
const DECLARE_LOST: Duration = Duration::from_secs(13);
/// From the loss's time to the next start: ticks, two commits and the way.
const FAIL_OVER: Duration = Duration::from_secs(1);

/// Starts a task that hangs, and says on which worker.
async fn begin(world: &World) -> (RunId, &'static str) {
    let (run, _) = world.begin(1, HANGS).await;
    world.until("the process starts", || starts(world).len() == 1).await;
    // A first heartbeat is acknowledged, and the lease is the cluster's.
    sleep(Duration::from_secs(2)).await;
    let on = ["w1", "w2"].into_iter().find(|worker| !world.host(worker).running().is_empty());
    (run, on.expect("one of the two"))
}

fn of(world: &World, what: What) -> Vec<Deed> {
    world.deeds().into_iter().filter(|deed| deed.what == what).collect()
}

fn starts(world: &World) -> Vec<Deed> {
    of(world, What::Started)
}

/// How long after `began` the deed happened.
fn after(deed: &Deed, began: Timestamp) -> Duration {
    deed.at.since(began).as_duration()
}

/// The acknowledgements that masters sent to the worker after that moment: when, and who.
fn acknowledged(world: &World, worker: &str, since: Instant) -> Vec<(Instant, u64)> {
    let told = world.net.told().into_iter();
    told.filter(|(at, _, to, frame)| {
        *at >= since && *to == name(worker) && matches!(frame, ToWorker::HeartbeatSeen { .. })
    })
    .map(|(at, from, _, _)| (at, from))
    .collect()
}

/// The old attempt's death comes before the new one's start, and both in time.
fn check_fail_over(world: &World, silent_from: Timestamp, counted_from: Timestamp) {
    let (killed, second) = (&of(world, What::Killed)[0], &starts(world)[1]);
    assert!(killed.attempt.attempt == 1 && second.attempt.attempt == 2);
    assert!(killed.at < second.at, "{killed:?} {second:?}");
    assert!(after(killed, silent_from) <= LEASE, "{:?}", after(killed, silent_from));
    let late = after(second, counted_from);
    // The last word before the silence was up to a heartbeat old.
    assert!(late >= DECLARE_LOST - Duration::from_millis(600), "{late:?}");
    assert!(late <= DECLARE_LOST + FAIL_OVER, "{late:?}");
}

#[test]
fn a_silent_workers_work_starts_elsewhere_after_its_own_end_is_certain() {
    for seed in 201..206 {
        world(seed, 3, 2, async |world| {
            let (_, on) = begin(&world).await;
            let cut_at = world.now();
            world.cut_off(on, true);
            sleep(DECLARE_LOST + FAIL_OVER).await;
            check_fail_over(&world, cut_at, cut_at);
            assert_eq!(world.worker(1, on).await.state, "lost");
            world.cut_off(on, false);
            sleep(Duration::from_secs(3)).await;
            let back = world.worker(1, on).await;
            assert_eq!((back.state.as_str(), back.incarnation), ("up", 2));
            assert_eq!(starts(&world).len(), 2);
        });
    }
}

#[test]
fn a_leader_elected_in_mid_silence_counts_from_its_election() {
    for seed in 211..214 {
        world(seed, 3, 2, async |world| {
            let (_, on) = begin(&world).await;
            let cut_at = world.now();
            world.cut_off(on, true);
            sleep(Duration::from_secs(8)).await;
            let leader = world.wait_leader(1, 0, &[]).await;
            world.crash_master(leader, Crash::Keep).await;
            let through = if leader == 1 { 2 } else { 1 };
            world.wait_leader(through, 0, &[leader]).await;
            let elected = world.now();
            sleep(DECLARE_LOST - Duration::from_secs(1)).await;
            assert_eq!(starts(&world).len(), 1, "it was not silent for long enough before this leader");
            sleep(FAIL_OVER * 2).await;
            check_fail_over(&world, cut_at, elected);
        });
    }
}

#[test]
fn a_leader_without_a_quorum_acknowledges_nothing() {
    world(221, 3, 1, async |world| {
        begin(&world).await;
        let leader = world.wait_leader(1, 0, &[]).await;
        for other in world.masters().iter().filter(|id| **id != leader) {
            world.net.cut(&NodeId::Master(leader), &NodeId::Master(*other), true);
            world.net.cut(&NodeId::Worker(name("w1")), &NodeId::Master(*other), true);
        }
        // What was confirmed just before is still on its way.
        sleep(Duration::from_millis(20)).await;
        let since = Instant::now();
        sleep(LEASE).await;
        assert_eq!(acknowledged(&world, "w1", since), [], "n{leader} cannot know that it leads");
        assert_eq!(of(&world, What::Killed).len(), 1, "the lease has expired");
    });
}

#[test]
fn a_heartbeat_counts_whichever_master_heard_it() {
    for seed in 231..234 {
        world(seed, 3, 1, async |world| {
            begin(&world).await;
            let leader = world.wait_leader(1, 0, &[]).await;
            world.net.cut(&NodeId::Worker(name("w1")), &NodeId::Master(leader), true);
            let since = Instant::now();
            sleep(Duration::from_secs(60)).await;
            assert_eq!(world.wait_leader(1, 0, &[]).await, leader, "it led all the time");
            let through = acknowledged(&world, "w1", since);
            // The leader's own come over a relay, and each fourth heartbeat is heard by all.
            let others = through.iter().filter(|(_, from)| *from != leader).count();
            assert!(through.len() > 60 && others > 30, "{} {others}", through.len());
            assert_eq!((of(&world, What::Killed).len(), starts(&world).len()), (0, 1));
            assert_eq!(world.worker(1, "w1").await.state, "up");
        });
    }
}

#[test]
fn a_worker_that_reaches_only_a_follower_registers_through_it() {
    world(235, 3, 0, async |world| {
        let leader = world.wait_leader(1, 0, &[]).await;
        world.start_worker("w1", true);
        for master in world.masters().iter().filter(|id| **id != leader % 3 + 1) {
            world.net.cut(&NodeId::Worker(name("w1")), &NodeId::Master(*master), true);
        }
        sleep(Duration::from_secs(30)).await;
        let view = world.worker(1, "w1").await;
        assert_eq!((view.state.as_str(), view.incarnation), ("up", 1));
    });
}

#[test]
fn an_acknowledgement_of_a_deposed_leader_that_comes_late_prolongs_nothing() {
    for seed in 241..244 {
        world(seed, 3, 2, async |world| {
            let (_, on) = begin(&world).await;
            // From here on the worker hears nothing any more, though its heartbeats are acknowledged.
            world.net.lose(|passing| matches!(passing, Passing::ToWorker(ToWorker::HeartbeatSeen { .. })));
            sleep(Duration::from_secs(3)).await;
            let leader = world.wait_leader(1, 0, &[]).await;
            let cut_at = world.now();
            world.cut_off(on, true);
            for other in world.masters().iter().filter(|id| **id != leader) {
                world.net.cut(&NodeId::Master(leader), &NodeId::Master(*other), true);
            }
            let late = world.net.told().into_iter().rev().find_map(|(_, _, to, frame)| {
                (to == name(on) && matches!(frame, ToWorker::HeartbeatSeen { .. })).then_some(frame)
            });
            sleep(Duration::from_secs(6)).await;
            let frame = late.expect("some were sent").encode();
            world.net.inject(&NodeId::Master(leader), &NodeId::Worker(name(on)), frame);
            sleep(Duration::from_secs(2)).await;
            assert!(of(&world, What::Killed).is_empty(), "it took the acknowledgement");
            world.net.lose_nothing();
            sleep(Duration::from_secs(8)).await;
            let (killed, second) = (&of(&world, What::Killed)[0], starts(&world).get(1).cloned());
            assert!(after(killed, cut_at) <= LEASE, "counted from its heartbeat's sending");
            assert!(second.is_some_and(|second| killed.at < second.at), "{:#?}", world.deeds());
        });
    }
}

#[test]
fn a_pause_below_half_the_lease_kills_nobody_although_every_fifth_frame_is_lost() {
    for seed in 301..331 {
        world(seed, 3, 1, async |world| {
            begin(&world).await;
            let mut draw = Draw(seed);
            world.net.lose(move |passing| {
                let of_session = matches!(passing, Passing::ToWorker(_) | Passing::FromWorker(_));
                let passed = matches!(
                    passing,
                    Passing::Peer(
                        PeerFrame::Heartbeats(_)
                            | PeerFrame::HeartbeatsSeen { .. }
                            | PeerFrame::Raft { group: 0, .. }
                    )
                );
                (of_session || passed) && draw.below(5) == 0
            });
            for _ in 0..5 {
                world.cut_off("w1", true);
                let pause = world.below(4_900);
                sleep(Duration::from_millis(pause)).await;
                world.cut_off("w1", false);
                let between = 3_000 + world.below(3_000);
                sleep(Duration::from_millis(between)).await;
            }
            assert_eq!((of(&world, What::Killed).len(), starts(&world).len()), (0, 1));
            assert_eq!(world.worker(1, "w1").await.incarnation, 1);
        });
    }
}

/// A new life whose registration cannot prove the earlier one dead, as after the host's restart.
#[test]
fn an_unproven_death_is_one_after_the_silence() {
    world(251, 3, 1, async |world| {
        let (_, on) = begin(&world).await;
        world.crash_worker(on).await;
        sleep(Duration::from_secs(1)).await;
        world.start_worker(on, false);
        let came = world.now();
        sleep(DECLARE_LOST - Duration::from_secs(1)).await;
        assert_eq!(starts(&world).len(), 1);
        sleep(FAIL_OVER * 2).await;
        let late = after(&starts(&world)[1], came);
        assert!(late >= DECLARE_LOST && late <= DECLARE_LOST + FAIL_OVER, "{late:?}");
        assert_eq!(world.worker(1, on).await.state, "up", "the present life is none of the lost");
    });
}

async fn command(world: &World, command: Command) -> Result<bool, String> {
    match world.request(1, Request::Command(command)).await {
        Ok(Response::Changed { changed, .. }) => Ok(changed),
        Ok(other) => panic!("{other:?} answers a command"),
        Err(problem) => Err(problem.code),
    }
}

async fn set(world: &World, worker_lease: u64, declare_lost: u64) -> Result<bool, String> {
    let (worker_lease, declare_lost) = (Span::from_secs(worker_lease), Span::from_secs(declare_lost));
    let (worker_lease, declare_lost) = (Some(worker_lease), Some(declare_lost));
    let change = SettingsChange { worker_lease, declare_lost, ..SettingsChange::default() };
    command(world, Command::ChangeSettings { change, by: "test".into() }).await
}

#[test]
fn a_shorter_setting_counts_when_the_longest_lease_given_before_is_over() {
    for (seed, elected) in [(261, false), (262, true)] {
        world(seed, 3, 2, async |world| {
            assert_eq!(set(&world, 60, 63).await, Ok(true));
            let (_, on) = begin(&world).await;
            sleep(Duration::from_secs(20)).await;
            // Its last lease is of 60 s, and it does not hear that others are shorter from now on.
            world.cut_off(on, true);
            let cut_at = world.now();
            assert_eq!(set(&world, 10, 13).await, Ok(true));
            if elected {
                sleep(Duration::from_secs(5)).await;
                let leader = world.wait_leader(1, 0, &[]).await;
                world.crash_master(leader, Crash::Keep).await;
                world.start_master(leader).await;
            }
            sleep(Duration::from_secs(50)).await;
            assert_eq!((starts(&world).len(), of(&world, What::Killed).len()), (1, 0));
            sleep(Duration::from_secs(40)).await;
            let (killed, second) = (&of(&world, What::Killed)[0], &starts(&world)[1]);
            assert!(killed.at < second.at && after(killed, cut_at) <= Duration::from_secs(60));
            assert!(after(second, cut_at) >= Duration::from_secs(62));
            // The old rule has passed: the next silence is a short one.
            let on = if on == "w1" { "w2" } else { "w1" };
            world.cut_off(if on == "w1" { "w2" } else { "w1" }, false);
            sleep(Duration::from_secs(2)).await;
            let cut_at = world.now();
            world.cut_off(on, true);
            sleep(DECLARE_LOST + FAIL_OVER).await;
            assert_eq!(starts(&world).len(), 3);
            let late = after(&starts(&world)[2], cut_at);
            assert!(late >= LEASE && late <= DECLARE_LOST + FAIL_OVER, "{late:?}");
        });
    }
}

#[test]
fn times_that_do_not_go_together_are_refused() {
    world(263, 3, 0, async |world| {
        world.wait_leader(1, 0, &[]).await;
        sleep(Duration::from_secs(1)).await;
        for (lease, lost) in [(10, 12), (9, 30), (601, 700), (100, 3601)] {
            assert_eq!(set(&world, lease, lost).await, Err("H3071".into()), "{lease} {lost}");
        }
        assert_eq!(set(&world, 10, 13).await, Ok(false), "it is so already");
        let change = SettingsChange { worker_lease: Some(Span::from_secs(20)), ..SettingsChange::default() };
        let only = Command::ChangeSettings { change, by: "test".into() };
        assert_eq!(command(&world, only).await, Err("H3071".into()), "13 s are too few for 20 s");
    });
}

#[test]
fn one_master_waits_for_minutes() {
    world(264, 1, 2, async |world| {
        let (_, on) = begin(&world).await;
        world.cut_off(on, true);
        sleep(Duration::from_secs(290)).await;
        assert_eq!((starts(&world).len(), of(&world, What::Killed).len()), (1, 0));
        sleep(Duration::from_secs(22)).await;
        assert_eq!((starts(&world).len(), of(&world, What::Killed).len()), (2, 1));
    });
}

async fn order(world: &World, worker: &str, order: WorkerOrder) -> Result<bool, String> {
    command(world, Command::OrderWorker { name: name(worker), order, by: "li".into() }).await
}

#[test]
fn a_drained_worker_ends_what_it_has_and_gets_nothing_new() {
    world(271, 3, 1, async |world| {
        assert_eq!(order(&world, "w9", WorkerOrder::Drain).await, Err("H3070".into()));
        let (run, on) = begin(&world).await;
        assert_eq!(order(&world, on, WorkerOrder::Drain).await, Ok(true));
        assert_eq!(order(&world, on, WorkerOrder::Drain).await, Ok(false));
        sleep(Duration::from_secs(3)).await;
        let view = world.worker(1, on).await;
        assert_eq!((view.state.as_str(), view.running), ("draining", 1));
        assert_eq!(view.ordered.map(|ordered| ordered.by), Some("li".into()));
        let (workflow, _) = world.apply(1, "tasks: [{ id: one, shell: { script: run 10 } }]").await;
        let second = world.try_start(1, &workflow, "second").await.expect("started");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(starts(&world).len(), 1, "nothing new");
        let query = Query::Explain { run: second, task: None };
        let Ok(Response::Explain(view)) = world.ask(1, query).await else { panic!("no explanation") };
        assert_eq!(view.tasks[0].reasons[0].code(), "R306");
        world.host(on).end(world.host(on).running()[0], DONE, What::Ended);
        assert_eq!(world.finished(1, run).await, "succeeded");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(world.worker(1, on).await.state, "drained");
        // An order outlasts the worker's life.
        world.crash_worker(on).await;
        world.start_worker(on, true);
        sleep(Duration::from_secs(3)).await;
        assert_eq!((world.worker(1, on).await.state.as_str(), starts(&world).len()), ("drained", 1));
        assert_eq!(order(&world, on, WorkerOrder::Cordon).await, Ok(true));
        assert_eq!(world.worker(1, on).await.state, "cordoned");
        assert_eq!(order(&world, on, WorkerOrder::Uncordon).await, Ok(true));
        assert_eq!(world.finished(1, second).await, "succeeded");
    });
}

#[test]
fn what_is_delivered_at_most_once_is_not_started_elsewhere() {
    world(281, 3, 2, async |world| {
        let text = "tasks: [{ id: one, delivery: at_most_once, retry: { max: 3 }, shell: { script: hang } }]";
        let (run, _) = world.begin(1, text).await;
        world.until("the process starts", || starts(&world).len() == 1).await;
        sleep(Duration::from_secs(2)).await;
        let on = if world.host("w1").running().is_empty() { "w2" } else { "w1" };
        world.cut_off(on, true);
        sleep(DECLARE_LOST - Duration::from_secs(1)).await;
        let view = world.view(1, run).await.expect("there");
        assert_eq!(view.finished_at, None, "it may end by its worker's word until the loss is certain");
        assert_eq!(world.finished(1, run).await, "failed");
        assert_eq!(starts(&world).len(), 1);
        let error = world.tasks(1, run).await[0].error.clone().expect("a reason");
        assert!(error.contains("at most once"), "{error}");
    });
}
