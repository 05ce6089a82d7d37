//! Whatever happens between books and a Dispatcher: capacity, order, reasons and progress hold.
//! Must not know which faults happened; the random script is the only guide.

use std::collections::{BTreeMap, BTreeSet};

use hortator_core::definition::Priority;
use hortator_core::dispatch::{
    Ended, GrantFailed, KindTag, Rank, Resource, Shape, WorkerAccount, WorkerState,
};
use hortator_core::id::TaskRunId;
use hortator_core::time::{Span, Timestamp};
use proptest::prelude::*;

use super::world::{OnGrant, World, groups, name, offer, shape, task_run, worker};

const SHARDS: u32 = 2;
const TASKS: u32 = 24;

#[derive(Clone, Debug)]
enum Step {
    Offer {
        shard: u32,
        task: u32,
        shape: usize,
        priority: Priority,
    },
    Remove {
        shard: u32,
        task: u32,
    },
    /// The `nth` held attempt ends.
    End {
        nth: usize,
        how: Ended,
    },
    /// The `nth` grant in hand is used, or refused.
    Use {
        nth: usize,
    },
    Refuse {
        nth: usize,
    },
    Join {
        nth: usize,
        slots: u64,
        gpu: bool,
    },
    Drain {
        nth: usize,
    },
    Lose {
        nth: usize,
    },
    Beat,
    /// The groups begin to age so fast, or do no more.
    Age {
        every: Option<u64>,
    },
    Speak,
    /// The `nth` frame under way in a direction.
    DeliverUp {
        nth: usize,
    },
    DeliverDown {
        nth: usize,
    },
    DropUp {
        nth: usize,
    },
    DropDown {
        nth: usize,
    },
    RepeatUp {
        nth: usize,
    },
    RepeatDown {
        nth: usize,
    },
    Wait {
        millis: u64,
    },
    NewDispatcher,
    NewEpoch {
        shard: u32,
    },
    ShardLost {
        shard: u32,
    },
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let nth = 0..8usize;
    let shard = 1..=SHARDS;
    let levels = prop_oneof![Just(Priority::High), Just(Priority::Normal), Just(Priority::Low)];
    let how = prop_oneof![
        Just(Ended::Otherwise),
        Just(Ended::Refused),
        (0..3u64).prop_map(|task| Ended::Succeeded { task, took: Span::from_secs(1), expected: None }),
        (0..3u64).prop_map(|task| Ended::Failed { task }),
    ];
    prop_oneof![
        12 => (shard.clone(), 0..TASKS, 0..4usize, levels)
            .prop_map(|(shard, task, shape, priority)| Step::Offer { shard, task, shape, priority }),
        2 => (shard.clone(), 0..TASKS).prop_map(|(shard, task)| Step::Remove { shard, task }),
        6 => (nth.clone(), how).prop_map(|(nth, how)| Step::End { nth, how }),
        6 => nth.clone().prop_map(|nth| Step::Use { nth }),
        1 => nth.clone().prop_map(|nth| Step::Refuse { nth }),
        3 => (0..5usize, 0..6u64, any::<bool>()).prop_map(|(nth, slots, gpu)| Step::Join { nth, slots, gpu }),
        1 => (0..5usize).prop_map(|nth| Step::Drain { nth }),
        1 => (0..5usize).prop_map(|nth| Step::Lose { nth }),
        3 => Just(Step::Beat),
        1 => prop::option::of(50..500u64).prop_map(|every| Step::Age { every }),
        8 => Just(Step::Speak),
        8 => Just(Step::DeliverUp { nth: 0 }),
        8 => Just(Step::DeliverDown { nth: 0 }),
        1 => nth.clone().prop_map(|nth| Step::DeliverUp { nth }),
        1 => nth.clone().prop_map(|nth| Step::DeliverDown { nth }),
        1 => nth.clone().prop_map(|nth| Step::DropUp { nth }),
        1 => nth.clone().prop_map(|nth| Step::DropDown { nth }),
        1 => nth.clone().prop_map(|nth| Step::RepeatUp { nth }),
        1 => nth.prop_map(|nth| Step::RepeatDown { nth }),
        3 => (1..400u64).prop_map(|millis| Step::Wait { millis }),
        1 => Just(Step::NewDispatcher),
        1 => shard.clone().prop_map(|shard| Step::NewEpoch { shard }),
        1 => shard.prop_map(|shard| Step::ShardLost { shard }),
        2 => Just(Step::Settle),
    ]
}

fn shapes() -> [Shape; 4] {
    [
        shape("default", KindTag::Shell, 1),
        shape("default", KindTag::Shell, 3),
        shape("gpu", KindTag::Shell, 2),
        shape("gpu", KindTag::Noop, 0),
    ]
}

fn run(world: &mut World, step: &Step) {
    let pick = |keys: Vec<TaskRunId>, nth: usize| keys.get(nth % keys.len().max(1)).copied();
    match step.clone() {
        Step::Offer { shard, task, shape, priority } => {
            world.insert(offer(shard, task, &shapes()[shape], priority));
        }
        Step::Remove { shard, task } => world.remove(task_run(shard, task)),
        Step::End { nth, how } => {
            let held = world.shards.values().flat_map(|shard| shard.held.keys().copied()).collect();
            if let Some(task_run) = pick(held, nth) {
                world.end(task_run, how);
            }
        }
        Step::Use { nth } => {
            let in_hand = world.shards.values().flat_map(|shard| shard.in_hand.keys().copied()).collect();
            if let Some(task_run) = pick(in_hand, nth) {
                world.dispatch(task_run);
            }
        }
        Step::Refuse { nth } => {
            let in_hand = world.shards.values().flat_map(|shard| shard.in_hand.keys().copied()).collect();
            if let Some(task_run) = pick(in_hand, nth) {
                let shard = world.shard(task_run.run.shard());
                let (grant, _) = shard.in_hand.remove(&task_run).expect("it was picked");
                shard.book.refuse_grant(task_run, grant.number, GrantFailed::AtWorker);
            }
        }
        Step::Join { .. } | Step::Drain { .. } | Step::Lose { .. } | Step::Beat => run_worker(world, step),
        Step::Age { every } => {
            let ageing = every.map(Span::from_millis);
            let mut configs = groups(&["default", "gpu"]);
            configs.values_mut().for_each(|config| config.ageing = ageing);
            world.exchange.on_groups(configs, world.now);
        }
        Step::Wait { millis } => world.wait(Span::from_millis(millis)),
        Step::NewDispatcher => world.new_dispatcher(),
        Step::NewEpoch { shard } => world.new_epoch(shard),
        Step::ShardLost { shard } => world.exchange.on_shard_lost(shard),
        Step::Settle => world.settle(),
        Step::Speak => {
            world.shards_speak();
            dispatcher_speaks(world);
        }
        _ => run_network(world, step),
    }
}

fn run_worker(world: &mut World, step: &Step) {
    let nth_name = |nth: usize| name(["w0", "w1", "w2", "w3", "w4"][nth]);
    match *step {
        Step::Join { nth, slots, gpu } => {
            let groups: &[&str] = if gpu { &["default", "gpu"] } else { &["default"] };
            let mut facts = worker(nth_name(nth).as_str(), slots, groups);
            // Rows of one life change in groups and slots; a lost one comes back as another life.
            facts.worker.incarnation = world.lives.get(&facts.worker.name).copied().unwrap_or(0) + 1;
            world.join(facts);
        }
        Step::Drain { nth } => {
            if let Some(mut facts) = world.workers.get(&nth_name(nth)).cloned() {
                facts.state = WorkerState::Draining { by: "li".to_owned(), since: world.now };
                world.join(facts);
            }
        }
        Step::Lose { nth } => world.lose(&nth_name(nth)),
        _ => world.beat_all(),
    }
}

fn run_network(world: &mut World, step: &Step) {
    let (up, down) = (world.to_dispatcher.len().max(1), world.to_shards.len().max(1));
    match *step {
        Step::DeliverUp { nth } => {
            if let Some(frame) = world.to_dispatcher.remove(nth % up) {
                world.deliver_to_dispatcher(frame);
            }
        }
        Step::DeliverDown { nth } => {
            if let Some(frame) = world.to_shards.remove(nth % down) {
                world.deliver_to_shard(frame);
            }
        }
        Step::DropUp { nth } => {
            world.to_dispatcher.remove(nth % up);
        }
        Step::DropDown { nth } => {
            world.to_shards.remove(nth % down);
        }
        Step::RepeatUp { nth } => {
            if let Some(frame) = world.to_dispatcher.get(nth % up).cloned() {
                world.to_dispatcher.push_back(frame);
            }
        }
        Step::RepeatDown { nth } => {
            if let Some(frame) = world.to_shards.get(nth % down).cloned() {
                world.to_shards.push_back(frame);
            }
        }
        _ => unreachable!("not of the network"),
    }
}

/// The Dispatcher speaks, and what it granted is looked at.
fn dispatcher_speaks(world: &mut World) {
    world.granted.clear();
    let accounts = |world: &World| -> Vec<(WorkerAccount, bool)> {
        let account = |facts: &hortator_core::dispatch::WorkerFacts| {
            let account = world.exchange.account(&facts.worker)?;
            let over = !account.reserved.fit(&facts.total);
            Some((account, over))
        };
        world.workers.values().filter_map(account).collect()
    };
    let before = accounts(world);
    world.dispatcher_speaks();
    for ((before, _), (after, over)) in before.iter().zip(accounts(world)) {
        // A worker may be over its capacity for outside reasons, but then it gets nothing that needs a slot.
        let more = after.reserved.get(&Resource::Slots) > before.reserved.get(&Resource::Slots);
        assert!(!over || !more, "granted over the capacity: {before:?}, {after:?}");
    }
    let mut seen = BTreeSet::new();
    for grant in &world.granted {
        assert!(seen.insert(grant.task_run), "{grant:?} is the second of its task run in one turn");
    }
}

/// Every waiting task run has a reason, from the book and, where it is shown, from the Dispatcher.
fn everyone_knows_why(world: &World) {
    for shard in world.shards.values() {
        for task_run in shard.ready.keys() {
            assert!(!shard.book.explain(*task_run).is_empty(), "{task_run:?} waits and nobody knows why");
        }
        assert_eq!(shard.book.len(), shard.ready.len(), "the book holds what is ready");
    }
}

/// Heals everything, and follows grants in order until all that fits runs.
fn everything_is_placed(world: &mut World) {
    world.on_grant = OnGrant::Dispatch;
    world.to_dispatcher.clear();
    world.to_shards.clear();
    for shard in world.shards.values_mut() {
        let in_hand = std::mem::take(&mut shard.in_hand);
        in_hand.into_values().for_each(|(grant, _)| {
            shard.book.refuse_grant(grant.task_run, grant.number, GrantFailed::AtShard)
        });
    }
    let mut big = worker("big", 1000, &["default", "gpu"]);
    big.worker.incarnation = 1;
    world.join(big);
    // Longer than any overdue answer and any grant.
    for _ in 0..40 {
        world.beat_all();
        world.settle();
        world.wait(Span::from_millis(500));
    }
    world.beat_all();
    world.settle();
    for shard in world.shards.values() {
        assert!(shard.ready.is_empty(), "still waiting: {:?}", shard.ready.keys());
    }
    let counts = world.exchange.counts_now();
    assert_eq!((counts.waiting, counts.granted), (0, 0), "the Dispatcher thinks that something waits");
    for facts in world.workers.values() {
        let account = world.exchange.account(&facts.worker).expect("it is in");
        let reserved = account.reserved.get(&Resource::Slots);
        assert_eq!(reserved, world.held_on(&facts.worker), "held on {}", facts.worker.name);
    }
}

/// Whether the first comes after the second: run priority, run, task priority, activation.
fn after(one: (Rank, TaskRunId), other: (Rank, TaskRunId)) -> bool {
    let key = |(rank, task_run): (Rank, TaskRunId)| {
        (rank.run_priority, rank.run_created, task_run.run, rank.task_priority, rank.activation)
    };
    key(one) > key(other)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_or_over_capacity(steps in prop::collection::vec(step(), 1..250)) {
        let mut world = World::new(SHARDS);
        world.on_grant = OnGrant::Keep;
        for step in &steps {
            run(&mut world, step);
            everyone_knows_why(&world);
        }
        everything_is_placed(&mut world);
    }

    /// With frames that arrive and room that shrinks and grows, the waiting rest of a shape never comes before what
    /// runs: strict priority, seen from outside.
    #[test]
    fn strict_priority_within_a_shape(
        offers in prop::collection::vec((1..=SHARDS, 0..4usize, 0..3usize), 1..60),
        slots in prop::collection::vec(0..9u64, 1..4),
    ) {
        let mut world = World::new(SHARDS);
        let levels = [Priority::High, Priority::Normal, Priority::Low];
        for (task, (shard, shape, level)) in offers.iter().enumerate() {
            world.insert(offer(*shard, task as u32, &shapes()[*shape], levels[*level]));
        }
        let ranks: BTreeMap<TaskRunId, ((Rank, TaskRunId), Shape)> = world.shards.values()
            .flat_map(|shard| shard.ready.values())
            .map(|offer| (offer.task_run, ((offer.rank, offer.task_run), (*offer.shape).clone())))
            .collect();
        world.settle();
        for (nth, slots) in slots.iter().enumerate() {
            world.join(worker(["w0", "w1", "w2"][nth], *slots, &["default", "gpu"]));
        }
        world.beat_all();
        world.settle();
        for shard in world.shards.values() {
            for waiting in shard.ready.values() {
                let run_before = ranks.iter().any(|(task_run, (place, shape))| {
                    let runs = world.shards.values().any(|shard| shard.held.contains_key(task_run));
                    runs && *shape == *waiting.shape && after(*place, (waiting.rank, waiting.task_run))
                });
                prop_assert!(!run_before, "{waiting:?} was overtaken");
                prop_assert!(waiting.shape.requests[0].get(&Resource::Slots) > 0, "what needs nothing waits");
            }
        }
        let now: Timestamp = world.now;
        prop_assert!(world.shards.values().all(|shard| !shard.book.round_is_open()), "a round is open at {now}");
    }
}
