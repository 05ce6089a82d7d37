//! Which devices are in use: those that shards say, whatever was granted.

use std::collections::BTreeMap;
use std::sync::Arc;

use hortator_core::definition::Priority;
use hortator_core::dispatch::stream::{
    DispatcherItem, DispatcherTerm, Exchange, ExchangeConfig, FrameTaken, Held, ListState, OfferFrame,
    OfferItem, StreamId,
};
use hortator_core::dispatch::{Amounts, Chance, KindTag, Load, Resource};
use hortator_core::time::Timestamp;

use crate::world::{groups, offer, shape, task_run, worker};

const SHARD: u32 = 1;
const TERM: DispatcherTerm = DispatcherTerm(1);
const NOW: Timestamp = Timestamp(1_000_000);

/// A shard may have used an earlier grant of the same worker, which named another device.
#[test]
fn an_attempt_holds_the_devices_that_its_shard_names() {
    for (used, free) in [("0", "1"), ("1", "0")] {
        let mut exchange = Exchange::new(TERM, 1, ExchangeConfig::default(), Chance::new(1), NOW);
        exchange.on_groups(groups(&["w"]), NOW);
        let facts = worker("w1", 4, &["w"]).with_devices(&["0", "1"]);
        exchange.on_worker(facts.clone(), NOW);
        exchange.on_heartbeat(&facts.worker, &Load::idle(), NOW);
        let asks = vec![Amounts::slots(1).with(Resource::Gpu, 1)];
        let shape = hortator_core::dispatch::Shape { requests: asks, ..shape("w", KindTag::Shell, 1) };
        let shown = |task| OfferItem::Offer(offer(SHARD, task, &shape, Priority::Normal));
        let stream = StreamId { shard: SHARD, shard_term: 1, epoch: 1, dispatcher_term: TERM };
        let mut granted = BTreeMap::new();
        let held = Held {
            worker: facts.worker.clone(),
            shape: Arc::new(shape.clone()),
            request: 0,
            devices: vec![used.to_owned()],
        };
        let dispatched = OfferItem::Dispatched { task_run: task_run(SHARD, 1), held };
        for (number, list, items) in
            [(1, ListState::Whole, vec![shown(1)]), (2, ListState::Delta, vec![dispatched, shown(2)])]
        {
            let taken = exchange.on_offer_frame(OfferFrame { stream, number, list, items }, NOW);
            assert_eq!(taken, FrameTaken::Yes);
            exchange.place(NOW, 10);
            let said = exchange.poll_frames(100).into_iter().flat_map(|frame| frame.items);
            granted.extend(said.filter_map(|item| match item {
                DispatcherItem::Grant(grant) => Some((grant.task_run.key.task, grant.devices)),
                _ => None,
            }));
        }
        let expected = BTreeMap::from([(1, vec!["0".to_owned()]), (2, vec![free.to_owned()])]);
        assert_eq!(granted, expected, "device {used} is used");
    }
}
