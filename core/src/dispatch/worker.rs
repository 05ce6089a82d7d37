//! What the Dispatcher is told of a worker: its row in the membership group, and what its heartbeats measured.
//! Must not know leases or how a loss is decided.

use serde::{Deserialize, Serialize};

use super::amounts::{Amounts, Resource};
use super::offer::{KindTag, Labels};
use crate::id::{Name, WorkerRef};
use crate::time::Timestamp;

/// Most devices of one worker; a set of them is one word.
pub const DEVICES_MAX: usize = 64;

/// Static weight of a worker whose configuration names none.
pub const WEIGHT_DEFAULT: u32 = 100;

/// A worker as the membership rows have it.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerFacts {
    pub worker: WorkerRef,
    pub groups: Vec<Name>,
    pub total: Amounts,
    /// What task processes call the devices, at most `DEVICES_MAX`; as many as `total` has of `Gpu`.
    pub devices: Vec<String>,
    pub kinds: Vec<KindTag>,
    pub labels: Labels,
    pub zone: Option<String>,
    pub version: String,
    pub state: WorkerState,
    /// Against other workers' weights, for `weighted_round_robin`.
    pub weight: u32,
    /// Its own limits; where they are infinite, those of its group count.
    pub thresholds: Metrics,
}

impl WorkerFacts {
    /// One that is up, has slots and runs everything.
    pub fn of_slots(worker: WorkerRef, groups: Vec<Name>, slots: u64) -> WorkerFacts {
        WorkerFacts {
            worker,
            groups,
            total: Amounts::slots(slots),
            devices: Vec::new(),
            kinds: vec![KindTag::Shell, KindTag::Noop],
            labels: Labels::new(),
            zone: None,
            version: String::new(),
            state: WorkerState::Up,
            weight: WEIGHT_DEFAULT,
            thresholds: Metrics::NO_LIMIT,
        }
    }

    /// The same with named devices.
    pub fn with_devices(mut self, devices: &[&str]) -> WorkerFacts {
        assert!(devices.len() <= DEVICES_MAX, "a set of devices is one word");
        self.devices = devices.iter().map(|device| (*device).to_owned()).collect();
        self.total = self.total.with(Resource::Gpu, devices.len() as u64);
        self
    }
}

/// Whether people let it have new work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkerState {
    Up,
    /// Finishes what it has and will leave.
    Draining {
        by: String,
        since: Timestamp,
    },
    /// Stays, but gets nothing new.
    Cordoned {
        by: String,
        since: Timestamp,
    },
}

/// What is measured and may have a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    CpuPercent,
    MemoryPercent,
    DiskPercent,
    /// Load average of the last minute per core, in percent.
    LoadPercent,
    /// Share of the last ten seconds in which something waited for it (PSI `some avg10`).
    PressureCpu,
    PressureMemory,
    PressureIo,
}

impl Metric {
    pub const ALL: [Metric; 7] = [
        Metric::CpuPercent,
        Metric::MemoryPercent,
        Metric::DiskPercent,
        Metric::LoadPercent,
        Metric::PressureCpu,
        Metric::PressureMemory,
        Metric::PressureIo,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Metric::CpuPercent => "cpu_percent",
            Metric::MemoryPercent => "memory_percent",
            Metric::DiskPercent => "disk_percent",
            Metric::LoadPercent => "load_percent",
            Metric::PressureCpu => "pressure_cpu",
            Metric::PressureMemory => "pressure_memory",
            Metric::PressureIo => "pressure_io",
        }
    }
}

/// A value, or a limit, of each metric, in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metrics([f64; Metric::ALL.len()]);

impl Metrics {
    pub const ZERO: Metrics = Metrics([0.0; Metric::ALL.len()]);
    /// As limits: none.
    pub const NO_LIMIT: Metrics = Metrics([f64::INFINITY; Metric::ALL.len()]);

    pub const fn with(mut self, metric: Metric, value: f64) -> Metrics {
        self.0[metric as usize] = value;
        self
    }

    pub const fn of(&self, metric: Metric) -> f64 {
        self.0[metric as usize]
    }

    /// Those that are limits.
    pub fn limits(&self) -> impl Iterator<Item = (Metric, f64)> {
        let all = *self;
        let metrics = Metric::ALL.into_iter();
        metrics.map(move |metric| (metric, all.of(metric))).filter(|(_, limit)| limit.is_finite())
    }

    /// These limits where there are any, otherwise the others.
    pub(super) fn or(&self, others: &Metrics) -> Metrics {
        let mut limits = *self;
        for (mine, theirs) in limits.0.iter_mut().zip(&others.0) {
            if mine.is_infinite() {
                *mine = *theirs;
            }
        }
        limits
    }
}

/// What a heartbeat measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    /// What running attempts hold, by the worker's own count.
    pub running: Amounts,
    /// What is used of the whole host, whoever uses it: cpu, memory, disk.
    pub used: Amounts,
    pub metrics: Metrics,
}

impl Load {
    /// Nothing runs and nothing is used.
    pub fn idle() -> Load {
        Load { running: Amounts::default(), used: Amounts::default(), metrics: Metrics::ZERO }
    }

    /// How busy the host is as a whole, 0 to 1: the worst of what slows down whatever runs there.
    pub(super) fn busy(&self) -> f64 {
        let worst = [Metric::CpuPercent, Metric::LoadPercent, Metric::PressureCpu, Metric::PressureIo];
        let share = worst.iter().map(|metric| self.metrics.of(*metric) / 100.0).fold(0.0, f64::max);
        share.clamp(0.0, 1.0)
    }
}

/// Some of a worker's devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Devices(u64);

impl Devices {
    /// The first free ones; as many as there are, which the caller has checked to be enough.
    pub(super) fn first_free(taken: Devices, count: u64) -> Devices {
        let mut chosen = 0u64;
        for _ in 0..count {
            let free = !(taken.0 | chosen);
            assert!(free != 0, "a worker has at most {DEVICES_MAX} devices");
            chosen |= 1 << free.trailing_zeros();
        }
        Devices(chosen)
    }

    /// Those of a worker that have these names.
    pub(super) fn named(names: &[String], all: &[String]) -> Devices {
        let known = names.iter().filter_map(|name| all.iter().position(|device| device == name));
        Devices(known.fold(0, |set, at| set | 1 << at))
    }

    pub(super) fn names(self, all: &[String]) -> Vec<String> {
        let chosen = all.iter().enumerate().filter(|(at, _)| *at < DEVICES_MAX && self.0 >> at & 1 == 1);
        chosen.map(|(_, name)| name.clone()).collect()
    }

    fn union(self, other: Devices) -> Devices {
        Devices(self.0 | other.0)
    }

    fn without(self, other: Devices) -> Devices {
        Devices(self.0 & !other.0)
    }

    fn both(self, other: Devices) -> Devices {
        Devices(self.0 & other.0)
    }
}

/// Devices that are taken. One may be taken more than once: what two Dispatchers granted may overlap, until the worker has
/// refused one of the attempts, and then it is still the other's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TakenDevices {
    taken: Devices,
    /// What is taken by one more each; no more of them than attempts that overlap.
    again: Vec<Devices>,
}

impl TakenDevices {
    pub(super) fn any(&self) -> Devices {
        self.taken
    }

    pub(super) fn take(&mut self, devices: Devices) {
        let again = self.taken.both(devices);
        self.taken = self.taken.union(devices);
        if again != Devices::default() {
            self.again.push(again);
        }
    }

    pub(super) fn give_back(&mut self, devices: Devices) {
        let mut last = devices;
        for again in &mut self.again {
            let both = again.both(last);
            *again = again.without(both);
            last = last.without(both);
        }
        self.again.retain(|again| *again != Devices::default());
        self.taken = self.taken.without(last);
    }
}
