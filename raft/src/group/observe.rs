//! What every call into raft may have changed: leader, term, commit index, election ticks.
//! Called after each of them, so that no change between two turns goes unseen.

use raft::StateRole;

use super::{Group, Notice};
use crate::lives;
use crate::marks;
use crate::mistake::Mistake;
use crate::position::ReplicaId;

/// What was last seen of raft.
#[derive(Debug, Default)]
pub(super) struct Seen {
    leader: Option<(Option<ReplicaId>, u64)>,
    role: Option<(StateRole, u64)>,
}

impl Group {
    pub(super) fn observe(&mut self) {
        let raft = &self.node.raft;
        let (role, term) = (raft.state, raft.term);
        let leader = (raft.leader_id != raft::INVALID_ID).then_some(raft.leader_id);
        let role_changed = self.seen.role != Some((role, term));
        self.seen.role = Some((role, term));
        if self.seen.leader != Some((leader, term)) {
            self.seen.leader = Some((leader, term));
            crate::sometimes!(leader.is_none(), "raft: nobody leads");
            self.notify(Notice::LeaderChanged { leader, term });
        }
        if role_changed {
            if role == StateRole::Leader {
                let (group, replica) = (self.config.group, self.config.replica);
                marks::deed(|| marks::Deed::Leads { group, term, replica });
            }
            self.draw_election_timeout();
            if role != StateRole::Leader {
                self.node.mut_store().desk.get_mut().clear();
            }
        }
        // leadership first: what was proposed or asked in another term is never reported as done
        self.observe_epoch();
        self.observe_reads();
        self.observe_commit();
        // raft draws from the system's generator at each reset; our number replaces it
        self.node.raft.set_randomized_election_timeout(self.election_timeout);
    }

    /// Draws at points that depend on the replica's own history only, so that a seed repeats a run. Never the least that is
    /// possible: others give no vote until `election_ticks` after a leader's last word, and ticks of two masters are up to one
    /// apart; who is refused for that waits a whole timeout more.
    pub(super) fn draw_election_timeout(&mut self) {
        let ticks = self.config.election_ticks;
        let more = 1 + self.entropy.next_u64("election") % (ticks as u64 - 1);
        self.election_timeout = ticks + more as usize;
        self.node.raft.set_randomized_election_timeout(self.election_timeout);
    }

    /// A sole voter needs nobody's vote. It does not campaign with writes in flight: raft demands
    /// that a leader's log is persisted, and would panic.
    pub(super) fn campaign_if_alone(&mut self) {
        let raft = &self.node.raft;
        let idle = raft.state != StateRole::Leader && !self.writes_in_flight();
        if idle && raft.promotable() && self.is_sole_voter() {
            crate::sometimes!("raft: who is alone elects itself");
            self.campaign();
        }
    }

    /// Starts an election, unless this replica leads or may not (a learner, a sole voter with writes in flight, or one whose
    /// snapshot is not on disk yet).
    pub fn campaign(&mut self) {
        if self.is_stopped() || self.is_installing() || (self.is_sole_voter() && self.writes_in_flight()) {
            return;
        }
        if let Err(error) = self.node.campaign() {
            slog::debug!(self.log, "election not started"; "error" => %error);
        }
        self.observe();
    }

    /// A mistake, and never without one.
    fn waits_for_a_leader(&self) -> bool {
        self.config.mistake.is(Mistake::WaitsForALeader)
            && !lives::is_first(self.boot)
            && self.node.raft.leader_id == raft::INVALID_ID
    }

    /// One tick of time. After a stall the owner calls it once, not once per missed tick: otherwise a
    /// woken follower would campaign at once, and a woken leader would believe it had led all along.
    pub fn tick(&mut self) {
        self.ticks += 1;
        if self.ticks.is_multiple_of(super::disk::DISK_CHECK_TICKS) {
            self.check_disk();
        }
        if self.is_stopped() {
            return;
        }
        self.tick_snapshots();
        self.ask_strangers();
        let waiting =
            self.node.raft.state != StateRole::Leader && self.is_sole_voter() && self.writes_in_flight();
        if waiting || self.is_installing() || self.waits_for_a_leader() {
            return;
        }
        let before = self.node.raft.msgs.len();
        if self.pace.counts(self.ticks) {
            let elected = self.node.tick() && !self.is_leader();
            if elected {
                self.draw_election_timeout();
            }
        } else if self.is_leader() && self.ticks.is_multiple_of(self.config.heartbeat_ticks as u64) {
            // Slow to give up, not to speak.
            self.node.ping();
        }
        self.ask_all_again(before);
        self.observe();
    }
}
