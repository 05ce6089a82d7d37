//! What no schedule can beat: the longest path at the highest speed, and all work at full power.
//! Must not know any schedule.

use super::{Fleet, Trace};
use crate::dispatch::remaining_paths;
use crate::time::Span;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bounds {
    pub path: f64,
    pub work: f64,
}

impl Bounds {
    pub fn lower(&self) -> f64 {
        self.path.max(self.work)
    }
}

/// In seconds.
pub fn bounds(trace: &Trace, fleet: &Fleet) -> Bounds {
    let paths = remaining_paths(&trace.graph, |task| trace.durations[task as usize]);
    let longest = paths.into_iter().max().unwrap_or(Span::ZERO);
    let work: u64 = trace.durations.iter().map(|duration| duration.0).sum();
    Bounds { path: longest.0 as f64 / 1e6 / fleet.speed_max(), work: work as f64 / 1e6 / fleet.power() }
}
