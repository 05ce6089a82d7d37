//! What is to happen when, in microseconds of the world's time: the tokio clock counts whole milliseconds, the agenda
//! orders what falls between. Must not know what its works do.

use std::collections::BTreeMap;
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
    /// What clocks that are right show then.
    beginning: Timestamp,
    inner: Mutex<Inner>,
}

struct Inner {
    /// By time; works of one time in an order that the seed draws.
    works: BTreeMap<(u64, u64, u64), Work>,
    ties: Draw,
    added: u64,
    /// When the last work happened.
    moment: u64,
}

impl fmt::Debug for Agenda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Agenda({} us)", self.now())
    }
}

impl Agenda {
    pub fn new(seed: u64, beginning: Timestamp) -> Agenda {
        let inner = Inner { works: BTreeMap::new(), ties: Draw::of(seed, "ties"), added: 0, moment: 0 };
        Agenda { began: Instant::now(), beginning, inner: Mutex::new(inner) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Microseconds since the world began.
    pub fn now(&self) -> u64 {
        self.millis().max(self.inner().moment)
    }

    /// What a clock that is right shows after so many microseconds.
    pub fn wall(&self, micros: u64) -> Timestamp {
        self.beginning.plus(Span(micros))
    }

    /// The tokio clock's time, in whole milliseconds.
    fn millis(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    pub fn at(&self, at: u64, work: impl FnOnce() + Send + 'static) {
        let at = at.max(self.now());
        let mut inner = self.inner();
        inner.added += 1;
        let key = (at, inner.ties.word(), inner.added);
        inner.works.insert(key, Box::new(work));
    }

    pub fn after(&self, micros: u64, work: impl FnOnce() + Send + 'static) {
        self.at(self.now() + micros, work);
    }

    /// The next work of the present millisecond.
    pub(super) fn due(&self) -> Option<Work> {
        let millis = self.millis();
        let mut inner = self.inner();
        let entry = inner.works.first_entry()?;
        let (at, _, _) = *entry.key();
        if at >= millis + 1_000 {
            return None;
        }
        let work = entry.remove();
        inner.moment = inner.moment.max(at);
        Some(work)
    }

    /// When the tokio clock must be looked at again.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        let (at, _, _) = *self.inner().works.first_key_value()?.0;
        Some(self.began + std::time::Duration::from_millis(at / 1_000))
    }
}
