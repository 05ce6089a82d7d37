//! What the Dispatcher promises, in the plainest form: lists that are searched, sums that are counted anew. Compared with
//! the real one after every step. Must not share code with it.

use std::collections::BTreeMap;

use hortator_core::definition::Priority;
use hortator_core::dispatch::WorkerState;
use hortator_core::dispatch::{Amounts, Grant, GrantFailed, Offer, Resource, Shape, WorkerFacts};
use hortator_core::id::{Name, TaskRunId, WorkerRef};
use hortator_core::time::{Span, Timestamp};

/// As configured by default.
const SILENT_AFTER: Span = Span::from_secs(2);
const GRANT_KEPT: Span = Span::from_secs(1);

pub(crate) struct Model {
    pub(crate) workers: BTreeMap<WorkerRef, ModelWorker>,
    pub(crate) offers: BTreeMap<TaskRunId, ModelOffer>,
    pub(crate) holds: BTreeMap<TaskRunId, (WorkerRef, Name, Amounts)>,
    pub(crate) quotas: BTreeMap<Name, u64>,
}

pub(crate) struct ModelWorker {
    pub(crate) facts: WorkerFacts,
    heard: Option<Timestamp>,
    refused: Vec<Amounts>,
}

pub(crate) struct ModelOffer {
    pub(crate) offer: Offer,
    pub(crate) grant: Option<(Grant, Timestamp)>,
}

type Key = (Priority, Timestamp, u128, Priority, std::cmp::Reverse<u64>, u64, (u32, u32));

impl Model {
    pub(crate) fn new() -> Model {
        Model {
            workers: BTreeMap::new(),
            offers: BTreeMap::new(),
            holds: BTreeMap::new(),
            quotas: BTreeMap::new(),
        }
    }

    pub(crate) fn join(&mut self, facts: WorkerFacts) {
        match self.workers.get_mut(&facts.worker) {
            Some(known) => known.facts = facts,
            None => {
                let id = facts.worker.clone();
                self.lose(&id);
                self.workers.insert(id, ModelWorker { facts, heard: None, refused: Vec::new() });
            }
        }
    }

    /// All lives up to this one.
    pub(crate) fn lose(&mut self, worker: &WorkerRef) {
        let over = |id: &WorkerRef| id.name == worker.name && id.incarnation <= worker.incarnation;
        let before = self.workers.len();
        self.workers.retain(|id, _| !over(id));
        if before != self.workers.len() {
            for known in self.offers.values_mut() {
                if known.grant.as_ref().is_some_and(|(grant, _)| over(&grant.worker)) {
                    known.grant = None;
                }
            }
        }
    }

    pub(crate) fn hear(&mut self, worker: &WorkerRef, now: Timestamp) {
        if let Some(known) = self.workers.get_mut(worker) {
            known.heard = Some(now);
            known.refused.clear();
        }
    }

    pub(crate) fn fail(&mut self, task_run: TaskRunId, why: GrantFailed) {
        let known = self.offers.get_mut(&task_run).expect("it was granted");
        let (grant, _) = known.grant.take().expect("it was granted");
        let request = known.offer.shape.requests[usize::from(grant.request)].clone();
        if let (Some(worker), GrantFailed::AtWorker) = (self.workers.get_mut(&grant.worker), why) {
            // The Dispatcher remembers as many.
            if worker.refused.len() < 4 {
                worker.refused.push(request);
            }
        }
    }

    pub(crate) fn expire(&mut self, now: Timestamp) {
        for known in self.offers.values_mut() {
            if known.grant.as_ref().is_some_and(|(_, at)| at.plus(GRANT_KEPT) <= now) {
                known.grant = None;
            }
        }
    }

    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Offer> {
        self.offers.values().filter(|known| known.grant.is_none()).map(|known| &known.offer)
    }

    /// A grant must be for the best of all that could be placed, and on a worker where it fits.
    pub(crate) fn check_grant(&self, grant: &Grant, now: Timestamp) {
        let granted = &self.offers[&grant.task_run];
        assert!(granted.grant.is_none(), "{:?} is granted twice", grant.task_run);
        let granted = &granted.offer;
        for other in self.waiting().filter(|other| key(other) < key(granted)) {
            assert_ne!(other.shape, granted.shape, "{:?} overtakes {:?}", granted.task_run, other.task_run);
            if other.shape.group == granted.shape.group {
                assert!(!self.is_placeable(&other.shape, now), "{:?} was placeable", other.task_run);
            }
        }
        let worker = &self.workers[&grant.worker];
        let request = &granted.shape.requests[usize::from(grant.request)];
        assert!(self.fits(worker, &granted.shape, request, now), "{:?} does not fit", grant.task_run);
    }

    pub(crate) fn is_placeable(&self, shape: &Shape, now: Timestamp) -> bool {
        let on = |worker: &ModelWorker| {
            shape.requests.iter().any(|request| self.fits(worker, shape, request, now))
        };
        self.workers.values().any(on)
    }

    fn fits(&self, worker: &ModelWorker, shape: &Shape, request: &Amounts, now: Timestamp) -> bool {
        let facts = &worker.facts;
        let heard = worker.heard.is_some_and(|heard| heard.plus(SILENT_AFTER) > now);
        let mut sum = self.reserved(&facts.worker);
        sum.add(request);
        let quota = self.quotas.get(&shape.namespace);
        let slots = self.used(&shape.namespace) + request.get(&Resource::Slots);
        facts.state == WorkerState::Up
            && heard
            && facts.groups.contains(&shape.group)
            && facts.kinds.contains(&shape.kind)
            && sum.fit(&facts.total)
            && quota.is_none_or(|max| slots <= *max)
            && !worker.refused.iter().any(|refused| refused.fit(request))
    }

    /// What attempts and grants take of a worker.
    pub(crate) fn reserved(&self, worker: &WorkerRef) -> Amounts {
        let mut sum = Amounts::default();
        self.holds.values().filter(|(holder, ..)| holder == worker).for_each(|(_, _, held)| sum.add(held));
        for known in self.offers.values() {
            if let Some((grant, _)) = known.grant.as_ref().filter(|(grant, _)| grant.worker == *worker) {
                sum.add(&known.offer.shape.requests[usize::from(grant.request)]);
            }
        }
        sum
    }

    /// What attempts alone take of a worker.
    pub(crate) fn running(&self, worker: &WorkerRef) -> Amounts {
        let mut sum = Amounts::default();
        self.holds.values().filter(|(holder, ..)| holder == worker).for_each(|(_, _, held)| sum.add(held));
        sum
    }

    /// Slots of a namespace.
    pub(crate) fn used(&self, namespace: &Name) -> u64 {
        let held = self.holds.values().filter(|(_, of, _)| of == namespace);
        let held: u64 = held.map(|(_, _, amounts)| amounts.get(&Resource::Slots)).sum();
        let granted = self.offers.values().filter(|known| known.offer.shape.namespace == *namespace);
        let granted = granted.filter_map(|known| {
            let (grant, _) = known.grant.as_ref()?;
            Some(known.offer.shape.requests[usize::from(grant.request)].get(&Resource::Slots))
        });
        held + granted.sum::<u64>()
    }
}

fn key(offer: &Offer) -> Key {
    let rank = &offer.rank;
    let task = offer.task_run.key;
    (
        rank.run_priority,
        rank.run_created,
        offer.task_run.run.0,
        rank.task_priority,
        std::cmp::Reverse(rank.remaining.0 / 1000),
        rank.activation,
        (task.task, task.item),
    )
}
