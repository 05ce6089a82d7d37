//! What would become of a waiting offer if one thing were different: the same filters, on a changed copy.
//! Must not change anything.

use super::account::Worker;
use super::amounts::Amounts;
use super::engine::{Dispatch, OfferSlot};
use super::explain::Refusals;
use super::offer::{QueueKey, Shape, ZoneWish};
use super::queues::ShapeQueue;
use super::worker::WorkerState;
use super::worker::{Load, WorkerFacts};
use crate::definition::Priority;
use crate::id::{Name, TaskRunId};
use crate::reason::Reason;
use crate::time::Timestamp;

/// One thing that could be different.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A worker more, idle; its groups do not matter.
    Worker(Box<WorkerFacts>),
    /// The worker is let have work again.
    Uncordon(Name),
    /// The task asks for something else.
    Requests(Vec<Amounts>),
    /// Any zone will do.
    AnyZone,
    /// Its run has another priority.
    Priority(Priority),
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
}

impl Dispatch {
    /// Nothing for a task run that does not wait here.
    pub fn what_if(&self, task_run: TaskRunId, change: &Change, now: Timestamp) -> Option<Outcome> {
        let slot = &self.offers[*self.by_task.get(&task_run)?];
        let queue = self.queues.get(slot.shape);
        queue.waiting.get(&slot.key)?;
        let shape = changed_shape(&queue.shape, change);
        if self.quotas.allowed(queue.account, &shape) == 0 {
            return Some(Outcome::Waits { reasons: self.quotas.reasons(queue.account, &shape) });
        }
        Some(match self.imagine(queue, &shape, change, now) {
            Ok(worker) => self.turn_of(slot, worker, change),
            Err(refusals) => Outcome::Waits { reasons: self.reasons(queue, &shape, *refusals) },
        })
    }

    /// The first worker that would do.
    fn imagine(
        &self,
        queue: &ShapeQueue,
        shape: &Shape,
        change: &Change,
        now: Timestamp,
    ) -> Result<Name, Box<Refusals>> {
        if let Change::Worker(facts) = change {
            let mut worker = Worker::new(facts.worker.clone());
            worker.join((**facts).clone(), 0, &[queue.group], now);
            worker.hear(&Load::idle(), now);
            if self.ask(queue, &worker, shape).is_ok() {
                return Ok(facts.worker.name.clone());
            }
        }
        let mut refusals = Refusals::default();
        for index in &self.crowd.groups.get(queue.group).members {
            let worker = self.crowd.get(*index);
            let refusal = match change {
                Change::Uncordon(name) if worker.id.name == *name => {
                    let mut worker = worker.clone();
                    if let Some(joined) = worker.joined_mut() {
                        joined.facts.state = WorkerState::Up;
                    }
                    self.ask(queue, &worker, shape)
                }
                _ => self.ask(queue, worker, shape),
            };
            match refusal {
                Ok(_) => return Ok(worker.id.name.clone()),
                Err(refusal) => refusals.note(worker, queue.group, refusal, shape),
            }
        }
        Err(Box::new(refusals))
    }

    /// A shape that asks for something else is alone in its queue, as far as is known here.
    fn turn_of(&self, slot: &OfferSlot, worker: Name, change: &Change) -> Outcome {
        let key: QueueKey = match change {
            Change::Priority(priority) => slot.key.raised_to(*priority),
            Change::Worker(_) | Change::Uncordon(_) => slot.key,
            Change::Requests(_) | Change::AnyZone => return Outcome::Starts { worker },
        };
        match self.behind(slot, &key) {
            Reason::Behind { ahead: 0, .. } => Outcome::Starts { worker },
            behind => Outcome::Follows { behind },
        }
    }
}

fn changed_shape(shape: &Shape, change: &Change) -> Shape {
    let mut shape = shape.clone();
    match change {
        Change::Requests(requests) => shape.requests.clone_from(requests),
        Change::AnyZone => shape.zone = ZoneWish::Anywhere,
        Change::Worker(_) | Change::Uncordon(_) | Change::Priority(_) => {}
    }
    shape
}
