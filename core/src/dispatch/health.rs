//! What a worker's results say about the worker: failures of different tasks in a row put it in quarantine, and how its
//! attempts compare with what was expected says how fast it is. Must not know other workers.

use super::pace::Pace;
use crate::time::{Span, Timestamp};

/// Different tasks that fail in a row before a worker is suspected. One task's fault is not its worker's; that five
/// different ones fail in a row without one success is rare on a good host.
pub const FAILURES_MAX: usize = 5;
/// How long the first quarantine lasts; each further one twice as long.
pub const QUARANTINE_FIRST: Span = Span::from_secs(60);
/// Longest quarantine: somebody who repaired the host waits at most so long, or uncordons it by hand.
pub const QUARANTINE_LONGEST: Span = Span::from_secs(3600);
/// Which task failed or succeeded: equal for attempts of the same task of a workflow.
pub type TaskTag = u64;

#[derive(Clone, Debug)]
pub(super) struct Health {
    pub(super) standing: Trust,
    /// Different tasks that failed since the last success.
    failed: Vec<TaskTag>,
    /// Quarantines since the last success.
    terms: u32,
    pace: Pace,
    /// Of the pace, since every look at a worker asks for it.
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
        Health { standing: Trust::Full, failed: Vec::new(), terms: 0, pace: Pace::default(), slowness: 1.0 }
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
        self.pace.compare(took, expected);
        self.slowness = self.pace.slowness();
    }

    /// What a shard saw before.
    pub(super) fn recall(&mut self, pace: &Pace) {
        self.pace.recall(pace);
        self.slowness = self.pace.slowness();
    }
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
}
