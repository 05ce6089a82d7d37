//! The clocks of one host: wall time that may be wrong, jump and drift, and time since boot that drifts with it. Must
//! not know who reads them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hortator_actors::seam::Clock;
use hortator_core::time::{Span, Timestamp};
use hortator_raft::sometimes;
use serde::{Deserialize, Serialize};

use super::agenda::Agenda;

/// When a world begins of which nothing else is said: 2023-11-14T22:13:20Z.
pub const BEGINNING: Timestamp = Timestamp(1_700_000_000_000_000);
/// Hosts have been up for an hour then.
const UP: u64 = 3_600_000_000;

/// See the module.
#[derive(Debug)]
pub struct HostClock {
    agenda: Arc<Agenda>,
    face: Mutex<Face>,
}

/// What a clock shows, and how wrong it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Face {
    /// Wall time ahead of the truth.
    offset: i64,
    /// Millionths by which the host's second is too long.
    drift: i64,
    /// The world's time and the host's, when the drift last changed.
    since: (u64, u64),
}

impl HostClock {
    pub fn new(agenda: Arc<Agenda>, face: Face) -> HostClock {
        HostClock { agenda, face: Mutex::new(face) }
    }

    /// For whoever goes on with it in another world.
    pub fn shows(&self) -> Face {
        *self.face()
    }

    fn face(&self) -> MutexGuard<'_, Face> {
        self.face.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wall time jumps.
    pub fn jump(&self, micros: i64) {
        self.face().offset += micros;
    }

    /// From now on its seconds are so many millionths shorter than they were.
    pub fn drift_more(&self, millionths: i64) {
        let mut face = self.face();
        let drift = face.drift + millionths;
        face.go_on_with(self.agenda.now(), drift);
    }

    /// Its seconds are right again, and no jump counts any more.
    pub fn set_right(&self) {
        let mut face = self.face();
        face.offset = 0;
        face.go_on_with(self.agenda.now(), 0);
    }
}

impl Face {
    fn go_on_with(&mut self, now: u64, drift: i64) {
        self.since = (now, self.elapsed(now));
        self.drift = drift;
    }

    fn elapsed(&self, now: u64) -> u64 {
        let passed = now - self.since.0;
        let wrong = passed as i64 / 1_000 * self.drift / 1_000;
        (self.since.1 + passed).saturating_add_signed(wrong)
    }
}

impl Clock for HostClock {
    fn wall(&self) -> Timestamp {
        let now = self.agenda.now();
        let face = self.face();
        sometimes!(face.offset != 0, "clock: a wrong time is told");
        Timestamp(self.agenda.wall(0).0 + face.elapsed(now) as i64 + face.offset)
    }

    fn boot(&self) -> Span {
        let now = self.agenda.now();
        let face = self.face();
        sometimes!(face.drift != 0, "clock: seconds of another length are counted");
        Span(UP + face.elapsed(now))
    }
}
