//! What would become of a waiting offer if some things were different: the same filters, on a changed copy.
//! Must not change anything.

use serde::{Deserialize, Serialize};

use super::account::Worker;
use super::amounts::Amounts;
use super::engine::{Dispatch, OfferSlot};
use super::explain::Refusals;
use super::filters::{self, ALL_ALLOWED, Allowed};
use super::groups::GroupIndex;
use super::offer::{QueueKey, Shape, ZoneWish};
use super::queues::ShapeQueue;
use super::worker::WorkerState;
use crate::definition::Priority;
use crate::id::{Name, TaskRunId};
use crate::reason::{LISTED_MAX, Reason};

/// What could be different, all of it at once; what is not named stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// The task asks for these instead.
    pub requests: Option<Vec<Amounts>>,
    /// It asks for that worker group.
    pub group: Option<Name>,
    /// Any zone will do.
    pub any_zone: bool,
    /// Its run has that priority.
    pub priority: Option<Priority>,
    /// That worker is let have work again.
    pub uncordon: Option<Name>,
    /// No other worker is asked.
    pub worker: Option<Name>,
}

/// What would become of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It would be placed at once, on such a worker.
    Starts { worker: Name },
    /// There would be room for it, but these come first.
    Follows { behind: Reason },
    /// It would go on waiting, for these reasons.
    Waits { reasons: Vec<Reason> },
    /// The worker that was named is in other groups than the one that is asked for.
    Elsewhere { worker: Name, group: Name, groups: Vec<Name> },
    /// No worker of that name is in.
    NoWorker { worker: Name },
}

impl Dispatch {
    /// Nothing for a task run that does not wait here.
    pub fn what_if(&self, task_run: TaskRunId, change: &Change) -> Option<Outcome> {
        let slot = &self.offers[*self.by_task.get(&task_run)?];
        let queue = self.queues.get(slot.shape);
        queue.waiting.get(&slot.key)?;
        Some(self.imagine(slot, queue, change))
    }

    fn imagine(&self, slot: &OfferSlot, queue: &ShapeQueue, change: &Change) -> Outcome {
        for named in change.worker.iter().chain(&change.uncordon) {
            if !self.is_in(named) {
                return Outcome::NoWorker { worker: named.clone() };
            }
        }
        let shape = changed_shape(&queue.shape, change);
        let Some(group) = self.crowd.groups.find(&shape.group) else {
            return Outcome::Waits { reasons: vec![self.explain_empty(&shape.group, false, None)] };
        };
        if let Some(named) = &change.worker
            && let Some(elsewhere) = self.elsewhere(named, group, &shape.group)
        {
            return elsewhere;
        }
        let allowed = self.quotas.allowed(queue.account, &shape);
        match self.find_room(queue, group, &shape, allowed, change) {
            Ok(worker) => self.turn_of(slot, &shape, worker, change),
            Err(refusals) => {
                let mut reasons = self.reasons(queue, group, &shape, *refusals);
                if allowed.count_ones() < shape.requests.len() as u32 {
                    reasons.extend(self.quotas.reasons(queue.account, &shape));
                }
                Outcome::Waits { reasons }
            }
        }
    }

    fn is_in(&self, name: &Name) -> bool {
        self.crowd.latest(name).is_some_and(|index| self.crowd.get(index).joined().is_some())
    }

    /// Both sides of it, when the worker is in and not in that group.
    fn elsewhere(&self, name: &Name, group: GroupIndex, asked: &Name) -> Option<Outcome> {
        let joined = self.crowd.get(self.crowd.latest(name)?).joined()?;
        if joined.membership(group).is_some() {
            return None;
        }
        let groups = joined.facts.groups.iter().take(LISTED_MAX).cloned().collect();
        Some(Outcome::Elsewhere { worker: name.clone(), group: asked.clone(), groups })
    }

    /// The first worker that would do.
    fn find_room(
        &self,
        queue: &ShapeQueue,
        group: GroupIndex,
        shape: &Shape,
        allowed: Allowed,
        change: &Change,
    ) -> Result<Name, Box<Refusals>> {
        let asks = |worker: &Worker| change.worker.as_ref().is_none_or(|only| *only == worker.id.name);
        let (mut refusals, mut only_quota) = (Refusals::default(), false);
        let members = self.crowd.groups.get(group).members.iter().map(|index| self.crowd.get(*index));
        for worker in members.filter(|worker| asks(worker)) {
            let imagined = match change.uncordon.as_ref() == Some(&worker.id.name) {
                true => &uncordoned(worker),
                false => worker,
            };
            let ask = |allowed| {
                let suits = |joined: &_| filters::suits(joined, shape);
                filters::chain(imagined, group, shape, allowed, queue.zones(), suits)
            };
            if ask(allowed).is_ok() {
                return Ok(worker.id.name.clone());
            }
            match ask(ALL_ALLOWED) {
                Err(refusal) => refusals.note(imagined, group, refusal, shape),
                Ok(_) => only_quota = true,
            }
        }
        // Where there is room, only the quota is in the way.
        Err(Box::new(if only_quota { Refusals::default() } else { refusals }))
    }

    /// Among those of the shape that it would have; alone, as far as is known here, where nothing of it waits.
    fn turn_of(&self, slot: &OfferSlot, shape: &Shape, worker: Name, change: &Change) -> Outcome {
        let key: QueueKey = change.priority.map_or(slot.key, |priority| slot.key.raised_to(priority));
        match self.queues.find(shape).map(|index| self.behind(index, slot, &key)) {
            None | Some(Reason::Behind { ahead: 0, .. }) => Outcome::Starts { worker },
            Some(behind) => Outcome::Follows { behind },
        }
    }
}

fn changed_shape(shape: &Shape, change: &Change) -> Shape {
    let mut shape = shape.clone();
    if let Some(requests) = &change.requests {
        shape.requests.clone_from(requests);
    }
    if let Some(group) = &change.group {
        shape.group.clone_from(group);
    }
    if change.any_zone {
        shape.zone = ZoneWish::Anywhere;
    }
    shape
}

fn uncordoned(worker: &Worker) -> Worker {
    let mut worker = worker.clone();
    if let Some(joined) = worker.joined_mut() {
        joined.facts.state = WorkerState::Up;
    }
    worker
}
