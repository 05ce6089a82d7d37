//! The state of the disk in memory: names, files, what is synced, and what a crash keeps.
//! Knows nothing of who uses it.

use std::collections::BTreeMap;
use std::io;

use super::image::{Change, Image};

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
    /// In this life.
    pub(super) sync_failed: bool,
    pub(super) operations: u64,
    pub(super) crash_at: Option<u64>,
}

/// Keeps of what was not synced what `keep` says, change by change and sector by sector.
fn crash_image(image: &mut Image, mut keep: impl FnMut() -> bool) {
    for change in image.take_back() {
        match change {
            Change::Length(length) if keep() => image.set_length(length),
            Change::Length(_) => {}
            Change::Write { offset, data } => write_sectors(image, offset, &data, &mut keep),
        }
    }
    image.sync();
}

fn write_sectors(image: &mut Image, mut offset: usize, mut data: &[u8], mut keep: impl FnMut() -> bool) {
    while !data.is_empty() {
        let sector_end = SECTOR_BYTES - offset % SECTOR_BYTES;
        let (piece, rest) = data.split_at(sector_end.min(data.len()));
        if keep() {
            image.write(offset, piece);
        }
        offset += piece.len();
        data = rest;
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
        self.names.values().filter_map(|file| self.files.get(file)).map(|file| file.length() as u64).sum()
    }

    pub(super) fn image(&mut self, file: u64) -> io::Result<&mut Image> {
        self.files.get_mut(&file).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no such file"))
    }

    pub(super) fn grow(&mut self, file: u64, length: u64) -> io::Result<()> {
        let before = self.image(file)?.length() as u64;
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
        (self.dead, self.crash_at) = (false, None);
        (self.fail_next_sync, self.sync_failed) = (false, false);
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
        self.files.values_mut().for_each(|file| crash_image(file, &mut keep));
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut value = *state;
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
