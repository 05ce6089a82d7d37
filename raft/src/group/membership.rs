//! Who is in the group: requests for changes, their outcome at apply, and handing leadership over.
//! One change at a time; learner first, and voters leave by way of learner.

use protobuf2::Message as _;
use raft::eraftpb::{ConfChangeSingle, ConfChangeTransition, ConfChangeType, ConfChangeV2, ConfState};

use super::{Group, Notice};
use crate::marks;
use crate::mistake::Mistake;
use crate::position::{Position, ReplicaId};

/// Entries a learner may lack when it is promoted: few enough to be there within a round trip.
const PROMOTE_LAG_MAX: u64 = 1_000;

/// A change of the members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfChange {
    /// Adds a replica that follows without a vote.
    AddLearner(ReplicaId),
    /// Gives a learner that has caught up a vote.
    Promote(ReplicaId),
    /// Takes a voter's vote; not the leader's, not the last one.
    Demote(ReplicaId),
    /// Removes a learner. Its id never comes back.
    Remove(ReplicaId),
    /// Promotes one and demotes the other in one change, through a joint configuration.
    Swap {
        /// The learner to promote.
        promote: ReplicaId,
        /// The voter to demote.
        demote: ReplicaId,
    },
}

/// A request for a change, never reused in a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfChangeId(pub u64);

/// Why a change was not asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfChangeError {
    /// Not the leader.
    #[error("this replica does not lead the group")]
    NotLeader,
    /// Another change, or the leader's first entry, is not applied yet.
    #[error("another change is under way")]
    Pending,
    /// The replica is already a member.
    #[error("replica {0} is already a member")]
    AlreadyMember(ReplicaId),
    /// The replica is no learner.
    #[error("replica {0} is not a learner; only learners are promoted or removed")]
    NotLearner(ReplicaId),
    /// The replica is no voter.
    #[error("replica {0} is not a voter")]
    NotVoter(ReplicaId),
    /// The learner lacks too many entries, or is silent.
    #[error("replica {peer} has entry {matched}, but {committed} are committed")]
    Behind {
        /// The learner.
        peer: ReplicaId,
        /// What it has.
        matched: u64,
        /// What is committed.
        committed: u64,
    },
    /// The leader cannot take its own vote; hand leadership over first.
    #[error("replica {0} leads the group; hand leadership over first")]
    Leader(ReplicaId),
    /// raft dropped or refused the change.
    #[error("raft refused the change")]
    Refused,
}

/// Why leadership was not handed over.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TransferError {
    /// Not the leader.
    #[error("this replica does not lead the group")]
    NotLeader,
    /// The target has no vote, or is this replica.
    #[error("replica {0} cannot take over")]
    NotVoter(ReplicaId),
    /// The target has been silent for an election timeout.
    #[error("replica {0} is silent")]
    Silent(ReplicaId),
}

/// The request that is under way.
#[derive(Debug, Default)]
pub(super) struct Membership {
    count: u64,
    pending: Option<Pending>,
}

#[derive(Debug)]
struct Pending {
    id: ConfChangeId,
    position: Position,
    context: Vec<u8>,
}

impl Group {
    /// Leader only: asks for a change. [`Notice::ConfChanged`] with the id or
    /// [`Notice::ConfChangeRefused`] follows when the entry is applied here.
    pub fn propose_conf_change(&mut self, change: ConfChange) -> Result<ConfChangeId, ConfChangeError> {
        if self.is_stopped() || !self.is_leader() {
            return Err(ConfChangeError::NotLeader);
        }
        if self.change_pending() {
            return Err(ConfChangeError::Pending);
        }
        self.check_change(change)?;
        self.membership.count += 1;
        let id = ConfChangeId(self.membership.count);
        let context: Vec<u8> =
            [self.config.replica, self.boot, id.0].iter().flat_map(|value| value.to_be_bytes()).collect();
        let position =
            Position { term: self.node.raft.term, index: self.node.raft.raft_log.last_index() + 1 };
        let proposed = self.node.propose_conf_change(context.clone(), self.wording(change));
        // raft replaces a refused change silently by an empty entry
        let entry = self.node.raft.raft_log.unstable_entries().last();
        let taken = proposed.is_ok() && entry.is_some_and(|entry| entry.context == context);
        self.observe();
        if !taken {
            return Err(ConfChangeError::Refused);
        }
        crate::sometimes!("raft: members are to change");
        self.membership.pending = Some(Pending { id, position, context });
        Ok(id)
    }

    /// A single change needs no joint configuration; now and then it goes by way of one.
    fn wording(&self, change: ConfChange) -> ConfChangeV2 {
        let mut wording = change.to_raft();
        if self.config.mistake.is(Mistake::StaysJoint) {
            wording.set_transition(ConfChangeTransition::Explicit);
        } else if crate::buggify!("raft: members change by way of a joint configuration", 300_000) {
            wording.set_transition(ConfChangeTransition::Implicit);
        }
        wording
    }

    pub(super) fn change_pending(&self) -> bool {
        self.node.raft.has_pending_conf() || self.membership.pending.is_some() || self.in_joint()
    }

    /// Leader only: asks a voter to take over. It happens within an election timeout or not at all; until
    /// then proposals are refused, so drain them and end the epoch first.
    pub fn transfer_leader(&mut self, to: ReplicaId) -> Result<(), TransferError> {
        if self.is_stopped() || !self.is_leader() {
            return Err(TransferError::NotLeader);
        }
        if to == self.config.replica || !self.node.raft.prs().conf().voters().contains(to) {
            return Err(TransferError::NotVoter(to));
        }
        if !self.is_live(to) {
            return Err(TransferError::Silent(to));
        }
        self.node.transfer_leader(to);
        self.observe();
        Ok(())
    }

    /// Heard of within an election timeout.
    pub(super) fn is_live(&self, peer: ReplicaId) -> bool {
        let heard = self.peers.get(&peer).and_then(|peer| peer.heard_at);
        heard.is_some_and(|tick| self.ticks - tick <= self.config.election_ticks as u64)
    }

    fn check_change(&self, change: ConfChange) -> Result<(), ConfChangeError> {
        let conf = self.node.raft.prs().conf();
        let learner = |id: ReplicaId| match conf.learners().contains(&id) {
            true => Ok(()),
            false => Err(ConfChangeError::NotLearner(id)),
        };
        let demotable = |id: ReplicaId| match id {
            _ if id == self.config.replica => Err(ConfChangeError::Leader(id)),
            _ if !conf.voters().contains(id) => Err(ConfChangeError::NotVoter(id)),
            _ => Ok(()),
        };
        match change {
            ConfChange::AddLearner(id) => match id == 0 || self.node.raft.prs().get(id).is_some() {
                true => Err(ConfChangeError::AlreadyMember(id)),
                false => Ok(()),
            },
            ConfChange::Promote(id) => learner(id).and_then(|()| self.check_caught_up(id)),
            ConfChange::Demote(id) => demotable(id),
            ConfChange::Remove(id) => learner(id),
            ConfChange::Swap { promote, demote } => {
                learner(promote)?;
                self.check_caught_up(promote)?;
                demotable(demote)
            }
        }
    }

    /// `matched` is of the leader's own term: raft resets it with every election.
    fn check_caught_up(&self, peer: ReplicaId) -> Result<(), ConfChangeError> {
        let committed = self.node.raft.raft_log.committed;
        let matched = self.node.raft.prs().get(peer).map_or(0, |progress| progress.matched);
        if matched == 0 || matched + PROMOTE_LAG_MAX < committed || !self.is_live(peer) {
            return Err(ConfChangeError::Behind { peer, matched, committed });
        }
        Ok(())
    }

    fn in_joint(&self) -> bool {
        *self.node.raft.prs().conf().auto_leave()
    }

    /// raft forgets to leave a joint configuration when the leader that entered it steps down: each
    /// new leader looks, once its own first entry is applied.
    pub(super) fn leave_joint(&mut self) {
        if self.is_leader() && self.in_joint() && !self.node.raft.has_pending_conf() {
            crate::sometimes!("raft: a new leader leaves a joint configuration");
            slog::info!(self.log, "leaving a joint configuration");
            if let Err(error) = self.node.propose_conf_change(Vec::new(), ConfChangeV2::default()) {
                slog::warn!(self.log, "joint configuration not left yet"; "error" => %error);
            }
            self.observe();
        }
    }

    /// An entry is handed over; when it stands where the request stood, this is the request's outcome.
    pub(super) fn membership_passed(&mut self, position: Position, context: &[u8]) -> Option<ConfChangeId> {
        let pending = self.membership.pending.take_if(|pending| pending.position.index <= position.index)?;
        if pending.position == position && pending.context == context {
            return Some(pending.id);
        }
        crate::sometimes!("raft: a change of members came to nothing");
        self.notify(Notice::ConfChangeRefused { id: pending.id });
        None
    }

    pub(super) fn on_conf_applied(&mut self, conf: &ConfState, position: Position, context: &[u8]) {
        let id = self.membership_passed(position, context);
        slog::info!(self.log, "members changed"; "index" => position.index, "conf" => ?conf);
        let (group, replica, Position { term, index }) = (self.config.group, self.config.replica, position);
        if marks::is_heard() {
            let learners = [&conf.learners[..], &conf.learners_next[..]].concat();
            let (voters, outgoing, learners) = (&conf.voters[..], &conf.voters_outgoing[..], &learners[..]);
            marks::deed(|| marks::Deed::Members { group, replica, index, term, voters, outgoing, learners });
        }
        self.notify(changed(conf, id));
        self.greet_all();
    }

    pub(super) fn on_snapshot_taken(&mut self, conf: &ConfState) {
        // what the skipped entries said about a request is not known; the members are
        if let Some(pending) = self.membership.pending.take() {
            self.notify(Notice::ConfChangeRefused { id: pending.id });
        }
        self.notify(changed(conf, None));
    }
}

fn changed(conf: &ConfState, id: Option<ConfChangeId>) -> Notice {
    let sorted = |ids: &[ReplicaId]| {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids
    };
    Notice::ConfChanged { voters: sorted(&conf.voters), learners: sorted(&conf.learners), id }
}

impl ConfChange {
    fn to_raft(self) -> ConfChangeV2 {
        let single = |kind, id| {
            let mut single = ConfChangeSingle { node_id: id, ..ConfChangeSingle::default() };
            single.set_change_type(kind);
            single
        };
        let changes = match self {
            ConfChange::AddLearner(id) => vec![single(ConfChangeType::AddLearnerNode, id)],
            ConfChange::Promote(id) => vec![single(ConfChangeType::AddNode, id)],
            ConfChange::Demote(id) => vec![single(ConfChangeType::AddLearnerNode, id)],
            ConfChange::Remove(id) => vec![single(ConfChangeType::RemoveNode, id)],
            ConfChange::Swap { promote, demote } => {
                vec![single(ConfChangeType::AddNode, promote), single(ConfChangeType::AddLearnerNode, demote)]
            }
        };
        let mut change = ConfChangeV2::default();
        change.set_changes(changes.into());
        debug_assert!(change.compute_size() > 0, "an empty change would leave a joint configuration");
        change
    }
}
