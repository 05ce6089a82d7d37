//! Resources, labels, zones, quotas: what fits where, and what is said when it does not.

use std::collections::BTreeMap;

use hortator_core::definition::Priority::{Low, Normal};
use hortator_core::dispatch::*;
use hortator_core::id::Name;
use hortator_core::reason::{Dimension, Reason};
use hortator_core::time::Span;

use crate::world::{World, name, shape, task_run, worker};

fn asks(requests: &[Amounts]) -> Shape {
    Shape { requests: requests.to_vec(), ..shape("w", 1) }
}

fn slot() -> Amounts {
    Amounts::slots(1)
}

fn licence(amount: u64) -> Amounts {
    slot().with(Resource::Named(name("licence")), amount)
}

#[test]
fn every_resource_counts_and_comes_back() {
    let resources = [
        (Resource::Cpu, 500, Dimension::Cpu),
        (Resource::Memory, 2048, Dimension::Memory),
        (Resource::Disk, 100, Dimension::Disk),
        (Resource::Gpu, 1, Dimension::Gpu),
        (Resource::Named(name("licence")), 3, Dimension::Named(name("licence"))),
    ];
    for (resource, amount, dimension) in resources {
        let mut world = World::new(&["w"]);
        let mut facts = worker("w1", &["w"], 10);
        facts.total = facts.total.with(resource.clone(), 2 * amount + amount / 2);
        world.join(facts);
        let shape = asks(&[slot().with(resource, amount)]);
        (1..=3).for_each(|number| world.offer(number, &shape, Normal));
        assert_eq!(world.started(), "1@w1 2@w1");
        let reasons = world.dispatch.explain(task_run(3));
        let [Reason::NoCapacity { total: 1, workers, .. }] = reasons.as_slice() else {
            panic!("{reasons:?}")
        };
        let short = &workers[0];
        let sides = (short.dimension.clone(), short.free, short.needed);
        assert_eq!(sides, (dimension, amount / 2, amount), "both sides");
        world.end(1);
        assert_eq!(world.started(), "3@w1");
    }
}

#[test]
fn alternatives_in_their_order() {
    let mut world = World::new(&["w"]);
    let mut one = worker("w1", &["w"], 8).with_devices(&["gpu-a"]);
    one.total = one.total.with(Resource::Cpu, 32_000);
    world.join(one);
    let shape =
        asks(&[slot().with(Resource::Gpu, 1).with(Resource::Cpu, 4_000), slot().with(Resource::Cpu, 16_000)]);
    (1..=3).for_each(|number| world.offer(number, &shape, Normal));
    let grants = world.place();
    let chosen: Vec<(u8, &[String])> =
        grants.iter().map(|grant| (grant.request, grant.devices.as_slice())).collect();
    assert_eq!(chosen, [(0, &["gpu-a".to_owned()][..]), (1, &[][..])], "28 of 32 cores, then 12 are left");
    let help = world.dispatch.explain(task_run(3))[0].help();
    assert!(help.contains("1 gpu"), "the nearest alternative: {help}");
}

#[test]
fn devices_are_named_and_never_given_twice() {
    let mut world = World::new(&["w"]);
    world.join(worker("w1", &["w"], 8).with_devices(&["0", "1", "2"]));
    let (one, two) = (asks(&[slot().with(Resource::Gpu, 1)]), asks(&[slot().with(Resource::Gpu, 2)]));
    world.offer(1, &one, Normal);
    world.offer(2, &two, Normal);
    world.offer(3, &one, Normal);
    let grants = world.place();
    let devices: Vec<String> = grants.iter().map(|grant| grant.devices.join("+")).collect();
    assert_eq!(devices, ["0", "1+2"]);
    grants.iter().for_each(|grant| world.dispatch.dispatched(grant.task_run));
    world.end(1);
    assert_eq!(world.place()[0].devices, ["0"]);
}

#[test]
fn a_new_dispatcher_learns_what_is_held() {
    let mut world = World::new(&["w"]);
    world.join(worker("w1", &["w"], 4).with_devices(&["0", "1"]));
    let held = HoldFacts {
        task_run: task_run(9),
        worker: worker("w1", &["w"], 4).worker,
        namespace: name("retail"),
        amounts: slot().with(Resource::Gpu, 1),
        devices: vec!["0".to_owned()],
    };
    world.dispatch.on_hold(&held);
    world.dispatch.on_hold(&held);
    world.offer(1, &asks(&[slot().with(Resource::Gpu, 1)]), Normal);
    assert_eq!(world.place()[0].devices, ["1"]);
    world.end(9);
    let account = world.dispatch.account(&held.worker).unwrap();
    assert_eq!((account.held, account.granted), (0, 1));
    assert_eq!(account.reserved, slot().with(Resource::Gpu, 1));
}

/// Shards may know of an attempt on a worker whose row has not come to the Dispatcher's master.
#[test]
fn what_is_held_of_a_worker_that_comes_in_later() {
    let mut world = World::new(&["w"]);
    let facts = worker("w1", &["w"], 4).with_devices(&["0", "1"]);
    let held = |number, device: &str| HoldFacts {
        task_run: task_run(number),
        worker: facts.worker.clone(),
        namespace: name("retail"),
        amounts: slot().with(Resource::Gpu, 1),
        devices: vec![device.to_owned()],
    };
    world.dispatch.on_hold(&held(8, "1"));
    world.dispatch.on_hold(&held(9, "0"));
    world.end(8);
    world.join(facts.clone());
    world.offer(1, &asks(&[slot().with(Resource::Gpu, 1)]), Normal);
    assert_eq!(world.place()[0].devices, ["1"]);
    world.offer(2, &asks(&[slot().with(Resource::Gpu, 1)]), Normal);
    assert_eq!(world.started(), "");
    world.end(9);
    assert_eq!(world.place()[0].devices, ["0"]);
}

#[test]
fn more_than_any_worker_has() {
    let mut world = World::new(&["w"]);
    world.join(worker("w1", &["w"], 4));
    world.offer(1, &asks(&[licence(2)]), Normal);
    world.offer(2, &shape("w", 5), Normal);
    assert_eq!(world.started(), "");
    let lacks = |number| world.dispatch.explain(task_run(number))[0].text();
    assert!(lacks(1).contains("w1 has 0 of 0 licence free, 2 needed"), "{}", lacks(1));
    assert!(lacks(2).contains("w1 has 4 of 4 slots free, 5 needed"), "{}", lacks(2));
}

#[test]
fn labels_require_prefer_and_spread() {
    let mut world = World::new(&["w"]);
    for (text, disk, rack) in [("w1", "ssd", "a"), ("w2", "hdd", "a"), ("w3", "ssd", "b"), ("w4", "hdd", "b")]
    {
        let mut facts = worker(text, &["w"], 20);
        facts.labels = BTreeMap::from([(name("disk"), disk.to_owned()), (name("rack"), rack.to_owned())]);
        world.join(facts);
    }
    let is = |key: &str, value: &str| LabelTest::Is { key: name(key), values: vec![value.to_owned()] };
    let with = |rules: Vec<LabelRule>| Shape { labels: rules, ..shape("w", 1) };
    let chosen = |world: &mut World, shape: &Shape, first: u32, count: u32| -> Vec<Name> {
        (first..first + count).for_each(|number| world.offer(number, shape, Normal));
        let mut names: Vec<Name> = world.place().into_iter().map(|grant| grant.worker.name).collect();
        names.sort();
        names
    };
    let hdd = with(vec![LabelRule::Require(is("disk", "hdd"))]);
    assert_eq!(chosen(&mut world, &hdd, 10, 2), [name("w2"), name("w4")]);
    let b = with(vec![LabelRule::Prefer { test: is("rack", "b"), weight: 100 }]);
    assert_eq!(chosen(&mut world, &b, 20, 2), [name("w3"), name("w4")], "then the other of them");
    let spread = with(vec![LabelRule::Spread { key: name("rack") }, LabelRule::Require(is("disk", "ssd"))]);
    assert_eq!(chosen(&mut world, &spread, 30, 6), ["w1", "w1", "w1", "w3", "w3", "w3"].map(name));
    let nowhere = with(vec![LabelRule::Require(is("disk", "tape"))]);
    world.offer(40, &nowhere, Normal);
    assert_eq!(world.placed(), "");
    let reason = world.dispatch.explain(task_run(40)).remove(0);
    assert!(reason.text().contains("label disk = tape: w1 has disk = ssd"), "{}", reason.text());
}

#[test]
fn a_zone_is_insisted_on_for_a_while() {
    let mut world = World::new(&["w"]);
    for (text, zone) in [("w1", "eu"), ("w2", "us")] {
        world.join(WorkerFacts { zone: Some(zone.to_owned()), ..worker(text, &["w"], 1) });
    }
    let near = ZoneWish::Near { zone: "eu".to_owned(), wait: Span::from_secs(1) };
    let shape = Shape { zone: near, ..shape("w", 1) };
    (1..=3).for_each(|number| world.offer(number, &shape, Normal));
    assert_eq!(world.started(), "1@w1");
    assert_eq!(world.codes(2), "R301 R308");
    world.pass(Span::from_millis(999));
    assert_eq!(world.started(), "");
    let outcome = world.dispatch.what_if(task_run(2), &Change { any_zone: true, ..Change::default() });
    assert_eq!(outcome, Some(Outcome::Starts { worker: name("w2") }));
    world.pass(Span::from_millis(1));
    assert_eq!(world.started(), "2@w2", "another will do now");
    world.end(1);
    assert_eq!(world.started(), "3@w1", "and when its own has room, it is insisted on again");
    world.end(2);
    world.offer(4, &shape, Normal);
    assert_eq!(world.started(), "");
    assert_eq!(world.codes(4), "R301 R308");
}

#[test]
fn quotas_hold_back_one_namespace_and_wake_it() {
    let mut world = World::new(&["w", "v"]);
    world.join(worker("w1", &["w", "v"], 10));
    world.dispatch.on_quota(&name("retail"), Quota::from([(Resource::Slots, 2)]));
    (1..=3).for_each(|number| world.offer(number, &shape("w", 1), Normal));
    let other = Shape { namespace: name("bank"), ..shape("w", 1) };
    world.offer(4, &other, Low);
    world.offer(5, &shape("v", 1), Low);
    assert_eq!(world.started(), "1@w1 2@w1 4@w1");
    assert_eq!((world.codes(3).as_str(), world.codes(5).as_str()), ("R203", "R203"));
    let Reason::Quota { scope, used, max, .. } = world.dispatch.explain(task_run(3)).remove(0) else {
        panic!("a quota")
    };
    assert_eq!((scope.as_str(), used, max), ("namespace \"retail\"", 2, 2));
    assert_eq!(world.dispatch.quota_used(&name("retail")), Amounts::slots(2));
    world.end(1);
    assert_eq!(world.started(), "3@w1");
    world.dispatch.on_quota(&name("retail"), Quota::from([(Resource::Slots, 3)]));
    assert_eq!(world.started(), "5@w1");
}

#[test]
fn an_alternative_that_the_quota_allows() {
    let mut world = World::new(&["w"]);
    world.join(worker("w1", &["w"], 10).with_devices(&["0", "1"]));
    world.dispatch.on_quota(&name("retail"), Quota::from([(Resource::Gpu, 1)]));
    let shape = asks(&[slot().with(Resource::Gpu, 1), Amounts::slots(4)]);
    (1..=4).for_each(|number| world.offer(number, &shape, Normal));
    let requests: Vec<u8> = world.place().iter().map(|grant| grant.request).collect();
    assert_eq!(requests, [0, 1, 1]);
    assert_eq!(world.codes(4), "R203", "a gpu is there, and only the quota is in the way");
}
