//! Frames on their way out of one connection: a queue bounded in bytes, filled by any thread, emptied by one writer.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::Notify;

/// Most bytes that wait for one peer: four of the largest frames; more means that the peer does not keep up, and
/// every sender has a policy for that.
pub(super) const QUEUE_BYTES_MAX: usize = 64 << 20;
/// What a frame costs besides its bytes, so that millions of empty ones are bounded too.
const FRAME_OVERHEAD: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Bytes>,
    /// Of the queue and of what the writer has taken and not written.
    bytes: usize,
    closed: bool,
}

/// Why a frame is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Closed,
    Full { bytes: usize },
}

impl Outgoing {
    pub(super) fn push(&self, frame: Bytes) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refusal::Closed);
        }
        let cost = frame.len() + FRAME_OVERHEAD;
        if state.bytes + cost > QUEUE_BYTES_MAX {
            return Err(Refusal::Full { bytes: state.bytes });
        }
        state.bytes += cost;
        let was_empty = state.frames.is_empty();
        state.frames.push_back(frame);
        drop(state);
        if was_empty {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Waits for frames and takes up to so many frames or bytes of them, at least one. None when closed.
    pub(super) async fn take(&self, frames_max: usize, bytes_max: usize) -> Option<Vec<Bytes>> {
        loop {
            let waiting = self.changed.notified();
            {
                let mut state = self.lock();
                if state.closed {
                    return None;
                }
                let mut bytes = 0;
                let fits = |frame: &&Bytes| {
                    bytes += frame.len();
                    bytes <= bytes_max
                };
                let count = state.frames.iter().take(frames_max).take_while(fits).count();
                if let Some(last) = count.max(1).min(state.frames.len()).checked_sub(1) {
                    return Some(state.frames.drain(..=last).collect());
                }
            }
            waiting.await;
        }
    }

    /// These are with the kernel now.
    pub(super) fn written(&self, frames: &[Bytes]) {
        self.lock().bytes -= frames.iter().map(|frame| frame.len() + FRAME_OVERHEAD).sum::<usize>();
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the queue")
    }
}
