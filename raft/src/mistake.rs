//! Deliberate mistakes of a replica, to see that simulations find them. Only builds with debug assertions make any.
//! Must not know who looks for them.

/// What a replica does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mistake {
    /// Nothing.
    #[default]
    None,
    /// Says that it is on disk what is only in memory.
    SkipsSyncs,
    /// Votes and acknowledges before what that rests on is on disk.
    SpeaksBeforeItWrites,
    /// Forgets at a restart whom it voted for.
    ForgetsItsVote,
    /// Notes what is applied before its rows are there.
    AppliesInTwoSteps,
    /// Writes something of its own into rows in place of what the entry says.
    ComputesWhenItApplies,
    /// Leaves a row out when it takes a snapshot.
    LosesARowOfASnapshot,
    /// Answers reads as a leader that nobody has confirmed.
    ReadsWithoutAQuorum,
    /// Begins an epoch before its barrier is applied.
    BeginsWithoutABarrier,
    /// Goes on with an epoch after a proposal of it was refused.
    GoesOnAfterARefusal,
    /// Takes whatever is committed at an index for what it had proposed there.
    CommitsByIndexAlone,
    /// Goes on leading when a quorum is silent.
    NeverStepsDown,
    /// Once restarted, never campaigns before it has heard a leader.
    WaitsForALeader,
    /// Never tells raft what became of a snapshot that it sent.
    ForgetsItsSnapshots,
    /// Goes back by an entry whenever it starts.
    AppliesTwice,
    /// Takes words that were overtaken on their way for those of a restored directory.
    RefusesUnasked,
    /// Enters joint configurations and leaves none.
    StaysJoint,
}

impl Mistake {
    /// Constant in a release build, so that nothing of a mistake is left there.
    #[inline]
    pub(crate) fn is(self, mistake: Mistake) -> bool {
        cfg!(debug_assertions) && self == mistake
    }
}
