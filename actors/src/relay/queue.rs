//! What a master has passed on for each pair of nodes, and how much of it still waits here. Must not know why the pair
//! needs it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hortator_proto::frame::NodeId;

/// Most bytes that wait here for one pair of nodes, a sixteenth of what waits for one peer: a pair that sends more than
/// its relay gets rid of loses frames, as over a dead link, and the relay's own frames find room. A frame that is
/// larger finds room when nothing else waits.
pub(super) const PAIR_BYTES_MAX: usize = 4 << 20;

#[derive(Debug, Default)]
pub(super) struct Pairs {
    known: Mutex<BTreeMap<(NodeId, NodeId), Arc<Pair>>>,
}

/// From one node to another.
#[derive(Debug, Default)]
pub(super) struct Pair {
    waiting: AtomicUsize,
    passed: AtomicU64,
    dropped: AtomicU64,
}

/// A frame that counts as waiting until the transport lets go of it.
struct Counted {
    bytes: Bytes,
    pair: Arc<Pair>,
}

impl Pairs {
    pub(super) fn of(&self, origin: &NodeId, destination: &NodeId) -> Arc<Pair> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry((origin.clone(), destination.clone())).or_default().clone()
    }

    /// From whom to whom, passed on, dropped.
    pub(super) fn counts(&self) -> Vec<(NodeId, NodeId, u64, u64)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        known
            .iter()
            .map(|((from, to), pair)| (from.clone(), to.clone(), count(&pair.passed), count(&pair.dropped)))
            .collect()
    }
}

impl Pair {
    /// The same bytes, counted while they wait; none when too much waits already.
    pub(super) fn admit(self: &Arc<Pair>, bytes: Bytes) -> Option<Bytes> {
        let before = self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        // It takes itself back when it is dropped.
        let counted = Counted { bytes, pair: self.clone() };
        let fits = before == 0 || before + counted.bytes.len() <= PAIR_BYTES_MAX;
        fits.then(|| Bytes::from_owner(counted))
    }

    pub(super) fn count(&self, passed: bool) {
        let counter = if passed { &self.passed } else { &self.dropped };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.pair.waiting.fetch_sub(self.bytes.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_a_bound_and_room_again_when_its_frames_have_left() {
        let pairs = Pairs::default();
        let pair = pairs.of(&NodeId::Master(1), &NodeId::Master(3));
        let frame = |bytes: usize| Bytes::from(vec![0; bytes]);
        let large = pair.admit(frame(PAIR_BYTES_MAX * 2)).expect("alone it finds room");
        assert!(pair.admit(frame(1)).is_none());
        drop(large);
        let half = pair.admit(frame(PAIR_BYTES_MAX / 2)).expect("half");
        let rest = pair.admit(frame(PAIR_BYTES_MAX / 2)).expect("the other half");
        assert!(pair.admit(frame(1)).is_none());
        let other = pairs.of(&NodeId::Master(3), &NodeId::Master(1));
        assert!(other.admit(frame(1)).is_some(), "another pair has its own");
        // A clone of it, as a transport that retries would hold.
        let clone = half.clone();
        drop(half);
        assert!(pair.admit(frame(1)).is_none());
        drop((clone, rest));
        assert!(pair.admit(frame(PAIR_BYTES_MAX)).is_some());
    }
}
