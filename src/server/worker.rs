//! A worker with its small HTTP server, as a process has it.

use std::time::Duration;

use hortator_core::id::Name;
use slog::{Logger, info, warn};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::http::{Seen, WorkerHttp};
use super::upkeep::Upkeep;
use super::{Error, place};
use crate::config::{WorkerFile, WorkerSection};
use crate::live_faults::LiveFaults;
use crate::node::declared::{Declared, host_devices, host_resources};
use crate::node::{Worker, WorkerConfig, host_name};
use crate::pki::JoinToken;

/// Of the grace, for ending the parts of a worker once its tasks have ended or must.
const STOP_RESERVE: Duration = Duration::from_secs(2);
/// Slots when nobody says: tasks wait more than they compute.
const SLOTS_MIN: u32 = 8;

pub(super) struct RunningWorker {
    name: Name,
    worker: Worker,
    http: Option<WorkerHttp>,
    /// None without certificates.
    upkeep: Option<Upkeep>,
    log: Logger,
}

impl std::fmt::Debug for RunningWorker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunningWorker({})", self.name)
    }
}

impl RunningWorker {
    pub(super) fn start(
        file: &WorkerFile,
        token: Option<JoinToken>,
        log: &Logger,
    ) -> Result<RunningWorker, Error> {
        let name = name_of(file)?;
        let place = place::of_worker(file, &name, token, log)?;
        let data = file.node.data.clone();
        let config = WorkerConfig {
            name: name.clone(),
            facts: place.facts,
            security: place.security,
            masters: place.masters,
            call_from: file.node.call_from(),
            runs: file.worker.runs.clone().unwrap_or_else(|| data.join("runs")),
            data,
            groups: file.worker.groups.clone(),
            slots: slots(file.worker.slots),
            zone: file.worker.zone.clone(),
            labels: file.worker.labels.clone(),
            resources: host_resources(&declared(&file.worker)),
            devices: file.worker.devices.clone().unwrap_or_else(host_devices),
            thresholds: file.worker.thresholds.clone(),
            weight: file.worker.weight,
            logs_keep: file.logs.keep,
            logs_keep_bytes: file.logs.keep_size,
            faults: LiveFaults::Off,
        };
        let worker = Worker::start(config, log)?;
        let seen = Seen {
            agent: worker.agent().clone(),
            meter: worker.meter().clone(),
            links: worker.links(),
            data: file.node.data.clone(),
            tls: place.papers.as_ref().map(|papers| papers.tls.clone()),
        };
        let http = file.listen.http.map(|address| WorkerHttp::start(address, seen, log)).transpose()?;
        let upkeep =
            place.papers.map(|papers| Upkeep::of_worker(papers, worker.masters(), log)).transpose()?;
        info!(log, "worker runs"; "worker" => name.as_str());
        Ok(RunningWorker { name, worker, http, upkeep, log: log.clone() })
    }

    pub(super) fn ready_line(&self) -> String {
        let http = self.http.as_ref().map(|http| format!(" http={}", http.address()));
        format!("ready worker {}{}", self.name, http.unwrap_or_default())
    }

    /// A worker can work when a master has registered it.
    pub(super) async fn lacks(&self) -> Option<String> {
        match self.worker.agent().observe().await {
            None => Some("the agent is gone".into()),
            Some(seen) if seen.incarnation.is_none() => {
                Some("no master has registered this worker yet".into())
            }
            Some(_) => None,
        }
    }

    /// Tasks that run may end within `grace`, but for what stopping itself takes.
    pub(super) fn stop(self, runtime: &Runtime, grace: Duration) {
        info!(self.log, "worker stops"; "worker" => self.name.as_str());
        let patience = grace.saturating_sub(STOP_RESERVE);
        let drained = runtime.block_on(async { timeout(patience, self.worker.agent().drain()).await });
        if drained.is_err() {
            warn!(self.log, "tasks are killed, they did not end in time"; "grace" => ?grace);
        }
        self.upkeep.into_iter().for_each(Upkeep::stop);
        if let Some(http) = self.http {
            http.stop();
        }
        self.worker.stop();
        info!(self.log, "worker stopped"; "worker" => self.name.as_str());
    }
}

/// As the configuration says, or this host calls itself.
pub(super) fn name_of(file: &WorkerFile) -> Result<Name, Error> {
    let name =
        file.worker.name.clone().or_else(|| host_name().map(|host| host.to_lowercase().replace('.', "-")));
    let name = name.unwrap_or_default();
    Name::new(&name).map_err(|error| Error::Name { why: error.to_string(), name })
}

fn declared(section: &WorkerSection) -> Declared {
    let named = section.resources.iter().map(|(name, amount)| (name.clone(), *amount)).collect();
    Declared { cpu: section.cpu, memory: section.memory, disk: section.disk, named }
}

fn slots(given: u32) -> u32 {
    match given {
        0 => SLOTS_MIN.max(2 * std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32)),
        slots => slots,
    }
}
