//! How often actors look at what time alone brings: ticks, heartbeats, links. Everything that somebody tells them goes at
//! once in any case. Must not know who looks at what.

use std::sync::Arc;
use std::time::Duration;

use hortator_core::time::{Span, Timestamp};

use crate::seam::Clock;

/// Times by which looks are rarer when weeks with trouble are simulated: the first lease of an agent, 10 s, still sees two
/// ticks.
const LAZY: u32 = 50;
/// The same where nothing can be lost and no lease is kept: what nobody tells then need never be looked at.
const QUIET: u32 = 400;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// As in production.
    #[default]
    Lively,
    /// For simulated weeks of one master that nobody competes with.
    Lazy,
    /// The same without any trouble.
    Quiet,
}

impl Pace {
    pub fn every(self, usual: Duration) -> Duration {
        usual * self.rarer()
    }

    pub fn span(self, usual: Span) -> Span {
        Span(usual.0 * u64::from(self.rarer()))
    }

    fn rarer(self) -> u32 {
        match self {
            Pace::Lively => 1,
            Pace::Lazy => LAZY,
            Pace::Quiet => QUIET,
        }
    }

    /// For what judges silence by spans of its own: time goes as slowly as the looks.
    pub fn clock(self, clock: Arc<dyn Clock>) -> Arc<dyn Clock> {
        match self {
            Pace::Lively => clock,
            Pace::Lazy | Pace::Quiet => Arc::new(Slow { clock, rarer: u64::from(self.rarer()) }),
        }
    }
}

struct Slow {
    clock: Arc<dyn Clock>,
    rarer: u64,
}

impl Clock for Slow {
    fn wall(&self) -> Timestamp {
        self.clock.wall()
    }

    fn boot(&self) -> Span {
        Span(self.clock.boot().0 / self.rarer)
    }
}
