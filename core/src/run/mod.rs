//! One run: which of its tasks may run, which never will, and when it is over.
//! Must not know attempts, workers, placement or how conditions are written.
//!
//! ```text
//!   apply(event) ─▶ open tasks ─ judge(conditions) ─▶ ready ─ take_ready ─▶ task runs' actors ─▶ TaskEnded
//!                                     └─▶ doomed ─ decide(Advance) ─▶ TaskEnded{Skipped | Failed}, RunFinished
//! ```
//!
//! The frontier is derived: only `TaskEnded` and the run's own events are in the log. What was judged and taken is
//! soft and found again after a restore.

mod command;
mod header;

pub use command::{RunCommand, RunRejection};
pub use header::{CancelRequest, RunHeader, RunPhase, Started};
