//! How many of what was decided came out how, by words of which there are few. Must not know why.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use hortator_core::event::{AttemptResult, Event};
use hortator_core::time::Span;

use crate::histogram::Histogram;

/// Counted when events are handed in: an entry that is lost with its leader is decided, and counted, again elsewhere.
#[derive(Debug)]
pub struct Tally {
    counts: Mutex<Counts>,
    /// From created to finished.
    pub run_duration: Histogram,
}

/// By outcome.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub runs: BTreeMap<&'static str, u64>,
    pub tasks: BTreeMap<&'static str, u64>,
    pub attempts: BTreeMap<&'static str, u64>,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally { counts: Mutex::default(), run_duration: Histogram::long() }
    }
}

impl Tally {
    pub fn note(&self, event: &Event) {
        let count = |of: fn(&mut Counts) -> &mut BTreeMap<&'static str, u64>, word| {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            *of(&mut counts).entry(word).or_default() += 1;
        };
        match event {
            Event::RunCreated { .. } => count(|counts| &mut counts.runs, "created"),
            Event::RunFinished { outcome } => count(|counts| &mut counts.runs, outcome.word()),
            Event::RunQuarantined { .. } => count(|counts| &mut counts.runs, "quarantined"),
            Event::TaskEnded { outcome, .. } => count(|counts| &mut counts.tasks, outcome.result().word()),
            Event::AttemptEnded { end, .. } => count(|counts| &mut counts.attempts, word(&end.result)),
            Event::AttemptLost { .. } => count(|counts| &mut counts.attempts, "lost"),
            Event::AttemptRefused { .. } => count(|counts| &mut counts.attempts, "refused"),
            _ => {}
        }
    }

    pub fn ran(&self, took: Span) {
        self.run_duration.add(took.as_duration());
    }

    pub fn counts(&self) -> Counts {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn word(result: &AttemptResult) -> &'static str {
    match result {
        AttemptResult::Succeeded { .. } => "succeeded",
        AttemptResult::Exited { .. } => "exited",
        AttemptResult::Signalled { .. } => "signalled",
        AttemptResult::NotStarted { .. } => "not_started",
        AttemptResult::OutputsInvalid { .. } => "outputs_invalid",
        AttemptResult::TimedOut => "timed_out",
        AttemptResult::Cancelled => "cancelled",
    }
}
