//! The longest turn of a shard's book when everything in it ages at once: the Dispatcher says for the first time that the
//! group ages, and 1,000,000 offers have waited long enough; then another Dispatcher comes, and nothing has aged any more.
//!
//! ```text
//! cargo run --release -p hortator-core --example ageing [OFFERS]
//! ```

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use hortator_core::definition::Priority;
use hortator_core::dispatch::stream::{
    Ageing, Credit, DispatcherFrame, DispatcherItem, DispatcherTerm, OfferBook, QUIET_WAIT,
};
use hortator_core::dispatch::{KindTag, Offer, Rank, Shape};
use hortator_core::id::{Name, RunId, TaskKey, TaskRunId};
use hortator_core::time::{Span, Timestamp};

const OFFERS: u32 = 1_000_000;
/// Task runs of each run, as many as a run may have waiting at a time.
const OF_A_RUN: u32 = 4_096;
/// Of a frame.
const ITEMS: usize = 4_096;
/// Now, for everybody.
const NOW: Timestamp = Timestamp(10_000_000);

fn main() {
    let offers = std::env::args().nth(1).map_or(OFFERS, |text| text.parse().expect("a number of offers"));
    let name = |text| Name::new(text).expect("a name");
    let shape = Arc::new(Shape::of_slots(name("default"), name("default"), KindTag::Shell, 1));
    let mut book = OfferBook::new(1, 1, 1, QUIET_WAIT);
    (0..offers).for_each(|number| book.insert(offer(&shape, number), None));
    book.on_dispatcher(DispatcherTerm::of_epoch(1, 1));
    book.poll_frames(ITEMS, NOW);
    let stream = book.stream().expect("there is a Dispatcher");
    let ageing = Some(Ageing { every: Span::from_secs(1), now: NOW });
    let credit = DispatcherItem::Credit(Credit { shape, credits: 8, ageing });
    let frame = DispatcherFrame { stream, list: 1, number: 1, round: 1, rows: 0, items: vec![credit] };
    turns("it is said that they age", &mut book, |book| drop(book.on_frame(frame, NOW)));
    turns("another Dispatcher", &mut book, |book| book.on_dispatcher(DispatcherTerm::of_epoch(2, 1)));
}

fn offer(shape: &Arc<Shape>, number: u32) -> Offer {
    let created = u64::from(number / OF_A_RUN);
    let run = RunId::new(1_000 + created, 1, 0);
    let rank = Rank {
        run_priority: Priority::Lowest,
        run_created: Timestamp(created as i64),
        task_priority: Priority::Normal,
        remaining: Span::ZERO,
        activation: u64::from(number),
    };
    let task_run = TaskRunId { run, key: TaskKey { task: 0, item: number % OF_A_RUN } };
    Offer { task_run, shape: shape.clone(), rank, since: Timestamp(0) }
}

/// The first word, and turns until nothing is due any more.
fn turns(what: &str, book: &mut OfferBook, word: impl FnOnce(&mut OfferBook)) {
    let mut lasted = Vec::new();
    let mut turn = |work: &mut dyn FnMut()| {
        let begun = Instant::now();
        work();
        lasted.push(begun.elapsed());
    };
    let mut word = Some(word);
    turn(&mut || {
        if let Some(word) = word.take() {
            word(book);
        }
        book.poll_frames(ITEMS, NOW);
    });
    while book.next_deadline().is_some_and(|due| due <= NOW) {
        turn(&mut || drop(book.poll_frames(ITEMS, NOW)));
    }
    let (longest, all) = (lasted.iter().max().expect("there is one"), lasted.iter().sum::<Duration>());
    println!("{what}: {} turns, the longest {longest:.1?}, all {all:.1?}", lasted.len());
}
