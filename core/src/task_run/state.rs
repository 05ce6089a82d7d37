//! What is known of one task run, and the fold of its events: exactly what its row stores.
//! Must not know why an event happened; `decide` does.

use crate::event::{AttemptEnd, AttemptResult, Event, Share, StopCause, TaskOutcome};
use crate::id::{Fence, TaskKey, WorkerRef};
use crate::time::Timestamp;

use super::TaskSpec;

/// A task run. It has a row from its first dispatch on; before that it follows from its run's state.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskState {
    pub key: TaskKey,
    /// The run's round (0, then one more with each retry of the run) in which this was written. A row of an
    /// earlier round counts only when it says `succeeded`.
    pub round: u32,
    /// Number of the newest attempt that was not refused, over all rounds; 0 before the first.
    pub attempts: u16,
    /// Failed tries of this round, counted against `retry.max`. Losses and refusals are none.
    pub tries: u32,
    /// Attempts of this round lost with their workers since a worker last said how one of them ended.
    pub losses: u32,
    /// The newest attempt of this round that has ended; none before.
    pub last: Option<LastAttempt>,
    pub phase: TaskPhase,
}

#[derive(Clone, Debug, PartialEq)]
pub enum TaskPhase {
    /// May be dispatched.
    Ready {
        since: Timestamp,
    },
    /// Belongs to its worker.
    Dispatched(Attempt),
    /// Belongs to its worker, which is asked to end it.
    Stopping {
        attempt: Attempt,
        cause: StopCause,
        since: Timestamp,
    },
    /// A try failed; ready from `until` on, without a further event.
    Backoff {
        until: Timestamp,
    },
    Ended {
        outcome: TaskOutcome,
        at: Timestamp,
    },
}

/// An attempt that has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    pub number: u16,
    pub worker: WorkerRef,
    pub ready_at: Timestamp,
    pub dispatched_at: Timestamp,
    pub fence: FenceAt,
    pub share: Share,
}

/// Where an attempt's fence stands. Its dispatch cannot know its own position in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FenceAt {
    /// It is the position of the entry that wrote this row last.
    ThisRow,
    Known(Fence),
}

/// An attempt that has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct LastAttempt {
    pub number: u16,
    pub worker: WorkerRef,
    pub ready_at: Timestamp,
    pub dispatched_at: Timestamp,
    pub fate: Fate,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// Times by the worker's clock.
    Reported { started_at: Timestamp, finished_at: Timestamp, exit: Exit },
    /// Its worker's incarnation was lost; the time is that of the entry that says so.
    Lost { at: Timestamp },
    /// The same, after its timeout: counts as a failed try.
    LostAfterTimeout { at: Timestamp },
}

/// An attempt's result without its outputs, which the task run's outcome holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exit {
    Succeeded,
    Exited { code: i32 },
    Signalled { signal: i32 },
    NotStarted { error: String },
    OutputsInvalid { error: String },
    TimedOut,
    Cancelled,
}

/// What the outside still has to be told; follows from the state, so a new leader finds it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outstanding {
    /// The worker has to have the `Run` frame.
    Run,
    /// The worker has to have the `Stop` frame.
    Stop,
    None,
}

impl TaskState {
    /// A task run that may be dispatched. `attempts` is the number of the newest attempt of earlier rounds, or 0.
    pub fn ready(key: TaskKey, round: u32, attempts: u16, since: Timestamp) -> TaskState {
        TaskState { key, round, attempts, tries: 0, losses: 0, last: None, phase: TaskPhase::Ready { since } }
    }

    /// A task run that its run ended without an attempt: skipped, or failed over its condition.
    pub fn ended(key: TaskKey, round: u32, attempts: u16, outcome: TaskOutcome, at: Timestamp) -> TaskState {
        TaskState {
            key,
            round,
            attempts,
            tries: 0,
            losses: 0,
            last: None,
            phase: TaskPhase::Ended { outcome, at },
        }
    }

    /// The attempt that has not ended.
    pub fn attempt(&self) -> Option<&Attempt> {
        match &self.phase {
            TaskPhase::Dispatched(attempt) | TaskPhase::Stopping { attempt, .. } => Some(attempt),
            TaskPhase::Ready { .. } | TaskPhase::Backoff { .. } | TaskPhase::Ended { .. } => None,
        }
    }

    /// Whether it has not ended and no worker has it.
    pub fn waits(&self) -> bool {
        self.ready_at().is_some()
    }

    /// From when on it may be offered for dispatch; none while that cannot be.
    pub fn ready_at(&self) -> Option<Timestamp> {
        match &self.phase {
            TaskPhase::Ready { since } => Some(*since),
            TaskPhase::Backoff { until } => Some(*until),
            TaskPhase::Dispatched(_) | TaskPhase::Stopping { .. } | TaskPhase::Ended { .. } => None,
        }
    }

    pub fn effect(&self) -> Outstanding {
        match &self.phase {
            TaskPhase::Dispatched(_) => Outstanding::Run,
            TaskPhase::Stopping { .. } => Outstanding::Stop,
            TaskPhase::Ready { .. } | TaskPhase::Backoff { .. } | TaskPhase::Ended { .. } => {
                Outstanding::None
            }
        }
    }

    /// When to come with `TimeoutElapsed` or `BackoffElapsed`; none when no timer is due.
    pub fn wake_at(&self, spec: &TaskSpec) -> Option<Timestamp> {
        match &self.phase {
            TaskPhase::Dispatched(attempt) => spec.timeout.map(|timeout| attempt.dispatched_at.plus(timeout)),
            TaskPhase::Backoff { until } => Some(*until),
            TaskPhase::Ready { .. } | TaskPhase::Stopping { .. } | TaskPhase::Ended { .. } => None,
        }
    }

    /// Tells the state the position of the entry that holds its dispatch: when the Journal has placed it, and when
    /// the row is read again (then the position that last wrote the row). A fence once known never changes. Must
    /// come before any further event of the attempt, since that would write the row at another position.
    pub fn resolve_fence(&mut self, position: Fence) {
        let attempt = match &mut self.phase {
            TaskPhase::Dispatched(attempt) | TaskPhase::Stopping { attempt, .. } => attempt,
            TaskPhase::Ready { .. } | TaskPhase::Backoff { .. } | TaskPhase::Ended { .. } => return,
        };
        match attempt.fence {
            FenceAt::ThisRow => attempt.fence = FenceAt::Known(position),
            FenceAt::Known(_) => {}
        }
    }

    /// Folds one of the task run's own events. What no decision makes leaves the state as it was.
    pub fn apply(&mut self, event: &Event, at: Timestamp) {
        match event {
            Event::AttemptDispatched { attempt, worker, ready_at, share, .. } => {
                self.on_dispatched(*attempt, worker.clone(), *ready_at, share.clone(), at);
            }
            Event::AttemptStopping { cause, .. } => self.on_stopping(*cause, at),
            Event::AttemptRefused { .. } => self.on_refused(),
            Event::AttemptEnded { end, .. } => self.on_attempt_over(Fate::reported(end), at),
            Event::AttemptLost { .. } => self.on_attempt_over(self.fate_when_lost(at), at),
            Event::TaskBackoff { until, .. } => match &self.phase {
                TaskPhase::Ready { .. } => self.phase = TaskPhase::Backoff { until: *until },
                other => illegal(event, other),
            },
            Event::TaskEnded { outcome, .. } => match &self.phase {
                TaskPhase::Ready { .. } | TaskPhase::Backoff { .. } => {
                    self.phase = TaskPhase::Ended { outcome: outcome.clone(), at };
                }
                other => illegal(event, other),
            },
            Event::RunCreated { .. }
            | Event::RunStarted
            | Event::RunCancelRequested { .. }
            | Event::RunStopping { .. }
            | Event::RunQuarantined { .. }
            | Event::RunFinished { .. }
            | Event::RunRetried { .. } => {}
        }
    }

    fn on_dispatched(
        &mut self,
        number: u16,
        worker: WorkerRef,
        ready_at: Timestamp,
        share: Share,
        at: Timestamp,
    ) {
        match &self.phase {
            TaskPhase::Ready { .. } | TaskPhase::Backoff { .. } => {
                self.attempts = number;
                let fence = FenceAt::ThisRow;
                let attempt = Attempt { number, worker, ready_at, dispatched_at: at, fence, share };
                self.phase = TaskPhase::Dispatched(attempt);
            }
            other => illegal(&"dispatched", other),
        }
    }

    fn on_stopping(&mut self, cause: StopCause, at: Timestamp) {
        match &self.phase {
            TaskPhase::Dispatched(attempt) | TaskPhase::Stopping { attempt, .. } => {
                self.phase = TaskPhase::Stopping { attempt: attempt.clone(), cause, since: at };
            }
            other => illegal(&"stopping", other),
        }
    }

    /// Back to its own place: ready since it was ready first, the number free again.
    fn on_refused(&mut self) {
        match &self.phase {
            TaskPhase::Dispatched(attempt) | TaskPhase::Stopping { attempt, .. } => {
                self.attempts = attempt.number - 1;
                self.phase = TaskPhase::Ready { since: attempt.ready_at };
            }
            other => illegal(&"refused", other),
        }
    }

    /// The attempt becomes the last one. The same decision says what follows, unless the task run is ready at once.
    fn on_attempt_over(&mut self, fate: Fate, at: Timestamp) {
        match &self.phase {
            TaskPhase::Dispatched(attempt) | TaskPhase::Stopping { attempt, .. } => {
                let Attempt { number, worker, ready_at, dispatched_at, .. } = attempt.clone();
                self.tries += u32::from(fate.is_failed_try());
                self.losses = if fate.is_loss() { self.losses + 1 } else { 0 };
                self.last = Some(LastAttempt { number, worker, ready_at, dispatched_at, fate });
                self.phase = TaskPhase::Ready { since: at };
            }
            other => illegal(&"attempt over", other),
        }
    }

    /// What a loss now would mean: an attempt whose timeout has passed does not get the benefit of the doubt.
    pub(super) fn fate_when_lost(&self, at: Timestamp) -> Fate {
        match &self.phase {
            TaskPhase::Stopping { cause: StopCause::Timeout, .. } => Fate::LostAfterTimeout { at },
            _ => Fate::Lost { at },
        }
    }
}

/// Decisions never make such an event; a fold must not fail over one.
fn illegal(event: &dyn std::fmt::Debug, phase: &TaskPhase) {
    debug_assert!(false, "{event:?} does not follow {phase:?}");
}

impl TaskPhase {
    /// The state word that people see. An elapsed back-off reads `ready`.
    pub fn word(&self, now: Timestamp) -> &'static str {
        match self {
            TaskPhase::Ready { .. } => "ready",
            TaskPhase::Dispatched(_) | TaskPhase::Stopping { .. } => "dispatched",
            TaskPhase::Backoff { until } if *until <= now => "ready",
            TaskPhase::Backoff { .. } => "backoff",
            TaskPhase::Ended { outcome, .. } => outcome.result().word(),
        }
    }
}

impl Fate {
    pub(super) fn reported(end: &AttemptEnd) -> Fate {
        let AttemptEnd { started_at, finished_at, result } = end;
        Fate::Reported { started_at: *started_at, finished_at: *finished_at, exit: Exit::from(result) }
    }

    /// Whether it counts against `retry.max`.
    pub fn is_failed_try(&self) -> bool {
        match self {
            Fate::Reported { exit, .. } => *exit != Exit::Succeeded,
            Fate::LostAfterTimeout { .. } => true,
            Fate::Lost { .. } => false,
        }
    }

    /// Whether its worker went with it, for whichever cause.
    pub fn is_loss(&self) -> bool {
        matches!(self, Fate::Lost { .. } | Fate::LostAfterTimeout { .. })
    }
}

impl From<&AttemptResult> for Exit {
    fn from(result: &AttemptResult) -> Exit {
        match result {
            AttemptResult::Succeeded { .. } => Exit::Succeeded,
            AttemptResult::Exited { code } => Exit::Exited { code: *code },
            AttemptResult::Signalled { signal } => Exit::Signalled { signal: *signal },
            AttemptResult::NotStarted { error } => Exit::NotStarted { error: error.clone() },
            AttemptResult::OutputsInvalid { error } => Exit::OutputsInvalid { error: error.clone() },
            AttemptResult::TimedOut => Exit::TimedOut,
            AttemptResult::Cancelled => Exit::Cancelled,
        }
    }
}

/// The cause of a failed task run, as people read it.
impl std::fmt::Display for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fate::Reported { exit, .. } => exit.fmt(f),
            Fate::Lost { .. } => f.write_str("its worker was lost"),
            Fate::LostAfterTimeout { .. } => f.write_str("timed out, and its worker was lost"),
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Exit::Succeeded => f.write_str("succeeded"),
            Exit::Exited { code } => write!(f, "exit code {code}"),
            Exit::Signalled { signal } => write!(f, "ended by signal {signal}"),
            Exit::NotStarted { error } => write!(f, "could not be started: {error}"),
            Exit::OutputsInvalid { error } => write!(f, "wrote invalid outputs: {error}"),
            Exit::TimedOut => f.write_str("timed out"),
            Exit::Cancelled => f.write_str("ended by its worker"),
        }
    }
}
