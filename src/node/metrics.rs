//! What a process counts beside what its node counts: syncs of files, disk, memory, CPU. Must not know who asks.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use futures_util::future::{FutureExt, LocalBoxFuture};
use hortator_actors::gateway::{GatewayHandle, LogSelector};
use hortator_proto::api::{Look, Problem, Request, Response, Sight, Warning};
use hortator_proto::frame::LogChunk;
use hortator_raft::RowsView;
use nix::sys::statvfs::statvfs;

use hortator_actors::seam::Clock;

use super::{Master, Syncs};
use crate::api::Backend;
use crate::api::backend::Check;
use crate::env::{Links, SystemClock};
use crate::live_faults::LiveFaults;
use crate::pki::TlsIdentity;

/// Every commit waits for one: a good disk takes a few milliseconds.
const SYNC_MAX: Duration = Duration::from_millis(100);
/// What was slow longer ago is history.
const RECENT: Duration = Duration::from_secs(10 * 60);
/// Syncs named in warnings, the slowest first.
const SLOW_NAMED: usize = 5;

const CERTIFICATE: &str = "certificate_seconds_left";
const CERTIFICATE_HELP: &str = "Until the certificate of this node expires";

/// Ends OpenMetrics text.
pub(crate) const END: &str = "# EOF\n";

/// A master's backend whose metrics tell of its process too.
#[derive(Debug)]
pub(crate) struct WithProcess {
    gateway: GatewayHandle,
    syncs: Syncs,
    links: Links,
    /// None without certificates.
    tls: Option<TlsIdentity>,
    faults: LiveFaults,
}

impl WithProcess {
    pub(crate) fn new(master: &Master, tls: Option<TlsIdentity>) -> WithProcess {
        let gateway = master.node().gateway().clone();
        let (syncs, links) = (master.syncs(), master.links());
        WithProcess { gateway, syncs, links, tls, faults: LiveFaults::Off }
    }

    #[must_use]
    pub(crate) fn with_faults(self, faults: LiveFaults) -> WithProcess {
        WithProcess { faults, ..self }
    }

    /// What only the process knows is added.
    async fn sight(&self, look: Look) -> Result<Sight, Problem> {
        let top = if let Look::Slow { top } = look { top } else { usize::MAX };
        let mut sight = self.gateway.look(look).await?;
        match &mut sight {
            Sight::Slow(view) => view.syncs = self.syncs.slowest(top),
            Sight::Warnings(view) => view.warnings.extend(self.slow_syncs()),
            _ => {}
        }
        Ok(sight)
    }

    fn slow_syncs(&self) -> impl Iterator<Item = Warning> {
        let slow = self.syncs.slowest(usize::MAX).into_iter().filter(|one| {
            u128::from(one.took_us) > SYNC_MAX.as_micros() && u128::from(one.ago_us) < RECENT.as_micros()
        });
        slow.take(SLOW_NAMED).map(|one| Warning {
            about: "disk".into(),
            sentence: format!(
                "{} took {} (limit {} ms)",
                one.what,
                hortator_core::time::Span(one.took_us),
                SYNC_MAX.as_millis()
            ),
        })
    }

    async fn text(&self) -> String {
        let mut text = self.gateway.metrics().await;
        text.truncate(text.trim_end_matches(END).len());
        for (name, help, label) in [
            ("build_info", "Which program this is", format!("version=\"{}\"", env!("CARGO_PKG_VERSION"))),
            ("node_role", "What this node is", "role=\"master\"".into()),
        ] {
            head(&mut text, name, help, "gauge");
            let _ = writeln!(text, "hortator_{name}{{{label}}} 1");
        }
        counter(&mut text, "store_syncs", "Syncs of the groups' files", self.syncs.count());
        head(&mut text, "raft_append_fsync_seconds", "Syncs of a group's file", "histogram");
        for (group, took) in self.syncs.took() {
            took.write(&mut text, "raft_append_fsync_seconds", &format!("raft_group=\"{group}\","));
        }
        links(&mut text, &self.links);
        disk(&mut text, self.syncs.directory());
        match &self.tls {
            Some(tls) => certificate(&mut text, tls),
            None => head(&mut text, CERTIFICATE, CERTIFICATE_HELP, "gauge"),
        }
        process(&mut text);
        self.faults.metrics(&mut text);
        text + END
    }
}

/// Connections with other nodes, and the bytes of frames that went through them.
pub(crate) fn links(text: &mut String, links: &Links) {
    let traffic = links.traffic();
    head(text, "peer_connections", "Nodes that are connected", "gauge");
    for of in &traffic {
        let _ = writeln!(text, "hortator_peer_connections{{kind=\"{}\"}} {}", of.kind, of.connected);
    }
    head(text, "peer_bytes", "Bytes of frames to and from other nodes", "counter");
    for of in &traffic {
        for (dir, bytes) in [("sent", of.sent), ("received", of.received)] {
            let labels = format!("kind=\"{}\",dir=\"{dir}\"", of.kind);
            let _ = writeln!(text, "hortator_peer_bytes_total{{{labels}}} {bytes}");
        }
    }
}

/// Space under a directory.
pub(crate) fn disk(text: &mut String, directory: &Path) {
    let Ok(space) = statvfs(directory) else { return };
    let size = space.fragment_size();
    gauge(text, "disk_free_bytes", "Free space under the data directory", space.blocks_available() * size);
    gauge(text, "disk_size_bytes", "The size of that disk", space.blocks() * size);
}

/// How long this node's certificate still counts; 0 when it has expired.
pub(crate) fn certificate(text: &mut String, tls: &TlsIdentity) {
    let left = tls.certified().valid_until.since(SystemClock.wall()).as_duration();
    gauge(text, CERTIFICATE, CERTIFICATE_HELP, left.as_secs());
}

/// Memory of this process, as the kernel has it.
pub(crate) fn process(text: &mut String) {
    for (name, help, field) in [
        ("process_resident_memory_bytes", "Memory of this process", "VmRSS:"),
        ("process_peak_memory_bytes", "The most memory that this process has held", "VmHWM:"),
    ] {
        let bytes = memory(field);
        let _ = write!(
            text,
            "# HELP hortator_{name} {help}.\n# TYPE hortator_{name} gauge\nhortator_{name} {bytes}\n"
        );
    }
    gauge(text, "process_open_fds", "Files and sockets that this process has open", open_files());
    gauge(text, "process_max_fds", "Files and sockets that this process may have open", open_files_max());
    let seconds = cpu_seconds();
    let _ = write!(
        text,
        "# HELP hortator_process_cpu_seconds CPU time of this process.\n# TYPE hortator_process_cpu_seconds counter\n\
         hortator_process_cpu_seconds_total {seconds}\n"
    );
}

/// Files and sockets that this process has open.
fn open_files() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64)
}

/// Files and sockets that this process may have open; 0 when the system does not say.
fn open_files_max() -> u64 {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}

/// Seconds of CPU that this process has used, by the kernel's count.
fn cpu_seconds() -> f64 {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return 0.0 };
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    micros as f64 / 1e6
}

pub(crate) fn counter(text: &mut String, name: &str, help: &str, value: u64) {
    let _ = write!(
        text,
        "# HELP hortator_{name} {help}.\n# TYPE hortator_{name} counter\nhortator_{name}_total {value}\n"
    );
}

pub(crate) fn gauge(text: &mut String, name: &str, help: &str, value: u64) {
    let _ = write!(
        text,
        "# HELP hortator_{name} {help}.\n# TYPE hortator_{name} gauge\nhortator_{name} {value}\n"
    );
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let _ = writeln!(text, "# HELP hortator_{name} {help}.\n# TYPE hortator_{name} {kind}");
}

fn memory(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).map_or(0, |kib| kib * 1024)
}

impl Backend for WithProcess {
    fn request(&self, request: Request) -> LocalBoxFuture<'_, Response> {
        Backend::request(&self.gateway, request)
    }

    fn read_log(
        &self,
        log: LogSelector,
        offset: u64,
        bytes_max: u32,
    ) -> LocalBoxFuture<'_, Result<LogChunk, Problem>> {
        Backend::read_log(&self.gateway, log, offset, bytes_max)
    }

    fn applied_past(&self, group: u32, index: u64) -> LocalBoxFuture<'_, u64> {
        Backend::applied_past(&self.gateway, group, index)
    }

    fn readiness(&self) -> LocalBoxFuture<'_, Vec<Check>> {
        Backend::readiness(&self.gateway)
    }

    fn look(&self, look: Look) -> LocalBoxFuture<'_, Result<Sight, Problem>> {
        self.sight(look).boxed_local()
    }

    fn shards(&self) -> u32 {
        Backend::shards(&self.gateway)
    }

    fn cut(&self, group: u32) -> LocalBoxFuture<'_, Result<RowsView, Problem>> {
        Backend::cut(&self.gateway, group)
    }

    fn faults(&self) -> LiveFaults {
        self.faults.clone()
    }

    fn metrics(&self) -> LocalBoxFuture<'_, String> {
        self.text().boxed_local()
    }
}
