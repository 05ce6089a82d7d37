//! One worker of an embedded cluster: its agent, its launcher with the warden, its files.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hortator_actors::agent::{self, AgentConfig, AgentHandle, AgentSeams};
use hortator_actors::mailbox::Meter;
use hortator_core::id::Name;
use hortator_core::placement::KindTag;
use hortator_core::time::Span;
use hortator_proto::frame::{NodeId, WorkerProfile};
use hortator_raft::Entropy;
use slog::warn;

use super::identity::Identity;
use super::{EmbeddedConfig, Error};
use crate::env::{
    DiskSpool, Listen, OsEntropy, Security, SystemClock, SystemHost, TcpConfig, TcpTransport, ThreadRooms,
};
use crate::executors::{LauncherConfig, ProcessLauncher};
use crate::log_file::{LogDesk, sweep};

/// How long logs are kept on a worker, and how many bytes of them; swept when the worker starts.
const LOGS_KEEP: Span = Span::from_secs(30 * 24 * 3600);
const LOGS_KEEP_BYTES: u64 = 10 << 30;
/// How long the agent may take to end itself.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Worker {
    agent: AgentHandle,
    rooms: Arc<ThreadRooms>,
    transport: Arc<TcpTransport>,
    launcher: Arc<ProcessLauncher>,
    meter: Arc<Meter>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Worker({:?})", self.launcher)
    }
}

impl Worker {
    pub(super) fn start(
        config: &EmbeddedConfig,
        identity: &Identity,
        number: u32,
        masters: Vec<String>,
    ) -> Result<Worker, Error> {
        let text = format!("w{number}");
        let name = Name::new(&text).expect("a letter and digits are a name");
        let directory = config.data.join(&text);
        // All workers of this process are on one host, and a run has one shared directory on a host.
        let runs_dir = config.data.join("runs");
        let launcher_config =
            LauncherConfig { runs_dir, ..LauncherConfig::new(directory.clone(), name.clone()) };
        let launcher = ProcessLauncher::start(launcher_config, &config.log)
            .map_err(|source| Error::Worker { worker: number, source: Box::new(source) })?;
        let launcher = Arc::new(launcher);
        sweep_logs(config, &launcher);
        let data_error = |source| Error::Data { path: directory.clone(), source };
        let spool = DiskSpool::open(&directory.join("spool")).map_err(data_error)?;
        let tcp = TcpConfig {
            node: NodeId::Worker(name.clone()),
            cluster: identity.cluster(),
            security: Security::Secret(identity.secret()),
            version: env!("CARGO_PKG_VERSION").into(),
            listen: Listen::Nowhere,
        };
        let transport = Arc::new(TcpTransport::start(tcp, &config.log).map_err(data_error)?);
        let logs = LogDesk::start(launcher.logs(), launcher.open_attempts()).map_err(data_error)?;
        let rooms = Arc::new(ThreadRooms::new(&text));
        let meter = Arc::<Meter>::default();
        let seams = AgentSeams {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(|_: &str| Box::new(OsEntropy::new()) as Box<dyn Entropy>),
            transport: transport.clone(),
            launcher: launcher.clone(),
            logs: Arc::new(logs),
            host: Box::new(SystemHost::new(directory)),
            meter: meter.clone(),
        };
        let earlier_lives_dead = launcher.earlier_lives_dead();
        let agent_config = AgentConfig { name, profile: profile(config.slots), earlier_lives_dead };
        let agent = agent::start(&*rooms, agent_config, seams, Box::new(spool), &config.log);
        transport.dial(masters);
        Ok(Worker { agent, rooms, transport, launcher, meter })
    }

    pub(super) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    pub(super) fn stop(self) {
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() {
            // An agent that does not answer ends with its room.
            let _ = runtime.block_on(async { tokio::time::timeout(STOP_TIMEOUT, self.agent.stop()).await });
        }
        self.transport.stop();
        self.rooms.stop();
        drop(self.launcher);
    }
}

fn sweep_logs(config: &EmbeddedConfig, launcher: &ProcessLauncher) {
    let now = hortator_actors::seam::Clock::wall(&SystemClock);
    if let Err(error) = sweep(&launcher.logs(), now, LOGS_KEEP, LOGS_KEEP_BYTES) {
        warn!(config.log, "old logs cannot be removed"; "error" => %error);
    }
}

fn profile(slots: u32) -> WorkerProfile {
    WorkerProfile {
        groups: vec![Name::new("default").expect("a word is a name")],
        slots,
        kinds: vec![KindTag::Shell, KindTag::Noop],
        zone: None,
        labels: BTreeMap::new(),
        version: env!("CARGO_PKG_VERSION").into(),
        host: nix::sys::utsname::uname()
            .map_or_else(|_| "unknown".into(), |host| host.nodename().to_string_lossy().into_owned()),
    }
}
