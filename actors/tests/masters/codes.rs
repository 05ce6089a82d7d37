//! Codes of placement and of what follows it: for each a task run of which it is the only reason, as clients are told,
//! and which starts when the cause goes.

use std::collections::BTreeMap;
use std::time::Duration;

use hortator_core::dispatch::{FAILURES_MAX, KindTag, Metric, Resource};
use hortator_core::id::RunId;
use hortator_core::reason::Reason;
use hortator_core::run::READY_WINDOW;
use hortator_proto::api::{
    Command, GroupChange, Query, QuotaChange, Request, Response, TaskSelector, WorkerOrder,
};
use hortator_proto::frame::{PeerFrame, WorkerProfile};
use hortator_raft::memory::Crash;
use tokio::time::sleep;

use crate::world::{Passing, What, World, name, usual_profile, world};

/// Between two questions.
const GRAIN: Duration = Duration::from_millis(20);
/// Longer than anything here takes to be told.
const LOOKS: usize = 1_500;

/// The codes of its only task, or of the item of it that is asked for.
async fn codes(world: &World, through: u64, run: RunId, item: Option<u32>) -> Vec<&'static str> {
    let task = item.map(|item| TaskSelector { task: name("one"), item: Some(item) });
    match world.ask(through, Query::Explain { run, task }).await {
        Ok(Response::Explain(view)) => {
            view.tasks.iter().flat_map(|task| &task.reasons).map(Reason::code).collect()
        }
        _ => Vec::new(),
    }
}

/// Asks until the code is the only one.
async fn alone(world: &World, through: u64, run: RunId, code: &str) {
    alone_of(world, through, run, None, code).await;
}

async fn alone_of(world: &World, through: u64, run: RunId, item: Option<u32>, code: &str) {
    let mut told = Vec::new();
    for _ in 0..LOOKS {
        told = codes(world, through, run, item).await;
        if told == [code] {
            return;
        }
        sleep(GRAIN).await;
    }
    panic!("{code} is never told alone: {told:?}");
}

async fn command(world: &World, command: Command) {
    let answer = world.request(1, Request::Command(command)).await;
    assert!(matches!(answer, Ok(Response::Changed { .. })), "{answer:?}");
}

/// One master; the situation, one task in it, and the end of the situation.
fn check(seed: u64, code: &str, task: &str, situation: impl AsyncFn(&World), end: impl AsyncFn(&World)) {
    world(seed, 1, 0, async |world| {
        situation(&world).await;
        let (workflow, _) = world.apply(1, &format!("tasks: [{{ id: one, {task} }}]")).await;
        let run = world.try_start(1, &workflow, code).await.expect("started");
        alone(&world, 1, run, code).await;
        let tasks = world.tasks(1, run).await;
        let told = tasks[0].reason.clone().unwrap_or_default();
        assert!(told.ends_with(&format!("[{code}]")), "lists tell it as well: {told:?}");
        end(&world).await;
        assert_eq!(world.finished(1, run).await, "succeeded", "{code} is over");
    });
}

fn worker(world: &World, text: &str, change: impl Fn(&mut WorkerProfile)) {
    let mut profile = usual_profile(text);
    change(&mut profile);
    world.start_worker_as(text, true, profile);
}

async fn order(world: &World, order: WorkerOrder) {
    command(world, Command::OrderWorker { name: name("w1"), order, by: "li".into() }).await;
}

async fn quota(world: &World, slots: Option<u64>) {
    let change: QuotaChange = [(Resource::Slots.to_string(), slots)].into();
    command(world, Command::SetQuota { namespace: name("default"), change, by: "li".into() }).await;
}

async fn settle() {
    sleep(Duration::from_secs(3)).await;
}

const RUNS: &str = "shell: { script: run 10 }";

#[test]
fn a_quota() {
    let situation = async |world: &World| {
        worker(world, "w1", |_| ());
        quota(world, Some(0)).await;
    };
    check(701, "R203", RUNS, situation, async |world| quota(world, None).await);
}

#[test]
fn room() {
    let task = format!("resources: {{ slots: 2 }}, {RUNS}");
    let small = async |world: &World| {
        worker(world, "w1", |profile| profile.slots = 1);
        settle().await;
    };
    check(702, "R301", &task, small, async |world| worker(world, "w2", |_| ()));
}

#[test]
fn load() {
    let loaded = async |world: &World| {
        worker(world, "w1", |profile| profile.thresholds = BTreeMap::from([(Metric::CpuPercent, 50.0)]));
        world.host("w1").set_cpu(95.0);
        settle().await;
    };
    check(703, "R302", RUNS, loaded, async |world| world.host("w1").set_cpu(5.0));
}

#[test]
fn an_empty_group() {
    let task = format!("group: etl, {RUNS}");
    let declared = async |world: &World| {
        let change = GroupChange::default();
        command(world, Command::SetGroup { name: name("etl"), change, by: "li".into() }).await;
    };
    let start = async |world: &World| worker(world, "w1", |profile| profile.groups = vec![name("etl")]);
    check(704, "R303", &task, declared, start);
}

#[test]
fn an_unknown_group() {
    let task = format!("group: etl, {RUNS}");
    let start = async |world: &World| worker(world, "w1", |profile| profile.groups = vec![name("etl")]);
    check(705, "R304", &task, async |_| (), start);
}

#[test]
fn labels() {
    let task = format!("place: {{ require: {{ disk: ssd }} }}, {RUNS}");
    let without = async |world: &World| {
        worker(world, "w1", |_| ());
        settle().await;
    };
    let with = async |world: &World| {
        worker(world, "w2", |profile| profile.labels = [("disk".to_owned(), "ssd".to_owned())].into());
    };
    check(706, "R305", &task, without, with);
}

#[test]
fn a_cordon() {
    let cordoned = async |world: &World| {
        worker(world, "w1", |_| ());
        settle().await;
        order(world, WorkerOrder::Cordon).await;
    };
    check(707, "R306", RUNS, cordoned, async |world| order(world, WorkerOrder::Uncordon).await);
}

#[test]
fn a_kind() {
    let narrow = async |world: &World| {
        worker(world, "w1", |profile| profile.kinds = vec![KindTag::Noop]);
        settle().await;
    };
    check(708, "R307", RUNS, narrow, async |world| worker(world, "w2", |_| ()));
}

#[test]
fn a_zone() {
    let task = format!("place: {{ zone: eu-1, zone_wait: 600s }}, {RUNS}");
    let zone = |zone: &'static str| move |profile: &mut WorkerProfile| profile.zone = Some(zone.to_owned());
    let elsewhere = async |world: &World| {
        worker(world, "w1", zone("us-1"));
        settle().await;
    };
    check(709, "R308", &task, elsewhere, async |world| worker(world, "w2", zone("eu-1")));
}

#[test]
fn an_attempt_that_no_worker_has_heard_of() {
    let cut = async |world: &World| {
        worker(world, "w1", |_| ());
        settle().await;
        // Whoever was heard a moment ago is still given work.
        world.cut_off("w1", true);
    };
    check(710, "R501", RUNS, cut, async |world| world.cut_off("w1", false));
}

#[test]
fn a_worker_that_is_not_trusted() {
    let distrusted = async |world: &World| {
        // Of fewer than three workers none is put in quarantine: then it would rather be the tasks.
        for text in ["w1", "w2", "w3"] {
            worker(world, text, |profile| profile.labels = [("own".to_owned(), text.to_owned())].into());
        }
        settle().await;
        let fails = |task| {
            format!(
                "  - {{ id: t{task}, place: {{ require: {{ own: w1 }} }}, shell: {{ script: fail 1 }} }}\n"
            )
        };
        let text: String = (0..FAILURES_MAX).map(fails).collect();
        let (workflow, _) = world.apply_as(1, "other", &format!("tasks:\n{text}")).await;
        let run = world.try_start(1, &workflow, "fails").await.expect("started");
        assert_eq!(world.finished(1, run).await, "failed");
        // The others leave its group, where one alone stays in quarantine.
        for text in ["w2", "w3"] {
            world.crash_worker(text).await;
            worker(world, text, |profile| profile.groups = vec![name("elsewhere")]);
        }
        settle().await;
    };
    check(712, "R309", RUNS, distrusted, async |_| ());
}

#[test]
fn a_turn_behind_others_of_its_run() {
    world(713, 1, 0, async |world| {
        let items: Vec<String> = (0..=READY_WINDOW).map(|item| item.to_string()).collect();
        let items = items.join(", ");
        let text = format!(
            "tasks: [{{ id: one, foreach: {{ as: item, items: [{items}] }}, shell: {{ script: run 1 }} }}]"
        );
        let (workflow, _) = world.apply(1, &text).await;
        let run = world.try_start(1, &workflow, "R402").await.expect("started");
        alone_of(&world, 1, run, Some(0), "R304").await;
        alone_of(&world, 1, run, Some(READY_WINDOW), "R402").await;
        worker(&world, "w1", |profile| profile.slots = 512);
        assert_eq!(world.finished(1, run).await, "succeeded", "R402 is over");
    });
}

#[test]
fn the_dispatcher_does_not_answer() {
    world(714, 3, 1, async |world| {
        let (shard, _) = world.two_leaders().await;
        let (workflow, _) = world.apply(shard, &format!("tasks: [{{ id: one, {RUNS} }}]")).await;
        world.net.lose(|passing| matches!(passing, Passing::Peer(PeerFrame::Dispatcher(_))));
        let run = world.try_start(shard, &workflow, "R603").await.expect("started");
        alone(&world, shard, run, "R603").await;
        world.net.lose_nothing();
        assert_eq!(world.finished(shard, run).await, "succeeded", "R603 is over");
    });
}

#[test]
fn nobody_dispatches() {
    world(711, 3, 1, async |world| {
        let (shard, dispatches) = world.two_leaders().await;
        let text = "tasks: [{ id: one, resources: { slots: 9 }, shell: { script: hang } }]";
        let (workflow, _) = world.apply(shard, text).await;
        let run = world.try_start(shard, &workflow, "waits").await.expect("started");
        alone(&world, shard, run, "R301").await;
        world.crash_master(dispatches, Crash::Lose).await;
        alone(&world, shard, run, "R601").await;
        alone(&world, shard, run, "R301").await;
        assert!(world.deeds().iter().all(|deed| deed.what != What::Started));
    });
}
