//! What is said: reasons, what if, and what a worker remembers.

use hortator_core::definition::Priority::{Highest, Low, Normal};
use hortator_core::dispatch::*;
use hortator_core::dispatch::{KindTag, WorkerState};
use hortator_core::id::WorkerRef;
use hortator_core::reason::Reason;
use hortator_core::time::{Span, Timestamp};

use crate::world::{World, name, shape, task_run, worker};

/// For each code of placement, a situation in which it is the only reason; the cause goes, and it starts.
#[test]
fn each_code_alone_and_gone() {
    let check = |code: &str, setup: fn(&mut World), relief: fn(&mut World)| {
        let mut world = World::new(&["w"]);
        setup(&mut world);
        let wanted = Shape { kind: KindTag::Noop, ..shape("w", 1) };
        world.offer(1, &wanted, Normal);
        assert_eq!(world.started(), "", "{code}");
        assert_eq!(world.codes(1), code);
        relief(&mut world);
        assert!(world.started().starts_with("1@"), "{code}");
        assert_eq!(world.codes(1), "", "it is dispatched, so nothing is said any more");
    };
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
        |world| world.dispatch.on_group_removed(&name("w")),
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
    check(
        "R502",
        |world| {
            world.join(worker("w1", &["w"], 1));
            world.pass(Span::from_secs(3));
        },
        |world| world.beat("w1", &Load::idle()),
    );
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

#[test]
fn what_if() {
    let mut world = World::new(&["w"]);
    world.join(worker("w1", &["w"], 1));
    let state = WorkerState::Cordoned { by: "li".to_owned(), since: Timestamp(0) };
    world.join(WorkerFacts { state, ..worker("w2", &["w"], 4) });
    world.offer(1, &shape("w", 1), Normal);
    assert_eq!(world.started(), "1@w1");
    world.offer(2, &shape("w", 2), Normal);
    world.offer(3, &shape("w", 2), Low);
    assert_eq!(world.started(), "");
    let ask = |world: &World, number, change| world.dispatch.what_if(task_run(number), &change, world.now);
    let starts = |text: &str| Some(Outcome::Starts { worker: name(text) });
    assert_eq!(ask(&world, 2, Change::Uncordon(name("w2"))), starts("w2"));
    assert_eq!(ask(&world, 2, Change::Worker(Box::new(worker("w9", &["w"], 2)))), starts("w9"));
    let follows = ask(&world, 3, Change::Uncordon(name("w2")));
    assert!(
        matches!(&follows, Some(Outcome::Follows { behind: Reason::Behind { ahead: 1, .. } })),
        "{follows:?}"
    );
    let still = ask(&world, 3, Change::Priority(Highest));
    assert!(matches!(still, Some(Outcome::Waits { .. })), "{still:?}");
    let too_small = ask(&world, 2, Change::Worker(Box::new(worker("w9", &["w"], 1))));
    assert!(matches!(&too_small, Some(Outcome::Waits { reasons }) if reasons.len() == 2), "{too_small:?}");
    world.end(1);
    assert_eq!(ask(&world, 2, Change::Requests(vec![Amounts::slots(1)])), starts("w1"));
    assert_eq!(ask(&world, 1, Change::AnyZone), None, "it does not wait");
    assert_eq!(world.codes(2), "R301 R306", "nothing was changed by asking");
}

#[test]
fn a_worker_remembers_for_and_against() {
    let mut world = World::new(&["w"]);
    world.join(worker("w1", &["w"], 4));
    world.join(worker("w2", &["w"], 4));
    world.join(WorkerFacts { kinds: vec![KindTag::Noop], ..worker("w3", &["w"], 4) });
    world.offer(1, &shape("w", 2), Normal);
    assert_eq!(world.started(), "1@w1");
    let verdict = |world: &World, text: &str| world.dispatch.trail(&name(text)).last().unwrap().verdict;
    let chosen = verdict(&world, "w1");
    assert_eq!(chosen, Verdict::Chosen { score: 1.5, next_best: Some(1.5), candidates: 2 });
    assert_eq!(verdict(&world, "w3"), Verdict::Refused(Refusal::Kind));
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
