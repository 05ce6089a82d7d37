//! A master's files behind a disk that can be slow or full. Must not know what is in them.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hortator_raft::{StoreBackend, Writer};
use redb::StorageBackend;

use super::gate::Gate;

/// See the module. Without a fault each call is one look at an empty map.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<BTreeMap<u64, Trouble>>>);

#[derive(Clone, Debug)]
pub(super) enum Trouble {
    /// Each sync takes so much longer, or until the gate opens.
    Slow(Duration, Arc<Gate>),
    Full,
}

impl Disk {
    fn troubles(&self) -> MutexGuard<'_, BTreeMap<u64, Trouble>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn trouble(&self, id: u64, trouble: Trouble) {
        self.troubles().insert(id, trouble);
    }

    pub(super) fn mend(&self, id: u64) {
        if let Some(Trouble::Slow(_, gate)) = self.troubles().remove(&id) {
            gate.open();
        }
    }

    pub(super) fn before(&self, store: Arc<dyn StoreBackend>) -> Arc<dyn StoreBackend> {
        Arc::new(Store { disk: self.clone(), inner: store })
    }

    fn is_full(&self) -> bool {
        self.troubles().values().any(|trouble| matches!(trouble, Trouble::Full))
    }

    fn hold_up(&self) {
        let slow = self.troubles().values().find_map(|trouble| match trouble {
            Trouble::Slow(time, gate) => Some((*time, gate.clone())),
            Trouble::Full => None,
        });
        if let Some((time, gate)) = slow {
            gate.wait_at_most(time);
        }
    }
}

struct Store {
    disk: Disk,
    inner: Arc<dyn StoreBackend>,
}

impl StoreBackend for Store {
    fn open(&self, name: &str) -> io::Result<Box<dyn StorageBackend>> {
        Ok(Box::new(File { disk: self.disk.clone(), inner: self.inner.open(name)? }))
    }

    fn exists(&self, name: &str) -> io::Result<bool> {
        self.inner.exists(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.disk.hold_up();
        self.inner.sync_dir()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        if self.disk.is_full() { Ok(0) } else { self.inner.free_bytes() }
    }

    fn start_writer(&self, name: &str, writer: Writer) {
        self.inner.start_writer(name, writer);
    }

    fn is_dead(&self) -> bool {
        self.inner.is_dead()
    }
}

#[derive(Debug)]
struct File {
    disk: Disk,
    inner: Box<dyn StorageBackend>,
}

impl StorageBackend for File {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inner.read(offset, out)
    }

    /// What the file has can be written over; it cannot grow.
    fn set_len(&self, length: u64) -> io::Result<()> {
        if self.disk.is_full() && length > self.inner.len()? {
            return Err(io::Error::new(
                io::ErrorKind::StorageFull,
                "no space left (a fault that was injected)",
            ));
        }
        self.inner.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.hold_up();
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.inner.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    hortator_raft::locks_of!(inner);
}
