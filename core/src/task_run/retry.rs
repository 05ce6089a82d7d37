//! How long a task run waits between two tries.
//! Must not draw the jitter: the caller brings it.

use crate::definition::{Backoff, Retry};
use crate::time::Span;

/// Attempt numbers are two bytes in row keys and reports; a task run that has used them all fails.
pub const ATTEMPTS_MAX: u16 = u16::MAX;

/// The wait after the `tries`-th failed try (from 1). `jitter` is any number, evenly drawn; an exponential
/// delay never exceeds `max_delay`, jitter included.
pub fn delay(retry: &Retry, tries: u32, jitter: u64) -> Span {
    match retry.backoff {
        Backoff::Fixed => jittered(retry.delay, retry.jitter_percent, jitter),
        Backoff::Exponential => {
            let doublings = tries.saturating_sub(1);
            let doubled =
                1u64.checked_shl(doublings).map_or(u64::MAX, |times| retry.delay.0.saturating_mul(times));
            let doubled = if retry.delay == Span::ZERO { 0 } else { doubled };
            let capped = Span(doubled.min(retry.max_delay.0));
            jittered(capped, retry.jitter_percent, jitter).min(retry.max_delay)
        }
    }
}

/// Evenly within ± `percent` of the span, in whole microseconds.
fn jittered(span: Span, percent: u8, jitter: u64) -> Span {
    let reach = u128::from(span.0) * u128::from(percent.min(100)) / 100;
    let drawn = u128::from(jitter) % (2 * reach + 1);
    Span(u64::try_from(u128::from(span.0) - reach + drawn).unwrap_or(u64::MAX))
}
