//! Which devices are in use: those that shards say, whatever was granted.

use std::collections::BTreeMap;
use std::sync::Arc;

use hortator_core::definition::Priority;
use hortator_core::dispatch::stream::{
    DispatcherItem, DispatcherTerm, Exchange, ExchangeConfig, FrameTaken, Held, ListState, OfferFrame,
    OfferItem, StreamId,
};
use hortator_core::dispatch::{Amounts, Chance, Ended, KindTag, Load, Resource, Shape};
use hortator_core::time::Timestamp;

use crate::world::{groups, offer, shape, task_run, worker};

const SHARD: u32 = 1;
const TERM: DispatcherTerm = DispatcherTerm(1);
const NOW: Timestamp = Timestamp(1_000_000);

/// What shards say, and then one more task run that asks for a device.
fn check(what: &str, said: Vec<OfferItem>, expected: &[(u32, &str)]) {
    let mut exchange = Exchange::new(TERM, 1, ExchangeConfig::default(), Chance::new(1), NOW);
    exchange.on_groups(groups(&["w"]), NOW);
    let facts = worker("w1", 4, &["w"]).with_devices(&["0", "1"]);
    exchange.on_worker(facts.clone(), NOW);
    exchange.on_heartbeat(&facts.worker, &Load::idle(), NOW);
    let stream = StreamId { shard: SHARD, shard_term: 1, epoch: 1, dispatcher_term: TERM };
    let mut granted = BTreeMap::new();
    for (number, items) in (1..).zip([vec![shown(1)], said, vec![shown(9)]]) {
        let list = if number == 1 { ListState::Whole } else { ListState::Delta };
        let taken = exchange.on_offer_frame(OfferFrame { stream, number, list, items }, NOW);
        assert_eq!(taken, FrameTaken::Yes, "{what}");
        exchange.place(NOW, 10);
        let said = exchange.poll_frames(100).into_iter().flat_map(|frame| frame.items);
        granted.extend(said.filter_map(|item| match item {
            DispatcherItem::Grant(grant) => Some((grant.task_run.key.task, grant.devices)),
            _ => None,
        }));
    }
    let expected = expected.iter().map(|(task, device)| (*task, vec![(*device).to_owned()]));
    assert_eq!(granted, expected.collect(), "{what}");
}

fn asks() -> Shape {
    let requests = vec![Amounts::slots(1).with(Resource::Gpu, 1)];
    Shape { requests, ..shape("w", KindTag::Shell, 1) }
}

fn shown(task: u32) -> OfferItem {
    OfferItem::Offer(offer(SHARD, task, &asks(), Priority::Normal))
}

fn dispatched(task: u32, device: &str) -> OfferItem {
    let worker = worker("w1", 4, &["w"]).worker;
    let held = Held { worker, shape: Arc::new(asks()), request: 0, devices: vec![device.to_owned()] };
    OfferItem::Dispatched { task_run: task_run(SHARD, task), held }
}

fn refused(task: u32) -> OfferItem {
    OfferItem::Ended { task_run: task_run(SHARD, task), how: Ended::Otherwise }
}

/// A shard may have used an earlier grant of the same worker, which named another device.
#[test]
fn an_attempt_holds_the_devices_that_its_shard_names() {
    check("as granted", vec![dispatched(1, "0")], &[(1, "0"), (9, "1")]);
    check("as granted before", vec![dispatched(1, "1")], &[(1, "0"), (9, "0")]);
}

/// Two Dispatchers may have granted the same; the worker refuses one of the attempts.
#[test]
fn a_device_that_two_attempts_hold_is_free_when_both_are_over() {
    let both = || vec![dispatched(1, "0"), dispatched(2, "0")];
    check("one holds it", [both(), vec![refused(2)]].concat(), &[(1, "0"), (9, "1")]);
    check("the other holds it", [both(), vec![refused(1)]].concat(), &[(1, "0"), (9, "1")]);
    check("nobody holds it", [both(), vec![refused(1), refused(2)]].concat(), &[(1, "0"), (9, "0")]);
}
