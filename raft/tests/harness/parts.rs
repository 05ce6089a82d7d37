//! What a world of replicas is made of: a generator, an owner's view of one node, and verdicts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use hortator_raft::memory::MemoryBackend;
use hortator_raft::{Entropy, Group, GroupConfig, Notice, Position, ReplicaId, Role, Rows, Ticket, Wake};

pub const CLUSTER: [u8; 16] = *b"cluster-of-tests";
pub const GROUP: u32 = 1;
pub const WRITER: &str = "group-1";
pub const FILE: &str = "group-1.redb";

/// First byte of a part of a snapshot.
pub const CHUNK: u8 = 2;

/// A chunk ends with its last row's checksum. Its own, over what follows it, is right.
pub fn with_a_rotten_row(chunk: &[u8]) -> Bytes {
    let mut rotten = chunk.to_vec();
    let last = rotten.len() - 1;
    rotten[last] ^= 1;
    let sum = crc32fast::hash(&rotten[13..]);
    rotten[9..13].copy_from_slice(&sum.to_le_bytes());
    rotten.into()
}

/// A small generator, so that a seed means the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

pub struct Dice(pub Random);

impl Entropy for Dice {
    fn next_u64(&mut self, _stream: &str) -> u64 {
        self.0.next()
    }
}

#[derive(Default)]
pub struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub fn quiet_log() -> slog::Logger {
    slog::Logger::root(slog::Discard, slog::o!())
}

pub struct Node {
    pub id: ReplicaId,
    pub backend: MemoryBackend,
    pub config: GroupConfig,
    pub group: Option<Group>,
    pub rows: Option<Rows>,
    pub notices: Vec<Notice>,
    /// The epoch that may propose, and its next sequence.
    pub ticket: Option<Ticket>,
    pub proposed: BTreeMap<Position, (Bytes, Bytes)>,
    pub reads: BTreeMap<u64, u64>,
    pub boots: u64,
}

impl Node {
    pub fn group(&mut self) -> &mut Group {
        self.group.as_mut().expect("the node is up")
    }

    pub fn rows(&self) -> &Rows {
        self.rows.as_ref().expect("the node is up")
    }

    pub fn is_leader(&self) -> bool {
        self.group.as_ref().is_some_and(|group| group.status().role == Role::Leader)
    }

    /// All rows with the entry they stand for, and the position of the last writer of each.
    pub fn dump(&self) -> (Position, Vec<(Bytes, hortator_raft::Row)>) {
        let view = self.rows().read().expect("readable");
        (view.applied().expect("readable"), view.scan(&[], &[], usize::MAX, false).expect("readable"))
    }

    pub fn count(&self, matches: impl Fn(&Notice) -> bool) -> usize {
        self.notices.iter().filter(|notice| matches(notice)).count()
    }
}

/// Runs something that must end in a verdict, and gives the verdict.
pub fn verdict(doomed: impl FnOnce()) -> String {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(doomed));
    std::panic::set_hook(hook);
    let panic = result.expect_err("a verdict");
    panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "no text".into())
}
