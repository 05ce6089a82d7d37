//! How many bytes the log holds, and up to where it may be cut.
//! Pure arithmetic; the group decides with it, the writer cuts.

use std::collections::VecDeque;

/// A segment is closed at this size: coarse enough to be cheap, fine enough to honour the bound.
const SEGMENT_BYTES: u64 = 64 * 1024;
/// A segment is closed at this many entries, or half of those that are kept.
const SEGMENT_ENTRIES: u64 = 512;

#[derive(Clone, Copy, Debug)]
struct Segment {
    last: u64,
    entries: u64,
    bytes: u64,
}

/// Sizes of the log in segments, oldest first.
#[derive(Debug)]
pub(crate) struct LogSizes {
    segments: VecDeque<Segment>,
    total: u64,
    /// Entries of a full segment.
    grain: u64,
}

/// What bounds a cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// Rows up to here are visible; nothing behind it may be cut.
    pub(crate) applied: u64,
    /// Entries to keep behind `applied`.
    pub(crate) entries: u64,
    /// Bytes of log to keep at most.
    pub(crate) bytes: u64,
    /// What the slowest live follower has, or a running snapshot needs.
    pub(crate) slowest: u64,
}

impl LogSizes {
    pub(crate) fn new(_first: u64) -> LogSizes {
        LogSizes { segments: VecDeque::new(), total: 0, grain: SEGMENT_ENTRIES }
    }

    /// For a log of which so many entries are kept; what is measured already stays as it is.
    pub(crate) fn keeping(self, entries: u64) -> LogSizes {
        LogSizes { grain: SEGMENT_ENTRIES.min(entries / 2).max(1), ..self }
    }

    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    pub(crate) fn append(&mut self, index: u64, bytes: u64) {
        self.total += bytes;
        match self.segments.back_mut() {
            Some(segment) if segment.bytes < SEGMENT_BYTES && segment.entries < self.grain => {
                segment.last = index;
                segment.entries += 1;
                segment.bytes += bytes;
            }
            _ => self.segments.push_back(Segment { last: index, entries: 1, bytes }),
        }
    }

    /// Forgets entries at and after `index`, which are about to be overwritten.
    pub(crate) fn cut_tail(&mut self, index: u64) {
        while let Some(segment) = self.segments.back_mut() {
            if segment.last < index {
                return;
            }
            let first = segment.last + 1 - segment.entries;
            if first >= index {
                self.total -= segment.bytes;
                self.segments.pop_back();
                continue;
            }
            // the sizes of single entries are not kept: take the average
            let gone = segment.last + 1 - index;
            let bytes = segment.bytes * gone / segment.entries;
            segment.last = index - 1;
            segment.entries -= gone;
            segment.bytes -= bytes;
            self.total -= bytes;
            return;
        }
    }

    /// Forgets everything: a snapshot has replaced the log.
    pub(crate) fn clear(&mut self) {
        self.segments.clear();
        self.total = 0;
    }

    /// The last index that should be cut now, if any; forgets what lies up to there.
    pub(crate) fn cut_head(&mut self, keep: Keep) -> Option<u64> {
        let floor = keep.applied.saturating_sub(keep.entries);
        let wanted = floor.min(keep.slowest);
        let mut cut = None;
        while let Some(segment) = self.segments.front() {
            let over = self.total > keep.bytes;
            let limit = if over { keep.applied } else { wanted };
            // the last segment still grows, so it stays
            if segment.last > limit || self.segments.len() == 1 {
                break;
            }
            cut = Some(segment.last);
            self.total -= segment.bytes;
            self.segments.pop_front();
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(entries: u64, bytes: u64) -> LogSizes {
        let mut sizes = LogSizes::new(0);
        (1..=entries).for_each(|index| sizes.append(index, bytes));
        sizes
    }

    #[test]
    fn keeps_the_wanted_entries_and_the_slowest_follower() {
        let keep = |slowest| Keep { applied: 5_000, entries: 1_000, bytes: u64::MAX, slowest };
        let cut = sizes(5_000, 10).cut_head(keep(u64::MAX)).expect("something to cut");
        assert!((3_000..=4_000).contains(&cut), "{cut}");
        let cut = sizes(5_000, 10).cut_head(keep(2_000)).expect("something to cut");
        assert!((1_000..=2_000).contains(&cut), "{cut}");
        assert_eq!(sizes(5_000, 10).cut_head(keep(10)), None);
    }

    #[test]
    fn the_byte_bound_wins_over_the_follower_but_never_over_applied() {
        let mut log = sizes(5_000, 1_000);
        let keep = Keep { applied: 3_000, entries: 4_000, bytes: 1_000_000, slowest: 1 };
        let cut = log.cut_head(keep).expect("over the bound");
        assert!(cut <= 3_000 && cut > 2_000, "{cut}");
        assert!(log.total() >= 2_000_000);
    }

    #[test]
    fn an_overwritten_tail_is_forgotten() {
        let mut log = sizes(1_000, 10);
        log.cut_tail(700);
        assert_eq!(log.total(), 6_990);
        log.append(700, 10);
        assert_eq!(log.total(), 7_000);
        log.cut_tail(1);
        assert_eq!(log.total(), 0);
    }
}
