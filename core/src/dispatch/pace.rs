//! How fast a worker is: what its attempts took against what is usual for their tasks. Shards keep it too, so that a new
//! Dispatcher knows it at once. Must not know what follows from it.

use std::collections::VecDeque;

use super::durations::{code, value};
use crate::time::Span;

/// Ratios that count, and the fewest of them that do.
const RATIOS_MAX: usize = 16;
const RATIOS_MIN: usize = 3;
/// A ratio of one, as a number that `code` can tell from its neighbours.
const ONE: f64 = 1024.0;
/// Ratios within this factor are one step, so that equal workers, whose figures differ by chance, stay equal.
const STEP: f64 = 1.5;
/// Steps to either side: 1.5^7 is 17 times as fast or slow.
const STEPS_MAX: i32 = 7;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Codes of took ÷ expected, oldest first.
    ratios: VecDeque<u8>,
}

impl Pace {
    /// From what `codes` gave, on another master.
    pub fn of_codes(codes: &[u8]) -> Pace {
        Pace { ratios: codes.iter().rev().take(RATIOS_MAX).rev().copied().collect() }
    }

    pub fn codes(&self) -> Vec<u8> {
        self.ratios.iter().copied().collect()
    }

    /// An attempt took so long where others take `expected`.
    pub fn compare(&mut self, took: Span, expected: Span) {
        if expected.0 == 0 {
            return;
        }
        if self.ratios.len() == RATIOS_MAX {
            self.ratios.pop_front();
        }
        let ratio = took.0 as f64 / expected.0 as f64 * ONE;
        self.ratios.push_back(code(ratio.clamp(1.0, 1e9) as u64));
    }

    /// What somebody saw before: it counts as far as there is too little of one's own.
    pub(super) fn recall(&mut self, earlier: &Pace) {
        let room = RATIOS_MAX - self.ratios.len();
        earlier.ratios.iter().rev().take(room).for_each(|ratio| self.ratios.push_front(*ratio));
    }

    /// How many times as long as usual attempts take here, in steps; 1 until enough is known.
    pub(super) fn slowness(&self) -> f64 {
        if self.ratios.len() < RATIOS_MIN { 1.0 } else { self.middle() }
    }

    /// Whether there is nothing to tell: whoever knows nothing takes a worker for a usual one.
    pub(in crate::dispatch) fn is_usual(&self) -> bool {
        self.ratios.is_empty() || self.middle() == 1.0
    }

    fn middle(&self) -> f64 {
        let mut sorted: Vec<u8> = self.ratios.iter().copied().collect();
        sorted.sort_unstable();
        stepped(value(sorted[sorted.len() / 2]) as f64 / ONE)
    }
}

/// The nearest power of the step, found without logarithms, which differ between platforms.
fn stepped(ratio: f64) -> f64 {
    let mut step = 1.0;
    for _ in 0..STEPS_MAX {
        if ratio > step * STEP / 1.2247 {
            step *= STEP;
        } else if ratio < step / STEP * 1.2247 {
            step /= STEP;
        }
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(percent: &[u64]) -> Pace {
        let mut pace = Pace::default();
        percent.iter().for_each(|took| pace.compare(Span(took * 1000), Span(100_000)));
        pace
    }

    #[test]
    fn equal_workers_stay_equal_and_others_do_not() {
        let slowness = |percent: &[u64]| pace(percent).slowness();
        assert_eq!(slowness(&[400, 400]), 1.0, "two attempts say nothing");
        assert_eq!(slowness(&[90, 115, 85, 110, 100]), 1.0);
        assert_eq!(slowness(&[100, 100, 100, 5000, 100]), 1.0, "one straggler says nothing");
        assert!(slowness(&[210, 190, 200]) > 1.9);
        assert!(slowness(&[26, 24, 25]) < 0.34);
    }

    #[test]
    fn what_is_recalled_counts_less_than_what_was_seen() {
        let slow = Pace::of_codes(&pace(&[400; 20]).codes());
        assert_eq!(slow, pace(&[400; 16]), "it comes back as it went");
        let mut young = pace(&[100, 100]);
        young.recall(&slow);
        assert!(young.slowness() > 3.0 && young.codes().len() == RATIOS_MAX);
        let mut old = pace(&[100; 16]);
        old.recall(&slow);
        assert_eq!(old, pace(&[100; 16]));
        assert!(pace(&[]).is_usual() && pace(&[100, 110]).is_usual() && !pace(&[300]).is_usual());
    }
}
