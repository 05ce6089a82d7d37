//! Answers that stay open: how many there may be, and how long each waits between looks.
//! Must not know what is streamed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use hortator_core::id::Position;
use hortator_proto::api::{Problem, ProblemKind};

use super::Backend;
use super::problem::{Refusal, code};

/// Open streams and waits of one server; each costs a buffer and a query per look.
pub(super) const STREAMS_MAX: usize = 512;
/// A client that waits sees a sign of life at least this often, and so do the proxies between.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(15);
/// Looks follow the log at once, but not more often than this, since every entry of a shard is news to all.
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// Counts open streams.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams(Arc<AtomicUsize>);

/// The right to keep one stream open; given back when dropped.
#[derive(Debug)]
pub(super) struct Ticket(Arc<AtomicUsize>);

impl Streams {
    pub(super) fn enter(&self) -> Result<Ticket, Refusal> {
        let ticket = Ticket(self.0.clone());
        if self.0.fetch_add(1, Ordering::Relaxed) < STREAMS_MAX {
            return Ok(ticket);
        }
        let detail = format!("{STREAMS_MAX} streams are open on this master, more are refused");
        Err(Problem::new(ProblemKind::Busy, code::STREAMS_FULL, detail).param("limit", STREAMS_MAX).into())
    }
}

impl Streams {
    pub(super) fn open(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Spaces the looks at something that changes with the log.
#[derive(Debug)]
pub(super) struct Pace {
    pause: Duration,
}

impl Pace {
    pub(super) fn new() -> Pace {
        Pace { pause: PAUSE_MIN }
    }

    /// Something new was seen: the next look may come soon.
    pub(super) fn reset(&mut self) {
        self.pause = PAUSE_MIN;
    }

    /// Waits for the group's log to pass the position, at most `at_most`, and at least a pause that grows.
    /// False when the time passed without news.
    pub(super) async fn news(&mut self, backend: &dyn Backend, seen: Position, at_most: Duration) -> bool {
        tokio::time::sleep(self.pause.min(at_most)).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        let applied = backend.applied_past(seen.group, seen.index);
        let passed = std::pin::pin!(tokio::time::sleep(at_most));
        matches!(select(applied, passed).await, Either::Left(_))
    }

    /// Waits a pause that grows, without looking at the log.
    pub(super) async fn rest(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}
