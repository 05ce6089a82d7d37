//! What one play amounts to: makespan, slowdown, waits by priority, imbalance.
//! Must not know other plays.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Bounds, Played, Study, bounds};
use crate::definition::Priority;
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sums {
    /// Seconds from the first arrival to the last end.
    pub makespan: f64,
    /// Of the last job to end, alone on the fleet: what it cannot beat; for one job the play's own bound.
    pub lower_bound: f64,
    pub ratio: f64,
    /// Mean over jobs of time in the system ÷ its bound alone.
    pub slowdown: f64,
    pub waits: Vec<PriorityWait>,
    /// The busiest worker's share of its slots' time ÷ the mean share.
    pub imbalance: f64,
    pub refusals: u64,
}

/// Seconds from ready to started.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PriorityWait {
    pub priority: Priority,
    pub tasks: u64,
    pub mean: f64,
    pub longest: f64,
}

pub fn sums(study: &Study<'_>, played: &Played) -> Sums {
    let seconds = |from: Timestamp, to: Timestamp| to.since(from).0 as f64 / 1e6;
    let begin = study.jobs.iter().map(|job| job.arrives).min().unwrap_or_default();
    let end_of = |job: usize| played.times[job].iter().map(|task| task.ended).max().unwrap_or(begin);
    let end = (0..study.jobs.len()).map(end_of).max().unwrap_or(begin);
    let alone: Vec<Bounds> = study.jobs.iter().map(|job| bounds(job.trace, study.fleet)).collect();
    let work: f64 = alone.iter().map(|one| one.work).sum();
    let path = study.jobs.iter().zip(&alone).map(|(job, one)| seconds(begin, job.arrives) + one.path);
    let lower_bound = path.fold(work, f64::max);
    let makespan = seconds(begin, end);
    let slowdown: Vec<f64> = (0..study.jobs.len())
        .map(|job| seconds(study.jobs[job].arrives, end_of(job)) / alone[job].lower().max(1e-9))
        .collect();
    Sums {
        makespan,
        lower_bound,
        ratio: makespan / lower_bound.max(1e-9),
        slowdown: slowdown.iter().sum::<f64>() / slowdown.len().max(1) as f64,
        waits: waits(study, played),
        imbalance: imbalance(study, played),
        refusals: played.refusals,
    }
}

fn waits(study: &Study<'_>, played: &Played) -> Vec<PriorityWait> {
    let mut waits: BTreeMap<Priority, Vec<f64>> = BTreeMap::new();
    for (job, times) in study.jobs.iter().zip(&played.times) {
        let of = waits.entry(job.priority).or_default();
        of.extend(times.iter().map(|task| task.started.since(task.ready).0 as f64 / 1e6));
    }
    let wait = |(priority, waits): (Priority, Vec<f64>)| PriorityWait {
        priority,
        tasks: waits.len() as u64,
        mean: waits.iter().sum::<f64>() / waits.len().max(1) as f64,
        longest: waits.iter().copied().fold(0.0, f64::max),
    };
    waits.into_iter().map(wait).collect()
}

fn imbalance(study: &Study<'_>, played: &Played) -> f64 {
    let workers = study.fleet.workers();
    let shares: Vec<f64> =
        played.busy.iter().zip(&workers).map(|(busy, (slots, _))| busy / f64::from(*slots)).collect();
    let mean = shares.iter().sum::<f64>() / shares.len().max(1) as f64;
    shares.iter().copied().fold(0.0, f64::max) / mean.max(1e-9)
}

pub fn geometric_mean(of: impl IntoIterator<Item = f64>) -> f64 {
    let (mut product, mut count) = (0.0, 0u32);
    for one in of {
        product += one.max(1e-9).ln();
        count += 1;
    }
    (product / f64::from(count.max(1))).exp()
}

/// The upper of the two in the middle of an even count.
pub fn median(mut of: Vec<f64>) -> f64 {
    assert!(!of.is_empty(), "a median is of something");
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
