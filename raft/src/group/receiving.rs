//! Snapshots on their way: chunks asked for by the follower, answered from the leader's view.
//! raft sees the snapshot only when all rows are staged; how files are replaced is not known here.

use bytes::Bytes;
use raft::SnapshotStatus;
use raft::eraftpb::Message;

use super::{Group, StepError};
use crate::envelope::{ChunkBody, Envelope, Fetch, SnapshotChunk};
use crate::mistake::Mistake;
use crate::position::{Position, ReplicaId};
use crate::snapshot_desk::SnapshotTicket;
use crate::store::{JobKind, Mark, chunk_rows, is_whole};

/// Ticks without an answer after which a chunk is asked for again.
const RETRY_TICKS: u64 = 10;
/// Ticks without progress after which a snapshot is given up; the leader gives up before.
const GIVE_UP_TICKS: u64 = 200;
/// Bytes that may wait for the writer before the next chunk is asked for.
const STAGE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A snapshot being fetched.
#[derive(Debug)]
pub(super) struct Incoming {
    /// raft's message, kept back until all rows are here.
    message: Message,
    ticket: SnapshotTicket,
    ordinal: u32,
    after: Option<Bytes>,
    /// The next chunk is to be asked for.
    wanted: bool,
    waited_ticks: u64,
    silent_ticks: u64,
}

impl Incoming {
    pub(super) fn from(&self) -> ReplicaId {
        self.message.from
    }

    pub(super) fn id(&self) -> u64 {
        self.ticket.id
    }

    pub(super) fn position(&self) -> Position {
        let metadata = self.message.get_snapshot().get_metadata();
        Position { term: metadata.term, index: metadata.index }
    }

    pub(super) fn mark(&self) -> Mark {
        Mark { position: self.position(), epoch: self.ticket.epoch, sequence: self.ticket.sequence }
    }
}

impl Group {
    /// A leader wants to send a snapshot. A later one replaces the one being fetched.
    pub(super) fn on_snapshot_offer(&mut self, from: ReplicaId, message: Message) -> Result<(), StepError> {
        let metadata = message.get_snapshot().get_metadata();
        let position = Position { term: metadata.term, index: metadata.index };
        let Some(ticket) = SnapshotTicket::decode(&message.get_snapshot().data) else {
            return Err(StepError::Malformed { from, reason: "a snapshot without a ticket".into() });
        };
        if message.term < self.node.raft.term || self.node.snap().is_some() {
            // of an old leader, or the one before is not installed yet: it will be offered again
            return Ok(());
        }
        let log = &self.node.raft.raft_log;
        if position.index < log.committed || log.match_term(position.index, position.term) {
            // nothing in it is new; raft says so to the leader
            self.answer_fetched(from, ticket.id, true);
            return self.give_raft(message);
        }
        match &mut self.incoming {
            Some(incoming) if incoming.ticket.id == ticket.id && incoming.from() == from => {
                incoming.message = message;
            }
            _ => {
                slog::info!(self.log, "fetching a snapshot"; "from" => from, "index" => position.index);
                self.push(JobKind::StageBegin { id: ticket.id });
                let start = Incoming {
                    message,
                    ticket,
                    ordinal: 0,
                    after: None,
                    wanted: true,
                    waited_ticks: 0,
                    silent_ticks: 0,
                };
                self.incoming = Some(start);
            }
        }
        Ok(())
    }

    /// Asks for the next chunk when the writer has room.
    pub(super) fn fetch_on(&mut self) {
        if self.queue.bytes() > STAGE_BYTES_MAX {
            return;
        }
        let Some(incoming) = self.incoming.as_mut().filter(|incoming| incoming.wanted) else {
            return;
        };
        incoming.wanted = false;
        incoming.waited_ticks = 0;
        let fetch =
            Fetch { id: incoming.ticket.id, ordinal: incoming.ordinal, after: incoming.after.clone() };
        let (to, boot) = (incoming.from(), self.boot);
        self.send(to, &Envelope::Fetch { boot, fetch });
    }

    pub(super) fn on_chunk(&mut self, from: ReplicaId, chunk: SnapshotChunk) -> Result<(), StepError> {
        let pending = self.node.snap().is_some();
        let Some(incoming) = &mut self.incoming else {
            return Ok(());
        };
        let expected = (incoming.from(), incoming.ticket.id, incoming.ordinal);
        if pending || expected != (from, chunk.id, chunk.ordinal) {
            // repeated or late
            return Ok(());
        }
        let (rows, count, next_after) = match chunk.body {
            ChunkBody::Rows { rows, count, next_after } => (rows, count, next_after),
            ChunkBody::Gone => {
                self.drop_incoming();
                return Ok(());
            }
        };
        let are_whole = |found: &[(&[u8], &[u8])]| {
            found.len() as u64 == count && found.iter().all(|(key, stored)| is_whole(key, stored))
        };
        if !chunk_rows(&rows).is_some_and(|found| are_whole(&found)) {
            return Err(StepError::Malformed { from, reason: "a chunk without its rows".into() });
        }
        incoming.ordinal += 1;
        incoming.silent_ticks = 0;
        incoming.wanted = next_after.is_some();
        let last = next_after.is_none();
        incoming.after = next_after;
        self.push(JobKind::StageRows { id: chunk.id, rows });
        if last { self.complete_incoming() } else { Ok(()) }
    }

    /// All rows are staged (or queued before what follows): raft may take the snapshot now.
    fn complete_incoming(&mut self) -> Result<(), StepError> {
        let Some(incoming) = &self.incoming else {
            return Ok(());
        };
        let (from, id) = (incoming.from(), incoming.id());
        let message = incoming.message.clone();
        let given = self.give_raft(message);
        if self.node.snap().is_none() {
            // raft did not need it, or its sender does not lead any more
            self.drop_incoming();
            self.answer_fetched(from, id, given.is_ok());
        }
        given
    }

    fn drop_incoming(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            self.push(JobKind::StageDrop { id: incoming.id() });
        }
    }

    pub(super) fn answer_fetched(&mut self, to: ReplicaId, id: u64, ok: bool) {
        let boot = self.boot;
        self.send(to, &Envelope::Fetched { boot, id, ok });
    }

    pub(super) fn on_fetch(&mut self, from: ReplicaId, fetch: &Fetch) {
        let boot = self.boot;
        let answer = self.node.mut_store().desk.get_mut().fetch(from, fetch);
        match answer {
            Ok(chunk) => self.send(from, &Envelope::Chunk { boot, chunk }),
            Err(error) => {
                slog::warn!(self.log, "snapshot chunk not readable"; "peer" => from, "error" => %error)
            }
        }
    }

    /// Without a report raft would keep the follower muted.
    pub(super) fn on_fetched(&mut self, from: ReplicaId, id: u64, ok: bool) {
        if self.node.mut_store().desk.get_mut().finish(from, id) {
            slog::info!(self.log, "snapshot sent"; "peer" => from, "ok" => ok);
            let status = if ok { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
            self.report_snapshot(from, status);
        }
    }

    fn report_snapshot(&mut self, to: ReplicaId, status: SnapshotStatus) {
        if !self.config.mistake.is(Mistake::ForgetsItsSnapshots) {
            self.node.report_snapshot(to, status);
        }
        self.observe();
    }

    pub(super) fn tick_snapshots(&mut self) {
        for peer in self.node.mut_store().desk.get_mut().tick() {
            slog::warn!(self.log, "snapshot given up"; "peer" => peer);
            self.report_snapshot(peer, SnapshotStatus::Failure);
        }
        let pending = self.node.snap().is_some();
        let Some(incoming) = self.incoming.as_mut().filter(|_| !pending) else {
            return;
        };
        incoming.waited_ticks += 1;
        incoming.silent_ticks += 1;
        if incoming.waited_ticks >= RETRY_TICKS {
            incoming.wanted = true;
        }
        if incoming.silent_ticks > GIVE_UP_TICKS {
            let (from, id) = (incoming.from(), incoming.id());
            self.drop_incoming();
            self.answer_fetched(from, id, false);
        }
    }
}
