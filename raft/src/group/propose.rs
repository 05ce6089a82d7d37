//! Epochs and proposals: what a leader may append, and when it learns that it is committed.
//! Takes only the next sequence of the current epoch; any surprise ends the epoch.

use std::collections::VecDeque;

use super::{Group, Notice};
use crate::batch::{Batch, BatchError};
use crate::entry::{encode_barrier, encode_batch};
use crate::mistake::Mistake;
use crate::position::Position;

/// Bytes of proposals merged into one message per peer within a turn: frames end at 16 MiB.
const MERGE_BYTES_MAX: usize = 1024 * 1024;

/// What a proposal must carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Term in which the epoch began.
    pub term: u64,
    /// The epoch.
    pub epoch: u64,
    /// Number of the proposal in the epoch, from 0.
    pub sequence: u64,
}

/// Whether a batch may wait while the disk is low.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// Refused while the disk is low.
    Ordinary,
    /// Taken also then: what others wait for, or what frees space.
    Essential,
}

/// Why a proposal was not taken. It is certain that it will not be committed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ProposeError {
    /// Not the leader.
    #[error("this replica does not lead the group")]
    NotLeader,
    /// The ticket is of another term.
    #[error("the group is in term {0}")]
    WrongTerm(u64),
    /// The ticket is of another epoch, or the epoch has not begun.
    #[error("the ticket's epoch is not open")]
    WrongEpoch,
    /// The ticket is not the next; ends the epoch.
    #[error("the next sequence is {0}")]
    WrongSequence(u64),
    /// raft refused: too much is uncommitted, or leadership is being handed over; ends the epoch.
    #[error("raft dropped the proposal")]
    Dropped,
    /// The batch breaks a bound; ends the epoch.
    #[error("the batch is refused")]
    TooLarge(#[from] BatchError),
    /// Below the free-space watermark; ends the epoch.
    #[error("the disk is low")]
    DiskLow,
    /// The replica has stopped, see [`super::Notice::Stopped`].
    #[error("the replica has stopped")]
    Stopped,
}

/// Why no epoch can begin.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EpochError {
    /// Not the leader.
    #[error("this replica does not lead the group")]
    NotLeader,
    /// raft refused; try again.
    #[error("raft dropped the barrier")]
    Dropped,
    /// The replica has stopped, see [`super::Notice::Stopped`].
    #[error("the replica has stopped")]
    Stopped,
}

#[derive(Debug)]
struct Proposal {
    position: Position,
    epoch: u64,
    sequence: u64,
}

#[derive(Debug)]
struct OpenEpoch {
    number: u64,
    term: u64,
    began: bool,
    next_sequence: u64,
}

/// The current epoch and its proposals.
#[derive(Debug)]
pub(super) struct Epochs {
    open: Option<OpenEpoch>,
    /// Highest number in any entry this replica has ever held.
    max: u64,
    pending: VecDeque<Proposal>,
    /// Bytes proposed since the last turn.
    pub(super) unsent_bytes: usize,
}

impl Epochs {
    pub(super) fn new(max: u64) -> Epochs {
        Epochs { open: None, max, pending: VecDeque::new(), unsent_bytes: 0 }
    }

    /// Notes an epoch number found in the log; a number is never given twice by one log.
    pub(super) fn see(&mut self, epoch: u64) {
        self.max = self.max.max(epoch);
    }

    pub(super) fn current(&self) -> Option<u64> {
        self.open.as_ref().filter(|epoch| epoch.began).map(|epoch| epoch.number)
    }

    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }
}

impl Group {
    /// Leader only: proposes the barrier of a new epoch and gives the epoch's number. The epoch begins
    /// with [`Notice::EpochBegan`], when the barrier is applied here. An open epoch is ended without notice; when the barrier
    /// is refused it stays open, so that whoever decides in it hears of its end when leadership goes.
    pub fn begin_epoch(&mut self) -> Result<u64, EpochError> {
        if self.is_stopped() {
            return Err(EpochError::Stopped);
        }
        if !self.is_leader() {
            return Err(EpochError::NotLeader);
        }
        let number = self.epochs.max + 1;
        self.append(encode_barrier(number)).map_err(|()| EpochError::Dropped)?;
        self.end_epoch();
        self.epochs.max = number;
        let term = self.node.raft.term;
        let began = self.config.mistake.is(Mistake::BeginsWithoutABarrier);
        self.epochs.open = Some(OpenEpoch { number, term, began, next_sequence: 0 });
        if began {
            self.notify(Notice::EpochBegan { term, epoch: number, index: self.visible });
        }
        self.observe();
        Ok(number)
    }

    /// Ends the epoch: nothing more is taken for it, and no commit of it is reported. No notice.
    pub fn end_epoch(&mut self) {
        self.epochs.open = None;
        self.epochs.pending.clear();
    }

    /// Proposes row writes; see [`Group::propose_as`].
    pub fn propose(&mut self, ticket: Ticket, batch: &Batch) -> Result<Position, ProposeError> {
        self.propose_as(ticket, batch, Importance::Ordinary)
    }

    /// Leader only: appends the batch as one entry and gives its exact position. Whether it is
    /// committed there, [`Notice::Committed`] with the same position says, and nothing else.
    pub fn propose_as(
        &mut self,
        ticket: Ticket,
        batch: &Batch,
        importance: Importance,
    ) -> Result<Position, ProposeError> {
        if self.is_stopped() {
            return Err(ProposeError::Stopped);
        }
        if !self.is_leader() {
            return Err(ProposeError::NotLeader);
        }
        if ticket.term != self.node.raft.term {
            return Err(ProposeError::WrongTerm(self.node.raft.term));
        }
        let next = match &self.epochs.open {
            Some(open) if open.began && open.number == ticket.epoch => open.next_sequence,
            _ => return Err(ProposeError::WrongEpoch),
        };
        let taken = self.append_batch(ticket, next, batch, importance);
        let taken = match taken {
            Err(ProposeError::Dropped) if self.config.mistake.is(Mistake::GoesOnAfterARefusal) => {
                Ok(self.take_for_done(ticket))
            }
            taken => taken,
        };
        if taken.is_err() {
            self.lose_epoch();
        }
        self.observe();
        taken
    }

    /// A mistake: what was refused counts as what was proposed before it.
    fn take_for_done(&mut self, ticket: Ticket) -> Position {
        let position = Position { term: ticket.term, index: self.node.raft.raft_log.last_index() };
        let (epoch, sequence) = (ticket.epoch, ticket.sequence);
        self.epochs.pending.push_back(Proposal { position, epoch, sequence });
        position
    }

    fn append_batch(
        &mut self,
        ticket: Ticket,
        next: u64,
        batch: &Batch,
        importance: Importance,
    ) -> Result<Position, ProposeError> {
        let goes_on = self.config.mistake.is(Mistake::GoesOnAfterARefusal);
        if ticket.sequence != next && !goes_on {
            return Err(ProposeError::WrongSequence(next));
        }
        batch.check()?;
        if self.disk.is_low() && importance == Importance::Ordinary && !batch.only_deletes() {
            return Err(ProposeError::DiskLow);
        }
        // What a full queue or a transfer of leadership does, at any time.
        if crate::buggify!("raft: a proposal is dropped", 2_000) {
            return Err(ProposeError::Dropped);
        }
        let data = encode_batch(ticket.epoch, next, batch);
        let position = self.append(data).map_err(|()| ProposeError::Dropped)?;
        let (epoch, sequence) = (ticket.epoch, ticket.sequence);
        self.epochs.pending.push_back(Proposal { position, epoch, sequence });
        if let Some(open) = &mut self.epochs.open {
            open.next_sequence += 1;
        }
        Ok(position)
    }

    /// Appends one entry at the leader; its position is the next, or it is not taken.
    fn append(&mut self, data: Vec<u8>) -> Result<Position, ()> {
        let raft = &mut self.node.raft;
        let position = Position { term: raft.term, index: raft.raft_log.last_index() + 1 };
        let merge = self.epochs.unsent_bytes + data.len() <= MERGE_BYTES_MAX;
        raft.set_batch_append(merge);
        self.epochs.unsent_bytes += data.len();
        self.node.propose(Vec::new(), data).map_err(|_| ())?;
        assert_eq!(
            self.node.raft.raft_log.last_index(),
            position.index,
            "a leader appends at the end of its log"
        );
        Ok(position)
    }

    pub(super) fn lose_epoch(&mut self) {
        if let Some(open) = self.epochs.open.take() {
            crate::sometimes!("raft: an epoch ended");
            self.notify(Notice::EpochEnded { epoch: open.number });
        }
        self.epochs.pending.clear();
    }

    /// An epoch lives as long as its leader's stay: same replica, same term.
    pub(super) fn observe_epoch(&mut self) {
        let (leads, term) = (self.is_leader(), self.node.raft.term);
        if self.config.mistake.is(Mistake::CommitsByIndexAlone) && !self.epochs.pending.is_empty() {
            return;
        }
        if self.epochs.open.as_ref().is_some_and(|open| !leads || open.term != term) {
            self.lose_epoch();
        }
    }

    /// A leader's entry at an index that is committed is the committed entry, while it leads in the same term.
    pub(super) fn observe_commit(&mut self) {
        let committed = self.node.raft.raft_log.committed;
        while let Some(done) =
            self.epochs.pending.pop_front_if(|proposal| proposal.position.index <= committed)
        {
            let Proposal { position, epoch, sequence } = done;
            let by_index = self.config.mistake.is(Mistake::CommitsByIndexAlone);
            assert!(by_index || position.term == self.node.raft.term, "a commit notice of another term");
            self.notify(Notice::Committed { position, epoch, sequence });
        }
    }

    pub(super) fn on_barrier_visible(&mut self, epoch: u64, position: Position) {
        let Some(open) = &mut self.epochs.open else { return };
        if open.number == epoch && open.term == position.term && !open.began {
            open.began = true;
            self.notify(Notice::EpochBegan { term: position.term, epoch, index: position.index });
        }
    }
}
