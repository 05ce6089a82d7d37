//! `hortator bench`: measures a cluster of its own through its public API, beside what the machine can do at most.
//! One master is measured in this process; several are processes, as they would be on separate hosts.
//! Must not reach around the API: it is a client like any other, and reads counters and nothing else.

mod cluster;
mod counters;
mod load;
mod machine;
mod measure;
mod report;
mod sessions;
mod workload;

use std::path::PathBuf;

use slog::Logger;

pub use cluster::{Cluster, Processes};
pub use report::Report;
pub use sessions::{SessionsReport, sessions};
pub use workload::{Kind, Shape};

use crate::cli::error::Error;
use crate::cli::session::Session;
use load::Load;
use measure::Measured;

/// Starts that are timed one after the other while nothing else goes on.
const STARTS: usize = 100;
/// The same beside a load: more, since a busy cluster's times spread.
const STARTS_UNDER_LOAD: usize = 300;

/// What is to be measured.
#[derive(Clone, Debug)]
pub struct Plan {
    pub shape: Shape,
    pub kind: Kind,
    pub tasks: u32,
    pub masters: u32,
    pub workers: u32,
    pub slots: u32,
    /// Repetitions, of which the median is shown.
    pub runs: u32,
    pub load: Beside,
    /// Where the cluster's files lie.
    pub data: PathBuf,
    pub log: Logger,
}

/// How much goes on while starts are timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Half of the tasks a second that were measured.
    HalfOfTheRate,
    /// So many tasks a second.
    Tasks(u32),
}

impl Beside {
    fn tasks_per_second(self, measured: f64) -> f64 {
        match self {
            Beside::HalfOfTheRate => measured / 2.0,
            Beside::Tasks(tasks) => f64::from(tasks),
        }
    }
}

/// Slots of a worker when nobody says. A no-op is over at once, so its slot is held for a commit and a report only:
/// many are needed to keep the log busy. A process holds its slot for two commits beside its own short life.
pub fn slots(kind: Kind) -> u32 {
    match kind {
        Kind::Noop => 2_048,
        Kind::Process => 32 * std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
    }
}

/// Waits until the cluster can work.
pub async fn until_ready(session: &Session, plan: &Plan, cluster: &Cluster) -> Result<(), Error> {
    measure::until_ready(session, plan, cluster).await
}

/// Measures on a running cluster; blocks the caller's runtime only while the machine itself is measured.
pub async fn bench(plan: &Plan, cluster: &Cluster, session: &Session) -> Result<Report, Error> {
    let text = workload::definition(plan.shape, plan.kind, plan.tasks);
    let workflow = measure::apply(session, &text).await?;
    let before = cluster.counters().await?;
    let mut measured = Vec::new();
    for _ in 0..plan.runs {
        measured.push(measure::one_run(session, &workflow, plan).await?);
    }
    let counters = cluster.counters().await?.since(&before);
    let idle = measure::starts(session, plan.kind, STARTS).await?;
    let beside = plan.load.tasks_per_second(median(&measured, rate));
    let loaded = starts_under_load(session, plan.kind, beside).await?;
    let machine = machine::measure(plan)?;
    Ok(Report::new(plan, &measured, Starts { idle, loaded }, &counters, &machine))
}

/// Milliseconds from sending a start to the task's start, on a cluster that does nothing else and on a busy one.
#[derive(Debug)]
struct Starts {
    idle: Vec<f64>,
    loaded: Loaded,
}

#[derive(Debug)]
struct Loaded {
    starts: Vec<f64>,
    /// What was done beside them.
    tasks_per_second: f64,
}

async fn starts_under_load(session: &Session, kind: Kind, tasks_per_second: f64) -> Result<Loaded, Error> {
    let load = Load::of(session, kind, tasks_per_second).await?;
    let starts = tokio::select! {
        starts = measure::starts(session, kind, STARTS_UNDER_LOAD) => starts?,
        failed = load.go_on(session) => match failed? {},
    };
    let tasks_per_second = load.done(session).await?;
    Ok(Loaded { starts, tasks_per_second })
}

/// The median by a key; the lower one of two.
fn median<T>(items: &[T], key: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = items.iter().map(key).collect();
    percentile(&mut values, 50)
}

/// The value that `percent` of them do not exceed; NaN without values.
fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = (values.len() * percent).div_ceil(100).saturating_sub(1);
    values.get(place).copied().unwrap_or(f64::NAN)
}

/// Tasks a second of one run.
fn rate(run: &Measured) -> f64 {
    f64::from(run.tasks) / run.seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&mut values, 50), 50.0);
        assert_eq!(percentile(&mut values, 99), 99.0);
        assert_eq!(percentile(&mut [7.0], 50), 7.0);
        assert!(percentile(&mut [], 50).is_nan());
    }
}
