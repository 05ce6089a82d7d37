//! Reads a log by byte offset, whole lines at a time; following is asking again with the offset one got.
//! Must not know whose log it is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::writer::LINE_BYTES_MAX;

/// Least number of bytes a caller may ask for: the longest line with its stamp always fits. A lossy line can grow
/// threefold: each byte that is not UTF-8 becomes a character of three.
pub const READ_BYTES_MIN: usize = 3 * LINE_BYTES_MAX + 64;

/// Most bytes in one answer, whatever was asked: it is held in memory.
const READ_BYTES_MAX: usize = 4 << 20;

/// Whole lines of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunk {
    /// Where the first line begins; the next line start at or after the offset asked for.
    pub offset: u64,
    /// Where to go on reading.
    pub next_offset: u64,
    pub bytes: Vec<u8>,
    /// Bytes in the file when it was read; equal to `next_offset` when everything was seen.
    pub size: u64,
}

/// A log cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the log {}", path.display())]
pub struct ReadError {
    pub path: PathBuf,
    #[source]
    pub source: io::Error,
}

/// Reads from `offset` at most `max_bytes` (held between `READ_BYTES_MIN` and 4 MiB). A log that does not exist
/// is empty: the process has printed nothing yet.
pub fn read_range(path: &Path, offset: u64, max_bytes: usize) -> Result<Chunk, ReadError> {
    let failed = |source| ReadError { path: path.to_owned(), source };
    let nothing = Chunk { offset, next_offset: offset, ..Chunk::default() };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(nothing),
        opened => opened.map_err(failed)?,
    };
    let size = file.metadata().map_err(failed)?.len();
    if offset >= size {
        return Ok(Chunk { size, ..nothing });
    }
    // One byte earlier, to see whether the offset is the start of a line.
    let from = offset.saturating_sub(1);
    let mut bytes = vec![0; max_bytes.clamp(READ_BYTES_MIN, READ_BYTES_MAX) + 1];
    let length = read_full(&file, &mut bytes, from).map_err(failed)?;
    bytes.truncate(length);
    let after_line_end = |place: usize| place + 1;
    let skip = match offset {
        0 => 0,
        _ => bytes.iter().position(|byte| *byte == b'\n').map_or(length, after_line_end),
    };
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, after_line_end).max(skip);
    let first = from + skip as u64;
    bytes.truncate(end);
    bytes.drain(..skip);
    // Within a line that is still being written, the offset stays where it is.
    let offset = if bytes.is_empty() { offset } else { first };
    Ok(Chunk { offset, next_offset: offset + bytes.len() as u64, bytes, size })
}

/// Where the last `lines` lines begin.
pub fn tail_offset(path: &Path, lines: usize) -> Result<u64, ReadError> {
    let failed = |source| ReadError { path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        opened => opened.map_err(failed)?,
    };
    let mut end = file.metadata().map_err(failed)?.len();
    let (mut block, mut left) = (vec![0; READ_BYTES_MIN], lines + 1);
    while end > 0 {
        let start = end.saturating_sub(block.len() as u64);
        let length = read_full(&file, &mut block[..(end - start) as usize], start).map_err(failed)?;
        for place in (0..length).rev().filter(|place| block[*place] == b'\n') {
            left -= 1;
            if left == 0 {
                return Ok(start + place as u64 + 1);
            }
        }
        end = start;
    }
    Ok(0)
}

fn read_full(file: &File, bytes: &mut [u8], from: u64) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match file.read_at(&mut bytes[length..], from + length as u64) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn chunks_are_whole_lines() {
        let file = log("one\ntwo\nthr");
        for (asked, offset, bytes) in [
            (0, 0, "one\ntwo\n"),
            (1, 4, "two\n"),
            (3, 4, "two\n"),
            (4, 4, "two\n"),
            (5, 5, ""),
            (8, 8, ""),
            (99, 99, ""),
        ] {
            let chunk = read_range(file.path(), asked, 1).unwrap();
            let next_offset = offset + bytes.len() as u64;
            assert_eq!(chunk, Chunk { offset, next_offset, bytes: bytes.into(), size: 11 }, "{asked}");
        }
        assert_eq!(read_range(Path::new("/nonexistent/x.log"), 7, 1).unwrap().next_offset, 7);
    }

    #[test]
    fn following_sees_every_line_once() {
        let text: String = (0..50_000).map(|n| format!("line {n}\n")).collect();
        let file = log(&text);
        let (mut offset, mut seen) = (0, Vec::new());
        loop {
            let chunk = read_range(file.path(), offset, 1).unwrap();
            assert!(chunk.bytes.len() <= READ_BYTES_MIN + 1);
            if chunk.bytes.is_empty() {
                break;
            }
            assert_eq!(chunk.offset, offset);
            offset = chunk.next_offset;
            seen.extend(chunk.bytes);
        }
        assert_eq!(String::from_utf8(seen).unwrap(), text);
    }

    #[test]
    fn tails() {
        let text: String = (0..50_000).map(|n| format!("line {n}\n")).collect();
        let file = log(&text);
        for lines in [1, 10, 40_000] {
            let offset = tail_offset(file.path(), lines).unwrap();
            assert_eq!(text[offset as usize..].lines().count(), lines);
        }
        assert_eq!(tail_offset(file.path(), 60_000).unwrap(), 0);
        assert_eq!(tail_offset(file.path(), 0).unwrap(), text.len() as u64);
    }
}
