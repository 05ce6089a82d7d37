//! Why a task waits that nothing can run as things are: said with its figures while it waits, known before it is started, and
//! over at most 100 ms after its cause has gone.

use std::time::Duration;

use hortator_core::definition::Definition;
use hortator_core::dispatch::{Amounts, Resource};
use hortator_core::id::{LimitName, RunId};
use hortator_core::reason::Reason;
use hortator_core::time::Span;
use hortator_proto::api::{Command, Query, Request, Response, WorkerOrder};
use hortator_proto::frame::WorkerProfile;
use tokio::time::sleep;

use crate::world::{What, World, name, usual_profile, world};

/// The promise.
const AT_ONCE: Span = Span::from_millis(100);
/// Longer than whatever is parked takes to be told, and than two heartbeats.
const SETTLED: Duration = Duration::from_millis(3_200);
/// Longer than a worker that is gone is believed in.
const LOST: Duration = Duration::from_secs(20);

/// Something that somebody does.
enum Act {
    Joins(&'static str, fn(WorkerProfile) -> WorkerProfile),
    Gone(&'static str),
    Order(WorkerOrder, &'static str),
    Quota(&'static str, Option<u64>),
    Limit(u32),
    /// The worker group is deleted.
    Deleted(&'static str),
    /// A run of `other` begins, which hangs.
    Begins(&'static str),
    /// That run is cancelled.
    Ends,
}

/// What whoever applies it is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Warned {
    /// The same as later of the waiting task.
    Alike,
    /// Nothing: it is only not its turn, or a limit says it, which is asked elsewhere.
    No,
}

struct Case {
    what: &'static str,
    before: Vec<Act>,
    task: &'static str,
    /// Of the waiting task.
    waits: &'static str,
    warns: Warned,
    gone: Act,
}

fn gpu(profile: WorkerProfile) -> WorkerProfile {
    WorkerProfile { groups: vec![name("gpu")], ..profile }
}

fn large(profile: WorkerProfile) -> WorkerProfile {
    let resources = Amounts::default().with(Resource::Memory, 64 << 10);
    WorkerProfile { slots: 16, resources, devices: vec!["0".into(), "1".into()], ..profile }
}

fn small(profile: WorkerProfile) -> WorkerProfile {
    WorkerProfile { resources: Amounts::default().with(Resource::Memory, 2 << 10), ..profile }
}

fn fast_disk(profile: WorkerProfile) -> WorkerProfile {
    WorkerProfile { labels: [("disk".to_owned(), "ssd".to_owned())].into(), ..profile }
}

fn cases() -> Vec<Case> {
    let usual = || Act::Joins("w1", |profile| profile);
    vec![
        Case {
            what: "a group that nobody has",
            before: vec![usual()],
            task: "group: gpu, ",
            waits: "R304 worker group \"gpu\" does not exist; groups now: default",
            warns: Warned::Alike,
            gone: Act::Joins("w2", gpu),
        },
        Case {
            what: "a group whose only worker is lost",
            before: vec![usual(), Act::Joins("w2", gpu), Act::Gone("w2")],
            task: "group: gpu, ",
            waits: "R303 worker group \"gpu\" has no worker; the last one was \"w2\", seen at TIME",
            warns: Warned::Alike,
            gone: Act::Joins("w3", gpu),
        },
        Case {
            what: "a group that was deleted after its last worker",
            before: vec![usual(), Act::Joins("w2", gpu), Act::Gone("w2"), Act::Deleted("gpu")],
            task: "group: gpu, ",
            waits: "R304 worker group \"gpu\" does not exist; groups now: default",
            warns: Warned::Alike,
            gone: Act::Joins("w2", gpu),
        },
        Case {
            what: "more slots than any worker has",
            before: vec![usual()],
            task: "resources: { slots: 9 }, ",
            waits: "R301 no worker in group \"default\" has room: w1 has 4 of 4 slots free, 9 needed (0 task runs there)",
            warns: Warned::Alike,
            gone: Act::Joins("w2", large),
        },
        Case {
            what: "more memory than any worker has",
            before: vec![Act::Joins("w1", small)],
            task: "resources: { memory: 3GiB }, ",
            waits: "R301 no worker in group \"default\" has room: w1 has 2048 of 2048 MiB memory free, 3072 needed (0 task runs there)",
            warns: Warned::Alike,
            gone: Act::Joins("w2", large),
        },
        Case {
            what: "devices, and no worker has any",
            before: vec![usual()],
            task: "resources: { gpu: 2 }, ",
            waits: "R301 no worker in group \"default\" has room: w1 has 0 of 0 gpu free, 2 needed (0 task runs there)",
            warns: Warned::Alike,
            gone: Act::Joins("w2", large),
        },
        Case {
            what: "a label that nobody has",
            before: vec![usual()],
            task: "place: { require: { disk: ssd } }, ",
            waits: "R305 no worker in group \"default\" has label disk = ssd: w1 has no label disk",
            warns: Warned::Alike,
            gone: Act::Joins("w2", fast_disk),
        },
        Case {
            what: "the only worker drains",
            before: vec![usual(), Act::Order(WorkerOrder::Drain, "w1")],
            task: "",
            waits: "R306 workers in group \"default\" take no new work: w1 draining since TIME by test",
            warns: Warned::Alike,
            gone: Act::Order(WorkerOrder::Uncordon, "w1"),
        },
        Case {
            what: "the only worker is cordoned",
            before: vec![usual(), Act::Order(WorkerOrder::Cordon, "w1")],
            task: "",
            waits: "R306 workers in group \"default\" take no new work: w1 cordoned since TIME by test",
            warns: Warned::Alike,
            gone: Act::Order(WorkerOrder::Uncordon, "w1"),
        },
        Case {
            what: "a quota of nothing",
            before: vec![usual(), Act::Quota("slots", Some(0))],
            task: "",
            waits: "R203 namespace \"default\" uses 0 of 0 slots",
            warns: Warned::Alike,
            gone: Act::Quota("slots", Some(1)),
        },
        Case {
            what: "a quota that is too small for it",
            before: vec![usual(), Act::Quota("slots", Some(2))],
            task: "resources: { slots: 3 }, ",
            waits: "R203 namespace \"default\" uses 0 of 2 slots",
            warns: Warned::Alike,
            gone: Act::Quota("slots", None),
        },
        Case {
            what: "a quota that another run uses up",
            before: vec![usual(), Act::Quota("slots", Some(2)), Act::Begins("resources: { slots: 2 }, ")],
            task: "",
            waits: "R203 namespace \"default\" uses 2 of 2 slots",
            warns: Warned::No,
            gone: Act::Quota("slots", Some(3)),
        },
        Case {
            what: "a quota that another run gives back",
            before: vec![usual(), Act::Quota("slots", Some(2)), Act::Begins("resources: { slots: 2 }, ")],
            task: "",
            waits: "R203 namespace \"default\" uses 2 of 2 slots",
            warns: Warned::No,
            gone: Act::Ends,
        },
        Case {
            what: "a limit that nobody has set",
            before: vec![usual()],
            task: "limits: [db], ",
            waits: "R204 it wants limit \"default/db\", which nobody has set",
            warns: Warned::No,
            gone: Act::Limit(1),
        },
        Case {
            what: "a limit of nothing",
            before: vec![usual(), Act::Limit(0)],
            task: "limits: [db], ",
            waits: "R202 it needs 1 of limit \"default/db\", which is 0 in all (0 in use)",
            warns: Warned::No,
            gone: Act::Limit(1),
        },
        Case {
            what: "a limit that is full",
            before: vec![usual(), Act::Limit(2), Act::Begins("limits: [{ key: db, weight: 2 }], ")],
            task: "limits: [db], ",
            waits: "R202 it needs 1 of limit \"default/db\", of which 2 of 2 are in use: RUN/0 since TIME",
            warns: Warned::No,
            gone: Act::Limit(3),
        },
        Case {
            what: "no free slot",
            before: vec![usual(), Act::Begins("resources: { slots: 4 }, ")],
            task: "",
            waits: "R301 no worker in group \"default\" has room: w1 has 0 of 4 slots free, 1 needed (1 task run there)",
            warns: Warned::No,
            gone: Act::Ends,
        },
    ]
}

#[test]
fn it_starts_at_once_when_its_cause_goes() {
    for (case, seed) in cases().iter().zip(801..) {
        // The Dispatcher is with the shard's leader in some worlds, and with another master in others.
        for seed in [seed, seed + 100] {
            check(case, seed);
        }
    }
}

fn check(case: &Case, seed: u64) {
    let Case { what, before, task, waits, warns, gone } = case;
    println!("{what}");
    world(seed, 3, 0, async |world| {
        world.wait_leader(1, 0, &[]).await;
        for act in before {
            act.happen(&world).await;
            sleep(SETTLED).await;
        }
        let started = || world.deeds().iter().filter(|deed| deed.what == What::Started).count();
        let others = started();
        let (workflow, definition) = world.apply(1, &hangs(task)).await;
        let warned = if *warns == Warned::Alike { vec![(*waits).to_owned()] } else { Vec::new() };
        assert_eq!(warnings(&world, &definition).await, warned, "{what}");
        let run = world.try_start(1, &workflow, "once").await.expect("started");
        sleep(SETTLED).await;
        assert_eq!((reasons(&world, run).await, started()), (vec![(*waits).to_owned()], others), "{what}");
        let gone_at = world.now();
        gone.happen(&world).await;
        world.until("it starts", || started() > others).await;
        let late = world.deeds().last().expect("it started").at.since(gone_at);
        assert!(late <= AT_ONCE, "{what}: it starts {late} after its cause has gone");
    });
}

fn hangs(task: &str) -> String {
    format!("tasks: [{{ id: one, {task}shell: {{ script: hang }} }}]")
}

async fn reasons(world: &World, run: RunId) -> Vec<String> {
    match world.ask(2, Query::Explain { run, task: None }).await {
        Ok(Response::Explain(view)) => words(view.tasks.iter().flat_map(|task| &task.reasons)),
        other => panic!("{other:?} answers explain"),
    }
}

async fn warnings(world: &World, definition: &Definition) -> Vec<String> {
    let shapes = definition.tasks.iter().map(|task| task.shape(&definition.name.namespace)).collect();
    match world.ask(3, Query::Placeable { shapes }).await {
        Ok(Response::Placeable(all)) => words(all.iter().flatten()),
        other => panic!("{other:?} answers which shapes wait"),
    }
}

/// Codes and sentences, without what differs from world to world.
fn words<'a>(reasons: impl Iterator<Item = &'a Reason>) -> Vec<String> {
    let plain = |reason: &Reason| {
        let text = format!("{} {}", reason.code(), reason.text());
        let words = text.split(' ').map(|word| match word.split_once('/') {
            _ if word.ends_with('Z') && word.contains(':') => "TIME".to_owned(),
            Some((run, task)) if run.parse::<RunId>().is_ok() => format!("RUN/{task}"),
            _ => word.to_owned(),
        });
        words.collect::<Vec<_>>().join(" ")
    };
    reasons.map(plain).collect()
}

impl Act {
    async fn happen(&self, world: &World) {
        let by = || "test".to_owned();
        let command = match self {
            Act::Joins(worker, profile) => {
                return world.start_worker_as(worker, true, profile(usual_profile(worker)));
            }
            Act::Gone(worker) => {
                world.crash_worker(worker).await;
                return sleep(LOST).await;
            }
            Act::Begins(task) => {
                let (workflow, _) = world.apply_as(1, "other", &hangs(task)).await;
                world.try_start(1, &workflow, "other").await.expect("started");
                return;
            }
            Act::Ends => {
                let host = world.host("w1");
                let attempt = *host.running().first().expect("the other one runs");
                return host.end(
                    attempt,
                    hortator_actors::seam::LaunchResult::Exited { code: 0 },
                    What::Ended,
                );
            }
            Act::Order(order, worker) => Command::OrderWorker { name: name(worker), order: *order, by: by() },
            Act::Quota(resource, most) => Command::SetQuota {
                namespace: name("default"),
                change: [((*resource).to_owned(), *most)].into(),
                by: by(),
            },
            Act::Deleted(group) => Command::DeleteGroup { name: name(group), by: by() },
            Act::Limit(max) => Command::SetLimit {
                name: LimitName { namespace: name("default"), name: name("db") },
                max: *max,
                by: by(),
            },
        };
        world.request(2, Request::Command(command)).await.expect("done");
    }
}
