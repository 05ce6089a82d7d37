//! What losses in a row mean: one says nothing about the task, many of them that it may be what ends its workers.
//! Must not know how a loss is found.

use crate::definition::{Backoff, Retry};
use crate::time::Span;

/// So many attempts in a row may be lost with their workers; with the last of them the task run fails. By chance no task
/// comes there: it would have to meet the end of a worker ten times before it once ends by itself.
pub const LOSSES_MAX: u32 = 10;

/// After these losses in a row the task run is ready at once: two hosts may go at a time, and that is not its doing.
pub const LOSSES_FREE: u32 = 2;

/// From then on it waits, twice as long each time: a task that takes its worker with it then costs a fleet a worker now and
/// then, not all of them within a minute. With the bound on losses it is over after some two minutes.
const WAITS: Retry = Retry {
    max: LOSSES_MAX,
    delay: Span::from_secs(1),
    backoff: Backoff::Exponential,
    max_delay: Span::from_secs(30),
    // Those who were lost together come back apart, so that only the one to blame is lost again.
    jitter_percent: 30,
};

/// The wait after so many losses in a row.
pub(super) fn wait(losses: u32, jitter: u64) -> Span {
    match losses.checked_sub(LOSSES_FREE) {
        None | Some(0) => Span::ZERO,
        Some(waits) => super::delay(&WAITS, waits, jitter),
    }
}
