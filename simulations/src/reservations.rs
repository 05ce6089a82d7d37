//! S11, of what is granted: counts anew what each Dispatcher was told is held and what it granted itself, against what
//! workers have and namespaces may hold by the rows that it rests on. Must not know how a Dispatcher keeps its accounts.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use hortator_actors::placing::Listener;
use hortator_core::dispatch::stream::{
    DispatcherFrame, DispatcherItem, DispatcherTerm, FrameTaken, Held, ListState, OfferFrame, OfferItem,
    StreamId,
};
use hortator_core::dispatch::{Amounts, Grant, Resource, Shape};
use hortator_core::id::{Name, TaskRunId, WorkerRef};
use hortator_core::time::{Span, Timestamp};

use crate::checkers::Violation;
use crate::marks::Ear;
use crate::stock::Stock;

/// Two Dispatchers may count, and tell each other from a shard late: workers refuse what is too much then. One of them never
/// gives twice what it knows of.
pub const GRANTED: &str = "a Dispatcher grants what is left of a worker and of a namespace's quota after all that it was told is \
                           held and all that it has granted, and no device that is in use";
/// More say nothing new.
const VIOLATIONS_MAX: usize = 20;
/// Dispatchers that may still speak; the others are long gone.
const DISPATCHERS_MAX: usize = 8;

/// See the module. Clones share it.
#[derive(Clone, Debug)]
pub struct Reservations {
    /// It hears the membership group's log.
    ear: Ear,
    seen: Rc<RefCell<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    dispatchers: BTreeMap<DispatcherTerm, Account>,
    violations: Vec<Violation>,
}

/// What one Dispatcher knows, by what it was told and has said.
#[derive(Debug, Default)]
struct Account {
    shards: BTreeMap<u32, Shown>,
    /// The highest number of a grant.
    granted: u64,
}

/// Of one shard.
#[derive(Debug, Default)]
struct Shown {
    stream: Option<StreamId>,
    /// A later epoch of the shard uses no grants from before.
    granted_from: u64,
    /// What a list has named so far.
    listing: Option<Listed>,
    offers: BTreeMap<TaskRunId, Arc<Shape>>,
    grants: BTreeMap<TaskRunId, Granted>,
    holds: BTreeMap<TaskRunId, Part>,
}

#[derive(Debug, Default)]
struct Listed {
    offers: BTreeMap<TaskRunId, Arc<Shape>>,
    holds: BTreeMap<TaskRunId, Part>,
}

#[derive(Debug)]
struct Granted {
    number: u64,
    until: Timestamp,
    shape: Arc<Shape>,
    part: Part,
}

/// Of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    worker: WorkerRef,
    namespace: Name,
    amounts: Amounts,
    devices: Vec<String>,
}

impl Part {
    fn of(worker: &WorkerRef, shape: &Shape, request: u8, devices: &[String]) -> Part {
        Part {
            worker: worker.clone(),
            namespace: shape.namespace.clone(),
            amounts: shape.requests.get(usize::from(request)).cloned().unwrap_or_default(),
            devices: devices.to_vec(),
        }
    }

    fn held(held: &Held) -> Part {
        Part::of(&held.worker, &held.shape, held.request, &held.devices)
    }
}

impl Reservations {
    pub fn new(ear: Ear) -> Reservations {
        Reservations { ear, seen: Rc::default() }
    }

    pub fn violations(&self) -> Vec<Violation> {
        self.seen.borrow().violations.clone()
    }
}

impl Listener for Reservations {
    fn hears(&mut self, frame: OfferFrame, taken: FrameTaken) {
        self.seen.borrow_mut().hears(frame, taken);
    }

    fn says(&mut self, term: DispatcherTerm, frames: &[DispatcherFrame], now: Timestamp) {
        self.ear.with_stock(|stock| self.seen.borrow_mut().says(stock, term, frames, now));
    }
}

impl Seen {
    fn account(&mut self, term: DispatcherTerm) -> &mut Account {
        while self.dispatchers.len() > DISPATCHERS_MAX {
            self.dispatchers.pop_first();
        }
        self.dispatchers.entry(term).or_default()
    }

    fn hears(&mut self, frame: OfferFrame, taken: FrameTaken) {
        let account = self.account(frame.stream.dispatcher_term);
        let granted = account.granted;
        let shown = account.shards.entry(frame.stream.shard).or_default();
        if taken == FrameTaken::Old {
            return;
        }
        if shown.stream.replace(frame.stream) != Some(frame.stream) {
            shown.granted_from = granted + 1;
        }
        match taken {
            FrameTaken::Old | FrameTaken::AskedForList => shown.listing = None,
            FrameTaken::Yes => shown.take(frame),
        }
    }

    fn says(&mut self, stock: &Stock, term: DispatcherTerm, frames: &[DispatcherFrame], now: Timestamp) {
        let account = self.account(term);
        for shown in account.shards.values_mut() {
            shown.grants.retain(|_, granted| granted.until > now);
        }
        let mut grants = Vec::new();
        for frame in frames {
            for item in &frame.items {
                if let DispatcherItem::Grant(grant) = item {
                    account.grant(grant, now);
                    grants.push((grant, frame.rows));
                }
            }
        }
        let wrong: Vec<String> =
            grants.iter().flat_map(|(grant, rows)| account.judge(stock, grant.task_run, *rows)).collect();
        let room = VIOLATIONS_MAX.saturating_sub(self.violations.len());
        self.violations.extend(wrong.into_iter().take(room).map(|detail| Violation {
            checker: "S11",
            promise: GRANTED,
            detail: format!("dispatcher {}: {detail}", term.0),
        }));
    }
}

impl Shown {
    fn take(&mut self, frame: OfferFrame) {
        if matches!(frame.list, ListState::Begin | ListState::Whole) {
            self.listing = Some(Listed::default());
        }
        match &mut self.listing {
            Some(listed) => {
                frame.items.into_iter().for_each(|item| listed.take(item));
                if matches!(frame.list, ListState::End | ListState::Whole) {
                    self.end_list();
                }
            }
            None => frame.items.into_iter().for_each(|item| self.change(item)),
        }
    }

    /// What it names replaces what was known; grants of what it shows unchanged may still be used.
    fn end_list(&mut self) {
        let Some(Listed { offers, holds }) = self.listing.take() else { return };
        let from = self.granted_from;
        self.grants.retain(|task_run, granted| {
            granted.number >= from
                && offers.get(task_run) == Some(&granted.shape)
                && !holds.contains_key(task_run)
        });
        (self.offers, self.holds) = (offers, holds);
    }

    fn change(&mut self, item: OfferItem) {
        match item {
            OfferItem::Offer(offer) => {
                self.grants.remove(&offer.task_run);
                self.offers.insert(offer.task_run, offer.shape);
            }
            OfferItem::Withdraw(task_run) => {
                self.offers.remove(&task_run);
                self.grants.remove(&task_run);
            }
            OfferItem::Dispatched { task_run, held } => {
                self.offers.remove(&task_run);
                self.grants.remove(&task_run);
                self.holds.insert(task_run, Part::held(&held));
            }
            OfferItem::Ended { task_run, .. } => _ = self.holds.remove(&task_run),
            OfferItem::GrantFailed { task_run, grant, .. } => {
                if self.grants.get(&task_run).is_some_and(|granted| granted.number == grant) {
                    self.grants.remove(&task_run);
                }
            }
            OfferItem::Horizon { .. } | OfferItem::Work { .. } | OfferItem::Pace { .. } => {}
        }
    }
}

impl Listed {
    fn take(&mut self, item: OfferItem) {
        match item {
            OfferItem::Offer(offer) => _ = self.offers.insert(offer.task_run, offer.shape),
            OfferItem::Dispatched { task_run, held } => _ = self.holds.insert(task_run, Part::held(&held)),
            _ => {}
        }
    }
}

impl Account {
    fn grant(&mut self, grant: &Grant, now: Timestamp) {
        self.granted = self.granted.max(grant.number);
        let Some(shown) = self.shards.get_mut(&grant.task_run.run.shard()) else { return };
        let Some(shape) = shown.offers.get(&grant.task_run).cloned() else { return };
        // The Dispatcher keeps the room twice as long as the shard may use it.
        let until = now.plus(Span(grant.valid_for.0.saturating_mul(2)));
        let part = Part::of(&grant.worker, &shape, grant.request, &grant.devices);
        shown.grants.insert(grant.task_run, Granted { number: grant.number, until, shape, part });
    }

    /// What else is held or granted.
    fn others(&self, than: TaskRunId) -> impl Iterator<Item = (TaskRunId, &Part)> {
        let held = self.shards.values().flat_map(|shown| shown.holds.iter());
        let granted = self.shards.values().flat_map(|shown| shown.grants.iter());
        let all = held.chain(granted.map(|(task_run, granted)| (task_run, &granted.part)));
        all.map(|(task_run, part)| (*task_run, part)).filter(move |(task_run, _)| *task_run != than)
    }

    /// What speaks against a grant, after all others of its round.
    fn judge(&self, stock: &Stock, granted: TaskRunId, rows: u64) -> Vec<String> {
        let shown = self.shards.get(&granted.run.shard());
        let Some(Granted { part, .. }) = shown.and_then(|shown| shown.grants.get(&granted)) else {
            return Vec::new();
        };
        let Part { worker, namespace, amounts, devices } = part;
        let mut wrong = Vec::new();
        let sum = |of: &dyn Fn(&TaskRunId, &Part) -> bool, resource: &Resource| {
            let others = self.others(granted).filter(|(task_run, part)| of(task_run, part));
            others.map(|(_, part)| part.amounts.get(resource)).sum::<u64>() + amounts.get(resource)
        };
        let there = |_: &TaskRunId, part: &Part| part.worker == *worker;
        if let Some(profile) = stock.of_life(worker, rows) {
            let total = profile.total();
            for (resource, _) in amounts.iter() {
                let (used, has) = (sum(&there, &resource), total.get(&resource));
                if used > has {
                    wrong.push(format!("{used} of {resource} on {worker:?} are given, and it has {has}"));
                }
            }
        }
        for (other, part) in self.others(granted).filter(|(_, part)| part.worker == *worker) {
            if let Some(device) = devices.iter().find(|device| part.devices.contains(device)) {
                wrong.push(format!("device {device} of {worker:?} is {other:?}'s"));
            }
        }
        // A grant on a life that is over is void; what was dispatched counts until its end is known.
        let counts = |task_run: &TaskRunId, part: &Part| {
            let is_held = || self.shards.values().any(|shown| shown.holds.contains_key(task_run));
            part.namespace == *namespace && (stock.of_life(&part.worker, rows).is_some() || is_held())
        };
        for (resource, most) in stock.quota(namespace, rows).into_iter().flatten() {
            let used = sum(&counts, resource);
            if amounts.get(resource) > 0 && used > *most {
                wrong.push(format!("{used} of {resource} are given to {namespace}, and its quota is {most}"));
            }
        }
        wrong.into_iter().map(|why| format!("{granted:?} is granted {part:?}: {why}")).collect()
    }
}

#[cfg(test)]
mod tests;
