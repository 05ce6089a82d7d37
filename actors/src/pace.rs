//! How often actors look at what time alone brings: ticks, heartbeats, links. Everything that somebody tells them goes at
//! once in any case. Must not know who looks at what.

use std::sync::Arc;
use std::time::Duration;

use hortator_core::time::{Span, Timestamp};

use crate::seam::Clock;

/// Times by which looks are rarer when weeks are simulated: a lone master waits minutes for its workers, and the first
/// lease of an agent, 10 s, still sees two ticks.
const RARER: u32 = 50;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// As in production.
    #[default]
    Lively,
    /// For simulated weeks of one master that nobody competes with.
    Lazy,
}

impl Pace {
    pub fn every(self, usual: Duration) -> Duration {
        match self {
            Pace::Lively => usual,
            Pace::Lazy => usual * RARER,
        }
    }

    /// For what judges silence by spans of its own: time goes as slowly as the looks.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Arc<dyn Clock> {
        match self {
            Pace::Lively => clock,
            Pace::Lazy => Arc::new(Slow(clock)),
        }
    }
}

struct Slow(Arc<dyn Clock>);

impl Clock for Slow {
    fn wall(&self) -> Timestamp {
        self.0.wall()
    }

    fn boot(&self) -> Span {
        Span(self.0.boot().0 / u64::from(RARER))
    }
}
