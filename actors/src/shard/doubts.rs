//! Dispatched attempts of which nothing was heard yet: whether a `Run` came is not written anywhere, so it is asked
//! for. Pure; times are arguments. Must not know frames, or what the answer means.

use std::collections::{BTreeMap, VecDeque};

use hortator_core::id::{AttemptId, Fence, WorkerRef};
use hortator_core::time::Span;

/// How long after a `Run` its worker is asked, and then again, until it answers: long for a frame's way, short for a
/// person; most attempts are over before.
pub(super) const DOUBT_AFTER: Span = Span::from_secs(1);
/// Attempts in one `Ask`; some 60 bytes each.
pub(super) const ASKED_MAX: usize = 4_096;

/// An attempt's fence comes first: it is the order of dispatch.
type Key = (Fence, AttemptId);

#[derive(Debug, Default)]
pub(super) struct Doubts {
    open: BTreeMap<Key, WorkerRef>,
    /// One for each open one, by time, since all wait equally long; some may be settled meanwhile.
    due: VecDeque<(Span, Key)>,
}

impl Doubts {
    /// A `Run` goes out, perhaps once more.
    pub(super) fn sent(&mut self, fence: Fence, attempt: AttemptId, worker: &WorkerRef, now: Span) {
        let key = (fence, attempt);
        if self.open.insert(key, worker.clone()).is_none() {
            self.due.push_back((Span(now.0 + DOUBT_AFTER.0), key));
        }
    }

    /// The worker holds it, or it has ended.
    pub(super) fn settled(&mut self, fence: Fence, attempt: AttemptId) {
        self.open.remove(&(fence, attempt));
        while self.due.front().is_some_and(|(_, key)| !self.open.contains_key(key)) {
            self.due.pop_front();
        }
    }

    /// Whom to ask now about what, one frame's worth at a time.
    pub(super) fn due(&mut self, now: Span) -> Vec<(WorkerRef, Vec<(AttemptId, Fence)>)> {
        let mut asked: BTreeMap<&WorkerRef, Vec<(AttemptId, Fence)>> = BTreeMap::new();
        let mut again = Vec::new();
        while self.due.front().is_some_and(|(at, _)| *at <= now) {
            let (_, key) = self.due.pop_front().expect("it was just looked at");
            if let Some(worker) = self.open.get(&key) {
                asked.entry(worker).or_default().push((key.1, key.0));
                again.push((Span(now.0 + DOUBT_AFTER.0), key));
            }
        }
        let pages = asked.into_iter().flat_map(|(worker, attempts)| {
            let pages = attempts.chunks(ASKED_MAX).map(<[_]>::to_vec).collect::<Vec<_>>();
            pages.into_iter().map(|page| (worker.clone(), page))
        });
        let pages = pages.collect();
        self.due.extend(again);
        pages
    }
}

#[cfg(test)]
mod tests {
    use hortator_core::id::{Name, RunId, TaskKey, TaskRunId};

    use super::*;

    fn key(index: u64) -> (Fence, AttemptId) {
        let task_run = TaskRunId { run: RunId(7), key: TaskKey { task: index as u32, item: 0 } };
        (Fence { generation: 1, shard: 1, term: 2, index }, AttemptId { task_run, attempt: 1 })
    }

    fn worker(name: &str) -> WorkerRef {
        WorkerRef { name: Name::new(name).expect("a name"), incarnation: 1 }
    }

    fn asked(doubts: &mut Doubts, millis: u64) -> Vec<(String, Vec<u64>)> {
        let due = doubts.due(Span::from_millis(millis)).into_iter();
        due.map(|(worker, page)| (worker.name.to_string(), page.iter().map(|(_, f)| f.index).collect()))
            .collect()
    }

    #[test]
    fn asked_each_second_until_settled_and_together_by_worker() {
        let mut doubts = Doubts::default();
        for (index, on) in [(1, "w1"), (2, "w2"), (3, "w1"), (4, "w1")] {
            doubts.sent(key(index).0, key(index).1, &worker(on), Span::from_millis(index));
        }
        doubts.sent(key(1).0, key(1).1, &worker("w1"), Span::from_millis(900));
        doubts.settled(key(3).0, key(3).1);
        assert_eq!(asked(&mut doubts, 1_000), []);
        assert_eq!(asked(&mut doubts, 1_004), [("w1".into(), vec![1, 4]), ("w2".into(), vec![2])]);
        assert_eq!(asked(&mut doubts, 2_000), []);
        doubts.settled(key(1).0, key(1).1);
        doubts.settled(key(2).0, key(2).1);
        assert_eq!(asked(&mut doubts, 2_004), [("w1".into(), vec![4])]);
        doubts.settled(key(4).0, key(4).1);
        assert!(doubts.open.is_empty() && doubts.due.is_empty());
    }

    #[test]
    fn a_frame_has_a_bound() {
        let mut doubts = Doubts::default();
        for index in 0..ASKED_MAX as u64 + 1 {
            doubts.sent(key(index).0, key(index).1, &worker("w1"), Span(0));
        }
        let pages: Vec<usize> = doubts.due(DOUBT_AFTER).iter().map(|(_, page)| page.len()).collect();
        assert_eq!(pages, [ASKED_MAX, 1]);
    }
}
