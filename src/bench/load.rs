//! Work that goes on beside what is timed: small runs, started at a steady pace whatever becomes of them.
//! Must not know what is timed beside it.

use std::cell::Cell;
use std::time::{Duration, Instant};

use hortator_core::id::Name;
use tokio::time::MissedTickBehavior;

use super::measure;
use super::workload::{self, Kind, Shape};
use crate::cli::error::Error;
use crate::cli::session::Session;

/// Tasks of one run: a steady stream for a cluster that does thousands a second, and few enough starts that the starts
/// are not what is measured.
const TASKS: u32 = 100;

/// See the module.
#[derive(Debug)]
pub(super) struct Load {
    workflow: Name,
    every: Duration,
    begun: Instant,
    started: Cell<u32>,
}

impl Load {
    /// So many tasks a second, from now on.
    pub(super) async fn of(session: &Session, kind: Kind, tasks_per_second: f64) -> Result<Load, Error> {
        let workflow = measure::apply(session, &workload::definition(Shape::Fan, kind, TASKS)).await?;
        let every = Duration::from_secs_f64(f64::from(TASKS) / tasks_per_second);
        Ok(Load { workflow, every, begun: Instant::now(), started: Cell::new(0) })
    }

    /// Starts runs until it is dropped; a start that is late is made up for.
    pub(super) async fn go_on(&self, session: &Session) -> Result<std::convert::Infallible, Error> {
        let mut pace = tokio::time::interval(self.every);
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            pace.tick().await;
            measure::start(session, &self.workflow).await?;
            self.started.set(self.started.get() + 1);
        }
    }

    /// Tasks a second that were done of it: waits until one more run, behind all others, has ended.
    pub(super) async fn done(&self, session: &Session) -> Result<f64, Error> {
        let last = measure::start(session, &self.workflow).await?;
        measure::until_end(session, &last).await?;
        let tasks = f64::from(self.started.get() + 1) * f64::from(TASKS);
        Ok(tasks / self.begun.elapsed().as_secs_f64())
    }
}
