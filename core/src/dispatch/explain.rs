//! Why an offer is not placed, from the same filters and queues that decide it.
//! Must not know the text of a reason.

use super::account::{Joined, Voice, Worker};
use super::amounts::{Amounts, Resource};
use super::crowd::WorkerIndex;
use super::engine::{Dispatch, OfferSlot, OfferState};
use super::filters::{self, ALL_ALLOWED, Refusal};
use super::groups::GroupIndex;
use super::health::Trust;
use super::offer::{QueueKey, Shape, ZoneWish};
use super::queues::{ShapeIndex, ShapeQueue, Standing, ZoneStanding};
use super::worker::WorkerState;
use crate::id::{Name, TaskRunId, WorkerRef};
use crate::reason::{
    AHEAD_COUNT_MAX, Ahead, Among, Dimension, Distrusted, LISTED_MAX, LastSeen, Mismatch, Overload, Reason,
    SentStage, Shortage, Withheld, WithheldHow, WorkerVersion, nearest_all,
};
use crate::time::Timestamp;

/// Most silent workers that are each named by a reason of their own.
const SILENT_MAX: usize = 3;

impl Dispatch {
    /// Never empty for a task run that was offered and waits; empty for one that was not.
    pub fn explain(&self, task_run: TaskRunId) -> Vec<Reason> {
        let Some(offer) = self.by_task.get(&task_run) else {
            return Vec::new();
        };
        let slot = &self.offers[*offer];
        if let OfferState::Granted { worker, at, .. } = slot.state {
            let worker = self.crowd.get(worker).id.clone();
            let stage = SentStage::Granted;
            return vec![Reason::SentNotAcknowledged { worker, since: at, stage }];
        }
        let mut reasons = self.explain_queue(slot.shape);
        let behind = self.behind(slot.shape, slot, &slot.key);
        if reasons.is_empty() || !matches!(behind, Reason::Behind { ahead: 0, .. }) {
            reasons.push(behind);
        }
        reasons
    }

    /// Why nothing of a shape is placed; empty when something may be.
    pub(super) fn explain_queue(&self, shape: ShapeIndex) -> Vec<Reason> {
        let queue = self.queues.get(shape);
        let mut reasons = match queue.standing {
            Standing::NoRoom => self.explain_room(shape),
            Standing::Open | Standing::NoQuota => Vec::new(),
        };
        if self.quotas.allowed(queue.account, &queue.shape).count_ones() < queue.shape.requests.len() as u32 {
            reasons.extend(self.quotas.reasons(queue.account, &queue.shape));
        }
        reasons
    }

    /// Why nothing of a shape can be placed now; empty when something fits.
    fn explain_room(&self, shape: ShapeIndex) -> Vec<Reason> {
        let queue = self.queues.get(shape);
        let group = self.crowd.groups.get(queue.group);
        let mut refusals = Refusals::default();
        for index in &group.members {
            let worker = self.crowd.get(*index);
            let suits = |joined: &Joined| filters::suits(joined, &queue.shape);
            match filters::chain(worker, queue.group, &queue.shape, ALL_ALLOWED, queue.zones(), suits) {
                Ok(_) => return Vec::new(),
                Err(refusal) => refusals.note(worker, queue.group, refusal, &queue.shape),
            }
        }
        self.reasons(queue, queue.group, &queue.shape, refusals)
    }

    /// Of a shape and a group that need not be the queue's own.
    pub(super) fn reasons(
        &self,
        queue: &ShapeQueue,
        group: GroupIndex,
        shape: &Shape,
        refusals: Refusals,
    ) -> Vec<Reason> {
        let group = self.crowd.groups.get(group);
        if group.members.is_empty() {
            return vec![self.explain_empty(&group.name, group.declared, group.last_left.as_ref())];
        }
        let until = match (&shape.zone, queue.zone) {
            (ZoneWish::Near { wait, .. }, ZoneStanding::Blocked { since }) => Some(since.plus(*wait)),
            _ => None,
        };
        refusals.reasons(shape, until)
    }

    /// One worker's refusal with both sides of what was compared; none of a worker that is not in.
    pub(super) fn refusal_reason(
        &self,
        queue: &ShapeQueue,
        worker: WorkerIndex,
        refusal: Refusal,
    ) -> Option<Reason> {
        let mut refusals = Refusals::default();
        refusals.note(self.crowd.get(worker), queue.group, refusal, &queue.shape);
        refusals.reasons(&queue.shape, None).pop()
    }

    /// Why nothing of such a shape would be placed however long it waits, unless somebody does something; empty when it
    /// only needs its turn.
    pub fn would_wait(&self, shape: &Shape) -> Vec<Reason> {
        let possible = |request: &&Amounts| self.quotas.is_possible(&shape.namespace, request);
        let requests: Vec<Amounts> = shape.requests.iter().filter(possible).cloned().collect();
        if requests.is_empty() {
            let mut reasons = self.would_find_nobody(shape);
            reasons.extend(self.quotas.reasons_of(shape));
            return reasons;
        }
        self.would_find_nobody(&Shape { requests, ..shape.clone() })
    }

    /// Whatever the quotas are.
    fn would_find_nobody(&self, shape: &Shape) -> Vec<Reason> {
        let index = self.crowd.groups.find(&shape.group);
        let Some(group) = index.map(|index| self.crowd.groups.get(index)) else {
            return vec![self.explain_empty(&shape.group, false, None)];
        };
        if group.members.is_empty() {
            return vec![self.explain_empty(&group.name, group.declared, group.last_left.as_ref())];
        }
        let mut refusals = Refusals::default();
        for member in &group.members {
            let worker = self.crowd.get(*member);
            let Some(joined) = worker.joined() else { continue };
            let refusal = match joined.is_up() {
                true => filters::suits(joined, shape).err(),
                false => Some(Refusal::Withheld),
            };
            match (refusal, index) {
                (Some(refusal), Some(index)) => refusals.note(worker, index, refusal, shape),
                (_, _) => return Vec::new(),
            }
        }
        refusals.reasons(shape, None)
    }

    pub(super) fn explain_empty(&self, name: &Name, declared: bool, last_left: Option<&LastSeen>) -> Reason {
        let known: Vec<Name> = self.crowd.groups.known().iter().map(|group| group.name.clone()).collect();
        let similar = nearest_all(name.as_str(), known.iter().map(Name::as_str));
        let similar: Vec<Name> =
            known.iter().filter(|name| similar.contains(&name.as_str())).cloned().collect();
        if declared || last_left.is_some() {
            return Reason::GroupEmpty { group: name.clone(), last_seen: last_left.cloned(), similar };
        }
        let groups = known.into_iter().take(LISTED_MAX).collect();
        Reason::GroupUnknown { group: name.clone(), groups, similar }
    }

    /// Who of a shape, usually its own, comes before that key: those shown, or the best that a window does not show yet.
    pub(super) fn behind(&self, shape: ShapeIndex, slot: &OfferSlot, key: &QueueKey) -> Reason {
        let queue = self.queues.get(shape);
        let before = || queue.waiting.range(..*key).filter(|(_, offer)| self.offers[**offer].key != slot.key);
        let hidden = queue.hidden_first().filter(|hidden| hidden < key);
        let shown = before().take(AHEAD_COUNT_MAX as usize).count() as u64;
        let ahead = (shown + u64::from(hidden.is_some())).min(AHEAD_COUNT_MAX);
        let named = before().map(|(_, offer)| &self.offers[*offer]).map(|other| other.key.ahead(other.since));
        let hidden = hidden.iter().map(|hidden| hidden.ahead(slot.since));
        let first: Vec<Ahead> = hidden.chain(named).take(LISTED_MAX).collect();
        let ageing = self.crowd.groups.get(queue.group).config.ageing;
        Reason::Behind { group: queue.shape.group.clone(), ahead, first, ageing, among: Among::Shape }
    }
}

/// What the filters said, by kind.
#[derive(Default)]
pub(super) struct Refusals {
    short: Vec<Shortage>,
    /// Workers that are short of something, each once.
    short_workers: u64,
    over: Vec<Overload>,
    /// With what is required.
    labels: Vec<(String, Mismatch)>,
    withheld: Vec<Withheld>,
    kind: Vec<WorkerVersion>,
    elsewhere: Vec<Mismatch>,
    distrusted: Vec<Distrusted>,
    silent: Vec<(WorkerRef, Timestamp)>,
}

impl Refusals {
    pub(super) fn note(&mut self, worker: &Worker, group: GroupIndex, refusal: Refusal, shape: &Shape) {
        let Some(joined) = worker.joined() else { return };
        let name = worker.id.name.clone();
        match refusal {
            Refusal::NotAMember => {}
            Refusal::Short | Refusal::TooSmall => self.note_short(worker, joined, shape),
            Refusal::Refused => {
                self.short_workers += 1;
                let needed = shape.requests.iter().map(|request| request.get(&Resource::Slots)).min();
                let amounts = Amounts::slots(needed.unwrap_or(0));
                self.short.push(shortage(
                    worker,
                    joined,
                    Dimension::SlotsRefused,
                    &Resource::Slots,
                    &amounts,
                ));
            }
            Refusal::Kind => {
                self.kind.push(WorkerVersion { worker: name, version: joined.facts.version.clone() })
            }
            Refusal::Label { rule } => {
                let test = filters::required(shape, rule);
                let key = test.key();
                let difference = match joined.facts.labels.get(key) {
                    Some(value) => format!("{key} = {value}"),
                    None => format!("no label {key}"),
                };
                self.labels.push((test.to_string(), Mismatch { worker: name, difference }));
            }
            Refusal::Overloaded => {
                if let Some(over) = joined.membership(group).and_then(|member| member.over) {
                    let (metric, value, limit) = (over.metric.name().to_owned(), over.value, over.limit);
                    self.over.push(Overload { worker: name, metric, value, limit });
                }
            }
            Refusal::Quarantined => {
                let until = match joined.health.standing {
                    Trust::Quarantined { until } => Some(until),
                    Trust::Full | Trust::OnTrial => None,
                };
                let failures = joined.health.failures() as u64;
                self.distrusted.push(Distrusted { worker: name, failures, until });
            }
            Refusal::Zone => {
                let difference = joined.facts.zone.clone().unwrap_or_else(|| "no zone".to_owned());
                self.elsewhere.push(Mismatch { worker: name, difference });
            }
            Refusal::Silent => {
                let since = match joined.voice {
                    Voice::NotYet { joined_at } => joined_at,
                    Voice::Heard { at } | Voice::Silent { since: at } => at,
                };
                self.silent.push((worker.id.clone(), since));
            }
            Refusal::Withheld => self.withheld.extend(withheld(name, &joined.facts.state)),
        }
    }

    /// All that the nearest of its requests lacks there.
    fn note_short(&mut self, worker: &Worker, joined: &Joined, shape: &Shape) {
        self.short_workers += 1;
        for short in filters::shortfalls(joined, shape) {
            let amounts = Amounts::default().with(short.resource.clone(), short.needed);
            let dimension = dimension(&short.resource);
            self.short.push(shortage(worker, joined, dimension, &short.resource, &amounts));
        }
    }

    /// In the order of their codes, workers by name.
    fn reasons(mut self, shape: &Shape, zone_until: Option<Timestamp>) -> Vec<Reason> {
        let group = || shape.group.clone();
        let mut reasons = Vec::new();
        if !self.short.is_empty() {
            let lack = |short: &Shortage| short.needed.saturating_sub(short.free);
            self.short.sort_by(|a, b| {
                lack(a).cmp(&lack(b)).then_with(|| (&a.worker, &a.dimension).cmp(&(&b.worker, &b.dimension)))
            });
            self.short.truncate(LISTED_MAX);
            reasons.push(Reason::NoCapacity {
                group: group(),
                total: self.short_workers,
                workers: self.short,
            });
        }
        if !self.over.is_empty() {
            self.over.sort_by(|a, b| a.worker.cmp(&b.worker));
            let (total, workers) = cut(self.over);
            reasons.push(Reason::Overloaded { group: group(), total, workers });
        }
        self.labels.sort_by(|a, b| (&a.0, &a.1.worker).cmp(&(&b.0, &b.1.worker)));
        while let Some((requirement, _)) = self.labels.first().cloned() {
            let (same, rest) = self.labels.into_iter().partition(|(other, _)| *other == requirement);
            self.labels = rest;
            let same: Vec<(String, Mismatch)> = same;
            let (total, workers) = cut(same.into_iter().map(|(_, mismatch)| mismatch).collect());
            reasons.push(Reason::NoMatchingWorker { group: group(), requirement, total, workers });
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
        if let (false, ZoneWish::Near { zone, .. }) = (self.elsewhere.is_empty(), &shape.zone) {
            self.elsewhere.sort_by(|a, b| a.worker.cmp(&b.worker));
            let (total, workers) = cut(self.elsewhere);
            let zone = zone.clone();
            reasons.push(Reason::ZoneWait { group: group(), zone, until: zone_until, total, workers });
        }
        if !self.distrusted.is_empty() {
            self.distrusted.sort_by(|a, b| a.worker.cmp(&b.worker));
            let (total, workers) = cut(self.distrusted);
            reasons.push(Reason::WorkersQuarantined { group: group(), total, workers });
        }
        self.silent.sort();
        for (worker, last_heartbeat) in self.silent.into_iter().take(SILENT_MAX) {
            reasons.push(Reason::WorkerSilent { worker, last_heartbeat, lost_at: None });
        }
        reasons
    }
}

fn shortage(
    worker: &Worker,
    joined: &Joined,
    dimension: Dimension,
    resource: &Resource,
    needed: &Amounts,
) -> Shortage {
    Shortage {
        worker: worker.id.name.clone(),
        dimension,
        free: joined.free.get(resource),
        total: joined.facts.total.get(resource),
        needed: needed.get(resource),
        holders: u64::from(worker.held) + u64::from(worker.granted),
    }
}

fn dimension(resource: &Resource) -> Dimension {
    match resource {
        Resource::Slots => Dimension::Slots,
        Resource::Cpu => Dimension::Cpu,
        Resource::Memory => Dimension::Memory,
        Resource::Disk => Dimension::Disk,
        Resource::Gpu => Dimension::Gpu,
        Resource::Named(name) => Dimension::Named(name.clone()),
    }
}

fn withheld(worker: Name, state: &WorkerState) -> Option<Withheld> {
    let (how, by, since) = match state {
        WorkerState::Up => return None,
        WorkerState::Draining { by, since } => (WithheldHow::Draining, by.clone(), *since),
        WorkerState::Cordoned { by, since } => (WithheldHow::Cordoned, by.clone(), *since),
    };
    Some(Withheld { worker, how, by, since })
}

/// How many there are, and the first of them.
fn cut<T>(mut all: Vec<T>) -> (u64, Vec<T>) {
    let total = all.len() as u64;
    all.truncate(LISTED_MAX);
    (total, all)
}
