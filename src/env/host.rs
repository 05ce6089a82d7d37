//! How busy this host is, for heartbeats: CPU, memory, disk, load and pressure.
//! A figure that the host does not give is zero.

use std::fs;
use std::path::PathBuf;

use hortator_actors::seam::{HostMetrics, HostSample};
use nix::sys::statvfs::statvfs;
use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};

/// Reads `/proc`, through sysinfo where that knows how.
#[derive(Debug)]
pub struct SystemHost {
    system: Option<System>,
    data: PathBuf,
}

impl SystemHost {
    /// `data`: the directory whose disk counts.
    pub fn new(data: PathBuf) -> SystemHost {
        let kinds = RefreshKind::nothing()
            .with_cpu(CpuRefreshKind::nothing().with_usage())
            .with_memory(MemoryRefreshKind::nothing().with_ram());
        SystemHost { system: System::new_with_specifics(kinds).ok(), data }
    }
}

impl HostMetrics for SystemHost {
    fn sample(&mut self) -> HostSample {
        // What only the administrator may use counts neither as free nor as there.
        let (disk_free, disk_total) = statvfs(&self.data).map_or((0, 0), |disk| {
            let used = disk.blocks().saturating_sub(disk.blocks_free());
            let blocks = used + disk.blocks_available();
            (disk.blocks_available() * disk.fragment_size(), blocks * disk.fragment_size())
        });
        let waited = |what: &str| fs::read_to_string(what).map_or(0.0, |text| pressure(&text));
        let pressure_cpu = waited("/proc/pressure/cpu");
        let (pressure_memory, pressure_io) = (waited("/proc/pressure/memory"), waited("/proc/pressure/io"));
        let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get() as u32);
        let load1 = System::load_average().map_or(0.0, |load| load.one as f32);
        let sample = HostSample {
            disk_free,
            disk_total,
            load1,
            pressure_cpu,
            pressure_memory,
            pressure_io,
            cores,
            ..HostSample::default()
        };
        let Some(system) = &mut self.system else {
            return sample;
        };
        system.refresh_cpu_usage();
        system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        HostSample {
            cpu_percent: system.global_cpu_usage(),
            memory_used: system.used_memory(),
            memory_total: system.total_memory(),
            ..sample
        }
    }
}

/// The share of the last ten seconds in which some task waited: `some avg10=1.23 avg60=…`.
fn pressure(text: &str) -> f32 {
    let some = text.lines().find_map(|line| line.strip_prefix("some "));
    let average = some.and_then(|line| line.split_whitespace().find_map(|word| word.strip_prefix("avg10=")));
    average.and_then(|average| average.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_read_or_zero() {
        let text = "some avg10=1.23 avg60=0.50 avg300=0.10 total=1\nfull avg10=9.00 avg60=0.00 avg300=0.00 total=0\n";
        for (text, expected) in [(text, 1.23), ("", 0.0), ("some avg10=x", 0.0), ("full avg10=2.0", 0.0)] {
            assert_eq!(pressure(text), expected, "{text:?}");
        }
    }

    #[test]
    fn this_host_has_memory_and_disk() {
        let mut host = SystemHost::new(std::env::temp_dir());
        let sample = host.sample();
        assert!(sample.memory_total > 0 && sample.memory_used <= sample.memory_total && sample.disk_free > 0);
        let begin = std::time::Instant::now();
        (0..100).for_each(|_| assert!(host.sample().memory_total > 0));
        println!("a sample takes {:?}", begin.elapsed() / 100);
    }
}
