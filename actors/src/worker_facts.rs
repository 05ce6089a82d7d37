//! A worker's row and heartbeat as the Dispatcher's deciders take them.
//! Must not know what they make of it.

use hortator_core::dispatch::{Amounts, Load, Metric, Metrics, Resource, WorkerFacts, WorkerState};
use hortator_core::id::{Name, WorkerRef};
use hortator_proto::frame::Heartbeat;
use hortator_proto::row::{Admission, Ordered, WorkerRow};

const MIB: u64 = 1 << 20;

/// Labels whose keys are no names are for people only: no task can ask for one.
pub(crate) fn facts(row: &WorkerRow) -> WorkerFacts {
    let state = match row.admission.clone() {
        Admission::Open => WorkerState::Up,
        Admission::Cordoned(Ordered { by, since }) => WorkerState::Cordoned { by, since },
        Admission::Draining(Ordered { by, since }) => WorkerState::Draining { by, since },
    };
    let profile = &row.profile;
    let label = |(key, value): (&String, &String)| Some((Name::new(key).ok()?, value.clone()));
    let limits = profile.thresholds.iter();
    WorkerFacts {
        worker: WorkerRef { name: row.name.clone(), incarnation: row.incarnation },
        groups: profile.groups.clone(),
        total: profile.total(),
        devices: profile.devices.clone(),
        kinds: profile.kinds.clone(),
        labels: profile.labels.iter().filter_map(label).collect(),
        zone: profile.zone.clone(),
        version: profile.version.clone(),
        state,
        weight: profile.weight,
        thresholds: limits.fold(Metrics::NO_LIMIT, |all, (metric, limit)| all.with(*metric, *limit)),
    }
}

pub(crate) fn load(beat: &Heartbeat) -> Load {
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let disk_used = beat.disk_total.saturating_sub(beat.disk_free);
    let cores = u64::from(beat.cores);
    let busy = f64::from(beat.cpu_percent.clamp(0.0, 100.0));
    // A processor is shared by whoever runs: how busy it is counts in the score and the thresholds. Memory and disk that are
    // used are not there.
    let used = Amounts::default()
        .with(Resource::Memory, beat.memory_used / MIB)
        .with(Resource::Disk, disk_used / MIB);
    let load = if cores == 0 { 0.0 } else { f64::from(beat.load1) / cores as f64 * 100.0 };
    let metrics = Metrics::ZERO
        .with(Metric::CpuPercent, busy)
        .with(Metric::MemoryPercent, share(beat.memory_used, beat.memory_total) * 100.0)
        .with(Metric::DiskPercent, share(disk_used, beat.disk_total) * 100.0)
        .with(Metric::LoadPercent, load)
        .with(Metric::PressureCpu, f64::from(beat.pressure_cpu))
        .with(Metric::PressureMemory, f64::from(beat.pressure_memory))
        .with(Metric::PressureIo, f64::from(beat.pressure_io));
    let running = beat.resources.clone().with(Resource::Slots, u64::from(beat.running_slots));
    Load { running, used, metrics }
}
