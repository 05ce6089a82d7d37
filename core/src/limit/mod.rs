//! Limits: how much of something named may be in use in the whole cluster at a time. `wants` is the side of a task run
//! that wants some, `home` the side that decides who holds it. Must not know rows, groups' logs or how either side
//! sees the other.
//!
//! ```text
//!  task run ready ─▶ Wants ─ next ─▶ want's row ┄┄ seen by ┄┄▶ HomeState ─ grants ─▶ hold's row ┄┄ seen by ┄┄▶ Wants
//!  attempt ended  ─▶ want's row goes            ┄┄ seen by ┄┄▶ HomeState ─ look ─▶ hold's row goes
//! ```

mod home;
mod wants;

pub use home::{HomeEvent, HomeState, Place, Seen};
pub use wants::{LIMITS_MAX, LimitSeen, Want, Wants, WantsError};

use crate::definition::Priority;
use crate::id::Name;
use crate::time::Timestamp;

/// The largest maximum, and so the most that hold one limit: each holder has a row, and all of them are read when a new
/// leader begins.
pub const MAX_MOST: u32 = 10_000;

/// A limit as an operator set it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitRecord {
    pub max: u32,
    pub by: String,
    pub set_at: Timestamp,
}

/// Which of a task run's attempts something is for. No two wants of a task run for one limit have the same: a want goes
/// with the end of its attempt, or of the task run in its round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WantNumber {
    pub round: u32,
    pub attempt: u16,
}

/// A want as its row in the task run's shard has it. The limit's and the task run's names are in the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantRecord {
    pub number: WantNumber,
    pub weight: u32,
    pub run_priority: Priority,
    pub run_created: Timestamp,
    pub task_priority: Priority,
    /// For people: in the limit's namespace.
    pub workflow: Name,
    pub task: Name,
}

/// A hold as its row in the limit's home has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldRecord {
    pub number: WantNumber,
    pub weight: u32,
    /// Index of the entry that wrote the want, in the log of the task run's shard: a replica below it concludes nothing.
    pub position: u64,
    pub since: Timestamp,
}
