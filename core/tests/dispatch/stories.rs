//! Order, parking, waking, windows and ageing as stories.

use std::sync::Arc;

use hortator_core::definition::Priority::{self, High, Highest, Lowest, Normal};
use hortator_core::dispatch::*;
use hortator_core::time::{Span, Timestamp};

use crate::world::{World, config, name, offer, shape, task_run, worker};

/// A, B and C wait for group W in this order; W is full, and A's grant fails; W has room again: A starts first.
#[test]
fn a_failed_grant_goes_back_to_its_own_place() {
    let mut world = World::new(&["w"]);
    world.join(worker("w1", &["w"], 1));
    let (a, b, c) = (1, 2, 3);
    for number in [a, b, c] {
        world.offer(number, &shape("w", 1), Normal);
    }
    let grants = world.place();
    assert_eq!(grants.len(), 1, "there is one slot");
    assert_eq!(grants[0].task_run, task_run(a));
    // The worker was full after all; it says so, and when it has ended something it says that.
    world.dispatch.failed(task_run(a), grants[0].number, GrantFailed::AtWorker);
    assert_eq!(world.placed(), "", "it has no room, by its own word");
    assert_eq!((world.codes(a).as_str(), world.codes(b).as_str()), ("R301", "R301 R402"));
    world.beat("w1", &Load::idle());
    assert_eq!(world.started(), "1@w1");
    world.end(a);
    assert_eq!(world.started(), "2@w1");
    world.end(b);
    assert_eq!(world.started(), "3@w1");
}

#[test]
fn the_same_with_a_grant_that_nobody_uses() {
    let mut world = World::new(&["w"]);
    world.join(worker("w1", &["w"], 1));
    for number in [1, 2, 3] {
        world.offer(number, &shape("w", 1), Normal);
    }
    assert_eq!(world.placed(), "1@w1");
    world.pass(Span::from_millis(999));
    assert_eq!(world.placed(), "");
    world.pass(Span::from_millis(1));
    assert_eq!(world.placed(), "1@w1");
}

#[test]
fn run_priority_then_run_then_task_priority_then_path_then_activation() {
    let mut world = World::new(&["w"]);
    let one = |number: u32, run_priority, created, task_priority, remaining, activation| {
        let mut offer = offer(number, &shape("w", 1), run_priority);
        let run_created = Timestamp(created);
        let remaining = Span::from_secs(remaining);
        offer.rank = Rank { run_priority, run_created, task_priority, remaining, activation };
        offer
    };
    let in_order = [
        one(7, Highest, 9, Lowest, 0, 9),
        one(3, High, 1, Lowest, 0, 9),
        one(8, High, 2, Highest, 0, 9),
        one(8, High, 2, Normal, 60, 9),
        one(8, High, 2, Normal, 5, 1),
        one(8, High, 2, Normal, 5, 2),
        one(4, Lowest, 0, Highest, 99, 0),
    ];
    for at in [3, 0, 6, 2, 5, 1, 4] {
        let mut offer = in_order[at].clone();
        offer.task_run.key.task = 10 - at as u32;
        world.dispatch.offer(1, offer, world.now).unwrap();
    }
    world.join(worker("w1", &["w"], 10));
    let placed: Vec<u32> = world.place().iter().map(|grant| 10 - grant.task_run.key.task).collect();
    assert_eq!(placed, [0, 1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_large_task_does_not_stand_in_front_of_a_small_one_and_is_not_overtaken_by_its_like() {
    let mut world = World::new(&["w"]);
    world.join(worker("w1", &["w"], 4));
    world.offer(1, &shape("w", 3), Normal);
    assert_eq!(world.started(), "1@w1");
    world.offer(2, &shape("w", 2), Highest);
    world.offer(3, &shape("w", 1), Lowest);
    world.offer(4, &shape("w", 2), Lowest);
    assert_eq!(world.started(), "3@w1");
    assert_eq!(world.codes(2), "R301");
    world.end(1);
    assert_eq!(world.started(), "2@w1");
    world.end(3);
    assert_eq!(world.started(), "4@w1");
}

#[test]
fn a_broken_group_affects_nobody_else() {
    let mut world = World::new(&["good", "empty", "full"]);
    world.join(worker("w1", &["good"], 100));
    world.join(worker("w2", &["full"], 1));
    for number in 0..100 {
        let group = ["nowhere", "empty", "full"][(number % 3) as usize];
        world.offer(number, &shape(group, 1), Highest);
    }
    (100..150).for_each(|number| world.offer(number, &shape("good", 1), Lowest));
    assert_eq!(world.started().split(' ').count(), 51, "all of the good group, one of the full one");
    assert_eq!(
        ["R304", "R303"],
        [world.codes(0).split(' ').next().unwrap(), world.codes(1).split(' ').next().unwrap()]
    );
    // The group comes into being, and what waited starts by itself.
    world.join(worker("w3", &["nowhere"], 2));
    assert_eq!(world.started(), "0@w3 3@w3");
    let counts = world.dispatch.counts_now();
    assert_eq!((counts.waiting, counts.held), (97, 53));
}

#[test]
fn groups_and_shapes_go_with_their_last_user() {
    let mut world = World::new(&[]);
    world.offer(1, &shape("a", 1), Normal);
    assert_eq!(world.dispatch.counts_now().shapes, 1);
    world.dispatch.withdraw(task_run(1));
    assert_eq!(world.dispatch.counts_now(), DispatchCounts::default());
    world.dispatch.on_group(&name("b"), GroupConfig::default(), world.now);
    // Also its last worker is forgotten with it.
    let last = worker("w1", &["b"], 1);
    world.join(last.clone());
    world.dispatch.on_worker_lost(&last.worker, world.now);
    world.offer(2, &shape("b", 1), Normal);
    assert_eq!(world.started(), "");
    assert_eq!(world.codes(2), "R303");
    world.dispatch.on_group_removed(&name("b"), world.now);
    assert_eq!(world.codes(2), "R304");
}

/// Each source shows a window of what it has; nothing that comes after a hidden one is granted before it is shown.
#[test]
fn windows_never_break_the_order() {
    const READY: u32 = 20_000;
    const WINDOW: usize = 16;
    let shape = Arc::new(shape("w", 1));
    let mut world = World::new(&["w"]);
    world.join(worker("w1", &["w"], 7));
    // All that is ready, split over four sources by chance and unevenly; the best of each last.
    let mut chance = Chance::new(99);
    let source_of: Vec<usize> = (0..READY).map(|_| (chance.below(16) as usize).min(3)).collect();
    let mut hidden: Vec<Vec<u32>> = vec![Vec::new(); 4];
    (0..READY).rev().for_each(|number| hidden[source_of[number as usize]].push(number));
    let mut shown = [0usize; 4];
    let mut done: Vec<u32> = Vec::new();
    while done.len() < READY as usize {
        // Windows are filled late: when they are empty.
        for source in 0..4 {
            if shown[source] > 0 {
                continue;
            }
            for _ in 0..WINDOW {
                let Some(number) = hidden[source].pop() else { break };
                world.dispatch.offer(source as u32, offer(number, &shape, Normal), world.now).unwrap();
                shown[source] += 1;
            }
            let next = hidden[source].last().map(|number| offer(*number, &shape, Normal));
            let horizon = next.map(|offer| (offer.rank, offer.task_run));
            world.dispatch.on_horizon(source as u32, &shape, horizon).unwrap();
        }
        let grants = world.place();
        assert!(!grants.is_empty() || shown.contains(&0), "only an empty window stops the queue");
        for grant in grants {
            let number = (grant.task_run.run.0 >> 80) as u32;
            shown[source_of[number as usize]] -= 1;
            done.push(number);
            world.dispatch.dispatched(grant.task_run);
            world.dispatch.ended(grant.task_run, Ended::Otherwise, world.now);
        }
    }
    assert!(done.is_sorted(), "strict over all sources");
}

#[test]
fn a_hidden_one_is_a_reason_and_stops_only_its_own_shape() {
    let mut world = World::new(&["w"]);
    world.join(worker("w1", &["w"], 4));
    let (one, two) = (shape("w", 1), shape("w", 2));
    world.offer(5, &one, Normal);
    world.offer(6, &two, Normal);
    let hidden = offer(3, &one, Normal);
    world.dispatch.on_horizon(2, &Arc::new(one.clone()), Some((hidden.rank, hidden.task_run))).unwrap();
    assert_eq!(world.started(), "6@w1");
    assert_eq!(world.codes(5), "R402");
    world.dispatch.on_source_lost(2);
    assert_eq!(world.started(), "5@w1");
}

#[test]
fn ageing_raises_by_a_level_at_a_time() {
    let mut world = World::new(&[]);
    let ageing = GroupConfig { ageing: Some(Span::from_secs(60)), ..config(Policy::LeastLoaded) };
    world.dispatch.on_group(&name("w"), ageing, world.now);
    world.join(worker("w1", &["w"], 1));
    world.offer(0, &shape("w", 1), Normal);
    assert_eq!(world.started(), "0@w1");
    world.offer(1, &shape("w", 1), Lowest);
    // A stream of more important ones, each ready when it comes.
    let mut started = Vec::new();
    for step in 1..6 {
        world.pass(Span::from_secs(61));
        world.beat("w1", &Load { running: Amounts::slots(1), ..Load::idle() });
        let mut newer = offer(100 * step, &shape("w", 1), High);
        newer.since = world.now;
        world.dispatch.offer(1, newer, world.now).unwrap();
        world.dispatch.ended(*started.last().unwrap_or(&task_run(0)), Ended::Otherwise, world.now);
        let grants = world.place();
        assert_eq!(grants.len(), 1);
        world.dispatch.dispatched(grants[0].task_run);
        started.push(grants[0].task_run);
    }
    let expected = [100, 200, 1, 300, 400].map(task_run);
    assert_eq!(started, expected, "after three minutes it is high, and older");
}

#[test]
fn what_a_lost_worker_was_granted_waits_in_its_place() {
    let mut world = World::new(&["w"]);
    world.join(worker("w1", &["w"], 2));
    for number in [1, 2, 3] {
        world.offer(number, &shape("w", 1), Normal);
    }
    assert_eq!(world.placed(), "1@w1 2@w1");
    world.dispatch.dispatched(task_run(2));
    let lost = worker("w1", &["w"], 2).worker;
    world.dispatch.on_worker_lost(&lost, world.now);
    assert_eq!(world.codes(1), "R303");
    let mut again = worker("w1", &["w"], 2);
    again.worker.incarnation = 2;
    world.join(again);
    assert_eq!(world.started(), "1@w1 3@w1");
    world.end(2);
    assert_eq!(world.dispatch.counts_now().held, 2);
}

#[test]
fn bad_offers_are_refused() {
    let mut world = World::new(&["w"]);
    let mut none = shape("w", 1);
    none.requests.clear();
    let refused = world.dispatch.offer(1, offer(1, &none, Priority::Normal), world.now);
    assert_eq!(refused, Err(OfferRefused::Requests { requests: 0 }));
    let mut many = shape("w", 1);
    many.requests = vec![Amounts::slots(1); REQUESTS_MAX + 1];
    assert!(world.dispatch.offer(1, offer(1, &many, Priority::Normal), world.now).is_err());
}
