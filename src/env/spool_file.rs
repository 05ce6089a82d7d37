//! The agent's spool as a file: records of length, checksum and bytes. Never synced; torn ends are cut off.
//! Must not know what a record means.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hortator_actors::seam::SpoolFile;

/// Length and CRC-32, little-endian.
const HEADER_BYTES: usize = 8;
/// Records are frames, so they are not longer.
const RECORD_BYTES_MAX: usize = hortator_proto::frame::FRAME_BYTES_MAX;

/// An open spool. Its directory belongs to one agent, by the warden's lock.
#[derive(Debug)]
pub struct DiskSpool {
    path: PathBuf,
    file: File,
    /// Where the next record goes.
    end: u64,
}

impl DiskSpool {
    /// Opens the file, creating it readable by its owner only.
    pub fn open(path: &Path) -> io::Result<DiskSpool> {
        let file = options().create(true).truncate(false).open(path)?;
        Ok(DiskSpool { path: path.to_owned(), file, end: 0 })
    }
}

impl SpoolFile for DiskSpool {
    fn read(&mut self) -> io::Result<Vec<Bytes>> {
        let mut content = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_end(&mut content)?;
        let records = records(&Bytes::from(content));
        self.end = records.iter().map(|record| (HEADER_BYTES + record.len()) as u64).sum();
        self.file.set_len(self.end)?;
        Ok(records)
    }

    fn append(&mut self, record: &[u8]) -> io::Result<()> {
        let framed = framed(record)?;
        // What a failed write left behind is written over.
        self.file.seek(SeekFrom::Start(self.end))?;
        self.file.write_all(&framed)?;
        self.end += framed.len() as u64;
        Ok(())
    }

    fn replace(&mut self, records: &[Bytes]) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut file = options().create(true).truncate(true).open(&fresh)?;
        let mut end = 0;
        for record in records {
            let framed = framed(record)?;
            file.write_all(&framed)?;
            end += framed.len() as u64;
        }
        fs::rename(&fresh, &self.path)?;
        (self.file, self.end) = (file, end);
        Ok(())
    }
}

fn options() -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

fn framed(record: &[u8]) -> io::Result<Vec<u8>> {
    if record.len() > RECORD_BYTES_MAX {
        return Err(io::Error::other(format!(
            "a record of {} bytes is too long for the spool",
            record.len()
        )));
    }
    let mut framed = Vec::with_capacity(HEADER_BYTES + record.len());
    framed.extend((record.len() as u32).to_le_bytes());
    framed.extend(crc32fast::hash(record).to_le_bytes());
    framed.extend(record);
    Ok(framed)
}

/// Whole records from the start; the first that is torn or damaged ends the file.
fn records(content: &Bytes) -> Vec<Bytes> {
    let mut records = Vec::new();
    let mut place = 0;
    while let Some((header, rest)) = content[place..].split_first_chunk::<HEADER_BYTES>() {
        let [a, b, c, d, checksum @ ..] = *header;
        let bytes = u32::from_le_bytes([a, b, c, d]) as usize;
        let whole = bytes > 0
            && bytes <= rest.len()
            && crc32fast::hash(&rest[..bytes]) == u32::from_le_bytes(checksum);
        if !whole {
            break;
        }
        let start = place + HEADER_BYTES;
        records.push(content.slice(start..start + bytes));
        place = start + bytes;
    }
    records
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_reopening_and_torn_ends_do_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spool");
        let mut spool = DiskSpool::open(&path).unwrap();
        assert!(spool.read().unwrap().is_empty());
        spool.append(b"one").unwrap();
        spool.append(&[2; 100_000]).unwrap();
        for torn in 0..20 {
            let whole = fs::read(&path).unwrap();
            fs::write(&path, [&whole[..], &framed(b"three").unwrap()[..torn.min(12)]].concat()).unwrap();
            let mut spool = DiskSpool::open(&path).unwrap();
            assert_eq!(spool.read().unwrap(), [Bytes::from_static(b"one"), Bytes::from(vec![2; 100_000])]);
            assert_eq!(fs::read(&path).unwrap(), whole, "the torn end is gone");
        }
        let mut damaged = fs::read(&path).unwrap();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&path, damaged).unwrap();
        assert_eq!(DiskSpool::open(&path).unwrap().read().unwrap().len(), 1);
    }

    #[test]
    fn replacing_leaves_only_the_new() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("spool");
        let mut spool = DiskSpool::open(&path).unwrap();
        spool.append(b"old").unwrap();
        spool.replace(&[Bytes::from_static(b"new")]).unwrap();
        spool.append(b"newer").unwrap();
        assert_eq!(DiskSpool::open(&path).unwrap().read().unwrap(), [&b"new"[..], b"newer"]);
        spool.replace(&[]).unwrap();
        assert!(DiskSpool::open(&path).unwrap().read().unwrap().is_empty());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
