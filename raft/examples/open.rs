//! Measures how long a group's file takes to open, all of which is verified:
//! `cargo run --release -p hortator-raft --example open -- MIB [directory]`.
//! Once as it was closed in order, and once as a process that died has left it.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a measurement needs clock, files and threads"
)]

mod directory;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use directory::Directory;
use hortator_raft::{Entropy, Group, GroupConfig, Position, Seed, Seeding, Wake, Writer};

const MIB: u64 = 1024 * 1024;
const ROW_BYTES: usize = 400;

/// Nothing is written but what opening writes.
fn nobody(_: &str, writer: Writer) {
    drop(writer);
}

struct Always;
impl Entropy for Always {
    fn next_u64(&mut self, _: &str) -> u64 {
        7
    }
}
impl Wake for Always {
    fn wake(&self) {}
}

fn open(root: &std::path::Path, how: &str) -> Group {
    let log = slog::Logger::root(slog::Discard, slog::o!());
    let backend = Arc::new(Directory { root: root.to_owned(), start_writer: nobody });
    let (started, processor) = (Instant::now(), processor_seconds());
    let (group, _) = Group::open(config(), backend, Box::new(Always), log, Arc::new(Always)).expect("opens");
    let processor = processor_seconds() - processor;
    println!("  {how}: {:?}, {processor:.2} s of processor", started.elapsed());
    group
}

fn config() -> GroupConfig {
    let mut config = GroupConfig::new(1, 1, [0; 16], vec![1]);
    config.ballast_bytes = 0;
    config
}

fn main() {
    let mut words = std::env::args().skip(1);
    let wanted: u64 = words.next().and_then(|word| word.parse().ok()).unwrap_or(200);
    let root = words
        .next()
        .map_or_else(|| std::env::temp_dir().join("hortator-raft-open"), PathBuf::from)
        .join(wanted.to_string());
    let _ = std::fs::remove_dir_all(&root);
    std::fs::create_dir_all(&root).expect("a directory");
    let backend = Directory { root: root.clone(), start_writer: nobody };
    let position = Position { term: 1, index: 10 };
    let mut seeding =
        Seeding::begin(config(), &backend, &mut Always, Seed { position, epoch: 1 }).expect("begins");
    let rows = wanted * MIB / (ROW_BYTES as u64 + 60);
    for from in (0..rows).step_by(1_000) {
        let some = from..(from + 1_000).min(rows);
        seeding
            .put(some.map(|n| (format!("row/{:020}", n * 7_919 % rows), vec![n as u8; ROW_BYTES], position)))
            .expect("takes rows");
    }
    seeding.finish(&backend).expect("finishes");
    let file = root.join("group-1.redb");
    println!("{} MiB, {rows} rows:", std::fs::metadata(&file).expect("a file").len() / MIB);
    drop(open(&root, "closed in order"));
    let group = open(&root, "once more");
    let left = root.join("left");
    std::fs::copy(&file, &left).expect("copies");
    drop(group);
    std::fs::rename(&left, &file).expect("renames");
    drop(open(&root, "after a crash"));
    let _ = std::fs::remove_dir_all(&root);
}

/// Processor time of this process so far: what a busy machine does not distort.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}
