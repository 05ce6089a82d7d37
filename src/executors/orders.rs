//! What the agent has asked for and the launch thread has not done yet. Handing over never waits.
//! Must not know how any of it is done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard};

use hortator_actors::seam::{LaunchSpec, Stop};
use hortator_core::id::{AttemptId, Fence, RunId};

/// Starts that wait or run. An agent admits by its slots, so only a fault comes near; each costs a few KB.
pub(super) const STARTS_MAX: usize = 100_000;

/// Ended runs whose directories wait to be removed; beyond that they stay until they are old.
const ENDED_RUNS_MAX: usize = 100_000;

/// Starts that are prepared and sent together: their descriptors fit into one message.
const BATCH_STARTS: usize = 32;

pub(super) type Key = (AttemptId, Fence);

/// One turn's work. Stops come after starts, so that none overtakes its own start.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) deadline: Option<Option<i64>>,
    pub(super) starts: Vec<(u64, LaunchSpec)>,
    /// By number; true kills at once.
    pub(super) stops: BTreeMap<u64, bool>,
    /// Stopped while they still waited.
    pub(super) withdrawn: VecDeque<(u64, LaunchSpec)>,
    pub(super) ended_runs: BTreeSet<RunId>,
    pub(super) shutdown: bool,
    /// Nothing comes any more.
    pub(super) closed: bool,
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    starts: VecDeque<(u64, LaunchSpec)>,
    /// Every attempt between `start` and its end.
    known: BTreeMap<Key, u64>,
    next_seq: u64,
    /// No warden: what comes is dropped.
    refusing: bool,
    /// Was ever asked for.
    shut_down: bool,
}

#[derive(Debug, Default)]
pub(super) struct Orders {
    state: Mutex<State>,
    wake: Condvar,
}

impl Orders {
    /// Returns what is not taken because too much waits. An attempt that is known already is passed over.
    pub(super) fn start(&self, specs: Vec<LaunchSpec>) -> Vec<LaunchSpec> {
        let mut state = self.lock();
        let mut refused = Vec::new();
        for spec in specs {
            let key = (spec.attempt, spec.fence);
            if state.refusing || state.known.contains_key(&key) {
                continue;
            }
            if state.known.len() >= STARTS_MAX {
                refused.push(spec);
                continue;
            }
            let seq = state.next_seq;
            state.next_seq += 1;
            state.known.insert(key, seq);
            state.starts.push_back((seq, spec));
        }
        self.wake.notify_one();
        refused
    }

    pub(super) fn stop(&self, key: Key, how: Stop) {
        let mut state = self.lock();
        if let Some(seq) = state.known.get(&key).copied() {
            *state.batch.stops.entry(seq).or_default() |= how == Stop::Kill;
            self.wake.notify_one();
        }
    }

    pub(super) fn set_deadline(&self, deadline_us: Option<i64>) {
        let mut state = self.lock();
        if !state.refusing {
            state.batch.deadline = Some(deadline_us);
            self.wake.notify_one();
        }
    }

    pub(super) fn run_ended(&self, run: RunId) {
        let mut state = self.lock();
        if state.batch.ended_runs.len() < ENDED_RUNS_MAX {
            state.batch.ended_runs.insert(run);
            self.wake.notify_one();
        }
    }

    pub(super) fn shutdown(&self) {
        let mut state = self.lock();
        state.batch.shutdown = true;
        state.shut_down = true;
        self.wake.notify_one();
    }

    /// The launch thread ends.
    pub(super) fn close(&self) {
        self.lock().batch.closed = true;
        self.wake.notify_one();
    }

    /// The attempt has ended, or never started.
    pub(super) fn forget(&self, key: &Key) {
        self.lock().known.remove(key);
    }

    pub(super) fn knows(&self, attempt: AttemptId) -> bool {
        let state = self.lock();
        let lowest = Fence { generation: 0, shard: 0, term: 0, index: 0 };
        state.known.range((attempt, lowest)..).next().is_some_and(|((found, _), _)| *found == attempt)
    }

    pub(super) fn known_len(&self) -> usize {
        self.lock().known.len()
    }

    /// The warden is gone: forgets everything that was meant for it, and takes no more for now.
    pub(super) fn refuse(&self) {
        let mut state = self.lock();
        state.refusing = true;
        state.starts.clear();
        state.known.clear();
        state.batch.stops.clear();
        state.batch.deadline = None;
    }

    /// There is a new warden.
    pub(super) fn accept(&self) {
        self.lock().refusing = false;
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.lock().shut_down
    }

    /// Waits for work and takes a turn's worth of it.
    pub(super) fn take(&self) -> Batch {
        let mut state = self.lock();
        while state.starts.is_empty() && state.batch.is_empty() {
            state = self.wake.wait(state).expect("no panic under this lock");
        }
        let mut batch = std::mem::take(&mut state.batch);
        if !batch.stops.is_empty() && !state.starts.is_empty() {
            let (withdrawn, kept) = std::mem::take(&mut state.starts)
                .into_iter()
                .partition(|(seq, _)| batch.stops.contains_key(seq));
            (batch.withdrawn, state.starts) = (withdrawn, kept);
        }
        let count = state.starts.len().min(BATCH_STARTS);
        batch.starts = state.starts.drain(..count).collect();
        batch
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock")
    }
}

impl Batch {
    fn is_empty(&self) -> bool {
        let nothing = self.deadline.is_none() && self.stops.is_empty() && self.ended_runs.is_empty();
        nothing && !self.shutdown && !self.closed
    }
}
