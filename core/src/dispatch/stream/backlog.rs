//! How much work waits for each worker group, by learned durations: what a shard has ready, shown or not. It says how many
//! workers a group could use. Must not know who shows what.

use std::collections::BTreeMap;

use crate::dispatch::{Amounts, Shape};
use crate::id::Name;
use crate::time::{Span, Timestamp};

/// What waits is to be begun within this time: the number of workers that are wanted is so many that it would be.
pub const BEGUN_WITHIN: Span = Span::from_secs(60);
/// Sums change with each task run; they are told so often.
const TOLD_EVERY: Span = Span::from_millis(1000);

/// More of anything than one worker has; sums over millions of task runs have room for it.
const AMOUNT_MAX: u64 = 1 << 24;

/// What waits for one group in one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    pub task_runs: u64,
    /// What they ask for, times the milliseconds of the next `BEGUN_WITHIN` that they would hold it: all of these when it is
    /// not known how long they take.
    pub load: Amounts,
}

impl Work {
    /// By the first of its alternatives.
    fn of(shape: &Shape, expected: Option<Span>) -> Work {
        let millis = expected.unwrap_or(BEGUN_WITHIN).min(BEGUN_WITHIN).0 / 1_000;
        let load = |request: &Amounts| request.map(|amount| amount.min(AMOUNT_MAX) * millis.max(1));
        Work { task_runs: 1, load: shape.requests.first().map(load).unwrap_or_default() }
    }

    pub(super) fn add(&mut self, other: &Work) {
        self.task_runs += other.task_runs;
        self.load.add(&other.load);
    }

    fn subtract(&mut self, other: &Work) {
        self.task_runs = self.task_runs.saturating_sub(other.task_runs);
        self.load = self.load.less(&other.load);
    }

    /// So much would begin all of it in time.
    pub(super) fn wanted(&self) -> Amounts {
        self.load.map(|load| load.div_ceil(BEGUN_WITHIN.0 / 1_000))
    }
}

/// Of one shard, and what the Dispatcher knows of it.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    groups: BTreeMap<Name, Work>,
    told: BTreeMap<Name, Work>,
    told_at: Option<Timestamp>,
}

impl Backlog {
    pub(super) fn enter(&mut self, shape: &Shape, expected: Option<Span>) {
        self.groups.entry(shape.group.clone()).or_default().add(&Work::of(shape, expected));
    }

    pub(super) fn leave(&mut self, shape: &Shape, expected: Option<Span>) {
        if let Some(work) = self.groups.get_mut(&shape.group) {
            work.subtract(&Work::of(shape, expected));
        }
    }

    /// Nothing was told in this stream.
    pub(super) fn forget_told(&mut self) {
        self.told.clear();
        self.told_at = None;
    }

    /// When there is something to tell, unless all was told.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.untold().next()?;
        Some(self.told_at.map_or(Timestamp::default(), |at| at.plus(TOLD_EVERY)))
    }

    fn untold(&self) -> impl Iterator<Item = (&Name, &Work)> {
        let told = |name: &Name| self.told.get(name).cloned().unwrap_or_default();
        self.groups.iter().filter(move |(name, work)| told(name) != **work)
    }

    /// What differs from what was told, when it is time to tell it.
    pub(super) fn news(&mut self, now: Timestamp) -> Vec<(Name, Work)> {
        if self.due().is_none_or(|due| now < due) {
            return Vec::new();
        }
        let news: Vec<(Name, Work)> =
            self.untold().map(|(name, work)| (name.clone(), work.clone())).collect();
        if !news.is_empty() {
            self.told_at = Some(now);
            self.told.extend(news.iter().cloned());
            self.groups.retain(|_, work| work.task_runs > 0);
            self.told.retain(|_, work| work.task_runs > 0);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch::KindTag;

    #[test]
    fn sums_are_told_now_and_then_and_come_back_to_nothing() {
        let name = |text| Name::new(text).unwrap();
        let shape = Shape::of_slots(name("etl"), name("retail"), KindTag::Shell, 2);
        let mut backlog = Backlog::default();
        let at = |millis: i64| Timestamp(millis * 1000);
        backlog.enter(&shape, Some(Span::from_secs(30)));
        let news = backlog.news(at(0));
        assert_eq!(news, [(name("etl"), Work { task_runs: 1, load: Amounts::slots(60_000) })]);
        assert_eq!(news[0].1.wanted(), Amounts::slots(1), "two slots for half a minute");
        (0..3).for_each(|_| backlog.enter(&shape, None));
        assert_eq!((backlog.news(at(999)), backlog.due()), (vec![], Some(at(1000))));
        let news = backlog.news(at(1000));
        assert_eq!(news[0].1.wanted(), Amounts::slots(7), "what is unknown counts in full");
        assert_eq!((backlog.news(at(2000)), backlog.due()), (vec![], None), "nothing has changed");
        backlog.leave(&shape, Some(Span::from_secs(30)));
        (0..3).for_each(|_| backlog.leave(&shape, None));
        assert_eq!(backlog.news(at(3000)), [(name("etl"), Work::default())]);
        assert_eq!(backlog.news(at(4000)), []);
    }
}
