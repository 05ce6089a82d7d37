//! History is bounded: finished runs go by age and count, a page at a time, and live work is not touched.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use hortator_actors::seam::LaunchResult;
use hortator_core::id::{RunId, WorkflowName};
use hortator_core::time::Span;
use hortator_proto::api::{Command, Query, Request, Response, RunFilter, SettingsChange};
use hortator_proto::row;
use hortator_raft::memory::Crash;
use tokio::time::sleep;

use crate::world::{What, World, rows_after, rows_of, world};

/// A pass begins a minute after the one before, and takes some pages.
const PASS: Duration = Duration::from_secs(70);
/// However many there are, a run stays for so long after its end.
const SEEN: Duration = Duration::from_secs(61);

const QUICK: &str = "tasks: [{ id: one, noop: {} }, { id: two, needs: [one], noop: {} }]";
const BAD: &str = "tasks: [{ id: one, shell: { script: fail 1 } }]";
const HANGS: &str = "tasks: [{ id: one, shell: { script: hang } }]";

async fn keep(world: &World, keep: Option<u64>, keep_runs: u32) {
    let history_keep = keep.map(Span::from_secs);
    let change =
        SettingsChange { history_keep, history_keep_runs: Some(keep_runs), ..SettingsChange::default() };
    world.wait_leader(1, 0, &[]).await;
    sleep(Duration::from_secs(1)).await;
    let command = Command::ChangeSettings { change, by: "test".into() };
    let answer = world.request(1, Request::Command(command)).await;
    assert!(matches!(answer, Ok(Response::Changed { changed: true, .. })), "{answer:?}");
}

async fn listed(world: &World, states: &[&str]) -> Vec<RunId> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let states = states.iter().map(|state| state.to_string()).collect();
        let filter = RunFilter { states, ..RunFilter::default() };
        let answer = world.ask(1, Query::Runs { filter, before, limit: 500 }).await;
        let Ok(Response::Runs(page)) = answer else { panic!("{answer:?} answers a question for runs") };
        found.extend(page.iter().map(|view| view.id));
        before = found.last().copied();
        if page.len() < 500 {
            return found;
        }
    }
}

async fn started(world: &Rc<World>, through: u64, workflow: &WorkflowName, count: usize) -> Vec<RunId> {
    let mut runs = Vec::new();
    for number in 0..count {
        runs.push(world.try_start(through, workflow, &format!("k{number}")).await.expect("started"));
    }
    for run in &runs {
        world.finished(through, *run).await;
    }
    runs
}

async fn retried(world: &World, run: RunId) -> Result<Response, String> {
    let command = Command::RetryFailed { run, by: "test".into() };
    world.request(1, Request::Command(command)).await.map_err(|problem| problem.code)
}

/// What rows of a shard there are, by kind.
fn census(world: &World) -> BTreeMap<char, usize> {
    let (rows, _group) = rows_after(&world.disk(1));
    let mut counts = BTreeMap::new();
    for (key, _) in rows.scan(&[], &[], usize::MAX, false).expect("readable") {
        *counts.entry(key[0] as char).or_default() += 1;
    }
    counts
}

#[test]
fn a_thousand_finished_runs_shrink_to_the_limit_and_live_ones_stay() {
    world(401, 1, 1, async |world| {
        keep(&world, None, 100).await;
        let (hangs, _) = world.apply(1, HANGS).await;
        let live = world.try_start(1, &hangs, "live").await.expect("started");
        world.until("it runs", || world.deeds().iter().any(|deed| deed.what == What::Started)).await;
        let (quick, _) = world.apply(1, QUICK).await;
        let runs = started(&world, 1, &quick, 1_000).await;
        sleep(SEEN + PASS).await;
        // Of runs of the same millisecond the drawn part of the id says which is older.
        let mut by_age: Vec<(RunId, usize)> = runs.iter().copied().zip(0..).collect();
        by_age.sort_by(|a, b| b.cmp(a));
        let left: Vec<RunId> = by_age.iter().take(100).map(|(run, _)| *run).collect();
        let (kept, key) = by_age[99];
        assert_eq!(listed(&world, &["succeeded"]).await, left);
        assert_eq!(world.view(1, live).await.expect("it is live").state, "running");
        let gone = world.view(1, runs[0]).await.expect_err("deleted");
        assert_eq!(gone.code, "H3001");
        assert!(gone.detail.contains("its history was deleted"), "{}", gone.detail);
        assert_eq!(retried(&world, runs[0]).await, Err("H3001".into()));
        // The key of a deleted run starts another one; that of a run that stays does not.
        assert!(!runs.contains(&world.try_start(1, &quick, "k0").await.expect("started")));
        assert_eq!(world.try_start(1, &quick, &format!("k{key}")).await, Ok(kept));
        sleep(Duration::from_secs(1)).await;
        world.crash_master(1, Crash::Keep).await;
        let counts = census(&world);
        let of = |kind: char| counts.get(&kind).copied().unwrap_or(0);
        assert_eq!((of('r'), of('x'), of('l'), of('t'), of('k'), of('g')), (102, 102, 1, 203, 102, 0));
        assert!(of('h') >= 102 && of('h') <= 102 * 6, "history of the runs that stay: {counts:?}");
    });
}

#[test]
fn by_age_the_oldest_go_and_a_run_that_may_be_retried_stays_in_its_time() {
    world(402, 1, 1, async |world| {
        keep(&world, Some(600), 2).await;
        let (bad, _) = world.apply(1, BAD).await;
        let failed = started(&world, 1, &bad, 1).await[0];
        let (quick, _) = world.apply(1, QUICK).await;
        started(&world, 1, &quick, 5).await;
        sleep(SEEN + PASS).await;
        assert_eq!(listed(&world, &[]).await.len(), 3, "two that succeeded, and the failure");
        assert!(matches!(retried(&world, failed).await, Ok(Response::Accepted { .. })));
        assert_eq!(world.finished(1, failed).await, "failed");
        // Its time counts from its last end. The others' is over when 600 s and a pass are.
        sleep(Duration::from_secs(540)).await;
        assert_eq!(listed(&world, &[]).await, [failed]);
        sleep(Duration::from_secs(120) + PASS).await;
        assert_eq!(listed(&world, &[]).await, []);
        assert_eq!(retried(&world, failed).await, Err("H3001".into()));
        world.crash_master(1, Crash::Keep).await;
        // The workflow stays, with its versions and what its tasks took.
        assert_eq!(census(&world).keys().collect::<String>(), "cdevw", "nothing is left of any run");
    });
}

#[test]
fn a_pass_over_many_small_workflows_takes_a_moment() {
    world(403, 1, 1, async |world| {
        keep(&world, None, 2).await;
        for number in 0..900 {
            world.apply_as(1, &format!("small-{number:03}"), QUICK).await;
        }
        let (last, _) = world.apply_as(1, "z-last", QUICK).await;
        started(&world, 1, &last, 5).await;
        sleep(SEEN + Duration::from_secs(60) + Duration::from_secs(5)).await;
        assert_eq!(listed(&world, &[]).await.len(), 2);
    });
}

#[test]
fn a_large_run_goes_in_pages_and_a_new_leader_goes_on_where_they_are() {
    let amid = Cell::new(0);
    for seed in 411..413 {
        world(seed, 3, 1, async |world| {
            keep(&world, Some(60), 100).await;
            let items: Vec<String> = (0..2_100).map(|item| item.to_string()).collect();
            let text = format!(
                "tasks: [{{ id: each, foreach: {{ items: [{}], as: n }}, noop: {{}} }}]",
                items.join(", ")
            );
            let (large, _) = world.apply(1, &text).await;
            let run = started(&world, 1, &large, 1).await[0];
            // Right after the run itself is gone, its other rows are on their way.
            while world.view(1, run).await.is_ok() {
                sleep(Duration::from_millis(50)).await;
            }
            let lost = world.wait_leader(1, 1, &[]).await;
            world.crash_master(lost, Crash::Keep).await;
            let (rows, _group) = rows_of(&world.disk(lost), lost);
            let left = rows.scan_prefix(&row::key::task_runs(run), 5_000).expect("readable").len();
            amid.set(amid.get() + usize::from(left > 0));
            let through = if lost == 1 { 2 } else { 1 };
            world.wait_leader(through, 1, &[lost]).await;
            sleep(Duration::from_secs(5)).await;
            // Rows are on disk with the next entry that is.
            started(&world, through, &large, 1).await;
            world.crash_master(through, Crash::Keep).await;
            let (rows, _group) = rows_of(&world.disk(through), through);
            assert_eq!(rows.scan_prefix(&row::key::task_runs(run), 1).expect("readable"), []);
            assert_eq!(rows.scan_prefix(&row::key::history_of(run), 1).expect("readable"), []);
            assert_eq!(rows.scan_prefix(&row::key::deleted_runs(), 1).expect("readable"), []);
        });
    }
    assert!(amid.get() > 0, "no leader was lost between two pages");
}

#[test]
fn a_run_that_is_retried_while_it_is_to_go_stays() {
    world(421, 1, 1, async |world| {
        keep(&world, Some(60), 100).await;
        let (bad, _) = world.apply(1, HANGS).await;
        let run = world.try_start(1, &bad, "once").await.expect("started");
        world.until("it runs", || !world.host("w1").running().is_empty()).await;
        world.host("w1").end(world.host("w1").running()[0], LaunchResult::Exited { code: 1 }, What::Ended);
        assert_eq!(world.finished(1, run).await, "failed");
        sleep(Duration::from_secs(58)).await;
        // Again and again until the moment of the pass has passed: it never finds the run over.
        for _ in 0..2 {
            assert!(matches!(retried(&world, run).await, Ok(Response::Accepted { .. })));
            sleep(PASS).await;
            assert_eq!(world.view(1, run).await.expect("it is live").state, "running");
            world.host("w1").end(
                world.host("w1").running()[0],
                LaunchResult::Exited { code: 1 },
                What::Ended,
            );
            assert_eq!(world.finished(1, run).await, "failed");
        }
    });
}
