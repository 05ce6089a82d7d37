//! Whole clusters in one process: masters and workers as they run on separate hosts, with real frames over loopback,
//! real files and real processes. It puts the parts together and decides nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hortator_actors::gateway::GatewayHandle;
use hortator_actors::mailbox::Meter;
use hortator_actors::mutant::Mutant;
use hortator_core::dispatch::WEIGHT_DEFAULT;
use hortator_core::id::Name;
use hortator_core::lease::Leases;
use hortator_proto::api::{Query, Request, Response};
use slog::{Logger, info};

use super::crew::{Crew, KeeperThread};
use super::declared::{Declared, host_devices, host_resources};
use super::error::Error;
use super::identity::Identity;
use super::master::{BALLAST, CACHE_ALONE, CACHE_SHARED, DISK_LOW, Master, MasterConfig, founded_by};
use super::metrics::WithProcess;
use super::worker::{LOGS_KEEP, LOGS_KEEP_BYTES, Worker, WorkerConfig};
use crate::api::{self, ApiServer};
use crate::env::{CallFrom, Listen};
use crate::live_faults::LiveFaults;

/// Any free port of this host.
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// Of an embedded cluster's identity.
const FILE: &str = "cluster.toml";
/// How long a cluster may take to elect its leaders and register its workers. Locks of a process that was just
/// killed may take some seconds to be free.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// The master whose API is that of the cluster.
const ANSWERS: &str = "n1";
/// Pause between two looks whether it is ready.
const READY_PAUSE: Duration = Duration::from_millis(5);

/// What a cluster in this process is to be like.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// Shown by `status`, and the name of the context.
    pub cluster: String,
    pub masters: u32,
    pub workers: u32,
    /// Of each worker.
    pub slots: u32,
    /// Where its files lie; made when it does not exist. The token is kept there too, so a restart has the same.
    pub data: PathBuf,
    /// Of the API; 0 takes any.
    pub port: u16,
    pub log: Logger,
    pub faults: LiveFaults,
}

/// A running cluster.
#[derive(Debug)]
pub struct Embedded {
    pub api: SocketAddr,
    pub token: String,
    server: ApiServer,
    crew: Crew,
    faults: LiveFaults,
    /// None where nobody is killed.
    keeper: Option<KeeperThread>,
}

/// Starts all nodes and waits until the cluster is ready to serve. Call it on a thread that lives as long as the
/// cluster: a warden ends with the thread that started it.
pub fn start_embedded(config: EmbeddedConfig) -> Result<Embedded, Error> {
    let began = Instant::now();
    let identity = Identity::load_or_create(&config.data.join(FILE), config.masters)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|source| Error::Data { path: config.data.clone(), source })?;
    let masters = runtime.block_on(start_masters(&config, &identity))?;
    let addresses: Vec<String> = masters
        .iter()
        .filter_map(|(_, master)| master.addresses().peers)
        .map(|peers| peers.to_string())
        .collect();
    let backend = WithProcess::new(&masters[0].1, None).with_faults(config.faults.clone());
    let gateway = masters[0].1.node().gateway().clone();
    let crew = Crew::new(&config.log);
    for (recipe, master) in masters {
        master.dial(addresses.clone());
        crew.master(recipe, master, addresses.clone());
    }
    for number in 1..=config.workers {
        let recipe = worker_config(&config, &identity, number, addresses.clone());
        let worker = Worker::start(recipe.clone(), &config.log)?;
        crew.worker(recipe, worker);
    }
    let server = api::serve_backend(
        Arc::new(backend),
        identity.token.clone(),
        SocketAddr::from(([127, 0, 0, 1], config.port)),
        &config.log,
    )?;
    runtime.block_on(wait_until_ready(&gateway, config.workers))?;
    let keeper = match &config.faults {
        LiveFaults::Off => None,
        LiveFaults::On(board) => {
            let (keeper, thread) = crew.keeper(ANSWERS);
            board.kept_by(Arc::new(keeper));
            Some(thread)
        }
    };
    info!(config.log, "cluster is ready"; "masters" => config.masters, "workers" => config.workers,
        "took" => ?began.elapsed());
    Ok(Embedded { api: server.address(), token: identity.token, server, crew, faults: config.faults, keeper })
}

async fn start_masters(
    config: &EmbeddedConfig,
    identity: &Identity,
) -> Result<Vec<(MasterConfig, Master)>, Error> {
    let mut masters = Vec::new();
    let ids: Vec<u64> = (1..=u64::from(config.masters)).collect();
    for id in 1..=u64::from(config.masters) {
        let recipe = MasterConfig {
            id,
            founding: founded_by(&identity.facts(&config.cluster), &ids),
            facts: identity.facts(&config.cluster),
            security: identity.security(),
            data: config.data.join(format!("n{id}")),
            listen: Listen::Together(LOOPBACK),
            call_from: CallFrom::Any,
            leases: Leases::NotKept,
            cache_bytes: if config.masters == 1 { CACHE_ALONE } else { CACHE_SHARED },
            disk_low_bytes: DISK_LOW,
            ballast_bytes: BALLAST,
            mutant: Mutant::None,
            faults: config.faults.clone(),
        };
        masters.push((recipe.clone(), Master::start(recipe, &config.log).await?));
    }
    Ok(masters)
}

fn worker_config(
    config: &EmbeddedConfig,
    identity: &Identity,
    number: u32,
    masters: Vec<String>,
) -> WorkerConfig {
    let text = format!("w{number}");
    let data = config.data.join(&text);
    let name = Name::new(&text).expect("a letter and digits are a name");
    WorkerConfig {
        name,
        facts: identity.facts(&config.cluster),
        security: identity.security(),
        call_from: CallFrom::Any,
        masters,
        data,
        // All workers of this process are on one host, and a run has one shared directory on a host.
        runs: config.data.join("runs"),
        groups: vec![Name::new("default").expect("a word is a name")],
        slots: config.slots,
        zone: None,
        labels: BTreeMap::new(),
        resources: host_resources(&Declared::default()),
        devices: host_devices(),
        thresholds: BTreeMap::new(),
        weight: WEIGHT_DEFAULT,
        logs_keep: LOGS_KEEP,
        logs_keep_bytes: LOGS_KEEP_BYTES,
        faults: config.faults.clone(),
    }
}

/// Ready means: every group has a leader, every shard answers, and every worker has a life.
async fn wait_until_ready(gateway: &GatewayHandle, workers: u32) -> Result<(), Error> {
    let deadline = tokio::time::Instant::now() + READY_TIMEOUT;
    loop {
        let why = match not_ready(gateway, workers).await {
            None => return Ok(()),
            Some(why) => why,
        };
        if tokio::time::Instant::now() > deadline {
            return Err(Error::NotReady { why, after: READY_TIMEOUT });
        }
        tokio::time::sleep(READY_PAUSE).await;
    }
}

async fn not_ready(gateway: &GatewayHandle, workers: u32) -> Option<String> {
    for (check, result) in gateway.readiness().await {
        if let Err(why) = result {
            return Some(format!("{check}: {why}"));
        }
    }
    let list = Query::Workflows { namespace: None, after: None, limit: 1 };
    if let Response::Problem(problem) = gateway.request(Request::Query(list)).await {
        return Some(problem.to_string());
    }
    match gateway.request(Request::Query(Query::Workers)).await {
        Response::Workers(views) => {
            let up = views.iter().filter(|view| view.state == "up").count();
            // Another master may hear the heartbeats: a registration is enough there.
            let known = views.iter().filter(|view| view.state != "lost").count();
            let enough = up.max(known) >= workers as usize;
            (!enough).then(|| format!("{up} of {workers} workers are up"))
        }
        other => Some(format!("workers cannot be listed: {other:?}")),
    }
}

impl Embedded {
    /// What each node counts, masters first.
    pub fn meters(&self) -> Vec<Arc<Meter>> {
        self.crew.meters()
    }

    /// Syncs of the masters' files so far.
    pub fn syncs(&self) -> u64 {
        self.crew.syncs()
    }

    /// Stops cleanly: the API, the tasks, the groups; returns when all is written.
    pub fn stop(self) {
        // Nothing stands still then, and what is down is made again before all ends.
        if let LiveFaults::On(board) = &self.faults {
            board.clear_all();
        }
        self.server.stop();
        self.keeper.into_iter().for_each(KeeperThread::stop);
        self.crew.stop();
    }
}
