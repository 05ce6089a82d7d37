//! One workflow: its newest version, the turn of its runs, and the idempotency keys of their starts.
//! Must not know what is in a definition or a run.

mod decide;
mod state;

pub use decide::{WorkflowCommand, WorkflowEvent, WorkflowRejection, decide};
pub use state::{KEYS_MAX, LIVE_RUNS_MAX, LiveRun, StartKey, Started, Version, WorkflowState};
