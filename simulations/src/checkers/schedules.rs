//! What schedules promise: every nominal time is decided once and as its policy says, and runs of one schedule overlap
//! only where that is allowed. Nominal times are counted here again, from the timing alone.

use std::collections::BTreeMap;

use hortator_core::schedule::{CatchUp, LATE, Overlap, PassedOver, Times};
use hortator_core::time::Timestamp;

use crate::evidence::{Decided, Evidence, Fate, ScheduleEvidence};

/// S9.
pub(super) fn each_time_is_decided_once(evidence: &Evidence) -> Vec<String> {
    evidence.schedules.iter().flat_map(times_of).collect()
}

fn times_of(schedule: &ScheduleEvidence) -> Vec<String> {
    let name = &schedule.name;
    let times = match Times::new(&schedule.timing) {
        Ok(times) => times,
        Err(error) => return vec![format!("{name}: {error}")],
    };
    let mut wrong = Vec::new();
    let mut by_time: BTreeMap<Timestamp, u32> = BTreeMap::new();
    for decided in &schedule.decided {
        let seen = by_time.entry(decided.nominal).or_default();
        *seen += 1;
        if *seen == 2 {
            wrong.push(format!("{name}: {} was decided more than once", decided.nominal));
        }
        wrong.extend(against_policy(schedule, decided));
    }
    let (mut next, mut due) = (times.after(schedule.defined_at), BTreeMap::new());
    while let Some(time) = next.filter(|time| *time <= schedule.looked_until) {
        due.insert(time, ());
        next = times.after(time);
    }
    let missing = due.keys().filter(|time| !by_time.contains_key(time));
    wrong.extend(missing.map(|time| format!("{name}: {time} was neither fired nor passed over")));
    let invented = by_time.keys().filter(|time| !due.contains_key(time));
    wrong.extend(invented.map(|time| format!("{name}: {time} is no time of it")));
    wrong
}

fn against_policy(schedule: &ScheduleEvidence, decided: &Decided) -> Option<String> {
    let Decided { nominal, at, fate } = decided;
    let late = at.since(*nominal) > LATE;
    let (name, policy) = (&schedule.name, schedule.policy);
    // Of those that one entry decided, later ones that were late as well.
    let newer = || schedule.decided.iter().filter(|other| other.at == *at && other.nominal > *nominal);
    match (fate, late, policy.catch_up) {
        (Fate::PassedOver(PassedOver::Missed), false, _) => {
            Some(format!("{name}: {nominal} was given up as missed at {at}, in time"))
        }
        (Fate::PassedOver(PassedOver::Overlap), _, _) if policy.overlap != Overlap::Skip => {
            Some(format!("{name}: {nominal} was passed over for another run, under {:?}", policy.overlap))
        }
        (Fate::Fired { .. }, true, CatchUp::None) => {
            Some(format!("{name}: {nominal} fired at {at}, late, and nothing is to be caught up"))
        }
        (Fate::Fired { .. }, true, CatchUp::Latest) if newer().next().is_some() => {
            Some(format!("{name}: {nominal} was caught up at {at}, and a newer one was there"))
        }
        _ => None,
    }
}

/// S10.
pub(super) fn overlap_as_allowed(evidence: &Evidence) -> Vec<String> {
    evidence
        .schedules
        .iter()
        .filter(|schedule| schedule.policy.overlap != Overlap::Allow)
        .flat_map(alone)
        .collect()
}

/// Its runs, in the order of their nominal times, each start after the end of the one before.
fn alone(schedule: &ScheduleEvidence) -> Vec<String> {
    let mut runs: Vec<_> = schedule
        .decided
        .iter()
        .filter_map(|decided| match decided.fate {
            Fate::Fired { started_at, ended_at, .. } => Some((decided.nominal, started_at?, ended_at)),
            Fate::PassedOver(_) => None,
        })
        .collect();
    runs.sort();
    let mut wrong = Vec::new();
    for pair in runs.windows(2) {
        let [(first, _, ended), (second, started, _)] = pair else { unreachable!("windows of two") };
        if ended.is_none_or(|ended| ended > *started) {
            wrong.push(format!(
                "{}: the run of {second} started at {started}, while that of {first} lived, under {:?}",
                schedule.name, schedule.policy.overlap
            ));
        }
    }
    wrong
}
