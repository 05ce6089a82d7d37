//! One worker: its agent, its launcher with the warden, its files. Must not know who else is in its process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hortator_actors::agent::{self, AgentConfig, AgentHandle, AgentSeams};
use hortator_actors::mailbox::Meter;
use hortator_actors::mutant::Mutant;
use hortator_core::dispatch::{Amounts, KindTag, Metric};
use hortator_core::id::Name;
use hortator_core::time::Span;
use hortator_proto::frame::{MasterAddress, NodeId, WorkerProfile};
use hortator_raft::Entropy;
use slog::{Logger, warn};
use tokio::sync::watch;

use super::Error;
use crate::env::{
    CallFrom, DiskSpool, Links, Listen, OsEntropy, Security, SystemClock, SystemHost, TcpConfig,
    TcpTransport, ThreadRooms,
};
use crate::executors::{LauncherConfig, ProcessLauncher};
use crate::live_faults::{LiveFaults, NodeSeams};
use crate::log_file::{LogDesk, sweep};
use crate::pki::ClusterFacts;

pub(super) const LOGS_KEEP: Span = Span::from_secs(30 * 24 * 3600);
pub(super) const LOGS_KEEP_BYTES: u64 = 10 << 30;
/// How long the agent may take to end itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// What one worker is to be like.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    pub name: Name,
    pub facts: ClusterFacts,
    pub security: Security,
    /// Addresses of masters, HOST:PORT.
    pub masters: Vec<String>,
    pub call_from: CallFrom,
    /// Where its files lie; made when it does not exist.
    pub data: PathBuf,
    /// Where runs have their shared directories: one place for all workers of a host.
    pub runs: PathBuf,
    pub groups: Vec<Name>,
    pub slots: u32,
    pub zone: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// What it has beside slots and devices.
    pub resources: Amounts,
    /// What task processes call its devices.
    pub devices: Vec<String>,
    /// Above them it gets nothing new; in percent.
    pub thresholds: BTreeMap<Metric, f64>,
    /// Against other workers' weights.
    pub weight: u32,
    /// How long logs are kept, and how many bytes of them; swept when the worker starts.
    pub logs_keep: Span,
    pub logs_keep_bytes: u64,
    pub faults: LiveFaults,
}

/// A running worker.
pub struct Worker {
    agent: AgentHandle,
    rooms: Arc<ThreadRooms>,
    transport: Arc<TcpTransport>,
    launcher: Arc<ProcessLauncher>,
    meter: Arc<Meter>,
    in_front: NodeSeams,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Worker({:?})", self.launcher)
    }
}

impl Worker {
    /// Call it on a thread that lives as long as the worker: a warden ends with the thread that started it.
    pub fn start(config: WorkerConfig, log: &Logger) -> Result<Worker, Error> {
        let profile = profile(&config);
        let WorkerConfig { name, facts, security, masters, data: directory, runs: runs_dir, .. } = config;
        // Attempts run in directories of their own: to them a relative path would name something else.
        let absolute =
            |path: PathBuf| std::path::absolute(&path).map_err(|source| Error::Data { path, source });
        let (directory, runs_dir) = (absolute(directory)?, absolute(runs_dir)?);
        let launcher_config =
            LauncherConfig { runs_dir, ..LauncherConfig::new(directory.clone(), name.clone()) };
        let launcher = ProcessLauncher::start(launcher_config, log)
            .map_err(|source| Error::Worker { worker: name.clone(), source: Box::new(source) })?;
        let launcher = Arc::new(launcher);
        sweep_logs(&launcher, config.logs_keep, config.logs_keep_bytes, log);
        let data_error = |source| Error::Data { path: directory.clone(), source };
        let spool = DiskSpool::open(&directory.join("spool")).map_err(data_error)?;
        let tcp = TcpConfig {
            node: NodeId::Worker(name.clone()),
            cluster: facts.cluster,
            security,
            version: env!("CARGO_PKG_VERSION").into(),
            listen: Listen::Nowhere,
            call_from: config.call_from,
        };
        let transport = Arc::new(TcpTransport::start(tcp, log).map_err(data_error)?);
        let logs = LogDesk::start(launcher.logs(), launcher.open_attempts()).map_err(data_error)?;
        let rooms = Arc::new(ThreadRooms::new(name.as_str()));
        let meter = Arc::<Meter>::default();
        let in_front = config.faults.of_node(name.as_str());
        in_front.hold(&rooms);
        let seams = AgentSeams {
            clock: in_front.clock(),
            entropy: Arc::new(|_: &str| Box::new(OsEntropy::new()) as Box<dyn Entropy>),
            transport: in_front.transport(transport.clone()),
            launcher: launcher.clone(),
            logs: Arc::new(logs),
            host: Box::new(SystemHost::new(directory)),
            meter: meter.clone(),
        };
        let earlier_lives_dead = launcher.earlier_lives_dead();
        let agent_config = AgentConfig { name, profile, earlier_lives_dead, mutant: Mutant::None };
        let agent = agent::start(&*rooms, agent_config, seams, Box::new(spool), log);
        transport.dial(masters);
        Ok(Worker { agent, rooms, transport, launcher, meter, in_front })
    }

    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Its connections, for metrics.
    pub fn links(&self) -> Links {
        self.transport.links()
    }

    pub fn agent(&self) -> &AgentHandle {
        &self.agent
    }

    /// The masters that it was told of last.
    pub fn masters(&self) -> watch::Receiver<Vec<MasterAddress>> {
        self.transport.masters()
    }

    /// Kills what runs and ends all parts.
    pub fn stop(self) {
        self.in_front.release();
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() {
            // An agent that does not answer ends with its room.
            let _ = runtime.block_on(async { tokio::time::timeout(STOP_TIMEOUT, self.agent.stop()).await });
        }
        self.transport.stop();
        self.rooms.stop();
        drop(self.launcher);
    }
}

fn sweep_logs(launcher: &ProcessLauncher, keep: Span, keep_bytes: u64, log: &Logger) {
    let now = hortator_actors::seam::Clock::wall(&SystemClock);
    if let Err(error) = sweep(&launcher.logs(), now, keep, keep_bytes) {
        warn!(log, "old logs cannot be removed"; "error" => %error);
    }
}

fn profile(config: &WorkerConfig) -> WorkerProfile {
    WorkerProfile {
        groups: config.groups.clone(),
        slots: config.slots,
        kinds: vec![KindTag::Shell, KindTag::Noop],
        zone: config.zone.clone(),
        labels: config.labels.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        host: host_name().unwrap_or_else(|| "unknown".into()),
        resources: config.resources.clone(),
        devices: config.devices.clone(),
        weight: config.weight,
        thresholds: config.thresholds.clone(),
    }
}

/// What this host calls itself.
pub(crate) fn host_name() -> Option<String> {
    nix::sys::utsname::uname().ok().map(|host| host.nodename().to_string_lossy().into_owned())
}
