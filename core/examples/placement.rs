//! How fast placement is, by hand: `cargo run --release -p hortator-core --example placement`.
//! Prints grants per second of one thread for a few sizes, alone and with a book and frames around it.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use hortator_core::definition::Priority;
use hortator_core::id::{Name, RunId, TaskKey, TaskRunId, WorkerRef};
use hortator_core::placement::{
    DispatcherFrame, DispatcherItem, EndedHow, FRAME_ITEMS_MAX, KindTag, ListState, Load, Offer, OfferBook,
    OfferFrame, OfferItem, Placement, PlacementConfig, Rank, Shape, StreamId, WorkerFacts, WorkerState,
};
use hortator_core::time::{Span, Timestamp};

const NOW: Timestamp = Timestamp(1_000_000);

fn main() {
    println!("{:<58}{:>12}", "", "grants/s");
    for (workers, offers) in [(100, 100_000), (1_000, 100_000), (100, 1_000)] {
        let text = format!("place() alone, {offers} offers, {workers} workers with room");
        report(&text, place_alone(workers, offers));
    }
    for (workers, slots) in [(100, 1), (100, 4), (1_000, 4)] {
        let text = format!("full cluster, {workers} workers, tasks of {slots} slots, with frames");
        report(&text, full_cluster(workers, slots, 100_000));
    }
}

fn report(text: &str, (grants, took): (usize, Duration)) {
    println!("{text:<58}{:>12.0}", grants as f64 / took.as_secs_f64());
}

/// Everything is shown and fits.
fn place_alone(workers: u32, offers: u32) -> (usize, Duration) {
    let mut placement = dispatcher(workers, offers / workers + 1);
    let stream = StreamId { shard: 1, shard_term: 1, epoch: 1, dispatcher_term: 1 };
    let shape = shape(1);
    let items = (0..offers).map(|task| OfferItem::Offer(offer(task, &shape))).collect();
    placement.on_offer_frame(OfferFrame { stream, number: 1, list: ListState::Whole, items }, NOW);
    let begin = Instant::now();
    let mut granted = 0;
    loop {
        let more = placement.place(NOW, 1000);
        granted += more;
        if more == 0 {
            break;
        }
    }
    let took = begin.elapsed();
    assert_eq!(granted, offers as usize);
    (granted, took)
}

/// All slots are taken; each end makes room for the next, through a book and frames.
fn full_cluster(workers: u32, slots: u32, tasks: u32) -> (usize, Duration) {
    let mut placement = dispatcher(workers, 8);
    let mut book = OfferBook::new(1, 1, 1);
    book.on_dispatcher(1);
    let shape = shape(slots);
    (0..tasks).for_each(|task| book.insert(offer(task, &shape)));
    let mut running: Vec<TaskRunId> = Vec::new();
    let (mut granted, mut turn) = (0, 0usize);
    let begin = Instant::now();
    while granted < tasks as usize {
        // A tenth of what runs ends, in an order that is neither oldest nor newest.
        for _ in 0..running.len().div_ceil(10) {
            turn = turn.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let ended = running.swap_remove((turn >> 33) % running.len());
            book.ended(ended, EndedHow::Finished);
        }
        for frame in exchange(&mut book, &mut placement) {
            for grant in book.on_frame(frame, NOW) {
                book.dispatched(grant.task_run, grant.worker, slots);
                running.push(grant.task_run);
                granted += 1;
            }
        }
    }
    (granted, begin.elapsed())
}

fn exchange(book: &mut OfferBook, placement: &mut Placement) -> Vec<DispatcherFrame> {
    for frame in book.poll_frames(FRAME_ITEMS_MAX, NOW) {
        placement.on_offer_frame(frame, NOW);
    }
    while placement.place(NOW, 1000) == 1000 {}
    let frames = placement.poll_frames(FRAME_ITEMS_MAX);
    let restarts = |item: &DispatcherItem| matches!(item, DispatcherItem::Restart { .. });
    assert!(!frames.iter().flat_map(|frame| &frame.items).any(restarts));
    frames
}

fn dispatcher(workers: u32, slots: u32) -> Placement {
    let config = PlacementConfig {
        credits_max: 100_000,
        silent_after: Span::from_secs(60),
        ..PlacementConfig::default()
    };
    let mut placement = Placement::new(1, 1, config, NOW);
    for number in 0..workers {
        let worker = WorkerRef { name: name(&format!("w{number}")), incarnation: 1 };
        let facts = WorkerFacts {
            worker: worker.clone(),
            groups: vec![name("default")],
            slots,
            kinds: vec![KindTag::Shell],
            version: "0.1.0".to_owned(),
            state: WorkerState::Up,
        };
        placement.on_worker(facts, NOW);
        placement.on_heartbeat(&worker, Load { running_slots: 0 }, NOW);
    }
    placement
}

fn shape(slots: u32) -> Arc<Shape> {
    Arc::new(Shape { group: name("default"), kind: KindTag::Shell, slots })
}

/// A hundred runs, mixed priorities.
fn offer(task: u32, shape: &Arc<Shape>) -> Offer {
    let levels = [Priority::High, Priority::Normal, Priority::Low];
    let run = RunId::new(u64::from(task % 100), 1, 0);
    let rank = Rank {
        run_priority: levels[(task % 3) as usize],
        run_order: (Timestamp(i64::from(task % 100)), run),
        task_priority: Priority::Normal,
        activation: u64::from(task),
    };
    Offer {
        task_run: TaskRunId { run, key: TaskKey { task, item: 0 } },
        shape: shape.clone(),
        rank,
        since: NOW,
    }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}
