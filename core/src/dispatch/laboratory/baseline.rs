//! What others do: the least loaded worker by its last report alone, with no account of what was sent since. A worker
//! that has no room refuses, and its task is sent elsewhere after the next reports. Only for comparison.

use std::collections::{BTreeMap, BTreeSet};

/// Who waits, in order, and what the last reports said.
#[derive(Debug, Default)]
pub(super) struct ByReports {
    /// Key in order, smaller first.
    pub(super) waiting: BTreeSet<(u64, u64, usize)>,
    /// Free slots by the last report.
    reported: BTreeMap<usize, u32>,
}

impl ByReports {
    pub(super) fn report(&mut self, worker: usize, free: u32) {
        self.reported.insert(worker, free);
    }

    /// The worker that looks emptiest, if any looks as if it had room.
    pub(super) fn emptiest(&self) -> Option<usize> {
        let roomy = self.reported.iter().filter(|(_, free)| **free > 0);
        roomy.max_by_key(|(worker, free)| (**free, std::cmp::Reverse(**worker))).map(|(worker, _)| *worker)
    }

    /// It refused: nothing more for it before it reports again.
    pub(super) fn refused(&mut self, worker: usize) {
        self.reported.insert(worker, 0);
    }
}
