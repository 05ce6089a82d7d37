//! Why a shown task run is not placed, from the same filters and queues that decide it.
//! Must not know the text of a reason.

use super::dispatcher::{OfferSlot, OfferState, Opening, Placement};
use super::offer::Shape;
use super::queues::{OfferIndex, ShapeIndex, Standing};
use super::room::{Refusal, Worker};
use super::worker::WorkerState;
use super::worker_groups::WorkerGroup;
use crate::id::{Name, TaskRunId};
use crate::reason::{
    AHEAD_COUNT_MAX, Ahead, Dimension, LISTED_MAX, Reason, SentStage, Shortage, Withheld, WithheldHow,
    WorkerVersion, nearest_all,
};
use crate::time::Timestamp;

/// Most silent workers that are each named by a reason of their own.
const SILENT_MAX: usize = 3;

/// What the filters said, by kind.
#[derive(Default)]
struct Refusals {
    short: Vec<Shortage>,
    kind: Vec<WorkerVersion>,
    withheld: Vec<Withheld>,
    silent: Vec<(crate::id::WorkerRef, Timestamp)>,
}

impl Placement {
    /// Never empty for a task run that is shown and waits; empty for one that is not shown here.
    pub fn explain(&self, task_run: TaskRunId) -> Vec<Reason> {
        let stream = self.streams.get(&task_run.run.shard());
        let Some(offer) = stream.and_then(|stream| stream.offers.get(&task_run)) else {
            return Vec::new();
        };
        let slot = &self.offers[*offer];
        if let OfferState::Granted { worker, at, .. } = slot.state {
            let worker = self.workers.get(worker).id.clone();
            return vec![Reason::SentNotAcknowledged { worker, since: at, stage: SentStage::Granted }];
        }
        let mut reasons = Vec::new();
        if let Opening::Waiting { shards, listed, .. } = &self.opening {
            let what = "a new Dispatcher collects what is ready, by shard".to_owned();
            reasons.push(Reason::Starting { what, done: listed.len() as u64, total: u64::from(*shards) });
        }
        if self.queues.get(slot.shape).standing != Standing::Open {
            reasons.extend(self.explain_shape(slot.shape));
        }
        let behind = self.behind(slot);
        if reasons.is_empty() || !matches!(behind, Reason::Behind { ahead: 0, .. }) {
            reasons.push(behind);
        }
        reasons
    }

    /// The codes of what holds up all that waits of a shape; where something fits, it is only behind others.
    pub(super) fn blocked(&self, shape: &Shape) -> Vec<&'static str> {
        let index = self.queues.find(shape).expect("a shape that waits has a queue");
        let open = self.queues.get(index).standing == Standing::Open;
        let reasons = if open { Vec::new() } else { self.explain_shape(index) };
        match reasons.is_empty() {
            true => vec![BEHIND],
            false => reasons.iter().map(Reason::code).collect(),
        }
    }

    /// Why nothing of a shape can be placed now; empty when something fits.
    pub(super) fn explain_shape(&self, shape: ShapeIndex) -> Vec<Reason> {
        let queue = self.queues.get(shape);
        let group = self.workers.groups.get(queue.group);
        if group.members.is_empty() {
            return vec![self.explain_empty(group)];
        }
        let mut refusals = Refusals::default();
        for index in &group.members {
            let worker = self.workers.get(*index);
            match worker.refusal(&queue.shape) {
                Some(refusal) => refusals.note(worker, refusal, &queue.shape),
                None => return Vec::new(),
            }
        }
        refusals.reasons(&queue.shape)
    }

    fn explain_empty(&self, group: &WorkerGroup) -> Reason {
        let known = self.workers.groups.known();
        let similar = nearest_all(group.name.as_str(), known.iter().map(Name::as_str));
        let similar: Vec<Name> =
            known.iter().filter(|name| similar.contains(&name.as_str())).cloned().collect();
        if known.contains(&group.name) || group.last_left.is_some() {
            return Reason::GroupEmpty {
                group: group.name.clone(),
                last_seen: group.last_left.clone(),
                similar,
            };
        }
        let groups = known.into_iter().take(LISTED_MAX).collect();
        Reason::GroupUnknown { group: group.name.clone(), groups, similar }
    }

    fn behind(&self, slot: &OfferSlot) -> Reason {
        let queue = self.queues.get(slot.shape);
        let before = || queue.waiting.range(..slot.key);
        let ahead = before().take(AHEAD_COUNT_MAX as usize).count() as u64;
        let named = |(_, offer): (_, &OfferIndex)| {
            let other = &self.offers[*offer];
            other.key.ahead(other.since)
        };
        let first: Vec<Ahead> = before().take(LISTED_MAX).map(named).collect();
        Reason::Behind { group: queue.shape.group.clone(), ahead, first, ageing: None }
    }
}

/// The code of a place in the queue: something fits, and others come first.
const BEHIND: &str = "R402";

impl Refusals {
    fn note(&mut self, worker: &Worker, refusal: Refusal, shape: &Shape) {
        let joined = worker.joined().expect("members are in");
        let name = worker.id.name.clone();
        let short = |dimension, free| Shortage {
            worker: worker.id.name.clone(),
            dimension,
            free: u64::from(free),
            total: u64::from(joined.facts.slots),
            needed: u64::from(shape.slots),
            holders: worker.held.count + worker.granted.count,
        };
        match refusal {
            Refusal::Slots { free } => self.short.push(short(Dimension::Slots, free)),
            Refusal::Refused { free } => self.short.push(short(Dimension::SlotsRefused, free)),
            Refusal::Kind => {
                let version = joined.facts.version.clone();
                self.kind.push(WorkerVersion { worker: name, version });
            }
            Refusal::Silent { since } => self.silent.push((worker.id.clone(), since)),
            Refusal::Withheld => match &joined.facts.state {
                WorkerState::Draining { by, since } => {
                    let (how, by, since) = (WithheldHow::Draining, by.clone(), *since);
                    self.withheld.push(Withheld { worker: name, how, by, since });
                }
                WorkerState::Cordoned { by, since } => {
                    let (how, by, since) = (WithheldHow::Cordoned, by.clone(), *since);
                    self.withheld.push(Withheld { worker: name, how, by, since });
                }
                WorkerState::Up => unreachable!("a worker that is up is not withheld"),
            },
        }
    }

    /// In the order of their codes, workers by name.
    fn reasons(mut self, shape: &Shape) -> Vec<Reason> {
        let group = || shape.group.clone();
        let mut reasons = Vec::new();
        if !self.short.is_empty() {
            self.short.sort_by(|a, b| b.free.cmp(&a.free).then_with(|| a.worker.cmp(&b.worker)));
            let (total, workers) = cut(self.short);
            reasons.push(Reason::NoCapacity { group: group(), total, workers });
        }
        if !self.withheld.is_empty() {
            self.withheld.sort_by(|a, b| a.worker.cmp(&b.worker));
            let (total, workers) = cut(self.withheld);
            reasons.push(Reason::WorkersDraining { group: group(), total, workers });
        }
        if !self.kind.is_empty() {
            self.kind.sort_by(|a, b| a.worker.cmp(&b.worker));
            let (total, workers) = cut(self.kind);
            reasons.push(Reason::KindUnsupported { group: group(), kind: shape.kind, total, workers });
        }
        self.silent.sort();
        for (worker, last_heartbeat) in self.silent.into_iter().take(SILENT_MAX) {
            reasons.push(Reason::WorkerSilent { worker, last_heartbeat, lost_at: None });
        }
        reasons
    }
}

/// How many there are, and the first of them.
fn cut<T>(mut all: Vec<T>) -> (u64, Vec<T>) {
    let total = all.len() as u64;
    all.truncate(LISTED_MAX);
    (total, all)
}
