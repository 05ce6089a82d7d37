//! A wall clock that can be set wrong. Time since boot, on which leases rest, stays right: its faults are the simulator's,
//! since nobody can take back what a clock that never falls has said.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hortator_actors::seam::Clock;
use hortator_core::time::{Span, Timestamp};

use crate::env::SystemClock;

#[derive(Debug, Default)]
pub(crate) struct Dial(Mutex<BTreeMap<u64, Wrong>>);

#[derive(Clone, Copy, Debug)]
pub(super) enum Wrong {
    Ahead { micros: i64 },
    Fast { rate: f64, since: Span },
}

impl Dial {
    fn wrongs(&self) -> MutexGuard<'_, BTreeMap<u64, Wrong>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, id: u64, wrong: Wrong) {
        self.wrongs().insert(id, wrong);
    }

    pub(super) fn right(&self, id: u64) {
        self.wrongs().remove(&id);
    }

    fn ahead(&self, boot: Span) -> i64 {
        let ahead = |wrong: &Wrong| match wrong {
            Wrong::Ahead { micros } => *micros,
            Wrong::Fast { rate, since } => (boot.0.saturating_sub(since.0) as f64 * (rate - 1.0)) as i64,
        };
        self.wrongs().values().map(ahead).sum()
    }
}

impl Clock for Dial {
    fn wall(&self) -> Timestamp {
        let Timestamp(micros) = SystemClock.wall();
        Timestamp((micros + self.ahead(self.boot())).max(0))
    }

    fn boot(&self) -> Span {
        SystemClock.boot()
    }
}
