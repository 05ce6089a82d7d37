//! A line of works that are done later, in the order of their times: one thread, made when the first work is late. Must
//! not know what the works are.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Bytes that may be late at a time: as many as a connection's own queue holds.
const BYTES_MAX: usize = 64 << 20;

type Work = Box<dyn FnOnce() + Send>;

/// Dropping it ends the thread; what is late then is lost.
#[derive(Default)]
pub(super) struct Line(Arc<Shared>);

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    late: BinaryHeap<Reverse<Late>>,
    /// Orders works of one time.
    number: u64,
    bytes: usize,
    started: bool,
    ended: bool,
}

struct Late {
    at: Instant,
    number: u64,
    bytes: usize,
    work: Work,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

impl Line {
    /// False when so much is late already that there is no room for it.
    pub(super) fn push(&self, at: Instant, bytes: usize, work: Work) -> bool {
        let mut queue = self.0.lock();
        if queue.bytes + bytes > BYTES_MAX {
            return false;
        }
        if !queue.started {
            let shared = self.0.clone();
            let thread = std::thread::Builder::new().name("late-frames".into());
            queue.started = thread.spawn(move || shared.live()).is_ok();
        }
        queue.bytes += bytes;
        queue.number += 1;
        let number = queue.number;
        queue.late.push(Reverse(Late { at, number, bytes, work }));
        drop(queue);
        self.0.changed.notify_one();
        true
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.changed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self) {
        let mut queue = self.lock();
        while !queue.ended {
            let now = Instant::now();
            match queue.late.peek().map(|Reverse(first)| first.at) {
                None => queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(at) if at > now => {
                    let waited = self.changed.wait_timeout(queue, at - now);
                    queue = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Some(_) => {
                    let Some(Reverse(first)) = queue.late.pop() else { continue };
                    queue.bytes -= first.bytes;
                    drop(queue);
                    (first.work)();
                    queue = self.lock();
                }
            }
        }
    }
}

impl PartialEq for Late {
    fn eq(&self, other: &Late) -> bool {
        self.number == other.number
    }
}

impl Eq for Late {}

impl PartialOrd for Late {
    fn partial_cmp(&self, other: &Late) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Late {
    fn cmp(&self, other: &Late) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
