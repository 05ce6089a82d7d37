//! One Dispatcher's term: its deciders behind one stream per shard. What shards show goes in; grants, credits and the
//! reasons of what waits come out. Must not know rows, clocks or connections; everything here is soft and may be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::backlog::Work;
use super::channel::{Phase, Stream};
use super::frame::{Ageing, DispatcherFrame, DispatcherItem, DispatcherTerm};
use super::parkings::Parkings;
use super::wanted::Wanted;
use crate::dispatch::{
    Amounts, Chance, Change, Dispatch, DispatchConfig, DispatchCounts, Grant, GroupConfig, GroupRoom, Line,
    Load, Outcome, QueueNow, Quota, Shape, WorkerAccount, WorkerFacts,
};
use crate::id::{Name, TaskRunId, WorkerRef};
use crate::reason::Reason;
use crate::time::{Span, Timestamp};

/// What a term may be told to do differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExchangeConfig {
    /// A new Dispatcher grants when all shards have listed, or after this long.
    pub listing_wait: Span,
    /// A shape that was parked for this long is told to the shards, which then keep one offer shown.
    pub settle_after: Span,
    /// Reasons that change all the time are told so often.
    pub retell_after: Span,
    /// Most offers that one shard shows of one shape.
    pub credits_max: u32,
    pub dispatch: DispatchConfig,
}

impl Default for ExchangeConfig {
    fn default() -> ExchangeConfig {
        ExchangeConfig {
            listing_wait: Span::from_millis(300),
            settle_after: Span::from_millis(100),
            retell_after: Span::from_millis(1000),
            credits_max: 4096,
            dispatch: DispatchConfig::default(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct Exchange {
    pub(super) term: DispatcherTerm,
    pub(super) config: ExchangeConfig,
    pub(super) opening: Opening,
    pub(super) dispatch: Dispatch,
    /// One per shard.
    pub(super) streams: BTreeMap<u32, Stream>,
    /// Shards to which there is something to say.
    pub(super) dirty: BTreeSet<u32>,
    pub(super) parkings: Parkings,
    groups: BTreeMap<Name, GroupConfig>,
    /// Index of the membership rows that all news of workers, groups and quotas so far are from.
    rows: u64,
    chance: Chance,
}

/// Whether it grants yet.
#[derive(Debug)]
pub(super) enum Opening {
    Waiting { shards: u32, listed: BTreeSet<u32>, until: Timestamp },
    Open,
}

impl Exchange {
    /// A new Dispatcher of that term of its own, with `shards` shards to hear from.
    pub fn new(
        term: DispatcherTerm,
        shards: u32,
        config: ExchangeConfig,
        chance: Chance,
        now: Timestamp,
    ) -> Exchange {
        assert!(config.credits_max > 0, "a shard must be able to show something");
        let until = now.plus(config.listing_wait);
        Exchange {
            term,
            config,
            opening: Opening::Waiting { shards, listed: BTreeSet::new(), until },
            dispatch: Dispatch::new(config.dispatch),
            streams: BTreeMap::new(),
            dirty: BTreeSet::new(),
            parkings: Parkings::new(config.settle_after, config.retell_after),
            groups: BTreeMap::new(),
            rows: 0,
            chance,
        }
    }

    /// What follows is from the membership rows of that index.
    pub fn on_rows(&mut self, index: u64) {
        self.rows = index;
    }

    /// All worker groups that the membership rows name, each with its configuration.
    pub fn on_groups(&mut self, groups: BTreeMap<Name, GroupConfig>, now: Timestamp) {
        if self.groups == groups {
            return;
        }
        for (name, config) in &groups {
            if self.groups.get(name) != Some(config) {
                self.dispatch.on_group(name, *config, now);
            }
        }
        let before = std::mem::replace(&mut self.groups, groups);
        for name in before.keys().filter(|name| !self.groups.contains_key(*name)) {
            self.dispatch.on_group_removed(name, now);
        }
        // Reasons name the groups there are.
        self.parkings.stir_all(now);
        self.tell_ageings(now);
    }

    /// Tells shards whose offers age otherwise than they were told; others are told with the first that they show.
    fn tell_ageings(&mut self, now: Timestamp) {
        for (shard, stream) in &mut self.streams {
            let shapes = stream.offers.iter().filter_map(|task_run| self.dispatch.shape_of(*task_run));
            let shapes: BTreeSet<Arc<Shape>> = shapes.collect();
            for shape in shapes {
                if stream.tell_ageing(&shape, ageing(&self.dispatch, &shape, now)) {
                    self.dirty.insert(*shard);
                }
            }
        }
    }

    /// The most that a namespace's attempts may hold.
    pub fn on_quota(&mut self, namespace: &Name, quota: Quota) {
        self.dispatch.on_quota(namespace, quota);
    }

    /// A worker's row is new or changed. It gets nothing before its first heartbeat is given in; one that some
    /// master heard earlier will do.
    pub fn on_worker(&mut self, facts: WorkerFacts, now: Timestamp) {
        self.dispatch.on_worker(facts, now);
    }

    /// The loss of a worker's lives up to this one is committed, or its row is gone.
    pub fn on_worker_lost(&mut self, worker: &WorkerRef, now: Timestamp) {
        self.dispatch.on_worker_lost(worker, now);
        self.parkings.stir_all(now);
    }

    /// A heartbeat that arrived at some master at `heard_at`, by this master's clock.
    pub fn on_heartbeat(&mut self, worker: &WorkerRef, load: &Load, heard_at: Timestamp) {
        self.dispatch.on_heartbeat(worker, load, heard_at);
    }

    /// Nobody leads the shard, as far as is known, or it cannot be reached: nothing is granted to it before it has
    /// listed again. What its attempts hold stays held.
    pub fn on_shard_lost(&mut self, shard: u32) {
        if self.streams.contains_key(&shard) {
            self.freeze(shard);
            self.stream_mut(shard).phase = Phase::Broken;
        }
    }

    /// Grants in strict order until nothing more fits or `limit` is reached; returns how many. Call after every
    /// batch of news, again while it returns `limit`, then `poll_frames`.
    pub fn place(&mut self, now: Timestamp, limit: usize) -> usize {
        if !self.is_open(now) {
            return 0;
        }
        self.try_set_aside(now);
        let grants = self.dispatch.place(limit, &mut self.chance, now);
        let granted = grants.len();
        let mut lanes: BTreeSet<(u32, Arc<Shape>)> = BTreeSet::new();
        for grant in grants {
            lanes.extend(self.send_grant(grant));
        }
        for (shard, shape) in lanes {
            if self.dispatch.wants_more(&shape, shard) {
                let credits_max = self.config.credits_max;
                let ageing = ageing(&self.dispatch, &shape, now);
                self.stream_mut(shard).grow(&shape, credits_max, ageing);
            }
        }
        self.settle(now);
        granted
    }

    /// Frames to send now, each of at most `items_max` items.
    pub fn poll_frames(&mut self, items_max: usize) -> Vec<DispatcherFrame> {
        assert!(items_max > 0, "a frame holds something");
        let (dirty, rows) = (std::mem::take(&mut self.dirty), self.rows);
        dirty.into_iter().flat_map(|shard| self.stream_mut(shard).take_frames(items_max, rows)).collect()
    }

    /// When `expire` and `place` are wanted, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let opening = match &self.opening {
            Opening::Waiting { until, .. } => Some(*until),
            Opening::Open => None,
        };
        let others = [opening, self.dispatch.next_deadline(), self.parkings.next_deadline()];
        others.into_iter().flatten().min()
    }

    /// Ends what ends by time: grants nobody used, workers not heard, parkings to be told.
    pub fn expire(&mut self, now: Timestamp) {
        self.dispatch.expire(now);
        while let Some(shape) = self.parkings.pop_due(now) {
            let reasons = self.dispatch.explain_shape(&shape);
            // Without reasons something fits: it is placed next.
            if !reasons.is_empty() && self.parkings.tell(&shape, reasons, now) {
                self.tell_parked(&shape, now);
            }
        }
    }

    /// Never empty for a task run that is shown and waits; empty for one that is not shown here.
    pub fn explain(&self, task_run: TaskRunId) -> Vec<Reason> {
        let mut reasons = self.dispatch.explain(task_run);
        if let (Some(starting), false) = (self.starting(), reasons.is_empty()) {
            reasons.retain(|reason| !matches!(reason, Reason::Behind { ahead: 0, .. }));
            reasons.insert(0, starting);
        }
        reasons
    }

    /// Until it grants.
    fn starting(&self) -> Option<Reason> {
        let Opening::Waiting { shards, listed, .. } = &self.opening else { return None };
        let what = "a new Dispatcher collects what is ready, by shard".to_owned();
        Some(Reason::Starting { what, done: listed.len() as u64, total: u64::from(*shards) })
    }

    /// Why nothing of such a shape would be placed however long it waits; empty when it only needs its turn.
    pub fn would_wait(&self, shape: &Shape) -> Vec<Reason> {
        self.dispatch.would_wait(shape)
    }

    pub fn what_if(&self, task_run: TaskRunId, change: &Change) -> Option<Outcome> {
        Some(match (self.dispatch.what_if(task_run, change)?, self.starting()) {
            (Outcome::Starts { .. } | Outcome::Follows { .. }, Some(starting)) => {
                Outcome::Waits { reasons: vec![starting] }
            }
            (outcome, _) => outcome,
        })
    }

    /// The choices that a worker took part in, oldest first.
    pub fn trail(&self, worker: &Name) -> Vec<Line> {
        self.dispatch.trail(worker)
    }

    /// Counts for metrics and the shell; walks all shapes.
    pub fn counts_now(&self) -> DispatchCounts {
        self.dispatch.counts_now()
    }

    pub fn queues_now(&self) -> BTreeMap<Name, QueueNow> {
        self.dispatch.queues_now()
    }

    /// What the namespace's attempts and grants hold.
    pub fn quota_used(&self, namespace: &Name) -> Amounts {
        self.dispatch.quota_used(namespace)
    }

    /// How much each group could use.
    pub fn wanted(&self) -> BTreeMap<Name, Wanted> {
        let mut waits: BTreeMap<Name, Work> = BTreeMap::new();
        for (group, work) in self.streams.values().flat_map(|stream| &stream.works) {
            waits.entry(group.clone()).or_default().add(work);
        }
        let mut rooms = self.dispatch.group_rooms();
        for group in waits.keys() {
            rooms.entry(group.clone()).or_default();
        }
        let wanted = |(name, room): (Name, GroupRoom)| {
            let waiting = waits.get(&name).cloned().unwrap_or_default();
            (name, Wanted::of(&waiting, &room))
        };
        rooms.into_iter().map(wanted).collect()
    }

    /// What is reserved on a worker that is in.
    pub fn account(&self, worker: &WorkerRef) -> Option<WorkerAccount> {
        self.dispatch.account(worker)
    }

    fn is_open(&mut self, now: Timestamp) -> bool {
        if let Opening::Waiting { shards, listed, until } = &self.opening
            && (listed.len() >= *shards as usize || *until <= now)
        {
            self.opening = Opening::Open;
        }
        matches!(self.opening, Opening::Open)
    }

    /// Says whose lane has one offer less.
    fn send_grant(&mut self, grant: Grant) -> Option<(u32, Arc<Shape>)> {
        let shard = grant.task_run.run.shard();
        let shape = self.dispatch.shape_of(grant.task_run);
        self.stream_mut(shard).tell(DispatcherItem::Grant(grant));
        self.dirty.insert(shard);
        Some((shard, shape?))
    }

    /// Notes which shapes are parked, and tells those that they are not any more.
    fn settle(&mut self, now: Timestamp) {
        for shape in self.dispatch.take_changed() {
            if self.dispatch.is_stuck(&shape) {
                self.parkings.begin(&shape, now);
            } else if self.parkings.end(&shape) {
                self.tell_open(&shape);
            }
        }
        for shape in self.dispatch.take_stirred() {
            self.parkings.stir(&shape, now);
        }
    }

    /// Tells the shards that wait that nothing of the shape can be placed.
    fn tell_parked(&mut self, shape: &Arc<Shape>, now: Timestamp) {
        let Some(reasons) = self.parkings.told(shape) else { return };
        let ageing = ageing(&self.dispatch, shape, now);
        for shard in self.dispatch.shown_by(shape) {
            let stream = self.streams.get_mut(&shard).expect("who shows something has a stream");
            stream.tell_parked(shape, reasons, ageing);
            self.dirty.insert(shard);
        }
    }

    /// Takes back what was told of a parked shape.
    fn tell_open(&mut self, shape: &Arc<Shape>) {
        for (shard, stream) in &mut self.streams {
            if stream.tell_open(shape) {
                self.dirty.insert(*shard);
            }
        }
    }

    pub(super) fn stream_mut(&mut self, shard: u32) -> &mut Stream {
        self.streams.get_mut(&shard).expect("a shard that is spoken of has a stream")
    }
}

/// What to tell shards of the shape's group.
pub(super) fn ageing(dispatch: &Dispatch, shape: &Shape, now: Timestamp) -> Option<Ageing> {
    dispatch.ageing(&shape.group).map(|every| Ageing { every, now })
}
