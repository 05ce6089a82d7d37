//! The figures, as JSON and as lines for people. Keys are documented in docs/bench.md.

use serde::Serialize;

use super::counters::Counters;
use super::machine::Machine;
use super::measure::Measured;
use super::workload::{kind_word, word};
use super::{Plan, Starts, median, percentile, rate};

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub shape: &'static str,
    pub kind: &'static str,
    pub tasks: u32,
    pub masters: u32,
    pub workers: u32,
    pub slots: u32,
    pub runs: u32,
    /// Median over the runs.
    pub tasks_per_second: f64,
    pub seconds: f64,
    /// Each run's, in order.
    pub each_tasks_per_second: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop_ms: Option<Quantiles>,
    pub submit_to_start_ms: Quantiles,
    /// The same beside other tasks.
    pub loaded_submit_to_start_ms: Quantiles,
    pub loaded_tasks_per_second: f64,
    pub peak_rss_bytes: u64,
    pub per_task: PerTask,
    pub raw_synced_appends_per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_spawns_per_second: Option<f64>,
    /// Tasks a second by raw spawns a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of_raw_spawn_rate: Option<f64>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p99: f64,
}

/// Of all masters and workers together.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct PerTask {
    pub row_writes: f64,
    pub entries: f64,
    pub syncs: f64,
    pub frames: f64,
    pub actor_messages: f64,
}

impl Report {
    pub(super) fn new(
        plan: &Plan,
        runs: &[Measured],
        starts: Starts,
        counters: &Counters,
        machine: &Machine,
    ) -> Report {
        let tasks = f64::from(plan.tasks) * f64::from(plan.runs);
        let per = |count: u64| count as f64 / tasks;
        let tasks_per_second = median(runs, rate);
        let hops: Vec<f64> = runs.iter().flat_map(|run| run.hops_ms.iter().copied()).collect();
        Report {
            shape: word(plan.shape),
            kind: kind_word(plan.kind),
            tasks: plan.tasks,
            masters: plan.masters,
            workers: plan.workers,
            slots: plan.slots,
            runs: plan.runs,
            tasks_per_second,
            seconds: median(runs, |run| run.seconds),
            each_tasks_per_second: runs.iter().map(rate).collect(),
            hop_ms: (!hops.is_empty()).then(|| Quantiles::of(hops)),
            submit_to_start_ms: Quantiles::of(starts.idle),
            loaded_submit_to_start_ms: Quantiles::of(starts.loaded.starts),
            loaded_tasks_per_second: starts.loaded.tasks_per_second,
            peak_rss_bytes: counters.peak_memory,
            per_task: PerTask {
                row_writes: per(counters.row_writes),
                entries: per(counters.entries),
                syncs: per(counters.syncs),
                frames: per(counters.frames),
                actor_messages: per(counters.actor_messages),
            },
            raw_synced_appends_per_second: machine.synced_appends_per_second,
            raw_spawns_per_second: machine.spawns_per_second,
            of_raw_spawn_rate: machine.spawns_per_second.map(|raw| tasks_per_second / raw),
        }
    }

    /// For people.
    pub fn lines(&self) -> String {
        let mut lines = vec![
            format!("{} of {} {} tasks, median of {} runs", self.shape, self.tasks, self.kind, self.runs),
            format!("tasks/s          {:>10.0}", self.tasks_per_second),
            format!("submit to start  {}", self.submit_to_start_ms),
            format!(
                "  under load     {}   (beside {:.0} tasks/s)",
                self.loaded_submit_to_start_ms, self.loaded_tasks_per_second
            ),
        ];
        lines.extend(self.hop_ms.map(|hop| format!("hop              {hop}")));
        lines.push(format!("peak memory      {:>10.0} MB", self.peak_rss_bytes as f64 / 1e6));
        let PerTask { row_writes, entries, syncs, frames, actor_messages } = self.per_task;
        lines.push(format!(
            "per task         {row_writes:.2} row writes, {entries:.3} entries, {syncs:.3} syncs, {frames:.2} frames, \
             {actor_messages:.1} actor messages"
        ));
        lines.push(format!("raw appends/s    {:>10.0}", self.raw_synced_appends_per_second));
        if let (Some(raw), Some(share)) = (self.raw_spawns_per_second, self.of_raw_spawn_rate) {
            lines.push(format!("raw spawns/s     {raw:>10.0}   (tasks/s are {:.0} % of it)", share * 100.0));
        }
        lines.join("\n") + "\n"
    }
}

impl Quantiles {
    fn of(mut values: Vec<f64>) -> Quantiles {
        Quantiles { p50: percentile(&mut values, 50), p99: percentile(&mut values, 99) }
    }
}

impl std::fmt::Display for Quantiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p50 {:.2} ms, p99 {:.2} ms", self.p50, self.p99)
    }
}
