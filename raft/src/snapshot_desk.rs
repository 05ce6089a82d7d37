//! The sending side of snapshots: read views kept for followers, one chunk at a time on request.
//! Pull only, so a slow follower costs nothing but its view, and the view has a maximum age.

use std::collections::BTreeMap;
use std::sync::Arc;

use raft::StorageError;
use raft::eraftpb::{ConfState, Snapshot};

use crate::envelope::{CHUNK_BYTES_MAX, ChunkBody, Fetch, SnapshotChunk};
use crate::position::ReplicaId;
use crate::store::{Current, Mark, ReadError, Rows, RowsView};

/// Snapshots sent at a time: each keeps old pages of the file alive.
const SENDING_MAX: usize = 2;
/// Ticks without a request after which a snapshot has failed (5 s at 50 ms).
const IDLE_TICKS_MAX: u64 = 100;
/// Ticks after which a snapshot has failed however busy it is (10 min at 50 ms): old pages stay allocated.
const AGE_TICKS_MAX: u64 = 12_000;
/// Bits of a snapshot id that count within one boot.
const ID_COUNT_BITS: u32 = 24;

/// Snapshots being sent.
#[derive(Debug)]
pub(crate) struct SnapshotDesk {
    current: Arc<Current>,
    boot: u64,
    count: u64,
    sending: BTreeMap<ReplicaId, Sending>,
}

#[derive(Debug)]
struct Sending {
    id: u64,
    index: u64,
    view: RowsView,
    idle_ticks: u64,
    age_ticks: u64,
}

/// What travels inside raft's snapshot message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotTicket {
    pub(crate) id: u64,
    pub(crate) epoch: u64,
    pub(crate) sequence: u64,
}

impl SnapshotTicket {
    fn encode(self) -> Vec<u8> {
        [self.id, self.epoch, self.sequence].iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<SnapshotTicket> {
        let value = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        (bytes.len() == 24).then_some(())?;
        Some(SnapshotTicket { id: value(0)?, epoch: value(8)?, sequence: value(16)? })
    }
}

impl SnapshotDesk {
    pub(crate) fn new(current: Arc<Current>, boot: u64) -> SnapshotDesk {
        SnapshotDesk { current, boot, count: 0, sending: BTreeMap::new() }
    }

    /// raft wants a snapshot for `to`: opens a view of the rows as they are applied now.
    pub(crate) fn open(&mut self, request_index: u64, to: ReplicaId) -> raft::Result<Snapshot> {
        // raft asks again only when it has given up the one before
        self.sending.remove(&to);
        if self.sending.len() >= SENDING_MAX {
            return Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        let (view, mark, conf) = match self.view() {
            Ok(found) => found,
            // the writer has stopped: the group is about to fall silent
            Err(_) => return Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable)),
        };
        // a receiver drops a snapshot that does not list it
        if mark.position.index < request_index || !lists(&conf, to) {
            return Err(raft::Error::Store(StorageError::SnapshotTemporarilyUnavailable));
        }
        crate::sometimes!("raft: a snapshot is sent");
        self.count += 1;
        let id = self.boot << ID_COUNT_BITS | self.count;
        let index = mark.position.index;
        self.sending.insert(to, Sending { id, index, view, idle_ticks: 0, age_ticks: 0 });
        let mut snapshot = Snapshot::default();
        let metadata = snapshot.mut_metadata();
        metadata.index = index;
        metadata.term = mark.position.term;
        metadata.set_conf_state(conf);
        snapshot.data = SnapshotTicket { id, epoch: mark.epoch, sequence: mark.sequence }.encode().into();
        Ok(snapshot)
    }

    fn view(&self) -> Result<(RowsView, Mark, ConfState), ReadError> {
        let view = Rows::new(self.current.clone()).read()?;
        let (mark, conf) = (view.mark()?, view.conf()?);
        Ok((view, mark, conf))
    }

    /// Answers a request for a chunk.
    pub(crate) fn fetch(&mut self, from: ReplicaId, fetch: &Fetch) -> Result<SnapshotChunk, ReadError> {
        let (id, ordinal) = (fetch.id, fetch.ordinal);
        let Some(sending) = self.sending.get_mut(&from).filter(|sending| sending.id == id) else {
            return Ok(SnapshotChunk { id, ordinal, body: ChunkBody::Gone });
        };
        sending.idle_ticks = 0;
        let chunk = sending.view.chunk(fetch.after.as_deref(), CHUNK_BYTES_MAX)?;
        let body = ChunkBody::Rows {
            rows: chunk.bytes.into(),
            count: chunk.rows,
            next_after: chunk.more_after.map(Into::into),
        };
        Ok(SnapshotChunk { id, ordinal, body })
    }

    /// The receiver is done; true when that snapshot was being sent.
    pub(crate) fn finish(&mut self, from: ReplicaId, id: u64) -> bool {
        let known = self.sending.get(&from).is_some_and(|sending| sending.id == id);
        if known {
            self.sending.remove(&from);
        }
        known
    }

    /// Counts a tick; gives the followers whose snapshot has failed by silence or age.
    pub(crate) fn tick(&mut self) -> Vec<ReplicaId> {
        let mut failed = Vec::new();
        for (peer, sending) in &mut self.sending {
            sending.idle_ticks += 1;
            sending.age_ticks += 1;
            if sending.idle_ticks > IDLE_TICKS_MAX || sending.age_ticks > AGE_TICKS_MAX {
                failed.push(*peer);
            }
        }
        failed.iter().for_each(|peer| drop(self.sending.remove(peer)));
        failed
    }

    /// Not the leader any more: nobody will ask.
    pub(crate) fn clear(&mut self) {
        self.sending.clear();
    }

    /// The log behind this index must stay for the followers that are being fed.
    pub(crate) fn lowest_index(&self) -> Option<u64> {
        self.sending.values().map(|sending| sending.index).min()
    }
}

fn lists(conf: &ConfState, replica: ReplicaId) -> bool {
    [&conf.voters, &conf.learners, &conf.voters_outgoing].iter().any(|set| set.contains(&replica))
}
