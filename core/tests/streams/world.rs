//! A small world: shards with their books, a Dispatcher, frames under way, workers that really hold slots.
//! Decides nothing by itself; stories and properties say what happens.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use hortator_core::definition::Priority;
use hortator_core::dispatch::stream::{
    DispatcherFrame, DispatcherItem, DispatcherTerm, Exchange, ExchangeConfig, Held, OfferBook, OfferFrame,
    QUIET_WAIT,
};
use hortator_core::dispatch::{
    Amounts, Chance, Ended, Grant, GrantFailed, GroupConfig, KindTag, Load, Offer, Rank, Resource, Shape,
    WorkerFacts,
};
use hortator_core::id::{Name, RunId, TaskKey, TaskRunId, WorkerRef};
use hortator_core::time::{Span, Timestamp};

/// Small, so that lists have several pages.
pub(crate) const ITEMS_MAX: usize = 7;

pub(crate) struct World {
    pub(crate) now: Timestamp,
    /// What the shards' clocks say more than the Dispatcher's, in microseconds.
    pub(crate) shards_ahead: i64,
    pub(crate) config: ExchangeConfig,
    pub(crate) shards: BTreeMap<u32, Shard>,
    pub(crate) exchange: Exchange,
    pub(crate) term: DispatcherTerm,
    pub(crate) workers: BTreeMap<Name, WorkerFacts>,
    /// Lives that are over, by worker.
    pub(crate) lives: BTreeMap<Name, u64>,
    pub(crate) to_dispatcher: VecDeque<OfferFrame>,
    pub(crate) to_shards: VecDeque<DispatcherFrame>,
    /// Grants as the Dispatcher made them.
    pub(crate) granted: Vec<Grant>,
    pub(crate) on_grant: OnGrant,
}

/// What a shard does with a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnGrant {
    Dispatch,
    Keep,
}

pub(crate) struct Shard {
    pub(crate) book: OfferBook,
    pub(crate) epoch: u64,
    /// What the rows say: offered, and held.
    pub(crate) ready: BTreeMap<TaskRunId, Offer>,
    pub(crate) held: BTreeMap<TaskRunId, Held>,
    /// Grants nobody has decided about.
    pub(crate) in_hand: BTreeMap<TaskRunId, (Grant, Timestamp)>,
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("tests use good names")
}

pub(crate) fn task_run(shard: u32, task: u32) -> TaskRunId {
    TaskRunId { run: RunId::new(1_000, shard, 0), key: TaskKey { task, item: 0 } }
}

/// An offer of the shard's one run; `task` is its activation too.
pub(crate) fn offer(shard: u32, task: u32, shape: &Shape, priority: Priority) -> Offer {
    let task_run = task_run(shard, task);
    let rank = Rank {
        run_priority: priority,
        run_created: Timestamp(0),
        task_priority: Priority::Normal,
        remaining: Span::ZERO,
        activation: u64::from(task),
    };
    Offer { task_run, shape: Arc::new(shape.clone()), rank, since: Timestamp(0) }
}

pub(crate) fn shape(group: &str, kind: KindTag, slots: u64) -> Shape {
    Shape::of_slots(name(group), name("retail"), kind, slots)
}

pub(crate) fn worker(text: &str, slots: u64, groups: &[&str]) -> WorkerFacts {
    let worker = WorkerRef { name: name(text), incarnation: 1 };
    WorkerFacts::of_slots(worker, groups.iter().map(|group| name(group)).collect(), slots)
}

pub(crate) fn load(slots: u64) -> Load {
    Load { running: Amounts::slots(slots), ..Load::idle() }
}

/// As they are when nobody configures anything; without slow start, so that workers' ages do not matter.
pub(crate) fn groups(names: &[&str]) -> BTreeMap<Name, GroupConfig> {
    let config = GroupConfig { slow_start: Span::ZERO, ..GroupConfig::default() };
    names.iter().map(|group| (name(group), config)).collect()
}

fn slots(held: &Held) -> u64 {
    held.shape.requests[usize::from(held.request)].get(&Resource::Slots)
}

impl World {
    pub(crate) fn new(shards: u32) -> World {
        let (now, config) = (Timestamp(1_000_000), ExchangeConfig::default());
        let shard = |shard| {
            let mut book = OfferBook::new(shard, 1, 1, QUIET_WAIT);
            book.on_dispatcher(DispatcherTerm(1));
            let rest = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
            (shard, Shard { book, epoch: 1, ready: rest.0, held: rest.1, in_hand: rest.2 })
        };
        World {
            now,
            shards_ahead: 0,
            config,
            shards: (1..=shards).map(shard).collect(),
            exchange: Exchange::new(DispatcherTerm(1), shards, config, Chance::new(1), now),
            term: DispatcherTerm(1),
            workers: BTreeMap::new(),
            lives: BTreeMap::new(),
            to_dispatcher: VecDeque::new(),
            to_shards: VecDeque::new(),
            granted: Vec::new(),
            on_grant: OnGrant::Dispatch,
        }
    }

    /// By the shards' clocks.
    pub(crate) fn shards_now(&self) -> Timestamp {
        Timestamp(self.now.0 + self.shards_ahead)
    }

    pub(crate) fn shard(&mut self, shard: u32) -> &mut Shard {
        self.shards.get_mut(&shard).expect("the shard is there")
    }

    pub(crate) fn join(&mut self, facts: WorkerFacts) {
        self.exchange.on_worker(facts.clone(), self.now);
        self.workers.insert(facts.worker.name.clone(), facts);
    }

    /// The worker reports what shards hold on it.
    pub(crate) fn beat(&mut self, worker: &Name) {
        let Some(facts) = self.workers.get(worker) else { return };
        let load = load(self.held_on(&facts.worker));
        self.exchange.on_heartbeat(&facts.worker, &load, self.now);
    }

    pub(crate) fn beat_all(&mut self) {
        let names: Vec<Name> = self.workers.keys().cloned().collect();
        names.iter().for_each(|name| self.beat(name));
    }

    /// Committed loss: the shards' attempts on it end.
    pub(crate) fn lose(&mut self, worker: &Name) {
        let Some(facts) = self.workers.remove(worker) else { return };
        self.lives.insert(worker.clone(), facts.worker.incarnation);
        self.exchange.on_worker_lost(&facts.worker, self.now);
        let dead: Vec<TaskRunId> = self.holders(&facts.worker).collect();
        for task_run in dead {
            self.end(task_run, Ended::Otherwise);
        }
    }

    pub(crate) fn held_on(&self, worker: &WorkerRef) -> u64 {
        let held = self.shards.values().flat_map(|shard| shard.held.values());
        held.filter(|held| held.worker == *worker).map(slots).sum()
    }

    fn holders(&self, worker: &WorkerRef) -> impl Iterator<Item = TaskRunId> {
        let held = self.shards.values().flat_map(|shard| &shard.held);
        held.filter(move |(_, held)| held.worker == *worker).map(|(task_run, _)| *task_run)
    }

    pub(crate) fn insert(&mut self, offer: Offer) {
        let shard = self.shard(offer.task_run.run.shard());
        if !shard.held.contains_key(&offer.task_run) {
            shard.ready.insert(offer.task_run, offer.clone());
            shard.in_hand.remove(&offer.task_run);
            shard.book.insert(offer, None);
        }
    }

    pub(crate) fn remove(&mut self, task_run: TaskRunId) {
        let shard = self.shard(task_run.run.shard());
        shard.ready.remove(&task_run);
        shard.in_hand.remove(&task_run);
        shard.book.remove(task_run);
    }

    pub(crate) fn end(&mut self, task_run: TaskRunId, how: Ended) {
        let shard = self.shard(task_run.run.shard());
        shard.held.remove(&task_run);
        shard.book.ended(task_run, how);
    }

    /// The shard uses the grant it has in hand; an expired one, or one of a life that is over, is dropped.
    pub(crate) fn dispatch(&mut self, task_run: TaskRunId) {
        let now = self.now;
        let live = |workers: &BTreeMap<Name, WorkerFacts>, worker: &WorkerRef| {
            workers.get(&worker.name).is_some_and(|facts| facts.worker == *worker)
        };
        let shard = self.shards.get_mut(&task_run.run.shard()).expect("the shard is there");
        let Some((grant, at)) = shard.in_hand.remove(&task_run) else { return };
        let alive = live(&self.workers, &grant.worker);
        if now.since(at) > grant.valid_for || !alive {
            shard.book.refuse_grant(task_run, grant.number, GrantFailed::AtWorker);
            return;
        }
        let offer = shard.ready.remove(&task_run).expect("what is granted is ready");
        let Grant { worker, request, devices, .. } = grant;
        let held = Held { worker, shape: offer.shape, request, devices };
        shard.held.insert(task_run, held.clone());
        shard.book.dispatched(task_run, held);
    }

    /// Shards send what they have to say.
    pub(crate) fn shards_speak(&mut self) {
        let now = self.shards_now();
        for shard in self.shards.values_mut() {
            self.to_dispatcher.extend(shard.book.poll_frames(ITEMS_MAX, now));
        }
    }

    /// The Dispatcher chooses and sends what it has to say.
    pub(crate) fn dispatcher_speaks(&mut self) {
        while self.exchange.place(self.now, 3) == 3 {}
        for frame in self.exchange.poll_frames(ITEMS_MAX) {
            self.granted.extend(frame.items.iter().filter_map(|item| match item {
                DispatcherItem::Grant(grant) => Some(grant.clone()),
                _ => None,
            }));
            self.to_shards.push_back(frame);
        }
    }

    pub(crate) fn deliver_to_dispatcher(&mut self, frame: OfferFrame) {
        self.exchange.on_offer_frame(frame, self.now);
    }

    pub(crate) fn deliver_to_shard(&mut self, frame: DispatcherFrame) {
        let (now, shards_now, on_grant) = (self.now, self.shards_now(), self.on_grant);
        let shard = self.shard(frame.stream.shard);
        let grants = shard.book.on_frame(frame, shards_now);
        for grant in grants {
            let task_run = grant.task_run;
            assert!(shard.ready.contains_key(&task_run), "{task_run:?} was granted and is not ready");
            shard.in_hand.insert(task_run, (grant, now));
        }
        if on_grant == OnGrant::Dispatch {
            let in_hand: Vec<TaskRunId> = shard.in_hand.keys().copied().collect();
            in_hand.into_iter().for_each(|task_run| self.dispatch(task_run));
        }
    }

    /// Everybody speaks and everything arrives until nobody has more to say.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            self.shards_speak();
            self.dispatcher_speaks();
            if self.to_dispatcher.is_empty() && self.to_shards.is_empty() {
                return;
            }
            while let Some(frame) = self.to_dispatcher.pop_front() {
                self.deliver_to_dispatcher(frame);
            }
            self.dispatcher_speaks();
            while let Some(frame) = self.to_shards.pop_front() {
                self.deliver_to_shard(frame);
            }
        }
        panic!("books and Dispatcher never stop talking");
    }

    /// Time passes; both sides do what is due, nobody delivers anything.
    pub(crate) fn wait(&mut self, span: Span) {
        self.now = self.now.plus(span);
        self.exchange.expire(self.now);
        let now = self.shards_now();
        for shard in self.shards.values_mut() {
            shard.book.expire(now);
        }
    }

    /// Another master leads the membership group; shards hear of it.
    pub(crate) fn new_dispatcher(&mut self) {
        self.term.0 += 1;
        let (shards, chance) = (self.shards.len() as u32, Chance::new(self.term.0));
        self.exchange = Exchange::new(self.term, shards, self.config, chance, self.now);
        for facts in self.workers.values() {
            self.exchange.on_worker(facts.clone(), self.now);
        }
        self.beat_all();
        for shard in self.shards.values_mut() {
            shard.book.on_dispatcher(self.term);
        }
    }

    /// The shard's epoch ends and a new one is built from rows.
    pub(crate) fn new_epoch(&mut self, number: u32) {
        let term = self.term;
        let shard = self.shard(number);
        shard.epoch += 1;
        shard.book = OfferBook::new(number, 1, shard.epoch, QUIET_WAIT);
        shard.in_hand.clear();
        for (task_run, held) in &shard.held {
            shard.book.dispatched(*task_run, held.clone());
        }
        shard.ready.values().for_each(|offer| shard.book.insert(offer.clone(), None));
        shard.book.on_dispatcher(term);
    }
}
