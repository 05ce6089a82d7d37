//! Reads a backup from its beginning to its end and believes nothing: checksums, order, counts. Must not know what rows
//! mean.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use hortator_raft::Position;
use ring::digest::{Context, SHA256};
use serde::de::DeserializeOwned;

use super::format::{CRC_BYTES, End, FORMAT, FRAME_BYTES_MAX, GroupEnd, HEAD_BYTES, Header, Kind, MAGIC};
use crate::pki::hex;

/// Why a file is not read, or no further.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("{} cannot be read: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{} is no backup of Hortator", .path.display())]
    NotABackup { path: PathBuf },
    #[error("{} has format {format}, and this program knows {FORMAT}", .path.display())]
    OtherFormat { path: PathBuf, format: u32 },
    #[error("{} ends at byte {at}, in the middle: it was not copied or written to its end", .path.display())]
    CutShort { path: PathBuf, at: u64 },
    #[error("{} is damaged at byte {at}: {why}", .path.display())]
    Damaged { path: PathBuf, at: u64, why: String },
}

/// What a reader is shown, in the order of the file.
#[derive(Debug)]
pub enum Part<'a> {
    Header(&'a Header),
    Rows { group: u32, rows: &'a [StoredRow<'a>] },
    GroupEnd { group: u32 },
}

/// A row as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRow<'a> {
    pub key: &'a [u8],
    /// The entry that wrote it.
    pub written: Position,
    pub value: &'a [u8],
}

/// Shows all of the file to `visit`, whose first error ends it. Only when this returns the header is all of it good.
pub fn read_backup<E: From<BackupError>>(
    path: &Path,
    mut visit: impl FnMut(Part<'_>) -> Result<(), E>,
) -> Result<Header, E> {
    let mut frames = Frames::open(path)?;
    let header: Header = frames.json(Kind::Header)?;
    visit(Part::Header(&header))?;
    for cut in &header.groups {
        let group = cut.group;
        let mut count = 0;
        loop {
            match frames.next()? {
                Kind::Rows => {
                    let rows = frames.rows(group)?;
                    count += rows.len() as u64;
                    visit(Part::Rows { group, rows: &rows })?;
                }
                Kind::GroupEnd => break,
                other => return Err(frames.damaged(format!("{other:?} stands inside a group")).into()),
            }
        }
        let end: GroupEnd = frames.parse()?;
        if (end.group, end.rows) != (group, count) {
            let why =
                format!("group {group} has {count} rows, and group {} with {} ends", end.group, end.rows);
            return Err(frames.damaged(why).into());
        }
        visit(Part::GroupEnd { group })?;
    }
    frames.finish()?;
    Ok(header)
}

struct Frames {
    path: PathBuf,
    from: BufReader<File>,
    sha256: Context,
    /// Where the present frame begins, and where the next one.
    frame_at: u64,
    at: u64,
    payload: Vec<u8>,
}

impl Frames {
    fn open(path: &Path) -> Result<Frames, BackupError> {
        let io = |source| BackupError::Io { path: path.to_owned(), source };
        let from = BufReader::new(File::open(path).map_err(io)?);
        let (path, sha256) = (path.to_owned(), Context::new(&SHA256));
        let mut frames = Frames { path, from, sha256, frame_at: 0, at: 0, payload: Vec::new() };
        let mut start = [0; MAGIC.len() + 4];
        match frames.fill(&mut start) {
            Err(BackupError::CutShort { at, .. }) if at < MAGIC.len() as u64 => {
                return Err(BackupError::NotABackup { path: frames.path });
            }
            other => other?,
        }
        let (magic, format) = start.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(BackupError::NotABackup { path: frames.path });
        }
        let format = u32::from_le_bytes(format.try_into().expect("four bytes are left"));
        match format {
            FORMAT => {
                frames.sha256.update(&start);
                Ok(frames)
            }
            _ => Err(BackupError::OtherFormat { path: frames.path, format }),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), BackupError> {
        let mut done = 0;
        while done < bytes.len() {
            match self.from.read(&mut bytes[done..]) {
                Ok(0) => return Err(BackupError::CutShort { path: self.path.clone(), at: self.at }),
                Ok(count) => (done, self.at) = (done + count, self.at + count as u64),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(BackupError::Io { path: self.path.clone(), source }),
            }
        }
        Ok(())
    }

    fn damaged(&self, why: impl Into<String>) -> BackupError {
        BackupError::Damaged { path: self.path.clone(), at: self.frame_at, why: why.into() }
    }

    /// The next frame, with `payload` filled. The end of all is not part of its own sum.
    fn next(&mut self) -> Result<Kind, BackupError> {
        self.frame_at = self.at;
        let mut head = [0; HEAD_BYTES];
        self.fill(&mut head)?;
        if crc32fast::hash(&head[..5]).to_le_bytes() != head[5..] {
            return Err(self.damaged("the checksum of a frame's head does not match"));
        }
        let length = u32::from_le_bytes(head[1..5].try_into().expect("four bytes")) as usize;
        let kind = Kind::read(head[0]).filter(|_| length <= FRAME_BYTES_MAX);
        let kind = kind.ok_or_else(|| self.damaged("there is no such frame"))?;
        let mut payload = std::mem::take(&mut self.payload);
        payload.resize(length, 0);
        self.fill(&mut payload)?;
        let mut crc = [0; CRC_BYTES];
        self.fill(&mut crc)?;
        if crc32fast::hash(&payload).to_le_bytes() != crc {
            return Err(self.damaged("the checksum of a frame does not match"));
        }
        if kind != Kind::End {
            self.sha256.update(&head);
            self.sha256.update(&payload);
            self.sha256.update(&crc);
        }
        self.payload = payload;
        Ok(kind)
    }

    fn json<T: DeserializeOwned>(&mut self, wanted: Kind) -> Result<T, BackupError> {
        let kind = self.next()?;
        if kind != wanted {
            return Err(self.damaged(format!("{kind:?} stands where {wanted:?} belongs")));
        }
        self.parse()
    }

    /// The present payload.
    fn parse<T: DeserializeOwned>(&self) -> Result<T, BackupError> {
        serde_json::from_slice(&self.payload).map_err(|error| self.damaged(error.to_string()))
    }

    /// The rows of the present payload.
    fn rows(&self, group: u32) -> Result<Vec<StoredRow<'_>>, BackupError> {
        let mut rest = self.payload.as_slice();
        let found = number(&mut rest).map(u32::from_le_bytes);
        if found != Some(group) {
            return Err(self.damaged(format!("rows of group {found:?} stand in group {group}")));
        }
        let mut rows = Vec::new();
        while !rest.is_empty() {
            rows.push(row(&mut rest).ok_or_else(|| self.damaged("a row is cut off"))?);
        }
        Ok(rows)
    }

    fn finish(mut self) -> Result<(), BackupError> {
        let end: End = self.json(Kind::End)?;
        let sum = hex(self.sha256.clone().finish().as_ref());
        if end.sha256 != sum {
            return Err(self.damaged(format!("SHA-256 is {sum}, and the end says {}", end.sha256)));
        }
        self.frame_at = self.at;
        match self.fill(&mut [0]) {
            Err(BackupError::CutShort { .. }) => Ok(()),
            Ok(()) => Err(self.damaged("something follows the end")),
            Err(error) => Err(error),
        }
    }
}

fn number<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (number, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*number)
}

fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = u32::from_le_bytes(number(rest)?) as usize;
    let (text, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(text)
}

fn row<'a>(rest: &mut &'a [u8]) -> Option<StoredRow<'a>> {
    let key = text(rest)?;
    let term = u64::from_le_bytes(number(rest)?);
    let index = u64::from_le_bytes(number(rest)?);
    Some(StoredRow { key, written: Position { term, index }, value: text(rest)? })
}
