//! Read requests: a quorum confirms the leader after the request, once per request.
//! Leader-local only; a context is never used twice and never taken from the wire.

use std::collections::BTreeSet;

use raft::ReadState;
use raft::eraftpb::{Message, MessageType};

use super::{Group, Notice};
use crate::mistake::Mistake;
use crate::position::ReplicaId;

/// Whoever was heard within so many ticks is expected to answer: two heartbeats.
const FRESH_TICKS: u64 = 4;
/// Requests that may be open; above it the caller waits for the ones before.
const READS_MAX: usize = 4096;

/// A read request of this replica, never reused in its boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadId(pub u64);

/// Why no read could be asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReadIndexError {
    /// Not the leader; send the request itself to the leader.
    #[error("this replica does not lead the group")]
    NotLeader,
    /// The leader has not committed in its own term yet; raft would drop the request silently.
    #[error("the leader has not committed in its term yet")]
    NotReady,
    /// Over the bound of open requests.
    #[error("too many reads are open")]
    TooMany,
}

/// Open read requests.
#[derive(Debug)]
pub(super) struct Reads {
    replica: ReplicaId,
    boot: u64,
    count: u64,
    term: u64,
    open: BTreeSet<u64>,
}

impl Reads {
    pub(super) fn new(replica: ReplicaId, boot: u64) -> Reads {
        Reads { replica, boot, count: 0, term: 0, open: BTreeSet::new() }
    }

    fn context(&self, id: u64) -> Vec<u8> {
        [self.replica, self.boot, id].iter().flat_map(|value| value.to_be_bytes()).collect()
    }

    fn id_of(&self, context: &[u8]) -> Option<u64> {
        let id = u64::from_be_bytes(context.get(16..24)?.try_into().ok()?);
        (self.context(id) == context).then_some(id)
    }
}

impl Group {
    /// Leader only: asks a quorum to confirm the leader; [`Notice::ReadReady`] or [`Notice::ReadDropped`] follows.
    /// Messages may be lost: the caller sets a deadline, and asks again with a new request.
    pub fn read_index(&mut self) -> Result<ReadId, ReadIndexError> {
        if self.is_stopped() || !self.is_leader() {
            return Err(ReadIndexError::NotLeader);
        }
        if !self.node.raft.commit_to_current_term() {
            return Err(ReadIndexError::NotReady);
        }
        if self.reads.open.len() >= READS_MAX {
            return Err(ReadIndexError::TooMany);
        }
        self.reads.count += 1;
        self.reads.term = self.node.raft.term;
        let id = self.reads.count;
        if self.config.mistake.is(Mistake::ReadsWithoutAQuorum) {
            let index = self.node.raft.raft_log.committed;
            self.notify(Notice::ReadReady { id: ReadId(id), index });
            return Ok(ReadId(id));
        }
        self.reads.open.insert(id);
        let before = self.node.raft.msgs.len();
        self.node.read_index(self.reads.context(id));
        self.ask_as_few_as_needed(before);
        self.observe();
        Ok(ReadId(id))
    }

    /// Raft asks all members for each read; a quorum is enough. What those do not answer by the next tick, all are asked.
    fn ask_as_few_as_needed(&mut self, before: usize) {
        let asked = self.quorum_of_the_heard();
        let round = self.node.raft.msgs.split_off(before);
        let needed = |message: &Message| {
            message.get_msg_type() != MessageType::MsgHeartbeat
                || asked.as_ref().is_none_or(|asked| asked.contains(&message.to))
        };
        self.node.raft.msgs.extend(round.into_iter().filter(needed));
    }

    /// Peers that make a quorum with this leader, in turn; none when too few have been heard lately.
    fn quorum_of_the_heard(&self) -> Option<Vec<ReplicaId>> {
        let mut heard = self.others();
        heard.retain(|id| {
            let at = self.peers.get(id).and_then(|peer| peer.heard_at);
            at.is_some_and(|at| self.ticks - at <= FRESH_TICKS)
        });
        if !heard.is_empty() {
            let turn = self.reads.count % heard.len() as u64;
            heard.rotate_left(turn as usize);
        }
        let is_quorum = |count: &usize| {
            let quorum = heard[..*count].iter().copied().chain([self.config.replica]).collect();
            self.node.raft.prs().has_quorum(&quorum)
        };
        let count = (0..=heard.len()).find(is_quorum)?;
        heard.truncate(count);
        Some(heard)
    }

    /// At each tick: reads that nobody has confirmed yet ask everybody, also between two heartbeats.
    pub(super) fn ask_all_again(&mut self, before: usize) {
        let beaten = self.node.raft.msgs.len() > before;
        if self.is_leader() && !beaten && !self.reads.open.is_empty() {
            crate::sometimes!("raft: a read asks everybody");
            self.node.ping();
        }
    }

    pub(super) fn on_read_state(&mut self, state: &ReadState) {
        let Some(id) = self.reads.id_of(&state.request_ctx) else {
            return;
        };
        if self.reads.open.remove(&id) {
            self.notify(Notice::ReadReady { id: ReadId(id), index: state.index });
        }
    }

    /// A change of leader or term wins over an answer that is already there.
    pub(super) fn observe_reads(&mut self) {
        let same = self.is_leader() && self.node.raft.term == self.reads.term;
        if !same {
            self.drop_reads();
        }
    }

    pub(super) fn drop_reads(&mut self) {
        for id in std::mem::take(&mut self.reads.open) {
            crate::sometimes!("raft: a read is dropped with its term");
            self.notify(Notice::ReadDropped { id: ReadId(id) });
        }
    }
}
