//! The state of the disk in memory: names, files, what is synced, and what a crash keeps.
//! Knows nothing of who uses it.

use std::collections::BTreeMap;
use std::io;

/// Bytes that reach a disk together or not at all.
const SECTOR_BYTES: usize = 512;

/// What a crash keeps of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Nothing.
    Lose,
    /// Everything, as when only the process dies.
    Keep,
    /// Each sector, each change of length and each name by the seed.
    Mix(u64),
}

#[derive(Default)]
pub(super) struct Disk {
    /// Raised by each crash; files opened before are dead.
    pub(super) life: u64,
    pub(super) dead: bool,
    pub(super) names: BTreeMap<String, u64>,
    pub(super) synced_names: BTreeMap<String, u64>,
    pub(super) files: BTreeMap<u64, Image>,
    pub(super) next_file: u64,
    pub(super) quota: Option<u64>,
    pub(super) fail_next_sync: bool,
    pub(super) operations: u64,
    pub(super) crash_at: Option<u64>,
}

/// A file as its process sees it, and how to take back what is not synced. Most writes are synced and few crashes
/// happen, so what a write replaces is kept rather than a second copy of the file.
#[derive(Clone, Default)]
pub(super) struct Image {
    content: Vec<u8>,
    undo: Vec<Undo>,
}

/// What a change replaced: the bytes from `offset` on, in a file of that length.
#[derive(Clone)]
struct Undo {
    kind: Kind,
    offset: usize,
    old: Vec<u8>,
    old_length: usize,
}

#[derive(Clone, Copy)]
enum Kind {
    Write { bytes: usize },
    Length { length: usize },
}

/// What was done to a file since it was synced, to be done again in part.
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

impl Image {
    pub(super) fn content(&self) -> &[u8] {
        &self.content
    }

    pub(super) fn write(&mut self, offset: usize, data: &[u8]) {
        let (old_length, end) = (self.content.len(), offset + data.len());
        let old = self.content[offset.min(old_length)..end.min(old_length)].to_vec();
        self.undo.push(Undo { kind: Kind::Write { bytes: data.len() }, offset, old, old_length });
        if end > old_length {
            self.content.resize(end, 0);
        }
        self.content[offset..end].copy_from_slice(data);
    }

    pub(super) fn set_length(&mut self, length: usize) {
        let old_length = self.content.len();
        let old = self.content[length.min(old_length)..].to_vec();
        self.undo.push(Undo { kind: Kind::Length { length }, offset: length, old, old_length });
        self.content.resize(length, 0);
    }

    pub(super) fn sync(&mut self) {
        self.undo.clear();
    }

    /// What is on the disk for certain.
    pub(super) fn synced(&self) -> Image {
        let mut copy = self.clone();
        copy.take_back();
        copy
    }

    /// A bit of the medium rots, whatever was written over it since the last sync.
    pub(super) fn flip_bit(&mut self, offset: usize) {
        let covers = |undo: &&mut Undo| (undo.offset..undo.offset + undo.old.len()).contains(&offset);
        if let Some(first) = self.undo.iter_mut().find(covers) {
            first.old[offset - first.offset] ^= 1;
        }
        if let Some(byte) = self.content.get_mut(offset) {
            *byte ^= 1;
        }
    }

    /// Keeps of what was not synced what `keep` says, change by change and sector by sector.
    fn crash(&mut self, mut keep: impl FnMut() -> bool) {
        for change in self.take_back() {
            change.apply(&mut self.content, &mut keep);
        }
    }

    /// Gives what it has taken back, in order.
    fn take_back(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for Undo { kind, offset, old, old_length } in std::mem::take(&mut self.undo).into_iter().rev() {
            changes.push(match kind {
                Kind::Write { bytes } => {
                    Change::Write { offset, data: self.content[offset..offset + bytes].to_vec() }
                }
                Kind::Length { length } => Change::Length(length),
            });
            self.content.resize(old_length, 0);
            let from = offset.min(old_length);
            self.content[from..from + old.len()].copy_from_slice(&old);
        }
        changes.reverse();
        changes
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>, mut keep: impl FnMut() -> bool) {
        match self {
            Change::Length(length) => {
                if keep() {
                    content.resize(*length, 0);
                }
            }
            Change::Write { offset, data } => {
                let mut offset = *offset;
                let mut data = data.as_slice();
                while !data.is_empty() {
                    let sector_end = SECTOR_BYTES - offset % SECTOR_BYTES;
                    let (piece, rest) = data.split_at(sector_end.min(data.len()));
                    if keep() {
                        if content.len() < offset + piece.len() {
                            content.resize(offset + piece.len(), 0);
                        }
                        content[offset..offset + piece.len()].copy_from_slice(piece);
                    }
                    offset += piece.len();
                    data = rest;
                }
            }
        }
    }
}

fn dead() -> io::Error {
    io::Error::other("this process has crashed")
}

impl Disk {
    /// Counts a changing operation; the one at which the crash is planned does not happen any more.
    pub(super) fn operate(&mut self, life: u64) -> io::Result<()> {
        self.alive(life)?;
        self.operations += 1;
        if self.crash_at == Some(self.operations) {
            self.dead = true;
            return Err(dead());
        }
        Ok(())
    }

    pub(super) fn alive(&self, life: u64) -> io::Result<()> {
        if self.dead || life != self.life { Err(dead()) } else { Ok(()) }
    }

    pub(super) fn used(&self) -> u64 {
        self.names
            .values()
            .filter_map(|file| self.files.get(file))
            .map(|file| file.content().len() as u64)
            .sum()
    }

    pub(super) fn image(&mut self, file: u64) -> io::Result<&mut Image> {
        self.files.get_mut(&file).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }

    pub(super) fn grow(&mut self, file: u64, length: u64) -> io::Result<()> {
        let before = self.image(file)?.content().len() as u64;
        let more = length.saturating_sub(before);
        if self.quota.is_some_and(|quota| more > 0 && self.used() + more > quota) {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "no space left"));
        }
        Ok(())
    }

    pub(super) fn forget_unnamed(&mut self) {
        let named: Vec<u64> = self.names.values().chain(self.synced_names.values()).copied().collect();
        self.files.retain(|file, _| named.contains(file));
    }

    pub(super) fn crash(&mut self, crash: Crash) {
        self.life += 1;
        (self.dead, self.crash_at, self.fail_next_sync) = (false, None, false);
        let mut random = match crash {
            Crash::Mix(seed) => seed,
            _ => 0,
        };
        let mut keep = move || match crash {
            Crash::Lose => false,
            Crash::Keep => true,
            Crash::Mix(_) => split_mix(&mut random) & 1 == 1,
        };
        if keep() {
            self.synced_names = self.names.clone();
        }
        self.names = self.synced_names.clone();
        self.forget_unnamed();
        self.files.values_mut().for_each(|file| file.crash(&mut keep));
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut value = *state;
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
