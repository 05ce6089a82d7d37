//! The Dispatcher's side: queues of what shards show, accounts of workers, and the choice between them.
//! Must not know rows, clocks or connections; everything here is soft and may be lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::frame::{DispatcherFrame, DispatcherItem, Grant};
use super::offer::QueueKey;
use super::queues::{OfferIndex, Queues, ShapeIndex, Standing};
use super::slab::Slab;
use super::streams::{Phase, Stream};
use super::worker::{Load, WorkerFacts};
use super::workers::{WorkerIndex, Workers};
use crate::id::{Name, WorkerRef};
use crate::time::{Span, Timestamp};

/// What placement may be told to do differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacementConfig {
    /// A new Dispatcher grants when all shards have listed, or after this long.
    pub listing_wait: Span,
    /// How long a shard may use a grant. Its room stays reserved twice as long, so that a use at the last moment is
    /// still covered when it is heard of.
    pub grant_life: Span,
    /// A shape that was parked for this long is told to the shards, which then keep one offer shown.
    pub settle_after: Span,
    /// A worker that was not heard for this long gets nothing: four heartbeats by default.
    pub silent_after: Span,
    /// Most offers that one shard shows of one shape.
    pub credits_max: u32,
}

impl Default for PlacementConfig {
    fn default() -> PlacementConfig {
        PlacementConfig {
            listing_wait: Span::from_millis(300),
            grant_life: Span::from_millis(500),
            settle_after: Span::from_millis(100),
            silent_after: Span::from_millis(2000),
            credits_max: 4096,
        }
    }
}

/// One Dispatcher's term.
#[derive(Debug)]
pub struct Placement {
    pub(super) term: u64,
    pub(super) config: PlacementConfig,
    pub(super) opening: Opening,
    pub(super) workers: Workers,
    pub(super) queues: Queues,
    pub(super) offers: Slab<OfferSlot>,
    /// One per shard.
    pub(super) streams: BTreeMap<u32, Stream>,
    /// Shards to which there is something to say.
    pub(super) dirty: BTreeSet<u32>,
    /// Grants in the order they were made; an entry counts only while its grant does.
    grants: VecDeque<(Timestamp, u64, OfferIndex)>,
    pub(super) grants_made: u64,
    /// Lanes whose last waiting offer was granted since lanes were last looked at.
    drained: BTreeSet<(u32, ShapeIndex)>,
}

/// Whether it grants yet.
#[derive(Debug)]
pub(super) enum Opening {
    Waiting { shards: u32, listed: BTreeSet<u32>, until: Timestamp },
    Open,
}

#[derive(Debug)]
pub(super) struct OfferSlot {
    pub(super) key: QueueKey,
    pub(super) since: Timestamp,
    pub(super) shape: ShapeIndex,
    pub(super) shard: u32,
    pub(super) state: OfferState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfferState {
    Waiting,
    Granted { worker: WorkerIndex, number: u64, at: Timestamp },
}

/// Counts for metrics and the shell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlacementCounts {
    pub waiting: u64,
    pub granted: u64,
    pub shapes: u64,
    pub shapes_parked: u64,
}

/// Offers of one worker group that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueNow {
    pub waiting: u64,
    /// Since when the oldest waits, as its shard says.
    pub oldest: Option<Timestamp>,
    /// How many of them have each reason, by its code; one may have several.
    pub blocked: BTreeMap<&'static str, u64>,
}

/// What is reserved on a worker, in slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerAccount {
    pub slots: u32,
    pub held: u64,
    pub granted: u64,
}

impl Placement {
    /// A new Dispatcher in the membership group's `term`, with `shards` shards to hear from.
    pub fn new(term: u64, shards: u32, config: PlacementConfig, now: Timestamp) -> Placement {
        assert!(config.credits_max > 0, "a shard must be able to show something");
        let until = now.plus(config.listing_wait);
        Placement {
            term,
            config,
            opening: Opening::Waiting { shards, listed: BTreeSet::new(), until },
            workers: Workers::new(config.silent_after),
            queues: Queues::new(config.settle_after),
            offers: Slab::new(),
            streams: BTreeMap::new(),
            dirty: BTreeSet::new(),
            grants: VecDeque::new(),
            grants_made: 0,
            drained: BTreeSet::new(),
        }
    }

    /// The worker groups that the membership rows name.
    pub fn on_groups(&mut self, groups: &[Name], now: Timestamp) {
        self.workers.groups.declare(groups);
        for group in self.workers.groups.indices() {
            self.workers.note_changed(group);
        }
        self.settle_workers(now);
    }

    /// A worker's row is new or changed. It gets nothing before its first heartbeat is given in; one that some
    /// master heard earlier will do.
    pub fn on_worker(&mut self, facts: WorkerFacts, now: Timestamp) {
        let over = self.workers.join(facts, now);
        self.on_lives_over(&over, now);
    }

    /// The loss of a worker's lives up to this one is committed, or its row is gone.
    pub fn on_worker_lost(&mut self, worker: &WorkerRef, now: Timestamp) {
        let over = self.workers.lose(worker, now);
        self.on_lives_over(&over, now);
    }

    /// A heartbeat that arrived at some master at `heard_at`, by this master's clock.
    pub fn on_heartbeat(&mut self, worker: &WorkerRef, load: Load, heard_at: Timestamp) {
        self.workers.hear(worker, load, heard_at);
        self.settle_workers(heard_at);
    }

    /// Nobody leads the shard, as far as is known, or it cannot be reached: nothing is granted to it before it has
    /// listed again. What its attempts hold stays held.
    pub fn on_shard_lost(&mut self, shard: u32, now: Timestamp) {
        if self.streams.contains_key(&shard) {
            self.freeze(shard);
            self.stream_mut(shard).phase = Phase::Broken;
            self.settle_workers(now);
        }
    }

    /// Grants in strict order until nothing more fits or `limit` is reached; returns how many. Call after every
    /// batch of news, again while it returns `limit`, then `poll_frames`.
    pub fn place(&mut self, now: Timestamp, limit: usize) -> usize {
        if !self.is_open(now) {
            return 0;
        }
        let mut granted = 0;
        while granted < limit {
            let Some((key, shape)) = self.queues.best() else {
                break;
            };
            let queue = self.queues.get(shape);
            match self.workers.choose(queue.group, &queue.shape) {
                Some(worker) => {
                    self.grant(shape, &key, worker, now);
                    granted += 1;
                }
                None => self.queues.park(shape, now),
            }
        }
        self.grow_lanes();
        self.drop_void();
        granted
    }

    /// Frames to send now, each of at most `items_max` items.
    pub fn poll_frames(&mut self, items_max: usize) -> Vec<DispatcherFrame> {
        assert!(items_max > 0, "a frame holds something");
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().flat_map(|shard| self.stream_mut(shard).take_frames(items_max)).collect()
    }

    /// When `expire` and `place` are wanted, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let opening = match &self.opening {
            Opening::Waiting { until, .. } => Some(*until),
            Opening::Open => None,
        };
        let life = self.grant_kept();
        let grant = self.grants.iter().find(|entry| self.counts(entry)).map(|(at, _, _)| at.plus(life));
        [opening, grant, self.queues.next_deadline(), self.workers.next_deadline()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Ends what ends by time: grants nobody used, workers not heard, parkings to be told.
    pub fn expire(&mut self, now: Timestamp) {
        self.drop_void();
        while let Some((at, _, offer)) = self.grants.front().copied() {
            if at.plus(self.grant_kept()) > now {
                break;
            }
            self.grants.pop_front();
            self.requeue(offer);
            self.drop_void();
        }
        self.workers.expire(now);
        self.settle_workers(now);
        while let Some(shape) = self.queues.pop_settled(now) {
            self.tell_parked(shape);
        }
    }

    /// Counts for metrics and the shell; walks all shapes.
    pub fn counts_now(&self) -> PlacementCounts {
        let mut counts = PlacementCounts::default();
        for queue in self.queues.iter() {
            counts.shapes += 1;
            counts.shapes_parked += u64::from(queue.standing != Standing::Open);
            counts.waiting += queue.waiting.len() as u64;
        }
        counts.granted = self.offers.len() as u64 - counts.waiting;
        counts
    }

    /// What waits, by worker group, and why; walks all shapes, and the workers of those that are held up.
    pub fn queues_now(&self) -> BTreeMap<Name, QueueNow> {
        let mut queues: BTreeMap<Name, QueueNow> = BTreeMap::new();
        for queue in self.queues.iter().filter(|queue| !queue.waiting.is_empty()) {
            let group = queues.entry(queue.shape.group.clone()).or_default();
            group.waiting += queue.waiting.len() as u64;
            let oldest = queue.waiting.values().map(|offer| self.offers[*offer].since).min();
            group.oldest = group.oldest.into_iter().chain(oldest).min();
            for code in self.blocked(&queue.shape) {
                *group.blocked.entry(code).or_default() += queue.waiting.len() as u64;
            }
        }
        queues
    }

    /// What is reserved on a worker that is in.
    pub fn account(&self, worker: &WorkerRef) -> Option<WorkerAccount> {
        let worker = self.workers.get(self.workers.find(worker)?);
        let slots = worker.joined()?.facts.slots;
        Some(WorkerAccount { slots, held: worker.held.slots, granted: worker.granted.slots })
    }

    fn is_open(&mut self, now: Timestamp) -> bool {
        if let Opening::Waiting { shards, listed, until } = &self.opening
            && (listed.len() >= *shards as usize || *until <= now)
        {
            self.opening = Opening::Open;
        }
        matches!(self.opening, Opening::Open)
    }

    fn grant(&mut self, shape: ShapeIndex, key: &QueueKey, worker: WorkerIndex, now: Timestamp) {
        let offer = self.queues.get(shape).waiting[key];
        self.unqueue(offer);
        self.grants_made += 1;
        let number = self.grants_made;
        let slot = &mut self.offers[offer];
        slot.state = OfferState::Granted { worker, number, at: now };
        let shard = slot.shard;
        self.workers.grant(worker, self.queues.get(shape).shape.slots);
        self.grants.push_back((now, number, offer));
        let grant = Grant {
            task_run: key.task_run(),
            worker: self.workers.get(worker).id.clone(),
            number,
            valid_for: self.config.grant_life,
        };
        let stream = self.stream_mut(shard);
        stream.tell(DispatcherItem::Grant(grant));
        let drained = stream.lane(shape).waiting == 0;
        self.dirty.insert(shard);
        if drained {
            self.drained.insert((shard, shape));
        }
    }

    /// A lane that showed all it could, and was granted all of it, shows twice as much while there is room.
    fn grow_lanes(&mut self) {
        for (shard, shape) in std::mem::take(&mut self.drained) {
            let queue = self.queues.get(shape);
            let credits_max = self.config.credits_max;
            let stream = self.streams.get_mut(&shard).expect("a lane is in a stream");
            let lane = stream.lane(shape);
            let short = lane.waiting == 0 && lane.peak >= lane.credits && lane.credits < credits_max;
            if short && self.workers.choose(queue.group, &queue.shape).is_some() {
                let credits = lane.credits.saturating_mul(2).clamp(super::CREDITS_INITIAL, u32::MAX);
                stream.tell_credits(shape, &queue.shape, credits.min(credits_max));
            }
        }
    }

    pub(super) fn forget_drained(&mut self, shape: ShapeIndex) {
        self.drained.retain(|(_, drained)| *drained != shape);
    }

    /// Lives that are over free nothing for others, but what was granted on them goes back to its place.
    fn on_lives_over(&mut self, over: &[WorkerIndex], now: Timestamp) {
        if !over.is_empty() {
            let on_them = |entry: &&(Timestamp, u64, OfferIndex)| match self.state_of(entry) {
                Some(OfferState::Granted { worker, .. }) => over.contains(&worker),
                Some(OfferState::Waiting) | None => false,
            };
            let void: Vec<OfferIndex> = self.grants.iter().filter(on_them).map(|entry| entry.2).collect();
            for offer in void {
                self.requeue(offer);
            }
            for worker in over {
                self.workers.forget_if_unused(*worker);
            }
        }
        self.settle_workers(now);
    }

    /// Wakes the shapes that a worker with more room now fits, and lets changed reasons be told anew.
    pub(super) fn settle_workers(&mut self, now: Timestamp) {
        for index in self.workers.take_woken() {
            let Some(worker) = self.workers.joined(index) else {
                continue;
            };
            let fits = |shape: &ShapeIndex| worker.refusal(&self.queues.get(*shape).shape).is_none();
            let parked = worker.groups().iter().flat_map(|group| self.queues.parked(*group, worker.slots()));
            let woken: Vec<ShapeIndex> = parked.filter(fits).collect();
            for shape in woken {
                self.tell_open(shape);
                self.queues.open(shape);
            }
        }
        for group in self.workers.take_changed() {
            let settled = |shape: &ShapeIndex| self.queues.get(*shape).standing == Standing::Settled;
            let again: Vec<ShapeIndex> = self.queues.parked(group, u32::MAX).filter(settled).collect();
            for shape in again {
                self.queues.settle_later(shape, now);
            }
        }
    }

    fn grant_kept(&self) -> Span {
        Span(self.config.grant_life.0.saturating_mul(2))
    }

    fn state_of(&self, (_, number, offer): &(Timestamp, u64, OfferIndex)) -> Option<OfferState> {
        let state = self.offers.get(*offer)?.state;
        matches!(state, OfferState::Granted { number: current, .. } if current == *number).then_some(state)
    }

    fn counts(&self, entry: &(Timestamp, u64, OfferIndex)) -> bool {
        self.state_of(entry).is_some()
    }

    fn drop_void(&mut self) {
        while self.grants.front().is_some_and(|entry| !self.counts(entry)) {
            self.grants.pop_front();
        }
        self.queues.drop_void();
    }
}
