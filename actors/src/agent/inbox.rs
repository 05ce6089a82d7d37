//! What waits for the agent, from other threads: one queue, and one wake-up for all that is in it.
//! Must not decide anything; what is over the bound is dropped here and asked for again by who wants it.

use std::fmt;
use std::sync::Mutex;

use bytes::Bytes;
use hortator_core::event::AttemptEnd;
use hortator_core::id::{AttemptId, Fence};
use hortator_proto::frame::NodeId;

use crate::seam::{Incoming, LaunchEvent};

/// Frames waiting for the agent, in bytes: two of the largest. Above it frames are dropped: a leader that misses an
/// answer asks again after a second.
const FRAMES_BYTES_MAX: usize = 32 << 20;

pub(crate) enum Inbound {
    Frame { from: NodeId, frame: Bytes },
    SessionOpened(NodeId),
    SessionClosed(NodeId),
    Launch(LaunchEvent),
    AttemptOver { attempt: AttemptId, fence: Fence, end: AttemptEnd, log_bytes_dropped: u64 },
}

/// Only frames are bounded here. Sessions are few, and of launch events and ends there are at most a handful per
/// slot: they are never dropped.
pub(crate) struct Inbox {
    state: Mutex<State>,
    wake: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    items: Vec<Inbound>,
    frame_bytes: usize,
    frames_dropped: u64,
    woken: bool,
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbox")
    }
}

impl Inbox {
    /// `wake` is called when something comes after all was taken, from any thread.
    pub(crate) fn new(wake: Box<dyn Fn() + Send + Sync>) -> Inbox {
        Inbox { state: Mutex::default(), wake }
    }

    pub(crate) fn push(&self, items: impl IntoIterator<Item = Inbound>) {
        let mut state = self.state.lock().expect("nothing panics while it holds the inbox");
        for item in items {
            if let Inbound::Frame { frame, .. } = &item {
                if state.frame_bytes + frame.len() > FRAMES_BYTES_MAX {
                    state.frames_dropped += 1;
                    continue;
                }
                state.frame_bytes += frame.len();
            }
            state.items.push(item);
        }
        let wake = !state.woken && !state.items.is_empty();
        state.woken |= wake;
        drop(state);
        if wake {
            (self.wake)();
        }
    }

    /// It waits for whatever comes next, the next tick at the latest. It wakes nobody: who could not take it shares the
    /// agent's thread, and gets to nothing as long as the agent has a message of its own.
    pub(crate) fn put_back(&self, item: Inbound) {
        self.state.lock().expect("nothing panics while it holds the inbox").items.push(item);
    }

    pub(crate) fn take(&self) -> Vec<Inbound> {
        let mut state = self.state.lock().expect("nothing panics while it holds the inbox");
        state.woken = false;
        state.frame_bytes = 0;
        std::mem::take(&mut state.items)
    }

    pub(crate) fn frames_dropped(&self) -> u64 {
        self.state.lock().expect("nothing panics while it holds the inbox").frames_dropped
    }
}

impl Incoming for Inbox {
    fn frame(&self, from: &NodeId, frame: Bytes) {
        // Workers hear masters only.
        if matches!(from, NodeId::Master(_)) {
            self.push([Inbound::Frame { from: from.clone(), frame }]);
        }
    }

    fn session_opened(&self, peer: &NodeId) {
        self.push([Inbound::SessionOpened(peer.clone())]);
    }

    fn session_closed(&self, peer: &NodeId) {
        self.push([Inbound::SessionClosed(peer.clone())]);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn what_is_put_back_wakes_nobody_and_is_not_lost() {
        let wakes = Arc::<AtomicUsize>::default();
        let counted = wakes.clone();
        let inbox = Inbox::new(Box::new(move || _ = counted.fetch_add(1, Ordering::Relaxed)));
        let session = |id| Inbound::SessionOpened(NodeId::Master(id));
        inbox.put_back(session(1));
        assert_eq!(wakes.load(Ordering::Relaxed), 0);
        inbox.push([session(2)]);
        assert_eq!((wakes.load(Ordering::Relaxed), inbox.take().len()), (1, 2));
    }
}
