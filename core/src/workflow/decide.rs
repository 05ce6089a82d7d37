//! What a command to a workflow makes happen: versions, the turn of runs under `concurrency`, idempotency keys.
//! Must not know how runs carry out a turn or a cancel.

use crate::definition::{Concurrency, WhenFull};
use crate::id::RunId;

use super::{KEYS_MAX, LIVE_RUNS_MAX, LiveRun, StartKey, Started, Version, WorkflowState};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkflowCommand {
    /// A checked definition, known by the hash of its canonical form.
    ApplyVersion {
        hash: String,
        concurrency: Concurrency,
    },
    /// A new run of the newest version. Its run row is to be written with `RunAccepted`.
    StartRun {
        run: RunId,
        key: Option<StartKey>,
    },
    /// A finished run becomes live again.
    RetryRun {
        run: RunId,
    },
    RunFinished {
        run: RunId,
    },
    /// Decides again what follows from the state alone; after a restore.
    Advance,
}

/// A fact about a workflow. `VersionApplied` changes its row, `RunAccepted` and `KeyForgotten` a key's row; the
/// others follow from the runs' rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WorkflowEvent {
    VersionApplied {
        version: Version,
    },
    /// The run exists, queued.
    RunAccepted {
        run: RunId,
        key: Option<StartKey>,
    },
    /// Too many keys: this one may start another run again.
    KeyForgotten {
        key: String,
    },
    /// A retried run is queued again.
    RunRequeued {
        run: RunId,
    },
    /// The run has its turn: it is to be started.
    RunAdmitted {
        run: RunId,
    },
    /// `when_full: cancel_oldest`: the run is to be cancelled.
    RunDisplaced {
        run: RunId,
    },
    /// The run has finished and left its place.
    RunLeft {
        run: RunId,
    },
}

/// Why a command makes nothing happen. None of these is a fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkflowRejection {
    #[error("version {version} says the same")]
    Unchanged { version: u32 },
    #[error("this key has started run {run} already")]
    SameKey { run: RunId },
    #[error("this key has started run {run}, and something else was asked for then")]
    KeyTaken { run: RunId },
    #[error("the workflow has no version yet")]
    NoVersion,
    #[error("{limit} runs at a time are allowed, and that many are live")]
    Full {
        limit: u32,
        /// The runs that hold the places, oldest first.
        holders: Vec<RunId>,
    },
    #[error("the workflow has {LIVE_RUNS_MAX} live runs, and that is the most")]
    TooManyRuns,
    #[error("the run is live already")]
    AlreadyLive,
    #[error("the run is not live")]
    NotLive,
}

/// Decides one command.
///
/// - A cancelled run holds its place until it has really finished, so `concurrency.runs` is never exceeded.
/// - `queue`: the oldest queued run is next. `skip`: a start that would have to wait is refused.
///   `cancel_oldest`: as many of the oldest live runs, queued ones too, are cancelled as it takes for the newcomer
///   to be within the limit; it starts when they have finished.
/// - A retry counts as a start, in the run's old place of the order.
pub fn decide(
    state: &WorkflowState,
    command: &WorkflowCommand,
) -> Result<Vec<WorkflowEvent>, WorkflowRejection> {
    match command {
        WorkflowCommand::ApplyVersion { hash, concurrency } => apply_version(state, hash, *concurrency),
        WorkflowCommand::StartRun { run, key } => start(state, *run, key.as_ref()),
        WorkflowCommand::RetryRun { run } => {
            Ok([WorkflowEvent::RunRequeued { run: *run }].into_iter().chain(joined(state, *run)?).collect())
        }
        WorkflowCommand::RunFinished { run } => {
            state.live_run(*run).ok_or(WorkflowRejection::NotLive)?;
            let runs = state.live().filter(|(live, _)| live != run).collect();
            Ok([WorkflowEvent::RunLeft { run: *run }].into_iter().chain(turns(runs, limit(state))).collect())
        }
        WorkflowCommand::Advance => Ok(settle(state.live().collect(), concurrency(state), None)),
    }
}

fn apply_version(
    state: &WorkflowState,
    hash: &str,
    concurrency: Concurrency,
) -> Result<Vec<WorkflowEvent>, WorkflowRejection> {
    let number = match &state.latest {
        Some(latest) if latest.hash == hash => {
            return Err(WorkflowRejection::Unchanged { version: latest.number });
        }
        Some(latest) => latest.number + 1,
        None => 1,
    };
    let version = Version { number, hash: hash.to_string(), concurrency };
    let turns = turns(state.live().collect(), concurrency.runs);
    Ok([WorkflowEvent::VersionApplied { version }].into_iter().chain(turns).collect())
}

fn start(
    state: &WorkflowState,
    run: RunId,
    key: Option<&StartKey>,
) -> Result<Vec<WorkflowEvent>, WorkflowRejection> {
    if let Some((key, started)) = key.and_then(|key| Some((key, state.started_by(&key.key)?))) {
        let Started { run, request_hash } = started;
        return Err(match request_hash == key.request_hash {
            true => WorkflowRejection::SameKey { run },
            false => WorkflowRejection::KeyTaken { run },
        });
    }
    let joined = joined(state, run)?;
    let forgotten = match (key, state.oldest_key()) {
        (Some(_), Some(oldest)) if state.key_count() >= KEYS_MAX => {
            Some(WorkflowEvent::KeyForgotten { key: oldest.clone() })
        }
        (_, _) => None,
    };
    let accepted = WorkflowEvent::RunAccepted { run, key: key.cloned() };
    Ok(forgotten.into_iter().chain([accepted]).chain(joined).collect())
}

/// What follows when the run joins the live ones.
fn joined(state: &WorkflowState, run: RunId) -> Result<Vec<WorkflowEvent>, WorkflowRejection> {
    let concurrency = state.latest.as_ref().ok_or(WorkflowRejection::NoVersion)?.concurrency;
    if state.live_run(run).is_some() {
        return Err(WorkflowRejection::AlreadyLive);
    }
    if state.live_count() >= LIVE_RUNS_MAX {
        return Err(WorkflowRejection::TooManyRuns);
    }
    match (concurrency.when_full, concurrency.runs) {
        (WhenFull::Skip, Some(limit)) if state.live_count() >= limit as usize => {
            Err(WorkflowRejection::Full { limit, holders: state.live().map(|(run, _)| run).collect() })
        }
        (WhenFull::Skip | WhenFull::Queue | WhenFull::CancelOldest, _) => {
            let mut runs: Vec<_> = state.live().collect();
            runs.push((run, LiveRun::Queued));
            runs.sort_unstable_by_key(|(run, _)| *run);
            Ok(settle(runs, concurrency, Some(run)))
        }
    }
}

/// Displacements, where the policy has them, then turns. `newcomer` is not displaced.
fn settle(
    mut runs: Vec<(RunId, LiveRun)>,
    concurrency: Concurrency,
    newcomer: Option<RunId>,
) -> Vec<WorkflowEvent> {
    let staying = runs.iter().filter(|(_, stage)| *stage != LiveRun::Cancelling).count();
    let too_many = match concurrency {
        Concurrency { runs: Some(limit), when_full: WhenFull::CancelOldest } => {
            staying.saturating_sub(limit as usize)
        }
        _ => 0,
    };
    let mut events = Vec::new();
    let oldest =
        runs.iter_mut().filter(|(run, stage)| *stage != LiveRun::Cancelling && Some(*run) != newcomer);
    for (run, stage) in oldest.take(too_many) {
        *stage = LiveRun::Cancelling;
        events.push(WorkflowEvent::RunDisplaced { run: *run });
    }
    events.extend(turns(runs, concurrency.runs));
    events
}

/// The oldest queued of these runs have the places that are free.
fn turns(runs: Vec<(RunId, LiveRun)>, limit: Option<u32>) -> Vec<WorkflowEvent> {
    let taken = runs.iter().filter(|(_, stage)| *stage != LiveRun::Queued).count();
    let free = limit.map_or(usize::MAX, |limit| (limit as usize).saturating_sub(taken));
    let queued = runs.into_iter().filter(|(_, stage)| *stage == LiveRun::Queued);
    queued.take(free).map(|(run, _)| WorkflowEvent::RunAdmitted { run }).collect()
}

fn limit(state: &WorkflowState) -> Option<u32> {
    concurrency(state).runs
}

/// Without a version there are no runs to limit.
fn concurrency(state: &WorkflowState) -> Concurrency {
    let unlimited = Concurrency { runs: None, when_full: WhenFull::Queue };
    state.latest.as_ref().map_or(unlimited, |latest| latest.concurrency)
}
