//! A batch: the row writes of one entry, and their encoding.
//! Knows nothing of logs or files; replicas apply what it says without looking at what it means.

use bytes::{Buf, Bytes};

/// Longest key, in bytes. Keys are short and fixed by design; a long one is a mistake upstream.
pub const KEY_BYTES_MAX: usize = 4 * 1024;
/// Longest value, in bytes: a snapshot chunk of at most 1 MiB must hold at least one row.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024 - 16 * 1024;
/// Largest encoded batch, in bytes: one decision is at most 4 MiB, and group commit adds 1 MiB; frames end at 16 MiB.
pub const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;

const VERSION: u8 = 1;
const TAG_PUT: u8 = 1;
const TAG_DELETE: u8 = 2;
const TAG_PUT_AT_INDEX: u8 = 3;
const TAG_DELETE_RANGE: u8 = 4;

/// One change of one row, or of a range of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets a row.
    Put {
        /// The row's key, at most [`KEY_BYTES_MAX`].
        key: Bytes,
        /// The row's value, at most [`VALUE_BYTES_MAX`].
        value: Bytes,
    },
    /// Removes a row; nothing happens when there is none.
    Delete {
        /// The row's key.
        key: Bytes,
    },
    /// Sets the row `prefix` ++ big-endian u64 index of the entry, which is known only at append.
    PutAtIndex {
        /// First part of the key.
        prefix: Bytes,
        /// The row's value.
        value: Bytes,
    },
    /// Removes all rows with `from <= key < to`.
    DeleteRange {
        /// First key to remove.
        from: Bytes,
        /// First key to keep.
        to: Bytes,
    },
}

impl Write {
    fn parts(&self) -> (u8, &Bytes, Option<&Bytes>) {
        match self {
            Write::Put { key, value } => (TAG_PUT, key, Some(value)),
            Write::Delete { key } => (TAG_DELETE, key, None),
            Write::PutAtIndex { prefix, value } => (TAG_PUT_AT_INDEX, prefix, Some(value)),
            Write::DeleteRange { from, to } => (TAG_DELETE_RANGE, from, Some(to)),
        }
    }
}

/// The row writes of one entry, applied in order, all or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The writes; a later one of the same key wins.
    pub writes: Vec<Write>,
}

/// Why bytes are not a batch, or a batch may not be proposed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BatchError {
    /// Written by a newer version of this crate.
    #[error("batch version {0} is not known to this build")]
    UnknownVersion(u8),
    /// Written by a newer version of this crate.
    #[error("write kind {0} is not known to this build")]
    UnknownWrite(u8),
    /// The bytes end in the middle of a write.
    #[error("batch is cut short")]
    CutShort,
    /// A key is empty or over [`KEY_BYTES_MAX`].
    #[error("a key of {0} bytes; allowed are 1 to {KEY_BYTES_MAX}")]
    Key(usize),
    /// A value is over [`VALUE_BYTES_MAX`].
    #[error("a value of {0} bytes; allowed are {VALUE_BYTES_MAX}")]
    Value(usize),
    /// The batch is over [`BATCH_BYTES_MAX`].
    #[error("a batch of {0} bytes; allowed are {BATCH_BYTES_MAX}")]
    Batch(usize),
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Adds a [`Write::Put`].
    pub fn put(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Batch {
        self.writes.push(Write::Put { key: key.into(), value: value.into() });
        self
    }

    /// Adds a [`Write::Delete`].
    pub fn delete(&mut self, key: impl Into<Bytes>) -> &mut Batch {
        self.writes.push(Write::Delete { key: key.into() });
        self
    }

    /// Adds a [`Write::PutAtIndex`].
    pub fn put_at_index(&mut self, prefix: impl Into<Bytes>, value: impl Into<Bytes>) -> &mut Batch {
        self.writes.push(Write::PutAtIndex { prefix: prefix.into(), value: value.into() });
        self
    }

    /// Adds a [`Write::DeleteRange`].
    pub fn delete_range(&mut self, from: impl Into<Bytes>, to: impl Into<Bytes>) -> &mut Batch {
        self.writes.push(Write::DeleteRange { from: from.into(), to: to.into() });
        self
    }

    /// True when nothing is written.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Size of [`Batch::encode`]'s result in bytes, without encoding.
    pub fn encoded_len(&self) -> usize {
        let mut total = 1 + 4;
        for write in &self.writes {
            let (_, first, second) = write.parts();
            total += 1 + 2 + first.len() + second.map_or(0, |value| 4 + value.len());
        }
        total
    }

    /// True when the batch only frees space; such a batch passes even when the disk is low.
    pub fn only_deletes(&self) -> bool {
        self.writes.iter().all(|write| matches!(write, Write::Delete { .. } | Write::DeleteRange { .. }))
    }

    /// Checks every bound; the group calls it before it takes a proposal.
    pub fn check(&self) -> Result<(), BatchError> {
        for write in &self.writes {
            let (tag, first, second) = write.parts();
            if (first.is_empty() && tag != TAG_DELETE_RANGE) || first.len() > KEY_BYTES_MAX {
                return Err(BatchError::Key(first.len()));
            }
            let length = second.map_or(0, |value| value.len());
            if tag == TAG_DELETE_RANGE && length > KEY_BYTES_MAX {
                return Err(BatchError::Key(length));
            }
            if length > VALUE_BYTES_MAX {
                return Err(BatchError::Value(length));
            }
        }
        match self.encoded_len() {
            length if length > BATCH_BYTES_MAX => Err(BatchError::Batch(length)),
            _ => Ok(()),
        }
    }

    /// Appends the encoding: version, count, then per write a kind, a key and perhaps a value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.reserve(self.encoded_len());
        out.push(VERSION);
        out.extend_from_slice(&(self.writes.len() as u32).to_le_bytes());
        for write in &self.writes {
            let (tag, first, second) = write.parts();
            out.push(tag);
            out.extend_from_slice(&(first.len() as u16).to_le_bytes());
            out.extend_from_slice(first);
            if let Some(second) = second {
                out.extend_from_slice(&(second.len() as u32).to_le_bytes());
                out.extend_from_slice(second);
            }
        }
    }

    /// Reads what [`Batch::encode`] wrote; keys and values share the buffer of `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Batch, BatchError> {
        let mut rest = bytes.clone();
        let version = take(&mut rest, 1)?.get_u8();
        if version != VERSION {
            return Err(BatchError::UnknownVersion(version));
        }
        let count = take(&mut rest, 4)?.get_u32_le() as usize;
        let mut writes = Vec::with_capacity(count.min(rest.len()));
        for _ in 0..count {
            writes.push(decode_write(&mut rest)?);
        }
        if rest.is_empty() { Ok(Batch { writes }) } else { Err(BatchError::CutShort) }
    }
}

fn decode_write(rest: &mut Bytes) -> Result<Write, BatchError> {
    let tag = take(rest, 1)?.get_u8();
    let length = take(rest, 2)?.get_u16_le() as usize;
    let first = take(rest, length)?;
    if tag == TAG_DELETE {
        return Ok(Write::Delete { key: first });
    }
    if !(TAG_PUT..=TAG_DELETE_RANGE).contains(&tag) {
        return Err(BatchError::UnknownWrite(tag));
    }
    let length = take(rest, 4)?.get_u32_le() as usize;
    let second = take(rest, length)?;
    Ok(match tag {
        TAG_PUT => Write::Put { key: first, value: second },
        TAG_PUT_AT_INDEX => Write::PutAtIndex { prefix: first, value: second },
        _ => Write::DeleteRange { from: first, to: second },
    })
}

fn take(rest: &mut Bytes, length: usize) -> Result<Bytes, BatchError> {
    if rest.len() < length {
        return Err(BatchError::CutShort);
    }
    Ok(rest.split_to(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Batch {
        let mut batch = Batch::new();
        batch.put("a", "1").delete("b").put_at_index("c/", vec![0; 300]).delete_range("d", "e");
        batch
    }

    #[test]
    fn decodes_what_it_encoded() {
        for batch in [Batch::new(), sample()] {
            let mut bytes = Vec::new();
            batch.encode(&mut bytes);
            assert_eq!(bytes.len(), batch.encoded_len());
            assert_eq!(Batch::decode(&Bytes::from(bytes)), Ok(batch));
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes);
        for end in 0..bytes.len() {
            assert!(Batch::decode(&Bytes::copy_from_slice(&bytes[..end])).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn unknown_kinds_are_refused_not_skipped() {
        let mut bytes = Vec::new();
        sample().encode(&mut bytes);
        let mut other = bytes.clone();
        other[0] = 9;
        assert_eq!(Batch::decode(&Bytes::from(other)), Err(BatchError::UnknownVersion(9)));
        bytes[5] = 77;
        assert_eq!(Batch::decode(&Bytes::from(bytes)), Err(BatchError::UnknownWrite(77)));
    }

    #[test]
    fn bounds_are_checked() {
        let check = |build: &dyn Fn(&mut Batch) -> usize| {
            let mut batch = Batch::new();
            build(&mut batch);
            batch.check()
        };
        assert_eq!(check(&|b| b.put("", "x").encoded_len()), Err(BatchError::Key(0)));
        assert_eq!(
            check(&|b| b.put("k", vec![0; VALUE_BYTES_MAX + 1]).encoded_len()),
            Err(BatchError::Value(VALUE_BYTES_MAX + 1))
        );
        assert_eq!(check(&|b| b.delete_range("", "z").encoded_len()), Ok(()));
        let nine =
            |b: &mut Batch| (0..9).map(|n| b.put(vec![n], vec![0; VALUE_BYTES_MAX]).encoded_len()).sum();
        assert!(matches!(check(&nine), Err(BatchError::Batch(_))));
    }
}
