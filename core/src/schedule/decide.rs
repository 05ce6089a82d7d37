//! What becomes of a schedule's times and of what people ask of it. A time is late when it is more than [`LATE`] past; what
//! is less late fires whatever `catch_up` says, since an election or a stall explains it.

use super::state::{
    CatchUp, Cause, Overlap, PassedOver, Policy, ScheduleCommand, ScheduleEvent, ScheduleState, Start, Switch,
};
use super::times::Times;
use crate::time::{Span, Timestamp};

/// Longer than an election, a rebuild and a stall of a busy machine together.
pub const LATE: Span = Span::from_secs(60);
/// Runs that one turn makes: entries stay small. The next turn goes on from the next nominal time.
pub const FIRES_PER_TURN: usize = 100;
/// Nominal times that one turn passes over, beyond those that it may keep.
const LOOKED_AT: usize = 1_000;

/// Times that are named when a schedule is switched off before they were decided: hours of the shortest period, counted in a
/// moment. Of more than that the rest is not named.
const WITHDRAWN_MAX: u32 = 10_000;

/// Whether the process may believe its clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    Steady,
    /// It stood still, or its clock jumped, and it has not ticked normally since: it may fire, but give up nothing.
    Shaken,
}

/// What a decision rests on beside the state.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    pub times: &'a Times,
    pub policy: Policy,
    /// Runs of this schedule that have not ended.
    pub live: u32,
    pub trust: Trust,
}

/// The events of one turn. None at all: nothing is due, or there is nothing to change.
pub fn decide(
    state: &ScheduleState,
    command: &ScheduleCommand,
    situation: &Situation<'_>,
    now: Timestamp,
) -> Vec<ScheduleEvent> {
    match (command, &state.switch) {
        (ScheduleCommand::Look, Switch::On) => look(state, situation, now),
        (ScheduleCommand::Look, Switch::Off { .. }) => Vec::new(),
        (ScheduleCommand::Trigger { by }, _) => {
            // A person who asks for a run gets one: `skip` is for the clock.
            let start = match situation.policy.overlap {
                Overlap::Skip => Start::AtOnce,
                _ => start(situation.policy.overlap, situation.live).unwrap_or(Start::AtOnce),
            };
            vec![ScheduleEvent::Triggered { at: now, by: by.clone(), start }]
        }
        (ScheduleCommand::Enable { by }, Switch::Off { .. }) => {
            // What passed while it was off was not missed: nobody wanted it.
            let (generation, next) = (state.generation + 1, situation.times.after(now));
            vec![ScheduleEvent::Enabled { by: by.clone(), generation, next }]
        }
        (ScheduleCommand::Disable { by }, Switch::On) => {
            let mut events = Vec::from_iter(withdraw(state, situation, now, PassedOver::SwitchedOff));
            events.push(ScheduleEvent::Disabled { by: by.clone(), at: now });
            events
        }
        (ScheduleCommand::Enable { .. }, Switch::On)
        | (ScheduleCommand::Disable { .. }, Switch::Off { .. }) => Vec::new(),
        (ScheduleCommand::LeaveTiming, Switch::On) => {
            Vec::from_iter(withdraw(state, situation, now, PassedOver::Retimed))
        }
        (ScheduleCommand::LeaveTiming, Switch::Off { .. }) => Vec::new(),
        (ScheduleCommand::Retime, _) => {
            let (generation, next) = (state.generation + 1, situation.times.after(now));
            vec![ScheduleEvent::Retimed { generation, next }]
        }
    }
}

fn look(state: &ScheduleState, situation: &Situation<'_>, now: Timestamp) -> Vec<ScheduleEvent> {
    let Some(first) = state.next.filter(|next| *next <= now) else { return Vec::new() };
    let Due { times, more } = due(first, situation, now);
    let late = times.iter().take_while(|time| now.since(**time) > LATE).count();
    let on_time = times.len() - late;
    let keep = match situation.policy.catch_up {
        CatchUp::None => 0,
        CatchUp::Latest => usize::from(on_time == 0),
        CatchUp::All { max } => max as usize,
    };
    // With more to come behind them, only those are surely not among the newest that have `keep` behind them here.
    let given_up = late.saturating_sub(keep);
    if given_up > 0 && situation.trust == Trust::Shaken {
        return Vec::new();
    }
    let mut events = Vec::new();
    if given_up > 0 {
        let next = times.get(given_up).copied().or(more);
        let (first, last) = (times[0], times[given_up - 1]);
        let count = given_up as u32;
        events.push(ScheduleEvent::PassedOver { first, last, count, why: PassedOver::Missed, next });
    }
    if late == times.len() && more.is_some_and(|more| more <= now) {
        // The newest ones are not in sight yet.
        return events;
    }
    fire(&times, given_up, late, more, situation, &mut events);
    events
}

/// What has come and is not decided does not fire any more, and does not vanish either.
fn withdraw(
    state: &ScheduleState,
    situation: &Situation<'_>,
    now: Timestamp,
    why: PassedOver,
) -> Option<ScheduleEvent> {
    let first = state.next.filter(|next| *next <= now)?;
    let (mut last, mut count, mut next) = (first, 1, situation.times.after(first));
    while let Some(time) = next.filter(|time| *time <= now && count < WITHDRAWN_MAX) {
        (last, count, next) = (time, count + 1, situation.times.after(time));
    }
    Some(ScheduleEvent::PassedOver { first, last, count, why, next })
}

struct Due {
    /// Not later than now, oldest first; at most so many as one turn looks at.
    times: Vec<Timestamp>,
    /// The one behind them, due or not.
    more: Option<Timestamp>,
}

fn due(first: Timestamp, situation: &Situation<'_>, now: Timestamp) -> Due {
    let kept = match situation.policy.catch_up {
        CatchUp::None | CatchUp::Latest => 1,
        CatchUp::All { max } => max as usize,
    };
    let (mut times, mut next) = (Vec::new(), Some(first));
    while let Some(time) = next.filter(|time| *time <= now && times.len() < LOOKED_AT + kept) {
        times.push(time);
        next = situation.times.after(time);
    }
    Due { times, more: next }
}

/// From `begin` on; those before `late` are caught up.
fn fire(
    times: &[Timestamp],
    begin: usize,
    late: usize,
    more: Option<Timestamp>,
    situation: &Situation<'_>,
    events: &mut Vec<ScheduleEvent>,
) {
    let mut live = situation.live;
    for (place, nominal) in times.iter().enumerate().skip(begin).take(FIRES_PER_TURN) {
        let nominal = *nominal;
        let next = times.get(place + 1).copied().or(more);
        match start(situation.policy.overlap, live) {
            Some(start) => {
                live += 1;
                let cause = if place < late { Cause::CaughtUp } else { Cause::Due };
                events.push(ScheduleEvent::Fired { nominal, cause, start, next });
            }
            None => {
                let why = PassedOver::Overlap;
                events.push(ScheduleEvent::PassedOver { first: nominal, last: nominal, count: 1, why, next });
            }
        }
    }
}

/// None when there is to be no run.
fn start(overlap: Overlap, live: u32) -> Option<Start> {
    match overlap {
        _ if live == 0 => Some(Start::AtOnce),
        Overlap::Allow => Some(Start::AtOnce),
        Overlap::Queue => Some(Start::BehindTheOthers),
        Overlap::CancelOldest => Some(Start::InPlaceOfTheOldest),
        Overlap::Skip => None,
    }
}
