//! What has been handed to the writer and what waits for it.
//! A message that rests on a write leaves only when that write and all before it are done.

use raft::eraftpb::{Message, MessageType};

use super::disk::Cause;
use super::{Group, Notice};
use crate::envelope::Envelope;
use crate::marks::{self, Deed};
use crate::position::{Position, ReplicaId};
use crate::store::{Hard, Job, JobKind, Memory};

/// Something that waits for a job, or for all jobs before it.
#[derive(Debug)]
pub(super) struct Flight {
    /// Done when the writer has finished this job.
    pub(super) job: u64,
    pub(super) then: Then,
}

#[derive(Debug)]
pub(super) enum Then {
    /// A ready of raft is persisted: its messages may leave.
    Persisted { number: u64, messages: Vec<Message> },
    /// Rows are visible. Barriers among the entries are (epoch, position).
    Visible { index: u64, barriers: Vec<(u64, Position)> },
    /// Raft knows that the snapshot up to there is persisted: only now, and at once, it may be told that it is applied.
    /// Before its next election it looks for entries after what it takes for applied, and the snapshot replaced those.
    Counted { index: u64 },
    /// A snapshot is the group's file now.
    Installed { index: u64, from: Option<(ReplicaId, u64)> },
    /// A peer's boot is remembered.
    Admitted { peer: ReplicaId, memory: Memory },
}

impl Group {
    /// Hands a job to the writer; gives its number.
    pub(super) fn push(&mut self, kind: JobKind) -> u64 {
        let sequence = self.next_job;
        self.next_job += 1;
        self.queue.push(Job { sequence, kind });
        sequence
    }

    /// The last job that was handed over.
    pub(super) fn last_job(&self) -> u64 {
        self.next_job - 1
    }

    pub(super) fn remember_hard(&mut self, job: u64, hard: Option<Hard>) {
        self.hard_pending.extend(hard.map(|hard| (job, hard)));
    }

    /// True while the writer has work of this replica.
    pub(super) fn writes_in_flight(&self) -> bool {
        self.finished_job < self.last_job()
    }

    /// True while a snapshot that raft took is not on disk. Until then raft knows neither the entries before it nor that they
    /// are applied, and would end the process if it stood for election; nothing it says could leave anyway.
    pub(super) fn is_installing(&self) -> bool {
        self.flights.iter().any(|flight| matches!(flight.then, Then::Counted { .. }))
    }

    /// Acts on everything the writer has finished since the last call.
    pub(super) fn land(&mut self) {
        let progress = self.queue.progress();
        if let Some(reason) = progress.stopped {
            return self.stop(reason, Cause::Full);
        }
        self.finished_job = progress.finished;
        while let Some((_, hard)) = self.hard_pending.pop_front_if(|(job, _)| *job <= progress.durable) {
            self.hard_durable = hard;
        }
        while let Some(flight) = self.flights.pop_front_if(|flight| flight.job <= progress.finished) {
            self.on_landed(flight.then);
        }
    }

    fn on_landed(&mut self, then: Then) {
        match then {
            Then::Persisted { number, messages } => {
                self.node.on_persist_ready(number);
                self.promise_as_leader();
                self.observe();
                messages.into_iter().for_each(|message| self.send_raft(message));
            }
            Then::Counted { index } => self.node.advance_apply_to(index),
            Then::Visible { index, barriers } => {
                self.visible = index;
                let (group, replica) = (self.config.group, self.config.replica);
                marks::deed(|| Deed::Shows { group, replica, index });
                self.notify(Notice::Applied { index });
                barriers.into_iter().for_each(|(epoch, position)| self.on_barrier_visible(epoch, position));
            }
            Then::Installed { index, from } => {
                self.visible = index;
                super::open::note_rows(&self.config, &self.current);
                self.notify(Notice::Rescan { index });
                self.notify(Notice::Applied { index });
                if let Some((leader, id)) = from {
                    self.answer_fetched(leader, id, true);
                }
            }
            Then::Admitted { peer, memory } => self.on_admitted(peer, memory),
        }
    }

    /// A leader counts on its own disk as well.
    fn promise_as_leader(&self) {
        if self.is_leader() {
            let (group, replica) = (self.config.group, self.config.replica);
            let (term, index) = (self.node.raft.term, self.node.raft.raft_log.persisted);
            marks::deed(|| Deed::Promises { group, replica, term, index });
        }
    }

    /// For who compares what replicas say with what they hold after a crash.
    fn note_promise(&self, message: &Message) {
        let (group, replica, term) = (self.config.group, self.config.replica, message.term);
        match message.get_msg_type() {
            MessageType::MsgAppendResponse if !message.reject => {
                marks::deed(|| Deed::Promises { group, replica, term, index: message.index });
            }
            MessageType::MsgRequestVoteResponse if !message.reject => {
                marks::deed(|| Deed::Votes { group, replica, term, to: message.to });
            }
            // Whoever leads has voted for itself.
            MessageType::MsgAppend | MessageType::MsgHeartbeat | MessageType::MsgSnapshot => {
                marks::deed(|| Deed::Votes { group, replica, term, to: replica });
            }
            MessageType::MsgRequestVote => marks::deed(|| Deed::Votes { group, replica, term, to: replica }),
            _ => {}
        }
    }

    pub(super) fn send_raft(&mut self, message: Message) {
        self.note_promise(&message);
        let to = message.to;
        let envelope = Envelope::Raft { boot: self.boot, message };
        self.send(to, &envelope);
    }
}
