//! Real sockets on loopback, port 0 everywhere.

mod hostile;
mod tls;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hortator_actors::seam::{Incoming, SendError, Transport};
use hortator_core::id::Name;
use hortator_proto::frame::{FRAME_BYTES_MAX, NodeId};
use proptest::prelude::*;
use slog::{Logger, o};
use tokio::io::AsyncWriteExt;

use super::connection::FrameReader;
use super::handshake::{HandshakeError, Peer};
use super::outgoing::{Outgoing, QUEUE_BYTES_MAX, Refusal};
use super::peers::{Direction, Peers};
use super::stream::Known;
use super::{CallFrom, Listen, Secret, Security, TcpConfig, TcpTransport, handshake};

/// Longer than anything here takes on a busy machine; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq)]
enum Seen {
    Opened(NodeId),
    Closed(NodeId),
    Frame(NodeId, Bytes),
}

/// Passes on what a transport tells.
struct Ear(Mutex<Sender<Seen>>);

impl Ear {
    fn tell(&self, seen: Seen) {
        // A test that is over listens no more.
        self.0.lock().unwrap().send(seen).unwrap_or(());
    }
}

impl Incoming for Ear {
    fn frame(&self, from: &NodeId, frame: Bytes) {
        self.tell(Seen::Frame(from.clone(), frame));
    }
    fn session_opened(&self, peer: &NodeId) {
        self.tell(Seen::Opened(peer.clone()));
    }
    fn session_closed(&self, peer: &NodeId) {
        self.tell(Seen::Closed(peer.clone()));
    }
}

fn ear() -> (Arc<Ear>, Receiver<Seen>) {
    let (sender, receiver) = channel();
    (Arc::new(Ear(Mutex::new(sender))), receiver)
}

/// Notes on which threads whose words arrive.
#[derive(Default)]
struct Whereabouts(Mutex<BTreeSet<(NodeId, String)>>);

impl Incoming for Whereabouts {
    fn frame(&self, from: &NodeId, _: Bytes) {
        self.session_opened(from);
    }
    fn session_opened(&self, peer: &NodeId) {
        self.0.lock().unwrap().insert((peer.clone(), std::thread::current().name().unwrap().to_owned()));
    }
    fn session_closed(&self, peer: &NodeId) {
        self.session_opened(peer);
    }
}

struct Node {
    transport: TcpTransport,
    seen: Receiver<Seen>,
}

fn config(node: NodeId, listen: Option<SocketAddr>) -> TcpConfig {
    let listen = listen.map_or(Listen::Nowhere, Listen::Together);
    let security = Security::Secret(Secret([2; 32]));
    TcpConfig { node, cluster: [1; 16], security, version: "0.1.0".into(), listen, call_from: CallFrom::Any }
}

fn any_port() -> Option<SocketAddr> {
    Some(SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn start(config: TcpConfig) -> Node {
    start_logged(config, &Logger::root(slog::Discard, o!()))
}

fn start_logged(config: TcpConfig, log: &Logger) -> Node {
    let transport = TcpTransport::start(config, log).unwrap();
    let (ear, seen) = ear();
    transport.listen(ear);
    Node { transport, seen }
}

fn master(id: u64) -> Node {
    start(config(NodeId::Master(id), any_port()))
}

fn worker(name: &str) -> Node {
    start(config(worker_id(name), None))
}

fn worker_id(name: &str) -> NodeId {
    NodeId::Worker(Name::new(name).unwrap())
}

impl Node {
    fn address(&self) -> SocketAddr {
        self.transport.addresses().peers.unwrap()
    }

    fn dial(&self, others: &[&Node]) {
        self.transport.dial(others.iter().map(|node| node.address().to_string()).collect());
    }

    fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("something is told in time")
    }

    fn send(&self, to: &NodeId, text: &'static str) -> Result<(), SendError> {
        self.transport.send(to, Bytes::from_static(text.as_bytes()))
    }
}

#[test]
fn a_worker_calls_and_both_sides_speak() {
    let (m, w) = (master(1), worker("w"));
    assert_eq!(m.send(&worker_id("w"), "early"), Err(SendError::NotConnected(worker_id("w"))));
    w.dial(&[&m]);
    assert_eq!(w.next(), Seen::Opened(NodeId::Master(1)));
    assert_eq!(m.next(), Seen::Opened(worker_id("w")));
    w.send(&NodeId::Master(1), "hello").unwrap();
    m.send(&worker_id("w"), "").unwrap();
    m.send(&worker_id("w"), "welcome").unwrap();
    assert_eq!(m.next(), Seen::Frame(worker_id("w"), Bytes::from_static(b"hello")));
    assert_eq!(w.next(), Seen::Frame(NodeId::Master(1), Bytes::new()));
    assert_eq!(w.next(), Seen::Frame(NodeId::Master(1), Bytes::from_static(b"welcome")));
    w.transport.stop();
    assert_eq!(m.next(), Seen::Closed(worker_id("w")));
    assert_eq!(w.next(), Seen::Closed(NodeId::Master(1)));
}

#[test]
fn masters_call_each_other_and_one_session_stays() {
    let (a, b) = (master(1), master(2));
    a.dial(&[&a, &b]);
    b.dial(&[&a, &b]);
    assert_eq!(a.next(), Seen::Opened(NodeId::Master(2)));
    assert_eq!(b.next(), Seen::Opened(NodeId::Master(1)));
    for _ in 0..100 {
        a.send(&NodeId::Master(2), "ping").unwrap();
        b.send(&NodeId::Master(1), "pong").unwrap();
    }
    for _ in 0..100 {
        assert_eq!(a.next(), Seen::Frame(NodeId::Master(2), Bytes::from_static(b"pong")));
        assert_eq!(b.next(), Seen::Frame(NodeId::Master(1), Bytes::from_static(b"ping")));
    }
}

#[test]
fn ten_thousand_frames_come_whole_and_in_order() {
    let (m, w) = (master(1), worker("w"));
    w.dial(&[&m]);
    assert_eq!((w.next(), m.next()), (Seen::Opened(NodeId::Master(1)), Seen::Opened(worker_id("w"))));
    let frame = |number: u32| Bytes::from(vec![number as u8; (number % 3001) as usize]);
    for number in 0..10_000 {
        w.transport.send(&NodeId::Master(1), frame(number)).unwrap();
    }
    for number in 0..10_000 {
        let Seen::Frame(_, bytes) = m.next() else { panic!("the session ended") };
        assert!(bytes == frame(number), "frame {number}");
    }
    let largest = Bytes::from(vec![7; FRAME_BYTES_MAX]);
    m.transport.send(&worker_id("w"), largest.clone()).unwrap();
    assert!(w.next() == Seen::Frame(NodeId::Master(1), largest));
}

#[test]
fn a_peer_that_restarts_is_found_again() {
    let (m, w) = (master(1), worker("w"));
    let address = m.address();
    w.dial(&[&m]);
    assert_eq!(w.next(), Seen::Opened(NodeId::Master(1)));
    drop(m);
    assert_eq!(w.next(), Seen::Closed(NodeId::Master(1)));
    let again = start(config(NodeId::Master(1), Some(address)));
    assert_eq!(w.next(), Seen::Opened(NodeId::Master(1)));
    assert_eq!(again.next(), Seen::Opened(worker_id("w")));
    w.transport.dial(Vec::new());
    assert_eq!(w.next(), Seen::Closed(NodeId::Master(1)));
    assert_eq!(again.next(), Seen::Closed(worker_id("w")));
}

#[test]
fn a_worker_that_calls_again_takes_the_place_of_its_last_call() {
    let (m, first) = (master(1), worker("w"));
    first.dial(&[&m]);
    assert_eq!(m.next(), Seen::Opened(worker_id("w")));
    let second = worker("w");
    second.dial(&[&m]);
    assert_eq!(m.next(), Seen::Closed(worker_id("w")));
    assert_eq!(m.next(), Seen::Opened(worker_id("w")));
}

/// Says `bytes` to a master and tells what comes back until it hangs up.
fn call(master: &Node, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(master.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may hang up before all is said.
    stream.write_all(bytes).unwrap_or(());
    stream.shutdown(std::net::Shutdown::Write).unwrap_or(());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat()
}

#[test]
fn strangers_hear_nothing() {
    let m = master(1);
    let own = config(worker_id("w"), None);
    let foreign = TcpConfig { cluster: [9; 16], ..own.clone() };
    let guess = TcpConfig { security: Security::Secret(Secret([3; 32])), ..own.clone() };
    let good = framed(&handshake::encode(&own));
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("a web browser", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("an announced giant", u32::MAX.to_le_bytes().to_vec()),
        ("an empty frame", framed(b"")),
        ("half a handshake", good[..good.len() / 2].to_vec()),
        ("another cluster", framed(&handshake::encode(&foreign))),
        ("a guessed secret", framed(&handshake::encode(&guess))),
    ] {
        assert!(call(&m, &bytes).is_empty(), "{what} is answered");
    }
    assert!(!call(&m, &good).is_empty(), "a peer is answered");
    assert_eq!(m.next(), Seen::Opened(worker_id("w")), "and nobody before it opened a session");
}

#[test]
fn a_peer_that_breaks_the_rules_is_hung_up_on() {
    let m = master(1);
    let hello = framed(&handshake::encode(&config(worker_id("w"), None)));
    let giant = (FRAME_BYTES_MAX as u32 + 1).to_le_bytes();
    for (rest, frames) in [
        ([&framed(b"fine")[..], &giant, b"..."].concat(), 1),
        ([&framed(b"fine")[..], &framed(b"half a frame")[..9]].concat(), 1),
        (Vec::new(), 0),
    ] {
        call(&m, &[&hello[..], &rest].concat());
        assert_eq!(m.next(), Seen::Opened(worker_id("w")));
        for _ in 0..frames {
            assert_eq!(m.next(), Seen::Frame(worker_id("w"), Bytes::from_static(b"fine")));
        }
        assert_eq!(m.next(), Seen::Closed(worker_id("w")));
    }
}

/// A peer may say nothing for as long as it likes, but not in the middle of a frame.
#[test]
fn a_frame_that_begins_goes_on() {
    const SILENCE_MAX: Duration = Duration::from_millis(50);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let whole = framed(b"whole");
        for half in [&whole[..2], &whole[..4], &whole[..7]] {
            let (mut ours, mut theirs) = tokio::io::duplex(64);
            let mut frames = FrameReader::new(SILENCE_MAX);
            let begun = Instant::now();
            let (frame, ()) = tokio::join!(frames.next(&mut theirs, 64), async {
                tokio::time::sleep(SILENCE_MAX * 3).await;
                ours.write_all(&whole).await.unwrap();
            });
            assert_eq!(frame.unwrap(), &b"whole"[..], "silence between frames after {:?}", begun.elapsed());
            ours.write_all(half).await.unwrap();
            let error = frames.next(&mut theirs, 64).await.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
        }
    });
}

#[test]
fn only_loopback_is_listened_on() {
    let everywhere = Some(SocketAddr::from(([0, 0, 0, 0], 0)));
    let log = Logger::root(slog::Discard, o!());
    let error = TcpTransport::start(config(NodeId::Master(1), everywhere), &log).unwrap_err().to_string();
    assert!(error.contains("0.0.0.0:0 can be reached from other hosts"), "{error}");
}

#[test]
fn a_full_queue_refuses_and_a_closed_one_too() {
    let outgoing = Outgoing::default();
    let frame = Bytes::from(vec![0; FRAME_BYTES_MAX]);
    let taken = (0..10).take_while(|_| outgoing.push(frame.clone()).is_ok()).count();
    assert_eq!(taken, QUEUE_BYTES_MAX / (FRAME_BYTES_MAX + 1));
    assert!(matches!(outgoing.push(frame.clone()), Err(Refusal::Full { .. })));
    outgoing.written(std::slice::from_ref(&frame));
    outgoing.push(frame.clone()).unwrap();
    outgoing.close();
    assert_eq!(outgoing.push(frame), Err(Refusal::Closed));
}

#[test]
fn a_session_stays_on_its_connection() {
    let peers = Arc::new(Peers::new());
    let (ear, seen) = ear();
    peers.listen(ear);
    let node = NodeId::Master(2);
    let told = || seen.try_iter().map(|seen| matches!(seen, Seen::Opened(_))).collect::<Vec<_>>();
    let dialled = peers.register(&node, Direction::Dialled).unwrap();
    assert!(peers.register(&node, Direction::Dialled).is_none());
    let accepted = peers.register(&node, Direction::Accepted).unwrap();
    assert_eq!(told(), [true]);
    drop(dialled);
    assert_eq!(told(), [false, true], "the session moves to the one that stood by");
    let newer = peers.register(&node, Direction::Accepted).unwrap();
    assert_eq!(told(), [false, true]);
    drop(accepted);
    assert_eq!(told(), [] as [bool; 0]);
    peers.send(&node, Bytes::new()).unwrap();
    drop(newer);
    assert_eq!(told(), [false]);
    assert!(peers.send(&node, Bytes::new()).is_err());
}

/// Frames a second and bytes a second one way over loopback, plain and under TLS, for the record.
#[test]
fn throughput() {
    let (m, w) = (master(1), worker("w"));
    w.dial(&[&m]);
    measure("plain", &m, &w);
    let cluster = tls::Cluster::new();
    let (m, w) = (cluster.master(1), cluster.worker("w"));
    tls::dial_worker_port(&w, &[&m]);
    measure("TLS", &m, &w);
}

fn measure(what: &str, m: &Node, w: &Node) {
    assert_eq!((w.next(), m.next()), (Seen::Opened(NodeId::Master(1)), Seen::Opened(worker_id("w"))));
    for (bytes, count) in [(100usize, 200_000usize), (64 << 10, 4_000)] {
        let frame = Bytes::from(vec![1; bytes]);
        let (begin, transport) = (Instant::now(), &w.transport);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..count {
                    while transport.send(&NodeId::Master(1), frame.clone()).is_err() {
                        std::thread::yield_now();
                    }
                }
            });
            (0..count).for_each(|_| assert!(matches!(m.next(), Seen::Frame(..))));
        });
        let seconds = begin.elapsed().as_secs_f64();
        let (frames, megabytes) = (count as f64 / seconds, (bytes * count) as f64 / seconds / 1e6);
        println!("{what}: frames of {bytes} bytes: {frames:.0} a second, {megabytes:.0} MB/s");
    }
    let mut delays: Vec<Duration> = (0..2000).map(|_| round_trip(m, w)).collect();
    delays.sort();
    println!("{what}: there and back: {:?} in the middle, {:?} at 99 %", delays[1000], delays[1980]);
}

fn round_trip(m: &Node, w: &Node) -> Duration {
    let begin = Instant::now();
    w.send(&NodeId::Master(1), "ping").unwrap();
    m.next();
    m.send(&worker_id("w"), "pong").unwrap();
    w.next();
    begin.elapsed()
}

proptest! {
    #[test]
    fn handshakes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), cut in 0usize..120) {
        let config = config(NodeId::Master(3), None);
        let good = handshake::encode(&config);
        let peer = Peer { node: NodeId::Master(3), version: "0.1.0".into() };
        prop_assert_eq!(handshake::check(&config, &Known::Nobody, &good), Ok(peer.clone()));
        prop_assert_eq!(handshake::check(&config, &Known::Nobody, &[&good[..], &bytes].concat()), Ok(peer));
        prop_assert!(handshake::check(&config, &Known::Nobody, &bytes).is_err());
        if cut < good.len() {
            prop_assert_eq!(handshake::check(&config, &Known::Nobody, &good[..cut]), Err(HandshakeError::Garbage));
        }
    }
}

#[test]
fn secrets_do_not_show() {
    let text = format!("{:?}", config(NodeId::Master(1), None));
    assert!(text.contains("Secret") && !text.contains("[2, 2"), "{text}");
}
