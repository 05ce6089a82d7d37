//! What anybody on the network may do to a port: each is refused or closed in time, told once, and nobody else
//! notices.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::tls::{Cluster, dial_worker_port};
use super::*;

/// Counts what is logged at warning and above, and callers that are refused, told or not.
#[derive(Clone, Default)]
pub(super) struct Counter {
    warnings: Arc<AtomicUsize>,
    pub(super) refused: Arc<AtomicUsize>,
}

impl slog::Drain for Counter {
    type Ok = ();
    type Err = slog::Never;
    fn log(&self, record: &slog::Record<'_>, _: &slog::OwnedKVList) -> Result<(), slog::Never> {
        if record.level().is_at_least(slog::Level::Warning) {
            self.warnings.fetch_add(1, Ordering::SeqCst);
        }
        if record.msg().to_string().starts_with("a caller was refused") {
            self.refused.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

fn says_nothing_and_closes(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // It may hang up before all is said.
    stream.write_all(bytes).unwrap_or(());
    let mut answer = Vec::new();
    // A reset is a way to close.
    let _ = stream.read_to_end(&mut answer);
    // A TLS alert is 7 bytes; nothing longer is owed to a stranger.
    assert!(answer.len() <= 7, "{} bytes are answered", answer.len());
}

pub(super) fn counted() -> (Logger, Counter) {
    let counter = Counter::default();
    (Logger::root(slog::Fuse(counter.clone()), o!()), counter)
}

/// A good pair of nodes, and the warnings of the master.
fn pair(cluster: &Cluster) -> (Node, Node, Counter) {
    let (log, counter) = counted();
    let m = start_logged(cluster.master_config(1), &log);
    let w = cluster.worker("w");
    dial_worker_port(&w, &[&m]);
    assert_eq!((w.next(), m.next()), (Seen::Opened(NodeId::Master(1)), Seen::Opened(worker_id("w"))));
    (m, w, counter)
}

#[test]
fn bad_input_is_closed_and_told_once() {
    let cluster = Cluster::new();
    let (m, w, warnings) = pair(&cluster);
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut generator = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
    let mut random = vec![0; 4096];
    rand::Rng::fill_bytes(&mut generator, &mut random);
    // A TLS record header that announces more than it brings, and then hangs.
    let half_a_hello = [0x16, 3, 1, 2, 0, 1, 0, 1];
    let addresses = m.transport.addresses();
    for address in [addresses.peers.unwrap(), addresses.workers.unwrap()] {
        for (what, bytes) in [
            ("random bytes", &random[..]),
            ("a web browser", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
            ("a frame of 4 GB", &u32::MAX.to_le_bytes()),
            ("half a hello, and silence", &half_a_hello),
        ] {
            let begin = Instant::now();
            says_nothing_and_closes(address, bytes);
            assert!(begin.elapsed() < Duration::from_secs(10), "{what} takes {:?}", begin.elapsed());
        }
    }
    round_trip(&m, &w);
    // The two listeners complain each for itself; the caller's connection counts as one source.
    assert_eq!(warnings.warnings.load(Ordering::SeqCst), 2);
}

#[test]
fn a_node_that_sends_nonsense_after_its_handshake_is_hung_up_on() {
    let cluster = Cluster::new();
    let (m, w, _) = pair(&cluster);
    for bytes in [&b"\xff\xff\xff\xff"[..], b"\x08\0\0\0half"] {
        let rogue = cluster.rogue("rogue", m.transport.addresses().workers.unwrap(), bytes);
        assert_eq!(m.next(), Seen::Opened(worker_id("rogue")));
        assert_eq!(m.next(), Seen::Closed(worker_id("rogue")));
        drop(rogue);
    }
    round_trip(&m, &w);
}

/// Open descriptors of this process are bounded, so the callers come in waves; all of a wave stay open and say nothing.
#[test]
fn ten_thousand_silent_callers_disturb_nobody() {
    const WAVES: usize = 20;
    const CALLERS: usize = 500;
    let cluster = Cluster::new();
    let (m, w, warnings) = pair(&cluster);
    let address = m.transport.addresses().workers.unwrap();
    let mut slowest = Duration::ZERO;
    for _ in 0..WAVES {
        let callers: Vec<TcpStream> =
            (0..CALLERS).filter_map(|_| TcpStream::connect_timeout(&address, PATIENCE).ok()).collect();
        assert_eq!(callers.len(), CALLERS);
        slowest = slowest.max(round_trip(&m, &w));
        // A newcomer finds a place as soon as the silent ones are gone, or among the other half.
        drop(callers);
    }
    let late = cluster.worker("late");
    dial_worker_port(&late, &[&m]);
    assert_eq!(m.next(), Seen::Opened(worker_id("late")));
    println!("slowest of {WAVES} round trips beside {CALLERS} silent callers: {slowest:?}");
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    assert_eq!(warnings.warnings.load(Ordering::SeqCst), 1);
}
