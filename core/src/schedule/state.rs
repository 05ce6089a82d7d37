//! What is known of one schedule, and the fold of its events. Must not know why an event happened.

use serde::{Deserialize, Serialize};

use crate::id::Name;
use crate::time::Timestamp;

/// How a schedule is to behave; part of its workflow's definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    pub catch_up: CatchUp,
    pub overlap: Overlap,
}

/// What becomes of times that passed while nobody could decide.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    None,
    /// One run for all of them, as of the newest, unless a time that is not missed follows at once.
    #[default]
    Latest,
    /// A run for each, but not for more than the newest of so many.
    All {
        max: u32,
    },
}

/// What a fire does while a run of the same schedule lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The new run waits for those before it.
    #[default]
    Queue,
    Skip,
    /// The oldest is cancelled, and the new one waits for its end.
    CancelOldest,
    Allow,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Switch {
    On,
    Off { by: String, since: Timestamp },
}

/// A schedule, as its row has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScheduleState {
    /// Raised when its timing changes or it is switched on again: with a nominal time it names a fire for ever.
    pub generation: u32,
    pub switch: Switch,
    /// The first nominal time that is not decided; none when it never fires again.
    pub next: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleCommand {
    /// A timer, or any other reason to look at the clock.
    Look,
    /// A person wants a run now.
    Trigger {
        by: String,
    },
    Enable {
        by: String,
    },
    Disable {
        by: String,
    },
    /// The definition is to have another timing: its last look by the one that it has.
    LeaveTiming,
    /// The definition has another timing now.
    Retime,
}

/// Why a run is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    Due,
    CaughtUp,
    Triggered { by: String },
}

/// What names a run of a schedule, for ever: no two fires share a generation and a nominal time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fire {
    pub schedule: Name,
    pub generation: u32,
    /// When it was to fire; of one that a person triggered, when that was.
    pub nominal: Timestamp,
    pub cause: Cause,
    pub turn: Turn,
}

/// Whether a run waits for others of its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// Any number at a time: `overlap` is `allow`, or a person wanted it under `skip`.
    Free,
    /// One at a time, in the order in which they were made.
    OneAtATime,
    /// The same, and the oldest of those before it is cancelled.
    InPlaceOfTheOldest,
}

/// How its run begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    AtOnce,
    BehindTheOthers,
    InPlaceOfTheOldest,
}

/// Why a nominal time has no run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassedOver {
    /// It was missed, and `catch_up` wants none, or only newer ones.
    Missed,
    /// A run of the schedule lived, and `overlap` is `skip`.
    Overlap,
    /// The workflow took no run: its concurrency was used up and it skips, or an input had no value.
    Refused,
    /// It had come, and nobody had decided it yet when somebody switched the schedule off.
    SwitchedOff,
    /// The same when the definition got another timing.
    Retimed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ScheduleEvent {
    /// The run and the next nominal time are of one entry.
    Fired {
        nominal: Timestamp,
        cause: Cause,
        start: Start,
        next: Option<Timestamp>,
    },
    /// A run beside the nominal times.
    Triggered {
        at: Timestamp,
        by: String,
        start: Start,
    },
    /// Times that have no run, from the first to the last of them.
    PassedOver {
        first: Timestamp,
        last: Timestamp,
        count: u32,
        why: PassedOver,
        next: Option<Timestamp>,
    },
    Enabled {
        by: String,
        generation: u32,
        next: Option<Timestamp>,
    },
    Disabled {
        by: String,
        at: Timestamp,
    },
    Retimed {
        generation: u32,
        next: Option<Timestamp>,
    },
}

impl ScheduleState {
    /// One that was just defined. Its first time is after `now`.
    pub fn new(switch: Switch, next: Option<Timestamp>) -> ScheduleState {
        ScheduleState { generation: 1, switch, next }
    }

    pub fn apply(&mut self, event: &ScheduleEvent) {
        match event {
            ScheduleEvent::Fired { next, .. } | ScheduleEvent::PassedOver { next, .. } => self.next = *next,
            ScheduleEvent::Triggered { .. } => {}
            ScheduleEvent::Enabled { generation, next, .. } => {
                self.switch = Switch::On;
                (self.generation, self.next) = (*generation, *next);
            }
            ScheduleEvent::Disabled { by, at } => {
                self.switch = Switch::Off { by: by.clone(), since: *at };
            }
            ScheduleEvent::Retimed { generation, next } => {
                (self.generation, self.next) = (*generation, *next);
            }
        }
    }

    /// When to look at the clock again; none when nothing is to come.
    pub fn wake_at(&self) -> Option<Timestamp> {
        match self.switch {
            Switch::On => self.next,
            Switch::Off { .. } => None,
        }
    }
}
