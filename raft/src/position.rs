//! Names for groups, replicas and places in a group's log.
//! Plain numbers; knows nothing of how they come about.

/// A raft group of the cluster: one log, one file, one set of rows.
pub type GroupId = u32;

/// One replica of a group. Never 0, and never used again after the replica was removed.
pub type ReplicaId = u64;

/// A place in a group's log. The index alone does not identify an entry: two leaders may have
/// written different entries under the same index, and only one of them is ever committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Term of the leader that wrote the entry.
    pub term: u64,
    /// Index in the log, from 1.
    pub index: u64,
}

/// Byte length of an encoded [`Position`].
pub(crate) const POSITION_BYTES: usize = 16;

impl Position {
    /// First index and term of a new group. Not 0, so that an empty replica must take a snapshot
    /// and learns the first voters from it instead of replaying a log that never named them.
    pub(crate) const FIRST: Position = Position { term: 1, index: 1 };

    pub(crate) fn to_bytes(self) -> [u8; POSITION_BYTES] {
        let mut bytes = [0; POSITION_BYTES];
        bytes[..8].copy_from_slice(&self.term.to_be_bytes());
        bytes[8..].copy_from_slice(&self.index.to_be_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: [u8; POSITION_BYTES]) -> Position {
        let (term, index) = bytes.split_at(8);
        Position {
            term: u64::from_be_bytes(term.try_into().expect("8 bytes")),
            index: u64::from_be_bytes(index.try_into().expect("8 bytes")),
        }
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}
