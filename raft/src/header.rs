//! redb's header with a sum behind it. redb sums its two commit slots but not the byte that says which of them holds: one
//! rotten bit there gives back the commit before the last, and a replica would forget what it has acknowledged. Must not
//! know what the header says.

use std::io;

/// Bytes of redb's header: always written as a whole, at the file's beginning. The rest of its first page is unused.
pub(crate) const HEADER_BYTES: usize = 320;
/// With the sum: less than a sector, so that a loss of power leaves both as they were or both anew.
pub(crate) const SUMMED_BYTES: usize = HEADER_BYTES + SUM_BYTES;

const SUM_BYTES: usize = 8;
/// Tells a sum from bytes that were never written.
const MARK: [u8; 4] = *b"hsum";

/// What is written in the header's place.
pub(crate) fn summed(header: &[u8; HEADER_BYTES]) -> [u8; SUMMED_BYTES] {
    let mut bytes = [0; SUMMED_BYTES];
    bytes[..HEADER_BYTES].copy_from_slice(header);
    bytes[HEADER_BYTES..].copy_from_slice(&sum(header));
    bytes
}

/// The header in what was read in its place. A file that was just created is empty, and one of an earlier build has no
/// sum: both have zeros there, which no flipped bit makes of a sum.
///
/// # Errors
/// `InvalidData` when the header is not what was written.
pub(crate) fn checked(bytes: &[u8; SUMMED_BYTES]) -> io::Result<&[u8]> {
    let (header, kept) = bytes.split_at(HEADER_BYTES);
    if kept != sum(header) && kept != [0; SUM_BYTES] {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "checksum of the file's header does not match",
        ));
    }
    Ok(header)
}

fn sum(header: &[u8]) -> [u8; SUM_BYTES] {
    let mut sum = [0; SUM_BYTES];
    sum[..MARK.len()].copy_from_slice(&MARK);
    sum[MARK.len()..].copy_from_slice(&crc32fast::hash(header).to_le_bytes());
    sum
}
