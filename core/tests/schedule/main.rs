//! Schedules from outside: when they fire, and what becomes of each time.

mod decisions;
mod properties;
mod times;
mod vectors;

use hortator_core::schedule::{Times, TimesError, Timing};
use hortator_core::time::Timestamp;

pub(crate) fn cron(expression: &str, zone: &str) -> Result<Times, TimesError> {
    Times::new(&Timing::Cron { expression: expression.into(), zone: zone.into() })
}

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// The first so many after that one, as text without fractions.
pub(crate) fn next(times: &Times, after: &str, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut last = at(after);
    while found.len() < count
        && let Some(time) = times.after(last)
    {
        found.push(time.to_string().replace(".000000", ""));
        last = time;
    }
    found
}
