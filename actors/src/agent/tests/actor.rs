//! The actor on a paused clock, between a launcher, a transport and a spool that are pretended (`world`).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hortator_core::event::StopCause;
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::{
    FromWorker, LogAnswer, LogRequest, NodeId, Program, Report, StopAttempt, ToWorker, Word,
};
use tokio::time::sleep;

use super::world::{World, answer_registration, begin, key, paused, register, settle};
use super::{N1, fence, name, run, script};
use crate::seam::{LaunchEvent, LaunchResult};

fn run_frame(tasks: std::ops::Range<u32>, program: &Program) -> ToWorker {
    ToWorker::Run(tasks.map(|task| run(key(task, 10).1, key(task, 10).0, 7, 5, program.clone())).collect())
}

fn results(reports: &[Report]) -> Vec<String> {
    let text = |report: &Report| match &report.word {
        Word::Ended(end) => format!("{:?}", end.result),
        Word::Refused { why } => why.clone(),
    };
    reports.iter().map(text).collect()
}

#[test]
fn processes_run_and_their_ends_are_spooled_sent_and_repeated() {
    paused(async || {
        let world = Arc::new(World::default());
        let agent = begin(&world, 0);
        register(&world, 7).await;
        world.tell(&run_frame(0..5, &script()));
        settle().await;
        assert_eq!(world.take_calls(), ["start 4"], "one message for all that start");
        assert_eq!(
            results(&world.take_reports()),
            ["no room: 4 of 4 slots are taken and the attempt needs 1"]
        );

        world.happen(LaunchEvent::Started {
            attempt: key(0, 10).1,
            fence: key(0, 10).0,
            pid: 1,
            at: Timestamp(1),
        });
        world.end(key(0, 10), LaunchResult::Exited { code: 0 }, Timestamp(5));
        world.end(key(1, 10), LaunchResult::Exited { code: 3 }, Timestamp(5));
        settle().await;
        let reports = world.take_reports();
        assert_eq!(results(&reports), ["Succeeded { outputs: {} }", "Exited { code: 3 }"]);
        assert_eq!(world.spool.lock().unwrap().len(), 2, "a record per turn");

        sleep(Duration::from_millis(1100)).await;
        assert_eq!(world.take_reports().len(), 3, "nobody has acknowledged any");
        let reports = reports.iter().map(|report| (report.attempt, report.fence)).collect();
        world.tell(&ToWorker::Acknowledge { reports, watermark: fence(1, 10) });
        settle().await;
        let seen = agent.observe().await.unwrap();
        assert_eq!((seen.running, seen.reports, seen.settled, seen.incarnation), (2, 1, 2, Some(7)));
        agent.stop().await;
        assert_eq!(world.take_calls(), ["shutdown"]);
        assert!(agent.observe().await.is_none());
    });
}

#[test]
fn a_stopped_attempt_says_why_unless_it_was_over_before() {
    paused(async || {
        let world = Arc::new(World::default());
        let _agent = begin(&world, 0);
        register(&world, 7).await;
        world.tell(&run_frame(0..3, &script()));
        settle().await;
        let stop = |task, cause| StopAttempt {
            attempt: key(task, 10).1,
            fence: key(task, 10).0,
            incarnation: 7,
            cause,
        };
        let stops = [0, 1, 2].map(|task| stop(task, StopCause::Timeout));
        world.tell(&ToWorker::Stop(stops.to_vec()));
        settle().await;
        world.tell(&ToWorker::Stop(vec![stop(1, StopCause::Cancelled), stop(2, StopCause::Timeout)]));
        settle().await;
        assert_eq!(world.take_calls(), ["start 3", "Term 0", "Term 1", "Term 2"], "each is asked once");
        let later = Timestamp(1_000_000_000_000).plus(Span::from_secs(5));
        world.end(key(0, 10), LaunchResult::Exited { code: 0 }, later);
        world.end(key(1, 10), LaunchResult::Signalled { signal: 15 }, later);
        world.end(key(2, 10), LaunchResult::Exited { code: 4 }, Timestamp(999));
        settle().await;
        assert_eq!(results(&world.take_reports()), ["TimedOut", "Cancelled", "Exited { code: 4 }"]);
    });
}

#[test]
fn noops_of_a_frame_are_reported_in_one() {
    paused(async || {
        let world = Arc::new(World::default());
        let _agent = begin(&world, 0);
        register(&world, 7).await;
        world.take_sent();
        world.tell(&run_frame(0..1000, &Program::Noop));
        settle().await;
        let sent = world.take_sent();
        assert!(matches!(sent.as_slice(), [FromWorker::Reports(reports)] if reports.len() == 1000));
        assert_eq!((world.spool.lock().unwrap().len(), world.take_calls()), (1, Vec::new()));
    });
}

#[test]
fn silence_ends_the_life_and_the_next_one_waits_for_its_dead() {
    paused(async || {
        let world = Arc::new(World::default());
        let _agent = begin(&world, 0);
        register(&world, 7).await;
        world.tell(&run_frame(0..1, &script()));
        sleep(Duration::from_secs(11)).await;
        assert_eq!(world.take_calls(), ["start 1", "Kill 0"]);
        assert!(world.take_sent().iter().all(|frame| !matches!(frame, FromWorker::Register(_))));
        world.end(key(0, 10), LaunchResult::Signalled { signal: 9 }, Timestamp(9));
        settle().await;
        answer_registration(&world, 8).await;
        let running = |frame: &FromWorker| matches!(frame, FromWorker::Inventory { incarnation: 8, running, spooled } if running.is_empty() && spooled.is_empty());
        assert!(world.take_sent().iter().any(running));
    });
}

#[test]
fn heartbeats_keep_their_pace_and_carry_the_hosts_figures() {
    paused(async || {
        let world = Arc::new(World::default());
        let agent = begin(&world, 0);
        register(&world, 7).await;
        let beats = Rc::new(RefCell::new(0));
        for _ in 0..600 {
            for frame in world.take_sent() {
                if let FromWorker::Heartbeat(beat) = frame {
                    assert_eq!((beat.cpu_percent, beat.incarnation), (42.0, 7));
                    *beats.borrow_mut() += 1;
                    let lease = Span::from_secs(10);
                    world.tell(&ToWorker::HeartbeatSeen { sequence: beat.sequence, lease, leader: 1 });
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
        assert!((100..=122).contains(&*beats.borrow()), "{beats:?} in a minute");
        assert_eq!(agent.observe().await.unwrap().incarnation, Some(7));
    });
}

#[test]
fn what_a_killed_agent_spooled_is_sent_by_the_next() {
    let world = Arc::new(World::default());
    paused(async || {
        let _agent = begin(&world, 0);
        register(&world, 7).await;
        world.tell(&run_frame(0..3, &Program::Noop));
        settle().await;
        assert_eq!(world.take_reports().len(), 3);
    });
    // The runtime is gone and with it the agent, as after kill -9; the next finds the file.
    paused(async || {
        let _agent = begin(&world, 50);
        register(&world, 8).await;
        let reports = world.take_reports();
        assert_eq!(reports.len(), 3);
        assert!(reports.iter().all(|report| report.worker.incarnation == 7));
        let reports = reports.iter().map(|report| (report.attempt, report.fence)).collect();
        world.tell(&ToWorker::Acknowledge { reports, watermark: fence(1, 11) });
        sleep(Duration::from_secs(2)).await;
        assert_eq!(world.take_reports().len(), 0);
    });
}

#[test]
fn without_a_warden_nothing_is_said_and_with_a_new_one_a_life_begins() {
    paused(async || {
        let world = Arc::new(World::default());
        let agent = begin(&world, 0);
        register(&world, 7).await;
        world.tell(&run_frame(0..2, &script()));
        settle().await;
        world.happen(LaunchEvent::WardenGone { reason: "killed".into() });
        settle().await;
        world.end(key(0, 10), LaunchResult::Exited { code: 0 }, Timestamp(5));
        sleep(Duration::from_secs(3)).await;
        assert_eq!((world.take_reports().len(), agent.observe().await.unwrap().running), (0, 0));
        world.happen(LaunchEvent::WardenReady { earlier_lives_dead: true });
        settle().await;
        answer_registration(&world, 8).await;
        assert_eq!(agent.observe().await.unwrap().incarnation, Some(8));
    });
}

#[test]
fn logs_are_read_and_noise_is_survived() {
    paused(async || {
        let world = Arc::new(World::default());
        let agent = begin(&world, 0);
        register(&world, 7).await;
        world.take_sent();
        let incoming = world.incoming.lock().unwrap().clone().unwrap();
        incoming.frame(&N1, Bytes::from_static(b"\xff\xffnoise"));
        incoming.frame(&NodeId::Worker(name("other")), run_frame(0..1, &script()).encode());
        let request = LogRequest {
            id: 3,
            attempt: key(0, 10).1,
            namespace: name("default"),
            workflow: name("w"),
            task: name("t"),
            item: None,
            offset: 0,
            bytes_max: 100,
        };
        world.tell(&ToWorker::ReadLog(request));
        world.tell(&ToWorker::RunsEnded(vec![key(0, 10).1.task_run.run]));
        settle().await;
        assert!(matches!(world.take_sent().as_slice(), [FromWorker::Log(LogAnswer { id: 3, .. })]));
        assert_eq!(world.take_calls(), ["run ended"]);
        assert!(agent.observe().await.is_some());
    });
}
