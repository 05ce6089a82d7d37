//! The promises that can be judged from evidence, each with a checker that is named after its invariant. A checker says
//! everything that speaks against its promise; silence is a pass.

mod acknowledged;
mod at_most_once;
mod fences;
mod lifecycle;
mod limits;
mod order;
mod outputs;
mod overlap;
mod progress;
mod resources;
mod schedules;
mod undisturbed;
mod words;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::evidence::Evidence;

/// One promise and the code that judges it.
#[derive(Clone, Copy)]
pub struct Checker {
    pub name: &'static str,
    /// The sentence it guards.
    pub promise: &'static str,
    pub check: fn(&Evidence) -> Vec<String>,
}

/// Something that should never have happened.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    pub checker: &'static str,
    pub promise: &'static str,
    pub detail: String,
}

/// Those that hold under all faults.
pub const SAFETY: &[Checker] = &[
    Checker {
        name: "S1",
        promise: "an acknowledged command is never lost",
        check: acknowledged::nothing_is_lost,
    },
    Checker {
        name: "S2",
        promise: "an idempotency key is applied at most once",
        check: acknowledged::keys_apply_once,
    },
    Checker {
        name: "S3",
        promise: "a run's history holds legal transitions only, and what is over stays over",
        check: lifecycle::histories_are_legal,
    },
    Checker {
        name: "S5",
        promise: "two attempts of one task run never execute at the same time",
        check: overlap::attempts_are_apart,
    },
    Checker {
        name: "S5-seen",
        promise: "what was seen as succeeded never runs again",
        check: overlap::nothing_runs_after_success,
    },
    Checker {
        name: "S6",
        promise: "fences rise along the attempts of a task run, and each is started at most once",
        check: fences::fences_rise,
    },
    Checker {
        name: "S7",
        promise: "a task of at_most_once delivery starts at most once",
        check: at_most_once::starts_once,
    },
    Checker {
        name: "S8",
        promise: "a task starts only after what it needs has ended, and nothing starts after a cancelled run",
        check: order::parents_end_first,
    },
    Checker {
        name: "S11",
        promise: "attempts that run at the same time never hold more of a limit than there is",
        check: limits::nobody_takes_more_than_there_is,
    },
    Checker {
        name: "S11",
        promise: "what runs on a worker at the same time takes no more than it has, and no device twice",
        check: resources::workers_hold_what_they_are_given,
    },
    Checker {
        name: "outputs",
        promise: "a task is given what those before it really left, and starts on their word alone",
        check: outputs::what_was_left_is_what_is_given,
    },
    Checker {
        name: "S18",
        promise: "whoever follows a run's history misses nothing of it and sees nothing twice",
        check: words::followers_miss_nothing,
    },
    Checker {
        name: "S22",
        promise: "an attempt ends by the word of its own process, and by that word where its agent has kept it",
        check: words::words_are_of_their_attempt,
    },
    Checker {
        name: "S9",
        promise: "each time of a schedule is decided once, as its policy says: it fires, or is passed over with a reason",
        check: schedules::each_time_is_decided_once,
    },
    Checker {
        name: "S10",
        promise: "runs of one schedule overlap only where its policy allows it",
        check: schedules::overlap_as_allowed,
    },
];

/// Those that hold once the faults are over and the time to recover has passed.
pub const LIVENESS: &[Checker] = &[Checker {
    name: "L2",
    promise: "every acknowledged run ends when there are workers enough",
    check: progress::acknowledged_runs_end,
}];

/// For faults that hurt masters only, and never a majority for long.
pub const UNDISTURBED: Checker = Checker {
    name: "P7",
    promise: "the loss of a master disturbs no running process",
    check: undisturbed::every_start_ends,
};

/// What the checkers have to say against that evidence.
pub fn judge<'a>(checkers: impl IntoIterator<Item = &'a Checker>, evidence: &Evidence) -> Vec<Violation> {
    checkers.into_iter().flat_map(|checker| checker.judge(evidence)).collect()
}

impl Checker {
    pub fn judge(&self, evidence: &Evidence) -> Vec<Violation> {
        let Checker { name, promise, check } = *self;
        check(evidence).into_iter().map(|detail| Violation { checker: name, promise, detail }).collect()
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.checker, self.promise, self.detail)
    }
}
