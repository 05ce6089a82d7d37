//! Turns what a process prints into log lines and keeps the first bytes of them.
//! Must not know where the bytes come from, and reads no clock: each call brings its time.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::PathBuf;

use hortator_core::time::Timestamp;

/// Bytes of a log file that are kept, time stamps included (architecture, promise 8).
pub const LOG_BYTES_MAX: u64 = 16 << 20;

/// Longest line of text; a longer one is split, so that readers can work line by line in bounded memory.
pub(super) const LINE_BYTES_MAX: usize = 64 << 10;

/// Largest buffer that an attempt holds on to between two chunks.
const SCRATCH_BYTES_KEPT: usize = 4 << 10;

/// Where a line comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Output,
    Errors,
}

/// The log of one running attempt. The file appears with the first line; errors of the disk never reach the
/// attempt: what cannot be written is dropped and counted.
#[derive(Debug)]
pub struct LogWriter {
    path: PathBuf,
    bytes_max: u64,
    file: Option<File>,
    kept: u64,
    dropped: u64,
    /// Where the mark about dropped bytes begins, once it is written.
    mark_at: Option<u64>,
    /// Lines are no longer written: the bound is reached, or the disk refused.
    full: bool,
    /// The beginnings of lines that have not ended yet.
    partial: [Vec<u8>; 2],
    scratch: Vec<u8>,
}

impl LogWriter {
    pub fn new(path: PathBuf, bytes_max: u64) -> LogWriter {
        LogWriter {
            path,
            bytes_max,
            file: None,
            kept: 0,
            dropped: 0,
            mark_at: None,
            full: false,
            partial: [Vec::new(), Vec::new()],
            scratch: Vec::new(),
        }
    }

    /// Takes what arrived on a stream; whole lines go to the file.
    pub fn take(&mut self, stream: Stream, mut bytes: &[u8], now: Timestamp) {
        if self.full {
            self.dropped += bytes.len() as u64;
            return;
        }
        let prefix = prefix(now, stream_letter(stream));
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            self.add_text(stream, line, &prefix);
            self.end_line(stream, &prefix, 1);
            bytes = rest;
            if self.full {
                break;
            }
        }
        if self.full {
            self.dropped += bytes.len() as u64;
        } else {
            self.add_text(stream, bytes, &prefix);
        }
        self.write_out(now);
    }

    /// Ends lines that have no end, and settles the mark. Returns bytes kept and dropped.
    pub fn finish(mut self, now: Timestamp) -> (u64, u64) {
        for stream in [Stream::Output, Stream::Errors] {
            if !self.partial[stream as usize].is_empty() {
                self.end_line(stream, &prefix(now, stream_letter(stream)), 0);
            }
        }
        self.write_out(now);
        if let (Some(at), Some(file)) = (self.mark_at, &self.file) {
            let _ = file.write_all_at(&mark(now, self.bytes_max, self.dropped), at);
        }
        (self.kept, self.dropped)
    }

    /// Appends to the unfinished line, which is split when it gets too long.
    fn add_text(&mut self, stream: Stream, mut text: &[u8], prefix: &[u8]) {
        loop {
            let partial = &mut self.partial[stream as usize];
            let room = LINE_BYTES_MAX - partial.len();
            if text.len() <= room {
                partial.extend_from_slice(text);
                return;
            }
            partial.extend_from_slice(&text[..room]);
            text = &text[room..];
            // A character is not torn apart: its first bytes go to the next line.
            let whole = whole_characters(partial);
            let rest = partial.split_off(whole);
            self.end_line(stream, prefix, 0);
            self.partial[stream as usize] = rest;
            if self.full {
                self.dropped += text.len() as u64;
                return;
            }
        }
    }

    /// Moves the unfinished line, with stamp and line end, to what is written next; or finds that the log is full.
    /// `ends` is how many bytes of the output ended it: none when it was split or the output is over.
    fn end_line(&mut self, stream: Stream, prefix: &[u8], ends: u64) {
        let mut line = std::mem::take(&mut self.partial[stream as usize]);
        // Windows programs end lines with two characters.
        let text = line.strip_suffix(b"\r").unwrap_or(&line);
        let text = String::from_utf8_lossy(text);
        let length = (prefix.len() + text.len() + 1) as u64;
        if self.full || self.kept + self.scratch.len() as u64 + length > self.bytes_max {
            self.full = true;
            self.dropped += line.len() as u64 + ends;
        } else {
            self.scratch.extend_from_slice(prefix);
            self.scratch.extend_from_slice(text.as_bytes());
            self.scratch.push(b'\n');
        }
        drop(text);
        line.clear();
        self.partial[stream as usize] = line;
    }

    fn write_out(&mut self, now: Timestamp) {
        if !self.scratch.is_empty() {
            let scratch = std::mem::take(&mut self.scratch);
            match self.append(&scratch) {
                Ok(()) => self.kept += scratch.len() as u64,
                Err(_) => {
                    self.full = true;
                    self.dropped += scratch.len() as u64;
                }
            }
            // Kept for the next chunk only while it is small: thousands of attempts have one each.
            if scratch.capacity() <= SCRATCH_BYTES_KEPT {
                self.scratch = scratch;
                self.scratch.clear();
            }
        }
        if self.full && self.mark_at.is_none() {
            self.dropped +=
                self.partial.iter_mut().map(|partial| std::mem::take(partial).len() as u64).sum::<u64>();
            self.mark_at = Some(self.kept);
            let _ = self.append(&mark(now, self.bytes_max, self.dropped));
            self.scratch = Vec::new();
        }
    }

    /// Writes at the end of what is kept, so that a half-written line is overwritten.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.file = Some(self.create()?);
        }
        let file = self.file.as_ref().expect("just made");
        file.write_all_at(bytes, self.kept)
    }

    fn create(&self) -> io::Result<File> {
        let open = || OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path);
        match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let directory = self.path.parent().expect("a log lies in a directory");
                DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
                open()
            }
            opened => opened,
        }
    }
}

fn stream_letter(stream: Stream) -> char {
    match stream {
        Stream::Output => 'o',
        Stream::Errors => 'e',
    }
}

fn prefix(now: Timestamp, letter: char) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(32);
    write!(prefix, "{now} {letter} ").expect("memory takes everything");
    prefix
}

/// The line that stands where the log was cut. Of one length whatever the count, so that it can be rewritten.
fn mark(now: Timestamp, bytes_max: u64, dropped: u64) -> Vec<u8> {
    let bound = bytes_max >> 10;
    format!("{now} m log cut here (bound: {bound} KiB): {dropped:>20} bytes of output were dropped\n")
        .into_bytes()
}

/// Length without a character that has begun at the end and is not complete.
fn whole_characters(bytes: &[u8]) -> usize {
    let begun = bytes.iter().rev().take(4).position(|byte| !(0x80..0xc0).contains(byte));
    let Some(back) = begun else { return bytes.len() };
    let first = bytes[bytes.len() - 1 - back];
    let needed = match first {
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0..=0xff => 4,
        _ => 1,
    };
    if back + 1 < needed { bytes.len() - 1 - back } else { bytes.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_123);
    const STAMP: &str = "1970-01-01T00:00:01.000123Z";

    /// Writes pieces, one call each, and checks the file.
    fn check(bytes_max: u64, pieces: &[(Stream, &[u8])], expect: &str, dropped: u64) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/x.log");
        let mut log = LogWriter::new(path.clone(), bytes_max);
        for (stream, bytes) in pieces {
            log.take(*stream, bytes, NOW);
        }
        let stat = log.finish(NOW);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let without_mark: usize = text.lines().filter(|l| !l.contains(" m ")).map(|l| l.len() + 1).sum();
        assert_eq!(text.replace(STAMP, "T"), expect);
        assert_eq!(stat, (without_mark as u64, dropped));
    }

    #[test]
    fn lines() {
        use Stream::{Errors, Output};
        check(1000, &[], "", 0);
        check(1000, &[(Output, b"a\nb\n"), (Errors, b"c\n")], "T o a\nT o b\nT e c\n", 0);
        check(1000, &[(Output, b"a"), (Errors, b"x\n"), (Output, b"b\nc")], "T e x\nT o ab\nT o c\n", 0);
        check(1000, &[(Output, b"\n\r\n a\r\n")], "T o \nT o \nT o  a\n", 0);
        check(1000, &[(Output, b"\xff\xe4\xb8\xad\n")], "T o \u{fffd}中\n", 0);
        check(1000, &[(Output, b"\xe4"), (Output, b"\xb8\xad\n")], "T o 中\n", 0);
    }

    #[test]
    fn the_cut_is_marked_once_and_counts_everything() {
        use Stream::{Errors, Output};
        let mark = "T m log cut here (bound: 0 KiB):                   12 bytes of output were dropped\n";
        let expect = format!("T o 123\n{mark}");
        check(40, &[(Output, b"123\n"), (Output, b"45678\n"), (Errors, b"9\nabc\n")], &expect, 12);
        let expect = expect.replace("12 bytes", " 5 bytes");
        check(40, &[(Output, b"123\n"), (Output, b"45678")], &expect, 5);
    }

    #[test]
    fn long_lines_are_split_between_characters() {
        let text = "中".repeat(LINE_BYTES_MAX);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.log");
        let mut log = LogWriter::new(path.clone(), LOG_BYTES_MAX);
        for piece in text.as_bytes().chunks(1000) {
            log.take(Stream::Output, piece, NOW);
        }
        log.finish(NOW);
        let lines = std::fs::read_to_string(&path).unwrap();
        let texts: Vec<&str> = lines.lines().map(|line| &line[STAMP.len() + 3..]).collect();
        assert!(texts.iter().all(|text| text.len() <= LINE_BYTES_MAX) && texts.len() == 4, "{}", texts.len());
        assert_eq!(texts.concat(), text);
    }

    #[test]
    fn a_disk_that_refuses_costs_the_log_only() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), "a file, not a directory").unwrap();
        let mut log = LogWriter::new(dir.path().join("a/x.log"), 1000);
        log.take(Stream::Output, b"123\n", NOW);
        log.take(Stream::Output, b"45\n", NOW);
        let (kept, dropped) = log.finish(NOW);
        assert_eq!(kept, 0);
        assert!(dropped >= 7, "{dropped}");
    }
}
