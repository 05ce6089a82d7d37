//! One master of an embedded cluster: its seams made of files, sockets and threads.

use std::net::SocketAddr;
use std::sync::Arc;

use hortator_actors::node::{Node, NodeConfig};
use hortator_actors::seam::Seams;
use hortator_core::lease::Leases;
use hortator_proto::frame::NodeId;
use hortator_raft::Entropy;

use super::identity::Identity;
use super::{EmbeddedConfig, Error};
use crate::env::store::FileStore;
use crate::env::{Listen, OsEntropy, Security, SystemClock, TcpConfig, TcpTransport, ThreadRooms};

/// redb's page cache for each group; the design's bound is 16 MiB. Several masters in one process share its memory.
const CACHE_ALONE: usize = 16 << 20;
const CACHE_SHARED: usize = 4 << 20;
/// Free space under which new commands are refused: enough for every group to go on committing reports.
const DISK_LOW: u64 = 64 << 20;
/// Kept per group, to be given back when the disk is low.
const BALLAST: u64 = 1 << 20;

pub(super) struct Master {
    node: Node,
    rooms: Arc<ThreadRooms>,
    transport: Arc<TcpTransport>,
    store: Arc<FileStore>,
    address: SocketAddr,
}

impl std::fmt::Debug for Master {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Master({})", self.address)
    }
}

impl Master {
    pub(super) async fn start(
        config: &EmbeddedConfig,
        identity: &Identity,
        id: u64,
    ) -> Result<Master, Error> {
        let directory = config.data.join(format!("n{id}"));
        let store = FileStore::open(&directory).map_err(|source| Error::Data { path: directory, source })?;
        let listen_error = |source| Error::Listen { master: id, source };
        let tcp = TcpConfig {
            node: NodeId::Master(id),
            cluster: identity.cluster(),
            security: Security::Secret(identity.secret()),
            version: env!("CARGO_PKG_VERSION").into(),
            listen: Listen::Together(SocketAddr::from(([127, 0, 0, 1], 0))),
        };
        let transport = Arc::new(TcpTransport::start(tcp, &config.log).map_err(listen_error)?);
        let address = transport.addresses().peers.expect("it listens");
        let (rooms, store) = (Arc::new(ThreadRooms::new(&format!("n{id}"))), Arc::new(store));
        let seams = Seams {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(|_: &str| Box::new(OsEntropy::new()) as Box<dyn Entropy>),
            store: store.clone(),
            transport: transport.clone(),
            rooms: rooms.clone(),
        };
        let node_config = NodeConfig {
            me: id,
            cluster: identity.cluster(),
            cluster_name: config.cluster.clone(),
            generation: identity.generation,
            shards: identity.shards,
            masters: (1..=u64::from(config.masters)).collect(),
            leases: Leases::NotKept,
            cache_bytes: if config.masters == 1 { CACHE_ALONE } else { CACHE_SHARED },
            disk_low_bytes: DISK_LOW,
            ballast_bytes: BALLAST,
        };
        let started = Node::start(seams, node_config, &config.log).await;
        let node = started.map_err(|source| Error::Master { master: id, source: Box::new(source) })?;
        Ok(Master { node, rooms, transport, store, address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    /// Syncs of its files so far.
    pub(super) fn syncs(&self) -> u64 {
        self.store.syncs()
    }

    /// Keeps a connection to every master.
    pub(super) fn dial(&self, addresses: Vec<String>) {
        self.transport.dial(addresses);
    }

    pub(super) fn stop(self) {
        self.node.hand_over();
        self.transport.stop();
        drop(self.node);
        self.rooms.stop();
        self.store.join_writers();
    }
}
