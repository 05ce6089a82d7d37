//! What is to happen when, in microseconds of the world's time: the tokio clock counts whole milliseconds, the agenda
//! orders what falls between. Must not know what its works do.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hortator_core::time::{Span, Timestamp};
use tokio::time::Instant;

use super::draw::Draw;

/// Something that the world does by itself: a frame arrives, a disk has written, a process ends.
pub type Work = Box<dyn FnOnce() + Send>;

/// See the module.
pub struct Agenda {
    began: Instant,
    /// The world's time then, in whole milliseconds: one that goes on from another begins where that ended.
    from: u64,
    /// What clocks that are right show then.
    beginning: Timestamp,
    inner: Mutex<Inner>,
}

struct Inner {
    works: BinaryHeap<Item>,
    ties: Draw,
    added: u64,
    /// The tokio clock's time when it was last looked at, in whole milliseconds.
    millis: u64,
    /// When the last work happened.
    moment: u64,
}

impl Inner {
    fn now(&self) -> u64 {
        self.millis.max(self.moment)
    }
}

struct Item {
    /// By time; works of one time in an order that the seed draws.
    key: (u64, u64, u64),
    work: Work,
}

impl Ord for Item {
    /// The earliest is the greatest: it is taken first.
    fn cmp(&self, other: &Item) -> Ordering {
        other.key.cmp(&self.key)
    }
}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Item) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Item) -> bool {
        self.key == other.key
    }
}

impl Eq for Item {}

impl fmt::Debug for Agenda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Agenda({} us)", self.now())
    }
}

impl Agenda {
    /// `beginning`: what clocks that are right showed at time 0; `from`: what time it is, in whole milliseconds.
    pub fn new(seed: u64, beginning: Timestamp, from: u64) -> Agenda {
        debug_assert!(from.is_multiple_of(1_000), "the tokio clock counts whole milliseconds");
        let ties = Draw::of(seed, "ties");
        let inner = Inner { works: BinaryHeap::new(), ties, added: 0, millis: from, moment: from };
        Agenda { began: Instant::now(), from, beginning, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds since time 0.
    pub fn now(&self) -> u64 {
        self.inner().now()
    }

    /// What a clock that is right shows after so many microseconds.
    pub fn wall(&self, micros: u64) -> Timestamp {
        self.beginning.plus(Span(micros))
    }

    /// Looks at the tokio clock, which stands still while anything runs.
    pub(super) fn look(&self) {
        let millis = self.from + self.began.elapsed().as_micros() as u64;
        self.inner().millis = millis;
    }

    pub fn at(&self, at: u64, work: impl FnOnce() + Send + 'static) {
        let mut inner = self.inner();
        inner.added += 1;
        let key = (at.max(inner.now()), inner.ties.word(), inner.added);
        inner.works.push(Item { key, work: Box::new(work) });
    }

    pub fn after(&self, micros: u64, work: impl FnOnce() + Send + 'static) {
        self.at(self.now() + micros, work);
    }

    /// The next work of the present millisecond.
    pub(super) fn due(&self) -> Option<Work> {
        let mut inner = self.inner();
        let (at, _, _) = inner.works.peek()?.key;
        if at >= inner.millis + 1_000 {
            return None;
        }
        inner.moment = inner.moment.max(at);
        inner.works.pop().map(|item| item.work)
    }

    /// The world is over: what was still to happen never does. Works hold the world's parts, which hold the agenda.
    pub(super) fn close(&self) {
        let works = std::mem::take(&mut self.inner().works);
        // Not while it is locked: what goes with them may look at the time.
        drop(works);
    }

    /// When the tokio clock must be looked at again.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        let (at, _, _) = self.inner().works.peek()?.key;
        Some(self.began + std::time::Duration::from_millis(at.saturating_sub(self.from) / 1_000))
    }
}
