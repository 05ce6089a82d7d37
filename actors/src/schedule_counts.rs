//! What schedules did, for metrics: counted where it is committed. Must not know any schedule.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use hortator_core::id::Name;
use hortator_core::time::Span;

use crate::histogram::Histogram;

/// One committed decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleCount {
    /// `delay`: from its time to the decision.
    Fired {
        namespace: Name,
        cause: &'static str,
        delay: Span,
    },
    Missed {
        namespace: Name,
        cause: &'static str,
        times: u64,
    },
}

/// By namespace and cause.
type Counts = BTreeMap<(Name, &'static str), u64>;

/// All of a node since it started.
#[derive(Debug, Default)]
pub struct ScheduleCounts {
    fires: Mutex<Counts>,
    missed: Mutex<Counts>,
    /// Of those that were due and not late.
    delay: Histogram,
}

impl ScheduleCounts {
    pub(crate) fn add(&self, count: ScheduleCount) {
        match count {
            ScheduleCount::Fired { namespace, cause, delay } => {
                if cause == "due" {
                    self.delay.add(delay.as_duration());
                }
                *lock(&self.fires).entry((namespace, cause)).or_default() += 1;
            }
            ScheduleCount::Missed { namespace, cause, times } => {
                *lock(&self.missed).entry((namespace, cause)).or_default() += times;
            }
        }
    }

    /// Lines of OpenMetrics text.
    pub(crate) fn write(&self, text: &mut String) {
        for (name, help, counts) in [
            ("schedule_fires", "Runs that schedules made", &self.fires),
            ("schedule_missed", "Times of schedules that made no run", &self.missed),
        ] {
            crate::metrics::head(text, name, help, "counter");
            for ((namespace, cause), count) in lock(counts).iter() {
                let labels = format!("namespace=\"{namespace}\",cause=\"{cause}\"");
                let _ = writeln!(text, "hortator_{name}_total{{{labels}}} {count}");
            }
        }
        let help = "From the time of a schedule that is due to its decision";
        crate::metrics::head(text, "schedule_fire_delay_seconds", help, "histogram");
        self.delay.write(text, "schedule_fire_delay_seconds", "");
    }
}

fn lock(counts: &Mutex<Counts>) -> std::sync::MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}
