//! The slowest of many things, kept for an hour. Must not know what they are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hortator_proto::api::SlowOne;
use tokio::time::Instant;

/// What takes no longer is nothing to look at, and costs one comparison.
const FLOOR: Duration = Duration::from_millis(1);
/// Enough to see what recurs.
const KEPT_MAX: usize = 50;
/// Older ones make room, however slow they were.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);

/// Noted by any thread, read by any other.
#[derive(Debug)]
pub struct SlowBoard {
    /// Nothing faster is noted: `FLOOR`, or the fastest of a full board.
    floor_ns: AtomicU64,
    kept: Mutex<Vec<Slow>>,
}

#[derive(Debug)]
struct Slow {
    took: Duration,
    over: Instant,
    what: String,
}

impl Default for SlowBoard {
    fn default() -> SlowBoard {
        SlowBoard { floor_ns: AtomicU64::new(nanos(FLOOR)), kept: Mutex::default() }
    }
}

impl SlowBoard {
    /// It has just ended; `what` is asked for its name only if it is slow.
    pub fn note(&self, took: Duration, what: impl FnOnce() -> String) {
        if nanos(took) <= self.floor_ns.load(Ordering::Relaxed) {
            return;
        }
        let mut kept = self.lock();
        kept.push(Slow { took, over: Instant::now(), what: what() });
        self.trim(&mut kept);
    }

    /// Slowest first.
    pub fn top(&self, count: usize) -> Vec<SlowOne> {
        let mut kept = self.lock();
        self.trim(&mut kept);
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let one = |slow: &Slow| SlowOne {
            what: slow.what.clone(),
            took_us: micros(slow.took),
            ago_us: micros(slow.over.elapsed()),
        };
        kept.iter().take(count).map(one).collect()
    }

    fn trim(&self, kept: &mut Vec<Slow>) {
        kept.retain(|slow| slow.over.elapsed() < KEPT_FOR);
        kept.sort_by_key(|slow| std::cmp::Reverse(slow.took));
        kept.truncate(KEPT_MAX);
        let floor = kept.get(KEPT_MAX - 1).map_or(FLOOR, |fastest| fastest.took);
        self.floor_ns.store(nanos(floor), Ordering::Relaxed);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Slow>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_slowest_stay_for_an_hour() {
        let board = SlowBoard::default();
        let millis = Duration::from_millis;
        let taken = || -> Vec<u64> { board.top(99).iter().map(|slow| slow.took_us / 1_000).collect() };
        board.note(FLOOR, || panic!("nobody asks"));
        for took in [5, 900, 7] {
            board.note(millis(took), || format!("it took {took}"));
        }
        assert_eq!((taken(), &*board.top(1)[0].what), (vec![900, 7, 5], "it took 900"));
        tokio::time::advance(KEPT_FOR - millis(1)).await;
        for took in 10..10 + KEPT_MAX as u64 {
            board.note(millis(took), String::new);
        }
        assert_eq!((taken().len(), taken()[0], taken()[KEPT_MAX - 1]), (KEPT_MAX, 900, 11));
        board.note(millis(11), || panic!("it is not among the slowest"));
        tokio::time::advance(millis(1)).await;
        assert_eq!(taken()[0], 59, "900 is an hour old");
        board.note(millis(2), String::new);
        assert_eq!(taken().last(), Some(&2), "there is room again");
    }
}
