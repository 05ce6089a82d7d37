//! How long things take, in fixed steps, for metrics. Must not know what is timed.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in microseconds; what takes longer than the last is counted under `+Inf`.
const BOUNDS_US: [u64; 16] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000,
];

/// For what takes as long as people's work does: from a hundredth of a second to a day.
const LONG_US: [u64; 14] = [
    10_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    15_000_000,
    60_000_000,
    300_000_000,
    900_000_000,
    3_600_000_000,
    10_800_000_000,
    21_600_000_000,
    43_200_000_000,
    86_400_000_000,
];

/// Counted by any thread, read by any other.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One more than bounds.
    steps: Box<[AtomicU64]>,
    sum_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::of(&BOUNDS_US)
    }
}

impl Histogram {
    /// From a hundredth of a second to a day.
    pub fn long() -> Histogram {
        Histogram::of(&LONG_US)
    }

    fn of(bounds: &'static [u64]) -> Histogram {
        let steps = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram { bounds, steps, sum_us: AtomicU64::new(0) }
    }

    /// So many per cent were no longer: the bound of their step. The last bound for what is above it.
    pub fn quantile(&self, percent: u64) -> Duration {
        let counts: Vec<u64> = self.steps.iter().map(|step| step.load(Ordering::Relaxed)).collect();
        let wanted = counts.iter().sum::<u64>().saturating_mul(percent).div_ceil(100);
        let mut seen = 0;
        let step = counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        let bound = step.map_or(0, |step| self.bounds[step.min(self.bounds.len() - 1)]);
        Duration::from_micros(if wanted == 0 { 0 } else { bound })
    }

    pub fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let step = self.bounds.partition_point(|bound| *bound < micros);
        self.steps[step].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    pub fn count(&self) -> u64 {
        self.steps.iter().map(|step| step.load(Ordering::Relaxed)).sum()
    }

    /// Lines of OpenMetrics text; `labels` as `a="b",` or empty.
    pub fn write(&self, text: &mut String, name: &str, labels: &str) {
        let mut count = 0;
        for (step, bound) in self.steps.iter().zip(self.bounds) {
            count += step.load(Ordering::Relaxed);
            let seconds = *bound as f64 / 1e6;
            let _ = writeln!(text, "hortator_{name}_bucket{{{labels}le=\"{seconds}\"}} {count}");
        }
        count += self.steps[self.bounds.len()].load(Ordering::Relaxed);
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
        let quantile = |percent| histogram.quantile(percent).as_micros();
        assert_eq!([quantile(40), quantile(60), quantile(80), quantile(99)], [50, 100, 1_000, 10_000_000]);
        assert_eq!(Histogram::long().quantile(99), Duration::ZERO);
    }
}
