//! The three tables of a group's file and the encoding of the `state` table's values.
//! Every value ends with a checksum; knows nothing of when values are written.

use protobuf2::Message as _;
use raft::eraftpb::{ConfState, HardState};
use redb::{ReadableTable, TableDefinition};

use super::fatal::fatal;
use super::sum::Checkpoint;
use crate::lives::Lives;
use crate::position::{Position, ReplicaId};

pub(crate) const LOG: TableDefinition<'static, u64, &'static [u8]> = TableDefinition::new("log");
pub(crate) const STATE: TableDefinition<'static, &'static str, &'static [u8]> = TableDefinition::new("state");
pub(crate) const ROWS: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("rows");

pub(crate) const IDENTITY: &str = "identity";
pub(crate) const BOOT: &str = "boot";
/// Missing in files of builds that drew no numbers for boots.
pub(crate) const LIVES: &str = "lives";
pub(crate) const HARD: &str = "hard";
pub(crate) const CONF: &str = "conf";
pub(crate) const MARK: &str = "applied";
pub(crate) const TRUNCATED: &str = "truncated";
/// Missing in files of builds that did not keep it.
pub(crate) const SUM: &str = "sum";
const PEER_PREFIX: &str = "peer/";
const PEER_END: &str = "peer0";

/// Raised when the meaning of a table changes; an unknown one is refused.
pub(crate) const FORMAT: u64 = 1;

/// Raft's promise-keeping state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hard {
    pub(crate) term: u64,
    pub(crate) vote: u64,
    pub(crate) commit: u64,
}

impl From<&HardState> for Hard {
    fn from(state: &HardState) -> Hard {
        Hard { term: state.term, vote: state.vote, commit: state.commit }
    }
}

impl From<Hard> for HardState {
    fn from(hard: Hard) -> HardState {
        HardState { term: hard.term, vote: hard.vote, commit: hard.commit, ..HardState::default() }
    }
}

/// What is applied: the last applied entry, the last barrier's epoch and the next sequence in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) position: Position,
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
}

/// Whose file this is. `origin` is drawn when the file is first created and survives snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster_id: [u8; 16],
    pub(crate) group: u32,
    pub(crate) replica: ReplicaId,
    pub(crate) origin: u64,
}

/// What is remembered of a peer, to notice that its directory was emptied or restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) origin: u64,
    pub(crate) boot: u64,
    pub(crate) term: u64,
    pub(crate) commit: u64,
}

impl Hard {
    pub(crate) fn encode(self) -> Vec<u8> {
        pack([self.term, self.vote, self.commit])
    }

    pub(crate) fn decode(bytes: &[u8]) -> Hard {
        let [term, vote, commit] = unpack(HARD, bytes);
        Hard { term, vote, commit }
    }
}

impl Mark {
    pub(crate) fn encode(self) -> Vec<u8> {
        pack([self.position.term, self.position.index, self.epoch, self.sequence])
    }

    pub(crate) fn decode(bytes: &[u8]) -> Mark {
        let [term, index, epoch, sequence] = unpack(MARK, bytes);
        Mark { position: Position { term, index }, epoch, sequence }
    }
}

pub(crate) fn encode_sum(Checkpoint { index, sum }: Checkpoint) -> Vec<u8> {
    pack([index, sum])
}

pub(crate) fn decode_sum(bytes: &[u8]) -> Checkpoint {
    let [index, sum] = unpack(SUM, bytes);
    Checkpoint { index, sum }
}

impl Identity {
    pub(crate) fn encode(self) -> Vec<u8> {
        let (high, low) = self.cluster_id.split_at(8);
        let high = u64::from_be_bytes(high.try_into().expect("8 bytes"));
        let low = u64::from_be_bytes(low.try_into().expect("8 bytes"));
        pack([FORMAT, high, low, u64::from(self.group), self.replica, self.origin])
    }

    /// The format number and the identity, which means nothing under another format.
    pub(crate) fn decode(bytes: &[u8]) -> (u64, Identity) {
        let [format, high, low, group, replica, origin] = unpack(IDENTITY, bytes);
        let mut cluster_id = [0; 16];
        cluster_id[..8].copy_from_slice(&high.to_be_bytes());
        cluster_id[8..].copy_from_slice(&low.to_be_bytes());
        (format, Identity { cluster_id, group: group as u32, replica, origin })
    }
}

impl Memory {
    pub(crate) fn encode(self) -> Vec<u8> {
        pack([self.origin, self.boot, self.term, self.commit])
    }

    fn decode(bytes: &[u8]) -> Memory {
        let [origin, boot, term, commit] = unpack(PEER_PREFIX, bytes);
        Memory { origin, boot, term, commit }
    }
}

pub(crate) fn encode_position(position: Position) -> Vec<u8> {
    pack([position.term, position.index])
}

pub(crate) fn decode_position(bytes: &[u8]) -> Position {
    let [term, index] = unpack(TRUNCATED, bytes);
    Position { term, index }
}

pub(crate) fn encode_boot(boot: u64) -> Vec<u8> {
    pack([boot])
}

pub(crate) fn decode_boot(bytes: &[u8]) -> u64 {
    let [boot] = unpack(BOOT, bytes);
    boot
}

pub(crate) fn encode_lives(lives: &Lives) -> Vec<u8> {
    with_crc(lives.encode())
}

pub(crate) fn decode_lives(bytes: &[u8]) -> Lives {
    let body = without_crc(LIVES, bytes);
    Lives::decode(body).unwrap_or_else(|| fatal(format_args!("state {LIVES:?} has {} bytes", body.len())))
}

pub(crate) fn encode_conf(conf: &ConfState) -> Vec<u8> {
    let body = conf.write_to_bytes().expect("a conf state always encodes");
    with_crc(body)
}

pub(crate) fn decode_conf(bytes: &[u8]) -> ConfState {
    let body = without_crc(CONF, bytes);
    ConfState::parse_from_bytes(body)
        .unwrap_or_else(|error| fatal(format_args!("conf state does not decode: {error}")))
}

pub(crate) fn peer_key(peer: ReplicaId) -> String {
    format!("{PEER_PREFIX}{peer:020}")
}

/// All remembered peers, in order of their ids.
pub(crate) fn read_peers(
    state: &impl ReadableTable<&'static str, &'static [u8]>,
) -> Result<Vec<(ReplicaId, Memory)>, redb::StorageError> {
    let mut peers = Vec::new();
    for item in state.range::<&str>(PEER_PREFIX..PEER_END)? {
        let (key, value) = item?;
        let Ok(peer) = key.value()[PEER_PREFIX.len()..].parse() else {
            fatal(format_args!("state key {:?} names no peer", key.value()))
        };
        peers.push((peer, Memory::decode(value.value())));
    }
    Ok(peers)
}

fn pack<const N: usize>(values: [u64; N]) -> Vec<u8> {
    with_crc(values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

fn unpack<const N: usize>(name: &str, bytes: &[u8]) -> [u64; N] {
    let body = without_crc(name, bytes);
    if body.len() != N * 8 {
        fatal(format_args!("state {name:?} has {} bytes instead of {}", body.len(), N * 8));
    }
    let mut values = [0; N];
    for (value, chunk) in values.iter_mut().zip(body.chunks_exact(8)) {
        *value = u64::from_le_bytes(chunk.try_into().expect("8 bytes"));
    }
    values
}

fn with_crc(mut body: Vec<u8>) -> Vec<u8> {
    let crc = crc32fast::hash(&body);
    body.extend_from_slice(&crc.to_le_bytes());
    body
}

fn without_crc<'a>(name: &str, bytes: &'a [u8]) -> &'a [u8] {
    match bytes.split_last_chunk::<4>() {
        Some((body, crc)) if crc32fast::hash(body) == u32::from_le_bytes(*crc) => body,
        _ => fatal(format_args!("checksum of state {name:?} does not match")),
    }
}
