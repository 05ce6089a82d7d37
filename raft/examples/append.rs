//! Measures the store: `cargo run --release -p hortator-raft --example append -- [directory]`.
//! One replica on a real disk, its writer on a thread: latency of single commits, and entries per second
//! in batches. Three replicas in one process: the same through raft, with three synced files.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a measurement needs clock, files and threads"
)]

mod directory;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use directory::Directory;
use hortator_raft::{Batch, Entropy, Group, GroupConfig, Notice, Outgoing, Output, Ticket, Wake, Writer};

fn on_a_thread(name: &str, writer: Writer) {
    std::thread::Builder::new().name(name.into()).spawn(move || writer.run()).expect("a thread");
}

struct Counter(u64);
impl Entropy for Counter {
    fn next_u64(&mut self, _stream: &str) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.0 >> 33
    }
}

struct Bell(SyncSender<()>);
impl Wake for Bell {
    fn wake(&self) {
        let _ = self.0.try_send(());
    }
}

/// Where rows lie.
#[derive(Clone, Copy, Debug)]
enum Pattern {
    /// Keys in order of time; every row is written twice, the second time a little later.
    Recent,
    /// Any of a million rows: each commit touches as many pages as rows.
    Scattered,
}

impl Pattern {
    fn key(self, n: u64) -> Vec<u8> {
        let row = match self {
            Pattern::Recent if n.is_multiple_of(2) => n / 2,
            Pattern::Recent => (n / 2).saturating_sub(500),
            Pattern::Scattered => n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 1_000_000,
        };
        [b"row/0123456789abcdef/".as_slice(), &row.to_be_bytes()].concat()
    }
}

/// All replicas of one group on one thread, each with its writer's thread.
struct Bench {
    groups: BTreeMap<u64, Group>,
    bell: Receiver<()>,
    ticket: Option<(u64, Ticket)>,
    pattern: Pattern,
    next_row: u64,
    committed: u64,
    applied: BTreeMap<u64, u64>,
}

impl Bench {
    fn new(root: &std::path::Path, replicas: u64, pattern: Pattern) -> Bench {
        let (ring, bell) = sync_channel(1);
        let voters: Vec<u64> = (1..=replicas).collect();
        let mut groups = BTreeMap::new();
        for id in &voters {
            let directory = root.join(format!("{replicas}-{id}"));
            let _ = std::fs::remove_dir_all(&directory);
            std::fs::create_dir_all(&directory).expect("a directory");
            let mut config = GroupConfig::new(1, *id, [0; 16], voters.clone());
            config.ballast_bytes = 0;
            let log = slog::Logger::root(slog::Discard, slog::o!());
            let backend = Arc::new(Directory { root: directory, start_writer: on_a_thread });
            let (group, _) =
                Group::open(config, backend, Box::new(Counter(*id)), log, Arc::new(Bell(ring.clone())))
                    .expect("opens");
            groups.insert(*id, group);
        }
        let mut bench = Bench {
            groups,
            bell,
            ticket: None,
            pattern,
            next_row: 0,
            committed: 0,
            applied: BTreeMap::new(),
        };
        while bench.ticket.is_none() {
            bench.groups.values_mut().for_each(Group::tick);
            let until = Instant::now() + Duration::from_millis(20);
            while Instant::now() < until {
                bench.pump(Duration::from_millis(1));
            }
        }
        bench
    }

    fn take(&mut self, id: u64, output: Output) -> Vec<(u64, Outgoing)> {
        for notice in output.notices {
            match notice {
                Notice::LeaderChanged { leader: Some(leader), .. } if leader == id => {
                    self.groups.get_mut(&id).expect("a group").begin_epoch().expect("leads");
                }
                Notice::EpochBegan { term, epoch, .. } => {
                    self.ticket = Some((id, Ticket { term, epoch, sequence: 0 }))
                }
                Notice::Committed { .. } => self.committed += 1,
                Notice::Applied { index } => drop(self.applied.insert(id, index)),
                _ => {}
            }
        }
        output.messages.into_iter().map(|message| (id, message)).collect()
    }

    /// Moves everything that can move; waits for a writer when nothing can.
    fn pump(&mut self, wait: Duration) {
        let mut wire = Vec::new();
        for id in self.groups.keys().copied().collect::<Vec<_>>() {
            let output = self.groups.get_mut(&id).expect("a group").turn();
            wire.extend(self.take(id, output));
        }
        if wire.is_empty() {
            let _ = self.bell.recv_timeout(wait);
            return;
        }
        while !wire.is_empty() {
            for (from, message) in std::mem::take(&mut wire) {
                let _ = self.groups.get_mut(&message.to).expect("a group").step(from, &message.payload);
            }
            for id in self.groups.keys().copied().collect::<Vec<_>>() {
                let output = self.groups.get_mut(&id).expect("a group").turn();
                wire.extend(self.take(id, output));
            }
        }
    }

    fn propose(&mut self, value: &[u8]) -> u64 {
        let n = self.next_row;
        self.next_row += 1;
        let (leader, ticket) = self.ticket.expect("an epoch");
        let mut batch = Batch::new();
        batch.put(self.pattern.key(n), value.to_vec());
        let position = self.groups.get_mut(&leader).expect("a group").propose(ticket, &batch).expect("taken");
        self.ticket = Some((leader, Ticket { sequence: ticket.sequence + 1, ..ticket }));
        position.index
    }

    fn single(&mut self, value: &[u8]) {
        let mut times: Vec<Duration> = Vec::new();
        for _ in 0..2_000 {
            let started = Instant::now();
            let before = self.committed;
            self.propose(value);
            while self.committed == before {
                self.pump(Duration::from_secs(1));
            }
            times.push(started.elapsed());
        }
        times.sort();
        let at = |percent: usize| times[times.len() * percent / 100];
        println!("  single commit: p50 {:?}  p90 {:?}  p99 {:?}", at(50), at(90), at(99));
    }

    /// Keeps `depth` batches of `size` proposals in flight.
    fn batched(&mut self, size: u64, depth: u64, total: u64, value: &[u8]) {
        let (started, processor) = (Instant::now(), processor_seconds());
        let (first, mut last) = (self.committed, 0);
        let mut proposed = 0;
        while self.committed - first < total {
            while proposed < total && proposed - (self.committed - first) <= size * (depth - 1) {
                for _ in 0..size {
                    last = self.propose(value);
                    proposed += 1;
                }
                self.pump(Duration::ZERO);
            }
            self.pump(Duration::from_secs(1));
        }
        while self.applied.values().any(|index| *index < last) {
            self.groups.values_mut().for_each(Group::tick);
            self.pump(Duration::from_millis(5));
        }
        let seconds = started.elapsed().as_secs_f64();
        let each = (processor_seconds() - processor) * 1e6 / proposed as f64;
        println!(
            "  {size} per batch, {depth} in flight: {:.0} entries/s with their rows, {each:.1} us of processor each",
            proposed as f64 / seconds
        );
    }
}

fn sync_time(root: &std::path::Path) {
    let path = root.join("sync");
    let file = File::create(&path).expect("a file");
    let mut times = Vec::new();
    for n in 0..500u64 {
        use std::os::unix::fs::FileExt as _;
        file.write_all_at(&[n as u8; 4096], n % 16 * 4096).expect("writes");
        let started = Instant::now();
        file.sync_data().expect("syncs");
        times.push(started.elapsed());
    }
    times.sort();
    println!("fdatasync of 4 KiB here: p50 {:?}  p99 {:?}", times[250], times[495]);
    let _ = std::fs::remove_file(path);
}

fn main() {
    let root = std::env::args()
        .nth(1)
        .map_or_else(|| std::env::temp_dir().join("hortator-raft-append"), PathBuf::from);
    std::fs::create_dir_all(&root).expect("a directory");
    sync_time(&root);
    let value = vec![7; 150];
    for (replicas, pattern) in [(1, Pattern::Recent), (1, Pattern::Scattered), (3, Pattern::Recent)] {
        println!("{replicas} replica(s), rows of {} bytes, {pattern:?}:", value.len());
        let mut bench = Bench::new(&root, replicas, pattern);
        bench.single(&value);
        for (size, depth) in [(64, 4), (256, 1), (256, 4), (1024, 4)] {
            bench.batched(size, depth, 200_000, &value);
        }
    }
    let _ = std::fs::remove_dir_all(&root);
}

/// Processor time of this process so far, all threads: what a busy machine does not distort.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
