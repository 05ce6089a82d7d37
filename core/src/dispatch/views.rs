//! What others than the choice itself ask of a Dispatch: its streams, metrics and people.
//! Must not change what is placed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::amounts::Amounts;
use super::engine::{Dispatch, OfferState};
use super::offer::{Offer, Shape};
use super::offers::HoldFacts;
use super::queues::{ShapeIndex, Source, Standing};
use super::stream::Held;
use super::worker::Devices;
use crate::id::{Name, TaskRunId};
use crate::reason::Reason;
use crate::time::Span;
use crate::time::Timestamp;

/// The code of a place in the queue: something fits, and others come first.
const BEHIND: &str = "R402";

/// Offers of one worker group that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueNow {
    pub waiting: u64,
    /// Since when the oldest waits, as its shard says.
    pub oldest: Option<Timestamp>,
    /// How many of them have each reason, by its code; one may have several.
    pub blocked: BTreeMap<&'static str, u64>,
}

/// What a group's workers that are up have, and what is reserved of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupRoom {
    pub workers: u64,
    pub total: Amounts,
    pub reserved: Amounts,
}

impl Dispatch {
    /// Of each group that is named or has workers.
    pub(super) fn group_rooms(&self) -> BTreeMap<Name, GroupRoom> {
        let mut groups = BTreeMap::new();
        for group in self.crowd.groups.known() {
            let sums: &mut GroupRoom = groups.entry(group.name.clone()).or_default();
            for worker in group.members.iter().map(|index| self.crowd.get(*index)) {
                let Some(joined) = worker.joined().filter(|joined| joined.is_up()) else { continue };
                sums.workers += 1;
                sums.total.add(&joined.facts.total);
                sums.reserved.add(&worker.reserved);
            }
        }
        groups
    }

    /// What waits, by worker group, and why; walks all shapes, and the workers of those that are held up.
    pub fn queues_now(&self) -> BTreeMap<Name, QueueNow> {
        let mut queues: BTreeMap<Name, QueueNow> = BTreeMap::new();
        for index in self.queues.indices() {
            let queue = self.queues.get(index);
            if queue.waiting.is_empty() {
                continue;
            }
            let group = queues.entry(queue.shape.group.clone()).or_default();
            group.waiting += queue.waiting.len() as u64;
            let oldest = queue.waiting.values().map(|offer| self.offers[*offer].since).min();
            group.oldest = group.oldest.into_iter().chain(oldest).min();
            for code in self.blocked(index) {
                *group.blocked.entry(code).or_default() += queue.waiting.len() as u64;
            }
        }
        queues
    }

    /// The codes of what holds up all that waits of a shape; where something fits, it is only behind others.
    fn blocked(&self, index: ShapeIndex) -> BTreeSet<&'static str> {
        let reasons = self.explain_queue(index);
        match reasons.is_empty() {
            true => [BEHIND].into(),
            false => reasons.iter().map(Reason::code).collect(),
        }
    }

    /// Why nothing of a shape is placed; empty when something may be.
    pub(super) fn explain_shape(&self, shape: &Shape) -> Vec<Reason> {
        self.queues.find(shape).map(|index| self.explain_queue(index)).unwrap_or_default()
    }

    /// Whether nothing of a shape can be placed though some of it waits.
    pub(super) fn is_stuck(&self, shape: &Shape) -> bool {
        self.queues.find(shape).is_some_and(|index| {
            let queue = self.queues.get(index);
            queue.standing != Standing::Open && !queue.waiting.is_empty()
        })
    }

    /// Who shows some of the shape that waits.
    pub(super) fn shown_by(&self, shape: &Shape) -> Vec<Source> {
        let queue = self.queues.find(shape).map(|index| self.queues.get(index));
        queue.into_iter().flat_map(|queue| queue.sources()).collect()
    }

    /// Whether the source is to show more of the shape: all it showed was granted, it has more, and there is room.
    pub(super) fn wants_more(&mut self, shape: &Shape, source: Source) -> bool {
        let Some(index) = self.queues.find(shape) else { return false };
        self.queues.get(index).is_drained(source) && self.has_room(index)
    }

    /// Shapes that were parked, opened or forgotten, since the last call.
    pub(super) fn take_changed(&mut self) -> BTreeSet<Arc<Shape>> {
        self.queues.take_changed()
    }

    /// Shapes without room in whose groups a worker has changed, since the last call.
    pub(super) fn take_stirred(&mut self) -> Vec<Arc<Shape>> {
        let groups = self.crowd.take_stirred();
        let narrow = groups.into_iter().flat_map(|group| self.queues.narrow_of(group));
        narrow.map(|index| self.queues.get(index).shape.clone()).collect()
    }

    /// The shape of a task run that is offered or granted.
    pub(super) fn shape_of(&self, task_run: TaskRunId) -> Option<Arc<Shape>> {
        let offer = self.by_task.get(&task_run)?;
        Some(self.queues.get(self.offers[*offer].shape).shape.clone())
    }

    /// After so long what waits for the group rises one level.
    pub(super) fn ageing(&self, group: &Name) -> Option<Span> {
        let group = self.crowd.groups.get(self.crowd.groups.find(group)?);
        group.config.ageing.filter(|every| every.0 > 0)
    }

    /// Whether the offer has a grant that is not settled, of that number or a later one.
    pub(super) fn is_granted_since(&self, offer: &Offer, first: u64) -> bool {
        let Some(slot) = self.by_task.get(&offer.task_run).map(|index| &self.offers[*index]) else {
            return false;
        };
        matches!(slot.state, OfferState::Granted { number, .. } if number >= first)
            && self.queues.get(slot.shape).shape == offer.shape
    }

    /// Whether that is what the task run was granted.
    pub(super) fn is_granted_as(&self, task_run: TaskRunId, held: &Held) -> bool {
        let Some(slot) = self.by_task.get(&task_run).map(|index| &self.offers[*index]) else { return false };
        let OfferState::Granted { worker, request, devices, .. } = slot.state else { return false };
        // An earlier grant of the same worker may have been used, which named others of its devices.
        let own = self.crowd.known(worker).and_then(|worker| worker.joined());
        let named = own.map(|joined| Devices::named(&held.devices, &joined.facts.devices));
        self.crowd.find(&held.worker) == Some(worker)
            && request == held.request
            && named.is_none_or(|named| named == devices)
            && self.queues.get(slot.shape).shape == held.shape
    }

    /// Whether exactly that is known to be held.
    pub(super) fn is_held_as(&self, facts: &HoldFacts) -> bool {
        self.holds.get(&facts.task_run).is_some_and(|hold| {
            self.crowd.find(&facts.worker) == Some(hold.worker) && hold.amounts == facts.amounts
        })
    }

    pub(super) fn grants_made(&self) -> u64 {
        self.grants_made
    }
}
