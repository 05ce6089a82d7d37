//! Which rows of certain kinds entries have changed lately, for readers who keep a picture of them: what is missing here
//! only means that they read all of it. The kinds are given as first bytes of keys; knows nothing of what they mean.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Keys that are remembered, some 100 bytes each. Readers look after each entry; one that was held up for longer than
/// this many changes reads everything.
const KEPT_MAX: usize = 16_384;

/// How far a reader has come. The default has seen nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    life: u64,
    index: u64,
}

/// What has changed since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// These rows, perhaps several times; the rows show it already.
    Rows(Vec<Bytes>),
    /// It is not known: any row may have.
    Anything,
}

#[derive(Debug, Default)]
pub(crate) struct Changes(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Rises with each file that takes the place of another.
    life: u64,
    /// Everything above it is in `recent`.
    from: u64,
    to: u64,
    recent: VecDeque<(u64, Bytes)>,
}

impl Changes {
    /// Another file shows its rows up to that index.
    pub(crate) fn restart(&self, index: u64) {
        let mut inner = self.lock();
        *inner = Inner { life: inner.life + 1, from: index, to: index, recent: VecDeque::new() };
    }

    /// Rows up to that index can be read; these are the changes.
    pub(crate) fn extend(&self, changes: impl Iterator<Item = (u64, Bytes)>, index: u64) {
        let mut inner = self.lock();
        inner.recent.extend(changes);
        inner.to = index;
        while inner.recent.len() > KEPT_MAX {
            let (index, _) = inner.recent.pop_front().expect("there are some");
            inner.from = index;
        }
    }

    pub(crate) fn since(&self, cursor: &mut Cursor) -> Changed {
        let inner = self.lock();
        let seen = std::mem::replace(cursor, Cursor { life: inner.life, index: inner.to });
        if seen.life != inner.life || seen.index < inner.from {
            return Changed::Anything;
        }
        let new = inner.recent.partition_point(|(index, _)| *index <= seen.index);
        Changed::Rows(inner.recent.range(new..).map(|(_, key)| key.clone()).collect())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_hear_each_change_once_and_of_gaps() {
        let changes = Changes::default();
        changes.restart(10);
        let (mut early, mut late) = (Cursor::default(), Cursor::default());
        let key = |text: &'static str| Bytes::from_static(text.as_bytes());
        assert_eq!(changes.since(&mut early), Changed::Anything);
        assert_eq!(changes.since(&mut early), Changed::Rows(vec![]));
        changes.extend([(11, key("a")), (12, key("b"))].into_iter(), 12);
        assert_eq!(changes.since(&mut early), Changed::Rows(vec![key("a"), key("b")]));
        changes.extend([(13, key("c"))].into_iter(), 13);
        assert_eq!(changes.since(&mut early), Changed::Rows(vec![key("c")]));
        assert_eq!(changes.since(&mut late), Changed::Anything);
        let mut slow = early;
        changes.extend((14..).map(|index| (index, key("d"))).take(KEPT_MAX + 1), 14 + KEPT_MAX as u64);
        assert_eq!(changes.since(&mut slow), Changed::Anything);
        changes.restart(20_000);
        assert_eq!(changes.since(&mut early), Changed::Anything);
    }
}
