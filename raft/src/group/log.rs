//! The log as people look at it: which entry holds what.
//! Reads only, and never more than a look is worth.

use bytes::Bytes;
use protobuf2::Message as _;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType};
use raft::{GetEntriesContext, Storage};

use super::Group;
use crate::Batch;
use crate::entry::{Payload, weight};

/// Entries given at a time; the driver's thread waits for the file meanwhile.
pub const LOOK_ENTRIES_MAX: u64 = 200;
/// Bytes of entries given at a time.
const LOOK_BYTES_MAX: u64 = 4 << 20;

/// An entry of the log, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// What it costs in the log.
    pub bytes: u64,
    /// What it says.
    pub content: LogContent,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogContent {
    /// A leader's first entry.
    Nothing,
    /// Begins an epoch.
    Barrier {
        /// The epoch.
        epoch: u64,
    },
    /// Writes rows.
    Rows {
        /// Epoch of the proposal.
        epoch: u64,
        /// Its number in the epoch.
        sequence: u64,
        /// The writes.
        batch: Batch,
    },
    /// Changes the members.
    Members(String),
    /// This build cannot read it.
    Unknown(String),
}

impl Group {
    /// Entries from an index on, as far as they are still in the log; at most [`LOOK_ENTRIES_MAX`].
    pub fn log(&self, from: u64, limit: u64) -> Vec<LogEntry> {
        let store = self.node.store();
        let first = from.max(store.first());
        let end = first.saturating_add(limit.min(LOOK_ENTRIES_MAX)).min(store.last().index + 1);
        if self.is_stopped() || first >= end {
            return Vec::new();
        }
        let entries = store.entries(first, end, LOOK_BYTES_MAX, GetEntriesContext::empty(false));
        entries.unwrap_or_default().iter().map(taken_apart).collect()
    }
}

fn taken_apart(entry: &Entry) -> LogEntry {
    let content = match entry.get_entry_type() {
        EntryType::EntryNormal => content(&entry.data),
        EntryType::EntryConfChange | EntryType::EntryConfChangeV2 => members(&entry.data),
    };
    LogEntry { index: entry.index, term: entry.term, bytes: weight(entry), content }
}

fn content(data: &Bytes) -> LogContent {
    match Payload::parse(data) {
        Ok(Payload::Nothing) => LogContent::Nothing,
        Ok(Payload::Barrier { epoch }) => LogContent::Barrier { epoch },
        Ok(Payload::Batch { epoch, sequence, batch }) => match Batch::decode(&batch) {
            Ok(batch) => LogContent::Rows { epoch, sequence, batch },
            Err(error) => LogContent::Unknown(error.to_string()),
        },
        Err(error) => LogContent::Unknown(error.to_string()),
    }
}

fn members(data: &Bytes) -> LogContent {
    match ConfChangeV2::parse_from_bytes(data) {
        Ok(change) => {
            let change = change.changes.iter().map(|change| {
                let kind = format!("{:?}", change.get_change_type());
                format!("{} {}", kind.to_lowercase(), change.node_id)
            });
            LogContent::Members(change.collect::<Vec<_>>().join(", "))
        }
        Err(error) => LogContent::Unknown(error.to_string()),
    }
}
