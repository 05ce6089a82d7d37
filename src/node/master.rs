//! One master: its seams made of files, sockets and threads. Must not know who else is in its process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hortator_actors::histogram::Histogram;
use hortator_actors::membership::{Founder, Founding, Genesis};
use hortator_actors::mutant::Mutant;
use hortator_actors::node::{Node, NodeConfig};
use hortator_actors::pace::Pace;
use hortator_actors::seam::{HostMetrics, Seams};
use hortator_core::id::Name;
use hortator_core::lease::Leases;
use hortator_proto::api::SlowOne;
use hortator_proto::frame::NodeId;
use hortator_raft::Entropy;
use slog::Logger;

use super::Error;
use crate::env::store::FileStore;
use crate::env::tcp::Addresses;
use crate::env::{
    CallFrom, Links, Listen, OsEntropy, Security, SystemHost, TcpConfig, TcpTransport, ThreadRooms,
};
use crate::live_faults::{LiveFaults, NodeSeams};
use crate::pki::ClusterFacts;

/// redb's page cache for each group; the design's bound is 16 MiB. Several masters in one process share its memory.
pub(super) const CACHE_ALONE: usize = 16 << 20;
pub(super) const CACHE_SHARED: usize = 4 << 20;
/// Free space under which new commands are refused: enough for every group to go on committing reports.
pub(super) const DISK_LOW: u64 = 64 << 20;
/// Kept per group, to be given back when the disk is low.
pub(super) const BALLAST: u64 = 1 << 20;

/// What one master is to be like.
#[derive(Clone, Debug)]
pub struct MasterConfig {
    pub id: u64,
    pub facts: ClusterFacts,
    pub security: Security,
    pub founding: Founding,
    /// Where its files lie; made when it does not exist.
    pub data: PathBuf,
    pub listen: Listen,
    pub call_from: CallFrom,
    pub leases: Leases,
    /// Of redb, for each group.
    pub cache_bytes: usize,
    pub disk_low_bytes: u64,
    pub ballast_bytes: u64,
    pub mutant: Mutant,
    pub faults: LiveFaults,
}

/// A cluster whose first masters are all known, and find each other without addresses in rows and without certificates.
pub fn founded_by(facts: &ClusterFacts, masters: &[u64]) -> Founding {
    let founder = |id: &u64| Founder {
        id: *id,
        name: Name::new(&format!("n{id}")).expect("a letter and digits are a name"),
        peer: String::new(),
        worker: String::new(),
        api: String::new(),
    };
    Founding::First(Box::new(Genesis {
        cluster: facts.cluster,
        shards: facts.shards,
        generation: facts.generation,
        masters: masters.iter().map(founder).collect(),
        authority: None,
        tokens: Vec::new(),
    }))
}

/// A running master, without its API.
pub struct Master {
    id: u64,
    node: Node,
    rooms: Arc<ThreadRooms>,
    transport: Arc<TcpTransport>,
    store: Arc<FileStore>,
    in_front: NodeSeams,
}

impl std::fmt::Debug for Master {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Master(n{})", self.id)
    }
}

impl Master {
    pub async fn start(config: MasterConfig, log: &Logger) -> Result<Master, Error> {
        let MasterConfig { id, facts, security, founding, data, listen, call_from, .. } = config;
        let files = data.clone();
        let store = FileStore::open(&data).map_err(|source| Error::Data { path: data, source })?;
        let tcp = TcpConfig {
            node: NodeId::Master(id),
            cluster: facts.cluster,
            security,
            version: env!("CARGO_PKG_VERSION").into(),
            listen,
            call_from,
        };
        let started = TcpTransport::start(tcp, log);
        let transport = Arc::new(started.map_err(|source| Error::Listen { master: id, listen, source })?);
        let (rooms, store) = (Arc::new(ThreadRooms::new(&format!("n{id}"))), Arc::new(store));
        let in_front = config.faults.of_node(&format!("n{id}"));
        in_front.hold(&rooms);
        let seams = Seams {
            clock: in_front.clock(),
            entropy: Arc::new(|_: &str| Box::new(OsEntropy::new()) as Box<dyn Entropy>),
            store: in_front.store(store.clone()),
            transport: in_front.transport(transport.clone()),
            rooms: rooms.clone(),
            host: Arc::new(move || Box::new(SystemHost::new(files.clone())) as Box<dyn HostMetrics>),
        };
        let node_config = NodeConfig {
            pace: Pace::Lively,
            me: id,
            cluster: facts.cluster,
            cluster_name: facts.name,
            generation: facts.generation,
            shards: facts.shards,
            founding,
            leases: config.leases,
            cache_bytes: config.cache_bytes,
            disk_low_bytes: config.disk_low_bytes,
            ballast_bytes: config.ballast_bytes,
            log_keep_entries: hortator_raft::LOG_KEEP_ENTRIES,
            mutant: config.mutant,
        };
        let started = Node::start(seams, node_config, log).await;
        let node = started.map_err(|source| Error::Master { master: id, source: Box::new(source) })?;
        Ok(Master { id, node, rooms, transport, store, in_front })
    }

    /// Where it is called, with the real ports.
    pub fn addresses(&self) -> Addresses {
        self.transport.addresses()
    }

    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Syncs of its files so far.
    pub fn syncs(&self) -> Syncs {
        Syncs(self.store.clone())
    }

    /// Its connections, for metrics.
    pub fn links(&self) -> Links {
        self.transport.links()
    }

    /// Whether another master has said that this one was removed.
    pub fn removed(&self) -> bool {
        self.transport.removed()
    }

    /// Keeps a connection to every master.
    pub fn dial(&self, addresses: Vec<String>) {
        self.transport.dial(addresses);
    }

    /// Returns when it leads no group that others could lead, or when they do not take over in time.
    pub async fn hand_over(&self) {
        self.node.hand_over().await;
    }

    /// Ends all its parts; returns when all is written.
    pub fn stop(self) {
        self.in_front.release();
        self.transport.stop();
        drop(self.node);
        self.rooms.stop();
        self.store.join_writers();
    }
}

/// A count that goes on.
#[derive(Clone, Debug)]
pub struct Syncs(Arc<FileStore>);

impl Syncs {
    pub fn count(&self) -> u64 {
        self.0.syncs()
    }

    /// How long they took, by group.
    pub fn took(&self) -> BTreeMap<u32, Arc<Histogram>> {
        self.0.sync_times()
    }

    /// Slowest first.
    pub fn slowest(&self, count: usize) -> Vec<SlowOne> {
        self.0.slow_syncs(count)
    }

    /// Where the files lie.
    pub fn directory(&self) -> &Path {
        self.0.directory()
    }
}
