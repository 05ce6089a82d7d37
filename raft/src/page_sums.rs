//! What a file's pages were when this process last wrote or read them. The store verifies all of a file as it opens; from
//! then on a page that comes back as something else, for whatever reason, shows when it is read and before it is used. In
//! memory only. Must not know what pages hold.

use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What redb allocates: larger pages are several of these, and what is smaller is the header, which has a sum of its own.
pub(crate) const PAGE_BYTES: usize = 4096;

/// Four bytes for each page of the file, a MiB for a GiB.
#[derive(Debug, Default)]
pub(crate) struct PageSums {
    sums: Mutex<Vec<Option<NonZeroU32>>>,
}

impl PageSums {
    /// These bytes lie there from now on.
    pub(crate) fn wrote(&self, offset: u64, data: &[u8]) {
        let mut sums = self.lock();
        for (page, bytes) in pages(offset, data) {
            if sums.len() <= page {
                sums.resize(page + 1, None);
            }
            sums[page] = bytes.map(sum);
        }
    }

    /// Nobody knows what lies there: it was written in part.
    pub(crate) fn forget(&self, offset: u64, data: &[u8]) {
        let mut sums = self.lock();
        let known = sums.len();
        pages(offset, data).filter(|(page, _)| *page < known).for_each(|(page, _)| sums[page] = None);
    }

    /// Nothing lies at or behind `length`.
    pub(crate) fn cut(&self, length: u64) {
        self.lock().truncate(page_of(length));
    }

    /// Whether these bytes, read there, are what is known of the pages that they make whole; what is not known of any is
    /// now.
    pub(crate) fn read(&self, offset: u64, data: &[u8]) -> bool {
        let read: Vec<(usize, NonZeroU32)> =
            pages(offset, data).filter_map(|(page, bytes)| Some((page, sum(bytes?)))).collect();
        let mut sums = self.lock();
        read.into_iter().all(|(page, sum)| {
            if sums.len() <= page {
                sums.resize(page + 1, None);
            }
            *sums[page].get_or_insert(sum) == sum
        })
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<NonZeroU32>>> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The pages that these bytes touch, each with its bytes if all of them are there.
fn pages(offset: u64, data: &[u8]) -> impl Iterator<Item = (usize, Option<&[u8]>)> {
    let end = offset + data.len() as u64;
    (page_of(offset)..page_of(end.next_multiple_of(PAGE_BYTES as u64))).map(move |page| {
        let begins = (page * PAGE_BYTES) as u64;
        let within = begins.checked_sub(offset).map(|within| within as usize);
        (page, within.and_then(|within| data.get(within..within + PAGE_BYTES)))
    })
}

fn page_of(offset: u64) -> usize {
    (offset / PAGE_BYTES as u64) as usize
}

fn sum(page: &[u8]) -> NonZeroU32 {
    NonZeroU32::new(crc32fast::hash(page)).unwrap_or(NonZeroU32::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = PAGE_BYTES as u64;

    #[test]
    fn what_was_written_or_read_is_known() {
        let sums = PageSums::default();
        let (one, two) = ([1; PAGE_BYTES], [2; PAGE_BYTES]);
        let both = [one, two].concat();
        sums.wrote(PAGE, &both);
        let reads: [(u64, &[u8], bool); 7] = [
            (PAGE, &one, true),
            (PAGE, &two, false),
            (2 * PAGE, &two, true),
            (PAGE, &both, true),
            (2 * PAGE, &both, false),
            // a part of a page says nothing
            (PAGE + 1, &two[1..], true),
            // and what was never written is what was read first
            (9 * PAGE, &one, true),
        ];
        for (case, (offset, bytes, expected)) in reads.into_iter().enumerate() {
            assert_eq!(sums.read(offset, bytes), expected, "case {case}");
        }
        assert!(!sums.read(9 * PAGE, &two));
    }

    #[test]
    fn what_is_unknown_is_not_judged() {
        let (one, two) = ([1; PAGE_BYTES], [2; PAGE_BYTES]);
        type Change = fn(&PageSums);
        let changes: [(&str, Change, bool); 4] = [
            ("written in part", |sums| sums.wrote(PAGE + 10, &[7; 20]), true),
            ("forgotten", |sums| sums.forget(PAGE + 10, &[7; 20]), true),
            ("cut off", |sums| sums.cut(PAGE), true),
            ("another cut off", |sums| sums.cut(2 * PAGE), false),
        ];
        for (what, change, expected) in changes {
            let sums = PageSums::default();
            sums.wrote(PAGE, &one);
            change(&sums);
            assert_eq!(sums.read(PAGE, &two), expected, "{what}");
        }
    }
}
