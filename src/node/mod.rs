//! Whole clusters in one process: masters and workers as they run on separate hosts, with real frames over loopback,
//! real files and real processes. It puts the parts together and decides nothing.

mod identity;
mod master;
mod worker;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hortator_actors::mailbox::Meter;
use hortator_actors::node::StartError as NodeError;
use hortator_proto::api::{Query, Request, Response};
use slog::{Logger, info};

use crate::api::{self, ApiServer};
use crate::executors::StartError as LauncherError;
use identity::Identity;
use master::Master;
use worker::Worker;

/// How long a cluster may take to elect its leaders and register its workers. Locks of a process that was just
/// killed may take some seconds to be free.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
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
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot use the data directory {}", .path.display())]
    Data {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} says something else: {why}. Start with what it was made with, or use another directory", .path.display())]
    Identity { path: PathBuf, why: String },
    #[error("master n{master} cannot listen")]
    Listen {
        master: u64,
        #[source]
        source: io::Error,
    },
    #[error("master n{master} does not start")]
    Master {
        master: u64,
        #[source]
        source: Box<NodeError>,
    },
    #[error("worker w{worker} does not start")]
    Worker {
        worker: u32,
        #[source]
        source: Box<LauncherError>,
    },
    #[error("the API does not start")]
    Api(#[from] api::Error),
    #[error("the cluster is not ready after {} s: {why}", READY_TIMEOUT.as_secs())]
    NotReady { why: String },
}

/// A running cluster.
#[derive(Debug)]
pub struct Embedded {
    pub api: SocketAddr,
    pub token: String,
    server: ApiServer,
    workers: Vec<Worker>,
    masters: Vec<Master>,
}

/// Starts all nodes and waits until the cluster is ready to serve. Call it on a thread that lives as long as the
/// cluster: a warden ends with the thread that started it.
pub fn start_embedded(config: EmbeddedConfig) -> Result<Embedded, Error> {
    let began = Instant::now();
    let identity = Identity::load_or_create(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|source| Error::Data { path: config.data.clone(), source })?;
    let masters = runtime.block_on(start_masters(&config, &identity))?;
    let addresses: Vec<String> = masters.iter().map(|master| master.address().to_string()).collect();
    for master in &masters {
        master.dial(addresses.clone());
    }
    let workers = (1..=config.workers)
        .map(|number| Worker::start(&config, &identity, number, addresses.clone()))
        .collect::<Result<Vec<_>, Error>>()?;
    let gateway = masters[0].node().gateway().clone();
    let server = api::serve(
        gateway,
        identity.token.clone(),
        SocketAddr::from(([127, 0, 0, 1], config.port)),
        &config.log,
    )?;
    runtime.block_on(wait_until_ready(&masters[0], config.workers))?;
    info!(config.log, "cluster is ready"; "masters" => config.masters, "workers" => config.workers,
        "took" => ?began.elapsed());
    Ok(Embedded { api: server.address(), token: identity.token, server, workers, masters })
}

async fn start_masters(config: &EmbeddedConfig, identity: &Identity) -> Result<Vec<Master>, Error> {
    let mut masters = Vec::new();
    for id in 1..=u64::from(config.masters) {
        masters.push(Master::start(config, identity, id).await?);
    }
    Ok(masters)
}

/// Ready means: every group has a leader, every shard answers, and every worker has a life.
async fn wait_until_ready(master: &Master, workers: u32) -> Result<(), Error> {
    let deadline = tokio::time::Instant::now() + READY_TIMEOUT;
    loop {
        let why = match not_ready(master, workers).await {
            None => return Ok(()),
            Some(why) => why,
        };
        if tokio::time::Instant::now() > deadline {
            return Err(Error::NotReady { why });
        }
        tokio::time::sleep(READY_PAUSE).await;
    }
}

async fn not_ready(master: &Master, workers: u32) -> Option<String> {
    let gateway = master.node().gateway();
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
    pub fn meters(&self) -> impl Iterator<Item = &Meter> {
        let masters = self.masters.iter().map(|master| &**master.node().meter());
        masters.chain(self.workers.iter().map(|worker| &**worker.meter()))
    }

    /// Syncs of the masters' files so far.
    pub fn syncs(&self) -> u64 {
        self.masters.iter().map(Master::syncs).sum()
    }

    /// Stops cleanly: the API, the tasks, the groups; returns when all is written.
    pub fn stop(self) {
        self.server.stop();
        for worker in self.workers {
            worker.stop();
        }
        for master in self.masters {
            master.stop();
        }
    }
}
