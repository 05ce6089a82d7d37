//! The driver of one replica of one group. This file holds its state; the verbs are in the files beside it.
//! Synchronous: it never waits, and everything it wants done outside comes back from `turn`.

mod apply;
mod disk;
mod flights;
mod greeting;
mod log;
mod membership;
mod notice;
mod observe;
mod open;
mod pace;
mod propose;
mod reads;
mod receiving;
mod status;
mod step;
mod strangers;
mod turn;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use raft::RawNode;
use raft::eraftpb::Message;

pub use log::{LOOK_ENTRIES_MAX, LogContent, LogEntry};
pub use membership::{ConfChange, ConfChangeError, ConfChangeId, TransferError};
pub use notice::{Notice, Outgoing, Output};
pub use propose::{EpochError, Importance, ProposeError, Ticket};
pub use reads::{ReadId, ReadIndexError};
pub use status::{GroupStatus, PeerStatus, Role};
pub use step::StepError;

use crate::backend::{Entropy, StoreBackend};
use crate::config::GroupConfig;
use crate::lives::Lives;
use crate::log_store::LogStore;
use crate::position::ReplicaId;
use crate::store::{Current, Hard, Mark, Memory, Queue, Rows};
use crate::truncation::LogSizes;

/// One replica of one group.
pub struct Group {
    config: GroupConfig,
    log: slog::Logger,
    node: RawNode<LogStore>,
    backend: Arc<dyn StoreBackend>,
    entropy: Box<dyn Entropy>,
    current: Arc<Current>,
    queue: Arc<Queue>,
    origin: u64,
    boot: u64,
    lives: Lives,
    ticks: u64,

    /// Jobs handed to the writer, and readies waiting for them.
    flights: VecDeque<flights::Flight>,
    next_job: u64,
    finished_job: u64,
    /// Hard states in jobs that are not on disk yet, and the last that is.
    hard_pending: VecDeque<(u64, Hard)>,
    hard_durable: Hard,

    /// What was handed over for applying, and up to where its rows are visible.
    mark: Mark,
    visible: u64,
    sizes: LogSizes,

    seen: observe::Seen,
    election_timeout: usize,
    epochs: propose::Epochs,
    reads: reads::Reads,
    membership: membership::Membership,
    peers: BTreeMap<ReplicaId, Peer>,
    pace: pace::Pace,
    incoming: Option<receiving::Incoming>,
    disk: disk::Disk,
    out: Output,
}

/// What is known of one peer.
#[derive(Debug, Default)]
struct Peer {
    /// On this replica's disk; the peer's messages count only with this boot.
    admitted: Option<Memory>,
    /// On its way to the disk.
    admitting: Option<Memory>,
    /// Tick of the last question who it is, so that lost messages cause no storm.
    asked_at: Option<u64>,
    /// What it is asked; gone when a word of it is remembered, since an answer on its way may be older than that.
    question: Option<Question>,
    /// Times that it was blank and nobody had said who it is.
    unclear: u32,
    /// Tick of the last message taken from it.
    heard_at: Option<u64>,
    /// The newest message of a boot that is not remembered yet, and that boot. Followers do not talk to each other, so the first
    /// that one hears of another's restart may be that it asks for its vote; were that dropped, the leader's loss would cost a
    /// second election timeout.
    early: Option<(u64, Message)>,
}

/// What a peer was asked. It may have been empty with good reason before it got its vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Question {
    number: u64,
    /// Whether it had been promoted by then.
    promoted: bool,
}

impl std::fmt::Debug for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group")
            .field("group", &self.config.group)
            .field("replica", &self.config.replica)
            .finish_non_exhaustive()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Group {
    /// Another reader of the applied rows.
    pub fn rows(&self) -> Rows {
        Rows::new(self.current.clone())
    }

    fn is_leader(&self) -> bool {
        self.node.raft.state == raft::StateRole::Leader
    }

    /// True when this replica is the only voter: nobody else can elect or outvote it.
    fn is_sole_voter(&self) -> bool {
        let voters = self.node.raft.prs().conf().voters();
        voters.ids().len() == 1 && voters.contains(self.config.replica)
    }

    /// True from the moment the writer stops, before the next turn says so.
    fn is_stopped(&self) -> bool {
        self.disk.is_stopped() || self.queue.has_stopped()
    }

    fn notify(&mut self, notice: Notice) {
        self.out.notices.push(notice);
    }

    fn send(&mut self, to: ReplicaId, envelope: &crate::envelope::Envelope) {
        self.out.messages.push(Outgoing { to, payload: envelope.encode() });
    }

    /// All other members of the group, in order of their ids.
    fn others(&self) -> Vec<ReplicaId> {
        let mut others: Vec<ReplicaId> = self.node.raft.prs().iter().map(|(id, _)| *id).collect();
        others.retain(|id| *id != self.config.replica);
        others.sort_unstable();
        others
    }
}
