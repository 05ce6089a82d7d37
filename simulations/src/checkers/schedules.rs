//! What schedules promise: every nominal time is decided once and as its policy says, and runs of one schedule overlap
//! only where that is allowed. Nominal times are those of the judges' own reckoning.

use std::collections::{BTreeMap, BTreeSet};

use hortator_core::schedule::{CatchUp, LATE, Overlap, PassedOver};
use hortator_core::time::Timestamp;

use crate::evidence::{Decided, Evidence, Fate, ScheduleEvidence, Spell};

/// S9.
pub(super) fn each_time_is_decided_once(evidence: &Evidence) -> Vec<String> {
    evidence.schedules.iter().flat_map(times_of).collect()
}

fn times_of(schedule: &ScheduleEvidence) -> Vec<String> {
    schedule.spells.iter().flat_map(|spell| times_of_a_spell(schedule, spell)).collect()
}

fn times_of_a_spell(schedule: &ScheduleEvidence, spell: &Spell) -> Vec<String> {
    let name = &schedule.name;
    let mut wrong = Vec::new();
    let mut by_time: BTreeMap<Timestamp, u32> = BTreeMap::new();
    for decided in &spell.decided {
        let seen = by_time.entry(decided.nominal).or_default();
        *seen += 1;
        if *seen == 2 {
            wrong.push(format!("{name}: {} was decided more than once", decided.nominal));
        }
        wrong.extend(against_policy(schedule, spell, decided));
    }
    let due = BTreeSet::from_iter(schedule.reckoning.due(spell.since, spell.until));
    let missing = due.iter().filter(|time| !by_time.contains_key(time));
    wrong.extend(missing.map(|time| format!("{name}: {time} was neither fired nor passed over")));
    let invented = by_time.keys().filter(|time| !due.contains(time));
    wrong.extend(invented.map(|time| format!("{name}: {time} is no time of it")));
    wrong
}

fn against_policy(schedule: &ScheduleEvidence, spell: &Spell, decided: &Decided) -> Option<String> {
    let Decided { nominal, at, fate } = decided;
    let late = at.since(*nominal) > LATE;
    let (name, policy) = (&schedule.name, schedule.policy);
    // Of those that one entry decided, later ones that were late as well.
    let newer = || spell.decided.iter().filter(|other| other.at == *at && other.nominal > *nominal);
    match (fate, late, policy.catch_up) {
        (Fate::PassedOver(PassedOver::Missed), false, _) => {
            Some(format!("{name}: {nominal} was given up as missed at {at}, in time"))
        }
        (Fate::PassedOver(PassedOver::Overlap), _, _) if policy.overlap != Overlap::Skip => {
            Some(format!("{name}: {nominal} was passed over for another run, under {:?}", policy.overlap))
        }
        (Fate::PassedOver(PassedOver::SwitchedOff), _, _) if *at != spell.until => Some(format!(
            "{name}: {nominal} was given up at {at} as switched off, and it was on until {}",
            spell.until
        )),
        (Fate::PassedOver(PassedOver::Retimed), _, _) => {
            Some(format!("{name}: {nominal} was given up at {at} for another timing, and nobody changes one"))
        }
        (Fate::Fired(_), true, CatchUp::None) => {
            Some(format!("{name}: {nominal} fired at {at}, late, and nothing is to be caught up"))
        }
        (Fate::Fired(_), true, CatchUp::Latest) if newer().next().is_some() => {
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

/// Its runs, in the order in which they started, each start after the end of the one before.
fn alone(schedule: &ScheduleEvidence) -> Vec<String> {
    let of_its_times =
        schedule.spells.iter().flat_map(|spell| &spell.decided).filter_map(|one| match one.fate {
            Fate::Fired(ran) => Some(ran),
            Fate::PassedOver(_) => None,
        });
    let all = of_its_times.chain(schedule.triggered.iter().copied());
    let mut runs: Vec<_> = all.filter_map(|ran| Some((ran.started_at?, ran.run, ran.ended_at))).collect();
    runs.sort();
    let mut wrong = Vec::new();
    for pair in runs.windows(2) {
        let [(_, first, ended), (started, second, _)] = pair else { unreachable!("windows of two") };
        if ended.is_none_or(|ended| ended > *started) {
            wrong.push(format!(
                "{}: run {second} started at {started}, while run {first} lived, under {:?}",
                schedule.name, schedule.policy.overlap
            ));
        }
    }
    wrong
}
