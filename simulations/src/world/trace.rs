//! What happened in a world, line after line: a rolling hash of all of it, and the lines themselves when somebody wants
//! to read them. Two runs of one seed have the same lines. Must not know what a line means.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::witness::Witness;

/// Something that happened; everything that distinguishes it is in its `Hash`.
#[derive(Clone, Copy, Debug, Hash)]
pub enum What<'a> {
    /// Tasks of this life ran.
    Turn,
    Sent {
        to: &'a str,
        bytes: Bytes<'a>,
    },
    Unsent {
        to: &'a str,
    },
    Frame {
        from: &'a str,
        bytes: Bytes<'a>,
    },
    Opened {
        peer: &'a str,
    },
    Closed {
        peer: &'a str,
    },
    Wrote {
        file: &'a str,
        offset: u64,
        bytes: Bytes<'a>,
    },
    Resized {
        file: &'a str,
        length: u64,
    },
    Synced {
        file: &'a str,
    },
    Moved {
        file: &'a str,
        to: &'a str,
    },
    /// A process of an attempt: its mark in the ledger.
    Process {
        line: &'a str,
    },
    /// A life begins, ends, falls, stands still or goes on.
    Life {
        word: &'a str,
    },
    Fault {
        words: &'a str,
    },
    Client {
        words: &'a str,
    },
}

/// Bytes, shown by their length and a digest.
#[derive(Clone, Copy, Hash)]
pub struct Bytes<'a>(pub &'a [u8]);

impl fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digest = Rolling::default();
        digest.write(self.0);
        write!(f, "{}:{:08x}", self.0.len(), digest.finish() as u32)
    }
}

/// See the module. Clones share it. `None`: nobody asks.
#[derive(Clone)]
pub struct Trace(Option<Arc<Mutex<Inner>>>);

struct Inner {
    hash: Rolling,
    lines: u64,
    reader: Option<Box<dyn Write + Send>>,
    witness: Option<Witness>,
}

/// What a trace came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Digest {
    pub lines: u64,
    pub hash: u64,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x} of {} lines", self.hash, self.lines)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace({})", self.digest())
    }
}

impl Trace {
    /// `reader`: where the lines go as text, if anywhere.
    pub fn new(reader: Option<Box<dyn Write + Send>>) -> Trace {
        let inner = Inner { hash: Rolling::default(), lines: 0, reader, witness: None };
        Trace(Some(Arc::new(Mutex::new(inner))))
    }

    /// Of a world that nobody will compare with another: it keeps nothing.
    pub fn unasked() -> Trace {
        Trace(None)
    }

    fn inner(&self) -> Option<MutexGuard<'_, Inner>> {
        Some(self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on somebody remembers what matters; nobody in a world that is not asked.
    pub fn listen(&self, witness: Witness) {
        if let Some(mut inner) = self.inner() {
            inner.witness = Some(witness);
        }
    }

    pub fn note(&self, at: u64, who: &str, what: What<'_>) {
        let Some(mut inner) = self.inner() else { return };
        (at, who, what).hash(&mut inner.hash);
        inner.lines += 1;
        if let Some(witness) = &inner.witness {
            witness.see(at, who, &what);
        }
        let Inner { reader: Some(reader), lines, .. } = &mut *inner else { return };
        if writeln!(reader, "{lines} {}.{:06} {who} {what:?}", at / 1_000_000, at % 1_000_000).is_err() {
            inner.reader = None;
        }
    }

    /// A line for the reader only: it is no part of what must repeat.
    pub fn aside(&self, at: u64, words: fmt::Arguments<'_>) {
        let Some(mut inner) = self.inner() else { return };
        let Some(reader) = &mut inner.reader else { return };
        if writeln!(reader, "- {}.{:06} {words}", at / 1_000_000, at % 1_000_000).is_err() {
            inner.reader = None;
        }
    }

    pub fn is_read(&self) -> bool {
        self.inner().is_some_and(|inner| inner.reader.is_some())
    }

    pub fn digest(&self) -> Digest {
        let of = |inner: MutexGuard<'_, Inner>| Digest { lines: inner.lines, hash: inner.hash.finish() };
        self.inner().map_or(Digest { lines: 0, hash: 0 }, of)
    }
}

/// A hash without random keys, eight bytes a step: nobody attacks it, and it is the same in every process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rolling(u64);

impl Rolling {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    /// Pages of files are most of what is hashed: sums of their words and sums of those sums, of which a processor makes
    /// several at once. A word that changes shows in the first, one that changes its place in the second. Gives the rest.
    fn mix_blocks<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (blocks, rest) = bytes.as_chunks::<64>();
        if blocks.is_empty() {
            return rest;
        }
        let (mut sums, mut sums_of_sums) = ([0u64; 8], [0u64; 8]);
        for block in blocks {
            for (sum, word) in sums.iter_mut().zip(block.as_chunks::<8>().0) {
                *sum = sum.wrapping_add(u64::from_le_bytes(*word));
            }
            for (twice, sum) in sums_of_sums.iter_mut().zip(sums) {
                *twice = twice.wrapping_add(sum);
            }
        }
        sums.into_iter().chain(sums_of_sums).for_each(|sum| self.mix(sum));
        rest
    }
}

impl Hasher for Rolling {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = self.mix_blocks(bytes).as_chunks::<8>();
        words.iter().for_each(|word| self.mix(u64::from_le_bytes(*word)));
        // Names of nodes end here at once.
        let rest = rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        self.mix(rest ^ ((bytes.len() as u64) << 56));
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> u64 {
        let mut rolling = Rolling::default();
        rolling.write(bytes);
        rolling.finish()
    }

    #[test]
    fn every_bit_and_every_place_of_a_page_counts() {
        let page: Vec<u8> = (0..4096u32).map(|at| (at / 64) as u8).collect();
        let whole = digest(&page);
        for at in 0..page.len() {
            let mut other = page.clone();
            other[at] ^= 1 << (at % 8);
            assert_ne!(digest(&other), whole, "byte {at}");
        }
        for block in 1..64 {
            let mut other = page.clone();
            let (first, second) = other.split_at_mut(block * 64);
            first[..64].swap_with_slice(&mut second[..64]);
            assert_ne!(digest(&other), whole, "block {block}");
        }
        assert_ne!(digest(&page[..4032]), whole);
    }
}
