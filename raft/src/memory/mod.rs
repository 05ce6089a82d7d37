//! A directory in memory that forgets at a crash what was not synced: for tests and simulations.
//! Can be full, fail a sync, rot, and crash at any single operation; knows nothing of what the files mean.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

mod disk;
mod image;

use self::disk::Disk;
use self::image::Image;
use crate::backend::StoreBackend;
use crate::store::{Step, Writer};

pub use self::disk::Crash;

/// A directory in memory. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryBackend {
    disk: Arc<Mutex<Disk>>,
    writers: Arc<Mutex<BTreeMap<String, Writer>>>,
}

impl std::fmt::Debug for MemoryBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryBackend").field("names", &self.disk().names).finish_non_exhaustive()
    }
}

impl MemoryBackend {
    /// An empty directory without limits.
    pub fn new() -> MemoryBackend {
        MemoryBackend::default()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn writers(&self) -> MutexGuard<'_, BTreeMap<String, Writer>> {
        self.writers.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Ends the life of everything opened so far, and keeps of the files what `crash` says. Drop the
    /// groups and rows of this life as well; they cannot reach the files any more.
    pub fn crash(&self, crash: Crash) {
        self.disk().dead = true;
        // dead before dropped: redb writes when it is closed in order
        self.writers().clear();
        self.disk().crash(crash);
    }

    /// Lets one writer do one step; nothing when there is no such writer.
    pub fn step_writer(&self, name: &str) -> Option<Step> {
        let mut writer = self.writers().remove(name)?;
        let step = writer.run_one();
        if step != Step::Ended {
            self.writers().insert(name.into(), writer);
        }
        Some(step)
    }

    /// Lets all writers do all their work.
    pub fn run_writers(&self) {
        for name in self.writer_names() {
            while self.step_writer(&name) == Some(Step::Worked) {}
        }
    }

    /// Names of the files, in order.
    pub fn names(&self) -> Vec<String> {
        self.disk().names.keys().cloned().collect()
    }

    /// Names of the writers, in order.
    pub fn writer_names(&self) -> Vec<String> {
        self.writers().keys().cloned().collect()
    }

    /// Bytes that may be used from now on; nothing for no limit.
    pub fn set_quota(&self, bytes: Option<u64>) {
        self.disk().quota = bytes;
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> u64 {
        self.disk().used()
    }

    /// The next sync fails, once; what was written stays unsynced.
    pub fn fail_next_sync(&self) {
        self.disk().fail_next_sync = true;
    }

    /// Takes that back.
    pub fn fail_no_sync(&self) {
        self.disk().fail_next_sync = false;
    }

    /// Whether one has failed since the last crash.
    pub fn has_failed_sync(&self) -> bool {
        self.disk().sync_failed
    }

    /// Changing operations so far, over all lives.
    pub fn operations(&self) -> u64 {
        self.disk().operations
    }

    /// At that operation, counted as in [`MemoryBackend::operations`] from 1, the process dies: it and all
    /// later ones fail, until [`MemoryBackend::crash`] begins another life.
    pub fn crash_at(&self, operation: u64) {
        self.disk().crash_at = Some(operation);
    }

    /// Flips one bit of a file, as a rotting disk does.
    pub fn flip_bit(&self, name: &str, offset: u64) -> io::Result<()> {
        let mut disk = self.disk();
        let file = *disk.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        disk.image(file)?.flip_bit(offset as usize);
        Ok(())
    }

    /// Puts that in a file's place on the medium, as a write that was meant for elsewhere does.
    pub fn overwrite(&self, name: &str, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        let file = *disk.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let image = disk.image(file)?;
        image.write(offset as usize, data);
        image.sync();
        Ok(())
    }

    /// A copy of a file's content as the process sees it.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let disk = self.disk();
        disk.names.get(name).and_then(|file| disk.files.get(file)).map(Image::content)
    }

    /// A copy of the directory as it is on the disk, to be restored later as another one.
    pub fn backup(&self) -> MemoryBackend {
        let disk = self.disk();
        let copy = Disk {
            names: disk.synced_names.clone(),
            synced_names: disk.synced_names.clone(),
            files: disk.files.iter().map(|(id, image)| (*id, Image::synced(image))).collect(),
            next_file: disk.next_file,
            ..Disk::default()
        };
        MemoryBackend { disk: Arc::new(Mutex::new(copy)), writers: Arc::default() }
    }
}

impl StoreBackend for MemoryBackend {
    fn open(&self, name: &str) -> io::Result<Box<dyn redb::StorageBackend>> {
        let mut disk = self.disk();
        let life = disk.life;
        disk.alive(life)?;
        let file = match disk.names.get(name) {
            Some(file) => *file,
            None => {
                disk.operate(life)?;
                disk.next_file += 1;
                let file = disk.next_file;
                disk.names.insert(name.into(), file);
                disk.files.insert(file, Image::default());
                file
            }
        };
        Ok(Box::new(MemoryFile { disk: self.disk.clone(), file, life }))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        let disk = self.disk();
        disk.alive(disk.life)?;
        Ok(disk.names.contains_key(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.disk();
        let life = disk.life;
        disk.operate(life)?;
        let file = disk.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        disk.names.insert(to.into(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.disk();
        let life = disk.life;
        disk.alive(life)?;
        if disk.names.contains_key(name) {
            disk.operate(life)?;
            disk.names.remove(name);
        }
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut disk = self.disk();
        let life = disk.life;
        disk.operate(life)?;
        disk.synced_names = disk.names.clone();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let disk = self.disk();
        Ok(disk.quota.map_or(u64::MAX, |quota| quota.saturating_sub(disk.used())))
    }

    fn start_writer(&self, name: &str, writer: Writer) {
        self.writers().insert(name.into(), writer);
    }

    fn is_dead(&self) -> bool {
        self.disk().dead
    }
}

/// A file opened in one life of the directory. It stays the same file when it is renamed or unlinked.
struct MemoryFile {
    disk: Arc<Mutex<Disk>>,
    file: u64,
    life: u64,
}

impl std::fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryFile")
            .field("file", &self.file)
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

impl MemoryFile {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl redb::StorageBackend for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        let mut disk = self.disk();
        disk.alive(self.life)?;
        Ok(disk.image(self.file)?.length() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let mut disk = self.disk();
        disk.alive(self.life)?;
        match disk.image(self.file)?.read(offset as usize, out) {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate(self.life)?;
        disk.grow(self.file, length)?;
        disk.image(self.file)?.set_length(length as usize);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate(self.life)?;
        if std::mem::take(&mut disk.fail_next_sync) {
            disk.sync_failed = true;
            return Err(io::Error::other("sync failed"));
        }
        disk.image(self.file)?.sync();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.disk();
        disk.operate(self.life)?;
        disk.grow(self.file, offset + data.len() as u64)?;
        disk.image(self.file)?.write(offset as usize, data);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled() -> MemoryBackend {
        let backend = MemoryBackend::new();
        let file = backend.open("a").expect("opens");
        file.write(0, &[1; 1024]).expect("writes");
        file.sync_data().expect("syncs");
        backend.sync_dir().expect("syncs");
        file.write(0, &[2; 1024]).expect("writes");
        backend
    }

    #[test]
    fn a_crash_forgets_what_was_not_synced() {
        for (crash, expected) in [(Crash::Lose, 1), (Crash::Keep, 2)] {
            let backend = filled();
            backend.crash(crash);
            assert_eq!(backend.content("a"), Some(vec![expected; 1024]), "{crash:?}");
        }
    }

    #[test]
    fn a_mixed_crash_tears_between_sectors() {
        let torn = |seed| {
            let backend = filled();
            backend.crash(Crash::Mix(seed));
            let content = backend.content("a").expect("synced name");
            content[0] != content[512]
        };
        assert!((0..20).any(torn) && !(0..20).all(torn));
    }

    #[test]
    fn files_of_an_earlier_life_are_dead() {
        let backend = filled();
        let file = backend.open("a").expect("opens");
        backend.crash(Crash::Keep);
        assert!(file.write(0, &[3]).is_err() && file.sync_data().is_err());
        assert_eq!(backend.content("a"), Some(vec![2; 1024]));
    }

    #[test]
    fn lengths_and_overlapping_writes_are_taken_back() {
        let done = |crash| {
            let backend = MemoryBackend::new();
            let file = backend.open("a").expect("opens");
            file.write(0, &[1; 700]).expect("writes");
            file.sync_data().expect("syncs");
            backend.sync_dir().expect("syncs");
            file.set_len(100).expect("shrinks");
            file.write(50, &[2; 100]).expect("writes");
            file.write(60, &[3; 10]).expect("writes");
            file.set_len(200).expect("grows");
            file.write(4_000, &[4; 5_000]).expect("grows");
            file.set_len(4_200).expect("shrinks");
            file.set_len(9_000).expect("grows");
            let seen = backend.content("a").expect("a name");
            assert_eq!(backend.backup().content("a"), Some(vec![1; 700]));
            backend.flip_bit("a", 65).expect("flips");
            backend.flip_bit("a", 65).expect("flips");
            backend.crash(crash);
            (seen, backend.content("a").expect("a name"))
        };
        let (seen, kept) = done(Crash::Keep);
        assert_eq!((seen.len(), &seen[4_199..4_201], kept), (9_000, &[4, 0][..], seen.clone()));
        assert_eq!(done(Crash::Lose).1, vec![1; 700]);
    }

    #[test]
    fn an_unsynced_name_may_vanish() {
        let backend = MemoryBackend::new();
        backend.open("a").expect("opens").sync_data().expect("syncs");
        backend.crash(Crash::Lose);
        assert!(!backend.exists("a").expect("alive"));
    }

    #[test]
    fn quota_and_planned_death() {
        let backend = MemoryBackend::new();
        backend.set_quota(Some(10));
        let file = backend.open("a").expect("opens");
        let error = file.set_len(11).expect_err("over the quota");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        file.set_len(10).expect("within");
        backend.crash_at(backend.operations() + 2);
        file.write(0, &[1]).expect("one more");
        assert!(file.write(0, &[1]).is_err() && backend.is_dead());
    }
}
