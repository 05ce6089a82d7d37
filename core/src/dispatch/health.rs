//! What a worker's results say about the worker: failures of different tasks in a row put it in quarantine, and how its
//! attempts compare with what was expected says how fast it is. Must not know other workers.

use std::collections::VecDeque;

use super::durations::{code, value};
use crate::time::{Span, Timestamp};

/// Different tasks that fail in a row before a worker is suspected. One task's fault is not its worker's; that five
/// different ones fail in a row without one success is rare on a good host.
pub const FAILURES_MAX: usize = 5;
/// How long the first quarantine lasts; each further one twice as long.
pub const QUARANTINE_FIRST: Span = Span::from_secs(60);
/// Longest quarantine: somebody who repaired the host waits at most so long, or uncordons it by hand.
pub const QUARANTINE_LONGEST: Span = Span::from_secs(3600);
/// Ratios that say how fast a worker is, and the fewest of them that count.
const RATIOS_MAX: usize = 16;
const RATIOS_MIN: usize = 3;
/// A ratio of one, as a number that `code` can tell from its neighbours.
const ONE: f64 = 1024.0;
/// Ratios within this factor are one step, so that equal workers, whose figures differ by chance, stay equal.
const SLOWNESS_STEP: f64 = 1.5;
/// Steps to either side: 1.5^7 is 17 times as fast or slow.
const STEPS_MAX: i32 = 7;

/// Which task failed or succeeded: equal for attempts of the same task of a workflow.
pub type TaskTag = u64;

#[derive(Clone, Debug)]
pub(super) struct Health {
    pub(super) standing: Trust,
    /// Different tasks that failed since the last success.
    failed: Vec<TaskTag>,
    /// Quarantines since the last success.
    terms: u32,
    /// Codes of took ÷ expected.
    ratios: VecDeque<u8>,
    slowness: f64,
}

/// Whether a worker may have work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    Full,
    /// Nothing until then.
    Quarantined {
        until: Timestamp,
    },
    /// One attempt at a time, until one succeeds.
    OnTrial,
}

impl Health {
    pub(super) fn new() -> Health {
        Health { standing: Trust::Full, failed: Vec::new(), terms: 0, ratios: VecDeque::new(), slowness: 1.0 }
    }

    /// How many times as long as usual attempts take here, in steps; 1 until enough is known.
    pub(super) fn slowness(&self) -> f64 {
        self.slowness
    }

    pub(super) fn failures(&self) -> usize {
        self.failed.len()
    }

    pub(super) fn succeed(&mut self) {
        self.standing = Trust::Full;
        self.failed.clear();
        self.terms = 0;
    }

    /// A failure that may be the worker's; says whether it should go into quarantine.
    pub(super) fn fail(&mut self, tag: TaskTag) -> bool {
        if !self.failed.contains(&tag) && self.failed.len() < FAILURES_MAX {
            self.failed.push(tag);
        }
        match self.standing {
            Trust::OnTrial => true,
            Trust::Full => self.failed.len() >= FAILURES_MAX,
            Trust::Quarantined { .. } => false,
        }
    }

    /// Says until when.
    pub(super) fn quarantine(&mut self, now: Timestamp) -> Timestamp {
        let length = QUARANTINE_FIRST.0 << self.terms.min(16);
        self.terms += 1;
        let until = now.plus(Span(length.min(QUARANTINE_LONGEST.0)));
        self.standing = Trust::Quarantined { until };
        until
    }

    /// An attempt took so long where others take `expected`.
    pub(super) fn compare(&mut self, took: Span, expected: Span) {
        if expected.0 == 0 {
            return;
        }
        if self.ratios.len() == RATIOS_MAX {
            self.ratios.pop_front();
        }
        let ratio = took.0 as f64 / expected.0 as f64 * ONE;
        self.ratios.push_back(code(ratio.clamp(1.0, 1e9) as u64));
        if self.ratios.len() >= RATIOS_MIN {
            let mut sorted: Vec<u8> = self.ratios.iter().copied().collect();
            sorted.sort_unstable();
            self.slowness = stepped(value(sorted[sorted.len() / 2]) as f64 / ONE);
        }
    }
}

/// The nearest power of the step, found without logarithms, which differ between platforms.
fn stepped(ratio: f64) -> f64 {
    let mut step = 1.0;
    for _ in 0..STEPS_MAX {
        if ratio > step * SLOWNESS_STEP / 1.2247 {
            step *= SLOWNESS_STEP;
        } else if ratio < step / SLOWNESS_STEP * 1.2247 {
            step /= SLOWNESS_STEP;
        }
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_tasks_in_a_row_are_the_workers_fault() {
        let mut health = Health::new();
        assert!((0..20).all(|_| !health.fail(7)), "one task may fail as often as it likes");
        assert!(!health.fail(1) && !health.fail(2) && !health.fail(3));
        health.succeed();
        assert!((1..5).all(|tag| !health.fail(tag)) && health.fail(5));
    }

    #[test]
    fn quarantines_double_and_end_with_a_success() {
        let mut health = Health::new();
        let lengths: Vec<u64> =
            (0..8).map(|_| health.quarantine(Timestamp(0)).since(Timestamp(0)).0 / 1_000_000).collect();
        assert_eq!(lengths, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        health.standing = Trust::OnTrial;
        assert!(health.fail(1), "on trial one failure is enough");
        health.succeed();
        assert_eq!(health.quarantine(Timestamp(0)), Timestamp(60_000_000));
    }

    #[test]
    fn equal_workers_stay_equal_and_others_do_not() {
        let slowness = |percent: &[u64]| {
            let mut health = Health::new();
            percent.iter().for_each(|took| health.compare(Span(took * 1000), Span(100_000)));
            health.slowness()
        };
        assert_eq!(slowness(&[400, 400]), 1.0, "two attempts say nothing");
        assert_eq!(slowness(&[90, 115, 85, 110, 100]), 1.0);
        assert_eq!(slowness(&[100, 100, 100, 5000, 100]), 1.0, "one straggler says nothing");
        assert!(slowness(&[210, 190, 200]) > 1.9);
        assert!(slowness(&[26, 24, 25]) < 0.34);
    }
}
