//! Schedules as clients see them. Must not know the rows they come from.

use hortator_core::id::{Name, Position};
use hortator_core::reason::Reason;
use hortator_core::schedule::{CatchUp, ClockChange, LastFire, Overlap, ScheduleLine, Timing};
use hortator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleView {
    pub namespace: Name,
    pub workflow: Name,
    pub id: Name,
    pub timing: Timing,
    pub catch_up: CatchUp,
    pub overlap: Overlap,
    /// `on`, `off`, or `over` when it has no time left.
    pub state: String,
    /// Who switched it off, and when.
    pub switched_off: Option<SwitchedOff>,
    pub next: Option<Upcoming>,
    pub last: Option<LastFire>,
    /// Raised by each change of its timing and each switching on.
    pub generation: u32,
    /// Since when its times count.
    pub since: Timestamp,
    pub position: Position,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SwitchedOff {
    pub by: String,
    pub since: Timestamp,
}

/// A time to come.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upcoming {
    pub at: Timestamp,
    /// On the clock of the schedule's zone.
    pub wall: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_change: Option<ClockChange>,
}

/// Newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleHistory {
    pub lines: Vec<ScheduleLine>,
    /// To go on before; none means that these are the first.
    pub next: Option<Timestamp>,
    pub position: Position,
}

/// Why a schedule did or does what.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScheduleExplain {
    pub schedule: ScheduleView,
    /// The time that was asked about; none means now.
    pub at: Option<Timestamp>,
    /// In one sentence.
    pub answer: String,
    pub reasons: Vec<Reason>,
    /// What was decided around that time, newest first.
    pub lines: Vec<ScheduleLine>,
    pub position: Position,
}
