//! raft's view of the log: the entries still in memory above those in the file.
//! Reads only; the writer changes the file, and this view is told at once what it will hold.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use protobuf2::Message as _;
use raft::eraftpb::{Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};
use redb::ReadableDatabase;

use crate::entry::{decode_record, weight};
use crate::position::{Position, ReplicaId};
use crate::snapshot_desk::SnapshotDesk;
use crate::store::{Boot, Current, LOG, fatal};

/// Bytes of entries kept in memory after they are written and applied: what followers usually ask for.
const TAIL_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The log as raft sees it.
#[derive(Debug)]
pub(crate) struct LogStore {
    current: Arc<Current>,
    start: RaftState,
    /// Consecutive entries that end with the last one; all entries in flight are among them.
    tail: VecDeque<Entry>,
    tail_bytes: u64,
    truncated: Position,
    last: Position,
    /// Interior mutability because raft asks for a snapshot through `&self`.
    pub(crate) desk: RefCell<SnapshotDesk>,
}

impl LogStore {
    pub(crate) fn new(current: Arc<Current>, boot: &Boot, desk: SnapshotDesk) -> LogStore {
        LogStore {
            current,
            start: RaftState::new(HardState::from(boot.hard), boot.conf.clone()),
            tail: VecDeque::new(),
            tail_bytes: 0,
            truncated: boot.truncated,
            last: boot.last,
            desk: RefCell::new(desk),
        }
    }

    pub(crate) fn last(&self) -> Position {
        self.last
    }

    pub(crate) fn first(&self) -> u64 {
        self.truncated.index + 1
    }

    /// Takes entries that the writer is about to be given; an append at i forgets everything at and after i.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            return;
        };
        assert!(first.index > self.truncated.index && first.index <= self.last.index + 1, "a gap in the log");
        while self.tail.back().is_some_and(|entry| entry.index >= first.index) {
            self.tail_bytes -= self.tail.pop_back().map_or(0, |entry| weight(&entry));
        }
        self.tail_bytes += entries.iter().map(weight).sum::<u64>();
        self.tail.extend(entries.iter().cloned());
        self.last = Position { term: last.term, index: last.index };
    }

    /// Lets go of entries that are in the file and handed over, as far as memory demands.
    pub(crate) fn trim(&mut self, settled: u64) {
        while self.tail_bytes > TAIL_BYTES_MAX
            && self.tail.front().is_some_and(|entry| entry.index <= settled)
        {
            self.tail_bytes -= self.tail.pop_front().map_or(0, |entry| weight(&entry));
        }
    }

    /// Forgets entries up to `position`; the writer cuts them later.
    pub(crate) fn truncate(&mut self, position: Position) {
        self.truncated = position;
        while self.tail.front().is_some_and(|entry| entry.index <= position.index) {
            self.tail_bytes -= self.tail.pop_front().map_or(0, |entry| weight(&entry));
        }
    }

    /// A snapshot takes the place of the whole log.
    pub(crate) fn restore(&mut self, position: Position) {
        self.tail.clear();
        self.tail_bytes = 0;
        self.truncated = position;
        self.last = position;
    }

    fn tail_first(&self) -> u64 {
        self.tail.front().map_or(self.last.index + 1, |entry| entry.index)
    }

    fn read_file(
        &self,
        low: u64,
        high: u64,
        size: &mut Budget,
        found: &mut Vec<Entry>,
    ) -> Result<(), redb::Error> {
        let Some(file) = self.current.file() else {
            return Err(redb::Error::DatabaseClosed);
        };
        let transaction = file.database.begin_read()?;
        let log = transaction.open_table(LOG)?;
        for item in log.range(low..high)? {
            let (key, record) = item?;
            let entry = decode_record(key.value(), record.value())
                .unwrap_or_else(|error| fatal(format_args!("log entry {}: {error}", key.value())));
            if !size.takes(&entry) {
                return Ok(());
            }
            found.push(entry);
        }
        Ok(())
    }

    fn term_in_file(&self, index: u64) -> Result<u64, raft::Error> {
        let mut found = Vec::new();
        if !settled(self.read_file(index, index + 1, &mut Budget::new(None), &mut found)) {
            return Err(StorageError::Unavailable.into());
        }
        found.first().map(|entry| entry.term).ok_or(raft::Error::Store(StorageError::Unavailable))
    }
}

/// Counts sizes as raft does: at least one entry, then up to the limit.
struct Budget {
    left: Option<u64>,
    taken: u64,
}

impl Budget {
    fn new(limit: Option<u64>) -> Budget {
        Budget { left: limit.filter(|limit| *limit != raft::NO_LIMIT), taken: 0 }
    }

    fn takes(&mut self, entry: &Entry) -> bool {
        let Some(left) = self.left else { return true };
        let size = u64::from(entry.compute_size());
        if self.taken > 0 && size > left {
            self.left = Some(0);
            return false;
        }
        self.taken += 1;
        self.left = Some(left.saturating_sub(size));
        true
    }
}

/// False when the file cannot be read because the writer has just stopped (a full disk, a crash in a
/// simulation): raft must not take that for a verdict, and the group falls silent before it says anything.
fn settled(read: Result<(), redb::Error>) -> bool {
    match read {
        Ok(()) => true,
        Err(redb::Error::DatabaseClosed | redb::Error::PreviousIo) => false,
        Err(error) => fatal(format_args!("the log cannot be read: {error}")),
    }
}

impl Storage for LogStore {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(self.start.clone())
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.truncated.index {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        // As if it had been cut already, for one follower that is behind: it is sent a snapshot.
        if context.can_async()
            && crate::buggify!("raft: a snapshot in place of entries", crate::marks::rare(400_000, low))
        {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        assert!(
            high <= self.last.index + 1,
            "entries up to {high} of a log that ends at {}",
            self.last.index
        );
        let mut budget = Budget::new(max_size.into());
        let mut found = Vec::new();
        let tail_first = self.tail_first();
        if low < tail_first {
            let file_high = high.min(tail_first);
            if !settled(self.read_file(low, file_high, &mut budget, &mut found)) {
                return Ok(Vec::new());
            }
            if low + (found.len() as u64) < file_high {
                // the limit, or (fatal for raft) something missing
                return if found.is_empty() { Err(StorageError::Unavailable.into()) } else { Ok(found) };
            }
        }
        for index in low.max(tail_first)..high {
            let entry = &self.tail[(index - tail_first) as usize];
            if !budget.takes(entry) {
                break;
            }
            found.push(entry.clone());
        }
        Ok(found)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.truncated.index {
            return Ok(self.truncated.term);
        }
        if index < self.truncated.index {
            return Err(raft::Error::Store(StorageError::Compacted));
        }
        if index > self.last.index {
            return Err(raft::Error::Store(StorageError::Unavailable));
        }
        if index == self.last.index {
            return Ok(self.last.term);
        }
        let tail_first = self.tail_first();
        match index.checked_sub(tail_first) {
            Some(offset) => Ok(self.tail[offset as usize].term),
            None => self.term_in_file(index),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first())
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last.index)
    }

    fn snapshot(&self, request_index: u64, to: ReplicaId) -> raft::Result<Snapshot> {
        self.desk.borrow_mut().open(request_index, to)
    }
}
