//! What a command to a workflow makes happen: versions, the turn of runs under `concurrency`, idempotency keys.
//! Must not know how runs carry out a turn or a cancel.

use std::collections::BTreeSet;

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
    /// A finished run is forgotten, and with it the key of its start.
    DeleteRun {
        run: RunId,
        key: Option<String>,
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
    /// Too many keys, or its run is deleted: this one may start another run again.
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
    /// Said by who calls, when `decide` itself gave no answer.
    #[error("the decision failed: {why}")]
    Failed { why: String },
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
        WorkflowCommand::RunFinished { run } => finished(state, *run),
        WorkflowCommand::DeleteRun { run, key } => delete(state, *run, key.as_deref()),
        WorkflowCommand::Advance => Ok(settle(state, concurrency(state), None)),
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
    let turns = turns(state.queued().iter().copied(), state.holders(), concurrency.runs);
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
            Ok(settle(state, concurrency, Some(run)))
        }
    }
}

fn finished(state: &WorkflowState, run: RunId) -> Result<Vec<WorkflowEvent>, WorkflowRejection> {
    let freed = match state.live_run(run).ok_or(WorkflowRejection::NotLive)? {
        LiveRun::Queued => 0,
        LiveRun::Running | LiveRun::Cancelling => 1,
    };
    let queued = state.queued().iter().copied().filter(|queued| *queued != run);
    let turns = turns(queued, state.holders() - freed, concurrency(state).runs);
    Ok([WorkflowEvent::RunLeft { run }].into_iter().chain(turns).collect())
}

/// A key may have been forgotten and have started another run since: that one keeps it.
fn delete(
    state: &WorkflowState,
    run: RunId,
    key: Option<&str>,
) -> Result<Vec<WorkflowEvent>, WorkflowRejection> {
    if state.live_run(run).is_some() {
        return Err(WorkflowRejection::AlreadyLive);
    }
    let own = key.filter(|key| state.started_by(key).is_some_and(|started| started.run == run));
    Ok(own.map(|key| WorkflowEvent::KeyForgotten { key: key.to_string() }).into_iter().collect())
}

/// Displacements, where the policy has them, then turns. The newcomer is queued, and not displaced.
fn settle(state: &WorkflowState, concurrency: Concurrency, newcomer: Option<RunId>) -> Vec<WorkflowEvent> {
    let too_many = match concurrency {
        Concurrency { runs: Some(limit), when_full: WhenFull::CancelOldest } => {
            (state.staying() + newcomer.iter().len()).saturating_sub(limit as usize)
        }
        _ => 0,
    };
    let staying = state.live().filter(|(_, stage)| *stage != LiveRun::Cancelling).map(|(run, _)| run);
    let displaced: BTreeSet<RunId> = staying.take(too_many).collect();
    let before = |run: &RunId| newcomer.is_some_and(|newcomer| *run < newcomer);
    let queued = state.queued().iter().copied();
    let (older, younger) = (queued.clone().take_while(before), queued.clone().skip_while(before));
    let waiting = older.chain(newcomer).chain(younger).filter(|run| !displaced.contains(run));
    let holders = state.holders() + state.queued().intersection(&displaced).count();
    let turns = turns(waiting, holders, concurrency.runs);
    displaced.iter().map(|run| WorkflowEvent::RunDisplaced { run: *run }).chain(turns).collect()
}

/// The oldest that wait have the places that are free.
fn turns(
    waiting: impl Iterator<Item = RunId>,
    holders: usize,
    limit: Option<u32>,
) -> impl Iterator<Item = WorkflowEvent> {
    let free = limit.map_or(usize::MAX, |limit| (limit as usize).saturating_sub(holders));
    waiting.take(free).map(|run| WorkflowEvent::RunAdmitted { run })
}

/// Without a version there are no runs to limit.
fn concurrency(state: &WorkflowState) -> Concurrency {
    let unlimited = Concurrency { runs: None, when_full: WhenFull::Queue };
    state.latest.as_ref().map_or(unlimited, |latest| latest.concurrency)
}
