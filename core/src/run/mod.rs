//! One run: which of its tasks may run, which never will, and when it is over.
//! Must not know attempts, workers, placement or how conditions are written.
//!
//! ```text
//!   apply(event) ─▶ open tasks ─ judge(conditions) ─▶ ready ─ take_ready ─▶ task runs' actors ─▶ TaskEnded
//!                                     └─▶ doomed ─ decide(Advance) ─▶ TaskEnded{Skipped | Failed}, RunFinished
//! ```
//!
//! The frontier is derived: only `TaskEnded` and the run's own events are in the log. What was judged and taken is
//! soft and found again after a restore. After every change the owner repeats `judge`, `decide(Advance)` and
//! `apply` until nothing comes of them, and then takes what is ready; each step has a bound of its own, so a long
//! cascade of skips is a series of short decisions.

mod command;
mod decide;
mod fold;
mod frontier;
mod header;
mod judge;
mod lines;
mod progress;
mod quarantine;
mod restore;
mod state;
mod window;

pub use command::{RunCommand, RunRejection};
pub use decide::decide;
pub use header::{CancelRequest, Quarantine, RunHeader, RunPhase, Started};
pub use judge::{Answer, Conditions, is_met};
pub use progress::{Activation, Standing, WHOLE_TASK};
pub use quarantine::quarantine;
pub use restore::{Restore, Restored};
pub use state::RunState;
pub use window::{READY_WINDOW, Window};
