//! How fast this replica loses patience with a leader, or as a leader with its followers: at the usual pace, and slower
//! while its links lose segments. Pure; times are ticks. Must not know raft or what comes over the links.
//!
//! A lost segment holds up all that follows it over the same connection for some tenths of a second, and a second loss for
//! twice as long; that is longer than an election takes to begin. Whoever is patient then only waits longer for a leader that
//! is really gone: who leads, what is committed and what a read may answer rest on terms and quorums, never on this.

use std::collections::VecDeque;

/// Silence of this length that is broken by the one who was silent is a gap: two heartbeats did not come. A process that dies
/// and returns says it once.
const GAP_TICKS: u64 = 4;
/// So many gaps within `WINDOW_TICKS` are a network that loses: a peer that stands still now and then, or starts again, makes
/// one at a time.
const GAPS: usize = 8;
/// Ten seconds of the usual tick.
const WINDOW_TICKS: u64 = 200;
/// Patience stays for so long after that: half a minute, since a loss of every fifth segment comes and goes.
const STAYS_TICKS: u64 = 600;
/// While patient every so many ticks count as one: a leader gives up after two seconds without a quorum, a follower begins an
/// election after two to four, and a worker's lease of ten outlives both.
pub(super) const SLOWER: u64 = 4;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pace {
    gaps: VecDeque<u64>,
    patient_until: u64,
}

impl Pace {
    /// A peer whose words matter here spoke now, and last time at `before`.
    pub(super) fn hear(&mut self, before: u64, now: u64) {
        if now.saturating_sub(before) < GAP_TICKS {
            return;
        }
        self.gaps.push_back(now);
        self.gaps.retain(|at| now - at < WINDOW_TICKS);
        if self.gaps.len() >= GAPS {
            self.gaps.drain(..self.gaps.len() - GAPS);
            self.patient_until = now + STAYS_TICKS;
        }
    }

    pub(super) fn is_patient(&self, now: u64) -> bool {
        now < self.patient_until
    }

    /// Whether this tick counts for elections.
    pub(super) fn counts(&self, now: u64) -> bool {
        !self.is_patient(now) || now.is_multiple_of(SLOWER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gaps of so many ticks, one after the other, each followed by so many ticks in which all is heard.
    fn after(gaps: u64, long: u64, apart: u64) -> (Pace, u64) {
        let (mut pace, mut now) = (Pace::default(), 1_000);
        for _ in 0..gaps {
            pace.hear(now, now + long);
            now += long;
            for _ in 0..apart {
                pace.hear(now, now + 1);
                now += 1;
            }
        }
        (pace, now)
    }

    #[test]
    fn only_many_gaps_in_a_short_time_make_it_patient() {
        for (gaps, long, apart, patient) in [
            (100, GAP_TICKS - 1, 2, false),
            (GAPS as u64 - 1, 6, 2, false),
            (GAPS as u64, 6, 2, true),
            // A pause every other second.
            (30, 10, 40, false),
            // A restart now and then.
            (10, 100, 100, false),
        ] {
            let (pace, now) = after(gaps, long, apart);
            assert_eq!(pace.is_patient(now), patient, "{gaps} gaps of {long}, {apart} apart");
        }
    }

    #[test]
    fn patience_ends_and_slows_ticks_down_while_it_lasts() {
        let (pace, now) = after(GAPS as u64, 6, 2);
        let last = now - 2;
        assert!(pace.is_patient(last + STAYS_TICKS - 1) && !pace.is_patient(last + STAYS_TICKS));
        let counted = (now..now + 100).filter(|tick| pace.counts(*tick)).count();
        assert_eq!(counted, 100 / SLOWER as usize);
        assert!((now + STAYS_TICKS..now + STAYS_TICKS + 9).all(|tick| pace.counts(tick)));
    }
}
