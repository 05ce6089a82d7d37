//! The seams: where files, the writer's scheduling, randomness and wake-ups come from.
//! Only traits and the thin wrapper that redb sits on; production and simulations bring the rest.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::header::{HEADER_BYTES, SUMMED_BYTES, checked, summed};
use crate::page_sums::PageSums;
use crate::store::Writer;

/// A directory for the files of one process' groups. Names are plain file names.
pub trait StoreBackend: Send + Sync + 'static {
    /// Opens a file, creating it empty when it does not exist.
    fn open(&self, name: &str) -> io::Result<Box<dyn redb::StorageBackend>>;
    /// True when the file exists.
    fn exists(&self, name: &str) -> io::Result<bool>;
    /// Replaces `to` by `from` in one step; open files stay usable. Durable after [`StoreBackend::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; it is no error when there is none.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Bytes that can still be written.
    fn free_bytes(&self) -> io::Result<u64>;
    /// The writer's scheduling: production starts a named thread that calls [`Writer::run`]; a
    /// simulation keeps it and calls [`Writer::run_one`] when it sees fit.
    fn start_writer(&self, name: &str, writer: Writer);
    /// True once a simulated crash has happened: errors that follow are then nobody's verdict.
    fn is_dead(&self) -> bool {
        false
    }
}

/// Random numbers, in named streams so that a new draw in one does not shift another.
pub trait Entropy: Send {
    /// The next number of a stream.
    fn next_u64(&mut self, stream: &str) -> u64;
}

/// Tells the group's owner to call [`crate::Group::turn`]; called from the writer's thread when a write finished.
pub trait Wake: Send + Sync {
    /// Must return at once and may be called more often than needed.
    fn wake(&self);
}

/// The file locks of a [`redb::StorageBackend`] that wraps another one: what is locked is the file itself.
#[macro_export]
macro_rules! locks_of {
    ($inner:ident) => {
        fn try_lock_range(
            &self,
            start: ::std::ops::Bound<u64>,
            end: ::std::ops::Bound<u64>,
        ) -> Result<bool, $crate::redb::BackendError> {
            self.$inner.try_lock_range(start, end)
        }

        fn try_lock_shared_range(
            &self,
            start: ::std::ops::Bound<u64>,
            end: ::std::ops::Bound<u64>,
        ) -> Result<bool, $crate::redb::BackendError> {
            self.$inner.try_lock_shared_range(start, end)
        }

        fn lock_range(
            &self,
            start: ::std::ops::Bound<u64>,
            end: ::std::ops::Bound<u64>,
        ) -> Result<(), $crate::redb::BackendError> {
            self.$inner.lock_range(start, end)
        }

        fn lock_shared_range(
            &self,
            start: ::std::ops::Bound<u64>,
            end: ::std::ops::Bound<u64>,
        ) -> Result<(), $crate::redb::BackendError> {
            self.$inner.lock_shared_range(start, end)
        }

        fn unlock_range(
            &self,
            start: ::std::ops::Bound<u64>,
            end: ::std::ops::Bound<u64>,
        ) -> Result<(), $crate::redb::BackendError> {
            self.$inner.unlock_range(start, end)
        }

        fn query_lock_range(
            &self,
            start: ::std::ops::Bound<u64>,
            end: ::std::ops::Bound<u64>,
        ) -> Result<bool, $crate::redb::BackendError> {
            self.$inner.query_lock_range(start, end)
        }
    };
}

/// What redb knows a file by; its header gets a sum, and its pages are compared with what they were. After `seal` nothing
/// reaches the file any more (a snapshot has replaced it).
#[derive(Debug)]
pub(crate) struct BackendFile {
    inner: Box<dyn redb::StorageBackend>,
    flags: Arc<FileFlags>,
    pages: PageSums,
}

/// State of one open file that outlives redb's view of it.
#[derive(Debug, Default)]
pub(crate) struct FileFlags {
    sealed: AtomicBool,
    sync_failed: AtomicBool,
}

impl FileFlags {
    pub(crate) fn seal(&self) {
        self.sealed.store(true, Ordering::Release);
    }

    /// True when a sync has failed: what the file holds is unknown from then on.
    pub(crate) fn sync_failed(&self) -> bool {
        self.sync_failed.load(Ordering::Acquire)
    }
}

impl BackendFile {
    pub(crate) fn new(inner: Box<dyn redb::StorageBackend>) -> (BackendFile, Arc<FileFlags>) {
        let flags = Arc::new(FileFlags::default());
        (BackendFile { inner, flags: flags.clone(), pages: PageSums::default() }, flags)
    }

    fn writable(&self) -> io::Result<()> {
        if self.flags.sealed.load(Ordering::Acquire) {
            return Err(io::Error::other("this file has been replaced by a snapshot"));
        }
        Ok(())
    }
}

impl redb::StorageBackend for BackendFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if offset > 0 || out.len() != HEADER_BYTES {
            self.inner.read(offset, out)?;
            if !self.pages.read(offset, out) {
                let said = format!("a page at byte {offset} is not what was there before");
                return Err(io::Error::new(io::ErrorKind::InvalidData, said));
            }
            return Ok(());
        }
        let mut bytes = [0; SUMMED_BYTES];
        self.inner.read(0, &mut bytes)?;
        out.copy_from_slice(checked(&bytes)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.writable()?;
        self.inner.set_len(len)?;
        self.pages.cut(len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.writable()?;
        self.inner.sync_data().inspect_err(|_| self.flags.sync_failed.store(true, Ordering::Release))
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.writable()?;
        match <&[u8; HEADER_BYTES]>::try_from(data) {
            Ok(header) if offset == 0 => self.inner.write(0, &summed(header)),
            _ => {
                // should it fail, or be read before it is over
                self.pages.forget(offset, data);
                self.inner.write(offset, data)?;
                self.pages.wrote(offset, data);
                Ok(())
            }
        }
    }

    fn close(&self) -> io::Result<()> {
        self.inner.close()
    }

    crate::locks_of!(inner);
}
