//! One workflow: its newest version, the turn of its runs, and the idempotency keys of their starts.
//! Must not know what is in a definition or a run.

mod decide;
mod state;

pub use decide::{Displaced, WorkflowCommand, WorkflowEvent, WorkflowRejection, decide};
pub use state::{KEYS_MAX, LIVE_RUNS_MAX, Lane, LiveRun, Place, StartKey, Started, Version, WorkflowState};
