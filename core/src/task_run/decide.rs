//! What a command to a task run makes happen.
//! Must not know how words travel: every command may come late, twice or for another attempt.

use crate::definition::{Delivery, Retry, Task};
use crate::event::{AttemptEnd, AttemptResult, Event, Share, SkipCause, StopCause, TaskOutcome};
use crate::id::{Fence, Incarnation, Name, WorkerRef};
use crate::time::{Span, Timestamp};

use super::{
    ATTEMPTS_MAX, Attempt, Fate, FenceAt, LOSSES_MAX, TaskPhase, TaskState, delay, losses, quarantine,
};

/// What a task run's decisions need of its definition and its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSpec {
    pub retry: Retry,
    /// Of one attempt, from its dispatch on; none means no limit.
    pub timeout: Option<Span>,
    pub delivery: Delivery,
    /// With the loss of so many attempts in a row it fails; usually `LOSSES_MAX`.
    pub losses_max: u32,
    pub stance: Stance,
}

/// What the run wants of its task runs now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stance {
    #[default]
    Going,
    /// Attempts finish; no new one starts.
    Stopping,
    /// Attempts are asked to end; no new one starts.
    Cancelling,
    /// The same, and no decision rests on what may have failed.
    Quarantined,
}

impl TaskSpec {
    pub fn new(task: &Task, stance: Stance) -> TaskSpec {
        let Task { retry, timeout, delivery, .. } = *task;
        TaskSpec { retry, timeout, delivery, losses_max: LOSSES_MAX, stance }
    }
}

/// What may be asked of a task run.
#[derive(Clone, Debug, PartialEq)]
pub enum TaskCommand {
    /// The Dispatcher chose a worker.
    Grant {
        worker: WorkerRef,
        share: Share,
    },
    /// The worker's word: the attempt of this fence has ended.
    Report {
        attempt: u16,
        fence: Fence,
        end: AttemptEnd,
    },
    /// The worker's word: the attempt of this fence never starts there.
    Refused {
        attempt: u16,
        fence: Fence,
        why: String,
    },
    TimeoutElapsed {
        attempt: u16,
    },
    /// The back-off is over. Decides nothing: `Ok` without events means that it may be offered now.
    BackoffElapsed,
    /// End it as cancelled.
    Cancel,
    /// The run is stopping: no further attempt.
    Stop,
    /// The worker's lives through this one are lost, by commit.
    WorkerLost {
        name: Name,
        through: Incarnation,
    },
}

/// Why a command makes nothing happen. None of these is a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("it is about another attempt: acknowledge and record it, never apply it")]
    OtherAttempt,
    #[error("the attempt has ended by this report already: acknowledge it")]
    Duplicate,
    #[error("the attempt's dispatch has no position in the log yet: come again when it has")]
    FencePending,
    #[error("not before {until}")]
    NotDue { until: Timestamp },
    #[error("an attempt is dispatched")]
    AlreadyDispatched,
    #[error("the attempt is asked to end already")]
    AlreadyStopping,
    #[error("its run starts nothing any more")]
    RunEnding,
    #[error("the task run has ended")]
    AlreadyEnded,
    #[error("no attempt on that worker in these lives")]
    OtherWorker,
    #[error("the task has no timeout")]
    NoTimeout,
}

/// Decides one command. `jitter` is any evenly drawn number; it spreads attempts and nothing else.
///
/// - A success reported while the attempt is asked to end stays a success, for a timeout and for a cancel: the
///   worker's word is the truth, the work is done, and a retry of the run shall not repeat it.
/// - Any other end of a cancelled attempt ends the task run as cancelled; of a timed-out one it is a failed try.
/// - A loss ends a task run that is delivered at most once, with a reason of its own.
/// - Else a loss is no try and makes the task run ready, unless its timeout had passed: that counts. Losses in a row are
///   counted by themselves: from the third on they are waited after, and the last of `losses_max` ends the task run.
/// - A refusal is no try.
/// - Outside `Stance::Going` nothing is tried again: what was attempted fails with its last cause (or is cancelled),
///   what never was is skipped (or cancelled).
pub fn decide(
    state: &TaskState,
    spec: &TaskSpec,
    command: &TaskCommand,
    jitter: u64,
    now: Timestamp,
) -> Result<Vec<Event>, Rejection> {
    if spec.stance == Stance::Quarantined {
        return quarantine::decide(state, command);
    }
    let decider = Decider { state, spec, jitter, now };
    match command {
        TaskCommand::Grant { worker, share } => decider.grant(worker, share),
        TaskCommand::Report { attempt, fence, end } => decider.report(*attempt, *fence, end),
        TaskCommand::Refused { attempt, fence, why } => decider.refused(*attempt, *fence, why),
        TaskCommand::TimeoutElapsed { attempt } => decider.timeout_elapsed(*attempt),
        TaskCommand::BackoffElapsed => decider.backoff_elapsed(),
        TaskCommand::Cancel => decider.cancel(),
        TaskCommand::Stop => decider.stop(),
        TaskCommand::WorkerLost { name, through } => decider.worker_lost(name, *through),
    }
}

struct Decider<'a> {
    state: &'a TaskState,
    spec: &'a TaskSpec,
    jitter: u64,
    now: Timestamp,
}

impl Decider<'_> {
    fn grant(&self, worker: &WorkerRef, share: &Share) -> Result<Vec<Event>, Rejection> {
        let ready_at = match &self.state.phase {
            TaskPhase::Ready { since } => *since,
            TaskPhase::Backoff { until } if *until > self.now => {
                return Err(Rejection::NotDue { until: *until });
            }
            TaskPhase::Backoff { until } => *until,
            TaskPhase::Dispatched(_) | TaskPhase::Stopping { .. } => {
                return Err(Rejection::AlreadyDispatched);
            }
            TaskPhase::Ended { .. } => return Err(Rejection::AlreadyEnded),
        };
        match self.spec.stance {
            Stance::Going => Ok(vec![Event::AttemptDispatched {
                key: self.state.key,
                attempt: self.state.attempts + 1,
                worker: worker.clone(),
                ready_at,
                share: share.clone(),
            }]),
            Stance::Stopping | Stance::Cancelling | Stance::Quarantined => Err(Rejection::RunEnding),
        }
    }

    fn report(&self, number: u16, fence: Fence, end: &AttemptEnd) -> Result<Vec<Event>, Rejection> {
        let attempt = self.named(number, fence)?;
        let worker = attempt.worker.clone();
        let ended = Event::AttemptEnded { key: self.state.key, attempt: number, end: end.clone(), worker };
        let next = match (&end.result, &self.state.phase) {
            (AttemptResult::Succeeded { outputs }, _) => {
                Some(self.ended(TaskOutcome::Succeeded { outputs: outputs.clone() }))
            }
            (_, TaskPhase::Stopping { cause: StopCause::Cancelled, .. }) => {
                Some(self.ended(TaskOutcome::Cancelled))
            }
            (_, _) => self.after_failed_try(&Fate::reported(end)),
        };
        Ok([ended].into_iter().chain(next).collect())
    }

    fn refused(&self, number: u16, fence: Fence, why: &str) -> Result<Vec<Event>, Rejection> {
        let attempt = self.named(number, fence)?;
        let (key, worker) = (self.state.key, attempt.worker.clone());
        let refused = Event::AttemptRefused { key, attempt: number, worker, why: why.to_string() };
        let next = match &self.state.phase {
            TaskPhase::Stopping { cause: StopCause::Cancelled, .. } => {
                Some(self.ended(TaskOutcome::Cancelled))
            }
            _ => self.end_by_stance(self.state.last.as_ref().map(|last| &last.fate)),
        };
        Ok([refused].into_iter().chain(next).collect())
    }

    fn timeout_elapsed(&self, number: u16) -> Result<Vec<Event>, Rejection> {
        let timeout = self.spec.timeout.ok_or(Rejection::NoTimeout)?;
        match &self.state.phase {
            TaskPhase::Dispatched(attempt) if attempt.number == number => {
                let until = attempt.dispatched_at.plus(timeout);
                if until > self.now {
                    return Err(Rejection::NotDue { until });
                }
                self.stopping(attempt, StopCause::Timeout)
            }
            TaskPhase::Stopping { attempt, .. } if attempt.number == number => {
                Err(Rejection::AlreadyStopping)
            }
            TaskPhase::Ended { .. } => Err(Rejection::AlreadyEnded),
            TaskPhase::Dispatched(_)
            | TaskPhase::Stopping { .. }
            | TaskPhase::Ready { .. }
            | TaskPhase::Backoff { .. } => Err(Rejection::OtherAttempt),
        }
    }

    fn backoff_elapsed(&self) -> Result<Vec<Event>, Rejection> {
        match &self.state.phase {
            TaskPhase::Backoff { until } if *until > self.now => Err(Rejection::NotDue { until: *until }),
            TaskPhase::Backoff { .. } | TaskPhase::Ready { .. } => Ok(Vec::new()),
            TaskPhase::Dispatched(_) | TaskPhase::Stopping { .. } => Err(Rejection::AlreadyDispatched),
            TaskPhase::Ended { .. } => Err(Rejection::AlreadyEnded),
        }
    }

    fn cancel(&self) -> Result<Vec<Event>, Rejection> {
        match &self.state.phase {
            TaskPhase::Ready { .. } | TaskPhase::Backoff { .. } => {
                Ok(vec![self.ended(TaskOutcome::Cancelled)])
            }
            TaskPhase::Dispatched(attempt)
            | TaskPhase::Stopping { attempt, cause: StopCause::Timeout, .. } => {
                self.stopping(attempt, StopCause::Cancelled)
            }
            TaskPhase::Stopping { cause: StopCause::Cancelled, .. } => Err(Rejection::AlreadyStopping),
            TaskPhase::Ended { .. } => Err(Rejection::AlreadyEnded),
        }
    }

    fn stop(&self) -> Result<Vec<Event>, Rejection> {
        match &self.state.phase {
            TaskPhase::Ready { .. } | TaskPhase::Backoff { .. } => {
                let outcome = stopped(self.state.last.as_ref().map(|last| &last.fate));
                Ok(vec![self.ended(outcome)])
            }
            TaskPhase::Dispatched(_) => Err(Rejection::AlreadyDispatched),
            TaskPhase::Stopping { .. } => Err(Rejection::AlreadyStopping),
            TaskPhase::Ended { .. } => Err(Rejection::AlreadyEnded),
        }
    }

    fn worker_lost(&self, name: &Name, through: Incarnation) -> Result<Vec<Event>, Rejection> {
        let attempt = match &self.state.phase {
            TaskPhase::Dispatched(attempt) | TaskPhase::Stopping { attempt, .. } => attempt,
            TaskPhase::Ready { .. } | TaskPhase::Backoff { .. } => return Err(Rejection::OtherWorker),
            TaskPhase::Ended { .. } => return Err(Rejection::AlreadyEnded),
        };
        if attempt.worker.name != *name || attempt.worker.incarnation > through {
            return Err(Rejection::OtherWorker);
        }
        let (key, worker) = (self.state.key, attempt.worker.clone());
        let lost = Event::AttemptLost { key, attempt: attempt.number, worker };
        let fate = self.state.fate_when_lost(self.now);
        let next = match (&self.state.phase, &fate) {
            (TaskPhase::Stopping { cause: StopCause::Cancelled, .. }, _) => {
                Some(self.ended(TaskOutcome::Cancelled))
            }
            (_, _) if self.spec.delivery == Delivery::AtMostOnce => {
                let error = format!("{fate}, and how far it came is unknown; it is delivered at most once");
                Some(self.ended(TaskOutcome::Failed { error }))
            }
            (_, Fate::LostAfterTimeout { .. }) if self.state.losses + 1 < self.spec.losses_max => {
                self.after_failed_try(&fate)
            }
            (_, _) => self.after_loss(&fate),
        };
        Ok([lost].into_iter().chain(next).collect())
    }

    /// The attempt that a worker's word is about, if it is the present one.
    fn named(&self, number: u16, fence: Fence) -> Result<&Attempt, Rejection> {
        match (self.state.attempt(), &self.state.last) {
            (Some(attempt), _) if attempt.number == number => match attempt.fence {
                FenceAt::Known(known) if known == fence => Ok(attempt),
                FenceAt::Known(_) => Err(Rejection::OtherAttempt),
                FenceAt::ThisRow => Err(Rejection::FencePending),
            },
            (_, Some(last)) if last.number == number => match last.fate {
                Fate::Reported { .. } => Err(Rejection::Duplicate),
                Fate::Lost { .. } | Fate::LostAfterTimeout { .. } => Err(Rejection::OtherAttempt),
            },
            (_, _) => Err(Rejection::OtherAttempt),
        }
    }

    fn stopping(&self, attempt: &Attempt, cause: StopCause) -> Result<Vec<Event>, Rejection> {
        match attempt.fence {
            FenceAt::Known(_) => {
                Ok(vec![Event::AttemptStopping { key: self.state.key, attempt: attempt.number, cause }])
            }
            FenceAt::ThisRow => Err(Rejection::FencePending),
        }
    }

    /// What follows a loss, this one included; none when the task run is ready at once.
    fn after_loss(&self, fate: &Fate) -> Option<Event> {
        if let Some(ended) = self.end_unless_going(fate) {
            return Some(ended);
        }
        let losses = self.state.losses + 1;
        if losses >= self.spec.losses_max {
            let error = format!(
                "{fate}, for the {losses}th time in a row, so it may be what ends its workers: look at the memory and \
                 the signals of this task, then retry the run [R112]"
            );
            return Some(self.ended(TaskOutcome::Failed { error }));
        }
        match losses::wait(losses, self.jitter) {
            Span::ZERO => None,
            wait => Some(Event::TaskBackoff { key: self.state.key, until: self.now.plus(wait) }),
        }
    }

    /// What follows a failed try, this one included; none when the task run is ready at once.
    fn after_failed_try(&self, fate: &Fate) -> Option<Event> {
        if let Some(ended) = self.end_unless_going(fate) {
            return Some(ended);
        }
        let tries = self.state.tries + 1;
        if tries > self.spec.retry.max {
            return Some(self.ended(TaskOutcome::Failed { error: fate.to_string() }));
        }
        match delay(&self.spec.retry, tries, self.jitter) {
            Span::ZERO => None,
            wait => Some(Event::TaskBackoff { key: self.state.key, until: self.now.plus(wait) }),
        }
    }

    /// The task run's end when no attempt may follow the one that just ended: by the run's stance, or for want of
    /// numbers.
    fn end_unless_going(&self, fate: &Fate) -> Option<Event> {
        self.end_by_stance(Some(fate)).or_else(|| {
            (self.state.attempts == ATTEMPTS_MAX).then(|| {
                self.ended(TaskOutcome::Failed { error: format!("{fate}; no attempt number is left") })
            })
        })
    }

    /// The task run's end when its run starts nothing any more.
    fn end_by_stance(&self, fate: Option<&Fate>) -> Option<Event> {
        match self.spec.stance {
            Stance::Going => None,
            Stance::Stopping => Some(self.ended(stopped(fate))),
            Stance::Cancelling | Stance::Quarantined => Some(self.ended(TaskOutcome::Cancelled)),
        }
    }

    fn ended(&self, outcome: TaskOutcome) -> Event {
        Event::TaskEnded { key: self.state.key, outcome }
    }
}

/// How a task run ends that waits for an attempt while its run stops.
fn stopped(fate: Option<&Fate>) -> TaskOutcome {
    match fate {
        Some(fate) => TaskOutcome::Failed { error: fate.to_string() },
        None => TaskOutcome::Skipped { cause: SkipCause::RunStopped },
    }
}
