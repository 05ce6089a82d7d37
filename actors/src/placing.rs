//! What a Dispatcher hears and says, for a world that judges its order. Outside a world nobody listens, and all of this is
//! one branch on a thread's own flag. Must not know what a listener makes of it.

use hortator_core::dispatch::stream::{DispatcherFrame, DispatcherTerm, FrameTaken, OfferFrame};
use hortator_core::time::Timestamp;

hortator_raft::ear!(Listener);

/// A world's ear.
pub trait Listener {
    /// A shard's frame came to a Dispatcher, and this became of it.
    fn hears(&mut self, frame: OfferFrame, taken: FrameTaken);
    /// All that the Dispatcher of that term says after one round of placing, by its clock.
    fn says(&mut self, term: DispatcherTerm, frames: &[DispatcherFrame], now: Timestamp);
}

/// Both hear all.
impl<A: Listener, B: Listener> Listener for (A, B) {
    fn hears(&mut self, frame: OfferFrame, taken: FrameTaken) {
        self.0.hears(frame.clone(), taken);
        self.1.hears(frame, taken);
    }

    fn says(&mut self, term: DispatcherTerm, frames: &[DispatcherFrame], now: Timestamp) {
        self.0.says(term, frames, now);
        self.1.says(term, frames, now);
    }
}

pub(crate) fn hears(frame: OfferFrame, taken: FrameTaken) {
    with(|listener| listener.hears(frame, taken));
}

#[inline]
pub(crate) fn says(term: DispatcherTerm, frames: &[DispatcherFrame], now: Timestamp) {
    if is_heard() {
        with(|listener| listener.says(term, frames, now));
    }
}
