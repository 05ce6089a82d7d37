//! What is said: reasons, what if, and what a worker remembers.

use hortator_core::definition::Priority::{Highest, Low, Normal};
use hortator_core::dispatch::*;
use hortator_core::dispatch::{KindTag, WorkerState};
use hortator_core::id::WorkerRef;
use hortator_core::reason::Reason;
use hortator_core::time::{Span, Timestamp};

use crate::world::{World, name, shape, task_run, worker};

/// The cause is there, the code is its only reason; the cause goes, and it starts.
fn alone_and_gone(code: &str, wanted: &Shape, setup: fn(&mut World), relief: fn(&mut World)) {
    let mut world = World::new(&["w"]);
    setup(&mut world);
    world.offer(1, wanted, Normal);
    assert_eq!(world.started(), "", "{code}");
    assert_eq!(world.codes(1), code);
    relief(&mut world);
    assert!(world.started().starts_with("1@"), "{code}");
    assert_eq!(world.codes(1), "", "it is dispatched, so nothing is said any more");
}

fn noop() -> Shape {
    Shape { kind: KindTag::Noop, ..shape("w", 1) }
}

#[test]
fn each_code_of_workers_alone_and_gone() {
    let check = |code, setup, relief| alone_and_gone(code, &noop(), setup, relief);
    check(
        "R301",
        |world| {
            world.join(worker("w1", &["w"], 1));
            world.offer(7, &shape("w", 1), Highest);
            assert_eq!(world.started(), "7@w1");
        },
        |world| world.end(7),
    );
    check(
        "R302",
        |world| {
            world.join(worker("w1", &["w"], 1));
            world.beat(
                "w1",
                &Load { metrics: Metrics::ZERO.with(Metric::MemoryPercent, 99.0), ..Load::idle() },
            );
        },
        |world| world.beat("w1", &Load::idle()),
    );
    check("R303", |_| {}, |world| world.join(worker("w1", &["w"], 1)));
    check(
        "R304",
        |world| world.dispatch.on_group_removed(&name("w"), world.now),
        |world| world.join(worker("w1", &["w"], 1)),
    );
    check(
        "R306",
        |world| {
            let state = WorkerState::Cordoned { by: "li".to_owned(), since: Timestamp(0) };
            world.join(WorkerFacts { state, ..worker("w1", &["w"], 1) });
        },
        |world| world.join(worker("w1", &["w"], 1)),
    );
    check(
        "R307",
        |world| world.join(WorkerFacts { kinds: vec![KindTag::Shell], ..worker("w1", &["w"], 1) }),
        |world| world.join(worker("w1", &["w"], 1)),
    );
    check("R309", fails_different_tasks, |world| {
        world.pass(QUARANTINE_FIRST);
        world.beat("w1", &Load::idle());
    });
    check(
        "R502",
        |world| {
            world.join(worker("w1", &["w"], 1));
            world.pass(Span::from_secs(3));
        },
        |world| world.beat("w1", &Load::idle()),
    );
}

/// The others are there only so that one may be mistrusted at all, and go.
fn fails_different_tasks(world: &mut World) {
    world.join(worker("w1", &["w"], 1));
    for other in ["w2", "w3"] {
        let state = WorkerState::Cordoned { by: "li".to_owned(), since: Timestamp(0) };
        world.join(WorkerFacts { state, ..worker(other, &["w"], 1) });
    }
    for number in 10..15 {
        world.offer(number, &shape("w", 1), Normal);
        assert_eq!(world.started(), format!("{number}@w1"));
        world.dispatch.ended(task_run(number), Ended::Failed { task: u64::from(number) }, world.now);
    }
    for other in ["w2", "w3"] {
        world.dispatch.on_worker_lost(&WorkerRef { name: name(other), incarnation: 1 }, world.now);
    }
}

#[test]
fn each_code_of_wishes_alone_and_gone() {
    alone_and_gone(
        "R203",
        &noop(),
        |world| {
            world.join(worker("w1", &["w"], 1));
            world.dispatch.on_quota(&name("retail"), Quota::from([(Resource::Slots, 0)]));
        },
        |world| world.dispatch.on_quota(&name("retail"), Quota::from([(Resource::Slots, 1)])),
    );
    let ssd = LabelTest::Is { key: name("disk"), values: vec!["ssd".to_owned()] };
    alone_and_gone(
        "R305",
        &Shape { labels: vec![LabelRule::Require(ssd)], ..noop() },
        |world| world.join(worker("w1", &["w"], 1)),
        |world| {
            let labels = [(name("disk"), "ssd".to_owned())].into();
            world.join(WorkerFacts { labels, ..worker("w1", &["w"], 1) });
        },
    );
    let near = ZoneWish::Near { zone: "us".to_owned(), wait: Span::from_secs(1) };
    alone_and_gone(
        "R308",
        &Shape { zone: near, ..noop() },
        |world| world.join(WorkerFacts { zone: Some("eu".to_owned()), ..worker("w1", &["w"], 1) }),
        |world| world.pass(Span::from_secs(1)),
    );
}

/// Those of its turn: it is next, or behind another of its shape; and what is sent says so.
#[test]
fn each_code_of_its_turn_alone() {
    let mut world = World::new(&["w"]);
    world.join(worker("w1", &["w"], 2));
    world.offer(1, &noop(), Normal);
    world.offer(2, &noop(), Low);
    assert_eq!((world.codes(1).as_str(), world.codes(2).as_str()), ("R402", "R402"));
    assert_eq!(world.placed(), "1@w1 2@w1");
    assert_eq!((world.codes(1).as_str(), world.codes(2).as_str()), ("R501", "R501"));
}

#[test]
fn all_that_is_in_the_way_is_said() {
    let mut world = World::new(&["w"]);
    world.join(worker("a-small", &["w"], 1));
    world.join(WorkerFacts { kinds: vec![KindTag::Noop], ..worker("b-old", &["w"], 8) });
    let state = WorkerState::Draining { by: "li".to_owned(), since: Timestamp(0) };
    world.join(WorkerFacts { state, ..worker("c-leaving", &["w"], 8) });
    world.dispatch.on_worker(worker("d-new", &["w"], 8), world.now);
    world.offer(1, &shape("w", 2), Normal);
    assert_eq!(world.started(), "");
    assert_eq!(world.codes(1), "R301 R306 R307 R502");
    world.beat("d-new", &Load::idle());
    assert_eq!(world.started(), "1@d-new");
}

/// Two of one slot more than `w1` has left wait for `w2`, which is cordoned; `w3` is of another group.
fn imagined_world() -> World {
    let mut world = World::new(&["w"]);
    world.join(worker("w1", &["w"], 1));
    let state = WorkerState::Cordoned { by: "li".to_owned(), since: Timestamp(0) };
    world.join(WorkerFacts { state, ..worker("w2", &["w"], 4) });
    world.join(worker("w3", &["v"], 2));
    world.offer(1, &shape("w", 1), Normal);
    assert_eq!(world.started(), "1@w1");
    world.offer(2, &shape("w", 2), Normal);
    world.offer(3, &shape("w", 2), Low);
    assert_eq!(world.started(), "");
    world
}

/// As `worker`, `behind N`, codes with their sentences, `in GROUPS, not GROUP`, or `no NAME`.
fn outcome(world: &World, number: u32, change: &Change) -> String {
    match world.dispatch.what_if(task_run(number), change) {
        None => "not waiting".to_owned(),
        Some(Outcome::Starts { worker }) => worker.to_string(),
        Some(Outcome::Follows { behind: Reason::Behind { ahead, .. } }) => format!("behind {ahead}"),
        Some(Outcome::Follows { behind }) => panic!("{behind:?} is no place in a queue"),
        Some(Outcome::Waits { reasons }) => {
            let words: Vec<String> =
                reasons.iter().map(|reason| format!("{} {}", reason.code(), reason.text())).collect();
            words.join("; ")
        }
        Some(Outcome::Elsewhere { worker, group, groups }) => {
            let groups: Vec<String> = groups.iter().map(ToString::to_string).collect();
            format!("{worker} in {}, not {group}", groups.join(" "))
        }
        Some(Outcome::NoWorker { worker }) => format!("no {worker}"),
    }
}

#[test]
fn what_if() {
    let mut world = imagined_world();
    let slots = |slots| Some(vec![Amounts::slots(slots)]);
    let (full, cordoned) = (
        "R301 no worker in group \"w\" has room: w1 has 0 of 1 slots free, 2 needed (1 task run there)",
        "R306 workers in group \"w\" take no new work: w2 cordoned since 1970-01-01T00:00:00.000000Z by li",
    );
    let both = format!("{full}; {cordoned}");
    let on = |text: &str| Change { worker: Some(name(text)), ..Change::default() };
    let uncordon = || Change { uncordon: Some(name("w2")), ..Change::default() };
    let group = |text: &str| Change { group: Some(name(text)), ..Change::default() };
    let cases: [(u32, Change, &str); 15] = [
        (2, Change::default(), &both),
        (2, uncordon(), "w2"),
        (3, uncordon(), "behind 1"),
        (3, Change { priority: Some(Highest), ..uncordon() }, "w2"),
        (3, Change { priority: Some(Highest), ..Change::default() }, &both),
        (2, on("w1"), full),
        (2, on("w2"), cordoned),
        (2, Change { uncordon: Some(name("w2")), ..on("w2") }, "w2"),
        (3, Change { uncordon: Some(name("w2")), ..on("w2") }, "behind 1"),
        (2, Change { uncordon: Some(name("w2")), ..on("w1") }, full),
        (2, on("w3"), "w3 in v, not w"),
        (2, Change { group: Some(name("v")), ..on("w3") }, "w3"),
        (2, group("v"), "w3"),
        (
            2,
            Change { requests: slots(3), ..group("v") },
            "R301 no worker in group \"v\" has room: w3 has 2 of 2 slots free, 3 needed (0 task runs there)",
        ),
        (2, on("w9"), "no w9"),
    ];
    for (number, change, expected) in &cases {
        assert_eq!(outcome(&world, *number, change), *expected, "{number}: {change:?}");
    }
    let unknown = outcome(&world, 2, &group("u"));
    assert_eq!(unknown, "R304 worker group \"u\" does not exist; groups now: v, w");
    assert_eq!(outcome(&world, 2, &Change { uncordon: Some(name("w9")), ..Change::default() }), "no w9");
    assert_eq!(outcome(&world, 1, &on("w1")), "not waiting");
    world.end(1);
    let one = Change { requests: slots(1), ..Change::default() };
    assert_eq!(outcome(&world, 2, &one), "w1");
    assert_eq!(outcome(&world, 2, &Change { requests: slots(1), ..on("w2") }), cordoned);
    assert_eq!(world.codes(2), "R301 R306", "nothing was changed by asking");
}

#[test]
fn what_if_of_a_shape_that_others_wait_for_already() {
    let mut world = imagined_world();
    world.offer(4, &shape("v", 2), Normal);
    assert_eq!(world.started(), "4@w3");
    world.offer(5, &shape("v", 2), Normal);
    assert_eq!(world.started(), "");
    world.end(4);
    let change = Change { group: Some(name("v")), ..Change::default() };
    assert_eq!(outcome(&world, 3, &change), "behind 1");
}

#[test]
fn what_if_under_a_quota() {
    let mut world = imagined_world();
    world.dispatch.on_quota(&name("retail"), Quota::from([(Resource::Slots, 1)]));
    let quota = "R203 namespace \"retail\" uses 1 of 1 slots";
    let uncordon = Change { uncordon: Some(name("w2")), ..Change::default() };
    assert_eq!(outcome(&world, 2, &uncordon), quota);
    let on = Change { worker: Some(name("w1")), ..Change::default() };
    let full =
        "R301 no worker in group \"w\" has room: w1 has 0 of 1 slots free, 2 needed (1 task run there)";
    assert_eq!(outcome(&world, 2, &on), format!("{full}; {quota}"));
}

#[test]
fn a_worker_remembers_for_and_against() {
    let mut world = World::new(&["w"]);
    world.join(worker("w1", &["w"], 4));
    world.join(worker("w2", &["w"], 4));
    world.join(WorkerFacts { kinds: vec![KindTag::Noop], ..worker("w3", &["w"], 4) });
    world.offer(1, &shape("w", 2), Normal);
    assert_eq!(world.started(), "1@w1");
    let verdict =
        |world: &World, text: &str| world.dispatch.trail(&name(text)).last().unwrap().verdict.clone();
    let chosen = verdict(&world, "w1");
    assert_eq!(chosen, Verdict::Chosen { score: 1.5, next_best: Some(1.5), candidates: 2 });
    let Verdict::Refused(reason) = verdict(&world, "w3") else { panic!("{:?}", verdict(&world, "w3")) };
    assert_eq!(
        (reason.code(), reason.text().as_str()),
        ("R307", "w3 (version ) in group \"w\" cannot run tasks of kind shell")
    );
    world.offer(100, &shape("w", 3), Normal);
    assert_eq!(world.started(), "100@w2");
    world.offer(101, &shape("w", 2), Normal);
    assert_eq!(world.started(), "101@w1");
    let Verdict::Refused(reason) = verdict(&world, "w2") else { panic!("{:?}", verdict(&world, "w2")) };
    let text = "no worker in group \"w\" has room: w2 has 1 of 4 slots free, 2 needed (1 task run there)";
    assert_eq!((reason.code(), reason.text().as_str()), ("R301", text));
    (100..=101).for_each(|number| world.end(number));
    (2..60).for_each(|number| {
        world.offer(number, &shape("w", 1), Normal);
        world.started();
        world.end(number);
    });
    assert!(matches!(verdict(&world, "w1"), Verdict::Outscored { score, best } if best < score));
    for text in ["w1", "w2", "w3"] {
        assert!(world.dispatch.trail(&name(text)).len() <= LINES_MAX);
    }
    assert_eq!(world.dispatch.trail(&name("w9")), []);
}

#[test]
fn a_granted_one_says_so() {
    let mut world = World::new(&["w"]);
    world.join(worker("w1", &["w"], 4));
    world.offer(1, &shape("w", 2), Normal);
    assert_eq!(world.codes(1), "R402", "it is next");
    assert_eq!(world.placed(), "1@w1");
    let id = WorkerRef { name: name("w1"), incarnation: 1 };
    let reasons = world.dispatch.explain(task_run(1));
    assert!(matches!(&reasons[..], [Reason::SentNotAcknowledged { worker, .. }] if *worker == id));
    assert_eq!(world.dispatch.explain(task_run(99)), []);
}
