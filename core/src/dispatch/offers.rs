//! The life of an offer in the Dispatcher: shown, granted, back in its own place, dispatched, ended.
//! Must not know how workers are chosen.

use std::sync::Arc;

use super::amounts::{Amounts, Resource};
use super::crowd::WorkerIndex;
use super::engine::{Alarm, Dispatch, Hold, Mistake, OfferSlot, OfferState};
use super::groups::GroupIndex;
use super::health::TaskTag;
use super::offer::{LabelRule, Offer, QueueKey, Rank, Shape, aged};
use super::pace::Pace;
use super::queues::{OfferIndex, ShapeIndex, Source};
use super::worker::Devices;
use crate::definition::Priority;
use crate::id::{Name, TaskRunId, WorkerRef};
use crate::time::{Span, Timestamp};

/// Shapes of one group; an offer of a further one takes its turn when another has gone. Each parked shape is looked at
/// when one of its group's workers changes.
pub const SHAPES_MAX: u32 = 4096;

/// Why an offer is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferRefused {
    #[error("group {group} has offers of {SHAPES_MAX} different shapes already")]
    TooManyShapes { group: Name },
    #[error("a task run asks for {requests} alternatives; one to {max} are possible", max = super::offer::REQUESTS_MAX)]
    Requests { requests: usize },
}

/// Why a grant came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantFailed {
    /// The worker had no room, or the shard does not trust it: it gets nothing so large before its next heartbeat.
    AtWorker,
    /// The shard could not commit it, or came too late.
    AtShard,
}

/// How a dispatched attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// After so long; `expected` is the usual time of its task, if it is known.
    Succeeded {
        task: TaskTag,
        took: Span,
        expected: Option<Span>,
    },
    Failed {
        task: TaskTag,
    },
    /// The worker refused it.
    Refused,
    /// Cancelled, or lost with its worker: says nothing about either.
    Otherwise,
}

/// What an attempt holds that was dispatched by an earlier Dispatcher's grant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldFacts {
    pub task_run: TaskRunId,
    pub worker: WorkerRef,
    pub namespace: Name,
    pub amounts: Amounts,
    /// As its process knows them.
    pub devices: Vec<String>,
}

impl Dispatch {
    /// A task run is ready, as `source` shows; one that is here already is replaced.
    pub fn offer(&mut self, source: Source, offer: Offer, now: Timestamp) -> Result<(), OfferRefused> {
        let requests = offer.shape.requests.len();
        if requests == 0 || requests > super::offer::REQUESTS_MAX {
            return Err(OfferRefused::Requests { requests });
        }
        let Offer { task_run, shape, rank, since } = offer;
        let shape = self.intern_shape(&shape)?;
        self.queues.refer(shape);
        self.withdraw(task_run);
        let slot = OfferSlot {
            key: QueueKey::new(&rank, task_run),
            asked: rank.run_priority,
            since,
            shape,
            source,
            state: OfferState::Waiting,
        };
        let index = self.offers.insert(slot);
        self.by_task.insert(task_run, index);
        self.enqueue(index);
        self.rise(index, now);
        Ok(())
    }

    /// A task run is not ready any more, or not shown: a grant of it is void. Unknown ones are no matter.
    pub fn withdraw(&mut self, task_run: TaskRunId) {
        if let Some(offer) = self.by_task.get(&task_run).copied() {
            self.discard(offer);
        }
    }

    /// The best task run of a shape that a source has and does not show, or that it shows all it has. Nothing that
    /// comes after it is granted before the source has shown it, so that a window never breaks the order.
    pub fn on_horizon(
        &mut self,
        source: Source,
        shape: &Arc<Shape>,
        horizon: Option<(Rank, TaskRunId)>,
    ) -> Result<(), OfferRefused> {
        let index = match (horizon, self.queues.find(shape)) {
            (_, Some(index)) => index,
            (Some(_), None) => self.intern_shape(shape)?,
            (None, None) => return Ok(()),
        };
        let key = horizon.map(|(rank, task_run)| QueueKey::new(&rank, task_run));
        self.queues.set_horizon(index, source, key);
        self.forget_shape_if_unused(index);
        Ok(())
    }

    /// A shard is not led, or lists anew: what it shows may not be true any more. Its grants stay reserved, since they
    /// may still be used, and go with their end; what its attempts hold stays held.
    pub fn on_source_lost(&mut self, source: Source) {
        self.lost.insert(source);
        let of_source = |index: &OfferIndex| {
            let slot = &self.offers[*index];
            slot.source == source && slot.state == OfferState::Waiting
        };
        let void: Vec<OfferIndex> = self.by_task.values().copied().filter(of_source).collect();
        void.into_iter().for_each(|offer| self.discard(offer));
        let shapes: Vec<ShapeIndex> = self.queues.indices().collect();
        for shape in shapes {
            self.queues.set_horizon(shape, source, None);
            self.forget_shape_if_unused(shape);
        }
    }

    /// The shard has listed: what it shows counts again.
    pub fn on_source_listed(&mut self, source: Source) {
        self.lost.remove(&source);
    }

    /// An attempt was dispatched: what was granted is held from now on. The worker is the granted one, or its shard
    /// tells of it by `on_hold`.
    pub fn dispatched(&mut self, task_run: TaskRunId) {
        let Some(offer) = self.by_task.get(&task_run).copied() else { return };
        let OfferState::Granted { worker, request, devices, .. } = self.offers[offer].state else { return };
        let shape = self.offers[offer].shape;
        let queue = self.queues.get(shape);
        let amounts = queue.shape.requests[usize::from(request)].clone();
        let spread = spreads(&queue.shape).then_some(shape);
        let hold = Hold { worker, amounts, devices, account: queue.account, spread };
        // What the grant reserved goes over as it is, so that the room is never free in between.
        self.crowd.get_mut(worker).hold_what_was_granted();
        self.offers.remove(offer);
        self.by_task.remove(&task_run);
        if spread.is_none() {
            self.unrefer(shape);
        }
        self.unnamed.remove(&task_run);
        if let Some(before) = self.holds.insert(task_run, hold) {
            self.release(before);
        }
    }

    /// An attempt holds part of a worker that this Dispatcher did not grant.
    pub fn on_hold(&mut self, facts: &HoldFacts) {
        self.withdraw(facts.task_run);
        if let Some(before) = self.holds.remove(&facts.task_run) {
            self.release(before);
        }
        let devices = self.held_devices(facts);
        let account = self.quotas.intern(&facts.namespace);
        let amounts = match self.config.mistake {
            Mistake::CountsHeldSlotsOnly => Amounts::slots(facts.amounts.get(&Resource::Slots)),
            _ => facts.amounts.clone(),
        };
        let worker = self.crowd.hold(&facts.worker, &amounts, devices);
        self.quotas.take(account, &amounts);
        self.holds.insert(facts.task_run, Hold { worker, amounts, devices, account, spread: None });
    }

    fn held_devices(&mut self, facts: &HoldFacts) -> Devices {
        self.unnamed.remove(&facts.task_run);
        if self.config.mistake == Mistake::ForgetsHeldDevices || facts.devices.is_empty() {
            return Devices::default();
        }
        match self.crowd.find(&facts.worker).and_then(|index| self.crowd.get(index).joined()) {
            Some(joined) => Devices::named(&facts.devices, &joined.facts.devices),
            None => {
                self.unnamed.insert(facts.task_run, facts.devices.clone());
                Devices::default()
            }
        }
    }

    /// The worker is in: shards may have told before what is held of it.
    pub(super) fn name_devices(&mut self, worker: &WorkerRef) {
        let Some(index) = self.crowd.find(worker) else { return };
        let Some(joined) = self.crowd.get(index).joined() else { return };
        let mut held = Vec::new();
        self.unnamed.retain(|task_run, names| {
            let Some(hold) = self.holds.get_mut(task_run) else { return false };
            if hold.worker != index {
                return true;
            }
            hold.devices = Devices::named(names, &joined.facts.devices);
            held.push(hold.devices);
            false
        });
        held.into_iter().for_each(|devices| self.crowd.get_mut(index).hold_devices(devices));
    }

    /// A grant came to nothing: its task run waits again, in its own place. One that is not the current grant of the
    /// task run is no matter.
    pub fn failed(&mut self, task_run: TaskRunId, number: u64, why: GrantFailed) {
        let Some(offer) = self.by_task.get(&task_run).copied() else { return };
        let slot = &self.offers[offer];
        let OfferState::Granted { worker, request, number: current, .. } = slot.state else { return };
        if current == number {
            let shape = self.queues.get(slot.shape).shape.clone();
            if why == GrantFailed::AtWorker {
                self.crowd.get_mut(worker).note_refusal(&shape.requests[usize::from(request)]);
            }
            self.requeue(offer);
        }
    }

    /// The dispatched attempt holds nothing any more.
    pub fn ended(&mut self, task_run: TaskRunId, how: Ended, now: Timestamp) {
        let Some(hold) = self.holds.remove(&task_run) else { return };
        self.unnamed.remove(&task_run);
        let worker = hold.worker;
        match how {
            Ended::Succeeded { task, took, expected } => {
                if let (Some(joined), Some(expected)) = (self.crowd.get_mut(worker).joined_mut(), expected) {
                    joined.health.compare(took, expected);
                }
                self.crowd.succeeded(worker, task);
            }
            Ended::Failed { task } => self.crowd.failed(worker, task, now),
            Ended::Refused => self.crowd.get_mut(worker).note_refusal(&hold.amounts),
            Ended::Otherwise => {}
        }
        self.release(hold);
    }

    /// How fast a worker is, as a shard has seen it under earlier Dispatchers.
    pub fn recall_pace(&mut self, worker: &WorkerRef, pace: &Pace) {
        self.crowd.recall(worker, pace);
    }

    fn release(&mut self, hold: Hold) {
        if let Some(shape) = hold.spread {
            self.uncount_spread(shape, hold.worker);
            self.unrefer(shape);
        }
        self.give_back(hold.account, &hold.amounts);
        self.crowd.release_hold(hold.worker, &hold.amounts, hold.devices);
    }

    fn give_back(&mut self, account: super::quotas::AccountIndex, amounts: &Amounts) {
        for shape in self.quotas.give_back(account, amounts) {
            self.queues.widen(shape);
        }
    }

    fn intern_shape(&mut self, shape: &Arc<Shape>) -> Result<ShapeIndex, OfferRefused> {
        if let Some(index) = self.queues.find(shape) {
            return Ok(index);
        }
        let group = self.crowd.groups.intern(&shape.group);
        if self.crowd.groups.get(group).shapes >= SHAPES_MAX {
            return Err(OfferRefused::TooManyShapes { group: shape.group.clone() });
        }
        self.crowd.groups.get_mut(group).shapes += 1;
        let account = self.quotas.intern(&shape.namespace);
        Ok(self.queues.insert_shape(shape.clone(), group, account))
    }

    fn enqueue(&mut self, offer: OfferIndex) {
        let OfferSlot { key, shape, source, .. } = self.offers[offer];
        self.queues.insert(shape, key, offer, source);
    }

    /// Its offer waits again, in its own place. Of a shard that is lost, its list will say whether it still waits.
    pub(super) fn requeue(&mut self, offer: OfferIndex) {
        if self.lost.contains(&self.offers[offer].source) {
            return self.discard(offer);
        }
        if let OfferState::Granted { worker, request, devices, number, .. } = self.offers[offer].state {
            let shape = self.offers[offer].shape;
            if self.config.mistake != Mistake::KeepsRefusedReservations {
                self.void_grant(shape, worker, request, devices);
            }
            let slot = &mut self.offers[offer];
            slot.state = OfferState::Waiting;
            if self.config.mistake == Mistake::RequeuesAtTheTail {
                slot.key = slot.key.at_the_tail(number);
            }
            self.enqueue(offer);
        }
    }

    fn void_grant(&mut self, shape: ShapeIndex, worker: WorkerIndex, request: u8, devices: Devices) {
        let queue = self.queues.get(shape);
        let (account, amounts) = (queue.account, queue.shape.requests[usize::from(request)].clone());
        let spread = spreads(&queue.shape);
        if spread {
            self.uncount_spread(shape, worker);
        }
        self.crowd.release_grant(worker, &amounts, devices);
        self.give_back(account, &amounts);
    }

    /// Forgets an offer, with its grant.
    fn discard(&mut self, offer: OfferIndex) {
        let OfferSlot { key, shape, source, state, .. } = self.offers[offer];
        match state {
            OfferState::Waiting => drop(self.queues.remove(shape, &key, source)),
            OfferState::Granted { worker, request, devices, .. } => {
                self.void_grant(shape, worker, request, devices);
            }
        }
        self.offers.remove(offer);
        self.by_task.remove(&key.task_run());
        self.unrefer(shape);
    }

    fn unrefer(&mut self, shape: ShapeIndex) {
        self.queues.unrefer(shape);
        self.forget_shape_if_unused(shape);
    }

    fn forget_shape_if_unused(&mut self, shape: ShapeIndex) {
        if self.queues.is_used(shape) {
            return;
        }
        let queue = self.queues.forget(shape);
        self.quotas.forget_waiter(queue.account, shape);
        self.crowd.groups.get_mut(queue.group).shapes -= 1;
        self.crowd.groups.forget_if_unused(queue.group);
    }

    pub(super) fn count_spread(&mut self, shape: ShapeIndex, worker: WorkerIndex) {
        let Some(joined) = self.crowd.get(worker).joined() else { return };
        let queue = self.queues.get_mut(shape);
        for rule in &queue.shape.labels {
            if let LabelRule::Spread { key } = rule {
                queue.spread.add(key, joined.facts.labels.get(key));
            }
        }
    }

    fn uncount_spread(&mut self, shape: ShapeIndex, worker: WorkerIndex) {
        let Some(joined) = self.crowd.get(worker).joined() else { return };
        let queue = self.queues.get_mut(shape);
        for rule in &queue.shape.labels {
            if let LabelRule::Spread { key } = rule {
                queue.spread.remove(key, joined.facts.labels.get(key));
            }
        }
    }

    /// Counts all spreads anew, after the labels of those counted changed or went.
    pub(super) fn recount_spreads(&mut self) {
        let shapes: Vec<ShapeIndex> = self.queues.indices().collect();
        let counted = |shape: &ShapeIndex| !self.queues.get(*shape).spread.is_empty();
        let counted: Vec<ShapeIndex> = shapes.into_iter().filter(counted).collect();
        if counted.is_empty() {
            return;
        }
        counted.into_iter().for_each(|shape| self.queues.get_mut(shape).spread.clear());
        let held = self.holds.values().filter_map(|hold| Some((hold.spread?, hold.worker)));
        let granted = self.by_task.values().filter_map(|offer| match self.offers[*offer].state {
            OfferState::Granted { worker, .. } => Some((self.offers[*offer].shape, worker)),
            OfferState::Waiting => None,
        });
        let places: Vec<(ShapeIndex, WorkerIndex)> = held.chain(granted).collect();
        places.into_iter().for_each(|(shape, worker)| self.count_spread(shape, worker));
    }

    /// Gives a waiting offer the priority that its age has earned, and says when it rises again.
    pub(super) fn rise(&mut self, offer: OfferIndex, now: Timestamp) {
        let Some(slot) = self.offers.get(offer) else { return };
        let group = self.queues.get(slot.shape).group;
        let Some(ageing) = self.crowd.groups.get(group).config.ageing.filter(|span| span.0 > 0) else {
            return;
        };
        let (priority, next) = aged(slot.asked, slot.since, ageing, now);
        self.set_priority(offer, priority);
        self.alarms.extend(next.map(|at| (at, Alarm::Rise(offer))));
    }

    /// One that is granted goes back to its new place, should its grant come to nothing.
    fn set_priority(&mut self, offer: OfferIndex, priority: Priority) {
        let OfferSlot { key: before, shape, source, state, .. } = self.offers[offer];
        let after = before.raised_to(priority);
        if after == before {
            return;
        }
        self.offers[offer].key = after;
        if state == OfferState::Waiting {
            self.queues.remove(shape, &before, source);
            self.enqueue(offer);
        }
    }

    /// A group's ageing changed: all that wait for it get the priority they have earned by the new rule.
    pub(super) fn age_anew(&mut self, group: GroupIndex, now: Timestamp) {
        let ageing = self.crowd.groups.get(group).config.ageing;
        let of_group = |index: &OfferIndex| self.queues.get(self.offers[*index].shape).group == group;
        let offers: Vec<OfferIndex> = self.by_task.values().copied().filter(of_group).collect();
        for offer in offers {
            self.set_priority(offer, self.offers[offer].asked);
            if ageing.is_some() {
                self.rise(offer, now);
            }
        }
    }
}

fn spreads(shape: &Shape) -> bool {
    shape.labels.iter().any(|rule| matches!(rule, LabelRule::Spread { .. }))
}
