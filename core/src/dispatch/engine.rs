//! The Dispatcher without streams: queues of what is ready, accounts of workers, and the news about both. News go in,
//! grants come out; `now` and chance are arguments. Must not know rows, frames, actors or clocks.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::amounts::Amounts;
use super::crowd::{Crowd, WorkerIndex};
use super::groups::GroupConfig;
use super::offer::{QueueKey, ZoneWish};
use super::queues::{OfferIndex, Queues, ShapeIndex, Source, Standing, ZoneStanding};
use super::quotas::{AccountIndex, Quota, Quotas};
use super::score::Candidate;
use super::slab::Slab;
use super::trail::Line;
use super::worker::{Devices, Load, WorkerFacts};
use crate::definition::Priority;
use crate::id::{Name, TaskRunId, WorkerRef};
use crate::time::{Span, Timestamp};

/// What the Dispatcher may be told to do differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DispatchConfig {
    /// How long a shard may use a grant. Its room stays reserved twice as long, so that a use at the last moment is
    /// still covered when it is heard of.
    pub grant_life: Span,
    /// A worker that was not heard for this long gets nothing: four heartbeats by default.
    pub silent_after: Span,
    /// A worker over a limit that runs nothing of ours is tried after so long.
    pub overload_patience: Span,
    pub mistake: Mistake,
}

impl Default for DispatchConfig {
    fn default() -> DispatchConfig {
        DispatchConfig {
            grant_life: Span::from_millis(500),
            silent_after: Span::from_millis(2000),
            overload_patience: Span::from_secs(30),
            mistake: Mistake::None,
        }
    }
}

/// A deliberate mistake, to see that tests find it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mistake {
    /// The product as it is.
    #[default]
    None,
    /// A grant that came to nothing puts its offer behind all others.
    RequeuesAtTheTail,
    /// A worker that changed wakes nobody.
    WakesNobody,
    /// What a refused grant reserved stays reserved.
    KeepsRefusedReservations,
    /// Devices of attempts that an earlier Dispatcher granted are free.
    ForgetsHeldDevices,
    /// Of attempts that an earlier Dispatcher granted, slots alone are counted.
    CountsHeldSlotsOnly,
    /// A quota stays what it was when it was first heard of.
    KeepsFirstQuotas,
}

/// One Dispatcher's term.
#[derive(Debug)]
pub struct Dispatch {
    pub(super) config: DispatchConfig,
    pub(super) crowd: Crowd,
    pub(super) queues: Queues,
    pub(super) quotas: Quotas,
    pub(super) offers: Slab<OfferSlot>,
    pub(super) by_task: BTreeMap<TaskRunId, OfferIndex>,
    /// Sources that are not led, or have not listed.
    pub(super) lost: BTreeSet<Source>,
    pub(super) holds: BTreeMap<TaskRunId, Hold>,
    /// Names of held devices whose worker has not come in yet: which of its own they are it says itself.
    pub(super) unnamed: BTreeMap<TaskRunId, Vec<String>>,
    /// Grants in the order they were made; an entry counts only while its grant does.
    pub(super) grants: VecDeque<(Timestamp, u64, OfferIndex)>,
    pub(super) grants_made: u64,
    /// When waiting offers rise, and when zones stop to matter.
    pub(super) alarms: BTreeSet<(Timestamp, Alarm)>,
    /// Kept to save allocations; empty between calls.
    pub(super) scratch: Vec<Candidate>,
}

#[derive(Debug)]
pub(super) struct OfferSlot {
    /// With the priority it has risen to.
    pub(super) key: QueueKey,
    pub(super) asked: Priority,
    pub(super) since: Timestamp,
    pub(super) shape: ShapeIndex,
    pub(super) source: Source,
    pub(super) state: OfferState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OfferState {
    Waiting,
    Granted { worker: WorkerIndex, request: u8, devices: Devices, number: u64, at: Timestamp },
}

/// What a dispatched attempt holds.
#[derive(Debug)]
pub(super) struct Hold {
    pub(super) worker: WorkerIndex,
    pub(super) amounts: Amounts,
    pub(super) devices: Devices,
    pub(super) account: AccountIndex,
    /// Whose spread counts it.
    pub(super) spread: Option<ShapeIndex>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    Rise(OfferIndex),
    Zone(ShapeIndex),
}

/// Counts for metrics and the shell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DispatchCounts {
    pub waiting: u64,
    pub granted: u64,
    pub held: u64,
    pub shapes: u64,
    pub shapes_without_room: u64,
    pub shapes_without_quota: u64,
    /// Different kinds of workers.
    pub classes: u64,
}

/// What is reserved on a worker that is in, and what is free by reservations and measurements.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerAccount {
    pub reserved: Amounts,
    pub free: Amounts,
    pub held: u32,
    pub granted: u32,
    pub slowness: f64,
}

impl Dispatch {
    pub fn new(config: DispatchConfig) -> Dispatch {
        Dispatch {
            crowd: Crowd::new(config.silent_after, config.overload_patience),
            config,
            queues: Queues::new(),
            quotas: Quotas::default(),
            offers: Slab::new(),
            by_task: BTreeMap::new(),
            lost: BTreeSet::new(),
            holds: BTreeMap::new(),
            unnamed: BTreeMap::new(),
            grants: VecDeque::new(),
            grants_made: 0,
            alarms: BTreeSet::new(),
            scratch: Vec::new(),
        }
    }

    /// A worker group that the membership rows name, or its new configuration.
    pub fn on_group(&mut self, name: &Name, config: GroupConfig, now: Timestamp) {
        let index = self.crowd.groups.intern(name);
        let group = self.crowd.groups.get_mut(index);
        let ages = group.config.ageing != config.ageing;
        (group.config, group.declared) = (config, true);
        self.crowd.judge_all(index, now);
        if ages {
            self.age_anew(index, now);
        }
    }

    /// The membership rows do not name the group any more. What waits for it goes on waiting.
    pub fn on_group_removed(&mut self, name: &Name, now: Timestamp) {
        // Whoever still waits for it, waits for a group like any that was never named.
        self.on_group(name, GroupConfig::default(), now);
        let index = self.crowd.groups.intern(name);
        let group = self.crowd.groups.get_mut(index);
        (group.declared, group.last_left) = (false, None);
        self.crowd.groups.forget_if_unused(index);
    }

    /// The most that a namespace's attempts may hold.
    pub fn on_quota(&mut self, namespace: &Name, quota: Quota) {
        if self.config.mistake == Mistake::KeepsFirstQuotas && self.quotas.has_any(namespace) {
            return;
        }
        for shape in self.quotas.set(namespace, quota) {
            self.queues.widen(shape);
        }
    }

    /// A worker's row is new or changed. It gets nothing before its first heartbeat is given in; one that some
    /// master heard earlier will do.
    pub fn on_worker(&mut self, facts: WorkerFacts, now: Timestamp) {
        let worker = facts.worker.clone();
        let over = self.crowd.join(facts, now);
        self.name_devices(&worker);
        self.forget_classes();
        self.recount_spreads();
        self.on_lives_over(&over);
    }

    /// The loss of a worker's lives up to this one is committed, or its row is gone.
    pub fn on_worker_lost(&mut self, worker: &WorkerRef, now: Timestamp) {
        let over = self.crowd.lose(worker, now);
        self.forget_classes();
        self.recount_spreads();
        self.on_lives_over(&over);
    }

    /// A heartbeat that arrived at some master at `heard_at`, by this master's clock.
    pub fn on_heartbeat(&mut self, worker: &WorkerRef, load: &Load, heard_at: Timestamp) {
        self.crowd.hear(worker, load, heard_at);
    }

    /// When `expire` and `place` are wanted, if nothing happens before.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let grant = self.grants.iter().find(|entry| self.counts(entry));
        let grant = grant.map(|(at, _, _)| at.plus(self.grant_kept()));
        let alarm = self.alarms.first().map(|(at, _)| *at);
        [grant, alarm, self.crowd.next_deadline()].into_iter().flatten().min()
    }

    /// Ends what ends by time: grants nobody used, workers not heard, waits for a zone.
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
        self.crowd.expire(now);
        while let Some((at, alarm)) = self.alarms.first().copied().filter(|(at, _)| *at <= now) {
            self.alarms.remove(&(at, alarm));
            match alarm {
                Alarm::Rise(offer) => self.rise(offer, now),
                Alarm::Zone(shape) => self.relax(shape, at),
            }
        }
    }

    /// Walks all shapes.
    pub fn counts_now(&self) -> DispatchCounts {
        let mut counts = DispatchCounts { held: self.holds.len() as u64, ..DispatchCounts::default() };
        for shape in self.queues.indices() {
            let queue = self.queues.get(shape);
            counts.shapes += 1;
            counts.shapes_without_room += u64::from(queue.standing == Standing::NoRoom);
            counts.shapes_without_quota += u64::from(queue.standing == Standing::NoQuota);
            counts.waiting += queue.waiting.len() as u64;
        }
        counts.granted = self.offers.len() as u64 - counts.waiting;
        counts.classes = self.crowd.class_count() as u64;
        counts
    }

    pub fn account(&self, worker: &WorkerRef) -> Option<WorkerAccount> {
        let worker = self.crowd.get(self.crowd.find(worker)?);
        let joined = worker.joined()?;
        Some(WorkerAccount {
            reserved: worker.reserved.clone(),
            free: joined.free.clone(),
            held: worker.held,
            granted: worker.granted,
            slowness: joined.health.slowness(),
        })
    }

    /// What the namespace's attempts and grants hold.
    pub fn quota_used(&self, namespace: &Name) -> Amounts {
        self.quotas.used(namespace)
    }

    /// The choices that a worker took part in, oldest first.
    pub fn trail(&self, worker: &Name) -> Vec<Line> {
        let joined = self.crowd.latest(worker).and_then(|index| self.crowd.get(index).joined());
        joined.map(|joined| joined.trail.iter().cloned().collect()).unwrap_or_default()
    }

    /// Lives that are over free nothing for others, but what was granted on them goes back to its place.
    fn on_lives_over(&mut self, over: &[WorkerIndex]) {
        if over.is_empty() {
            return;
        }
        let on_them = |entry: &&(Timestamp, u64, OfferIndex)| match self.state_of(entry) {
            Some(OfferState::Granted { worker, .. }) => over.contains(&worker),
            Some(OfferState::Waiting) | None => false,
        };
        let void: Vec<OfferIndex> = self.grants.iter().filter(on_them).map(|entry| entry.2).collect();
        void.into_iter().for_each(|offer| self.requeue(offer));
        over.iter().for_each(|worker| self.crowd.forget_if_unused(*worker));
    }

    /// The wait for a zone is over, if it is still that wait.
    fn relax(&mut self, shape: ShapeIndex, at: Timestamp) {
        let Some(queue) = self.queues.known_mut(shape) else { return };
        if let (ZoneStanding::Blocked { since }, ZoneWish::Near { wait, .. }) =
            (queue.zone, &queue.shape.zone)
            && since.plus(*wait) <= at
        {
            queue.zone = ZoneStanding::Relaxed;
            self.queues.widen(shape);
        }
    }

    fn forget_classes(&mut self) {
        let retired = std::mem::take(&mut self.crowd.retired);
        if retired.is_empty() {
            return;
        }
        let shapes: Vec<ShapeIndex> = self.queues.indices().collect();
        for shape in shapes {
            let suits = &mut self.queues.get_mut(shape).suits;
            for class in &retired {
                if let Some(known) = suits.get_mut(*class as usize) {
                    *known = super::queues::Suits::Unknown;
                }
            }
        }
    }

    pub(super) fn grant_kept(&self) -> Span {
        Span(self.config.grant_life.0.saturating_mul(2))
    }

    fn state_of(&self, (_, number, offer): &(Timestamp, u64, OfferIndex)) -> Option<OfferState> {
        let state = self.offers.get(*offer)?.state;
        matches!(state, OfferState::Granted { number: current, .. } if current == *number).then_some(state)
    }

    fn counts(&self, entry: &(Timestamp, u64, OfferIndex)) -> bool {
        self.state_of(entry).is_some()
    }

    pub(super) fn drop_void(&mut self) {
        while self.grants.front().is_some_and(|entry| !self.counts(entry)) {
            self.grants.pop_front();
        }
    }
}
