//! Creates and opens a group's file, and raises its boot counter before anything else happens.
//! Knows nothing of raft's rules beyond `commit >= applied`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use raft::eraftpb::ConfState;
use redb::{Database, ReadableDatabase};

use super::sum::{Checkpoint, RowSum};
use super::tables::{
    BOOT, CONF, FORMAT, HARD, Hard, IDENTITY, Identity, LIVES, LOG, MARK, Mark, Memory, ROWS, STATE, SUM,
    TRUNCATED, decode_boot, decode_conf, decode_lives, decode_position, decode_sum, encode_boot, encode_conf,
    encode_lives, encode_position, encode_sum, read_peers,
};
use super::transaction::begin;
use crate::backend::{BackendFile, Entropy, FileFlags, StoreBackend};
use crate::config::GroupConfig;
use crate::entry::{barrier_epoch, decode_record, weight};
use crate::lives::{Lives, boot_before_first};
use crate::mistake::Mistake;
use crate::position::{Position, ReplicaId};
use crate::truncation::LogSizes;

/// Why a group could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory refused.
    #[error("cannot reach the group's file")]
    Io(#[from] io::Error),
    /// The file does not open; it is not repaired by guessing.
    #[error("the group's file does not open; replace this replica under a new id")]
    Database(#[source] Box<redb::Error>),
    /// Another process, or a reader of a closed group, still has the file.
    #[error("the group's file is in use")]
    InUse,
    /// The file belongs to another cluster.
    #[error("the group's file belongs to another cluster")]
    OtherCluster,
    /// The file belongs to another group or replica.
    #[error("the group's file belongs to group {group}, replica {replica}")]
    OtherReplica {
        /// The group in the file.
        group: u32,
        /// The replica in the file.
        replica: ReplicaId,
    },
    /// The file was written by a newer version.
    #[error("the group's file has format {0}, this build knows {FORMAT}")]
    Format(u64),
    /// The configuration makes no sense.
    #[error("configuration refused: {0}")]
    Config(String),
    /// raft refused to start on what the file says.
    #[error("raft refused to start")]
    Raft(#[from] raft::Error),
}

impl OpenError {
    /// It opens once there is space: nothing is wrong with the file.
    pub fn is_want_of_space(&self) -> bool {
        matches!(self, OpenError::Io(error) if is_want_of_space(error))
    }

    pub(crate) fn database(error: impl Into<redb::Error>) -> OpenError {
        match error.into() {
            redb::Error::DatabaseAlreadyOpen => OpenError::InUse,
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                OpenError::Database(Box::new(redb::Error::Corrupted(error.to_string())))
            }
            redb::Error::Io(error) => OpenError::Io(error),
            error => OpenError::Database(Box::new(error)),
        }
    }
}

/// True when an error only says that there is no space.
pub(super) fn is_want_of_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// An open database and the state of the file under it.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) database: Database,
    pub(crate) flags: Arc<FileFlags>,
}

/// Everything the file says when a replica starts.
#[derive(Debug)]
pub(crate) struct Boot {
    pub(crate) identity: Identity,
    pub(crate) boot: u64,
    pub(crate) lives: Lives,
    pub(crate) hard: Hard,
    pub(crate) conf: ConfState,
    pub(crate) mark: Mark,
    /// Of all rows.
    pub(crate) sum: RowSum,
    pub(crate) truncated: Position,
    /// Last entry; the truncated position when the log is empty.
    pub(crate) last: Position,
    /// Highest epoch that any entry of the log or the applied state begins.
    pub(crate) epoch_max: u64,
    pub(crate) sizes: LogSizes,
    pub(crate) peers: Vec<(ReplicaId, Memory)>,
}

impl Boot {
    /// The sum of the rows there are.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { index: self.mark.position.index, sum: self.sum.value() }
    }
}

/// Opens a database file of the directory, creating it when missing. All of it is walked from its roots and verified: a
/// page that is not the one its parent names must be found before this replica votes or answers.
pub(crate) fn open_file(
    backend: &dyn StoreBackend,
    name: &str,
    config: &GroupConfig,
) -> Result<OpenFile, OpenError> {
    let opened = backend.open(name).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => OpenError::InUse,
        _ => OpenError::Io(error),
    })?;
    let is_empty = opened.len()? == 0;
    let (file, flags) = BackendFile::new(opened);
    let walked = Arc::new(AtomicBool::new(is_empty));
    let walks = walked.clone();
    let mut database = Database::builder()
        .set_cache_size(config.cache_bytes)
        // told when the store walks the file by itself, which it does after a crash
        .set_repair_callback(move |_| walks.store(true, Ordering::Release))
        .create_with_backend(file)
        .map_err(OpenError::database)?;
    if !walked.load(Ordering::Acquire) {
        // A page that is another is an error, since commits have two phases. What is mended is only which pages are free.
        let _mended = database.check_integrity().map_err(OpenError::database)?;
    }
    Ok(OpenFile { database, flags })
}

/// Opens the group's file, creating it when there is none, and raises the boot counter durably. On a full disk the ballast
/// is given for that.
pub(crate) fn open_group(
    config: &GroupConfig,
    backend: &dyn StoreBackend,
    entropy: &mut dyn Entropy,
) -> Result<(OpenFile, Boot), OpenError> {
    let ballast = config.ballast_file_name();
    match open_within(config, backend, entropy) {
        Err(error) if error.is_want_of_space() && backend.exists(&ballast)? => {
            backend.remove(&ballast)?;
            backend.sync_dir()?;
            open_within(config, backend, entropy)
        }
        opened => opened,
    }
}

/// The same in the space there is.
fn open_within(
    config: &GroupConfig,
    backend: &dyn StoreBackend,
    entropy: &mut dyn Entropy,
) -> Result<(OpenFile, Boot), OpenError> {
    // what a crash left of an unfinished creation or snapshot
    backend.remove(&config.new_file_name())?;
    backend.remove(&config.incoming_file_name())?;
    if !backend.exists(&config.file_name())? {
        create(config, backend, entropy)?;
    }
    let file = open_file(backend, &config.file_name(), config)?;
    let mut boot = read_boot(&file, config)?;
    boot.boot = boot.lives.begin(boot.boot, entropy.next_u64("boot"));
    raise_boot(&file, &boot).map_err(OpenError::database)?;
    Ok((file, boot))
}

fn create(
    config: &GroupConfig,
    backend: &dyn StoreBackend,
    entropy: &mut dyn Entropy,
) -> Result<(), OpenError> {
    let file = open_file(backend, &config.new_file_name(), config)?;
    let identity = Identity {
        cluster_id: config.cluster_id,
        group: config.group,
        replica: config.replica,
        origin: entropy.next_u64("origin"),
    };
    let first = if config.initial_voters.is_empty() { Position::default() } else { Position::FIRST };
    let mark = Mark { position: first, epoch: 0, sequence: 0 };
    write_first(&file, identity, &config.initial_voters, mark).map_err(OpenError::database)?;
    drop(file);
    backend.sync_dir()?;
    backend.rename(&config.new_file_name(), &config.file_name())?;
    backend.sync_dir()?;
    Ok(())
}

/// The state of a file that begins behind `mark`, with an empty log.
pub(super) fn write_first(
    file: &OpenFile,
    identity: Identity,
    voters: &[ReplicaId],
    mark: Mark,
) -> Result<(), redb::Error> {
    let first = mark.position;
    let conf = ConfState { voters: voters.to_vec(), ..ConfState::default() };
    let hard = Hard { term: first.term, vote: 0, commit: first.index };
    let transaction = begin(file, true)?;
    {
        let mut state = transaction.open_table(STATE)?;
        state.insert(IDENTITY, identity.encode().as_slice())?;
        state.insert(BOOT, encode_boot(boot_before_first(identity.origin)).as_slice())?;
        state.insert(HARD, hard.encode().as_slice())?;
        state.insert(CONF, encode_conf(&conf).as_slice())?;
        state.insert(MARK, mark.encode().as_slice())?;
        state.insert(TRUNCATED, encode_position(first).as_slice())?;
        transaction.open_table(LOG)?;
        transaction.open_table(ROWS)?;
    }
    transaction.commit()?;
    Ok(())
}

fn read_boot(file: &OpenFile, config: &GroupConfig) -> Result<Boot, OpenError> {
    let (format, mut boot) = read_state(file).map_err(OpenError::database)?;
    if config.mistake.is(Mistake::AppliesTwice) && boot.mark.position.index > boot.truncated.index + 1 {
        boot.mark.position.index -= 1;
    }
    if format != FORMAT {
        return Err(OpenError::Format(format));
    }
    if boot.identity.cluster_id != config.cluster_id {
        return Err(OpenError::OtherCluster);
    }
    if (boot.identity.group, boot.identity.replica) != (config.group, config.replica) {
        return Err(OpenError::OtherReplica { group: boot.identity.group, replica: boot.identity.replica });
    }
    Ok(boot)
}

fn read_state(file: &OpenFile) -> Result<(u64, Boot), redb::Error> {
    let transaction = file.database.begin_read()?;
    let state = transaction.open_table(STATE)?;
    let get = |key: &'static str| -> Result<Vec<u8>, redb::Error> {
        match state.get(key)? {
            Some(value) => Ok(value.value().to_vec()),
            None => Err(redb::Error::Corrupted(format!("state {key:?} is missing"))),
        }
    };
    let (format, identity) = Identity::decode(&get(IDENTITY)?);
    let truncated = decode_position(&get(TRUNCATED)?);
    let mark = Mark::decode(&get(MARK)?);
    let mut hard = Hard::decode(&get(HARD)?);
    // raft refuses to start with applied beyond commit; what is applied was committed
    hard.commit = hard.commit.max(mark.position.index);
    let kept = state.get(SUM)?.map(|value| decode_sum(value.value()));
    let sum = match kept {
        Some(kept) if kept.index == mark.position.index => RowSum::of(kept.sum),
        // made of given rows, or written by a build that did not keep it
        Some(_) | None => sum_rows(&transaction)?,
    };
    let mut boot = Boot {
        identity,
        boot: decode_boot(&get(BOOT)?),
        lives: state.get(LIVES)?.map(|value| decode_lives(value.value())).unwrap_or_default(),
        hard,
        conf: decode_conf(&get(CONF)?),
        mark,
        sum,
        truncated,
        last: truncated,
        epoch_max: mark.epoch,
        sizes: LogSizes::new(truncated.index),
        peers: read_peers(&state)?,
    };
    scan_log(&transaction, &mut boot)?;
    Ok((format, boot))
}

/// Reads all rows once; from then on the sum is kept.
fn sum_rows(transaction: &redb::ReadTransaction) -> Result<RowSum, redb::Error> {
    let mut sum = RowSum::default();
    for item in transaction.open_table(ROWS)?.range::<&[u8]>(..)? {
        sum.add(item?.1.value());
    }
    Ok(sum)
}

/// Reads the whole log once: it is bounded, and a rotten or missing record is found before any vote.
fn scan_log(transaction: &redb::ReadTransaction, boot: &mut Boot) -> Result<(), redb::Error> {
    for item in transaction.open_table(LOG)?.range::<u64>(..)? {
        let (key, value) = item?;
        let index = key.value();
        if index != boot.last.index + 1 {
            return Err(redb::Error::Corrupted(format!("log has entry {index} after {}", boot.last.index)));
        }
        let entry = decode_record(index, value.value())
            .map_err(|error| redb::Error::Corrupted(format!("log entry {index}: {error}")))?;
        if entry.term < boot.last.term {
            let (term, last) = (entry.term, boot.last.term);
            return Err(redb::Error::Corrupted(format!("log entry {index} is of term {term} after {last}")));
        }
        boot.last = Position { term: entry.term, index };
        boot.sizes.append(index, weight(&entry));
        boot.epoch_max = boot.epoch_max.max(barrier_epoch(&entry).unwrap_or(0));
    }
    if boot.hard.commit > boot.last.index {
        let (commit, last) = (boot.hard.commit, boot.last.index);
        return Err(redb::Error::Corrupted(format!("commit is {commit} but the log ends at {last}")));
    }
    Ok(())
}

fn raise_boot(file: &OpenFile, boot: &Boot) -> Result<(), redb::Error> {
    let transaction = begin(file, true)?;
    {
        let mut state = transaction.open_table(STATE)?;
        state.insert(BOOT, encode_boot(boot.boot).as_slice())?;
        state.insert(LIVES, encode_lives(&boot.lives).as_slice())?;
        state.insert(HARD, boot.hard.encode().as_slice())?;
        state.insert(SUM, encode_sum(boot.checkpoint()).as_slice())?;
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryBackend;

    struct Zero;
    impl Entropy for Zero {
        fn next_u64(&mut self, _stream: &str) -> u64 {
            0
        }
    }

    fn config() -> GroupConfig {
        GroupConfig::new(1, 1, [0; 16], vec![1])
    }

    /// Writes records of these terms from index 2 on, and an applied mark; opens again.
    fn reopened(terms: &[u64], applied: u64) -> Result<Boot, OpenError> {
        let backend = MemoryBackend::new();
        let (file, _) = open_group(&config(), &backend, &mut Zero)?;
        let transaction = file.database.begin_write().expect("begins");
        {
            let mut log = transaction.open_table(LOG).expect("a table");
            let mut record = Vec::new();
            for (index, term) in (2..).zip(terms) {
                let entry = raft::eraftpb::Entry { index, term: *term, ..Default::default() };
                crate::entry::encode_record(&entry, &mut record);
                log.insert(index, record.as_slice()).expect("inserts");
            }
            let mark = Mark { position: Position { term: 1, index: applied }, epoch: 0, sequence: 0 };
            let mut state = transaction.open_table(STATE).expect("a table");
            state.insert(MARK, mark.encode().as_slice()).expect("inserts");
        }
        transaction.commit().expect("commits");
        drop(file);
        open_group(&config(), &backend, &mut Zero).map(|(_, boot)| boot)
    }

    #[test]
    fn commit_is_raised_to_applied() {
        let boot = reopened(&[1, 1, 2], 3).expect("opens");
        assert_eq!((boot.hard.commit, boot.mark.position.index), (3, 3));
        assert_eq!((boot.boot >> 16, boot.last), (2, Position { term: 2, index: 4 }), "its second boot");
    }

    #[test]
    fn a_log_that_cannot_be_is_not_repaired() {
        for (terms, applied) in [(vec![2, 1], 1), (vec![1], 9)] {
            assert!(matches!(reopened(&terms, applied), Err(OpenError::Database(_))), "{terms:?} {applied}");
        }
    }
}
