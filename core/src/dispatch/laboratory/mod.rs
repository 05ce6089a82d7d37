//! The policy laboratory: traces of real workflows on virtual time, through the same deciders that place task runs in
//! production, beside baselines that do not. Must not know files, clocks or formats of traces.
//!
//! ```text
//!  Trace ─▶ Study { fleet, order, policy, noise, heartbeats } ─▶ play ─▶ Played ─▶ ratios, waits, imbalance
//! ```

mod baseline;
mod bounds;
mod fleet;
mod play;
mod sums;
mod table;

pub use bounds::{Bounds, bounds};
pub use fleet::{Band, Fleet, FleetError};
pub use play::{Failover, Job, Memory, Order, Played, Sight, Study, TaskTimes, Weather, play};
pub use sums::{PriorityWait, Sums, geometric_mean, median, sums};
pub use table::{Case, Cell, Row, compare};

use crate::definition::Graph;
use crate::time::Span;

/// A workflow whose durations are known.
#[derive(Clone, Debug)]
pub struct Trace {
    pub name: String,
    pub graph: Graph,
    /// By task, on a worker of speed 1.
    pub durations: Vec<Span>,
}

impl Trace {
    pub fn new(name: &str, needs: &[Vec<u32>], durations: Vec<Span>) -> Trace {
        assert_eq!(needs.len(), durations.len(), "each task has a duration");
        let graph = Graph::new(needs);
        assert!(graph.topological().is_ok(), "a workflow has no circle");
        Trace { name: name.to_owned(), graph, durations }
    }
}
