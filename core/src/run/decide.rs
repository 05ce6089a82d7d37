//! What a command to a run makes happen.
//! Must not know how task runs carry out a cancel; it waits for their ends.

use crate::definition::OnFailure;
use crate::event::{Event, RunOutcome, TaskOutcome, TaskResult};
use crate::id::{TaskIndex, TaskKey};
use crate::time::Timestamp;

use super::progress::{ItemStage, Stage, WHOLE_TASK};
use super::{RunCommand, RunPhase, RunRejection, RunState, quarantine};

/// Decides one command. `_now` is here because every decider has it; nothing of a run depends on it yet.
///
/// - A run is cancelled if a cancel was asked for and cut anything short; else failed if any task run failed, even
///   if a child with `run_if: one_failed` or `all_done` took care of that; else succeeded.
/// - A queued run that is cancelled finishes in the same decision.
/// - A retry starts everything afresh that has not succeeded. What a condition had skipped is judged again, with the
///   same answer while nothing above it changed.
pub fn decide(state: &RunState, command: &RunCommand, _now: Timestamp) -> Result<Vec<Event>, RunRejection> {
    if let RunPhase::Quarantined { quarantine, .. } = &state.header.phase {
        return quarantine::decide(quarantine, state.tally.active, command);
    }
    match command {
        RunCommand::Start => start(state),
        RunCommand::TaskEnded { key, outcome } => task_ended(state, *key, outcome),
        RunCommand::Advance { limit } => Ok(advance(state, *limit)),
        RunCommand::Cancel { by, reason } => cancel(state, by, reason.as_deref()),
        RunCommand::Retry { by } => retry(state, by),
    }
}

fn start(state: &RunState) -> Result<Vec<Event>, RunRejection> {
    match &state.header.phase {
        RunPhase::Queued => Ok(vec![Event::RunStarted]),
        RunPhase::Running { .. } | RunPhase::Stopping { .. } => Err(RunRejection::AlreadyStarted),
        RunPhase::Cancelling { .. } => Err(RunRejection::AlreadyCancelling),
        RunPhase::Quarantined { .. } => Err(RunRejection::Quarantined),
        RunPhase::Finished { .. } => Err(RunRejection::AlreadyFinished),
    }
}

fn task_ended(state: &RunState, key: TaskKey, outcome: &TaskOutcome) -> Result<Vec<Event>, RunRejection> {
    if !state.header.is_live() {
        return Err(RunRejection::AlreadyFinished);
    }
    if !state.has(key) {
        return Err(RunRejection::NoSuchTaskRun);
    }
    let item = state.items.get(&key.task).and_then(|items| items.stage(key.item));
    match (item, state.tasks[key.task as usize].stage) {
        (Some(ItemStage::Ended(_)), _) | (_, Stage::Ended(_)) => Err(RunRejection::TaskAlreadyEnded),
        (_, _) if outcome.result() == TaskResult::Failed => {
            let first = state.tally.first_failed.map_or(key, |(_, first)| first);
            Ok(stopping(state, first).into_iter().collect())
        }
        (_, _) => Ok(Vec::new()),
    }
}

fn advance(state: &RunState, limit: usize) -> Vec<Event> {
    match &state.header.phase {
        RunPhase::Queued | RunPhase::Quarantined { .. } | RunPhase::Finished { .. } => Vec::new(),
        RunPhase::Running { .. } => {
            let first_failed = state.tally.first_failed.map(|(_, key)| key);
            match first_failed.and_then(|first| stopping(state, first)) {
                Some(stopping) => vec![stopping],
                None => write_down(state, limit),
            }
        }
        RunPhase::Stopping { .. } | RunPhase::Cancelling { .. } => match state.tally.active {
            0 => vec![Event::RunFinished { outcome: cut_short(state) }],
            _ => Vec::new(),
        },
    }
}

/// The ends of doomed tasks, and the run's own if that leaves nothing.
fn write_down(state: &RunState, limit: usize) -> Vec<Event> {
    let doomed = state.doomed.iter().filter(|(task, _)| state.tasks[*task as usize].stage == Stage::Doomed);
    let ended = doomed.take(limit).map(|(task, outcome)| {
        let foreach = state.definition.tasks[*task as usize].foreach.is_some();
        let key = TaskKey { task: *task, item: if foreach { WHOLE_TASK } else { 0 } };
        Event::TaskEnded { key, outcome: outcome.clone() }
    });
    let mut events: Vec<Event> = ended.collect();
    let mut failed = events.iter().filter_map(|event| match event {
        Event::TaskEnded { key, outcome: TaskOutcome::Failed { .. } } => Some(*key),
        _ => None,
    });
    let first_failed = state.tally.first_failed.map(|(_, key)| key).or(failed.next());
    let stops = first_failed.and_then(|first| stopping(state, first)).is_some();
    // A run that is to stop does so before it finishes.
    if events.len() as u32 == state.tally.unended && !stops {
        events.push(Event::RunFinished { outcome: by_failure(first_failed) });
    }
    events
}

/// How a run ends that starts nothing any more and has nothing active.
fn cut_short(state: &RunState) -> RunOutcome {
    let asked = matches!(state.header.phase, RunPhase::Cancelling { .. });
    let anything = state.tally.unended > 0 || state.tally.counts.cancelled > 0;
    match asked && anything {
        true => RunOutcome::Cancelled,
        false => by_failure(state.tally.first_failed.map(|(_, key)| key)),
    }
}

fn by_failure(first_failed: Option<TaskKey>) -> RunOutcome {
    match first_failed {
        Some(_) => RunOutcome::Failed,
        None => RunOutcome::Succeeded,
    }
}

/// `on_failure: stop` taking effect, if that is the policy and it has not.
fn stopping(state: &RunState, first_failed: TaskKey) -> Option<Event> {
    match (state.definition.on_failure, &state.header.phase) {
        (OnFailure::Stop, RunPhase::Running { .. }) => Some(Event::RunStopping { first_failed }),
        (OnFailure::Stop | OnFailure::Continue, _) => None,
    }
}

fn cancel(state: &RunState, by: &str, reason: Option<&str>) -> Result<Vec<Event>, RunRejection> {
    let requested = Event::RunCancelRequested { by: by.to_string(), reason: reason.map(String::from) };
    match &state.header.phase {
        RunPhase::Queued => Ok(vec![requested, Event::RunFinished { outcome: RunOutcome::Cancelled }]),
        RunPhase::Running { .. } | RunPhase::Stopping { .. } => Ok(vec![requested]),
        RunPhase::Cancelling { .. } => Err(RunRejection::AlreadyCancelling),
        RunPhase::Quarantined { .. } => Err(RunRejection::Quarantined),
        RunPhase::Finished { .. } => Err(RunRejection::AlreadyFinished),
    }
}

fn retry(state: &RunState, by: &str) -> Result<Vec<Event>, RunRejection> {
    match &state.header.phase {
        RunPhase::Finished { outcome: RunOutcome::Succeeded, .. } => Err(RunRejection::NothingToRetry),
        RunPhase::Finished { .. } => {
            let tasks = 0..state.tasks.len() as TaskIndex;
            let unsucceeded = |task: &TaskIndex| state.result(*task) != Some(TaskResult::Succeeded);
            Ok(vec![Event::RunRetried { by: by.to_string(), tasks: tasks.filter(unsucceeded).collect() }])
        }
        RunPhase::Queued
        | RunPhase::Running { .. }
        | RunPhase::Stopping { .. }
        | RunPhase::Cancelling { .. } => Err(RunRejection::NotFinished),
        RunPhase::Quarantined { .. } => Err(RunRejection::Quarantined),
    }
}
