//! Ageing at the shard: what waits rises here as it does at the Dispatcher, hidden or shown, so that what has waited long
//! is shown before what is newer. Both go by the Dispatcher's time, and the shard hears it a little late: so its
//! horizon is never before what the Dispatcher takes for best. Must not know what a rise is good for.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::book::OfferBook;
use super::frame::Ageing;
use crate::dispatch::offer::aged;
use crate::id::{Name, TaskRunId};
use crate::time::{Span, Timestamp};

/// Offers that may rise or fall in one turn, a few milliseconds: a large `foreach` rises all at once, and a book of a
/// million falls and rises when another Dispatcher comes, which took a second; others have their turns in between.
const RISES_MAX: usize = 4_096;

/// What the Dispatcher said of ageing, and what follows.
#[derive(Debug, Default)]
pub(super) struct Ages {
    /// Of groups that age.
    spans: BTreeMap<Name, Span>,
    /// What the Dispatcher's time is more than ours, in microseconds.
    ahead: i64,
    /// By the Dispatcher's time. Of each offer whose group ages and that may rise, one.
    rises: BTreeSet<(Timestamp, TaskRunId)>,
    /// What was said of ageing has changed, and offers from there on do not know it yet; the oldest runs know it first.
    unsettled: Option<Bound<TaskRunId>>,
}

impl Ages {
    /// Of an offer that is new here: when it rises first, which may be long ago.
    pub(super) fn enter(&mut self, group: &Name, task_run: TaskRunId, since: Timestamp) -> Option<Timestamp> {
        let at = since.plus(*self.spans.get(group)?);
        self.rises.insert((at, task_run));
        Some(at)
    }

    pub(super) fn leave(&mut self, task_run: TaskRunId, rises_at: Option<Timestamp>) {
        if let Some(at) = rises_at {
            self.rises.remove(&(at, task_run));
        }
    }

    /// By our time; long ago while a change has not come to all.
    pub(super) fn next_rise(&self) -> Option<Timestamp> {
        if self.unsettled.is_some() {
            return Some(Timestamp::default());
        }
        let (at, _) = self.rises.first()?;
        Some(Timestamp(at.0.saturating_sub(self.ahead)))
    }

    fn theirs(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_add(self.ahead))
    }
}

impl OfferBook {
    /// The Dispatcher's word on a group; none when nothing of it ages.
    pub(super) fn on_ageing(&mut self, group: &Name, told: Option<Ageing>, now: Timestamp) {
        if let Some(Ageing { now: theirs, .. }) = told {
            self.ages.ahead = theirs.0.saturating_sub(now.0);
        }
        let every = told.map(|ageing| ageing.every).filter(|every| every.0 > 0);
        if self.ages.spans.get(group).copied() == every {
            return;
        }
        match every {
            Some(every) => _ = self.ages.spans.insert(group.clone(), every),
            None => _ = self.ages.spans.remove(group),
        }
        self.ages.unsettled = Some(Bound::Unbounded);
    }

    /// Nothing ages until a Dispatcher says so.
    pub(super) fn forget_ageing(&mut self) {
        if !std::mem::take(&mut self.ages.spans).is_empty() {
            self.ages.unsettled = Some(Bound::Unbounded);
        }
    }

    /// Tells some of those that do not know it what was said of ageing; says how many.
    fn settle(&mut self, theirs: Timestamp) -> usize {
        let Some(from) = self.ages.unsettled.take() else { return 0 };
        let next = self.offers.range((from, Bound::Unbounded)).take(RISES_MAX);
        let next: Vec<TaskRunId> = next.map(|(task_run, _)| *task_run).collect();
        if let (RISES_MAX, Some(last)) = (next.len(), next.last()) {
            self.ages.unsettled = Some(Bound::Excluded(*last));
        }
        next.iter().for_each(|task_run| self.age(*task_run, theirs));
        next.len()
    }

    /// Lets those rise whose time has come, and those that do not know better yet.
    pub(super) fn rise(&mut self, now: Timestamp) {
        let theirs = self.ages.theirs(now);
        for _ in self.settle(theirs)..RISES_MAX {
            let Some((_, task_run)) = self.ages.rises.first().copied().filter(|(at, _)| *at <= theirs) else {
                return;
            };
            self.age(task_run, theirs);
        }
    }

    /// Gives an offer that is here the priority that its age has earned, and notes when it rises again.
    fn age(&mut self, task_run: TaskRunId, theirs: Timestamp) {
        let entry = self.offers.get_mut(&task_run).expect("what ages is here");
        self.ages.leave(task_run, entry.rises_at.take());
        let every = self.ages.spans.get(&entry.shape.group);
        let (priority, next) = match every {
            Some(every) => aged(entry.asked, entry.since, *every, theirs),
            None => (entry.asked, None),
        };
        entry.rises_at = next;
        self.ages.rises.extend(next.map(|at| (at, task_run)));
        let key = entry.key.raised_to(priority);
        if key != entry.key {
            let shape = self.shapes.get_mut(&entry.shape).expect("a shape stays while it has offers");
            let keys = shape.place_mut(entry.place);
            keys.remove(&entry.key);
            keys.insert(key);
            entry.key = key;
            self.unbalanced.insert(entry.shape.clone());
        }
    }
}
