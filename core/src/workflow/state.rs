//! What is known of one workflow, and the fold of its events.
//! Must not know why an event happened; `decide` does.

use std::collections::{BTreeMap, BTreeSet};

use crate::definition::Concurrency;
use crate::event::Origin;
use crate::id::{Name, RunId, WorkflowName};
use crate::run::RunPhase;
use crate::schedule::Turn;

use super::WorkflowEvent;

/// Most starts of a workflow whose idempotency keys are remembered; the oldest is forgotten first. A client that
/// retries does so within seconds, so this covers hundreds of starts a second, in a few MB.
pub const KEYS_MAX: usize = 10_000;
/// Most runs of a workflow that are queued or running. Each costs memory and a page of the rebuild.
pub const LIVE_RUNS_MAX: usize = 10_000;

/// A workflow. Its row stores name and newest version; live runs come from their rows, each key has a row.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkflowState {
    pub name: WorkflowName,
    /// The newest version; none before the first was applied.
    pub latest: Option<Version>,
    /// By id and so in submission order. A retried run keeps its old place.
    live: BTreeMap<RunId, LiveRun>,
    /// Those of `live` that are queued.
    queued: BTreeSet<RunId>,
    /// Of those of `live` that are not free.
    places: BTreeMap<RunId, Place>,
    /// How many of `live` are being cancelled.
    cancelling: usize,
    keys: BTreeMap<String, Started>,
    /// The keys, oldest run first.
    key_order: BTreeSet<(RunId, String)>,
}

/// What a start's idempotency key has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    pub run: RunId,
    /// Of what was asked, so that the key is not taken for another start.
    pub request_hash: u64,
}

/// The idempotency key of a start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartKey {
    pub key: String,
    pub request_hash: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// From 1.
    pub number: u32,
    /// Of the canonical definition; equal hashes mean equal definitions.
    pub hash: String,
    pub concurrency: Concurrency,
}

/// Which runs a run takes turns with, besides what `concurrency` says of all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// With none.
    Free,
    /// With those of its schedule, one at a time.
    OfSchedule(Name),
}

impl Lane {
    pub fn is_narrow(&self) -> bool {
        *self != Lane::Free
    }
}

/// How a run begins, among the other runs of its lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Free,
    /// Of a schedule, but it waits for none of its runs.
    Beside(Name),
    /// After those before it.
    Behind(Lane),
    /// The lane's oldest run is cancelled, and this one waits for its end.
    InPlaceOfTheOldest(Lane),
}

impl Place {
    /// The place of a run of that origin.
    pub fn of(origin: &Origin) -> Place {
        let Origin::Schedule(fire) = origin else { return Place::Free };
        let lane = Lane::OfSchedule(fire.schedule.clone());
        match fire.turn {
            Turn::Free => Place::Beside(fire.schedule.clone()),
            Turn::OneAtATime => Place::Behind(lane),
            Turn::InPlaceOfTheOldest => Place::InPlaceOfTheOldest(lane),
        }
    }

    fn schedule(&self) -> Option<&Name> {
        match self {
            Place::Free => None,
            Place::Beside(name) => Some(name),
            Place::Behind(lane) | Place::InPlaceOfTheOldest(lane) => match lane {
                Lane::OfSchedule(name) => Some(name),
                Lane::Free => None,
            },
        }
    }

    pub fn lane(&self) -> &Lane {
        match self {
            Place::Free | Place::Beside(_) => &Lane::Free,
            Place::Behind(lane) | Place::InPlaceOfTheOldest(lane) => lane,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveRun {
    Queued,
    Running,
    /// Asked to end; holds a place until it has finished.
    Cancelling,
}

impl WorkflowState {
    pub fn new(name: WorkflowName) -> WorkflowState {
        WorkflowState {
            name,
            latest: None,
            live: BTreeMap::new(),
            queued: BTreeSet::new(),
            places: BTreeMap::new(),
            cancelling: 0,
            keys: BTreeMap::new(),
            key_order: BTreeSet::new(),
        }
    }

    /// Live runs, oldest first.
    pub fn live(&self) -> impl Iterator<Item = (RunId, LiveRun)> + '_ {
        self.live.iter().map(|(run, stage)| (*run, *stage))
    }

    pub fn live_run(&self, run: RunId) -> Option<LiveRun> {
        self.live.get(&run).copied()
    }

    pub fn live_count(&self) -> usize {
        self.live.len()
    }

    /// Where the run takes its turn; free when it is not live.
    pub fn place(&self, run: RunId) -> &Place {
        self.places.get(&run).unwrap_or(&Place::Free)
    }

    /// Live runs of that schedule.
    pub fn live_of_schedule(&self, schedule: &Name) -> usize {
        self.places.values().filter(|place| place.schedule() == Some(schedule)).count()
    }

    /// Runs in narrow lanes that hold a place.
    pub(super) fn lane_holders(&self) -> impl Iterator<Item = RunId> + '_ {
        self.places.keys().copied().filter(|run| !self.queued.contains(run))
    }

    /// Queued runs, oldest first.
    pub fn queued(&self) -> &BTreeSet<RunId> {
        &self.queued
    }

    /// Live runs that hold a place under `concurrency.runs`: running ones, and cancelled ones until they finish.
    pub fn holders(&self) -> usize {
        self.live.len() - self.queued.len()
    }

    /// Live runs that nobody has asked to end.
    pub(super) fn staying(&self) -> usize {
        self.live.len() - self.cancelling
    }

    /// What was started with this key, while the key is remembered.
    pub fn started_by(&self, key: &str) -> Option<Started> {
        self.keys.get(key).copied()
    }

    pub fn key_count(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn oldest_key(&self) -> Option<&String> {
        self.key_order.first().map(|(_, key)| key)
    }

    /// Takes in a live run's row, in any order. What the workflow had meant for it (a turn, a displacement) and the
    /// run had not written yet is decided again by `WorkflowCommand::Advance`.
    pub fn restore_run(&mut self, run: RunId, phase: &RunPhase, place: &Place) {
        let stage = match phase {
            RunPhase::Queued => LiveRun::Queued,
            RunPhase::Running { .. } | RunPhase::Stopping { .. } => LiveRun::Running,
            // It holds its place until a person has looked at it and cancelled it.
            RunPhase::Quarantined { .. } => LiveRun::Running,
            RunPhase::Cancelling { .. } => LiveRun::Cancelling,
            RunPhase::Finished { .. } => return,
        };
        self.join(run, stage, place);
    }

    /// Takes in a key's row, in any order.
    pub fn restore_key(&mut self, key: &StartKey, run: RunId) {
        let started = Started { run, request_hash: key.request_hash };
        if let Some(before) = self.keys.insert(key.key.clone(), started) {
            self.key_order.remove(&(before.run, key.key.clone()));
        }
        self.key_order.insert((run, key.key.clone()));
    }

    /// Folds one event; total, so that no event of another order can hurt.
    pub fn apply(&mut self, event: &WorkflowEvent) {
        match event {
            WorkflowEvent::VersionApplied { version } => self.latest = Some(version.clone()),
            WorkflowEvent::RunAccepted { run, key, place } => {
                self.join(*run, LiveRun::Queued, place);
                if let Some(key) = key {
                    self.restore_key(key, *run);
                }
            }
            WorkflowEvent::KeyForgotten { key } => {
                if let Some(started) = self.keys.remove(key) {
                    self.key_order.remove(&(started.run, key.clone()));
                }
            }
            WorkflowEvent::RunRequeued { run, place } => self.join(*run, LiveRun::Queued, place),
            WorkflowEvent::RunAdmitted { run } => self.set(*run, LiveRun::Running),
            WorkflowEvent::RunDisplaced { run, .. } => self.set(*run, LiveRun::Cancelling),
            WorkflowEvent::RunLeft { run } => {
                self.remove(*run);
                self.places.remove(run);
            }
        }
    }

    fn join(&mut self, run: RunId, stage: LiveRun, place: &Place) {
        self.put(run, stage);
        if *place != Place::Free {
            self.places.insert(run, place.clone());
        }
    }

    fn set(&mut self, run: RunId, stage: LiveRun) {
        match self.live.contains_key(&run) {
            true => self.put(run, stage),
            false => debug_assert!(false, "{run} is not live"),
        }
    }

    fn put(&mut self, run: RunId, stage: LiveRun) {
        self.remove(run);
        self.live.insert(run, stage);
        match stage {
            LiveRun::Queued => {
                self.queued.insert(run);
            }
            LiveRun::Cancelling => self.cancelling += 1,
            LiveRun::Running => {}
        }
    }

    fn remove(&mut self, run: RunId) {
        match self.live.remove(&run) {
            Some(LiveRun::Queued) => {
                self.queued.remove(&run);
            }
            Some(LiveRun::Cancelling) => self.cancelling -= 1,
            Some(LiveRun::Running) | None => {}
        }
    }
}
