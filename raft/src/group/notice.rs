//! What comes out of a turn: payloads for peers, and what the owner should know.
//! Plain data.

use bytes::Bytes;

use super::{ConfChangeId, ReadId};
use crate::position::{Position, ReplicaId};

/// Everything a turn produced. Notices are in the order in which things happened.
#[derive(Debug, Default)]
pub struct Output {
    /// To be sent; may be lost, repeated or reordered on the way.
    pub messages: Vec<Outgoing>,
    /// To be acted on.
    pub notices: Vec<Notice>,
}

/// A payload for [`crate::Group::step`] of a peer's replica of the same group.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The receiver.
    pub to: ReplicaId,
    /// At most [`crate::PAYLOAD_BYTES_MAX`] bytes.
    pub payload: Bytes,
}

/// Something that happened in the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Another leader, none, or another term. The leader itself gets it with its own id.
    LeaderChanged {
        /// The leader, as far as known.
        leader: Option<ReplicaId>,
        /// The term.
        term: u64,
    },
    /// The epoch's barrier is applied here, at the leader: proposals may begin with sequence 0.
    EpochBegan {
        /// The leader's term.
        term: u64,
        /// The epoch.
        epoch: u64,
        /// Index of the barrier; rows up to it are visible.
        index: u64,
    },
    /// The epoch ended by surprise: leadership was lost or a proposal was refused. What was
    /// proposed and not reported as committed may or may not be; only the log knows.
    EpochEnded {
        /// The epoch.
        epoch: u64,
    },
    /// At the leader, in order: a quorum has the entry on disk. The own write and the rows may come later.
    Committed {
        /// Position of the entry; the term is part of it.
        position: Position,
        /// Epoch of the proposal.
        epoch: u64,
        /// Sequence of the proposal in the epoch.
        sequence: u64,
    },
    /// Rows of all entries up to this index are visible to [`crate::Rows`].
    Applied {
        /// The index.
        index: u64,
    },
    /// A quorum confirmed this leader after the request; answer when rows up to `index` are visible.
    ReadReady {
        /// The request.
        id: ReadId,
        /// What must be visible.
        index: u64,
    },
    /// The request will never be answered; ask again, with a new id.
    ReadDropped {
        /// The request.
        id: ReadId,
    },
    /// The group has other members.
    ConfChanged {
        /// Voters.
        voters: Vec<ReplicaId>,
        /// Members without a vote.
        learners: Vec<ReplicaId>,
        /// The own request that did it, if it was one.
        id: Option<ConfChangeId>,
    },
    /// The requested change did not happen.
    ConfChangeRefused {
        /// The request.
        id: ConfChangeId,
    },
    /// A snapshot was installed: any row may have changed.
    Rescan {
        /// Rows up to this index are visible.
        index: u64,
    },
    /// The free-space watermark was crossed. While low, ordinary proposals are refused.
    DiskLow {
        /// True when low.
        low: bool,
    },
    /// This replica writes and says nothing more. If the disk was full, [`Group::reopen`](crate::Group::reopen) it after
    /// [`Notice::SpaceReturned`]; if it has forgotten what it acknowledged, remove it and rejoin under a new id.
    Stopped {
        /// A sentence.
        reason: String,
    },
    /// A group that a full disk has stopped may be opened again.
    SpaceReturned,
    /// A peer refuses this replica, for good: its directory was emptied or restored.
    RefusedByPeer {
        /// The peer.
        peer: ReplicaId,
        /// A sentence.
        reason: String,
    },
}
