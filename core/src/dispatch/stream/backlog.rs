//! How much work waits for each worker group, by learned durations: what a shard has ready, shown or not. It says how many
//! workers a group could use. Must not know who shows what.

use std::collections::BTreeMap;

use crate::dispatch::{Resource, Shape};
use crate::id::Name;
use crate::time::{Span, Timestamp};

/// What waits is to be begun within this time: the number of workers that are wanted is so many that it would be.
pub const BEGUN_WITHIN: Span = Span::from_secs(60);
/// Sums change with each task run; they are told so often.
const TOLD_EVERY: Span = Span::from_millis(1000);

/// What waits for one group in one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    pub task_runs: u64,
    pub slots: u64,
    /// Slots times expected duration, summed. One of unknown duration counts as `BEGUN_WITHIN`, so as a slot of its own.
    pub time: Span,
}

impl Work {
    fn of(shape: &Shape, expected: Option<Span>) -> Work {
        let slots = shape.requests.first().map_or(0, |request| request.get(&Resource::Slots));
        let time = Span(expected.unwrap_or(BEGUN_WITHIN).0.saturating_mul(slots));
        Work { task_runs: 1, slots, time }
    }

    pub(super) fn add(&mut self, other: Work) {
        self.task_runs += other.task_runs;
        self.slots += other.slots;
        self.time = Span(self.time.0.saturating_add(other.time.0));
    }

    fn subtract(&mut self, other: Work) {
        self.task_runs = self.task_runs.saturating_sub(other.task_runs);
        self.slots = self.slots.saturating_sub(other.slots);
        self.time = Span(self.time.0.saturating_sub(other.time.0));
    }

    /// Slots that would begin all of it in time; no more than it has slots.
    pub(super) fn wanted_slots(&self) -> u64 {
        self.time.0.div_ceil(BEGUN_WITHIN.0).min(self.slots)
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
        self.groups.entry(shape.group.clone()).or_default().add(Work::of(shape, expected));
    }

    pub(super) fn leave(&mut self, shape: &Shape, expected: Option<Span>) {
        if let Some(work) = self.groups.get_mut(&shape.group) {
            work.subtract(Work::of(shape, expected));
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
        let told = |name: &Name| self.told.get(name).copied().unwrap_or_default();
        self.groups.iter().filter(move |(name, work)| told(name) != **work)
    }

    /// What differs from what was told, when it is time to tell it.
    pub(super) fn news(&mut self, now: Timestamp) -> Vec<(Name, Work)> {
        if self.due().is_none_or(|due| now < due) {
            return Vec::new();
        }
        let news: Vec<(Name, Work)> = self.untold().map(|(name, work)| (name.clone(), *work)).collect();
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
        assert_eq!(news, [(name("etl"), Work { task_runs: 1, slots: 2, time: Span::from_secs(60) })]);
        assert_eq!(news[0].1.wanted_slots(), 1, "two slots for half a minute");
        (0..3).for_each(|_| backlog.enter(&shape, None));
        assert_eq!((backlog.news(at(999)), backlog.due()), (vec![], Some(at(1000))));
        let news = backlog.news(at(1000));
        assert_eq!(news[0].1.wanted_slots(), 7, "what is unknown counts in full");
        assert_eq!((backlog.news(at(2000)), backlog.due()), (vec![], None), "nothing has changed");
        backlog.leave(&shape, Some(Span::from_secs(30)));
        (0..3).for_each(|_| backlog.leave(&shape, None));
        assert_eq!(backlog.news(at(3000)), [(name("etl"), Work::default())]);
        assert_eq!(backlog.news(at(4000)), []);
    }
}
