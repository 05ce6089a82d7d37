//! What is known of one workflow, and the fold of its events.
//! Must not know why an event happened; `decide` does.

use std::collections::{BTreeMap, BTreeSet};

use crate::definition::Concurrency;
use crate::id::{RunId, WorkflowName};
use crate::run::RunPhase;

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
    pub fn restore_run(&mut self, run: RunId, phase: &RunPhase) {
        let stage = match phase {
            RunPhase::Queued => LiveRun::Queued,
            RunPhase::Running { .. } | RunPhase::Stopping { .. } => LiveRun::Running,
            // It holds its place until a person has looked at it and cancelled it.
            RunPhase::Quarantined { .. } => LiveRun::Running,
            RunPhase::Cancelling { .. } => LiveRun::Cancelling,
            RunPhase::Finished { .. } => return,
        };
        self.put(run, stage);
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
            WorkflowEvent::RunAccepted { run, key } => {
                self.put(*run, LiveRun::Queued);
                if let Some(key) = key {
                    self.restore_key(key, *run);
                }
            }
            WorkflowEvent::KeyForgotten { key } => {
                if let Some(started) = self.keys.remove(key) {
                    self.key_order.remove(&(started.run, key.clone()));
                }
            }
            WorkflowEvent::RunRequeued { run } => {
                self.put(*run, LiveRun::Queued);
            }
            WorkflowEvent::RunAdmitted { run } => self.set(*run, LiveRun::Running),
            WorkflowEvent::RunDisplaced { run } => self.set(*run, LiveRun::Cancelling),
            WorkflowEvent::RunLeft { run } => self.remove(*run),
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
