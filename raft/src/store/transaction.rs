//! Turns queued jobs into one transaction of redb.
//! The only code that changes log, state and rows; applies what entries say without looking at the meaning.

use std::borrow::Cow;

use bytes::Bytes;
use redb::{Durability, Table, WriteTransaction};

use super::fatal::fatal;
use super::file::OpenFile;
use super::queue::{Job, JobKind, WriteJob};
use super::rows::encode_row;
use super::sum::{Checkpoint, RowSum, is_checkpoint};
use super::tables::{
    CONF, HARD, Hard, LOG, MARK, Mark, ROWS, STATE, SUM, TRUNCATED, encode_position, encode_sum, peer_key,
};
use crate::batch::{Batch, Write};
use crate::config::GroupConfig;
use crate::entry::{Payload, encode_record};
use crate::mistake::Mistake;
use crate::position::Position;

type LogTable<'t> = Table<'t, u64, &'static [u8]>;
type RowsTable<'t> = Table<'t, &'static [u8], &'static [u8]>;

/// What the writer remembers between transactions.
#[derive(Debug)]
pub(super) struct Written {
    /// Last hard state handed to redb, on disk or not; a snapshot's file gets it before the rename.
    pub(super) hard: Hard,
    /// Last entry in the log table.
    pub(super) last: u64,
    /// A cut that waits for a durable transaction: until then the rows it rests on may be lost.
    pub(super) truncate: Option<Position>,
    /// Of all rows, as handed to redb.
    pub(super) sum: RowSum,
    /// Sums that readers do not know of yet.
    pub(super) checkpoints: Vec<Checkpoint>,
    /// Keys of the watched kinds with their entries' indexes, that readers do not know of yet.
    pub(super) changed: Vec<(u64, Bytes)>,
    watched: &'static [u8],
    mistake: Mistake,
    buffer: Vec<u8>,
}

impl Written {
    pub(super) fn new(hard: Hard, last: u64, sum: RowSum, config: &GroupConfig) -> Written {
        Written {
            hard,
            last,
            truncate: None,
            sum,
            checkpoints: Vec::new(),
            changed: Vec::new(),
            watched: config.watched,
            mistake: config.mistake,
            buffer: Vec::new(),
        }
    }

    fn note_change(&mut self, index: u64, key: &Bytes) {
        if key.first().is_some_and(|kind| self.watched.contains(kind)) {
            self.changed.push((index, Bytes::copy_from_slice(key)));
        }
    }
}

/// Begins a transaction: durable ones in two phases, so that the last one is whole after a crash; the others only in
/// memory.
pub(super) fn begin(file: &OpenFile, durable: bool) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = file.database.begin_write()?;
    if durable {
        transaction.set_two_phase_commit(true);
    } else {
        transaction.set_durability(Durability::None)?;
    }
    Ok(transaction)
}

/// Writes all jobs in one transaction.
pub(super) fn write(
    file: &OpenFile,
    jobs: &[Job],
    written: &mut Written,
    durable: bool,
) -> Result<(), redb::Error> {
    let durable = durable && !written.mistake.is(Mistake::SkipsSyncs);
    let two_steps = written.mistake.is(Mistake::AppliesInTwoSteps);
    let transaction = begin(file, durable)?;
    write_tables(&transaction, jobs, written, durable, if two_steps { Rows::Left } else { Rows::Written })?;
    transaction.commit()?;
    if two_steps {
        let transaction = begin(file, durable)?;
        write_rows(&transaction, jobs, written)?;
        transaction.commit()?;
    }
    Ok(())
}

/// What becomes of rows in a transaction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    Written,
    /// A mistake: they come in a transaction of their own.
    Left,
}

fn write_rows(
    transaction: &WriteTransaction,
    jobs: &[Job],
    written: &mut Written,
) -> Result<(), redb::Error> {
    let applied =
        || jobs.iter().filter_map(write_of).flat_map(|job| &job.apply).flat_map(|apply| &apply.entries);
    if applied().next().is_none() {
        return Ok(());
    }
    let mut rows = transaction.open_table(ROWS)?;
    for entry in applied() {
        apply_entry(&mut rows, entry, written)?;
        if is_checkpoint(entry.index) {
            let sum = written.sum.value();
            written.checkpoints.push(Checkpoint { index: entry.index, sum });
        }
    }
    Ok(())
}

fn write_of(job: &Job) -> Option<&WriteJob> {
    match &job.kind {
        JobKind::Write(job) => Some(job),
        _ => None,
    }
}

fn write_tables(
    transaction: &WriteTransaction,
    jobs: &[Job],
    written: &mut Written,
    durable: bool,
    what: Rows,
) -> Result<(), redb::Error> {
    // A table that is opened is written again, and most transactions change one or two of the three.
    let appends = jobs.iter().filter_map(write_of).any(|job| !job.entries.is_empty());
    let cuts =
        written.truncate.is_some() || jobs.iter().filter_map(write_of).any(|job| job.truncate.is_some());
    let mut log = (appends || cuts).then(|| transaction.open_table(LOG)).transpose()?;
    let mut news = News::new();
    let mut hard = None;
    let mut conf = None;
    let mut mark = None;
    for job in jobs {
        match &job.kind {
            JobKind::Write(job) => {
                if let Some(log) = &mut log {
                    append(log, job, written)?;
                }
                hard = job.hard.or(hard);
                written.truncate = job.truncate.or(written.truncate);
                if let Some(apply) = &job.apply {
                    conf = apply.conf.as_ref().or(conf);
                    mark = Some(apply.mark);
                }
            }
            JobKind::Remember { peer, memory } => {
                news.push((peer_key(*peer).into(), memory.encode()));
            }
            other => fatal(format_args!("{other:?} does not belong into a transaction")),
        }
    }
    if what == Rows::Written {
        write_rows(transaction, jobs, written)?;
    }
    if let Some(hard) = hard {
        let vote = if written.mistake.is(Mistake::ForgetsItsVote) { 0 } else { hard.vote };
        let hard = Hard { vote, ..hard };
        // Whoever opens the file takes what is applied for committed: the mark says it already.
        let promises = (hard.term, hard.vote) != (written.hard.term, written.hard.vote);
        if promises || mark.is_none_or(|mark: Mark| mark.position.index < hard.commit) {
            news.push((HARD.into(), hard.encode()));
        }
        written.hard = hard;
    }
    if let Some(conf) = conf {
        news.push((CONF.into(), conf.clone()));
    }
    if let Some(mark) = mark {
        news.push((MARK.into(), mark.encode()));
        let sum = Checkpoint { index: mark.position.index, sum: written.sum.value() };
        news.push((SUM.into(), encode_sum(sum)));
    }
    if durable
        && let Some(log) = &mut log
        && let Some(position) = written.truncate.take()
    {
        log.retain_in(..=position.index, |_, _| false)?;
        news.push((TRUNCATED.into(), encode_position(position)));
    }
    write_state(transaction, &news)
}

/// What changes in the state's table, which is opened only if there is any.
type News = Vec<(Cow<'static, str>, Vec<u8>)>;

fn write_state(transaction: &WriteTransaction, news: &News) -> Result<(), redb::Error> {
    if news.is_empty() {
        return Ok(());
    }
    let mut state = transaction.open_table(STATE)?;
    for (key, value) in news {
        state.insert(key.as_ref(), value.as_slice())?;
    }
    Ok(())
}

/// An append at i removes everything at and after i first.
fn append(log: &mut LogTable<'_>, job: &WriteJob, written: &mut Written) -> Result<(), redb::Error> {
    let (Some(first), Some(last)) = (job.entries.first(), job.entries.last()) else {
        return Ok(());
    };
    if first.index <= written.last {
        log.retain_in(first.index.., |_, _| false)?;
    } else if first.index != written.last + 1 {
        fatal(format_args!("append at {} after {}", first.index, written.last));
    }
    for entry in &job.entries {
        encode_record(entry, &mut written.buffer);
        log.insert(entry.index, written.buffer.as_slice())?;
    }
    written.last = last.index;
    Ok(())
}

fn apply_entry(
    rows: &mut RowsTable<'_>,
    entry: &raft::eraftpb::Entry,
    written: &mut Written,
) -> Result<(), redb::Error> {
    if entry.get_entry_type() != raft::eraftpb::EntryType::EntryNormal {
        return Ok(());
    }
    let batch = match Payload::parse(&entry.data) {
        Ok(Payload::Nothing | Payload::Barrier { .. }) => return Ok(()),
        Ok(Payload::Batch { batch, .. }) => batch,
        Err(error) => fatal(format_args!("entry {}: {error}", entry.index)),
    };
    let batch =
        Batch::decode(&batch).unwrap_or_else(|error| fatal(format_args!("entry {}: {error}", entry.index)));
    let computes = written.mistake.is(Mistake::ComputesWhenItApplies);
    let term = if computes { written.hard.term } else { entry.term };
    let position = Position { term, index: entry.index };
    for write in &batch.writes {
        if let Write::Put { key, .. } | Write::Delete { key } = write {
            written.note_change(entry.index, key);
        }
        let Written { buffer, sum, .. } = &mut *written;
        match write {
            Write::Put { key, value } => {
                encode_row(key, position, value, buffer);
                put(rows, key, buffer, sum)?;
            }
            Write::PutAtIndex { prefix, value } => {
                let key = [prefix.as_ref(), &entry.index.to_be_bytes()].concat();
                encode_row(&key, position, value, buffer);
                put(rows, &key, buffer, sum)?;
            }
            Write::Delete { key } => {
                if let Some(old) = rows.remove(key.as_ref())? {
                    sum.take(old.value());
                }
            }
            Write::DeleteRange { from, to } => {
                if from < to {
                    rows.retain_in(from.as_ref()..to.as_ref(), |_, old| {
                        sum.take(old);
                        false
                    })?;
                }
            }
        }
    }
    Ok(())
}

fn put(rows: &mut RowsTable<'_>, key: &[u8], stored: &[u8], sum: &mut RowSum) -> Result<(), redb::Error> {
    if let Some(old) = rows.insert(key, stored)? {
        sum.take(old.value());
    }
    sum.add(stored);
    Ok(())
}
