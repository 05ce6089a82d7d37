//! A master with its API, as a process has it.

use std::net::SocketAddr;
use std::sync::Arc;

use hortator_core::lease::{DEFAULT_TERMS, Leases};
use slog::{Logger, info};
use tokio::runtime::Runtime;

use super::Error;
use super::metrics::WithProcess;
use super::place;
use crate::api::{self, ApiServer};
use crate::config::MasterFile;
use crate::env::Listen;
use crate::node::{Master, MasterConfig, founded_by};

pub(super) struct RunningMaster {
    id: u64,
    master: Master,
    api: ApiServer,
    log: Logger,
}

impl std::fmt::Debug for RunningMaster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunningMaster(n{})", self.id)
    }
}

impl RunningMaster {
    pub(super) fn start(file: &MasterFile, log: &Logger) -> Result<RunningMaster, Error> {
        let place = place::of_master(file)?;
        let config = MasterConfig {
            id: place.id,
            security: place.security,
            founding: founded_by(&place.facts, &place.masters),
            facts: place.facts,
            data: file.node.data.clone(),
            listen: Listen::Apart { peers: file.listen.peers, workers: file.listen.workers },
            leases: Leases::Kept(DEFAULT_TERMS),
            cache_bytes: usize::try_from(file.store.cache).unwrap_or(usize::MAX),
            disk_low_bytes: file.store.disk_low,
            ballast_bytes: file.store.ballast,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let master = runtime.map_err(Error::System)?.block_on(Master::start(config, log))?;
        master.dial(place.peers);
        let backend = WithProcess::new(master.node().gateway().clone(), master.syncs());
        let api = api::serve_backend(Arc::new(backend), place.token, file.listen.api, log)?;
        info!(log, "master runs"; "node" => format!("n{}", place.id), "api" => %api.address(),
            "peers" => ?master.addresses().peers);
        Ok(RunningMaster { id: place.id, master, api, log: log.clone() })
    }

    pub(super) fn workers_address(&self) -> SocketAddr {
        self.master.addresses().workers.expect("a master listens for workers")
    }

    pub(super) fn ready_line(&self) -> String {
        let peers = self.master.addresses().peers.expect("a master listens for peers");
        let workers = self.workers_address();
        format!("ready master n{} peers={peers} workers={workers} api={}", self.id, self.api.address())
    }

    /// A master can be asked when it knows a leader of every group.
    pub(super) async fn lacks(&self) -> Option<String> {
        let checks = self.master.node().gateway().readiness().await;
        checks.into_iter().find_map(|(check, result)| result.err().map(|why| format!("{check}: {why}")))
    }

    /// Clients first, so that none is refused by a master that leads no more; then leaderships; then the rest.
    pub(super) fn stop(self, runtime: &Runtime) {
        info!(self.log, "master stops"; "step" => "api");
        self.api.stop();
        info!(self.log, "master stops"; "step" => "leaderships");
        runtime.block_on(self.master.hand_over());
        self.master.stop();
        info!(self.log, "master stopped");
    }
}
