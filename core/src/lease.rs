//! How long a worker may be believed without a word, and what of that people may set. Pure arithmetic.
//! Must not know clocks, heartbeats or who judges.

use serde::{Deserialize, Serialize};

use crate::time::Span;

/// The shortest lease. A new life has this one until an acknowledgement names another, so no cluster may use less.
pub const WORKER_LEASE_MIN: Span = Span::from_secs(10);
/// The longest lease: over it two clocks of 500 ppm each could differ by more than the gap allows for.
pub const WORKER_LEASE_MAX: Span = Span::from_secs(600);
/// The longest that a dead worker may be waited for.
pub const DECLARE_LOST_MAX: Span = Span::from_secs(3600);
/// Between the end of a lease and the loss: what the clocks of two hosts differ by in that time, the moment until an
/// expired lease is noticed, and the warden's own grace before the last kill.
pub const LEASE_GAP: Span = Span::from_secs(3);

/// Two times that go together: the worker stops everything after the first, and is lost after the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseTerms {
    /// From the sending of the last acknowledged heartbeat.
    pub worker_lease: Span,
    /// From the last word that the membership leader heard.
    pub declare_lost: Span,
}

/// A cluster over several hosts.
pub const DEFAULT_TERMS: LeaseTerms =
    LeaseTerms { worker_lease: Span::from_secs(10), declare_lost: Span::from_secs(13) };

/// With one master nobody takes over, so nobody needs to know soon: workers outlast its restart.
pub const LONE_MASTER_TERMS: LeaseTerms =
    LeaseTerms { worker_lease: Span::from_secs(300), declare_lost: Span::from_secs(310) };

/// Whether a cluster keeps leases is fixed when it is made: a worker that was once believed for ever could not be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leases {
    /// All in one process: a worker is lost only with its warden.
    NotKept,
    Kept(LeaseTerms),
}

/// Why two times do not go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    #[error("worker_lease is {0}, at least {WORKER_LEASE_MIN} and at most {WORKER_LEASE_MAX} is allowed")]
    Lease(Span),
    #[error("declare_lost is {0}, at most {DECLARE_LOST_MAX} is allowed")]
    TooLate(Span),
    #[error(
        "declare_lost is {declare_lost}, and must be at least {LEASE_GAP} more than worker_lease, which is {worker_lease}"
    )]
    TooEarly { worker_lease: Span, declare_lost: Span },
}

impl LeaseTerms {
    pub fn check(self) -> Result<LeaseTerms, TermsError> {
        let LeaseTerms { worker_lease, declare_lost } = self;
        match () {
            () if !(WORKER_LEASE_MIN..=WORKER_LEASE_MAX).contains(&worker_lease) => {
                Err(TermsError::Lease(worker_lease))
            }
            () if declare_lost > DECLARE_LOST_MAX => Err(TermsError::TooLate(declare_lost)),
            () if declare_lost.0 < worker_lease.0 + LEASE_GAP.0 => {
                Err(TermsError::TooEarly { worker_lease, declare_lost })
            }
            () => Ok(self),
        }
    }

    fn longer(self, other: LeaseTerms) -> LeaseTerms {
        LeaseTerms {
            worker_lease: self.worker_lease.max(other.worker_lease),
            declare_lost: self.declare_lost.max(other.declare_lost),
        }
    }
}

/// What the membership group has written about leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseRule {
    /// What people want.
    pub asked: Leases,
    /// What acknowledgements name, with so many masters as there were when it was written.
    pub in_force: Leases,
    /// Nobody is lost sooner: the longest `declare_lost` of the leases that may still be out there. Once it has passed
    /// since the last change, it is that of `in_force`.
    pub outlasting: Span,
}

impl LeaseRule {
    pub fn new(asked: Leases, masters: usize) -> LeaseRule {
        let in_force = with_masters(asked, masters);
        LeaseRule { asked, in_force, outlasting: declare_lost(in_force) }
    }

    /// The rule after a change of what is asked, or of the number of masters.
    #[must_use]
    pub fn changed(self, asked: Leases, masters: usize) -> LeaseRule {
        let in_force = with_masters(asked, masters);
        LeaseRule { asked, in_force, outlasting: self.outlasting.max(declare_lost(in_force)) }
    }

    /// The rule once no older lease is out there.
    #[must_use]
    pub fn settled(self) -> LeaseRule {
        LeaseRule { outlasting: declare_lost(self.in_force), ..self }
    }
}

fn with_masters(asked: Leases, masters: usize) -> Leases {
    match asked {
        Leases::Kept(terms) if masters < 2 => Leases::Kept(terms.longer(LONE_MASTER_TERMS)),
        other => other,
    }
}

fn declare_lost(leases: Leases) -> Span {
    match leases {
        Leases::NotKept => Span::ZERO,
        Leases::Kept(terms) => terms.declare_lost,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(worker_lease: u64, declare_lost: u64) -> LeaseTerms {
        LeaseTerms {
            worker_lease: Span::from_secs(worker_lease),
            declare_lost: Span::from_secs(declare_lost),
        }
    }

    #[test]
    fn bounds() {
        for (lease, lost, allowed) in [
            (10, 13, true),
            (20, 23, true),
            (600, 603, true),
            (9, 13, false),
            (601, 700, false),
            (10, 12, false),
            (10, 3601, false),
            (10, 9, false),
        ] {
            assert_eq!(terms(lease, lost).check().is_ok(), allowed, "{lease} {lost}");
        }
        for preset in [DEFAULT_TERMS, LONE_MASTER_TERMS] {
            assert_eq!(preset.check(), Ok(preset));
        }
    }

    #[test]
    fn a_shorter_rule_waits_for_the_longest_lease_given_before() {
        let rule = LeaseRule::new(Leases::Kept(terms(60, 63)), 3);
        assert_eq!(rule.outlasting, Span::from_secs(63));
        let shorter = rule.changed(Leases::Kept(terms(20, 23)), 3).changed(Leases::Kept(terms(10, 13)), 3);
        assert_eq!(shorter.in_force, Leases::Kept(terms(10, 13)));
        assert_eq!(shorter.outlasting, Span::from_secs(63));
        assert_eq!(shorter.settled().outlasting, Span::from_secs(13));
        assert_eq!(shorter.changed(Leases::Kept(terms(100, 103)), 3).outlasting, Span::from_secs(103));
    }

    #[test]
    fn one_master_is_patient_and_its_leases_are_waited_for() {
        let alone = LeaseRule::new(Leases::Kept(DEFAULT_TERMS), 1);
        assert_eq!(alone.in_force, Leases::Kept(LONE_MASTER_TERMS));
        let three = alone.changed(alone.asked, 3);
        assert_eq!(three.in_force, Leases::Kept(DEFAULT_TERMS));
        assert_eq!(three.outlasting, LONE_MASTER_TERMS.declare_lost);
        assert_eq!(LeaseRule::new(Leases::NotKept, 1).in_force, Leases::NotKept);
    }
}
