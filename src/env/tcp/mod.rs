//! Frames between nodes over TCP: who dials whom, who is let in, and one bounded queue per connection.
//!
//! ```text
//!  send ─▶ peers ─▶ outgoing (bounded) ─▶ connection: writer ═══ TCP ═══ connection: reader ─▶ Incoming
//!                     ▲ registered by dial (we called) or accept (they called), after the handshake
//! ```
//!
//! Peers have a thread, and a master's workers another, so that no crowd at the workers' port holds up what Raft says.
//! A frame is a length (u32, little-endian, at most 16 MiB) and bytes. Between hosts all of it is under mutual TLS, and
//! a peer is whom its certificate names. Must not know what is in a frame.

mod accept;
mod complaints;
mod connection;
mod dial;
mod handshake;
mod links;
mod options;
mod outgoing;
mod peers;
mod strangers;
mod stream;
#[cfg(test)]
mod tests;
mod threshold;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use hortator_actors::seam::{Incoming, SendError, Transport};
use hortator_proto::frame::{FRAME_BYTES_MAX, MasterAddress, NodeId};
use slog::{Logger, o};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::AbortHandle;

pub use self::handshake::Secret;
pub use self::links::Links;
pub(crate) use self::options::listen;
use self::peers::Peers;
pub(crate) use self::strangers::host;
use self::stream::{Answering, Calling};
pub(crate) use self::threshold::Threshold;
use crate::pki::{PeerKind, TlsIdentity};

/// Who this node is, and where it listens.
#[derive(Clone, Debug)]
pub struct TcpConfig {
    pub node: NodeId,
    pub cluster: [u8; 16],
    pub security: Security,
    /// Of the program, for the logs of peers.
    pub version: String,
    pub listen: Listen,
    pub call_from: CallFrom,
}

/// How peers know each other.
#[derive(Clone, Debug)]
pub enum Security {
    /// By a secret, in plain frames: for one host, on loopback addresses.
    Secret(Secret),
    /// By certificates, under TLS.
    Tls(TlsIdentity),
}

/// Where a node can be called; port 0 takes any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A worker calls and is not called.
    Nowhere,
    /// One port for all nodes of this host.
    Together(SocketAddr),
    /// Masters and workers have a port each, and are refused at the other's.
    Apart { peers: SocketAddr, workers: SocketAddr },
}

/// The address that calls to other nodes are made from, on hosts that have several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallFrom {
    /// The system chooses.
    Any,
    Address(IpAddr),
}

/// Whom one listener lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Admits {
    Everyone,
    Only(PeerKind),
}

impl Admits {
    fn node(self, node: &NodeId) -> bool {
        match self {
            Admits::Everyone => true,
            Admits::Only(kind) => kind.admits(node),
        }
    }

    fn answering(self, security: &Security) -> Answering {
        match self {
            // Refused under TLS when it was bound.
            Admits::Everyone => Answering::Plain,
            Admits::Only(kind) => Answering::new(security, kind),
        }
    }
}

/// One node's connections, on threads of their own. Dropping it closes them and joins the threads.
pub struct TcpTransport {
    net: Arc<Net>,
    addresses: Addresses,
    /// As told last; empty until then.
    masters: watch::Sender<Vec<MasterAddress>>,
    /// Calls others and listens to all but a master's workers.
    calls: NetThread,
    /// Listens to workers where they have a port of their own. None of their connections is known to the other thread.
    crowd: Option<NetThread>,
}

struct NetThread {
    /// Unbounded: a handful of orders in a node's life.
    orders: UnboundedSender<Order>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Where a node is called, with the real ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    pub peers: Option<SocketAddr>,
    pub workers: Option<SocketAddr>,
}

/// What all connections of the node share.
struct Net {
    config: TcpConfig,
    calling: Calling,
    peers: Arc<Peers>,
    /// A master has said so of this node.
    removed: AtomicBool,
    log: Logger,
}

enum Order {
    Listen,
    Dial(Vec<String>),
    Stop,
}

impl fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TcpTransport({})", self.net.config.node)
    }
}

impl TcpTransport {
    /// Binds at once, so that the address is known; nobody is let in or called before `listen`.
    pub fn start(config: TcpConfig, log: &Logger) -> io::Result<TcpTransport> {
        let (listeners, addresses) = bind(&config)?;
        let log = log.new(o!("node" => config.node.to_string()));
        let calling = Calling::new(&config.security);
        let net = Arc::new(Net {
            config,
            calling,
            peers: Arc::new(Peers::new()),
            removed: AtomicBool::new(false),
            log,
        });
        let (of_workers, others): (Vec<_>, Vec<_>) =
            listeners.into_iter().partition(|(_, admits)| *admits == Admits::Only(PeerKind::Workers));
        let calls = NetThread::start("net", net.clone(), others)?;
        let crowd = (!of_workers.is_empty()).then(|| NetThread::start("crowd", net.clone(), of_workers));
        let masters = watch::Sender::new(Vec::new());
        Ok(TcpTransport { net, addresses, masters, calls, crowd: crowd.transpose()? })
    }

    /// Where this node is called.
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The addresses (`HOST:PORT`) to keep a connection to, in place of the last list. One of this node itself, or
    /// a second one of the same peer, does no harm.
    pub fn dial(&self, addresses: Vec<String>) {
        self.calls.order(Order::Dial(addresses));
    }

    /// The masters that this node was told of last, for those who keep what it learns.
    pub fn masters(&self) -> watch::Receiver<Vec<MasterAddress>> {
        self.masters.subscribe()
    }

    /// Whether a master that this node called has answered that this node was removed from the cluster.
    pub fn removed(&self) -> bool {
        self.net.removed.load(Ordering::Relaxed)
    }

    /// Its connections, for metrics.
    pub fn links(&self) -> Links {
        Links::new(self.net.peers.clone())
    }

    /// Closes all connections and ends the threads. Queued frames are lost.
    pub fn stop(&self) {
        self.threads().for_each(|thread| thread.order(Order::Stop));
        self.threads().for_each(NetThread::join);
    }

    fn threads(&self) -> impl Iterator<Item = &NetThread> {
        std::iter::once(&self.calls).chain(&self.crowd)
    }
}

impl NetThread {
    fn start(what: &str, net: Arc<Net>, listeners: Vec<(TcpListener, Admits)>) -> io::Result<NetThread> {
        let (orders, incoming) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name(format!("{}-{what}", net.config.node))
            .spawn(move || runtime.block_on(live(net, listeners, incoming)))?;
        Ok(NetThread { orders, thread: Mutex::new(Some(thread)) })
    }

    fn order(&self, order: Order) {
        // A thread that has ended needs no orders.
        self.orders.send(order).unwrap_or(());
    }

    fn join(&self) {
        let thread = self.thread.lock().expect("nothing panics while it holds the thread").take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A panic has been reported by the thread itself.
            thread.join().unwrap_or(());
        }
    }
}

impl Drop for TcpTransport {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Transport for TcpTransport {
    fn send(&self, to: &NodeId, frame: Bytes) -> Result<(), SendError> {
        assert!(
            frame.len() <= FRAME_BYTES_MAX,
            "a frame of {} bytes is more than any peer takes",
            frame.len()
        );
        self.net.peers.send(to, frame)
    }

    fn listen(&self, incoming: Arc<dyn Incoming>) {
        self.net.peers.listen(incoming);
        self.threads().for_each(|thread| thread.order(Order::Listen));
    }

    fn masters_changed(&self, masters: &[MasterAddress], removed: &BTreeSet<u64>) {
        self.net.peers.bar(removed.iter().map(|id| NodeId::Master(*id)).collect());
        self.masters.send_if_modified(|known| {
            let differs = known != masters;
            if differs {
                *known = masters.to_vec();
            }
            differs
        });
        // In a cluster of one host the rows have no addresses, and the links are given.
        if !masters.is_empty() {
            self.dial(masters.iter().map(|master| master.address.clone()).collect());
        }
    }
}

/// Binds what is listened on, unless it would show plain frames to other hosts.
fn bind(config: &TcpConfig) -> io::Result<(Vec<(TcpListener, Admits)>, Addresses)> {
    let wanted: &[(SocketAddr, Admits)] = match config.listen {
        Listen::Nowhere => &[],
        Listen::Together(address) => &[(address, Admits::Everyone)],
        Listen::Apart { peers, workers } => {
            &[(peers, Admits::Only(PeerKind::Masters)), (workers, Admits::Only(PeerKind::Workers))]
        }
    };
    let mut addresses = Addresses::default();
    let mut listeners = Vec::new();
    for &(address, admits) in wanted {
        match (&config.security, admits) {
            (Security::Secret(_), _) if !address.ip().is_loopback() => {
                return Err(io::Error::other(format!(
                    "{address} can be reached from other hosts, and without certificates frames are plain: listen on \
                     127.0.0.1, or form the cluster with `hortator cluster init`"
                )));
            }
            (Security::Tls(_), Admits::Everyone) => {
                let why = "with certificates, masters and workers are listened to on ports of their own";
                return Err(io::Error::other(why));
            }
            (Security::Secret(_) | Security::Tls(_), _) => {}
        }
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
        let listener = options::listen(address).map_err(named)?;
        let bound = Some(listener.local_addr()?);
        match admits {
            Admits::Everyone => addresses = Addresses { peers: bound, workers: bound },
            Admits::Only(PeerKind::Masters) => addresses.peers = bound,
            Admits::Only(PeerKind::Workers) => addresses.workers = bound,
        }
        listeners.push((listener, admits));
    }
    Ok((listeners, addresses))
}

/// A net thread: obeys orders; everything else are tasks that end with its runtime.
async fn live(net: Arc<Net>, listeners: Vec<(TcpListener, Admits)>, mut orders: UnboundedReceiver<Order>) {
    let mut listeners = listeners;
    let mut listening = false;
    let mut wanted: Vec<String> = Vec::new();
    let mut dials: BTreeMap<String, AbortHandle> = BTreeMap::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Listen => {
                listening = true;
                for (listener, admits) in listeners.drain(..) {
                    tokio::spawn(accept::accept_all(net.clone(), listener, admits));
                }
            }
            Order::Dial(addresses) => wanted = addresses,
            Order::Stop => return,
        }
        if listening {
            dials.retain(|address, dial| {
                let keep = wanted.contains(address);
                if !keep {
                    dial.abort();
                }
                keep
            });
            for address in &wanted {
                let dial = || tokio::spawn(dial::keep_connected(net.clone(), address.clone())).abort_handle();
                dials.entry(address.clone()).or_insert_with(dial);
            }
        }
    }
}
