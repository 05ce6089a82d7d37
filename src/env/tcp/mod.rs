//! Frames between nodes over TCP: who dials whom, who is let in, and one bounded queue per connection.
//!
//! ```text
//!  send ─▶ peers ─▶ outgoing (bounded) ─▶ connection: writer ═══ TCP ═══ connection: reader ─▶ Incoming
//!                     ▲ registered by dial (we called) or accept (they called), after the handshake
//! ```
//!
//! A frame is a length (u32, little-endian, at most 16 MiB) and bytes. Must not know what is in a frame.

mod accept;
mod connection;
mod dial;
mod handshake;
mod options;
mod outgoing;
mod peers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use bytes::Bytes;
use hortator_actors::seam::{Incoming, SendError, Transport};
use hortator_proto::frame::{FRAME_BYTES_MAX, NodeId};
use slog::{Logger, o};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::AbortHandle;

pub use self::handshake::Secret;
use self::peers::Peers;

/// Who this node is, and where it listens.
#[derive(Clone, Debug)]
pub struct TcpConfig {
    pub node: NodeId,
    pub cluster: [u8; 16],
    pub secret: Secret,
    /// Of the program, for the logs of peers.
    pub version: String,
    /// Masters listen; port 0 takes any. Loopback only while frames are not encrypted.
    pub listen: Option<SocketAddr>,
}

/// What a non-loopback listener is answered.
const ONLY_LOOPBACK: &str = "frames are not encrypted yet, so only a loopback address may be listened on";

/// One node's connections, on a thread of their own. Dropping it closes them and joins the thread.
pub struct TcpTransport {
    net: Arc<Net>,
    address: Option<SocketAddr>,
    /// Unbounded: a handful of orders in a node's life.
    orders: UnboundedSender<Order>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What all connections of the node share.
struct Net {
    config: TcpConfig,
    peers: Arc<Peers>,
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
        let listener = match config.listen {
            None => None,
            Some(address) if !address.ip().is_loopback() => return Err(io::Error::other(ONLY_LOOPBACK)),
            Some(address) => Some(TcpListener::bind(address)?),
        };
        let address = listener.as_ref().map(TcpListener::local_addr).transpose()?;
        let log = log.new(o!("node" => config.node.to_string()));
        let name = format!("{}-net", config.node);
        let net = Arc::new(Net { config, peers: Arc::new(Peers::new()), log });
        let (orders, incoming) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let own = net.clone();
        let thread = std::thread::Builder::new()
            .name(name)
            .spawn(move || runtime.block_on(live(own, listener, incoming)))?;
        Ok(TcpTransport { net, address, orders, thread: Mutex::new(Some(thread)) })
    }

    /// Where this node is listened on.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The addresses (`HOST:PORT`) to keep a connection to, in place of the last list. One of this node itself, or
    /// a second one of the same peer, does no harm.
    pub fn dial(&self, addresses: Vec<String>) {
        self.order(Order::Dial(addresses));
    }

    /// Closes all connections and ends the thread. Queued frames are lost.
    pub fn stop(&self) {
        self.order(Order::Stop);
        let thread = self.thread.lock().expect("nothing panics while it holds the thread").take();
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            // A panic has been reported by the thread itself.
            thread.join().unwrap_or(());
        }
    }

    fn order(&self, order: Order) {
        // A thread that has ended needs no orders.
        self.orders.send(order).unwrap_or(());
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
        self.order(Order::Listen);
    }
}

/// The net thread: obeys orders; everything else are tasks that end with its runtime.
async fn live(net: Arc<Net>, listener: Option<TcpListener>, mut orders: UnboundedReceiver<Order>) {
    let mut listener = listener;
    let mut listening = false;
    let mut wanted: Vec<String> = Vec::new();
    let mut dials: BTreeMap<String, AbortHandle> = BTreeMap::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Listen => {
                listening = true;
                if let Some(listener) = listener.take() {
                    tokio::spawn(accept::accept_all(net.clone(), listener));
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
