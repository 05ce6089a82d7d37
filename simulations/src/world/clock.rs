//! The clocks of one host: wall time that may be wrong, jump and drift, and time since boot that drifts with it. Must
//! not know who reads them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hortator_actors::seam::Clock;
use hortator_core::time::{Span, Timestamp};

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

#[derive(Debug)]
struct Face {
    /// Wall time ahead of the truth.
    offset: i64,
    /// Millionths by which the host's second is too long.
    drift: i64,
    /// The world's time and the host's, when the drift last changed.
    since: (u64, u64),
}

impl HostClock {
    pub fn new(agenda: Arc<Agenda>) -> HostClock {
        HostClock { agenda, face: Mutex::new(Face { offset: 0, drift: 0, since: (0, 0) }) }
    }

    fn face(&self) -> MutexGuard<'_, Face> {
        self.face.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wall time jumps.
    pub fn jump(&self, micros: i64) {
        self.face().offset += micros;
    }

    /// Wall time is right again.
    pub fn set_right(&self) {
        self.face().offset = 0;
    }

    /// From now on its seconds are so many millionths too short.
    pub fn drift(&self, millionths: i64) {
        let now = self.agenda.now();
        let mut face = self.face();
        face.since = (now, face.elapsed(now));
        face.drift = millionths;
    }
}

impl Face {
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
        Timestamp(self.agenda.wall(0).0 + face.elapsed(now) as i64 + face.offset)
    }

    fn boot(&self) -> Span {
        let now = self.agenda.now();
        Span(UP + self.face().elapsed(now))
    }
}
