//! Groups' files on a real disk: one directory, one lock per file, one thread per writer.
//! Knows nothing of what is in the files; `hortator-raft` decides what is written and when it is synced.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use hortator_actors::histogram::Histogram;
use hortator_actors::observe::SlowBoard;
use hortator_proto::api::SlowOne;
use hortator_raft::{StoreBackend, Writer};
use redb::BackendError;
use redb::backends::FileBackend;

/// Extension of the files whose name is locked against a second process; the others are short-lived.
const LOCKED_EXTENSION: &str = "redb";
/// Name of the lock of the whole directory: taken before any file is touched.
const DIRECTORY_LOCK: &str = "lock";

/// A directory of groups' files.
#[derive(Debug)]
pub struct FileStore {
    directory: PathBuf,
    /// Held for as long as the store lives.
    _lock: File,
    writers: Mutex<Vec<JoinHandle<()>>>,
    syncs: Arc<Syncs>,
}

/// Of all its files.
#[derive(Debug, Default)]
struct Syncs {
    count: AtomicU64,
    took: Mutex<BTreeMap<u32, Arc<Histogram>>>,
    slow: SlowBoard,
}

impl FileStore {
    /// Syncs of its files so far.
    pub fn syncs(&self) -> u64 {
        self.syncs.count.load(Ordering::Relaxed)
    }

    /// How long they took, by group.
    pub fn sync_times(&self) -> BTreeMap<u32, Arc<Histogram>> {
        self.lock_times().clone()
    }

    /// Slowest first.
    pub fn slow_syncs(&self, count: usize) -> Vec<SlowOne> {
        self.syncs.slow.top(count)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn lock_times(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, Arc<Histogram>>> {
        self.syncs.took.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a directory, creating it (and making its name durable) when missing. Fails with
    /// [`io::ErrorKind::WouldBlock`] when another process has it.
    pub fn open(directory: &Path) -> io::Result<FileStore> {
        create_directory(directory)?;
        let lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(directory.join(DIRECTORY_LOCK))?;
        take_lock(&lock)?;
        Ok(FileStore {
            directory: directory.into(),
            _lock: lock,
            writers: Mutex::default(),
            syncs: Arc::default(),
        })
    }

    /// Waits until all writers have ended. Drop their groups first; the writers then finish what is queued.
    pub fn join_writers(&self) {
        let writers = std::mem::take(&mut *self.writers.lock().unwrap_or_else(PoisonError::into_inner));
        for writer in writers {
            // a writer that panicked has already said so
            let _ = writer.join();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// `group-3.redb` and its passing companions belong to group 3.
fn group_of(name: &str) -> u32 {
    let digits = name.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    digits
        .split(|letter: char| !letter.is_ascii_digit())
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

/// Creates a directory and its parents, each made durable in its own parent.
fn create_directory(directory: &Path) -> io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_directory(parent)?;
    }
    match std::fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let parent = directory.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

fn take_lock(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            Err(io::Error::new(io::ErrorKind::WouldBlock, "the data directory is in use by another process"))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}

impl StoreBackend for FileStore {
    fn open(&self, name: &str) -> io::Result<Box<dyn redb::StorageBackend>> {
        let path = self.path(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        if path.extension().is_some_and(|extension| extension == LOCKED_EXTENSION) {
            take_lock(&file)?;
        }
        let inner = FileBackend::new(file.try_clone()?).map_err(io::Error::other)?;
        let group = group_of(name);
        let took = self.lock_times().entry(group).or_default().clone();
        let syncs = self.syncs.clone();
        Ok(Box::new(LockedFile { inner, file, released: AtomicBool::new(false), group, took, syncs }))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.path(name).try_exists()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.directory)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let space = nix::sys::statvfs::statvfs(&self.directory)?;
        // what an unprivileged process may use
        #[allow(clippy::useless_conversion, reason = "the width of these fields differs between systems")]
        let (blocks, size) = (u64::from(space.blocks_available()), u64::from(space.fragment_size()));
        Ok(blocks.saturating_mul(size))
    }

    fn start_writer(&self, name: &str, writer: Writer) {
        let started = std::thread::Builder::new().name(name.into()).spawn(move || writer.run());
        match started {
            Ok(handle) => self.writers.lock().unwrap_or_else(PoisonError::into_inner).push(handle),
            // the writer was dropped with the closure: its group notices and stops for good
            Err(error) => panic!("no thread for writer {name}: {error}"),
        }
    }
}

/// redb's file with the lock held from opening to closing. redb takes no lock of its own on it.
#[derive(Debug)]
struct LockedFile {
    inner: FileBackend,
    file: File,
    released: AtomicBool,
    group: u32,
    took: Arc<Histogram>,
    syncs: Arc<Syncs>,
}

impl redb::StorageBackend for LockedFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.syncs.count.fetch_add(1, Ordering::Relaxed);
        let began = Instant::now();
        let synced = self.inner.sync_data();
        let took = began.elapsed();
        self.took.add(took);
        self.syncs.slow.note(took, || format!("sync of group {}", self.group));
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        if self.released.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.inner.close()?;
        self.file.unlock()
    }

    fn try_lock_range(&self, _start: Bound<u64>, _end: Bound<u64>) -> Result<bool, BackendError> {
        Err(BackendError::Unsupported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_belongs_to_one_process_at_a_time() {
        let home = tempfile::tempdir().expect("a directory");
        let nested = home.path().join("a/b");
        let store = FileStore::open(&nested).expect("opens");
        assert_eq!(FileStore::open(&nested).expect_err("taken").kind(), io::ErrorKind::WouldBlock);
        drop(store);
        FileStore::open(&nested).expect("free again");
    }

    #[test]
    fn a_file_is_locked_until_it_is_closed() {
        let home = tempfile::tempdir().expect("a directory");
        let store = FileStore::open(home.path()).expect("opens");
        let file = store.open("group-1.redb").expect("opens");
        assert!(store.open("group-1.redb").is_err());
        file.write(0, b"x").expect("writes");
        file.close().expect("closes");
        store.open("group-1.redb").expect("free again");
        store.remove("group-1.redb").expect("removes");
        store.remove("group-1.redb").expect("nothing to remove");
        assert!(store.free_bytes().expect("known") > 0);
    }
}
