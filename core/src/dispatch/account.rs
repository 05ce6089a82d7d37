//! One worker's account: what it has, what is reserved on it, what it measured beyond that, and what is free.
//! Must not know other workers, shapes or scores.

use std::collections::VecDeque;

use super::amounts::Amounts;
use super::crowd::ClassIndex;
use super::groups::{GroupIndex, LoadKey, Policy};
use super::health::{Health, Trust};
use super::trail::{LINES_MAX, Line};
use super::worker::WorkerState;
use super::worker::{Devices, Load, Metric, Metrics, TakenDevices, WorkerFacts};
use crate::id::WorkerRef;
use crate::time::{Span, Timestamp};

/// Refusals of a worker that are remembered until its next heartbeat.
const REFUSED_MAX: usize = 4;
/// A worker over a limit counts as over it until it is so much below: otherwise it would flap around the limit.
const RELIEF: f64 = 0.95;
/// Least warmth of a young worker: it gets something, or nothing would ever be learned about it.
const WARMTH_LEAST: f64 = 1.0 / 16.0;
/// From here on a host is full; less than one, since sums of shares are not exact.
const SATURATED: f64 = 1.0 - 1e-6;
/// A load of one in whole numbers, for an ordered set.
const LOAD_ONE: f64 = (1u64 << 20) as f64;

#[derive(Clone, Debug)]
pub(super) struct Worker {
    pub(super) id: WorkerRef,
    /// Attempts that shards report, and grants that are not settled.
    pub(super) held: u32,
    pub(super) granted: u32,
    pub(super) reserved: Amounts,
    pub(super) devices: TakenDevices,
    pub(super) presence: Presence,
}

#[derive(Clone, Debug)]
pub(super) enum Presence {
    /// Only a name: its row is gone or has not come yet.
    Absent,
    Joined(Box<Joined>),
}

#[derive(Clone, Debug)]
pub(super) struct Joined {
    pub(super) free: Amounts,
    pub(super) class: ClassIndex,
    pub(super) voice: Voice,
    pub(super) memberships: Vec<Membership>,
    pub(super) health: Health,
    /// When it was last chosen.
    pub(super) turn: u64,
    pub(super) since: Timestamp,
    /// What two heartbeats measured that no reservation explained. The lesser counts, so that an attempt that ended
    /// between a heartbeat's sending and its arrival does not.
    excess: [Amounts; 2],
    /// The same for how busy the host is.
    excess_busy: [f64; 2],
    /// What it has refused since its last heartbeat.
    refused: Vec<Amounts>,
    pub(super) facts: WorkerFacts,
    pub(super) metrics: Metrics,
    pub(super) trail: VecDeque<Line>,
}

/// A worker's part in one group.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    pub(super) group: GroupIndex,
    pub(super) over: Option<Over>,
    /// Its credit in smooth weighted round robin.
    pub(super) credit: f64,
    /// Its place among the group's workers with room.
    pub(super) listed: Option<LoadKey>,
}

/// A limit that is exceeded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Over {
    pub(super) metric: Metric,
    pub(super) value: f64,
    pub(super) limit: f64,
    pub(super) since: Timestamp,
    pub(super) patience: Patience,
}

/// Whether a worker over a limit that runs nothing of ours is to be tried all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    Left,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    NotYet { joined_at: Timestamp },
    Heard { at: Timestamp },
    Silent { since: Timestamp },
}

impl Worker {
    pub(super) fn new(id: WorkerRef) -> Worker {
        Worker {
            id,
            held: 0,
            granted: 0,
            reserved: Amounts::default(),
            devices: TakenDevices::default(),
            presence: Presence::Absent,
        }
    }

    pub(super) fn joined(&self) -> Option<&Joined> {
        match &self.presence {
            Presence::Joined(joined) => Some(joined),
            Presence::Absent => None,
        }
    }

    pub(super) fn joined_mut(&mut self) -> Option<&mut Joined> {
        match &mut self.presence {
            Presence::Joined(joined) => Some(joined),
            Presence::Absent => None,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.held == 0 && self.granted == 0
    }

    pub(super) fn is_unused(&self) -> bool {
        self.is_idle() && self.joined().is_none()
    }

    pub(super) fn join(
        &mut self,
        facts: WorkerFacts,
        class: ClassIndex,
        groups: &[GroupIndex],
        now: Timestamp,
    ) {
        let member = |group: &GroupIndex| Membership { group: *group, over: None, credit: 0.0, listed: None };
        let memberships = groups.iter().map(member).collect();
        match &mut self.presence {
            Presence::Joined(joined) => {
                joined.facts = facts;
                joined.class = class;
                joined.memberships = memberships;
            }
            Presence::Absent => {
                self.presence = Presence::Joined(Box::new(Joined {
                    free: Amounts::default(),
                    class,
                    voice: Voice::NotYet { joined_at: now },
                    memberships,
                    health: Health::new(),
                    turn: 0,
                    since: now,
                    excess: [Amounts::default(), Amounts::default()],
                    excess_busy: [0.0, 0.0],
                    refused: Vec::new(),
                    facts,
                    metrics: Metrics::ZERO,
                    trail: VecDeque::new(),
                }));
            }
        }
        self.count_free();
    }

    pub(super) fn leave(&mut self) -> Presence {
        std::mem::replace(&mut self.presence, Presence::Absent)
    }

    pub(super) fn hear(&mut self, load: &Load, at: Timestamp) {
        let (reserved, share) = (self.reserved.clone(), self.reserved_after(&Amounts::default()));
        let Some(joined) = self.joined_mut() else { return };
        // A host's use counts our attempts too, so the larger of both is what is gone.
        let excess = largest(&load.running, &load.used).less(&reserved);
        let busy = (load.busy() - share).max(0.0);
        let before = match joined.voice {
            // The first one has none before it to compare with, and counts alone.
            Voice::NotYet { .. } => (excess.clone(), busy),
            Voice::Heard { .. } | Voice::Silent { .. } => (joined.excess[1].clone(), joined.excess_busy[1]),
        };
        joined.excess = [before.0, excess];
        joined.excess_busy = [before.1, busy];
        joined.voice = Voice::Heard { at };
        joined.metrics = load.metrics;
        joined.refused.clear();
        self.count_free();
    }

    pub(super) fn fall_silent(&mut self) {
        if let Some(joined) = self.joined_mut()
            && let Voice::Heard { at } = joined.voice
        {
            joined.voice = Voice::Silent { since: at };
        }
    }

    pub(super) fn grant(&mut self, amounts: &Amounts, devices: Devices, turn: u64) {
        self.granted += 1;
        self.reserve(amounts, devices);
        if let Some(joined) = self.joined_mut() {
            joined.turn = turn;
        }
    }

    pub(super) fn release_grant(&mut self, amounts: &Amounts, devices: Devices) {
        self.granted -= 1;
        self.release(amounts, devices);
    }

    /// An attempt was dispatched by a grant of ours.
    pub(super) fn hold_what_was_granted(&mut self) {
        self.granted -= 1;
        self.held += 1;
    }

    /// An attempt holds part of it that we did not grant.
    pub(super) fn hold(&mut self, amounts: &Amounts, devices: Devices) {
        self.held += 1;
        if let Some(joined) = self.joined_mut() {
            // What was measured without an owner now has one.
            joined.excess = [joined.excess[0].less(amounts), joined.excess[1].less(amounts)];
        }
        self.reserve(amounts, devices);
    }

    /// Which devices those are that one attempt holds.
    pub(super) fn hold_devices(&mut self, devices: Devices) {
        self.devices.take(devices);
    }

    pub(super) fn release_hold(&mut self, amounts: &Amounts, devices: Devices) {
        self.held -= 1;
        self.release(amounts, devices);
    }

    fn reserve(&mut self, amounts: &Amounts, devices: Devices) {
        self.reserved.add(amounts);
        self.devices.take(devices);
        self.count_free();
    }

    fn release(&mut self, amounts: &Amounts, devices: Devices) {
        self.reserved.subtract(amounts);
        self.devices.give_back(devices);
        self.count_free();
    }

    /// It had no room for so much, by its own judgement; true until its next heartbeat.
    pub(super) fn note_refusal(&mut self, amounts: &Amounts) {
        if let Some(joined) = self.joined_mut()
            && joined.refused.len() < REFUSED_MAX
        {
            joined.refused.push(amounts.clone());
        }
    }

    fn count_free(&mut self) {
        if let Presence::Joined(joined) = &mut self.presence {
            let excess = joined.excess[0].least(&joined.excess[1]);
            joined.free = joined.facts.total.less(&self.reserved).less(&excess);
        }
    }

    /// How full it is by reservations alone, of the fullest resource, after it takes `request` as well.
    pub(super) fn reserved_after(&self, request: &Amounts) -> f64 {
        let Some(joined) = self.joined() else { return 1.0 };
        let total = &joined.facts.total;
        total.less(&self.reserved).load_after(request, total)
    }

    /// Where it stands among others before any request, as the policy sees it. Less is emptier and faster, then the one
    /// chosen longest ago; for packing, what is packed most is the greatest and saturated hosts are the least.
    pub(super) fn load_key(&self, policy: Policy) -> LoadKey {
        let (slowness, turn) =
            self.joined().map_or((1.0, 0), |joined| (joined.health.slowness(), joined.turn));
        let nothing = Amounts::default();
        let load = match policy {
            Policy::BinPack if self.is_saturated() => 0.0,
            Policy::BinPack => 1.0 + self.reserved_after(&nothing),
            Policy::LeastLoaded | Policy::WeightedRoundRobin | Policy::RoundRobin | Policy::Random => {
                (1.0 + self.load_after(&nothing)) * slowness
            }
        };
        LoadKey { load: (load * LOAD_ONE) as u64, turn }
    }

    /// Reserved + measured, of the fullest resource, after it takes `request` as well: 1 is full.
    pub(super) fn load_after(&self, request: &Amounts) -> f64 {
        let Some(joined) = self.joined() else { return 1.0 };
        let reserved = joined.free.load_after(request, &joined.facts.total);
        reserved.max(self.reserved_after(request) + joined.measured_busy())
    }

    /// Whether the host has nothing left to give by measurement, though slots may be free.
    pub(super) fn is_saturated(&self) -> bool {
        self.joined().is_some_and(|joined| {
            let busy = joined.measured_busy();
            busy > 0.0 && self.reserved_after(&Amounts::default()) + busy >= SATURATED
        })
    }
}

impl Joined {
    /// How busy the host is beyond what is reserved, 0 to 1.
    fn measured_busy(&self) -> f64 {
        self.excess_busy[0].min(self.excess_busy[1])
    }

    pub(super) fn membership(&self, group: GroupIndex) -> Option<&Membership> {
        self.memberships.iter().find(|member| member.group == group)
    }

    /// Whether it said itself that it has no room for so much.
    pub(super) fn has_refused(&self, request: &Amounts) -> bool {
        self.refused.iter().any(|refused| refused.fit(request))
    }

    pub(super) fn is_up(&self) -> bool {
        self.facts.state == WorkerState::Up
    }

    /// Compares what was measured with the limits that count in each group; says which groups it is newly over in.
    pub(super) fn judge(
        &mut self,
        limits: impl Fn(GroupIndex) -> Metrics,
        now: Timestamp,
    ) -> Vec<GroupIndex> {
        let mut newly = Vec::new();
        for member in &mut self.memberships {
            let limits = self.facts.thresholds.or(&limits(member.group));
            let before = member.over;
            let is_over = |metric: &Metric| {
                let relief = if before.is_some_and(|over| over.metric == *metric) { RELIEF } else { 1.0 };
                self.metrics.of(*metric) > limits.of(*metric) * relief
            };
            member.over = Metric::ALL.iter().find(|metric| is_over(metric)).map(|metric| Over {
                metric: *metric,
                value: self.metrics.of(*metric),
                limit: limits.of(*metric),
                since: before.map_or(now, |over| over.since),
                patience: before.map_or(Patience::Left, |over| over.patience),
            });
            if member.over.is_some() && before.is_none() {
                newly.push(member.group);
            }
        }
        newly
    }

    /// How much of its share a young worker gets.
    pub(super) fn warmth(&self, slow_start: Span, now: Timestamp) -> f64 {
        if slow_start.0 == 0 {
            return 1.0;
        }
        (now.since(self.since).0 as f64 / slow_start.0 as f64).clamp(WARMTH_LEAST, 1.0)
    }

    pub(super) fn is_trusted(&self, idle: bool) -> bool {
        match self.health.standing {
            Trust::Full => true,
            Trust::OnTrial => idle,
            Trust::Quarantined { .. } => false,
        }
    }

    pub(super) fn remember(&mut self, line: Line) {
        if self.trail.len() == LINES_MAX {
            self.trail.pop_front();
        }
        self.trail.push_back(line);
    }
}

/// The larger of both, of each resource.
fn largest(one: &Amounts, other: &Amounts) -> Amounts {
    let mut sum = one.clone();
    sum.add(&other.less(one));
    sum
}
