//! Ageing over the streams: what has waited long has its turn, though there is always something more important.

use std::collections::BTreeMap;
use std::sync::Arc;

use hortator_core::definition::Priority;
use hortator_core::dispatch::{Ended, GrantFailed, GroupConfig, KindTag, Offer, Rank};
use hortator_core::id::{RunId, TaskKey, TaskRunId};
use hortator_core::time::{Span, Timestamp};
use proptest::prelude::*;

use super::world::{OnGrant, World, groups, name, shape, worker};

const LEVELS: [Priority; 5] =
    [Priority::Highest, Priority::High, Priority::Normal, Priority::Low, Priority::Lowest];

/// Of a run of its own, the later the higher its number; ready since now by its shard's clock.
fn offer(world: &World, shard: u32, number: u32, run_priority: Priority) -> Offer {
    let run = RunId::new(1_000 + u64::from(number), shard, 0);
    let task_run = TaskRunId { run, key: TaskKey { task: number, item: 0 } };
    let run_created = Timestamp(i64::from(number));
    let task_priority = Priority::Normal;
    let rank = Rank { run_priority, run_created, task_priority, remaining: Span::ZERO, activation: 1 };
    let shape = Arc::new(shape("default", KindTag::Shell, 1));
    Offer { task_run, shape, rank, since: world.shards_now() }
}

fn set_ageing(world: &mut World, ageing: Option<Span>) {
    let mut configs = groups(&["default"]);
    configs.values_mut().for_each(|config| *config = GroupConfig { ageing, ..*config });
    world.exchange.on_groups(configs, world.now);
}

/// What happens before the step of that number.
type Events = &'static [(u32, Event)];

#[derive(Clone, Copy)]
enum Event {
    Ages(u64),
    AgesNot,
    /// Under which the group ages so fast, or not.
    NewDispatcher(Option<u64>),
    NewEpoch,
    /// What the Dispatcher says next is lost.
    LosesItsWord,
}

impl Event {
    fn happens(self, world: &mut World) {
        match self {
            Event::Ages(seconds) => set_ageing(world, Some(Span::from_secs(seconds))),
            Event::AgesNot => set_ageing(world, None),
            Event::NewDispatcher(seconds) => {
                world.new_dispatcher();
                set_ageing(world, seconds.map(Span::from_secs));
            }
            Event::NewEpoch => world.new_epoch(1),
            Event::LosesItsWord => {
                world.shards_speak();
                let frames: Vec<_> = world.to_dispatcher.drain(..).collect();
                frames.into_iter().for_each(|frame| world.deliver_to_dispatcher(frame));
                world.dispatcher_speaks();
                world.to_shards.clear();
            }
        }
    }
}

const STEPS: u32 = 60;
const HIGHS_WAITING: u32 = 3;

/// One of the lowest priority waits from the first step on, for one slot that is free for a moment each second; some of
/// high priority always wait there too. The step in which it starts.
fn starts_at(shards_ahead: i64, events: Events) -> Option<u32> {
    let mut world = World { shards_ahead, ..World::new(2) };
    set_ageing(&mut world, None);
    world.settle();
    world.join(worker("w", 1, &["default"]));
    let mut number = 100;
    let lowest = offer(&world, 1, number, Priority::Lowest);
    let mut idle = 0;
    for step in 0..STEPS {
        let due = events.iter().filter(|(at, _)| *at == step);
        due.for_each(|(_, event)| event.happens(&mut world));
        let waiting =
            |world: &World| world.shards.values().map(|shard| shard.ready.len() as u32).sum::<u32>();
        while waiting(&world) < HIGHS_WAITING {
            number += 1;
            let high = offer(&world, 1 + number % 2, number, Priority::High);
            world.insert(high);
        }
        if step == 0 {
            world.insert(lowest.clone());
        }
        world.beat_all();
        world.settle();
        if world.shard(1).held.contains_key(&lowest.task_run) {
            return Some(step);
        }
        idle += u32::from(world.shards.values().all(|shard| shard.held.is_empty()));
        assert!(idle < 3, "nothing is started for {idle} steps");
        world.wait(Span::from_secs(1));
        world.settle();
        let held: Vec<TaskRunId> =
            world.shards.values().flat_map(|shard| shard.held.keys().copied()).collect();
        held.into_iter().for_each(|task_run| world.end(task_run, Ended::Otherwise));
    }
    None
}

#[test]
fn a_steady_supply_of_more_important_work_hides_nobody_for_ever() {
    use Event::{Ages, AgesNot, LosesItsWord, NewDispatcher, NewEpoch};
    // After three levels it is of high priority too, and its run is the first of those.
    let cases: &[(&str, Events, Option<u32>)] = &[
        ("never", &[], None),
        ("from the beginning", &[(0, Ages(4))], Some(12)),
        (
            "its age counts from when it was ready; the shard hears of it too late for that step",
            &[(30, Ages(4))],
            Some(31),
        ),
        ("slower, then faster", &[(0, Ages(10)), (20, Ages(7))], Some(21)),
        ("no longer", &[(0, Ages(4)), (11, AgesNot)], None),
        ("another Dispatcher", &[(0, Ages(4)), (10, NewDispatcher(Some(4)))], Some(12)),
        ("another Dispatcher that ages nothing", &[(0, Ages(4)), (10, NewDispatcher(None))], None),
        ("another epoch", &[(0, Ages(4)), (10, NewEpoch)], Some(12)),
        ("a lost word", &[(0, Ages(4)), (1, LosesItsWord), (2, LosesItsWord)], Some(12)),
    ];
    for (case, events, expected) in cases {
        assert_eq!(starts_at(0, events), *expected, "{case}");
    }
    // By the Dispatcher's clock all was ready earlier or later than it was; so the others rise too, or later.
    assert_eq!(starts_at(-5_000_000, &[(0, Ages(4))]), Some(11), "the shards' clocks are slow");
    assert_eq!(starts_at(5_000_000, &[(0, Ages(4))]), Some(17), "the shards' clocks are fast");
}

#[test]
fn one_that_rises_while_it_is_granted_goes_back_to_its_new_place() {
    let mut world = World::new(1);
    world.on_grant = OnGrant::Keep;
    set_ageing(&mut world, Some(Span::from_secs(1)));
    let (first, second) = (offer(&world, 1, 1, Priority::Low), offer(&world, 1, 2, Priority::Low));
    [&first, &second].into_iter().for_each(|offer| world.insert(offer.clone()));
    world.settle();
    world.wait(Span::from_millis(900));
    world.join(worker("w", 1, &["default"]));
    world.beat_all();
    world.settle();
    world.wait(Span::from_millis(200));
    world.settle();
    let (grant, _) = world.shard(1).in_hand.remove(&first.task_run).expect("it was granted");
    world.shard(1).book.refuse_grant(grant.task_run, grant.number, GrantFailed::AtShard);
    world.settle();
    let granted: Vec<TaskRunId> = world.granted.iter().map(|grant| grant.task_run).collect();
    assert_eq!(granted, [first.task_run, first.task_run], "and not the second, which has risen too");
}

/// More wait than the first credits show, so there is a horizon.
#[test]
fn what_has_risen_is_forgotten_for_a_dispatcher_that_ages_nothing() {
    let mut world = World::new(1);
    set_ageing(&mut world, Some(Span::from_secs(1)));
    let many: Vec<Offer> = (1..100).map(|number| offer(&world, 1, number, Priority::Low)).collect();
    many.iter().for_each(|offer| world.insert(offer.clone()));
    world.settle();
    world.wait(Span::from_secs(3));
    world.settle();
    world.new_dispatcher();
    set_ageing(&mut world, None);
    world.settle();
    world.join(worker("w", 1, &["default"]));
    world.beat_all();
    world.settle();
    let granted: Vec<TaskRunId> = world.granted.iter().map(|grant| grant.task_run).collect();
    assert_eq!(granted, [many[0].task_run]);
}

/// Whether the shard has more to do without another word.
fn is_due(world: &mut World) -> bool {
    let now = world.shards_now();
    world.shard(1).book.next_deadline().is_some_and(|due| due <= now)
}

/// How many turns the shard takes until nothing is due; then all is delivered.
fn turns(world: &mut World) -> usize {
    world.dispatcher_speaks();
    while let Some(frame) = world.to_shards.pop_front() {
        world.deliver_to_shard(frame);
    }
    let mut turns = 0;
    while turns == 0 || is_due(world) {
        world.shards_speak();
        turns += 1;
    }
    world.settle();
    turns
}

/// More than one turn lets rise or fall: the rest does so in turns that are due at once, and then all is as if it had
/// been one.
#[test]
fn a_large_book_rises_and_falls_in_several_turns() {
    let mut world = World::new(1);
    set_ageing(&mut world, None);
    // By their ids the last ones hear of it last, and they come first.
    let many: Vec<Offer> = (1..20_000)
        .map(|number| {
            let offer = offer(&world, 1, number, Priority::Low);
            Offer { rank: Rank { run_created: Timestamp(20_000 - i64::from(number)), ..offer.rank }, ..offer }
        })
        .collect();
    many.iter().for_each(|offer| world.insert(offer.clone()));
    let high = offer(&world, 1, 30_000, Priority::High);
    world.insert(high.clone());
    world.settle();
    assert_eq!(turns(&mut world), 1);
    world.wait(Span::from_secs(3));
    set_ageing(&mut world, Some(Span::from_secs(1)));
    assert_eq!(turns(&mut world), 5, "of 4,096 each");
    world.join(worker("w", 1, &["default"]));
    world.beat_all();
    world.settle();
    world.new_dispatcher();
    set_ageing(&mut world, None);
    assert_eq!(turns(&mut world), 5, "of 4,096 each");
    world.join(worker("w2", 1, &["default"]));
    world.beat_all();
    world.settle();
    let granted: Vec<TaskRunId> = world.granted.iter().map(|grant| grant.task_run).collect();
    assert_eq!(granted, [many.last().expect("there are some").task_run, high.task_run]);
}

/// As of `now`; less goes first.
fn turn(offer: &Offer, ageing: Span, now: Timestamp) -> (usize, Timestamp, TaskRunId) {
    let asked = LEVELS.iter().position(|level| *level == offer.rank.run_priority).expect("it is one of them");
    let lifts = now.since(offer.since).0 / ageing.0;
    (asked.saturating_sub(lifts as usize), offer.rank.run_created, offer.task_run)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever rises while it is hidden, shown or parked, and whenever the group begins to age: nothing that waits
    /// comes before what was started in the same moment, and there is no slot that nobody takes.
    #[test]
    fn strict_order_by_age(
        offers in prop::collection::vec((1..=2u32, 0..5usize, 0..4u64), 1..90),
        ages_after in 0..60usize,
        slots in prop::collection::vec((1..9u64, 0..5_000u64), 1..6),
        shards_ahead in -9_000_000..9_000_000i64,
    ) {
        let ageing = Span::from_secs(3);
        let mut world = World { shards_ahead, ..World::new(2) };
        set_ageing(&mut world, None);
        world.settle();
        let mut all = BTreeMap::new();
        for (nth, (shard, level, pause)) in offers.iter().enumerate() {
            if nth == ages_after {
                set_ageing(&mut world, Some(ageing));
                world.settle();
            }
            // The later ones come first among equals.
            let offer = offer(&world, *shard, 1_000 - nth as u32, LEVELS[*level]);
            all.insert(offer.task_run, offer.clone());
            world.insert(offer);
            world.settle();
            world.wait(Span::from_millis(pause * 200));
        }
        set_ageing(&mut world, Some(ageing));
        world.settle();
        for (nth, (slots, pause)) in slots.iter().enumerate() {
            world.wait(Span::from_millis(*pause));
            world.settle();
            let before: Vec<TaskRunId> = world.shards.values().flat_map(|shard| shard.held.keys().copied()).collect();
            world.join(worker(["w0", "w1", "w2", "w3", "w4"][nth], *slots, &["default"]));
            world.beat(&name(["w0", "w1", "w2", "w3", "w4"][nth]));
            world.settle();
            let held = world.shards.values().flat_map(|shard| shard.held.keys());
            let started: Vec<&Offer> = held.filter(|held| !before.contains(held)).map(|held| &all[held]).collect();
            let waiting: Vec<&Offer> = world.shards.values().flat_map(|shard| shard.ready.values()).collect();
            let place = |offer: &&&Offer| turn(offer, ageing, world.now);
            prop_assert!(started.len() as u64 == *slots || waiting.is_empty(), "a slot is free");
            if let (Some(last), Some(first)) = (started.iter().max_by_key(place), waiting.iter().min_by_key(place)) {
                prop_assert!(place(&last) < place(&first), "{first:?} was overtaken by {last:?}");
            }
        }
    }
}
