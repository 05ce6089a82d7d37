//! Nodes with certificates: who is let in where, and whom each takes the other for.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use hortator_actors::seam::Clock;
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::MasterAddress;

use super::hostile::counted;
use super::*;
use crate::env::SystemClock;
use crate::pki::{Ca, ClusterFacts, Identity, NODE_DAYS, NodeKey, NodeRole, TlsIdentity};

/// An authority, and nodes with its certificates.
pub(super) struct Cluster {
    ca: Ca,
}

pub(super) fn now() -> Timestamp {
    SystemClock.wall()
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(super) fn dial_worker_port(caller: &Node, others: &[&Node]) {
    let address = |node: &&Node| node.transport.addresses().workers.unwrap().to_string();
    caller.transport.dial(others.iter().map(address).collect());
}

impl Cluster {
    pub(super) fn new() -> Cluster {
        Cluster { ca: Ca::create([1; 16], now()) }
    }

    fn config(&self, role: NodeRole, listen: Listen, at: Timestamp) -> TcpConfig {
        let key = NodeKey::create();
        let certificate_pem = self.ca.sign(&key.csr(), &role, &["127.0.0.1".into()], at).unwrap();
        let facts = ClusterFacts { cluster: [1; 16], name: "t".into(), generation: 1, shards: 1 };
        let authority_pem = self.ca.certificate_pem().to_owned();
        let node = role.node().unwrap();
        let identity = Identity { facts, role, authority_pem, certificate_pem, key };
        let security = Security::Tls(TlsIdentity::new(&identity).unwrap());
        TcpConfig {
            node,
            cluster: [1; 16],
            security,
            version: "0.1.0".into(),
            listen,
            call_from: CallFrom::Any,
        }
    }

    pub(super) fn master_config(&self, id: u64) -> TcpConfig {
        let listen = Listen::Apart { peers: loopback(), workers: loopback() };
        self.config(NodeRole::Master(id), listen, now())
    }

    pub(super) fn master(&self, id: u64) -> Node {
        start(self.master_config(id))
    }

    pub(super) fn worker_config(&self, name: &str, at: Timestamp) -> TcpConfig {
        self.config(NodeRole::Worker(Name::new(name).unwrap()), Listen::Nowhere, at)
    }

    pub(super) fn worker(&self, name: &str) -> Node {
        start(self.worker_config(name, now()))
    }
}

impl Cluster {
    /// A worker by its certificate that shakes hands and then says `bytes`, and no more.
    pub(super) fn rogue(&self, name: &str, to: SocketAddr, bytes: &[u8]) -> TcpStream {
        let config = self.worker_config(name, now());
        let Security::Tls(identity) = &config.security else { unreachable!("it has a certificate") };
        let to_name = rustls::pki_types::ServerName::IpAddress(to.ip().into());
        let mut session = rustls::ClientConnection::new(identity.node_dialler(), to_name).unwrap();
        let mut socket = TcpStream::connect(to).unwrap();
        let mut line = rustls::Stream::new(&mut session, &mut socket);
        line.write_all(&framed(&handshake::encode(&config))).unwrap();
        let mut answer = [0; 4];
        line.read_exact(&mut answer).unwrap();
        line.write_all(bytes).unwrap();
        line.flush().unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        socket
    }
}

#[test]
fn nodes_speak_and_are_whom_their_certificates_name() {
    let cluster = Cluster::new();
    let (a, b) = (cluster.master(1), cluster.master(2));
    // What it says of itself counts nowhere.
    let liar = start(TcpConfig { node: NodeId::Master(9), ..cluster.worker_config("w", now()) });
    a.dial(&[&a, &b]);
    b.dial(&[&a, &b]);
    assert_eq!(a.next(), Seen::Opened(NodeId::Master(2)));
    assert_eq!(b.next(), Seen::Opened(NodeId::Master(1)));
    dial_worker_port(&liar, &[&a]);
    assert_eq!(a.next(), Seen::Opened(worker_id("w")));
    assert_eq!(liar.next(), Seen::Opened(NodeId::Master(1)));
    liar.send(&NodeId::Master(1), "hello").unwrap();
    assert_eq!(a.next(), Seen::Frame(worker_id("w"), Bytes::from_static(b"hello")));
    let largest = Bytes::from(vec![7; FRAME_BYTES_MAX]);
    b.transport.send(&NodeId::Master(1), largest.clone()).unwrap();
    assert!(a.next() == Seen::Frame(NodeId::Master(2), largest));
    liar.transport.stop();
    assert_eq!(a.next(), Seen::Closed(worker_id("w")));
}

#[test]
fn callers_that_do_not_belong_hear_nothing() {
    let (cluster, foreign) = (Cluster::new(), Cluster::new());
    let m = cluster.master(1);
    let long_ago = Timestamp(now().0 - Span::from_secs((NODE_DAYS + 2) * 24 * 60 * 60).0 as i64);
    let expired = start(cluster.worker_config("expired", long_ago));
    let stranger = foreign.worker("stranger");
    let (wrong_port, other_master) = (cluster.worker("wrong-port"), cluster.master(2));
    dial_worker_port(&expired, &[&m]);
    dial_worker_port(&stranger, &[&m]);
    dial_worker_port(&other_master, &[&m]);
    wrong_port.dial(&[&m]);
    let plain = worker("plain");
    plain.transport.dial(vec![m.transport.addresses().workers.unwrap().to_string()]);
    // All of them go on calling; whoever belongs gets through.
    let good = cluster.worker("good");
    dial_worker_port(&good, &[&m]);
    assert_eq!(m.next(), Seen::Opened(worker_id("good")));
    assert_eq!(good.next(), Seen::Opened(NodeId::Master(1)));
    for _ in 0..100 {
        assert_eq!(round_trip_name(&m, &good), Seen::Frame(NodeId::Master(1), Bytes::from_static(b"pong")));
    }
    for nobody in [&expired, &stranger, &wrong_port, &other_master, &plain] {
        assert!(nobody.seen.try_recv().is_err(), "a session opened");
    }
}

fn round_trip_name(m: &Node, w: &Node) -> Seen {
    w.send(&NodeId::Master(1), "ping").unwrap();
    m.next();
    m.send(&worker_id("good"), "pong").unwrap();
    w.next()
}

#[test]
fn a_caller_does_not_believe_a_foreign_master() {
    let (cluster, foreign) = (Cluster::new(), Cluster::new());
    let (m, w) = (foreign.master(1), cluster.worker("w"));
    let own = cluster.master(1);
    dial_worker_port(&w, &[&m, &own]);
    assert_eq!(w.next(), Seen::Opened(NodeId::Master(1)));
    assert_eq!(own.next(), Seen::Opened(worker_id("w")));
    assert!(m.seen.try_recv().is_err());
}

#[test]
fn under_tls_any_address_may_be_listened_on_and_each_kind_has_a_port() {
    let cluster = Cluster::new();
    let log = Logger::root(slog::Discard, o!());
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let apart = cluster.config(NodeRole::Master(1), Listen::Apart { peers: any, workers: any }, now());
    let addresses = TcpTransport::start(apart.clone(), &log).unwrap().addresses();
    assert!(addresses.peers.is_some() && addresses.workers.is_some() && addresses.peers != addresses.workers);
    let together = TcpTransport::start(TcpConfig { listen: Listen::Together(any), ..apart }, &log);
    assert!(together.unwrap_err().to_string().contains("ports of their own"));
}

#[test]
fn the_dial_list_changes_while_peers_are_down() {
    let cluster = Cluster::new();
    let w = cluster.worker("w");
    // Nobody listens there: it was just closed.
    let gone = std::net::TcpListener::bind(loopback()).unwrap().local_addr().unwrap();
    w.transport.dial(vec![gone.to_string(), "no-such-host.invalid:1".into(), "nonsense".into()]);
    let (a, b) = (cluster.master(1), cluster.master(2));
    dial_worker_port(&w, &[&a]);
    assert_eq!(w.next(), Seen::Opened(NodeId::Master(1)));
    dial_worker_port(&w, &[&b]);
    let both = [w.next(), w.next()];
    assert!(both.contains(&Seen::Closed(NodeId::Master(1))), "{both:?}");
    assert!(both.contains(&Seen::Opened(NodeId::Master(2))), "{both:?}");
}

fn address_of(node: &Node, id: u64) -> MasterAddress {
    MasterAddress { id, address: node.address().to_string(), api: String::new() }
}

/// Removed is what is known of it; one that is in no list is new, and let in.
#[test]
fn a_removed_master_is_closed_refused_and_told() {
    let cluster = Cluster::new();
    let (log, counter) = counted();
    let a = start_logged(cluster.master_config(1), &log);
    let (b, fresh) = (cluster.master(2), cluster.master(3));
    a.dial(&[&b]);
    b.dial(&[&a]);
    assert_eq!(a.next(), Seen::Opened(NodeId::Master(2)));
    assert_eq!(b.next(), Seen::Opened(NodeId::Master(1)));
    a.transport.masters_changed(&[address_of(&a, 1)], &BTreeSet::from([2]));
    assert_eq!(a.next(), Seen::Closed(NodeId::Master(2)));
    fresh.dial(&[&a]);
    assert_eq!(a.next(), Seen::Opened(NodeId::Master(3)));
    // It goes on calling, and has had its fill of answers.
    wait_until("it is refused and told", || {
        counter.refused.load(Ordering::SeqCst) >= 5 && b.transport.removed()
    });
    assert!(!fresh.transport.removed() && !a.transport.removed());
    assert!(a.seen.try_recv().is_err(), "no session of a removed master opens");
    // Its connections close one after the other, and a call of its own may have been on its way: to the removed one a
    // session then moves. There are at most these three, and each ends.
    let seen: Vec<Seen> = b.seen.try_iter().collect();
    let (closed, opened) = (Seen::Closed(NodeId::Master(1)), Seen::Opened(NodeId::Master(1)));
    assert!(seen.len() <= 5 && seen.len() % 2 == 1, "{seen:?}");
    for (place, seen) in seen.iter().enumerate() {
        assert_eq!(seen, if place % 2 == 0 { &closed } else { &opened }, "at {place}");
    }
    assert_eq!(b.send(&NodeId::Master(1), "hello"), Err(SendError::NotConnected(NodeId::Master(1))));
}

fn wait_until(what: &str, done: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < until, "{what}: not in time");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// So no crowd at the workers' port holds up what masters say to each other.
#[test]
fn workers_are_heard_on_another_thread_than_masters() {
    let cluster = Cluster::new();
    let m = TcpTransport::start(cluster.master_config(1), &Logger::root(slog::Discard, o!())).unwrap();
    let heard = Arc::new(Whereabouts::default());
    m.listen(heard.clone());
    let (dialled, calling, w) = (cluster.master(2), cluster.master(3), cluster.worker("w"));
    let addresses = m.addresses();
    m.dial(vec![dialled.address().to_string()]);
    calling.transport.dial(vec![addresses.peers.unwrap().to_string()]);
    w.transport.dial(vec![addresses.workers.unwrap().to_string()]);
    wait_until("three peers", || heard.0.lock().unwrap().len() >= 3);
    for node in [&calling, &w] {
        assert_eq!(node.next(), Seen::Opened(NodeId::Master(1)));
        node.send(&NodeId::Master(1), "hello").unwrap();
    }
    drop((dialled, calling, w));
    m.stop();
    let heard = heard.0.lock().unwrap();
    let threads = |of: &dyn Fn(&NodeId) -> bool| -> BTreeSet<String> {
        heard.iter().filter(|(node, _)| of(node)).map(|(_, thread)| thread.clone()).collect()
    };
    let of_masters = threads(&|node| matches!(node, NodeId::Master(_)));
    let of_workers = threads(&|node| matches!(node, NodeId::Worker(_)));
    assert_eq!((of_masters.len(), of_workers.len()), (1, 1), "{heard:?}");
    assert!(of_masters.is_disjoint(&of_workers), "{heard:?}");
}

/// Also when the node that knows is the one that calls.
#[test]
fn a_removed_master_is_not_kept_when_it_is_called() {
    let cluster = Cluster::new();
    let (a, b, c) = (cluster.master(1), cluster.master(2), cluster.master(3));
    let known = [address_of(&b, 2), address_of(&c, 3)];
    a.transport.masters_changed(&known, &BTreeSet::from([2]));
    assert_eq!(a.next(), Seen::Opened(NodeId::Master(3)));
    assert_eq!(*a.transport.masters().borrow(), known);
    assert_eq!(round_trip_of(&a, &c), Seen::Frame(NodeId::Master(3), Bytes::from_static(b"ping")));
    assert!(a.seen.try_recv().is_err());
}

fn round_trip_of(a: &Node, c: &Node) -> Seen {
    assert_eq!(c.next(), Seen::Opened(NodeId::Master(1)));
    c.send(&NodeId::Master(1), "ping").unwrap();
    a.next()
}
