//! How long things take, in fixed steps, for metrics. Must not know what is timed.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in microseconds; what takes longer than the last is counted under `+Inf`.
const BOUNDS_US: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// Counted by any thread, read by any other.
#[derive(Debug, Default)]
pub struct Histogram {
    steps: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let step = BOUNDS_US.partition_point(|bound| *bound < micros);
        self.steps[step].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.steps.iter().map(|step| step.load(Ordering::Relaxed)).sum()
    }

    /// Lines of OpenMetrics text; `labels` as `a="b",` or empty.
    pub(crate) fn write(&self, text: &mut String, name: &str, labels: &str) {
        let mut count = 0;
        for (step, bound) in self.steps.iter().zip(BOUNDS_US) {
            count += step.load(Ordering::Relaxed);
            let seconds = bound as f64 / 1e6;
            let _ = writeln!(text, "hortator_{name}_bucket{{{labels}le=\"{seconds}\"}} {count}");
        }
        count += self.steps[BOUNDS_US.len()].load(Ordering::Relaxed);
        let sum = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        let only = match labels.trim_end_matches(',') {
            "" => String::new(),
            labels => format!("{{{labels}}}"),
        };
        let _ = writeln!(text, "hortator_{name}_bucket{{{labels}le=\"+Inf\"}} {count}");
        let _ = writeln!(text, "hortator_{name}_sum{only} {sum}\nhortator_{name}_count{only} {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_falls_into_its_step() {
        let histogram = Histogram::default();
        for micros in [0, 50, 51, 1_000, 10_000_001] {
            histogram.add(Duration::from_micros(micros));
        }
        let mut text = String::new();
        histogram.write(&mut text, "x_seconds", "");
        for line in [
            "hortator_x_seconds_bucket{le=\"0.00005\"} 2",
            "hortator_x_seconds_bucket{le=\"0.0001\"} 3",
            "hortator_x_seconds_bucket{le=\"0.001\"} 4",
            "hortator_x_seconds_bucket{le=\"10\"} 4",
            "hortator_x_seconds_bucket{le=\"+Inf\"} 5",
            "hortator_x_seconds_sum 10.001102",
            "hortator_x_seconds_count 5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
