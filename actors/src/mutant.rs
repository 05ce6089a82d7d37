//! Deliberate mistakes, chosen by name when a node starts: a checker that none of them wakes proves nothing.
//! A release build has none of them.

use std::str::FromStr;

use hortator_raft::Mistake;

/// The mistake that a cluster's nodes make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutant {
    /// The product as it is.
    #[default]
    None,
    /// A mistake of the replicas.
    Replica(Mistake),
    /// Clients hear that their command took effect when it is proposed, not when it is committed.
    AcknowledgesBeforeCommit,
    /// Workers hear that their word is kept when it is proposed.
    TakesReportsBeforeCommit,
    /// An answer that writes nothing goes out at once, whatever it rests on.
    AnswersWithoutAnEntry,
    /// A leader of the membership group renews leases without asking whether it still leads.
    RenewsLeasesAlone,
    /// A new leader counts a worker's silence from before its election.
    CountsEarlierSilence,
    /// A shorter `declare_lost` counts as soon as it is asked for.
    ShortensAtOnce,
    /// A worker is declared lost before its lease has run out.
    DeclaresLossEarly,
    /// A loss that comes with a snapshot is never noticed.
    MissesLossesInSnapshots,
    /// What a worker's inventory does not show has ended.
    TakesAbsenceForAnEnd,
    /// Keys of starts are known to one epoch only.
    ForgetsKeys,
    /// A lost attempt is repeated whatever its task says.
    RepeatsAtMostOnce,
    /// A worker's word is about the present attempt, whichever it names.
    AppliesAnyReport,
    /// Nobody is asked for attempts that nothing was heard of.
    NeverAsks,
    /// A new epoch gives nobody in a queue its turn.
    ForgetsTheQueue,
    /// One item's end is the end of its task.
    StartsChildrenEarly,
    /// History loses an entry between two pages.
    SkipsAnEvent,
    /// An agent's lease never ends.
    HasALeaseForEver,
    /// The warden is not told when the lease ends.
    SetsNoDeadline,
    /// A new agent does not say which words lie in its spool.
    ForgetsItsSpool,
    /// An agent forgets what it has decided as soon as that is acknowledged.
    ForgetsWhatItDecided,
    /// A new leader takes a schedule's next time from its clock, not from the row.
    TakesNextTimeFromItsClock,
    /// A new leader counts in UTC what its predecessor counted in the schedule's zone.
    CountsInUtc,
    /// A new leader makes up for all times since the schedule was defined, decided or not.
    CatchesUpFromTheBeginning,
    /// A new leader forgets which runs take turns.
    ForgetsLanes,
}

/// No such mistake, or a build that makes none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MutantError {
    #[error("there is no mutant {0:?}; there are: {names}", names = names().join(", "))]
    Unknown(String),
    #[error("this build has no mutants; use one with debug assertions")]
    Release,
}

const NAMED: &[(&str, Mutant)] = &[
    ("acknowledge-before-commit", Mutant::AcknowledgesBeforeCommit),
    ("report-taken-before-commit", Mutant::TakesReportsBeforeCommit),
    ("answer-without-entry", Mutant::AnswersWithoutAnEntry),
    ("lease-from-deposed-leader", Mutant::RenewsLeasesAlone),
    ("silence-before-election", Mutant::CountsEarlierSilence),
    ("shortened-lease-at-once", Mutant::ShortensAtOnce),
    ("loss-before-lease-ends", Mutant::DeclaresLossEarly),
    ("loss-missed-in-snapshot", Mutant::MissesLossesInSnapshots),
    ("absence-is-an-end", Mutant::TakesAbsenceForAnEnd),
    ("keys-forgotten", Mutant::ForgetsKeys),
    ("at-most-once-repeated", Mutant::RepeatsAtMostOnce),
    ("report-of-any-attempt", Mutant::AppliesAnyReport),
    ("nobody-asked", Mutant::NeverAsks),
    ("queue-forgotten", Mutant::ForgetsTheQueue),
    ("children-early", Mutant::StartsChildrenEarly),
    ("event-skipped", Mutant::SkipsAnEvent),
    ("lease-for-ever", Mutant::HasALeaseForEver),
    ("no-deadline", Mutant::SetsNoDeadline),
    ("spool-forgotten", Mutant::ForgetsItsSpool),
    ("late-frame-taken", Mutant::ForgetsWhatItDecided),
    ("sync-skipped", Mutant::Replica(Mistake::SkipsSyncs)),
    ("speech-before-write", Mutant::Replica(Mistake::SpeaksBeforeItWrites)),
    ("vote-forgotten", Mutant::Replica(Mistake::ForgetsItsVote)),
    ("applied-in-two-steps", Mutant::Replica(Mistake::AppliesInTwoSteps)),
    ("apply-computes", Mutant::Replica(Mistake::ComputesWhenItApplies)),
    ("snapshot-misses-row", Mutant::Replica(Mistake::LosesARowOfASnapshot)),
    ("read-without-quorum", Mutant::Replica(Mistake::ReadsWithoutAQuorum)),
    ("rebuild-without-barrier", Mutant::Replica(Mistake::BeginsWithoutABarrier)),
    ("refused-proposal-goes-on", Mutant::Replica(Mistake::GoesOnAfterARefusal)),
    ("effects-by-index", Mutant::Replica(Mistake::CommitsByIndexAlone)),
    ("next-time-by-clock", Mutant::TakesNextTimeFromItsClock),
    ("schedule-in-utc-after-failover", Mutant::CountsInUtc),
    ("catch-up-fires-again", Mutant::CatchesUpFromTheBeginning),
    ("overlap-forgotten-after-failover", Mutant::ForgetsLanes),
];

/// What can be chosen.
pub fn names() -> Vec<&'static str> {
    NAMED.iter().map(|(name, _)| *name).collect()
}

impl FromStr for Mutant {
    type Err = MutantError;

    fn from_str(name: &str) -> Result<Mutant, MutantError> {
        if !cfg!(debug_assertions) {
            return Err(MutantError::Release);
        }
        let found = NAMED.iter().find(|(known, _)| *known == name);
        found.map(|(_, mutant)| *mutant).ok_or_else(|| MutantError::Unknown(name.to_owned()))
    }
}

impl Mutant {
    /// As people choose it.
    pub fn name(self) -> &'static str {
        NAMED.iter().find(|(_, mutant)| *mutant == self).map_or("none", |(name, _)| name)
    }

    /// Constant in a release build, so that nothing of a mistake is left there.
    #[inline]
    pub(crate) fn is(self, mistake: Mutant) -> bool {
        cfg!(debug_assertions) && self == mistake
    }

    /// What the replicas of that group do wrong.
    pub(crate) fn of_replica(self, group: u32) -> Mistake {
        match self {
            Mutant::Replica(mistake) => mistake,
            // It must go on leading to go on renewing.
            Mutant::RenewsLeasesAlone if group == 0 => Mistake::NeverStepsDown,
            _ => Mistake::None,
        }
    }
}
