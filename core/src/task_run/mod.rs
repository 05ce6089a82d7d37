//! One task run from ready to ended: its state, what may be asked of it, and what then happens.
//! Must not know its parents, placement or actors.
//!
//! ```text
//!            Grant                  Report / WorkerLost
//!   Ready ─────────▶ Dispatched ───────────────────────▶ Ended
//!     ▲  ▲               │ TimeoutElapsed, Cancel          ▲
//!     │  │ Refused,      ▼                                 │
//!     │  └─ WorkerLost   Stopping ── the worker's word ────┤
//!     │ Grant after `until`                                │
//!   Backoff ◀── a try failed or was lost, another is left ─┘
//! ```
//!
//! The end-of-attempt rule: a dispatched attempt ends only by its worker's word for its fence or by the committed
//! loss of its incarnation. A timeout or cancel only asks for that word, and no other attempt is ready before.

mod decide;
mod losses;
mod quarantine;
mod retry;
mod state;

pub use decide::{Rejection, Stance, TaskCommand, TaskSpec, decide};
pub use losses::{LOSSES_FREE, LOSSES_MAX};
pub use retry::{ATTEMPTS_MAX, delay};
pub use state::{Attempt, Exit, Fate, FenceAt, LastAttempt, Outstanding, TaskPhase, TaskState};
