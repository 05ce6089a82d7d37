//! Masters on their way into and out of a cluster, and what a join token is for.
//! Must not know raft: who has a vote in which group is compared with this elsewhere.

use serde::{Deserialize, Serialize};

use crate::id::Name;

/// Most masters of a cluster: more voters make every commit wait for more disks and protect no better.
pub const MASTERS_MAX: usize = 7;

/// A master's way: it never goes back, and its id is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MasterState {
    /// It catches up with every group, and then gets its votes.
    Joining,
    /// It has a vote in every group.
    Member,
    /// It hands over what it leads and loses its votes.
    Leaving,
    /// No group knows it any more.
    Removed,
}

/// What a join token lets in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinRole {
    Master { name: Name },
    Worker,
}

/// Who shows a join token, and what others need to know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Joiner {
    /// Addresses (`HOST:PORT`) at which others will reach it.
    Master {
        peer: String,
        worker: String,
        api: String,
    },
    Worker {
        name: Name,
    },
}

/// As what a node was let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JoinedAs {
    Master { id: u64 },
    Worker { name: Name },
}

impl MasterState {
    /// Whether it is to have a vote, now or soon.
    pub fn belongs(self) -> bool {
        matches!(self, MasterState::Joining | MasterState::Member)
    }

    pub fn word(self) -> &'static str {
        match self {
            MasterState::Joining => "joining",
            MasterState::Member => "member",
            MasterState::Leaving => "leaving",
            MasterState::Removed => "removed",
        }
    }
}
