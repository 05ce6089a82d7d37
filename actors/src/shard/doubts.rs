//! Dispatched attempts of which nothing was heard yet: whether a `Run` came is not written anywhere, so it is asked
//! for. Pure; times are arguments. Must not know frames, or what the answer means.

use std::collections::{BTreeMap, VecDeque};

use hortator_core::id::{AttemptId, Fence, TaskRunId, WorkerRef};
use hortator_core::reason::{Reason, SentStage};
use hortator_core::time::{Span, Timestamp};

/// How long after a `Run` its worker is asked, and then again, until it answers: long for a frame's way, short for a
/// person; most attempts are over before.
pub(super) const DOUBT_AFTER: Span = Span::from_secs(1);
/// Attempts in one `Ask`; some 60 bytes each.
pub(super) const ASKED_MAX: usize = 4_096;

/// An attempt's number comes again after a refusal, its fence never.
type Key = (AttemptId, Fence);

#[derive(Debug, Default)]
pub(super) struct Doubts {
    open: BTreeMap<Key, Doubt>,
    /// One for each open one, by time, since all wait equally long; some may be settled meanwhile.
    due: VecDeque<(Span, Key)>,
}

/// An attempt of which nothing was heard.
#[derive(Debug)]
struct Doubt {
    worker: WorkerRef,
    /// When its first `Run` went out, by the epoch's time.
    since: Timestamp,
    /// The same, by the clock that `asked_at` goes by.
    sent_at: Span,
    /// When its worker is asked next.
    asked_at: Span,
}

impl Doubts {
    /// A `Run` goes out, perhaps once more. `now` and `time` are the same moment.
    pub(super) fn sent(
        &mut self,
        (attempt, fence): (AttemptId, Fence),
        worker: &WorkerRef,
        now: Span,
        time: Timestamp,
    ) {
        let (key, due) = ((attempt, fence), Span(now.0 + DOUBT_AFTER.0));
        if self.open.contains_key(&key) {
            return;
        }
        self.due.push_back((due, key));
        let doubt = Doubt { worker: worker.clone(), since: time, sent_at: now, asked_at: due };
        self.open.insert(key, doubt);
    }

    /// Why the task run's attempt is not known to run; none when nothing of it is in doubt.
    pub(super) fn reason(&self, task_run: TaskRunId) -> Option<Reason> {
        let first = (AttemptId { task_run, attempt: 0 }, Fence::default());
        let ((attempt, _), doubt) = self.open.range(first..).next()?;
        let next_resend = doubt.since.plus(Span(doubt.asked_at.0 - doubt.sent_at.0));
        let stage = SentStage::Sent { next_resend };
        let worker = doubt.worker.clone();
        (attempt.task_run == task_run).then_some(Reason::SentNotAcknowledged {
            worker,
            since: doubt.since,
            stage,
        })
    }

    /// The worker holds it, or it has ended.
    pub(super) fn settled(&mut self, fence: Fence, attempt: AttemptId) {
        self.open.remove(&(attempt, fence));
        while self.due.front().is_some_and(|(_, key)| !self.open.contains_key(key)) {
            self.due.pop_front();
        }
    }

    /// Whom to ask now about what, one frame's worth at a time.
    pub(super) fn due(&mut self, now: Span) -> Vec<(WorkerRef, Vec<(AttemptId, Fence)>)> {
        let mut asked: BTreeMap<WorkerRef, Vec<(AttemptId, Fence)>> = BTreeMap::new();
        let mut again = Vec::new();
        while self.due.front().is_some_and(|(at, _)| *at <= now) {
            let (_, key) = self.due.pop_front().expect("it was just looked at");
            if let Some(doubt) = self.open.get_mut(&key) {
                doubt.asked_at = Span(now.0 + DOUBT_AFTER.0);
                asked.entry(doubt.worker.clone()).or_default().push(key);
                again.push((doubt.asked_at, key));
            }
        }
        let pages = asked.into_iter().flat_map(|(worker, attempts)| {
            let pages = attempts.chunks(ASKED_MAX).map(<[_]>::to_vec).collect::<Vec<_>>();
            pages.into_iter().map(move |page| (worker.clone(), page))
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

    fn key(index: u64) -> (AttemptId, Fence) {
        let task_run = TaskRunId { run: RunId(7), key: TaskKey { task: index as u32, item: 0 } };
        (AttemptId { task_run, attempt: 1 }, Fence { generation: 1, shard: 1, term: 2, index })
    }

    fn worker(name: &str) -> WorkerRef {
        WorkerRef { name: Name::new(name).expect("a name"), incarnation: 1 }
    }

    /// At that many milliseconds, the clock's and those of 1970.
    fn sent(doubts: &mut Doubts, index: u64, on: &str, millis: u64) {
        let time = Timestamp(millis as i64 * 1_000);
        doubts.sent(key(index), &worker(on), Span::from_millis(millis), time);
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
            sent(&mut doubts, index, on, index);
        }
        sent(&mut doubts, 1, "w1", 900);
        doubts.settled(key(3).1, key(3).0);
        assert_eq!(asked(&mut doubts, 1_000), []);
        assert_eq!(asked(&mut doubts, 1_004), [("w1".into(), vec![1, 4]), ("w2".into(), vec![2])]);
        assert_eq!(asked(&mut doubts, 2_000), []);
        doubts.settled(key(1).1, key(1).0);
        doubts.settled(key(2).1, key(2).0);
        assert_eq!(asked(&mut doubts, 2_004), [("w1".into(), vec![4])]);
        doubts.settled(key(4).1, key(4).0);
        assert!(doubts.open.is_empty() && doubts.due.is_empty());
    }

    #[test]
    fn what_is_in_doubt_is_told_with_its_times_until_it_is_settled() {
        let mut doubts = Doubts::default();
        sent(&mut doubts, 1, "w1", 10);
        sent(&mut doubts, 1, "w1", 900);
        let reason = |doubts: &Doubts, index: u64| match doubts.reason(key(index).0.task_run)? {
            Reason::SentNotAcknowledged { worker, since, stage: SentStage::Sent { next_resend } } => {
                Some((worker.name.to_string(), since.0 / 1_000, next_resend.0 / 1_000))
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(&doubts, 1), Some(("w1".into(), 10, 1_010)));
        assert_eq!((reason(&doubts, 0), reason(&doubts, 2)), (None, None));
        assert_eq!(asked(&mut doubts, 1_020), [("w1".into(), vec![1])]);
        assert_eq!(reason(&doubts, 1), Some(("w1".into(), 10, 2_020)));
        doubts.settled(key(1).1, key(1).0);
        assert_eq!(reason(&doubts, 1), None);
    }

    #[test]
    fn a_frame_has_a_bound() {
        let mut doubts = Doubts::default();
        for index in 0..ASKED_MAX as u64 + 1 {
            sent(&mut doubts, index, "w1", 0);
        }
        let pages: Vec<usize> = doubts.due(DOUBT_AFTER).iter().map(|(_, page)| page.len()).collect();
        assert_eq!(pages, [ASKED_MAX, 1]);
    }
}
