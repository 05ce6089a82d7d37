//! A directory of real files for measurements, and who runs the writers of what is opened there.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::PathBuf;

use hortator_raft::redb::backends::FileBackend;
use hortator_raft::{StoreBackend, Writer, redb};

pub(crate) struct Directory {
    pub(crate) root: PathBuf,
    pub(crate) start_writer: fn(&str, Writer),
}

impl StoreBackend for Directory {
    fn open(&self, name: &str) -> io::Result<Box<dyn redb::StorageBackend>> {
        let path = self.root.join(name);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Box::new(FileBackend::new(file).map_err(io::Error::other)?))
    }
    fn exists(&self, name: &str) -> io::Result<bool> {
        self.root.join(name).try_exists()
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.root.join(from), self.root.join(to))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.root.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.root)?.sync_all()
    }
    fn free_bytes(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
    fn start_writer(&self, name: &str, writer: Writer) {
        (self.start_writer)(name, writer);
    }
}
