//! Deliberate mistakes, chosen by name when a node starts: a checker that none of them wakes proves nothing.
//! A release build has none of them.

use std::str::FromStr;

use hortator_core::dispatch;
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
    /// A new epoch does not know who waits in a queue.
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
    /// A new leader does not know that a schedule's only time is over.
    FiresOnceAgain,
    /// A fixed time that a change of the clock skips has no run.
    SkipsGaps,
    /// A fixed time that the wall shows twice has a second run.
    FiresAtBothPasses,
    /// A new leader forgets which runs take turns.
    ForgetsLanes,
    /// Words about task runs that are over are dropped without an answer.
    LeavesOrphansUnanswered,
    /// An agent takes a frame for an earlier life for an impossible state.
    PanicsAtAnotherLife,
    /// A new master is given the least id that nobody has at the moment.
    GivesIdsAgain,
    /// What a grant reserved that came to nothing stays reserved.
    KeepsReservations,
    /// A new Dispatcher takes the devices of attempts that run for free.
    ForgetsHeldDevices,
    /// A new Dispatcher counts only the slots of attempts that run.
    CountsHeldSlotsOnly,
    /// A Dispatcher does not hear that a quota has changed.
    KeepsFirstQuotas,
    /// An agent starts whatever it is sent, room or not.
    CountsNoRoom,
    /// A run that is read from its rows gives every task the outputs of the first one that left some.
    MixesOutputsUp,
    /// A grant that came to nothing puts its task run behind all others.
    RequeuesAtTheTail,
    /// What waits for a worker is told as if it ran.
    WaitsInSilence,
    /// A shape of which nothing can be placed waits without a code.
    ParksWithoutAReason,
    /// A back-off is told of although it is over.
    TellsOldReasons,
    /// A task run takes its limits in the order of its definition.
    TakesLimitsOutOfOrder,
    /// A limit's home takes a replica that shows no want for a proof, however old it is.
    EndsHoldsByAbsence,
    /// The loss of an attempt is in its row and not in history.
    TellsNoLoss,
    /// A run is not listed under its workflow.
    ListsNoRun,
    /// Heartbeats come later than a lease lasts.
    BeatsLate,
    /// The Dispatcher is asked for rows that have not come to it yet.
    AsksBeforeRowsCame,
    /// An agent ends all that it runs when a master is gone.
    EndsWithAMaster,
}

/// No such mistake, or a build that makes none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MutantError {
    #[error("there is no mutant {0:?}; there are: {names}", names = names().join(", "))]
    Unknown(String),
    #[error("this build has no mutants; use one with debug assertions")]
    Release,
}

/// Each with its name and the checker of the promise that it breaks: others may speak as well, and first.
const NAMED: &[(&str, Mutant, &str)] = &[
    ("acknowledge-before-commit", Mutant::AcknowledgesBeforeCommit, "S1"),
    ("report-taken-before-commit", Mutant::TakesReportsBeforeCommit, "L2"),
    ("answer-without-entry", Mutant::AnswersWithoutAnEntry, "S1"),
    ("lease-from-deposed-leader", Mutant::RenewsLeasesAlone, "S5"),
    ("silence-before-election", Mutant::CountsEarlierSilence, "S5"),
    ("shortened-lease-at-once", Mutant::ShortensAtOnce, "S5"),
    ("loss-before-lease-ends", Mutant::DeclaresLossEarly, "S5"),
    ("loss-missed-in-snapshot", Mutant::MissesLossesInSnapshots, "L3"),
    ("absence-is-an-end", Mutant::TakesAbsenceForAnEnd, "S5"),
    ("keys-forgotten", Mutant::ForgetsKeys, "S2"),
    ("at-most-once-repeated", Mutant::RepeatsAtMostOnce, "S7"),
    ("report-of-any-attempt", Mutant::AppliesAnyReport, "S22"),
    ("nobody-asked", Mutant::NeverAsks, "L2"),
    ("queue-forgotten", Mutant::ForgetsTheQueue, "L2"),
    ("children-early", Mutant::StartsChildrenEarly, "S8"),
    ("event-skipped", Mutant::SkipsAnEvent, "S18"),
    ("lease-for-ever", Mutant::HasALeaseForEver, "S5"),
    ("no-deadline", Mutant::SetsNoDeadline, "S5"),
    ("spool-forgotten", Mutant::ForgetsItsSpool, "S22"),
    ("late-frame-taken", Mutant::ForgetsWhatItDecided, "S6"),
    ("sync-skipped", Mutant::Replica(Mistake::SkipsSyncs), "S21"),
    ("speech-before-write", Mutant::Replica(Mistake::SpeaksBeforeItWrites), "S21"),
    ("vote-forgotten", Mutant::Replica(Mistake::ForgetsItsVote), "S21"),
    ("applied-in-two-steps", Mutant::Replica(Mistake::AppliesInTwoSteps), "S15"),
    ("apply-computes", Mutant::Replica(Mistake::ComputesWhenItApplies), "S14"),
    ("snapshot-misses-row", Mutant::Replica(Mistake::LosesARowOfASnapshot), "S15"),
    ("read-without-quorum", Mutant::Replica(Mistake::ReadsWithoutAQuorum), "S17"),
    ("rebuild-without-barrier", Mutant::Replica(Mistake::BeginsWithoutABarrier), "S3"),
    ("refused-proposal-goes-on", Mutant::Replica(Mistake::GoesOnAfterARefusal), "S1"),
    ("effects-by-index", Mutant::Replica(Mistake::CommitsByIndexAlone), "S1"),
    ("next-time-by-clock", Mutant::TakesNextTimeFromItsClock, "S9"),
    ("schedule-in-utc-after-failover", Mutant::CountsInUtc, "S9"),
    ("catch-up-fires-again", Mutant::CatchesUpFromTheBeginning, "S9"),
    ("once-fires-again", Mutant::FiresOnceAgain, "S9"),
    ("gap-skipped", Mutant::SkipsGaps, "S9"),
    ("overlap-doubled", Mutant::FiresAtBothPasses, "S9"),
    ("overlap-forgotten-after-failover", Mutant::ForgetsLanes, "S10"),
    ("orphan-report-unanswered", Mutant::LeavesOrphansUnanswered, "L6"),
    ("frame-of-another-life-panics", Mutant::PanicsAtAnotherLife, "P6"),
    ("restarted-replica-waits", Mutant::Replica(Mistake::WaitsForALeader), "L1"),
    ("snapshot-unreported", Mutant::Replica(Mistake::ForgetsItsSnapshots), "L5"),
    ("reservation-kept", Mutant::KeepsReservations, "S11"),
    ("device-given-again", Mutant::ForgetsHeldDevices, "S11"),
    ("held-resources-forgotten", Mutant::CountsHeldSlotsOnly, "S11"),
    ("quota-kept", Mutant::KeepsFirstQuotas, "S11"),
    ("room-uncounted", Mutant::CountsNoRoom, "S11"),
    ("outputs-mixed-up", Mutant::MixesOutputsUp, "outputs"),
    ("requeue-at-tail", Mutant::RequeuesAtTheTail, "S12"),
    ("waits-in-silence", Mutant::WaitsInSilence, "reasons"),
    ("parked-without-reason", Mutant::ParksWithoutAReason, "reasons"),
    ("old-reason-told", Mutant::TellsOldReasons, "reasons"),
    ("id-given-again", Mutant::GivesIdsAgain, "S20"),
    ("applied-twice", Mutant::Replica(Mistake::AppliesTwice), "S16"),
    ("late-greeting-refused", Mutant::Replica(Mistake::RefusesUnasked), "S20"),
    ("limits-out-of-order", Mutant::TakesLimitsOutOfOrder, "L2"),
    ("hold-ended-by-absence", Mutant::EndsHoldsByAbsence, "S11"),
    ("loss-untold", Mutant::TellsNoLoss, "S4"),
    ("run-unlisted", Mutant::ListsNoRun, "S19"),
    ("heartbeats-late", Mutant::BeatsLate, "L8"),
    ("worker-falls-with-a-master", Mutant::EndsWithAMaster, "P7"),
    ("read-before-applied", Mutant::AsksBeforeRowsCame, "S17"),
    ("joint-never-left", Mutant::Replica(Mistake::StaysJoint), "L7"),
];

/// What can be chosen.
pub fn names() -> Vec<&'static str> {
    NAMED.iter().map(|(name, ..)| *name).collect()
}

impl FromStr for Mutant {
    type Err = MutantError;

    fn from_str(name: &str) -> Result<Mutant, MutantError> {
        if !cfg!(debug_assertions) {
            return Err(MutantError::Release);
        }
        let found = NAMED.iter().find(|(known, ..)| *known == name);
        found.map(|(_, mutant, _)| *mutant).ok_or_else(|| MutantError::Unknown(name.to_owned()))
    }
}

impl Mutant {
    /// As people choose it.
    pub fn name(self) -> &'static str {
        NAMED.iter().find(|(_, mutant, _)| *mutant == self).map_or("none", |(name, ..)| name)
    }

    /// The checker that guards the promise it breaks; none for the product as it is.
    pub fn checker(self) -> Option<&'static str> {
        NAMED.iter().find(|(_, mutant, _)| *mutant == self).map(|(.., checker)| *checker)
    }

    /// Constant in a release build, so that nothing of a mistake is left there.
    #[inline]
    pub(crate) fn is(self, mistake: Mutant) -> bool {
        cfg!(debug_assertions) && self == mistake
    }

    /// What the Dispatcher does wrong.
    pub(crate) fn of_dispatcher(self) -> dispatch::Mistake {
        match () {
            () if self.is(Mutant::KeepsReservations) => dispatch::Mistake::KeepsRefusedReservations,
            () if self.is(Mutant::ForgetsHeldDevices) => dispatch::Mistake::ForgetsHeldDevices,
            () if self.is(Mutant::CountsHeldSlotsOnly) => dispatch::Mistake::CountsHeldSlotsOnly,
            () if self.is(Mutant::KeepsFirstQuotas) => dispatch::Mistake::KeepsFirstQuotas,
            () if self.is(Mutant::RequeuesAtTheTail) => dispatch::Mistake::RequeuesAtTheTail,
            () => dispatch::Mistake::None,
        }
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
