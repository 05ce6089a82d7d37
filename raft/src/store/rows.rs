//! Reading the applied rows, from any thread.
//! Sees whole entries only; knows nothing of raft, and never changes anything.

use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use bytes::Bytes;
use redb::{ReadOnlyTable, ReadTransaction, ReadableDatabase};

use super::changes::{Changed, Changes, Cursor};
use super::fatal::fatal;
use super::file::OpenFile;
use super::seeding::Seed;
use super::sum::{Checkpoint, RowSum, Sums};
use super::tables::{CONF, MARK, Mark, ROWS, STATE, SUM, decode_conf, decode_sum};
use crate::position::{POSITION_BYTES, Position};

const CRC_BYTES: usize = 4;

/// A row: its value and the entry that last wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What was put.
    pub value: Bytes,
    /// Position of the entry that put it.
    pub written: Position,
}

/// Why rows could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The group is closed or stopped; its rows come back with the next [`crate::Group::open`].
    #[error("the group is not open")]
    Closed,
    /// The file could not be read.
    #[error("the group's file could not be read")]
    Database(#[source] Box<redb::Error>),
}

impl ReadError {
    /// A file that is not what was written ends the replica, as a row does whose checksum is wrong.
    fn database(error: impl Into<redb::Error>) -> ReadError {
        match error.into() {
            redb::Error::Corrupted(said) => fatal(format_args!("the file is rotten: {said}")),
            redb::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                fatal(format_args!("the file is rotten: {error}"))
            }
            error => ReadError::Database(Box::new(error)),
        }
    }
}

/// The file in use, shared by the group, the writer and all readers; a snapshot swaps it.
#[derive(Debug)]
pub(crate) struct Current {
    file: RwLock<Option<Arc<OpenFile>>>,
    applied: AtomicU64,
    pub(crate) sums: Sums,
    pub(crate) changes: Changes,
}

impl Current {
    pub(crate) fn new(file: OpenFile, applied: u64) -> Current {
        let changes = Changes::default();
        changes.restart(applied);
        Current {
            file: RwLock::new(Some(Arc::new(file))),
            applied: AtomicU64::new(applied),
            sums: Sums::default(),
            changes,
        }
    }

    pub(crate) fn file(&self) -> Option<Arc<OpenFile>> {
        self.file.read().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    pub(crate) fn replace(&self, file: Option<Arc<OpenFile>>) {
        *self.file.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = file;
    }

    pub(crate) fn applied(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    pub(crate) fn set_applied(&self, index: u64) {
        self.applied.store(index, Ordering::Release);
    }
}

/// A reader of a group's applied rows. Cheap to clone; usable from any thread.
#[derive(Clone, Debug)]
pub struct Rows {
    current: Arc<Current>,
}

impl Rows {
    pub(crate) fn new(current: Arc<Current>) -> Rows {
        Rows { current }
    }

    /// Rows of all entries up to this index are visible.
    pub fn applied(&self) -> u64 {
        self.current.applied.load(Ordering::Acquire)
    }

    /// Which rows of the watched kinds have changed since the last call with that cursor; later reads show at least that.
    pub fn changed(&self, cursor: &mut Cursor) -> Changed {
        self.current.changes.since(cursor)
    }

    /// The newest sums of the rows: after an entry for which every replica keeps it, and after the last one.
    pub fn newest_sums(&self) -> Vec<Checkpoint> {
        self.current.sums.newest()
    }

    /// All sums that are kept, by rising index.
    pub fn sums(&self) -> Vec<Checkpoint> {
        self.current.sums.all()
    }

    /// The sum after that entry, when it is kept.
    pub fn sum_at(&self, index: u64) -> Option<u64> {
        self.current.sums.at(index)
    }

    /// One row, or nothing.
    pub fn get(&self, key: &[u8]) -> Result<Option<Row>, ReadError> {
        self.read()?.get(key)
    }

    /// Rows with `from <= key < to`, at most `limit`, from the first on or (`reverse`) from the last
    /// back. An empty `to` means no upper end.
    pub fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<(Bytes, Row)>, ReadError> {
        self.read()?.scan(from, to, limit, reverse)
    }

    /// Rows whose key begins with `prefix`, at most `limit`, in order of keys.
    pub fn scan_prefix(&self, prefix: &[u8], limit: usize) -> Result<Vec<(Bytes, Row)>, ReadError> {
        self.read()?.scan_prefix(prefix, limit)
    }

    /// A view for several reads of the same state. It keeps old pages of the file alive: drop it soon.
    pub fn read(&self) -> Result<RowsView, ReadError> {
        let file = self.current.file().ok_or(ReadError::Closed)?;
        let transaction = file.database.begin_read().map_err(ReadError::database)?;
        let rows = transaction.open_table(ROWS).map_err(ReadError::database)?;
        Ok(RowsView { rows, transaction, _file: file })
    }
}

/// The rows of one moment.
pub struct RowsView {
    // dropped before the database they read from
    rows: ReadOnlyTable<&'static [u8], &'static [u8]>,
    transaction: ReadTransaction,
    _file: Arc<OpenFile>,
}

impl std::fmt::Debug for RowsView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowsView").finish_non_exhaustive()
    }
}

impl RowsView {
    /// The last entry whose rows this view shows.
    pub fn applied(&self) -> Result<Position, ReadError> {
        Ok(self.mark()?.position)
    }

    /// See [`Rows::get`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Row>, ReadError> {
        let found = self.rows.get(key).map_err(ReadError::database)?;
        Ok(found.map(|stored| decode_row(key, stored.value())))
    }

    /// See [`Rows::scan`].
    pub fn scan(
        &self,
        from: &[u8],
        to: &[u8],
        limit: usize,
        reverse: bool,
    ) -> Result<Vec<(Bytes, Row)>, ReadError> {
        if !to.is_empty() && from >= to {
            return Ok(Vec::new());
        }
        let end = if to.is_empty() { Bound::Unbounded } else { Bound::Excluded(to) };
        let mut range =
            self.rows.range::<&[u8]>((Bound::Included(from), end)).map_err(ReadError::database)?;
        let mut found = Vec::new();
        while found.len() < limit {
            let next = if reverse { range.next_back() } else { range.next() };
            let Some(item) = next else { break };
            let (key, stored) = item.map_err(ReadError::database)?;
            let row = decode_row(key.value(), stored.value());
            found.push((Bytes::copy_from_slice(key.value()), row));
        }
        Ok(found)
    }

    /// The first keys of `from <= key < to`, at most `limit`, without their values.
    pub fn keys(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Bytes>, ReadError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let range = self.rows.range::<&[u8]>(from..to).map_err(ReadError::database)?;
        range
            .take(limit)
            .map(|item| Ok(Bytes::copy_from_slice(item.map_err(ReadError::database)?.0.value())))
            .collect()
    }

    /// Of all rows, see [`crate::marks::row_digest`].
    pub fn digest(&self) -> Result<u64, ReadError> {
        let mut digest = 0u64;
        for item in self.rows.range::<&[u8]>(..).map_err(ReadError::database)? {
            let (key, stored) = item.map_err(ReadError::database)?;
            let row = decode_row(key.value(), stored.value());
            digest = digest.wrapping_add(crate::marks::row_digest(key.value(), &row.value, row.written));
        }
        Ok(digest)
    }

    /// See [`Rows::scan_prefix`].
    pub fn scan_prefix(&self, prefix: &[u8], limit: usize) -> Result<Vec<(Bytes, Row)>, ReadError> {
        self.scan(prefix, &after_prefix(prefix), limit, false)
    }

    /// Rows after `after`, from the first on without it: as many as `bytes_max` hold, and one at least. True when more
    /// follow.
    pub fn page(
        &self,
        after: Option<&[u8]>,
        bytes_max: usize,
    ) -> Result<(Vec<(Bytes, Row)>, bool), ReadError> {
        let chunk = self.chunk(after, bytes_max)?;
        let stored = chunk_rows(&chunk.bytes).expect("it was encoded just now");
        let row = |(key, stored): (&[u8], &[u8])| (Bytes::copy_from_slice(key), decode_row(key, stored));
        Ok((stored.into_iter().map(row).collect(), chunk.more_after.is_some()))
    }

    /// Where a group would go on that is made of these rows.
    pub fn seed(&self) -> Result<Seed, ReadError> {
        let Mark { position, epoch, .. } = self.mark()?;
        Ok(Seed { position, epoch })
    }

    /// Reads every row, whatever it takes, and compares what there is with what was kept while it was written.
    pub fn audit(&self) -> Result<Audit, ReadError> {
        let position = self.applied()?;
        let kept = decode_sum(&self.state(SUM)?);
        let mut audit = Audit { position, rows: 0, bytes: 0, broken: 0, kept: kept.sum, counted: 0 };
        let mut sum = RowSum::default();
        for item in self.rows.range::<&[u8]>(..).map_err(ReadError::database)? {
            let (key, stored) = item.map_err(ReadError::database)?;
            let (key, stored) = (key.value(), stored.value());
            audit.rows += 1;
            audit.bytes += (key.len() + stored.len()) as u64;
            audit.broken += u64::from(body(key, stored).is_none());
            sum.add(stored);
        }
        audit.counted = sum.value();
        Ok(audit)
    }

    pub(crate) fn mark(&self) -> Result<Mark, ReadError> {
        self.state(MARK).map(|bytes| Mark::decode(&bytes))
    }

    pub(crate) fn conf(&self) -> Result<raft::eraftpb::ConfState, ReadError> {
        self.state(CONF).map(|bytes| decode_conf(&bytes))
    }

    fn state(&self, key: &'static str) -> Result<Vec<u8>, ReadError> {
        let state = self.transaction.open_table(STATE).map_err(ReadError::database)?;
        match state.get(key).map_err(ReadError::database)? {
            Some(value) => Ok(value.value().to_vec()),
            None => fatal(format_args!("state {key:?} is missing")),
        }
    }

    /// Rows after `after` as they lie in the file, up to `bytes_max`, for a snapshot chunk.
    /// Gives the encoded rows, their number, and the last key, or no key when there are no more rows.
    pub(crate) fn chunk(&self, after: Option<&[u8]>, bytes_max: usize) -> Result<Chunk, ReadError> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.rows.range::<&[u8]>((start, Bound::Unbounded)).map_err(ReadError::database)?;
        let mut chunk = Chunk { bytes: Vec::new(), rows: 0, more_after: None };
        let mut last: Option<Vec<u8>> = None;
        for item in range {
            let (key, stored) = item.map_err(ReadError::database)?;
            let (key, stored) = (key.value(), stored.value());
            // What is rotten here must end this replica and not the one that asks.
            if !is_whole(key, stored) {
                broken(key);
            }
            let size = 8 + key.len() + stored.len();
            if chunk.rows > 0 && chunk.bytes.len() + size > bytes_max {
                chunk.more_after = last;
                break;
            }
            chunk.bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
            chunk.bytes.extend_from_slice(key);
            chunk.bytes.extend_from_slice(&(stored.len() as u32).to_le_bytes());
            chunk.bytes.extend_from_slice(stored);
            chunk.rows += 1;
            last = Some(key.to_vec());
        }
        Ok(chunk)
    }
}

/// What reading every row has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// The last entry whose rows were read.
    pub position: Position,
    /// How many rows there are.
    pub rows: u64,
    /// Of keys and values, as they are stored.
    pub bytes: u64,
    /// Rows whose own checksum does not match.
    pub broken: u64,
    /// The sum as it was kept while rows were written.
    pub kept: u64,
    /// The sum of what there is.
    pub counted: u64,
}

/// A piece of a snapshot.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) rows: u64,
    pub(crate) more_after: Option<Vec<u8>>,
}

/// The rows of a chunk, as (key, stored value); nothing when the bytes are not a chunk.
pub(crate) fn chunk_rows(mut bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    fn part<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        *bytes = rest;
        Some(part)
    }
    let mut rows = Vec::new();
    while !bytes.is_empty() {
        rows.push((part(&mut bytes)?, part(&mut bytes)?));
    }
    Some(rows)
}

/// The first key after all keys with this prefix; empty when there is none.
fn after_prefix(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.last_mut() {
        if *last < u8::MAX {
            *last += 1;
            break;
        }
        end.pop();
    }
    end
}

/// A stored row is position, value, checksum; the sum covers the key, so a misplaced row is noticed.
pub(super) fn encode_row(key: &[u8], written: Position, value: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&written.to_bytes());
    out.extend_from_slice(value);
    let crc = row_crc(key, out);
    out.extend_from_slice(&crc.to_le_bytes());
}

fn decode_row(key: &[u8], stored: &[u8]) -> Row {
    let Some(body) = body(key, stored) else { broken(key) };
    match body.split_first_chunk::<POSITION_BYTES>() {
        Some((position, value)) => {
            Row { value: Bytes::copy_from_slice(value), written: Position::from_bytes(*position) }
        }
        None => fatal(format_args!("row {:?} is cut short", Bytes::copy_from_slice(key))),
    }
}

/// The verdict on a row of this replica's own file.
fn broken(key: &[u8]) -> ! {
    fatal(format_args!("checksum of row {:?} does not match", Bytes::copy_from_slice(key)))
}

/// Whether a stored row is what was written.
pub(crate) fn is_whole(key: &[u8], stored: &[u8]) -> bool {
    body(key, stored).is_some_and(|body| body.len() >= POSITION_BYTES)
}

/// A stored row without its checksum; nothing when it does not match.
fn body<'s>(key: &[u8], stored: &'s [u8]) -> Option<&'s [u8]> {
    let (body, crc) = stored.split_last_chunk::<CRC_BYTES>()?;
    (row_crc(key, body) == u32::from_le_bytes(*crc)).then_some(body)
}

fn row_crc(key: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix() {
        assert_eq!(after_prefix(b"ab"), b"ac");
        assert_eq!(after_prefix(&[1, 255, 255]), [2]);
        assert!(after_prefix(&[255, 255]).is_empty());
    }

    #[test]
    fn a_row_comes_back_and_a_misplaced_one_is_a_verdict() {
        let mut stored = Vec::new();
        let written = Position { term: 3, index: 9 };
        encode_row(b"key", written, b"value", &mut stored);
        assert_eq!(decode_row(b"key", &stored), Row { value: Bytes::from_static(b"value"), written });
        assert!(std::panic::catch_unwind(|| decode_row(b"kez", &stored)).is_err());
    }
    struct Zero;
    impl crate::Entropy for Zero {
        fn next_u64(&mut self, _stream: &str) -> u64 {
            7
        }
    }

    type Stored<'a> = redb::Table<'a, &'static [u8], &'static [u8]>;

    #[test]
    fn an_audit_finds_what_was_changed_behind_the_writer() {
        let backend = crate::memory::MemoryBackend::new();
        let config = crate::GroupConfig::new(3, 1, [4; 16], vec![1]);
        let (file, boot) = super::super::open_group(&config, &backend, &mut Zero).expect("opens");
        let rows = Rows::new(Arc::new(Current::new(file, boot.mark.position.index)));
        let file = rows.current.file().expect("open");
        let tampered = |change: &dyn Fn(&mut Stored<'_>)| {
            let transaction = super::super::transaction::begin(&file, false).expect("begins");
            change(&mut transaction.open_table(ROWS).expect("a table"));
            transaction.commit().expect("commits");
            rows.read().expect("readable").audit().expect("readable")
        };
        let clean = tampered(&|_| {});
        assert_eq!((clean.rows, clean.broken, clean.counted), (0, 0, clean.kept));
        let mut stored = Vec::new();
        encode_row(b"a", Position { term: 1, index: 2 }, b"value", &mut stored);
        let added = tampered(&|table| drop(table.insert(&b"a"[..], &stored[..]).expect("inserts")));
        assert_eq!((added.rows, added.broken), (1, 0));
        let chunk = || rows.read().expect("readable").chunk(None, usize::MAX).expect("readable").rows;
        assert_eq!(chunk(), 1);
        assert_ne!(added.counted, added.kept);
        let rotten = tampered(&|table| drop(table.insert(&b"a"[..], &b"rotten"[..]).expect("inserts")));
        assert_eq!((rotten.rows, rotten.broken), (1, 1));
        let sent = std::panic::catch_unwind(std::panic::AssertUnwindSafe(chunk));
        assert!(sent.is_err(), "a snapshot carries it to no one");
        assert_ne!(rotten.counted, rotten.kept);
        let gone = tampered(&|table| drop(table.remove(&b"a"[..]).expect("removes")));
        assert_eq!((gone.rows, gone.counted), (0, gone.kept));
    }
}
