//! Learned durations: how long a task takes, as a small value that is updated at each success and kept in its shard's
//! rows. Must not know who stores it or what the task does.

use std::collections::BTreeMap;

use crate::id::TaskIndex;
use crate::time::Span;

/// Successes that count; a task that changes is known anew after about half as many.
const SAMPLES_MAX: usize = 32;
/// First byte of an encoding.
const VERSION: u8 = 1;
/// Binary steps of a duration code within one doubling: 8, so a code is wrong by at most an eighth.
const STEP_BITS: u32 = 3;

/// What a kind of machine is called for durations: the same number for workers that are alike.
pub type WorkerClass = u16;
/// Of a worker that nobody knows any more.
pub const NO_CLASS: WorkerClass = 0;

/// How long one task took the last times, on one class of workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Codes of milliseconds, oldest first.
    recent: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Estimate {
    pub p50: Span,
    pub p95: Span,
    /// Successes it rests on.
    pub samples: usize,
}

/// The bytes are no durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes that begin with {first:?} are no learned durations")]
pub struct LearnedError {
    pub len: usize,
    pub first: Option<u8>,
}

impl Learned {
    /// A success that took so long. Failures say nothing about durations.
    pub fn learn(&mut self, took: Span) {
        if self.recent.len() == SAMPLES_MAX {
            self.recent.remove(0);
        }
        self.recent.push(code(took.0 / 1000));
    }

    /// Nothing before the first success.
    pub fn estimate(&self) -> Option<Estimate> {
        let samples = self.recent.len();
        let p50 = self.quantile(50)?;
        let p95 = self.quantile(95)?;
        Some(Estimate { p50, p95, samples })
    }

    /// At most 33 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.recent);
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Learned, LearnedError> {
        match bytes {
            [VERSION, recent @ ..] if recent.len() <= SAMPLES_MAX => Ok(Learned { recent: recent.to_vec() }),
            _ => Err(LearnedError { len: bytes.len(), first: bytes.first().copied() }),
        }
    }

    /// The least duration that `percent` of the weight does not exceed; a sample's weight falls with its age.
    fn quantile(&self, percent: u64) -> Option<Span> {
        let age_max = SAMPLES_MAX + 1;
        let oldest = self.recent.len();
        let weight = |at: usize| (age_max - (oldest - at)) as u64;
        let mut weighed: Vec<(u8, u64)> =
            self.recent.iter().enumerate().map(|(at, code)| (*code, weight(at))).collect();
        weighed.sort_unstable();
        let total: u64 = weighed.iter().map(|(_, weight)| weight).sum();
        let mut below = 0;
        let found = weighed.iter().find(|(_, weight)| {
            below += weight;
            below * 100 >= total * percent
        });
        found.map(|(code, _)| Span(value(*code).saturating_mul(1000)))
    }
}

/// Durations of one workflow's tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    tasks: BTreeMap<(TaskIndex, WorkerClass), Learned>,
}

impl Durations {
    pub fn learn(&mut self, task: TaskIndex, class: WorkerClass, took: Span) {
        self.tasks.entry((task, class)).or_default().learn(took);
    }

    /// What was learned before.
    pub fn set(&mut self, task: TaskIndex, class: WorkerClass, learned: Learned) {
        self.tasks.insert((task, class), learned);
    }

    /// On that class of workers.
    pub fn on(&self, task: TaskIndex, class: WorkerClass) -> Option<Estimate> {
        self.tasks.get(&(task, class))?.estimate()
    }

    /// On whatever worker: of the class that ran it most often.
    pub fn anywhere(&self, task: TaskIndex) -> Option<Estimate> {
        let classes = self.tasks.range((task, 0)..=(task, WorkerClass::MAX));
        classes.filter_map(|(_, learned)| learned.estimate()).max_by_key(|estimate| estimate.samples)
    }

    /// What a task without a success is taken for: the middle of those that have one.
    pub fn middle(&self) -> Option<Span> {
        let mut known: Vec<Span> =
            self.tasks.values().filter_map(|learned| Some(learned.estimate()?.p50)).collect();
        known.sort_unstable();
        known.get(known.len() / 2).copied()
    }
}

/// A number as 8 bits: exact below 8, then eight steps per doubling up to 2^34.
pub(super) fn code(number: u64) -> u8 {
    if number < 8 {
        return number as u8;
    }
    let top = 63 - number.leading_zeros();
    let step = (number >> (top - STEP_BITS)) & 7;
    u8::try_from(u64::from(top - STEP_BITS + 1) * 8 + step).unwrap_or(u8::MAX)
}

/// The middle of the numbers with that code.
pub(super) fn value(code: u8) -> u64 {
    let (doubling, step) = (u32::from(code) / 8, u64::from(code) % 8);
    match doubling {
        0 => step,
        doubling => ((8 + step) << (doubling - 1)) + ((1 << (doubling - 1)) >> 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_close_and_rise() {
        let mut before = 0;
        for number in (0..5000).chain((13..34).map(|bits| (1 << bits) + 77)) {
            let code = code(number);
            assert!(code >= before, "{number}");
            before = code;
            let off = value(code).abs_diff(number) as f64;
            assert!(off <= number as f64 / 15.0, "{number} reads {}", value(code));
        }
        assert_eq!(code(u64::MAX), u8::MAX);
    }

    #[test]
    fn a_changed_task_is_known_anew() {
        let mut learned = Learned::default();
        assert_eq!(learned.estimate(), None);
        (0..100).for_each(|_| learned.learn(Span::from_secs(10)));
        let before = learned.estimate().unwrap();
        assert!(before.p50.0.abs_diff(10_000_000) < 700_000, "{before:?}");
        (0..12).for_each(|_| learned.learn(Span::from_secs(100)));
        let after = learned.estimate().unwrap();
        assert!(after.p50 > Span::from_secs(90), "{after:?}");
        assert_eq!(after.samples, SAMPLES_MAX);
    }

    #[test]
    fn a_tail_shows_in_p95_only() {
        let mut learned = Learned::default();
        (0..30).for_each(|at| learned.learn(Span::from_millis(if at % 10 == 9 { 60_000 } else { 1000 })));
        let estimate = learned.estimate().unwrap();
        assert!(estimate.p50 < Span::from_millis(1100) && estimate.p95 > Span::from_secs(50), "{estimate:?}");
    }

    #[test]
    fn encodings_come_back_and_others_are_refused() {
        let mut learned = Learned::default();
        (1..40).for_each(|seconds| learned.learn(Span::from_secs(seconds)));
        let bytes = learned.encode();
        assert!(bytes.len() <= 33);
        assert_eq!(Learned::decode(&bytes), Ok(learned));
        assert!(Learned::decode(&[]).is_err() && Learned::decode(&[2, 1]).is_err());
        assert!(Learned::decode(&[VERSION; 34]).is_err());
    }
}
