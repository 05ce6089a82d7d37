//! Schedules under leaders that come and go: each time that comes is decided once, in one entry with its run, and
//! overlapping, catching up and switching are as the definition and people say.

use std::collections::BTreeMap;
use std::time::Duration;

use hortator_core::id::{Name, RunId, WorkflowName};
use hortator_core::schedule::{PassedOver, ScheduleEvent, ScheduleLine};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::{
    Command, Query, Request, Response, RunFilter, RunView, ScheduleSwitch, ScheduleView,
};
use hortator_raft::memory::Crash;
use tokio::time::sleep;

use crate::world::{World, name, world};

const QUICK: &str = "tasks: [{ id: one, shell: { script: run 100 } }]";
const SLOW: &str = "tasks: [{ id: one, shell: { script: run 25000 } }]";

fn flow() -> WorkflowName {
    WorkflowName { namespace: name("default"), name: name("flow") }
}

fn nightly() -> Name {
    name("s")
}

async fn seconds(count: u64) {
    sleep(Duration::from_secs(count)).await;
}

async fn command(world: &World, through: u64, command: Command) -> Response {
    world.request(through, Request::Command(command)).await.expect("it is taken")
}

async fn switch(world: &World, to: ScheduleSwitch) -> bool {
    let order = Command::ScheduleSwitch { workflow: flow(), schedule: nightly(), to, by: "li".into() };
    match command(world, 1, order).await {
        Response::Changed { changed, .. } => changed,
        other => panic!("{other:?}"),
    }
}

async fn trigger(world: &World, key: Option<&str>) -> (RunId, bool) {
    let key = key.map(str::to_owned);
    let order = Command::ScheduleTrigger { workflow: flow(), schedule: nightly(), key, by: "li".into() };
    match command(world, 1, order).await {
        Response::Started { run, existing, .. } => (run, existing),
        other => panic!("{other:?}"),
    }
}

async fn schedule(world: &World, through: u64) -> ScheduleView {
    let query = Query::Schedule { workflow: flow(), schedule: nightly() };
    match world.ask(through, query).await {
        Ok(Response::Schedule(view)) => *view,
        other => panic!("{other:?}"),
    }
}

/// Oldest first.
async fn lines(world: &World, through: u64) -> Vec<ScheduleLine> {
    let query = Query::ScheduleHistory { workflow: flow(), schedule: nightly(), before: None, limit: 1_000 };
    match world.ask(through, query).await {
        Ok(Response::ScheduleHistory(history)) => history.lines.into_iter().rev().collect(),
        other => panic!("{other:?}"),
    }
}

/// Oldest first.
async fn runs(world: &World, through: u64) -> Vec<RunView> {
    let filter = RunFilter { workflow: Some(flow()), ..RunFilter::default() };
    match world.ask(through, Query::Runs { filter, before: None, limit: 1_000 }).await {
        Ok(Response::Runs(views)) => views.into_iter().rev().collect(),
        other => panic!("{other:?}"),
    }
}

async fn explained(world: &World, at: Option<Timestamp>) -> String {
    let query = Query::ExplainSchedule { workflow: flow(), schedule: nightly(), at };
    match world.ask(1, query).await {
        Ok(Response::ScheduleExplain(explained)) => explained.answer,
        other => panic!("{other:?}"),
    }
}

fn fired(lines: &[ScheduleLine]) -> Vec<(Timestamp, RunId)> {
    let fires = lines.iter().filter_map(|line| match &line.event {
        ScheduleEvent::Fired { nominal, .. } => Some((*nominal, line.run.expect("a fire made a run"))),
        _ => None,
    });
    fires.collect()
}

/// Each ten seconds, without a gap from the first to the last.
fn without_gap(fired: &[(Timestamp, RunId)], every: u64) {
    let step = Span::from_secs(every);
    for pair in fired.windows(2) {
        assert_eq!(pair[1].0, pair[0].0.plus(step), "{fired:?}");
    }
    let mut ids: Vec<RunId> = fired.iter().map(|(_, run)| *run).collect();
    ids.dedup();
    assert_eq!(ids.len(), fired.len(), "each has a run of its own");
}

#[test]
fn a_fixed_rate_fires_on_time_and_once() {
    world(401, 1, 1, async |world| {
        world.apply(1, &format!("schedules: [{{ id: s, every: 10s }}]\n{QUICK}")).await;
        seconds(95).await;
        let lines = lines(&world, 1).await;
        let fired = fired(&lines);
        assert!((9..=10).contains(&fired.len()), "{fired:?}");
        without_gap(&fired, 10);
        for (line, (nominal, _)) in lines.iter().zip(&fired) {
            assert!(line.at.since(*nominal) < Span::from_millis(50), "{line:?}");
        }
        let runs = runs(&world, 1).await;
        assert_eq!(runs.len(), fired.len());
        assert!(runs.iter().all(|run| run.state == "succeeded" && run.by == "schedule s"), "{runs:?}");
        let view = schedule(&world, 1).await;
        assert_eq!(view.last.map(|last| last.run), fired.last().map(|(_, run)| *run));
        let text = world.gateway(1).expect("it runs").metrics().await;
        let count = fired.len();
        for line in [
            format!("hortator_schedule_fires_total{{namespace=\"default\",cause=\"due\"}} {count}"),
            format!("hortator_schedule_fire_delay_seconds_count {count}"),
        ] {
            assert!(text.contains(&line), "no {line} in\n{text}");
        }
    });
}

/// Leaders die in turn: no time is lost and none fires twice, and what is late is caught up under a new leader.
#[test]
fn no_time_is_lost_or_doubled_while_leaders_die() {
    for seed in [402, 403] {
        world(seed, 3, 1, async |world| {
            world.apply(1, &format!("schedules: [{{ id: s, every: 5s, overlap: allow }}]\n{QUICK}")).await;
            let mut down = None;
            for _ in 0..8 {
                sleep(Duration::from_millis(3_000 + world.below(6_000))).await;
                if let Some(id) = down.take() {
                    world.start_master(id).await;
                    sleep(Duration::from_millis(world.below(4_000))).await;
                }
                let through = 1 + world.below(3);
                let leader = world.wait_leader(through, 1, &[]).await;
                world.crash_master(leader, Crash::Lose).await;
                down = Some(leader);
            }
            world.start_master(down.expect("one is down")).await;
            world.wait_leader(1, 1, &[]).await;
            seconds(20).await;
            let lines = lines(&world, 1).await;
            let fired = fired(&lines);
            assert_eq!(fired.len(), lines.len(), "nothing was passed over: {lines:?}");
            without_gap(&fired, 5);
            let made: Vec<RunId> = runs(&world, 1).await.iter().map(|run| run.id).collect();
            assert_eq!(made, fired.iter().map(|(_, run)| *run).collect::<Vec<_>>());
        });
    }
}

/// The whole cluster is away for ten minutes.
#[test]
fn missed_times_are_caught_up_as_the_definition_says() {
    for (catch_up, missed_runs) in [("none", 0), ("latest", 0), ("{ all: 3 }", 3), ("{ all: 1000 }", 19)] {
        world(404, 1, 1, async |world| {
            let text = format!(
                "schedules: [{{ id: s, every: 30s, overlap: allow, catch_up: {catch_up} }}]\n{QUICK}"
            );
            world.apply(1, &text).await;
            seconds(65).await;
            let before = lines(&world, 1).await;
            assert_eq!(before.len(), 2);
            world.crash_master(1, Crash::Lose).await;
            seconds(600).await;
            world.start_master(1).await;
            world.wait_leader(1, 1, &[]).await;
            seconds(5).await;
            let after = lines(&world, 1).await;
            let late = |line: &ScheduleLine| line.at.since(line.time()) > Span::from_secs(60);
            let caught_up = after.iter().filter(|line| line.run.is_some() && late(line)).count();
            let mut passed = 0;
            for line in &after {
                if let ScheduleEvent::PassedOver { count, why, .. } = line.event {
                    assert_eq!(why, PassedOver::Missed);
                    passed += count as usize;
                }
            }
            // About twenty passed meanwhile, of which the last one or two are not late.
            let total = after.last().expect("a line").time().since(before[1].time()).0 / 30_000_000;
            let total = total as usize;
            let on_time = after.iter().filter(|line| line.run.is_some()).count() - caught_up - 2;
            assert_eq!(passed + caught_up + on_time, total, "{catch_up}: {after:?}");
            assert!((1..=3).contains(&on_time), "{catch_up}: {on_time}");
            // The newest of the late ones has one behind it that is not late.
            let expected = match missed_runs {
                1 => 0,
                19 => total - on_time,
                few => few,
            };
            assert_eq!(caught_up, expected, "{catch_up}: {after:?}");
            let text = world.gateway(1).expect("it runs").metrics().await;
            let line =
                format!("hortator_schedule_missed_total{{namespace=\"default\",cause=\"missed\"}} {passed}");
            assert_eq!(text.contains(&line), passed > 0, "{line} in\n{text}");
        });
    }
}

/// A leader that has just begun gives up nothing in its first second: a version that comes in it finds times undecided.
#[test]
fn what_was_due_by_the_old_timing_is_passed_over_with_a_line() {
    world(408, 1, 1, async |world| {
        let text = |every: &str| format!("schedules: [{{ id: s, every: {every}, catch_up: none }}]\n{QUICK}");
        world.apply(1, &text("30s")).await;
        seconds(65).await;
        let before = lines(&world, 1).await.last().expect("a line").time();
        world.crash_master(1, Crash::Lose).await;
        seconds(600).await;
        world.start_master(1).await;
        world.wait_leader(1, 1, &[]).await;
        world.apply(1, &text("7m")).await;
        let after = lines(&world, 1).await;
        let [.., over, retimed] = &after[..] else { panic!("{after:?}") };
        let ScheduleEvent::PassedOver { first, last, count, why, .. } = over.event else {
            panic!("{after:?}")
        };
        let every = Span::from_secs(30);
        assert_eq!((why, first.since(before)), (PassedOver::Retimed, every), "{after:?}");
        assert_eq!(
            last.since(first).0,
            every.0 * u64::from(count - 1),
            "by the times that it had: {after:?}"
        );
        assert!((18..=22).contains(&count), "{count}");
        assert!(matches!(retimed.event, ScheduleEvent::Retimed { .. }), "{after:?}");
    });
}

/// A run takes 25 s and one is due every 10 s.
#[test]
fn overlapping_runs() {
    for overlap in ["queue", "skip", "cancel_oldest", "allow"] {
        world(405, 3, 2, async |world| {
            world
                .apply(1, &format!("schedules: [{{ id: s, every: 10s, overlap: {overlap} }}]\n{SLOW}"))
                .await;
            seconds(64).await;
            // The next leader keeps to it.
            let leader = world.wait_leader(1, 1, &[]).await;
            world.hand_over(leader).await;
            seconds(61).await;
            let runs = runs(&world, 1).await;
            let mut states: BTreeMap<&str, usize> = BTreeMap::new();
            runs.iter().for_each(|run| *states.entry(&run.state).or_default() += 1);
            let seen = |word: &str| states.get(word).copied().unwrap_or(0);
            let mut spans: Vec<_> =
                runs.iter().filter_map(|run| Some((run.started_at?, run.finished_at))).collect();
            spans.sort();
            let alone = spans.windows(2).all(|pair| pair[0].1.is_some_and(|end| end <= pair[1].0));
            let lines = lines(&world, 1).await;
            let skipped = lines.iter().filter(|line| line.run.is_none()).count();
            match overlap {
                "queue" => assert!(alone && seen("queued") >= 6 && seen("succeeded") == 4, "{states:?}"),
                "skip" => assert!(alone && skipped >= 6 && seen("queued") == 0, "{states:?} {skipped}"),
                "cancel_oldest" => assert!(alone && seen("cancelled") >= 10, "{states:?} {spans:?}"),
                _ => assert!(!alone && seen("queued") == 0 && seen("running") >= 2, "{states:?}"),
            }
            assert!((12..=13).contains(&lines.len()), "{overlap}: {lines:?}");
        });
    }
}

#[test]
fn people_switch_and_trigger() {
    world(406, 1, 1, async |world| {
        world.apply(1, &format!("schedules: [{{ id: s, every: 10s, overlap: skip }}]\n{QUICK}")).await;
        seconds(25).await;
        assert!(switch(&world, ScheduleSwitch::Off).await);
        assert!(!switch(&world, ScheduleSwitch::Off).await, "it is off already");
        assert_eq!(schedule(&world, 1).await.state, "off");
        let off_since = schedule(&world, 1).await.switched_off.expect("off").since;
        seconds(60).await;
        let (run, existing) = trigger(&world, Some("once")).await;
        assert_eq!(trigger(&world, Some("once")).await, (run, true), "a repeated wish is one wish");
        assert!(!existing);
        assert!(switch(&world, ScheduleSwitch::On).await);
        seconds(25).await;
        let lines = lines(&world, 1).await;
        let fires = fired(&lines);
        assert!((4..=5).contains(&fires.len()), "two or three before, two after: {lines:?}");
        assert!(
            lines.iter().all(|line| !matches!(line.event, ScheduleEvent::PassedOver { .. })),
            "{lines:?}"
        );
        let words = explained(&world, Some(off_since.plus(Span::from_secs(10)))).await;
        assert!(words.contains("switched off") && words.contains("by li"), "{words}");
        let words = explained(&world, Some(fires[0].0)).await;
        assert!(words.contains("it did fire") && words.contains(&fires[0].1.to_string()), "{words}");
        assert!(explained(&world, None).await.contains("it fires next at"));
    });
}

/// A new version changes a schedule's timing, adds one, and takes one away.
#[test]
fn a_new_version_changes_the_schedules() {
    world(407, 1, 1, async |world| {
        let two = "schedules: [{ id: s, every: 10s }, { id: other, every: 7s }]";
        world.apply(1, &format!("{two}\n{QUICK}")).await;
        seconds(30).await;
        let before = schedule(&world, 1).await;
        world
            .apply(1, &format!("schedules: [{{ id: s, every: 20s }}, {{ id: new, every: 1m }}]\n{QUICK}"))
            .await;
        let after = schedule(&world, 1).await;
        assert_eq!(after.generation, before.generation + 1);
        seconds(100).await;
        let list = match world.ask(1, Query::Schedules { namespace: None, after: None, limit: 10 }).await {
            Ok(Response::Schedules(views)) => views,
            other => panic!("{other:?}"),
        };
        assert_eq!(list.iter().map(|view| view.id.as_str()).collect::<Vec<_>>(), ["new", "s"]);
        let newest: Vec<_> =
            lines(&world, 1).await.into_iter().filter(|line| line.generation == after.generation).collect();
        let fires = fired(&newest);
        assert!((4..=5).contains(&fires.len()), "{newest:?}");
        without_gap(&fires, 20);
        let other = runs(&world, 1).await.into_iter().filter(|run| run.by == "schedule other").count();
        assert!((4..=5).contains(&other), "it ended with its version: {other}");
    });
}
