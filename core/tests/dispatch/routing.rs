//! Which worker gets it: policies, balance, slow start, overload, quarantine, slow workers.

use std::collections::BTreeMap;

use hortator_core::definition::Priority::Normal;
use hortator_core::dispatch::*;
use hortator_core::id::Name;
use hortator_core::time::Span;

use crate::world::{World, config, name, shape, worker};

/// So many workers of so many slots, under a policy.
fn crowd(policy: Policy, workers: u32, slots: u64) -> World {
    let mut world = World::new(&[]);
    world.dispatch.on_group(&name("w"), config(policy), world.now);
    (0..workers).for_each(|at| world.join(worker(&format!("w{at:04}"), &["w"], slots)));
    world
}

/// Grants so many tasks of one slot; says how many each worker got.
fn spread(world: &mut World, tasks: u32) -> BTreeMap<Name, u32> {
    let mut counts = BTreeMap::new();
    (0..tasks).for_each(|_| {
        world.numbers += 1;
        world.offer(world.numbers, &shape("w", 1), Normal);
    });
    for grant in world.place() {
        *counts.entry(grant.worker.name).or_default() += 1;
    }
    counts
}

#[test]
fn equal_workers_get_equal_shares() {
    let check = |policy, workers: u32, load: u32| {
        let mut world = crowd(policy, workers, 100);
        let counts = spread(&mut world, workers * load);
        let (least, most) = (counts.values().min().unwrap(), counts.values().max().unwrap());
        assert_eq!(counts.len(), workers as usize);
        let bound = 1.0 + 1.0 / f64::from(load).sqrt();
        let ratio = f64::from(*most) / f64::from(*least);
        assert!(ratio <= bound, "{policy:?} with {workers} workers: {least} to {most}");
    };
    for load in [4, 16] {
        for policy in [Policy::LeastLoaded, Policy::WeightedRoundRobin, Policy::RoundRobin] {
            check(policy, 10, load);
        }
        check(Policy::LeastLoaded, 64, load);
        // Above 64 workers the best of a sample.
        check(Policy::LeastLoaded, 300, load);
    }
}

#[test]
fn bin_pack_fills_one_after_the_other_and_random_does_not() {
    let mut packed = crowd(Policy::BinPack, 10, 8);
    assert_eq!(spread(&mut packed, 20).values().filter(|count| **count == 8).count(), 2);
    let mut random = crowd(Policy::Random, 10, 1000);
    let counts = spread(&mut random, 1000);
    assert!(counts.values().all(|count| (60..150).contains(count)), "{counts:?}");
}

#[test]
fn weights_say_how_often() {
    let mut world = World::new(&[]);
    world.dispatch.on_group(&name("w"), config(Policy::WeightedRoundRobin), world.now);
    for (text, weight) in [("w1", 100), ("w2", 300)] {
        world.join(WorkerFacts { weight, ..worker(text, &["w"], 10_000) });
    }
    let counts = spread(&mut world, 400);
    let (one, two) = (counts[&name("w1")], counts[&name("w2")]);
    assert!((95..=105).contains(&one) && one + two == 400, "{counts:?}");
    let order: Vec<String> = (0..8)
        .map(|number| {
            world.offer(1000 + number, &shape("w", 1), Normal);
            world.placed()
        })
        .collect();
    let runs = order.windows(4).filter(|four| four.iter().all(|placed| placed.ends_with("w2"))).count();
    assert_eq!(runs, 0, "smooth: never four in a row, {order:?}");
}

#[test]
fn a_policy_may_change_at_any_time() {
    let mut world = crowd(Policy::LeastLoaded, 3, 10);
    (0..3).for_each(|number| world.offer(number, &shape("w", 1), Normal));
    assert_eq!(world.placed(), "0@w0000 1@w0001 2@w0002");
    world.dispatch.on_group(&name("w"), config(Policy::BinPack), world.now);
    (3..6).for_each(|number| world.offer(number, &shape("w", 1), Normal));
    assert_eq!(world.placed(), "3@w0000 4@w0000 5@w0000");
}

#[test]
fn measured_load_counts_once_beside_what_is_reserved() {
    let mut world = crowd(Policy::LeastLoaded, 2, 10);
    let busy = |percent| Load { metrics: Metrics::ZERO.with(Metric::CpuPercent, percent), ..Load::idle() };
    let twice = |world: &mut World, worker: &str| {
        world.beat(worker, &busy(60.0));
        world.beat(worker, &busy(60.0));
    };
    twice(&mut world, "w0000");
    assert_eq!(
        spread(&mut world, 5),
        BTreeMap::from([(name("w0001"), 5)]),
        "one host is busy with other things"
    );
    // The next heartbeats show our own tasks' use: it is not counted on top of what they reserve.
    twice(&mut world, "w0001");
    twice(&mut world, "w0000");
    let counts = spread(&mut world, 4);
    assert!(counts.values().all(|count| *count == 2), "{counts:?}");
}

#[test]
fn what_others_run_there_takes_room() {
    let mut world = crowd(Policy::LeastLoaded, 1, 4);
    let three = Load { running: Amounts::slots(3), ..Load::idle() };
    world.beat("w0000", &three);
    world.beat("w0000", &three);
    assert_eq!(spread(&mut world, 3).values().sum::<u32>(), 1);
    let now = Load { running: Amounts::slots(1), ..Load::idle() };
    world.beat("w0000", &now);
    assert_eq!(world.place().len(), 2, "what is gone by one heartbeat of two is gone");
}

#[test]
fn a_young_worker_warms_up() {
    let mut world = World::new(&[]);
    let slow_start = GroupConfig { slow_start: Span::from_secs(60), ..GroupConfig::default() };
    world.dispatch.on_group(&name("w"), slow_start, world.now);
    world.join(worker("old", &["w"], 100));
    world.pass(Span::from_secs(60));
    world.beat("old", &Load::idle());
    world.join(worker("new", &["w"], 100));
    let counts = spread(&mut world, 90);
    assert_eq!(counts, BTreeMap::from([(name("old"), 90)]), "all that fits elsewhere goes elsewhere");
    assert_eq!(spread(&mut world, 20).get(&name("new")), Some(&10), "but it is no reason to wait");
}

#[test]
fn a_worker_over_its_limit_gets_nothing_until_it_has_relief() {
    let mut world = crowd(Policy::LeastLoaded, 2, 10);
    let memory =
        |percent| Load { metrics: Metrics::ZERO.with(Metric::MemoryPercent, percent), ..Load::idle() };
    world.beat("w0000", &memory(96.0));
    assert_eq!(spread(&mut world, 4), BTreeMap::from([(name("w0001"), 4)]));
    world.beat("w0000", &memory(94.0));
    assert_eq!(spread(&mut world, 2), BTreeMap::from([(name("w0001"), 2)]), "not far enough below");
    world.beat("w0000", &memory(80.0));
    assert_eq!(spread(&mut world, 2).get(&name("w0000")), Some(&2));
    // A limit of the group's that nobody can keep, and one of the worker's own that lets it.
    let strict = Metrics::NO_LIMIT.with(Metric::MemoryPercent, 10.0);
    world.dispatch.on_group(
        &name("w"),
        GroupConfig { thresholds: strict, ..config(Policy::LeastLoaded) },
        world.now,
    );
    world.offer(100, &shape("w", 1), Normal);
    world.beat("w0001", &memory(50.0));
    assert_eq!(world.placed(), "");
    assert_eq!(world.codes(100), "R302");
    let own = Metrics::NO_LIMIT.with(Metric::MemoryPercent, 60.0);
    world.join(WorkerFacts { thresholds: own, ..worker("w0001", &["w"], 10) });
    world.beat("w0001", &memory(50.0));
    assert_eq!(world.placed(), "100@w0001");
}

#[test]
fn overload_never_starves_a_group_for_ever() {
    let mut world = crowd(Policy::LeastLoaded, 1, 10);
    let pressed = Load { metrics: Metrics::ZERO.with(Metric::PressureMemory, 99.0), ..Load::idle() };
    world.beat("w0000", &pressed);
    (0..3).for_each(|number| world.offer(number, &shape("w", 1), Normal));
    for second in 1..=29 {
        world.pass(Span::from_secs(1));
        world.beat("w0000", &pressed);
        assert_eq!(world.placed(), "", "after {second} s");
    }
    world.pass(Span::from_secs(1));
    world.beat("w0000", &pressed);
    assert_eq!(world.started(), "0@w0000", "idle and still over it: one is tried");
    assert_eq!(world.codes(1), "R302", "and only one");
    world.end(0);
    assert_eq!(world.started(), "1@w0000");
}

/// Grants one task to the worker and lets it fail.
fn fail_one(world: &mut World, number: u32, tag: TaskTag) -> Name {
    world.offer(number, &shape("w", 1), Normal);
    let grants = world.place();
    assert_eq!(grants.len(), 1);
    world.dispatch.dispatched(grants[0].task_run);
    world.dispatch.ended(grants[0].task_run, Ended::Failed { task: tag }, world.now);
    grants[0].worker.name.clone()
}

#[test]
fn a_worker_that_fails_different_tasks_is_quarantined_tried_and_trusted_again() {
    let mut world = crowd(Policy::BinPack, 3, 10);
    world.offer(0, &shape("w", 5), Normal);
    assert_eq!(world.started(), "0@w0000");
    // Packing sends everything to the first.
    (1..=5).for_each(|number| assert_eq!(fail_one(&mut world, number, u64::from(number)), name("w0000")));
    world.offer(6, &shape("w", 1), Normal);
    assert_eq!(world.started(), "6@w0001", "the first is in quarantine");
    world.end(0);
    world.end(6);
    world.pass(QUARANTINE_FIRST);
    (0..3).for_each(|at| world.beat(&format!("w{at:04}"), &Load::idle()));
    (10..20).for_each(|number| world.offer(number, &shape("w", 5), Normal));
    let grants = world.place();
    let on_first: Vec<&Grant> = grants.iter().filter(|grant| grant.worker.name == name("w0000")).collect();
    assert_eq!((grants.len(), on_first.len()), (5, 1), "on trial it gets one at a time");
    let tried = on_first[0].task_run;
    world.dispatch.dispatched(tried);
    let good = Ended::Succeeded { task: 70, took: Span::from_secs(1), expected: None };
    world.dispatch.ended(tried, good, world.now);
    let more = world.place();
    assert_eq!(more.len(), 2, "trusted again");
    assert!(more.iter().all(|grant| grant.worker.name == name("w0000")));
}

#[test]
fn the_breaker_keeps_most_workers_and_one_tasks_fault_is_its_own() {
    let mut world = crowd(Policy::RoundRobin, 10, 10);
    // One bad task, retried everywhere.
    (0..200).for_each(|number| drop(fail_one(&mut world, number, 1)));
    assert_eq!(spread(&mut world, 10).len(), 10);
    // Everything fails: it is not the workers.
    (200..1000).for_each(|number| drop(fail_one(&mut world, number, u64::from(number))));
    let still = spread(&mut world, 50).len();
    assert_eq!(still, 8, "at most one in five");
}

#[test]
fn a_slow_worker_is_known_by_its_attempts() {
    let mut world = crowd(Policy::LeastLoaded, 3, 10);
    let seconds = [("w0000", 40), ("w0001", 10), ("w0002", 10)];
    for round in 0..4 {
        (0..3).for_each(|at| world.offer(10 * round + at, &shape("w", 10), Normal));
        for grant in world.place() {
            world.dispatch.dispatched(grant.task_run);
            let (_, took) = seconds.iter().find(|(text, _)| *text == grant.worker.name.as_str()).unwrap();
            let took = Span::from_secs(*took);
            let good = Ended::Succeeded { task: 1, took, expected: Some(Span::from_secs(10)) };
            world.dispatch.ended(grant.task_run, good, world.now);
        }
    }
    let slowness =
        |world: &World, text| world.dispatch.account(&worker(text, &[], 1).worker).unwrap().slowness;
    assert!(slowness(&world, "w0000") > 3.0 && slowness(&world, "w0001") == 1.0);
    let counts = spread(&mut world, 20);
    assert_eq!(counts.get(&name("w0000")), None, "the fast ones first: {counts:?}");
    assert_eq!(spread(&mut world, 5).get(&name("w0000")), Some(&5), "then the slow one");
}

#[test]
fn a_rare_resource_is_found_in_a_large_crowd() {
    let mut world = crowd(Policy::LeastLoaded, 500, 1);
    world.join(worker("rare", &["w"], 2).with_devices(&["0"]));
    let shape = Shape { requests: vec![Amounts::slots(1).with(Resource::Gpu, 1)], ..shape("w", 1) };
    (0..3).for_each(|number| world.offer(number, &shape, Normal));
    assert_eq!(world.started(), "0@rare");
    world.end(0);
    assert_eq!(world.started(), "1@rare");
}

/// Two heartbeats that say so of the host as a whole, whatever runs there.
fn measure(world: &mut World, worker: &str, metric: Metric, percent: f64) {
    let busy = Load { metrics: Metrics::ZERO.with(metric, percent), ..Load::idle() };
    (0..2).for_each(|_| world.beat(worker, &busy));
}

const BY_LOAD: [Policy; 3] = [Policy::LeastLoaded, Policy::WeightedRoundRobin, Policy::BinPack];

#[test]
fn a_host_that_is_saturated_by_measurement_gets_nothing_while_an_equal_one_has_room() {
    for policy in BY_LOAD {
        for metric in [Metric::CpuPercent, Metric::LoadPercent, Metric::PressureCpu, Metric::PressureIo] {
            let mut world = crowd(policy, 2, 10);
            measure(&mut world, "w0000", metric, 100.0);
            let counts = spread(&mut world, 10);
            assert_eq!(counts, BTreeMap::from([(name("w0001"), 10)]), "{policy:?}, {metric:?}");
            let counts = spread(&mut world, 11);
            assert_eq!(counts, BTreeMap::from([(name("w0000"), 10)]), "{policy:?}: full is worse than busy");
        }
    }
}

#[test]
fn what_was_earned_before_is_not_paid_to_a_saturated_host() {
    let mut world = crowd(Policy::WeightedRoundRobin, 2, 100);
    assert_eq!(spread(&mut world, 1).len(), 1, "the other has earned its turn");
    (0..2).for_each(|at| measure(&mut world, &format!("w{at:04}"), Metric::CpuPercent, [0.0, 100.0][at]));
    assert_eq!(spread(&mut world, 20), BTreeMap::from([(name("w0000"), 20)]));
}

#[test]
fn where_all_are_saturated_work_goes_on() {
    for policy in Policy::ALL {
        // By its own work.
        let mut world = crowd(policy, 1, 4);
        world.offer(0, &shape("w", 1), Normal);
        assert_eq!(world.started(), "0@w0000");
        measure(&mut world, "w0000", Metric::CpuPercent, 100.0);
        assert_eq!(spread(&mut world, 5).values().sum::<u32>(), 3, "{policy:?}");
    }
    let mut world = World::new(&[]);
    world.dispatch.on_group(&name("w"), config(Policy::WeightedRoundRobin), world.now);
    for (text, weight) in [("w1", 100), ("w2", 300)] {
        world.join(WorkerFacts { weight, ..worker(text, &["w"], 100) });
        measure(&mut world, text, Metric::CpuPercent, 100.0);
    }
    let counts = spread(&mut world, 40);
    assert_eq!(counts, BTreeMap::from([(name("w1"), 10), (name("w2"), 30)]), "by their weights alone");
}

#[test]
fn packing_goes_by_what_is_reserved() {
    // Up to 64 are all asked; of more, those that are packed most.
    for workers in [2, 100] {
        let mut world = crowd(Policy::BinPack, workers, 10);
        world.offer(0, &shape("w", 1), Normal);
        let started = world.started();
        let begun = started.strip_prefix("0@").unwrap();
        let others = (0..workers).map(|at| format!("w{at:04}")).filter(|other| other != begun);
        others.for_each(|other| measure(&mut world, &other, Metric::CpuPercent, 60.0));
        assert_eq!(spread(&mut world, 9), BTreeMap::from([(name(begun), 9)]), "{workers} workers");
    }
}

#[test]
fn the_one_that_is_not_saturated_is_found_in_a_large_crowd() {
    for policy in BY_LOAD {
        let mut world = crowd(policy, 200, 10);
        let others = (0..200).filter(|at| *at != 7);
        others.for_each(|at| measure(&mut world, &format!("w{at:04}"), Metric::CpuPercent, 100.0));
        assert_eq!(spread(&mut world, 10), BTreeMap::from([(name("w0007"), 10)]), "{policy:?}");
    }
}

#[test]
fn a_full_worker_gets_nothing_under_any_policy() {
    for policy in Policy::ALL {
        let mut world = crowd(policy, 2, 3);
        let counts = spread(&mut world, 10);
        assert_eq!(counts.values().sum::<u32>(), 6, "{policy:?}");
        assert!(counts.values().all(|count| *count == 3), "{policy:?}");
    }
}
