//! Settings of one group, with the bounds and the reason for each.
//! Plain data; nothing is read from anywhere.

use crate::mistake::Mistake;
use crate::position::{GroupId, ReplicaId};

const MIB: u64 = 1024 * 1024;

/// Entries kept behind what is applied, in production: a follower that was away for a moment needs no snapshot.
pub const LOG_KEEP_ENTRIES: u64 = 10_000;

/// Settings of one group on one replica.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// Which group; part of the file's name.
    pub group: GroupId,
    /// Which replica this is; not 0.
    pub replica: ReplicaId,
    /// The cluster's identity; a file or a peer of another one is refused.
    pub cluster_id: [u8; 16],
    /// Voters of a group that is created now; used only when the directory has no such group yet.
    /// Empty for a replica that joins a running group and waits for a snapshot.
    pub initial_voters: Vec<ReplicaId>,
    /// Ticks between two heartbeats.
    pub heartbeat_ticks: usize,
    /// Ticks of silence before an election at the earliest; the actual number is drawn from 1x to 2x.
    pub election_ticks: usize,
    /// Bytes of entries in one message to a peer.
    pub max_size_per_msg: u64,
    /// Messages to one peer that may be unanswered.
    pub max_inflight_msgs: usize,
    /// Bytes of proposals that may be uncommitted; above it proposals are refused.
    pub max_uncommitted_bytes: u64,
    /// Bytes of committed entries handed to the writer at a time.
    pub max_committed_bytes_per_ready: u64,
    /// Entries kept in the log behind what is applied, so that a follower catches up without a snapshot.
    pub log_keep_entries: u64,
    /// Bytes of log kept at most, also for a slow follower; beyond it the follower gets a snapshot.
    pub log_keep_bytes: u64,
    /// Bytes of redb's page cache.
    pub cache_bytes: usize,
    /// Free bytes on the disk below which ordinary proposals are refused.
    pub disk_low_bytes: u64,
    /// Bytes of a file that is kept only to be given back when the disk is low; 0 for none.
    pub ballast_bytes: u64,
    /// First bytes of keys: readers may ask which rows of these kinds have changed, see [`crate::Rows::changed`]. Whoever
    /// writes such rows deletes them one by one, never as a range.
    pub watched: &'static [u8],
    /// What this replica does wrong on purpose.
    pub mistake: Mistake,
}

impl GroupConfig {
    /// The production settings.
    pub fn new(
        group: GroupId,
        replica: ReplicaId,
        cluster_id: [u8; 16],
        initial_voters: Vec<ReplicaId>,
    ) -> Self {
        GroupConfig {
            group,
            replica,
            cluster_id,
            initial_voters,
            heartbeat_ticks: 2,
            election_ticks: 10,
            // raft's own defaults are extreme: one entry per message, no bound on the rest
            max_size_per_msg: MIB,
            max_inflight_msgs: 256,
            max_uncommitted_bytes: 64 * MIB,
            max_committed_bytes_per_ready: 16 * MIB,
            log_keep_entries: LOG_KEEP_ENTRIES,
            log_keep_bytes: 64 * MIB,
            cache_bytes: 16 * MIB as usize,
            disk_low_bytes: 256 * MIB,
            ballast_bytes: 16 * MIB,
            watched: &[],
            mistake: Mistake::None,
        }
    }

    /// Name of the group's file in its directory.
    pub fn file_name(&self) -> String {
        format!("group-{}.redb", self.group)
    }

    pub(crate) fn new_file_name(&self) -> String {
        format!("group-{}.new", self.group)
    }

    pub(crate) fn incoming_file_name(&self) -> String {
        format!("group-{}.incoming", self.group)
    }

    pub(crate) fn ballast_file_name(&self) -> String {
        format!("group-{}.ballast", self.group)
    }
}
