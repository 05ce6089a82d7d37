//! What a process counts beside what its node counts: syncs of files, memory, CPU.

use std::fmt::Write as _;
use std::fs;

use futures_util::future::{FutureExt, LocalBoxFuture};
use hortator_actors::gateway::{GatewayHandle, LogSelector};
use hortator_proto::api::{Look, Problem, Request, Response, Sight};
use hortator_proto::frame::LogChunk;
use hortator_raft::RowsView;

use hortator_actors::seam::Clock;

use crate::api::Backend;
use crate::api::backend::Check;
use crate::env::SystemClock;
use crate::node::Syncs;
use crate::pki::TlsIdentity;

/// Ends OpenMetrics text.
pub(super) const END: &str = "# EOF\n";

/// A master's backend whose metrics tell of its process too.
#[derive(Debug)]
pub(super) struct WithProcess {
    gateway: GatewayHandle,
    syncs: Syncs,
    /// None without certificates.
    tls: Option<TlsIdentity>,
}

impl WithProcess {
    pub(super) fn new(gateway: GatewayHandle, syncs: Syncs, tls: Option<TlsIdentity>) -> WithProcess {
        WithProcess { gateway, syncs, tls }
    }

    async fn text(&self) -> String {
        let mut text = self.gateway.metrics().await;
        text.truncate(text.trim_end_matches(END).len());
        counter(&mut text, "store_syncs", "Syncs of the groups' files", self.syncs.count());
        self.tls.iter().for_each(|tls| certificate(&mut text, tls));
        process(&mut text);
        text + END
    }
}

/// How long this node's certificate still counts; 0 when it has expired.
pub(super) fn certificate(text: &mut String, tls: &TlsIdentity) {
    let left = tls.certified().valid_until.since(SystemClock.wall()).as_duration();
    gauge(text, "certificate_seconds_left", "Until the certificate of this node expires", left.as_secs());
}

/// Memory of this process, as the kernel has it.
pub(super) fn process(text: &mut String) {
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
    let seconds = cpu_seconds();
    let _ = write!(
        text,
        "# HELP hortator_process_cpu_seconds CPU time of this process.\n# TYPE hortator_process_cpu_seconds counter\n\
         hortator_process_cpu_seconds_total {seconds}\n"
    );
}

/// Seconds of CPU that this process has used, by the kernel's count.
fn cpu_seconds() -> f64 {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeValLike;
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return 0.0 };
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    micros as f64 / 1e6
}

pub(super) fn counter(text: &mut String, name: &str, help: &str, value: u64) {
    let _ = write!(
        text,
        "# HELP hortator_{name} {help}.\n# TYPE hortator_{name} counter\nhortator_{name}_total {value}\n"
    );
}

pub(super) fn gauge(text: &mut String, name: &str, help: &str, value: u64) {
    let _ = write!(
        text,
        "# HELP hortator_{name} {help}.\n# TYPE hortator_{name} gauge\nhortator_{name} {value}\n"
    );
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
        Backend::look(&self.gateway, look)
    }

    fn shards(&self) -> u32 {
        Backend::shards(&self.gateway)
    }

    fn cut(&self, group: u32) -> LocalBoxFuture<'_, Result<RowsView, Problem>> {
        Backend::cut(&self.gateway, group)
    }

    fn metrics(&self) -> LocalBoxFuture<'_, String> {
        self.text().boxed_local()
    }
}
