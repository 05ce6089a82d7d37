//! What a command to a workflow makes happen: versions, the turn of runs under `concurrency`, idempotency keys.
//! Must not know how runs carry out a turn or a cancel.

use std::collections::{BTreeMap, BTreeSet};

use crate::definition::{Concurrency, WhenFull};
use crate::id::RunId;

use super::{KEYS_MAX, LIVE_RUNS_MAX, Lane, LiveRun, Place, StartKey, Started, Version, WorkflowState};

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
        place: Place,
    },
    /// A finished run becomes live again.
    RetryRun {
        run: RunId,
        place: Place,
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

/// Which rule a displaced run has to leave by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Displaced {
    /// `when_full: cancel_oldest`.
    ByConcurrency,
    /// `overlap: cancel_oldest`.
    BySchedule,
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
        place: Place,
    },
    /// Too many keys, or its run is deleted: this one may start another run again.
    KeyForgotten {
        key: String,
    },
    /// A retried run is queued again.
    RunRequeued {
        run: RunId,
        place: Place,
    },
    /// The run has its turn: it is to be started.
    RunAdmitted {
        run: RunId,
    },
    /// A newer run takes its place: it is to be cancelled.
    RunDisplaced {
        run: RunId,
        why: Displaced,
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
/// - A retry counts as a start, in the run's old place of the order. The run has said yes to it before its workflow hears of
///   it, so it is not refused: under `skip` it waits as under `queue`.
/// - Of the runs of one lane one has its turn at a time, whatever `concurrency` allows; others go past those that wait.
pub fn decide(
    state: &WorkflowState,
    command: &WorkflowCommand,
) -> Result<Vec<WorkflowEvent>, WorkflowRejection> {
    match command {
        WorkflowCommand::ApplyVersion { hash, concurrency } => apply_version(state, hash, *concurrency),
        WorkflowCommand::StartRun { run, key, place } => start(state, *run, key.as_ref(), place),
        WorkflowCommand::RetryRun { run, place } => {
            if state.live_run(*run).is_some() {
                return Err(WorkflowRejection::AlreadyLive);
            }
            let concurrency = state.latest.as_ref().ok_or(WorkflowRejection::NoVersion)?.concurrency;
            let requeued = WorkflowEvent::RunRequeued { run: *run, place: place.clone() };
            let settled = settle(state, concurrency, Some((*run, place)));
            Ok([requeued].into_iter().chain(settled).collect())
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
    let turns = turns(state, state.queued().iter().copied(), concurrency.runs, &Change::default());
    Ok([WorkflowEvent::VersionApplied { version }].into_iter().chain(turns).collect())
}

fn start(
    state: &WorkflowState,
    run: RunId,
    key: Option<&StartKey>,
    place: &Place,
) -> Result<Vec<WorkflowEvent>, WorkflowRejection> {
    if let Some((key, started)) = key.and_then(|key| Some((key, state.started_by(&key.key)?))) {
        let Started { run, request_hash } = started;
        return Err(match request_hash == key.request_hash {
            true => WorkflowRejection::SameKey { run },
            false => WorkflowRejection::KeyTaken { run },
        });
    }
    let joined = joined(state, run, place)?;
    let forgotten = match (key, state.oldest_key()) {
        (Some(_), Some(oldest)) if state.key_count() >= KEYS_MAX => {
            Some(WorkflowEvent::KeyForgotten { key: oldest.clone() })
        }
        (_, _) => None,
    };
    let accepted = WorkflowEvent::RunAccepted { run, key: key.cloned(), place: place.clone() };
    Ok(forgotten.into_iter().chain([accepted]).chain(joined).collect())
}

/// What follows when the run joins the live ones.
fn joined(state: &WorkflowState, run: RunId, place: &Place) -> Result<Vec<WorkflowEvent>, WorkflowRejection> {
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
            Ok(settle(state, concurrency, Some((run, place))))
        }
    }
}

fn finished(state: &WorkflowState, run: RunId) -> Result<Vec<WorkflowEvent>, WorkflowRejection> {
    state.live_run(run).ok_or(WorkflowRejection::NotLive)?;
    let queued = state.queued().iter().copied().filter(|queued| *queued != run);
    let change = Change { left: Some(run), ..Change::default() };
    let turns = turns(state, queued, concurrency(state).runs, &change);
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

/// Displacements, where a policy has them, then turns. The newcomer is queued, and not displaced.
fn settle(
    state: &WorkflowState,
    concurrency: Concurrency,
    newcomer: Option<(RunId, &Place)>,
) -> Vec<WorkflowEvent> {
    let staying = || state.live().filter(|(_, stage)| *stage != LiveRun::Cancelling).map(|(run, _)| run);
    let mut displaced: BTreeMap<RunId, Displaced> = BTreeMap::new();
    let pushing = match newcomer {
        Some((run, place)) => vec![(run, place)],
        // After a restore nobody knows which of them were obeyed.
        None => staying().map(|run| (run, state.place(run))).collect(),
    };
    for (run, place) in pushing {
        if let Place::InPlaceOfTheOldest(lane) = place {
            let oldest = staying().find(|other| state.place(*other).lane() == lane);
            let older = oldest.filter(|oldest| *oldest != run);
            displaced.extend(older.map(|older| (older, Displaced::BySchedule)));
        }
    }
    let too_many = match concurrency {
        Concurrency { runs: Some(limit), when_full: WhenFull::CancelOldest } => {
            (state.staying() + newcomer.iter().len()).saturating_sub(limit as usize + displaced.len())
        }
        _ => 0,
    };
    let others: Vec<RunId> = staying().filter(|run| !displaced.contains_key(run)).take(too_many).collect();
    displaced.extend(others.into_iter().map(|run| (run, Displaced::ByConcurrency)));
    let run = newcomer.map(|(run, _)| run);
    let before = |other: &RunId| run.is_some_and(|newcomer| *other < newcomer);
    let queued = state.queued().iter().copied();
    let (older, younger) = (queued.clone().take_while(before), queued.skip_while(before));
    let waiting = older.chain(run).chain(younger).filter(|run| !displaced.contains_key(run));
    let cancelled = state.queued().iter().copied().filter(|run| displaced.contains_key(run)).collect();
    let newcomer = newcomer.map(|(run, place)| (run, place.lane()));
    let turns = turns(state, waiting, concurrency.runs, &Change { cancelled, newcomer, left: None });
    let displaced = displaced.iter().map(|(run, why)| WorkflowEvent::RunDisplaced { run: *run, why: *why });
    displaced.chain(turns).collect()
}

/// What the state does not say yet when turns are given.
#[derive(Default)]
struct Change<'a> {
    /// It leaves its place.
    left: Option<RunId>,
    /// Queued ones that are being cancelled: each holds a place until it has finished.
    cancelled: Vec<RunId>,
    newcomer: Option<(RunId, &'a Lane)>,
}

/// The oldest that wait have the places that are free, one of each lane.
fn turns(
    state: &WorkflowState,
    waiting: impl Iterator<Item = RunId>,
    limit: Option<u32>,
    change: &Change<'_>,
) -> Vec<WorkflowEvent> {
    let left = change.left.filter(|run| state.live_run(*run).is_some_and(|stage| stage != LiveRun::Queued));
    let holders = state.holders() + change.cancelled.len() - left.iter().len();
    let free = limit.map_or(usize::MAX, |limit| (limit as usize).saturating_sub(holders));
    let held = state.lane_holders().filter(|run| Some(*run) != left).chain(change.cancelled.iter().copied());
    let mut taken: BTreeSet<&Lane> =
        held.map(|run| state.place(run).lane()).filter(|lane| lane.is_narrow()).collect();
    let lane_of = |run: RunId| match change.newcomer {
        Some((newcomer, lane)) if newcomer == run => lane,
        _ => state.place(run).lane(),
    };
    let may_go = |run: &RunId| {
        let lane = lane_of(*run);
        !lane.is_narrow() || taken.insert(lane)
    };
    waiting.filter(may_go).take(free).map(|run| WorkflowEvent::RunAdmitted { run }).collect()
}

/// Without a version there are no runs to limit.
fn concurrency(state: &WorkflowState) -> Concurrency {
    let unlimited = Concurrency { runs: None, when_full: WhenFull::Queue };
    state.latest.as_ref().map_or(unlimited, |latest| latest.concurrency)
}
