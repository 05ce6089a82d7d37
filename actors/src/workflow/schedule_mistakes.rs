//! Mistakes about schedules that a node may be told to make, so that it is known who would notice. Without one all of this is
//! what the neighbour asks for. Must not decide anything.

use hortator_core::id::Name;
use hortator_core::schedule::{ClockChange, Times, Timing};
use hortator_core::time::{Span, Timestamp};

use super::WorkflowActor;
use super::schedules::Planned;
use crate::mutant::Mutant;
use crate::shard::context::ShardContext;

/// As it is, unless this node is to make a mistake.
pub(super) fn mistaken(context: &ShardContext, mut planned: Planned) -> Planned {
    let (mutant, record) = (context.mutant, &mut planned.record);
    if mutant.is(Mutant::TakesNextTimeFromItsClock) {
        record.state.next = planned.times.after(context.journal.now());
    }
    if mutant.is(Mutant::CatchesUpFromTheBeginning) {
        record.state.next = planned.times.after(record.since);
    }
    if mutant.is(Mutant::FiresOnceAgain)
        && let Timing::At(at) = record.timing
    {
        record.state.next = Some(at);
    }
    if mutant.is(Mutant::CountsInUtc)
        && let Timing::Cron { expression, .. } = &record.timing
    {
        let timing = Timing::Cron { expression: expression.clone(), zone: "UTC".into() };
        if let Ok(times) = Times::new(&timing) {
            planned.times = times;
        }
    }
    planned
}

/// The first time of a new schedule.
pub(super) fn first_time(context: &ShardContext, times: &Times) -> Option<Timestamp> {
    let now = context.journal.now();
    let next = times.after(now);
    if !context.mutant.is(Mutant::FiresAtBothPasses) {
        return next;
    }
    let hour = Span::from_secs(3_600);
    let first_of_two = times.after(Timestamp(now.0 - hour.0 as i64)).filter(|time| *time <= now);
    let doubled = first_of_two.filter(|time| times.clock_change(*time) == Some(ClockChange::FirstOfTwo));
    doubled.map(|time| time.plus(hour)).filter(|again| *again > now).or(next)
}

impl WorkflowActor {
    /// A mistake that a node may be told to make.
    pub(super) fn skips(&self, id: &Name, nominal: Timestamp) -> bool {
        let planned = self.schedules.get(id).filter(|_| self.context.mutant.is(Mutant::SkipsGaps));
        planned.and_then(|planned| planned.times.clock_change(nominal)) == Some(ClockChange::AfterGap)
    }
}
