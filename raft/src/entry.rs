//! What an entry of the log carries, and how it lies in the file.
//! Knows nothing of transactions; a record that fails its checksum is reported, never repaired.

use bytes::{Buf, Bytes};
use raft::eraftpb::{Entry, EntryType};

const KIND_BARRIER: u8 = 1;
const KIND_BATCH: u8 = 2;
const HEADER_BYTES: usize = 1 + 8 + 8;
/// crc, term, entry type, context length.
const RECORD_HEADER_BYTES: usize = 4 + 8 + 1 + 2;

/// The meaning of an ordinary entry's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// A leader's first entry; changes no rows.
    Nothing,
    /// Begins an epoch.
    Barrier { epoch: u64 },
    /// Row writes; `batch` is an encoded [`crate::Batch`].
    Batch { epoch: u64, sequence: u64, batch: Bytes },
}

/// Why bytes of the log mean nothing to this build.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum EntryError {
    #[error("entry kind {0} is not known to this build")]
    UnknownKind(u8),
    #[error("entry is cut short")]
    CutShort,
    #[error("checksum of the log record does not match")]
    Checksum,
}

pub(crate) fn encode_barrier(epoch: u64) -> Vec<u8> {
    header(KIND_BARRIER, epoch, 0, 0)
}

pub(crate) fn encode_batch(epoch: u64, sequence: u64, batch: &crate::Batch) -> Vec<u8> {
    let mut data = header(KIND_BATCH, epoch, sequence, batch.encoded_len());
    batch.encode(&mut data);
    data
}

fn header(kind: u8, epoch: u64, sequence: u64, more: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(HEADER_BYTES + more);
    data.push(kind);
    data.extend_from_slice(&epoch.to_le_bytes());
    data.extend_from_slice(&sequence.to_le_bytes());
    data
}

impl Payload {
    pub(crate) fn parse(data: &Bytes) -> Result<Payload, EntryError> {
        if data.is_empty() {
            return Ok(Payload::Nothing);
        }
        if data.len() < HEADER_BYTES {
            return Err(EntryError::CutShort);
        }
        let mut rest = data.clone();
        let kind = rest.get_u8();
        let epoch = rest.get_u64_le();
        let sequence = rest.get_u64_le();
        match kind {
            KIND_BARRIER => Ok(Payload::Barrier { epoch }),
            KIND_BATCH => Ok(Payload::Batch { epoch, sequence, batch: rest }),
            other => Err(EntryError::UnknownKind(other)),
        }
    }
}

/// The epoch a barrier entry begins, or nothing for any other entry.
pub(crate) fn barrier_epoch(entry: &Entry) -> Option<u64> {
    if entry.get_entry_type() != EntryType::EntryNormal {
        return None;
    }
    match Payload::parse(&entry.data) {
        Ok(Payload::Barrier { epoch }) => Some(epoch),
        _ => None,
    }
}

/// Bytes an entry costs in the log, for bounds.
pub(crate) fn weight(entry: &Entry) -> u64 {
    (RECORD_HEADER_BYTES + 8 + entry.data.len() + entry.context.len()) as u64
}

/// Writes the record of `entry` into `out`, which is cleared first.
pub(crate) fn encode_record(entry: &Entry, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&entry.term.to_le_bytes());
    out.push(entry.get_entry_type() as u8);
    out.extend_from_slice(&(entry.context.len() as u16).to_le_bytes());
    out.extend_from_slice(&entry.context);
    out.extend_from_slice(&entry.data);
    let crc = record_crc(entry.index, &out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
}

pub(crate) fn decode_record(index: u64, record: &[u8]) -> Result<Entry, EntryError> {
    if record.len() < RECORD_HEADER_BYTES {
        return Err(EntryError::CutShort);
    }
    let mut rest = record;
    let crc = rest.get_u32_le();
    if record_crc(index, &record[4..]) != crc {
        return Err(EntryError::Checksum);
    }
    let mut entry = Entry { index, term: rest.get_u64_le(), ..Entry::default() };
    entry.set_entry_type(match rest.get_u8() {
        0 => EntryType::EntryNormal,
        1 => EntryType::EntryConfChange,
        2 => EntryType::EntryConfChangeV2,
        other => return Err(EntryError::UnknownKind(other)),
    });
    let context = rest.get_u16_le() as usize;
    if rest.len() < context {
        return Err(EntryError::CutShort);
    }
    entry.context = Bytes::copy_from_slice(&rest[..context]);
    entry.data = Bytes::copy_from_slice(&rest[context..]);
    Ok(entry)
}

/// The index is part of the sum, so that a record under a wrong key is noticed.
fn record_crc(index: u64, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&index.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let mut batch = crate::Batch::new();
        batch.put("key", "value");
        let data = encode_batch(7, 3, &batch).into();
        Entry { index: 12, term: 4, data, context: Bytes::from_static(b"ctx"), ..Entry::default() }
    }

    #[test]
    fn records_come_back() {
        let mut record = Vec::new();
        encode_record(&entry(), &mut record);
        assert_eq!(decode_record(12, &record), Ok(entry()));
    }

    #[test]
    fn a_flipped_bit_or_a_wrong_key_is_noticed() {
        let mut record = Vec::new();
        encode_record(&entry(), &mut record);
        assert_eq!(decode_record(13, &record), Err(EntryError::Checksum));
        for at in 0..record.len() {
            let mut rotten = record.clone();
            rotten[at] ^= 0x10;
            assert_eq!(decode_record(12, &rotten), Err(EntryError::Checksum), "byte {at}");
        }
    }

    #[test]
    fn payloads_come_back() {
        assert_eq!(Payload::parse(&Bytes::new()), Ok(Payload::Nothing));
        assert_eq!(Payload::parse(&encode_barrier(9).into()), Ok(Payload::Barrier { epoch: 9 }));
        assert!(matches!(Payload::parse(&entry().data), Ok(Payload::Batch { epoch: 7, sequence: 3, .. })));
        assert_eq!(Payload::parse(&Bytes::from(vec![9; 17])), Err(EntryError::UnknownKind(9)));
    }
}
