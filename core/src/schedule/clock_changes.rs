//! Where a change of the clock touches a schedule: times that do not exist that day, and times that come twice. What is
//! done about it is `Times`' business; this only says so.

use croner::{Cron, JobType};
use jiff::Zoned;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};

use super::times::{Kind, PROBE, Times};
use crate::time::{Span, Timestamp};

/// How far ahead a definition is looked at for its changes of the clock: each zone has all of a year's in it.
const LOOKED_AHEAD: Span = Span::from_secs(2 * 366 * 86_400);

/// What a change of the clock makes of one nominal time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockChange {
    /// The time that was meant does not exist that day: it fires right after the gap.
    AfterGap,
    /// The time on the wall comes twice: it fires at the first of the two.
    FirstOfTwo,
}

/// A time on the wall that a change of the clock touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touched {
    /// As the wall would show it: `2026-03-29 02:30`.
    pub wall: String,
    pub change: ClockChange,
}

impl Times {
    /// What a change of the clock makes of that nominal time; none for almost all.
    pub fn clock_change(&self, nominal: Timestamp) -> Option<ClockChange> {
        let Kind::Cron { cron, zone } = &self.0 else { return None };
        let at = zoned(nominal, zone)?;
        if matches!(zone.to_ambiguous_timestamp(at.datetime()).offset(), AmbiguousOffset::Fold { .. }) {
            return is_fixed(cron).then_some(ClockChange::FirstOfTwo);
        }
        let just_before = jiff::Timestamp::from_microsecond(nominal.0 - 1).ok()?;
        let jumps = zone.to_offset(just_before) < at.offset();
        (jumps && !matches_wall(cron, at.datetime())).then_some(ClockChange::AfterGap)
    }

    /// The first times that a change of the clock touches within two years, for whoever writes the schedule.
    pub fn touched(&self) -> Vec<Touched> {
        let Kind::Cron { cron, zone } = &self.0 else { return Vec::new() };
        let Some(begin) = zoned(PROBE, zone).filter(|_| is_fixed(cron)) else { return Vec::new() };
        let end = PROBE.plus(LOOKED_AHEAD).0;
        let changes = zone.following(begin.timestamp());
        let changes = changes.take_while(|change| change.timestamp().as_microsecond() <= end);
        let touched: Vec<Touched> = changes
            .filter_map(|change| {
                let at = change.timestamp();
                let before = zone.to_offset(jiff::Timestamp::from_microsecond(at.as_microsecond() - 1).ok()?);
                let (old, new) = (before.to_datetime(at), change.offset().to_datetime(at));
                let (from, to, change) = match old < new {
                    true => (old, new, ClockChange::AfterGap),
                    false => (new, old, ClockChange::FirstOfTwo),
                };
                let wall = next_on_the_wall(cron, from).filter(|wall| *wall < to)?;
                Some(Touched { wall: wall.strftime("%Y-%m-%d %H:%M").to_string(), change })
            })
            .collect();
        let first = |change| touched.iter().find(|touched| touched.change == change).cloned();
        [first(ClockChange::AfterGap), first(ClockChange::FirstOfTwo)].into_iter().flatten().collect()
    }

    /// A time as the schedule's own clock shows it; UTC where it has none.
    pub fn on_the_wall(&self, at: Timestamp) -> String {
        let zone = match &self.0 {
            Kind::Cron { zone, .. } => zone.clone(),
            Kind::Every(_) | Kind::At(_) => TimeZone::UTC,
        };
        zoned(at, &zone).map_or(at.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
    }
}

fn zoned(at: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    Some(jiff::Timestamp::from_microsecond(at.0).ok()?.to_zoned(zone.clone()))
}

/// Whether it names times of the day. What repeats within hours, or every hour, follows the wall by itself.
fn is_fixed(cron: &Cron) -> bool {
    matches!(cron.determine_job_type(), JobType::FixedTime)
}

/// The pattern on a clock that never changes.
fn next_on_the_wall(cron: &Cron, from: DateTime) -> Option<DateTime> {
    let from = from.to_zoned(TimeZone::UTC).ok()?;
    Some(cron.find_next_occurrence(&from, true).ok()?.datetime())
}

fn matches_wall(cron: &Cron, wall: DateTime) -> bool {
    next_on_the_wall(cron, wall) == Some(wall)
}
