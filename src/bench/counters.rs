//! What the nodes of the measured cluster count, all together.

use std::fs;
use std::sync::atomic::Ordering;

use crate::cli::scrape::Metrics;
use crate::node::Embedded;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub entries: u64,
    pub row_writes: u64,
    pub syncs: u64,
    pub frames: u64,
    pub actor_messages: u64,
    pub leader_changes: u64,
    /// The most memory held so far, in bytes, of all processes together.
    pub peak_memory: u64,
}

impl Counters {
    pub(super) fn of_embedded(embedded: &Embedded) -> Counters {
        let mut sum = Counters { syncs: embedded.syncs(), peak_memory: peak_memory(), ..Counters::default() };
        for meter in &embedded.meters() {
            sum.entries += meter.entries.load(Ordering::Relaxed);
            sum.row_writes += meter.row_writes.load(Ordering::Relaxed);
            sum.frames += meter.frames_sent.load(Ordering::Relaxed);
            sum.actor_messages += meter.actor_messages.load(Ordering::Relaxed);
            sum.leader_changes += meter.leader_changes.load(Ordering::Relaxed);
        }
        sum
    }

    /// A worker has no entries, rows and syncs.
    pub(super) fn of_metrics(metrics: &Metrics) -> Counters {
        let value = |name: &str| metrics.value(name);
        Counters {
            entries: value("hortator_raft_proposals_total"),
            row_writes: value("hortator_row_writes_total"),
            syncs: value("hortator_store_syncs_total"),
            frames: value("hortator_frames_sent_total"),
            actor_messages: value("hortator_actor_messages_total"),
            leader_changes: value("hortator_raft_leader_changes_total"),
            peak_memory: value("hortator_process_peak_memory_bytes"),
        }
    }

    pub(super) fn add(&mut self, other: &Counters) {
        self.entries += other.entries;
        self.row_writes += other.row_writes;
        self.syncs += other.syncs;
        self.frames += other.frames;
        self.actor_messages += other.actor_messages;
        self.leader_changes += other.leader_changes;
        self.peak_memory += other.peak_memory;
    }

    pub(super) fn since(&self, before: &Counters) -> Counters {
        Counters {
            entries: self.entries - before.entries,
            row_writes: self.row_writes - before.row_writes,
            syncs: self.syncs - before.syncs,
            frames: self.frames - before.frames,
            actor_messages: self.actor_messages - before.actor_messages,
            leader_changes: self.leader_changes - before.leader_changes,
            peak_memory: self.peak_memory,
        }
    }
}

/// The most memory this process ever held: masters, workers and the client together, without the wardens.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}
