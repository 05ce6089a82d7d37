//! Schedules: when they fire, and what becomes of each time. Pure: `now` is an argument, and the zones are built in.
//! Must not know how a run is started, nor who keeps the rows.
//!
//! A time at which a schedule is to fire is its *nominal* time. Each nominal time is decided once: it fires, or it is
//! passed over with a reason. The decision and the next nominal time are events of one entry, keyed by the schedule's
//! generation and the nominal time, so whoever decides again after a failover finds it decided.

mod clock_changes;
mod decide;
mod record;
mod state;
mod times;

pub use clock_changes::{ClockChange, Touched};
pub use decide::{FIRES_PER_TURN, LATE, Situation, Trust, decide};
pub use record::{LastFire, ScheduleLine, ScheduleRecord};
pub use state::{
    CatchUp, Cause, Fire, Overlap, PassedOver, Policy, ScheduleCommand, ScheduleEvent, ScheduleState, Start,
    Switch, Turn,
};
pub use times::{EVERY_MIN, Times, TimesError, Timing};
