//! A sum over all rows that is kept as they are written: replicas that hold the same rows after the same entry have the
//! same sum, and a row that was lost, changed or added behind the writer's back shows. Knows nothing of where rows lie.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::position::{POSITION_BYTES, Position};

/// Sums are kept after entries whose index is a multiple of this: the same entries on every replica, whatever each
/// writes at once.
const EVERY: u64 = 64;
/// So many of them: some thousands of entries, more than replicas that are in touch are apart.
const KEPT_MAX: usize = 64;

/// The sum of the rows after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The entry's index.
    pub index: u64,
    /// The sum.
    pub sum: u64,
}

/// The sum of a set of rows: what is added first does not matter, and what was added can be taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RowSum(u64);

impl RowSum {
    pub(crate) fn of(sum: u64) -> RowSum {
        RowSum(sum)
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }

    pub(crate) fn add(&mut self, stored: &[u8]) {
        self.0 = self.0.wrapping_add(mark(stored));
    }

    pub(crate) fn take(&mut self, stored: &[u8]) {
        self.0 = self.0.wrapping_sub(mark(stored));
    }
}

/// A stored row is position, value, checksum, and the checksum covers the key, so both ends stand for all of it.
fn mark(stored: &[u8]) -> u64 {
    let index = stored.first_chunk::<POSITION_BYTES>().map_or(0, |bytes| Position::from_bytes(*bytes).index);
    let crc = stored.last_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    // The end of splitmix64: sums of similar rows do not look alike.
    let mut mixed = (index << 32) ^ (index >> 32) ^ u64::from(crc);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Whether the sum is kept after this entry.
pub(crate) fn is_checkpoint(index: u64) -> bool {
    index.is_multiple_of(EVERY)
}

/// The newest sums of a group's rows on this replica, for readers of any thread.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    checkpoints: VecDeque<Checkpoint>,
    latest: Option<Checkpoint>,
}

impl Sums {
    /// The rows are others than before: a file was opened, or a snapshot took its place.
    pub(crate) fn restart(&self, latest: Checkpoint) {
        *self.lock() = Kept { checkpoints: VecDeque::new(), latest: Some(latest) };
    }

    pub(crate) fn extend(&self, checkpoints: &[Checkpoint], latest: Checkpoint) {
        let mut kept = self.lock();
        kept.checkpoints.extend(checkpoints);
        let over = kept.checkpoints.len().saturating_sub(KEPT_MAX);
        kept.checkpoints.drain(..over);
        kept.latest = Some(latest);
    }

    /// The newest checkpoint, and the sum after the last entry.
    pub(crate) fn newest(&self) -> Vec<Checkpoint> {
        let kept = self.lock();
        let (checkpoint, latest) = (kept.checkpoints.back().copied(), kept.latest);
        checkpoint.into_iter().filter(|found| Some(*found) != latest).chain(latest).collect()
    }

    pub(crate) fn all(&self) -> Vec<Checkpoint> {
        let kept = self.lock();
        let last = kept.checkpoints.back().copied();
        let latest = kept.latest.filter(|latest| Some(*latest) != last);
        kept.checkpoints.iter().copied().chain(latest).collect()
    }

    pub(crate) fn at(&self, index: u64) -> Option<u64> {
        let kept = self.lock();
        kept.checkpoints.iter().chain(&kept.latest).find(|known| known.index == index).map(|known| known.sum)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::encode_row;
    use super::*;

    fn stored(key: &str, index: u64, value: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_row(key.as_bytes(), Position { term: 1, index }, value.as_bytes(), &mut bytes);
        bytes
    }

    #[test]
    fn a_sum_knows_the_set_and_not_its_order() {
        let rows = [stored("a", 1, "x"), stored("b", 2, "x"), stored("c", 2, "")];
        let sum = |rows: &[&Vec<u8>]| {
            let mut sum = RowSum::default();
            rows.iter().for_each(|row| sum.add(row));
            sum
        };
        let whole = sum(&[&rows[0], &rows[1], &rows[2]]);
        assert_eq!(whole, sum(&[&rows[2], &rows[0], &rows[1]]));
        let others =
            [stored("a", 1, "y"), stored("a", 3, "x"), stored("d", 1, "x"), Vec::new(), rows[1].clone()];
        for other in &others {
            assert_ne!(whole, sum(&[other, &rows[1], &rows[2]]), "{other:?}");
        }
        let mut less = whole;
        less.take(&rows[1]);
        assert_eq!(less, sum(&[&rows[0], &rows[2]]));
    }

    #[test]
    fn checkpoints_are_few_and_the_newest() {
        let sums = Sums::default();
        let at = |index| Checkpoint { index, sum: index * 2 };
        assert!(sums.newest().is_empty());
        sums.restart(at(7));
        assert_eq!((sums.newest(), sums.at(7), sums.at(8)), (vec![at(7)], Some(14), None));
        for round in 1..200 {
            sums.extend(&[at(round * EVERY)], at(round * EVERY + 5));
        }
        assert_eq!(sums.newest(), [at(199 * EVERY), at(199 * EVERY + 5)]);
        assert_eq!(sums.all().len(), KEPT_MAX + 1);
        assert_eq!((sums.at(EVERY), sums.at(190 * EVERY)), (None, Some(380 * EVERY)));
        sums.extend(&[], at(200 * EVERY));
        sums.extend(&[at(200 * EVERY)], at(200 * EVERY));
        assert_eq!(sums.newest(), [at(200 * EVERY)], "the latest may be one");
    }
}
