//! The bytes of a backup: its beginning, its frames, and what the JSON ones say. Must not know rows.

use hortator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

pub(super) const MAGIC: &[u8; 16] = b"HORTATOR BACKUP\n";
/// Raised when a reader of before would misunderstand; an unknown one is refused.
pub const FORMAT: u32 = 1;

/// Kind, length, and the checksum of both.
pub(super) const HEAD_BYTES: usize = 9;
pub(super) const CRC_BYTES: usize = 4;
/// Rows of one frame, so that whoever writes or reads holds little at a time.
pub(super) const PAGE_BYTES: usize = 256 << 10;
/// Largest frame that is read: a page that one of the largest rows (1 MiB) came on top of, or a header with all groups.
pub(super) const FRAME_BYTES_MAX: usize = 4 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Header = 1,
    Rows = 2,
    GroupEnd = 3,
    End = 4,
}

impl Kind {
    pub(super) fn read(byte: u8) -> Option<Kind> {
        [Kind::Header, Kind::Rows, Kind::GroupEnd, Kind::End].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Of which cluster, from when, and how far each group was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Its id, hexadecimal.
    pub cluster: String,
    pub name: String,
    /// Of fences; a restored cluster has a higher one.
    pub generation: u32,
    pub shards: u32,
    pub feature_level: u32,
    /// By the clock of the master that made it.
    pub taken_at: Timestamp,
    /// Of the program that made it.
    pub version: String,
    /// In the order of the file.
    pub groups: Vec<GroupCut>,
}

/// Where a group was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupCut {
    pub group: u32,
    pub term: u64,
    pub index: u64,
    pub epoch: u64,
}

/// The end of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GroupEnd {
    pub(super) group: u32,
    pub(super) rows: u64,
}

/// The end of all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct End {
    /// Of every byte before this frame, hexadecimal.
    pub(super) sha256: String,
}

pub(super) fn begin(out: &mut Vec<u8>) {
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
}

/// One frame; `payload` writes into the buffer.
pub(super) fn frame(kind: Kind, out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    payload(out);
    let body = start + HEAD_BYTES;
    let length = u32::try_from(out.len() - body).expect("a frame is far smaller than 4 GiB");
    out[start] = kind as u8;
    out[start + 1..start + 5].copy_from_slice(&length.to_le_bytes());
    let head = crc32fast::hash(&out[start..start + 5]);
    out[start + 5..body].copy_from_slice(&head.to_le_bytes());
    let crc = crc32fast::hash(&out[body..]);
    out.extend_from_slice(&crc.to_le_bytes());
}

pub(super) fn json_frame(kind: Kind, out: &mut Vec<u8>, document: &impl Serialize) {
    frame(kind, out, |out| {
        serde_json::to_writer(out, document).expect("texts and numbers make a document");
    });
}
