//! What anybody on the network may do to the ports of a cluster under TLS, one master and one worker as processes: each
//! caller is refused or closed in time, told once for each source, and the work goes on.

mod harness;
mod nodes;
mod program;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::wait_until;
use hortator::env::{SystemClock, raise_open_files};
use hortator::pki::{Ca, ClusterFacts, Identity, NodeKey, NodeRole, TlsIdentity, client_of_authority};
use hortator_actors::seam::Clock;
use hortator_core::id::Name;
use nodes::{NodeProcess, free_ports};
use program::Home;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// The longest that a stranger is borne: the handshake of 5 s, and what a busy machine adds.
const BORNE_MAX: Duration = Duration::from_secs(20);
/// Connections held open at a time on each port; the variable is for the full figure.
const CROWD: usize = 1_000;
const CROWD_VARIABLE: &str = "HORTATOR_TEST_CONNECTIONS";
/// Callers on another address than everybody else's, as those on another host have.
const STRANGER: &str = "127.0.0.2:0";
/// Far above what some hundred handshakes hold at a time.
const GROWTH_MAX_KIB: u64 = 200_000;

const QUICK: &str = "hortator: v1
name: quick
tasks:
  - id: a
    shell: { script: 'true' }
";

struct Cluster {
    authority: Ca,
    master: NodeProcess,
    _worker: NodeProcess,
    home: Arc<Home>,
}

impl Cluster {
    fn start() -> Cluster {
        let home = Home::new();
        let ports = free_ports(3);
        let path = home.path().display().to_string();
        let m1 = home.write(
            "m1.toml",
            format!(
                "[node]\ndata = \"{path}/m1\"\n[listen]\npeers = \"127.0.0.1:{}\"\nworkers = \"127.0.0.1:{}\"\napi = \
                 \"127.0.0.1:{}\"\n",
                ports[0], ports[1], ports[2]
            ),
        );
        home.write("w1.toml", format!("[node]\ndata = \"{path}/w1\"\n[worker]\nname = \"w1\"\n"));
        home.call(&["cluster", "init", "--config", &m1]).expect(0);
        let founding = std::fs::read_to_string(home.path().join("m1/founding.toml")).unwrap();
        let founding: toml::Table = founding.parse().unwrap();
        let text = |key: &str| founding[key].as_str().unwrap().to_owned();
        let authority = Ca::from_pem(&text("authority"), &text("authority_key")).unwrap();
        let master = NodeProcess::start_more(&home, "master", "m1", &[], &[]).until_ready();
        wait_until("a formed cluster", || home.call(&["status"]).code == 0);
        let made = home.call(&["cluster", "add", "worker", "-o", "json"]).expect(0).json();
        let token = [("HORTATOR_JOIN_TOKEN", made["token"].as_str().unwrap())];
        let worker = NodeProcess::start_more(&home, "worker", "w1", &token, &[]).until_ready();
        home.call(&["workflow", "apply", &home.write("quick.workflow.yaml", QUICK)]).expect(0);
        one_run(&home);
        Cluster { authority, master, _worker: worker, home: Arc::new(home) }
    }

    fn address(&self, of: &str) -> SocketAddr {
        self.master.address(of).parse().unwrap()
    }

    /// How a node with a certificate of that authority calls others.
    fn as_node(&self, authority: &Ca, role: NodeRole) -> Arc<ClientConfig> {
        let key = NodeKey::create();
        let certificate_pem = authority.sign(&key.csr(), &role, &[], SystemClock.wall()).unwrap();
        let facts = ClusterFacts { cluster: authority.cluster(), name: "t".into(), generation: 1, shards: 4 };
        let authority_pem = authority.certificate_pem().to_owned();
        TlsIdentity::new(&Identity { facts, role, authority_pem, certificate_pem, key })
            .unwrap()
            .node_dialler()
    }

    /// Memory of the master, in KiB.
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.master.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How often callers were refused and it was said.
    fn complaints(&self) -> usize {
        self.master.log().matches("a caller was refused\"").count()
    }
}

/// Starts runs one after the other and counts those that have ended, until it is told to stop.
struct Workload {
    ended: Arc<AtomicU64>,
    /// Of one run, in microseconds.
    slowest: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Workload {
    fn start(home: Arc<Home>) -> Workload {
        let (ended, slowest, stop) =
            (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default(), Arc::default());
        let (count, most, end): (_, _, Arc<AtomicBool>) = (ended.clone(), slowest.clone(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let begun = Instant::now();
                one_run(&home);
                most.fetch_max(begun.elapsed().as_micros() as u64, Ordering::Relaxed);
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Workload { ended, slowest, stop, thread }
    }

    /// Runs that ended while something was done, a second, and the slowest of them.
    fn beside<T>(&self, what: &str, work: impl FnOnce() -> T) -> T {
        self.slowest.store(0, Ordering::Relaxed);
        let (before, begun) = (self.ended.load(Ordering::Relaxed), Instant::now());
        let done = work();
        // At least two begin and end beside it or after it.
        while self.ended.load(Ordering::Relaxed) < before + 2 {
            assert!(!self.thread.is_finished(), "a run beside {what} has failed");
            std::thread::sleep(Duration::from_millis(5));
        }
        let ended = self.ended.load(Ordering::Relaxed) - before;
        let rate = ended as f64 / begun.elapsed().as_secs_f64();
        let slowest = Duration::from_micros(self.slowest.load(Ordering::Relaxed));
        println!("{what}: {ended} runs, {rate:.1} a second, slowest {slowest:?}, in {:?}", begun.elapsed());
        done
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// Asks again and again, so that a missed word about its end is no part of what is measured.
fn one_run(home: &Home) {
    let run = home.call(&["start", "quick", "-o", "name"]).expect(0).stdout.trim().to_owned();
    let state = || home.call(&["run", "show", &run, "-o", "json"]).expect(0).json()["state"].clone();
    wait_until("the end of a run", || state() == "succeeded");
}

/// From the strangers' address.
fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&STRANGER.parse::<SocketAddr>().unwrap().into())?;
    socket.connect_timeout(&to.into(), BORNE_MAX)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(BORNE_MAX))?;
    Ok(stream)
}

/// Reads until the other side closes, and gives what it has said; panics when it does not close in time.
#[track_caller]
fn until_closed(stream: &mut impl Read, what: &str) -> Vec<u8> {
    let (begun, mut said, mut piece) = (Instant::now(), Vec::new(), [0; 4096]);
    loop {
        assert!(begun.elapsed() < BORNE_MAX, "{what}: it is not closed");
        match stream.read(&mut piece) {
            Ok(0) => return said,
            Ok(count) => said.extend_from_slice(&piece[..count]),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("{what}: it is not closed within {BORNE_MAX:?}")
            }
            // A reset, or an alert, is a way to close.
            Err(_) => return said,
        }
    }
}

/// Says `bytes` in the clear.
#[track_caller]
fn plainly(to: SocketAddr, what: &str, bytes: &[u8]) {
    let mut stream = connect(to).unwrap();
    // It may hang up before all is said.
    stream.write_all(bytes).unwrap_or(());
    let said = until_closed(&mut stream, what);
    // An alert of TLS has 7 bytes.
    assert!(said.len() <= 7, "{what}: {} bytes are answered", said.len());
}

/// One byte after the other of what might become a handshake.
#[track_caller]
fn slowly(to: SocketAddr, what: &str) {
    let mut stream = connect(to).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let begun = Instant::now();
    for byte in [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc].into_iter().chain(std::iter::repeat(3)) {
        assert!(begun.elapsed() < BORNE_MAX, "{what}: it is borne for ever");
        let mut answer = [0; 16];
        match stream.write_all(&[byte]).and_then(|()| stream.read(&mut answer)) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Ok(count) if count > 0 => {}
            Ok(_) | Err(_) => return,
        }
    }
}

/// Says `bytes` under TLS and gives what is answered until the other side closes.
#[track_caller]
fn under_tls(to: SocketAddr, config: &Arc<ClientConfig>, what: &str, bytes: &[u8]) -> Vec<u8> {
    let name = ServerName::try_from("localhost").unwrap();
    let session = ClientConnection::new(config.clone(), name).unwrap();
    let mut line = StreamOwned::new(session, connect(to).unwrap());
    // A refusal comes with the first read.
    line.write_all(bytes).and_then(|()| line.flush()).unwrap_or(());
    until_closed(&mut line, what)
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_le_bytes()[..], bytes].concat()
}

fn random_bytes() -> Vec<u8> {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut generator = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed);
    let mut bytes = vec![0; 4096];
    rand::Rng::fill_bytes(&mut generator, &mut bytes);
    bytes
}

#[test]
fn bad_input_on_every_port_disturbs_nobody() {
    let cluster = Cluster::start();
    let workload = Workload::start(cluster.home.clone());
    let (peers, workers, api) =
        (cluster.address("peers"), cluster.address("workers"), cluster.address("api"));
    let memory = cluster.memory();
    workload.beside("alone", || std::thread::sleep(Duration::from_secs(2)));
    let random = random_bytes();
    workload.beside("bytes without TLS", || {
        for port in [peers, workers, api] {
            plainly(port, "random bytes", &random);
            plainly(port, "a frame of 4 GB", &u32::MAX.to_le_bytes());
            plainly(port, "a web browser", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            plainly(port, "half a hello, and silence", &[0x16, 3, 1, 2, 0, 1, 0, 1]);
            plainly(port, "silence", b"");
            slowly(port, "a byte now and then");
        }
    });
    let worker = || NodeRole::Worker(Name::new("w9").unwrap());
    let foreign = Ca::create(cluster.authority.cluster(), SystemClock.wall());
    let hello = framed(b"HTR2\x010");
    let nobody = Arc::new(client_of_authority(cluster.authority.certificate_pem()).unwrap());
    workload.beside("TLS without the right certificate", || {
        let stranger = cluster.as_node(&foreign, NodeRole::Master(2));
        let (a_worker, a_master) = (
            cluster.as_node(&cluster.authority, worker()),
            cluster.as_node(&cluster.authority, NodeRole::Master(9)),
        );
        for (to, config, what) in [
            (peers, &nobody, "no certificate at the peers' port"),
            (workers, &nobody, "no certificate at the workers' port"),
            (peers, &stranger, "a master of another cluster"),
            (workers, &stranger, "a master of another cluster at the workers' port"),
            (peers, &a_worker, "a worker at the peers' port"),
            (workers, &a_master, "a master at the workers' port"),
        ] {
            assert!(under_tls(to, config, what, &hello).is_empty(), "{what} is answered");
        }
    });
    workload.beside("a node that breaks the rules", || {
        let config = cluster.as_node(&cluster.authority, worker());
        for (rest, what, answered) in [
            ([&hello[..], &u32::MAX.to_le_bytes()].concat(), "a frame of 4 GB after the handshake", true),
            (u32::MAX.to_le_bytes().to_vec(), "a frame of 4 GB instead of the handshake", false),
            (framed(b"nonsense"), "nonsense instead of the handshake", false),
            (hello[..5].to_vec(), "half a handshake", false),
        ] {
            assert_eq!(!under_tls(workers, &config, what, &rest).is_empty(), answered, "{what}");
        }
        let head = b"POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n";
        for (bytes, what) in [
            (&b"GET /api/v1/runs HTTP/1.1\r\nHos"[..], "half a head"),
            (&head[..], "a body of 99 GB that does not come"),
            (&random[..], "random bytes to the API under TLS"),
        ] {
            under_tls(api, &nobody, what, bytes);
        }
    });
    workload.end();
    assert!(cluster.memory() < memory + GROWTH_MAX_KIB, "{memory} KiB became {} KiB", cluster.memory());
    println!("memory of the master: {memory} KiB before, {} KiB after", cluster.memory());
    // Each of the three listeners says it once a minute for the one source; all this takes less than two of them.
    let complaints = cluster.complaints();
    assert!((3..=9).contains(&complaints), "{complaints} complaints\n{}", cluster.master.log());
    assert!(!cluster.master.log().contains("panicked"));
}

#[test]
fn a_crowd_on_each_port_disturbs_nobody() {
    raise_open_files(&slog::Logger::root(slog::Discard, slog::o!()));
    let crowd = std::env::var(CROWD_VARIABLE).map_or(CROWD, |text| text.parse().unwrap());
    let cluster = Cluster::start();
    let workload = Workload::start(cluster.home.clone());
    workload.beside("alone", || std::thread::sleep(Duration::from_secs(3)));
    let before = cluster.memory();
    for port in ["peers", "workers", "api"] {
        let to = cluster.address(port);
        let most = workload.beside(&format!("{crowd} connections held on {port}"), || {
            let held: Vec<TcpStream> = (0..crowd).filter_map(|_| connect(to).ok()).collect();
            assert!(held.len() >= crowd * 9 / 10, "{} of {crowd} connections", held.len());
            // Held for as long as any is borne.
            let (until, mut most) = (Instant::now() + Duration::from_secs(6), 0);
            while Instant::now() < until {
                most = most.max(cluster.memory());
                std::thread::sleep(Duration::from_millis(50));
            }
            drop(held);
            most
        });
        println!("memory of the master: {before} KiB before, at most {most} KiB beside the crowd on {port}");
        assert!(most < before + GROWTH_MAX_KIB, "{before} KiB became {most} KiB");
    }
    workload.end();
    assert!(cluster.complaints() <= 12, "{}", cluster.master.log());
    // The worker's session was no victim.
    let log = cluster.master.log();
    assert!(!log.contains("a peer disconnected"), "{log}");
}
