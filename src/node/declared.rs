//! What a worker says it has: as it is configured, or as its host has it.
//! Must not know who asks for it.

use std::collections::BTreeMap;
use std::fs;

use hortator_core::dispatch::{Amounts, DEVICES_MAX, Resource};
use hortator_core::id::Name;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

const MIB: u64 = 1 << 20;

/// As configured; 0 means what the host has, and of disk none.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    pub cpu: f64,
    pub memory: u64,
    pub disk: u64,
    pub named: BTreeMap<Name, u64>,
}

/// All but slots and devices.
pub fn host_resources(declared: &Declared) -> Amounts {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
    let cpu = if declared.cpu > 0.0 { (declared.cpu * 1000.0) as u64 } else { cores * 1000 };
    let memory = if declared.memory > 0 { declared.memory } else { memory_of_host() };
    let amounts = Amounts::default()
        .with(Resource::Cpu, cpu)
        .with(Resource::Memory, memory / MIB)
        .with(Resource::Disk, declared.disk / MIB);
    let named = declared.named.iter();
    named.fold(amounts, |all, (name, amount)| all.with(Resource::Named(name.clone()), *amount))
}

fn memory_of_host() -> u64 {
    let kinds = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    System::new_with_specifics(kinds).map_or(0, |system| system.total_memory())
}

/// The numbers of this host's GPUs, along the bus: processes are told to let CUDA count them so, too.
pub fn host_devices() -> Vec<String> {
    let entries = fs::read_dir("/dev").into_iter().flatten().filter_map(Result::ok);
    let number =
        |entry: fs::DirEntry| entry.file_name().to_str()?.strip_prefix("nvidia")?.parse::<u32>().ok();
    let mut numbers: Vec<u32> = entries.filter_map(number).collect();
    numbers.sort_unstable();
    numbers.truncate(DEVICES_MAX);
    numbers.into_iter().map(|number| number.to_string()).collect()
}
