//! The system's clocks: wall time, and time since boot that goes on in suspend.

use std::time::{SystemTime, UNIX_EPOCH};

use hortator_actors::seam::Clock;
use hortator_core::time::{Span, Timestamp};
use nix::time::{ClockId, clock_gettime};

#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        // A clock before 1970 is no time to schedule anything by; it reads as 1970.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn boot(&self) -> Span {
        let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has had CLOCK_BOOTTIME since 2.6.39");
        Span(time.tv_sec() as u64 * 1_000_000 + time.tv_nsec() as u64 / 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_do_not_run_backwards() {
        let (wall, boot) = (SystemClock.wall(), SystemClock.boot());
        assert!(wall > Timestamp(1_700_000_000_000_000) && SystemClock.wall() >= wall);
        assert!(boot > Span::ZERO && SystemClock.boot() >= boot);
    }
}
