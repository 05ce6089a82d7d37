//! A master with its API, as a process has it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use hortator_actors::mutant::Mutant;
use hortator_core::cluster::MasterState;
use hortator_core::lease::{DEFAULT_TERMS, Leases};
use slog::{Logger, info, warn};
use tokio::runtime::Runtime;

use super::Error;
use super::forming::Founding;
use super::place::{self, Entrance};
use super::upkeep::Upkeep;
use crate::api::access::{CaSource, ClusterAccess};
use crate::api::{self, ApiServer, Door};
use crate::config::MasterFile;
use crate::env::Listen;
use crate::live_faults::{Board, LiveFaults};
use crate::node::metrics::WithProcess;
use crate::node::{Master, MasterConfig};
use crate::pki::{Ca, JoinToken};

pub(super) struct RunningMaster {
    id: u64,
    master: Master,
    api: ApiServer,
    /// None without certificates.
    upkeep: Option<Upkeep>,
    data: PathBuf,
    /// Nothing of the forming is left in the directory.
    tidy: bool,
    log: Logger,
}

impl std::fmt::Debug for RunningMaster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunningMaster(n{})", self.id)
    }
}

impl RunningMaster {
    pub(super) fn start(
        file: &MasterFile,
        token: Option<JoinToken>,
        log: &Logger,
    ) -> Result<RunningMaster, Error> {
        let place = place::of_master(file, token, log)?;
        let faults = match file.faults.enabled {
            true => LiveFaults::On(Board::start(log)),
            false => LiveFaults::Off,
        };
        let config = MasterConfig {
            id: place.id,
            facts: place.facts,
            security: place.security,
            founding: place.founding,
            data: file.node.data.clone(),
            listen: Listen::Apart { peers: file.listen.peers, workers: file.listen.workers },
            call_from: file.node.call_from(),
            leases: Leases::Kept(DEFAULT_TERMS),
            cache_bytes: usize::try_from(file.store.cache).unwrap_or(usize::MAX),
            disk_low_bytes: file.store.disk_low,
            ballast_bytes: file.store.ballast,
            mutant: mutant()?,
            faults: faults.clone(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let master = runtime.map_err(Error::System)?.block_on(Master::start(config, log))?;
        let gateway = || master.node().gateway().clone();
        let (api, upkeep) = match place.entrance {
            Entrance::Shared { token, peers } => {
                master.dial(peers);
                let backend = Arc::new(WithProcess::new(&master, None).with_faults(faults));
                (api::serve_backend(backend, token, file.listen.api, log)?, None)
            }
            Entrance::Certified { papers, here } => {
                let rows = Arc::new(ClusterAccess(gateway()));
                let backend = WithProcess::new(&master, Some(papers.tls.clone())).with_faults(faults);
                let security = api::Security::Tls(papers.tls.clone());
                let door = Door { security, tokens: rows.clone(), authority: rows };
                let api = api::serve_door(Arc::new(backend), door, file.listen.api, log)?;
                (api, Some(Upkeep::of_master(*papers, gateway(), place.id, here, log)?))
            }
        };
        info!(log, "master runs"; "node" => format!("n{}", place.id), "api" => %api.address(),
            "peers" => ?master.addresses().peers);
        Ok(RunningMaster {
            id: place.id,
            master,
            api,
            upkeep,
            data: file.node.data.clone(),
            tidy: false,
            log: log.clone(),
        })
    }

    /// The cluster's authority, once this master has its row.
    pub(super) fn authority(&self) -> Option<Ca> {
        ClusterAccess(self.master.node().gateway().clone()).ca()
    }

    /// The rows have what the first start has brought, so the file with the authority's key can go.
    pub(super) fn tend(&mut self) {
        if !self.tidy && !self.master.node().gateway().tables().masters().masters.is_empty() {
            self.tidy = true;
            if let Err(error) = Founding::forget(&self.data) {
                warn!(self.log, "a file with the authority's key stays behind"; "error" => %error);
            }
        }
    }

    pub(super) fn workers_address(&self) -> SocketAddr {
        self.master.addresses().workers.expect("a master listens for workers")
    }

    pub(super) fn ready_line(&self) -> String {
        let peers = self.master.addresses().peers.expect("a master listens for peers");
        let workers = self.workers_address();
        format!("ready master n{} peers={peers} workers={workers} api={}", self.id, self.api.address())
    }

    /// Whether it has no place in its cluster any more; then it must not stay and look alive.
    pub(super) fn refusal(&self) -> Option<Error> {
        let node = self.master.node();
        let removed = node.gateway().tables().masters().state(self.id) == Some(MasterState::Removed)
            || self.master.removed();
        let reason = match (node.refusal(), removed) {
            (Some(reason), _) => reason.to_owned(),
            (None, true) => "it was removed from its cluster".into(),
            (None, false) => return None,
        };
        Some(Error::Refused { id: self.id, reason, data: self.data.clone() })
    }

    /// A master can be asked when it knows a leader of every group.
    pub(super) async fn lacks(&self) -> Option<String> {
        let checks = self.master.node().gateway().readiness().await;
        checks.into_iter().find_map(|(check, result)| result.err().map(|why| format!("{check}: {why}")))
    }

    /// Clients first, so that none is refused by a master that leads no more; then leaderships; then the rest.
    pub(super) fn stop(self, runtime: &Runtime) {
        self.upkeep.into_iter().for_each(Upkeep::stop);
        info!(self.log, "master stops"; "step" => "api");
        self.api.stop();
        info!(self.log, "master stops"; "step" => "leaderships");
        runtime.block_on(self.master.hand_over());
        self.master.stop();
        info!(self.log, "master stopped");
    }
}

/// For testing the tests only; a release build refuses it.
const MUTANT: &str = "HTR_MUTANT";

fn mutant() -> Result<Mutant, Error> {
    match std::env::var(MUTANT) {
        Ok(name) => Ok(name.parse()?),
        Err(_) => Ok(Mutant::None),
    }
}
