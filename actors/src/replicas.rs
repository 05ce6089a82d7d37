//! What this master's replicas last saw of their groups: members, progress, load. Whoever needs it looks here, from any
//! thread. Members are what the replica has applied, so they were true at that point of the log; the rest is soft.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock, PoisonError};

use hortator_raft::{GroupStatus, PeerStatus, Role};

/// Shared by the threads of one master.
#[derive(Debug, Default)]
pub struct Replicas {
    seen: Mutex<BTreeMap<u32, Seen>>,
    /// Why this master may not take part any more, in the words of who refused it first.
    refusal: OnceLock<String>,
}

/// One replica's picture of its group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub voters: Vec<u64>,
    /// Those whose vote is needed as well until a joint configuration is left.
    pub outgoing: Vec<u64>,
    pub learners: Vec<u64>,
    pub leads: bool,
    pub commit: u64,
    /// Of the other members; empty unless this replica leads.
    pub peers: Vec<PeerStatus>,
    /// Entries proposed here so far.
    pub proposals: u64,
    /// Live runs, at a shard's leader.
    pub runs: u64,
}

impl Seen {
    pub(crate) fn new(status: &GroupStatus, proposals: u64) -> Seen {
        Seen {
            voters: status.voters.clone(),
            outgoing: status.outgoing.clone(),
            learners: status.learners.clone(),
            leads: status.role == Role::Leader,
            commit: status.commit,
            peers: status.peers.clone(),
            proposals,
            runs: 0,
        }
    }

    /// Whether it is a member, with a vote or without, or one whose vote is still needed.
    pub fn knows(&self, id: u64) -> bool {
        [&self.voters, &self.outgoing, &self.learners].iter().any(|members| members.contains(&id))
    }
}

impl Replicas {
    /// Live runs stay as last told: the deciders tell them.
    pub(crate) fn set(&self, group: u32, seen: Seen) {
        let mut all = self.lock();
        let runs = all.get(&group).map_or(0, |before| before.runs);
        all.insert(group, Seen { runs, ..seen });
    }

    pub(crate) fn set_runs(&self, group: u32, runs: u64) {
        self.lock().entry(group).or_default().runs = runs;
    }

    pub fn all(&self) -> BTreeMap<u32, Seen> {
        self.lock().clone()
    }

    pub fn of(&self, group: u32) -> Seen {
        self.lock().get(&group).cloned().unwrap_or_default()
    }

    /// A replica here has forgotten what it once promised. One is enough: they share a directory.
    pub(crate) fn refuse(&self, reason: &str) {
        self.refusal.get_or_init(|| reason.to_owned());
    }

    pub fn refusal(&self) -> Option<&str> {
        self.refusal.get().map(String::as_str)
    }

    /// Whether any group but that one still has the master as a member.
    pub(crate) fn known_beside(&self, group: u32, id: u64) -> bool {
        self.lock().iter().any(|(other, seen)| *other != group && seen.knows(id))
    }

    /// The masters that the leader of that group, here, has just heard, with this one.
    pub(crate) fn live(&self, group: u32, me: u64) -> BTreeSet<u64> {
        let seen = self.of(group);
        seen.peers.iter().filter(|peer| peer.live).map(|peer| peer.replica).chain([me]).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
