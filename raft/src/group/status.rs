//! A picture of a group for people and metrics.
//! Plain data, copied out.

use raft::{ProgressState, StateRole};

use super::Group;
use crate::position::{GroupId, ReplicaId};

/// A replica's role in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
    /// Has no vote.
    Learner,
    /// The disk is full, or something acknowledged was forgotten.
    Stopped,
}

/// What the leader knows of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The peer.
    pub replica: ReplicaId,
    /// Highest entry known to be on its disk.
    pub matched: u64,
    /// Heard of within an election timeout.
    pub live: bool,
    /// It is being sent a snapshot.
    pub snapshot: bool,
    /// It has a vote.
    pub voter: bool,
}

/// A picture of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// The group.
    pub group: GroupId,
    /// This replica.
    pub replica: ReplicaId,
    /// How often this replica's file has been opened.
    pub boot: u64,
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// The leader, as far as known.
    pub leader: Option<ReplicaId>,
    /// Highest index known to be committed.
    pub commit: u64,
    /// Rows up to this index are visible.
    pub applied: u64,
    /// First index in the log.
    pub first: u64,
    /// Last index in the log.
    pub last: u64,
    /// Last index on this replica's own disk.
    pub persisted: u64,
    /// Bytes of entries in the log, about.
    pub log_bytes: u64,
    /// Bytes waiting for the writer.
    pub queue_bytes: u64,
    /// Jobs waiting for the writer.
    pub queue_jobs: u64,
    /// The epoch open here, at the leader.
    pub epoch: Option<u64>,
    /// Proposals not reported as committed.
    pub proposals: usize,
    /// Voters.
    pub voters: Vec<ReplicaId>,
    /// With a vote as well until a joint configuration is left; none in any other.
    pub outgoing: Vec<ReplicaId>,
    /// Members without a vote.
    pub learners: Vec<ReplicaId>,
    /// At the leader: the other members, in order of their ids.
    pub peers: Vec<PeerStatus>,
    /// A change of the members is under way.
    pub pending_conf: bool,
    /// Below the free-space watermark.
    pub disk_low: bool,
    /// Why the replica has stopped, if it has.
    pub stopped: Option<String>,
}

impl Group {
    /// A picture of the group as it is now.
    pub fn status(&self) -> GroupStatus {
        let raft = &self.node.raft;
        let conf = raft.prs().conf().to_conf_state();
        let sorted = |mut ids: Vec<ReplicaId>| {
            ids.sort_unstable();
            ids
        };
        GroupStatus {
            group: self.config.group,
            replica: self.config.replica,
            boot: self.boot,
            role: self.role(),
            term: raft.term,
            leader: (raft.leader_id != raft::INVALID_ID).then_some(raft.leader_id),
            commit: raft.raft_log.committed,
            applied: self.visible,
            first: self.node.store().first(),
            last: raft.raft_log.last_index(),
            persisted: raft.raft_log.persisted,
            log_bytes: self.sizes.total(),
            queue_bytes: self.queue.bytes(),
            queue_jobs: self.last_job() - self.finished_job,
            epoch: self.epochs.current(),
            proposals: self.epochs.pending(),
            voters: sorted(conf.voters),
            outgoing: sorted(conf.voters_outgoing),
            learners: sorted(conf.learners),
            peers: if self.is_leader() { self.peer_statuses() } else { Vec::new() },
            pending_conf: self.change_pending(),
            disk_low: self.disk.is_low(),
            stopped: self.disk.stopped().cloned(),
        }
    }

    fn role(&self) -> Role {
        if self.is_stopped() {
            return Role::Stopped;
        }
        match self.node.raft.state {
            StateRole::Leader => Role::Leader,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
            StateRole::Follower if self.node.raft.promotable() => Role::Follower,
            StateRole::Follower => Role::Learner,
        }
    }

    fn peer_statuses(&self) -> Vec<PeerStatus> {
        let raft = &self.node.raft;
        let status = |replica: ReplicaId| {
            let progress = raft.prs().get(replica);
            PeerStatus {
                replica,
                matched: progress.map_or(0, |progress| progress.matched),
                live: self.is_live(replica),
                snapshot: progress.is_some_and(|progress| progress.state == ProgressState::Snapshot),
                voter: raft.prs().conf().voters().contains(replica),
            }
        };
        self.others().into_iter().map(status).collect()
    }
}
