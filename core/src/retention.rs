//! How long finished runs are kept: the rule that people set, and which runs of a workflow it lets go. Pure.
//! Must not know rows, or how a run is deleted.

use serde::{Deserialize, Serialize};

use crate::event::RunOutcome;
use crate::time::{Span, Timestamp};
use crate::workflow::KEYS_MAX;

/// What may be kept: at least so long that whoever waits for a run's end sees it.
pub const KEEP_MIN: Span = Span::from_secs(60);
/// About ten years.
pub const KEEP_MAX: Span = Span::from_secs(10 * 366 * 24 * 3600);
/// The most runs of one workflow: a pass over the history looks at each of them.
pub const KEEP_RUNS_MAX: u32 = 1_000_000;
/// However many runs are finished, one stays for this long after its end: those who follow it want to see how it ended.
pub const SEEN_AFTER_END: Span = KEEP_MIN;

/// A month, in which people look back; and of each workflow as many runs as there are idempotency keys remembered, so
/// that whoever repeats a start finds the run that the key has made.
pub const DEFAULT_RULE: HistoryRule =
    HistoryRule { keep: Span::from_secs(30 * 24 * 3600), keep_runs: KEYS_MAX as u32 };

/// What operators set for the whole cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRule {
    /// From a run's end.
    pub keep: Span,
    /// Of each workflow: so many that succeeded, and so many that did not.
    pub keep_runs: u32,
}

/// Why a rule cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("history.keep is {0}, at least {KEEP_MIN} and at most {KEEP_MAX} is allowed")]
    Keep(Span),
    #[error("history.keep_runs is {0}, at least 1 and at most {KEEP_RUNS_MAX} is allowed")]
    KeepRuns(u32),
}

impl HistoryRule {
    pub fn check(self) -> Result<HistoryRule, RuleError> {
        match self {
            HistoryRule { keep, .. } if !(KEEP_MIN..=KEEP_MAX).contains(&keep) => Err(RuleError::Keep(keep)),
            HistoryRule { keep_runs, .. } if !(1..=KEEP_RUNS_MAX).contains(&keep_runs) => {
                Err(RuleError::KeepRuns(keep_runs))
            }
            rule => Ok(rule),
        }
    }
}

/// The finished runs of one workflow that stay, as far as they were counted: from the newest back.
///
/// Those that succeeded and those that may be retried are counted apart: a thousand successes an hour do not take the
/// failure of last night away before somebody has looked at it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    succeeded: u32,
    retriable: u32,
}

/// What is to become of a finished run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Stays,
    Goes,
}

impl Census {
    /// Judges the next older finished run.
    pub fn judge(
        &mut self,
        rule: HistoryRule,
        outcome: RunOutcome,
        finished_at: Timestamp,
        now: Timestamp,
    ) -> Verdict {
        let age = now.since(finished_at);
        let counted = match outcome {
            RunOutcome::Succeeded => &mut self.succeeded,
            RunOutcome::Failed | RunOutcome::Cancelled => &mut self.retriable,
        };
        let one_too_many = *counted >= rule.keep_runs && age >= SEEN_AFTER_END;
        if age >= rule.keep || one_too_many {
            return Verdict::Goes;
        }
        *counted += 1;
        Verdict::Stays
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;

    #[test]
    fn bounds() {
        for (keep, keep_runs, allowed) in [
            (60, 1, true),
            (HOUR, 1_000_000, true),
            (59, 10, false),
            (HOUR, 0, false),
            (HOUR, 1_000_001, false),
        ] {
            let rule = HistoryRule { keep: Span::from_secs(keep), keep_runs };
            assert_eq!(rule.check().is_ok(), allowed, "{rule:?}");
        }
        assert!(HistoryRule { keep: Span(KEEP_MAX.0 + 1), keep_runs: 1 }.check().is_err());
        assert_eq!(DEFAULT_RULE.check(), Ok(DEFAULT_RULE));
    }

    #[test]
    fn the_newest_of_each_kind_stay_within_their_time() {
        use RunOutcome::{Cancelled, Failed, Succeeded};
        let rule = HistoryRule { keep: Span::from_secs(HOUR), keep_runs: 2 };
        let now = Timestamp(0).plus(Span::from_secs(10 * HOUR));
        // Newest first: outcome, seconds since the end, whether it stays.
        let story = [
            (Succeeded, 5, true),
            (Succeeded, 6, true),
            (Succeeded, 59, true),
            (Failed, 100, true),
            (Succeeded, 60, false),
            (Cancelled, 200, true),
            (Failed, 300, false),
            (Succeeded, 3_000, false),
            (Failed, HOUR, false),
        ];
        let mut census = Census::default();
        for (outcome, age, stays) in story {
            let finished_at = Timestamp(now.0 - age as i64 * 1_000_000);
            let verdict = census.judge(rule, outcome, finished_at, now);
            assert_eq!(verdict == Verdict::Stays, stays, "{outcome:?} {age}");
        }
    }
}
