//! What peers send: decoded, judged, and given to raft or to the snapshot code.
//! Drops what may only come from inside; names amnesia before raft panics on it.

use raft::eraftpb::{Message, MessageType};

use super::Group;
use super::disk::Cause;
use crate::envelope::{Envelope, PAYLOAD_BYTES_MAX};
use crate::hello::Amnesia;
use crate::marks;
use crate::position::ReplicaId;

/// Why a payload was not taken. All but [`StepError::Amnesia`] are part of a lossy network's life.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Over [`crate::PAYLOAD_BYTES_MAX`].
    #[error("a payload of {0} bytes; allowed are {PAYLOAD_BYTES_MAX}")]
    TooLarge(usize),
    /// Not a payload of this crate.
    #[error("replica {from} sent nonsense: {reason}")]
    Malformed {
        /// The sender.
        from: ReplicaId,
        /// A sentence.
        reason: String,
    },
    /// The message names another sender or receiver.
    #[error("a message of replica {0} is not from it to this replica")]
    NotForUs(ReplicaId),
    /// A kind of message that peers must not send.
    #[error("replica {from} sent {kind}, which peers must not")]
    Forbidden {
        /// The sender.
        from: ReplicaId,
        /// The kind.
        kind: String,
    },
    /// The sender's boot is not remembered yet; it has been asked who it is. The newest message of a member waits for that.
    #[error("replica {0} has not introduced itself")]
    NotIntroduced(ReplicaId),
    /// A message from before the sender's last start.
    #[error("replica {from} sent this in its earlier boot {boot}")]
    EarlierBoot {
        /// The sender.
        from: ReplicaId,
        /// The boot.
        boot: u64,
    },
    /// The sender, or this replica, has forgotten what it once had.
    #[error("something acknowledged was forgotten")]
    Amnesia(#[from] Amnesia),
    /// The sender is not, or not any more, a member.
    #[error("replica {0} is not a member")]
    NotMember(ReplicaId),
    /// raft refused the message.
    #[error("raft refused the message")]
    Raft(#[source] raft::Error),
    /// The replica has stopped, see [`super::Notice::Stopped`].
    #[error("the replica has stopped")]
    Stopped,
}

impl Group {
    /// Takes a payload that a peer's group sent, see [`super::Outgoing`].
    pub fn step(&mut self, from: ReplicaId, payload: &[u8]) -> Result<(), StepError> {
        if self.is_stopped() {
            return Err(StepError::Stopped);
        }
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(StepError::TooLarge(payload.len()));
        }
        let envelope = Envelope::decode(payload)
            .map_err(|error| StepError::Malformed { from, reason: error.to_string() })?;
        match envelope {
            Envelope::Hello { answers, hello } => self.on_hello(from, hello, answers)?,
            Envelope::Who { question } => self.on_who(from, question),
            Envelope::Refusal { boot, reason } => self.on_refusal(from, boot, reason),
            Envelope::WhoIs { peer } => self.on_who_is(from, peer),
            Envelope::Introduction { hello } => self.on_introduction(from, &hello),
            Envelope::Raft { boot, message } => self.admit_raft(from, boot, message)?,
            Envelope::Fetch { boot, fetch } => {
                self.admit(from, boot)?;
                self.on_fetch(from, &fetch);
            }
            Envelope::Chunk { boot, chunk } => {
                self.admit(from, boot)?;
                self.on_chunk(from, chunk)?;
            }
            Envelope::Fetched { boot, id, ok } => {
                self.admit(from, boot)?;
                self.on_fetched(from, id, ok);
            }
        }
        Ok(())
    }

    /// The transport could not reach a peer; raft sends it less until it answers.
    pub fn peer_unreachable(&mut self, peer: ReplicaId) {
        if !self.is_stopped() {
            self.node.report_unreachable(peer);
            self.observe();
        }
    }

    pub(super) fn step_raft(&mut self, from: ReplicaId, message: Message) -> Result<(), StepError> {
        if message.from != from || message.to != self.config.replica {
            return Err(StepError::NotForUs(from));
        }
        self.check_kind(&message)?;
        self.check_sole_voter(&message)?;
        self.check_memory(&message)?;
        if message.get_msg_type() == MessageType::MsgSnapshot {
            return self.on_snapshot_offer(from, message);
        }
        // A late word of a leader that handed over to this replica's earlier self.
        if message.get_msg_type() == MessageType::MsgTimeoutNow && self.is_installing() {
            return Ok(());
        }
        // What a full mailbox does to a peer's frames, at any time: this replica is behind until they are sent again.
        if !message.entries.is_empty()
            && crate::buggify!("raft: entries are lost on their way", marks::rare(80_000, message.index))
        {
            return Ok(());
        }
        self.give_raft(message)
    }

    pub(super) fn give_raft(&mut self, message: Message) -> Result<(), StepError> {
        let from = message.from;
        let stepped = self.node.step(message);
        self.observe();
        match stepped {
            Ok(()) => Ok(()),
            Err(raft::Error::StepPeerNotFound) => Err(StepError::NotMember(from)),
            Err(error) => Err(StepError::Raft(error)),
        }
    }

    /// Proposals would be forwarded silently and doubled by retries; a read's context must never
    /// travel; hand-over is asked for at the leader only.
    fn check_kind(&self, message: &Message) -> Result<(), StepError> {
        use MessageType::*;
        match message.get_msg_type() {
            MsgAppend
            | MsgAppendResponse
            | MsgRequestVote
            | MsgRequestVoteResponse
            | MsgSnapshot
            | MsgHeartbeat
            | MsgHeartbeatResponse
            | MsgTimeoutNow
            | MsgRequestPreVote
            | MsgRequestPreVoteResponse => Ok(()),
            other => Err(StepError::Forbidden { from: message.from, kind: format!("{other:?}") }),
        }
    }

    /// A sole voter never steps down with writes in flight: it would elect itself again at once,
    /// and raft demands that a new leader's log is persisted.
    fn check_sole_voter(&self, message: &Message) -> Result<(), StepError> {
        if !self.is_sole_voter() {
            return Ok(());
        }
        let member = self.node.raft.prs().get(message.from).is_some();
        let raises_term = message.term > self.node.raft.term;
        if !member || (raises_term && self.writes_in_flight()) {
            return Err(StepError::NotMember(message.from));
        }
        Ok(())
    }

    /// A leader's heartbeat names only what this replica once acknowledged. If the log ends before,
    /// something acknowledged was forgotten: raft would panic with "to_commit is out of range", and
    /// this replica falls silent instead, so that its neighbours in the process go on.
    fn check_memory(&mut self, message: &Message) -> Result<(), StepError> {
        let last = self.node.raft.raft_log.last_index();
        let heartbeat = message.get_msg_type() == MessageType::MsgHeartbeat;
        if heartbeat && message.term >= self.node.raft.term && message.commit > last {
            let (from, commit) = (message.from, message.commit);
            let amnesia = Amnesia::Forgotten { from, commit, last };
            slog::error!(self.log, "replica stopped"; "reason" => %amnesia);
            let (group, replica) = (self.config.group, from);
            marks::deed(|| marks::Deed::Refuses { group, replica, peer: self.config.replica });
            self.stop(amnesia.to_string(), Cause::Amnesia);
            self.notify(super::Notice::RefusedByPeer { peer: from, reason: amnesia.to_string() });
            return Err(StepError::Amnesia(amnesia));
        }
        Ok(())
    }
}
