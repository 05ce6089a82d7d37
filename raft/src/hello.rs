//! The handshake that exposes an emptied or restored directory.
//! Pure comparison of what a peer says now with what it said before; needs no leader.

use bytes::Buf;

use crate::lives::{LIVES_BYTES, Lives};
use crate::position::{GroupId, Position, ReplicaId};
use crate::store::Memory;

const HELLO_BYTES: usize = 16 + 4 + 8 * 6 + LIVES_BYTES;

/// Who a replica is, and what its file holds durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The cluster's identity.
    pub cluster_id: [u8; 16],
    /// The group.
    pub group: GroupId,
    /// The sender.
    pub replica: ReplicaId,
    /// Drawn when the sender's file was first created.
    pub origin: u64,
    /// Of the sender's file; a later one has a greater number.
    pub boot: u64,
    /// What tells its boots from those of another history.
    pub lives: Lives,
    /// The sender's term, on its disk.
    pub term: u64,
    /// The sender's commit index, on its disk.
    pub commit: u64,
    /// The end of the sender's log.
    pub last: u64,
}

/// A replica has forgotten what it once had: it must not vote, and rejoins under a new id.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Amnesia {
    /// Not this cluster.
    #[error("replica {0} belongs to another cluster")]
    OtherCluster(ReplicaId),
    /// Not this group, or not the replica it claims to be.
    #[error("replica {0} says it is another group or replica")]
    OtherReplica(ReplicaId),
    /// This replica itself: a leader knows that it acknowledged more than its log holds.
    #[error(
        "replica {from} knows that entry {commit} was acknowledged here, but the log ends at {last}; \
         remove this replica and let it rejoin under a new id"
    )]
    Forgotten {
        /// The leader.
        from: ReplicaId,
        /// What was acknowledged.
        commit: u64,
        /// What is there.
        last: u64,
    },
    /// The file was created anew.
    #[error(
        "replica {0} has a new, empty directory under an old id; remove it and let it rejoin under a new id"
    )]
    Emptied(ReplicaId),
    /// The boot counter went back.
    #[error(
        "the directory of replica {peer} was restored: boot {boot} after boot {remembered}; let it rejoin under a new id"
    )]
    BootWentBack {
        /// The peer.
        peer: ReplicaId,
        /// What it says.
        boot: u64,
        /// What it said before.
        remembered: u64,
    },
    /// It has counted as far as is remembered, and was never in the boot that is.
    #[error(
        "the directory of replica {peer} was restored: boot {boot} has another past than boot {remembered}; let it rejoin under a new id"
    )]
    OtherPast {
        /// The peer.
        peer: ReplicaId,
        /// What it says.
        boot: u64,
        /// What it said before.
        remembered: u64,
    },
    /// Term or commit index went back.
    #[error(
        "the directory of replica {peer} was restored: term {term}, commit {commit} \
         after term {remembered_term}, commit {remembered_commit}; let it rejoin under a new id"
    )]
    StateWentBack {
        /// The peer.
        peer: ReplicaId,
        /// What it says.
        term: u64,
        /// What it says.
        commit: u64,
        /// What it said before.
        remembered_term: u64,
        /// What it said before.
        remembered_commit: u64,
    },
}

impl Amnesia {
    /// True for what a word says that was said long ago and comes only now.
    pub(crate) fn may_be_overtaken(&self) -> bool {
        match self {
            Amnesia::Emptied(_)
            | Amnesia::BootWentBack { .. }
            | Amnesia::OtherPast { .. }
            | Amnesia::StateWentBack { .. } => true,
            Amnesia::OtherCluster(_) | Amnesia::OtherReplica(_) | Amnesia::Forgotten { .. } => false,
        }
    }
}

impl Hello {
    /// Appends the encoding: fixed length, little-endian.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.cluster_id);
        out.extend_from_slice(&self.group.to_le_bytes());
        for value in [self.replica, self.origin, self.boot, self.term, self.commit, self.last] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(&self.lives.encode());
    }

    /// Reads what [`Hello::encode`] wrote; nothing when the length is wrong.
    pub fn decode(bytes: &[u8]) -> Option<Hello> {
        if bytes.len() != HELLO_BYTES {
            return None;
        }
        let (cluster_id, mut rest) = bytes.split_first_chunk::<16>()?;
        Some(Hello {
            cluster_id: *cluster_id,
            group: rest.get_u32_le(),
            replica: rest.get_u64_le(),
            origin: rest.get_u64_le(),
            boot: rest.get_u64_le(),
            term: rest.get_u64_le(),
            commit: rest.get_u64_le(),
            last: rest.get_u64_le(),
            lives: Lives::decode(rest)?,
        })
    }

    /// True of a replica that holds nothing but what a file has when it is made.
    pub(crate) fn is_blank(&self) -> bool {
        self.last <= Position::FIRST.index
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory { origin: self.origin, boot: self.boot, term: self.term, commit: self.commit }
    }

    /// Compares with what the peer said before.
    pub(crate) fn judge(&self, remembered: &Memory) -> Result<(), Amnesia> {
        let peer = self.replica;
        if self.origin != remembered.origin {
            return Err(Amnesia::Emptied(peer));
        }
        if self.lives.contradict(self.boot, remembered.boot) {
            return Err(Amnesia::OtherPast { peer, boot: self.boot, remembered: remembered.boot });
        }
        if self.boot < remembered.boot {
            return Err(Amnesia::BootWentBack { peer, boot: self.boot, remembered: remembered.boot });
        }
        if self.term < remembered.term || self.commit < remembered.commit {
            return Err(Amnesia::StateWentBack {
                peer,
                term: self.term,
                commit: self.commit,
                remembered_term: remembered.term,
                remembered_commit: remembered.commit,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that a boot's own one counts in.
    const ONE: u64 = 1 << 16;
    const BEFORE: Memory = Memory { origin: 5, boot: 3 * ONE + 1, term: 7, commit: 100 };

    fn hello(origin: u64, boot: u64, term: u64, commit: u64) -> Hello {
        let (cluster_id, lives) = ([1; 16], Lives::default());
        Hello { cluster_id, group: 2, replica: 3, origin, boot, lives, term, commit, last: commit }
    }

    #[test]
    fn a_truthful_peer_passes_and_a_forgetful_one_does_not() {
        let (same, next, later) = (BEFORE.boot, BEFORE.boot + ONE, BEFORE.boot + 6 * ONE);
        for good in [hello(5, same, 7, 100), hello(5, next, 7, 100), hello(5, later, 8, 200)] {
            assert_eq!(good.judge(&BEFORE), Ok(()));
        }
        assert_eq!(hello(6, next, 7, 100).judge(&BEFORE), Err(Amnesia::Emptied(3)));
        assert!(matches!(hello(5, same - ONE, 7, 100).judge(&BEFORE), Err(Amnesia::BootWentBack { .. })));
        assert!(matches!(hello(5, same + 1, 7, 100).judge(&BEFORE), Err(Amnesia::OtherPast { .. })));
        assert!(matches!(hello(5, same - 1, 7, 100).judge(&BEFORE), Err(Amnesia::OtherPast { .. })));
        assert!(matches!(hello(5, next, 6, 100).judge(&BEFORE), Err(Amnesia::StateWentBack { .. })));
        assert!(matches!(hello(5, next, 7, 99).judge(&BEFORE), Err(Amnesia::StateWentBack { .. })));
    }

    #[test]
    fn decodes_what_it_encoded() {
        let mut bytes = Vec::new();
        hello(1, 2, 3, 4).encode(&mut bytes);
        assert_eq!(bytes.len(), HELLO_BYTES);
        assert_eq!(Hello::decode(&bytes), Some(hello(1, 2, 3, 4)));
        assert_eq!(Hello::decode(&bytes[1..]), None);
    }
}
