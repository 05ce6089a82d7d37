//! All workers as the Dispatcher sees them: who is in, in which groups each takes work, and what has changed.
//! Must not know offers, queues or scores.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use super::account::{Patience, Presence, Voice, Worker};
use super::amounts::{Amounts, Resource};
use super::filters::standing;
use super::groups::{GroupIndex, Groups};
use super::health::{TaskTag, Trust};
use super::offer::KindTag;
use super::offer::Labels;
use super::pace::Pace;
use super::slab::Slab;
use super::worker::{Devices, Load, WorkerFacts};
use crate::id::{Incarnation, Name, WorkerRef};
use crate::time::{Span, Timestamp};

pub(super) type WorkerIndex = u32;
pub(super) type ClassIndex = u32;

/// Failing tasks that are remembered, to tell a task's fault from a worker's.
const FAILING_MAX: usize = 4096;
/// At most one in so many workers of a group is in quarantine: when more would go, it is not the workers.
const QUARANTINED_ONE_IN: usize = 5;
/// From so many members on, one may be in quarantine whatever the share.
const QUARANTINED_FROM: usize = 3;

#[derive(Debug)]
pub(super) struct Crowd {
    all: Slab<Worker>,
    by_ref: BTreeMap<WorkerRef, WorkerIndex>,
    pub(super) groups: Groups,
    classes: Slab<Class>,
    by_class: BTreeMap<Arc<ClassKey>, ClassIndex>,
    alarms: BTreeSet<(Timestamp, Alarm, WorkerIndex)>,
    /// Workers that something may fit now that did not before.
    touched: BTreeSet<WorkerIndex>,
    /// Groups in which the reasons may read differently.
    stirred: BTreeSet<GroupIndex>,
    /// Classes whose number another may get; whoever remembers something about them forgets it.
    pub(super) retired: Vec<ClassIndex>,
    /// Who failed on which worker last.
    failing: BTreeMap<TaskTag, WorkerIndex>,
    turn: u64,
    silent_after: Span,
    overload_patience: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    /// Not heard for too long.
    Silence,
    /// Over a limit for so long that it is tried, if idle.
    Patience,
    /// A quarantine ends.
    Trial,
}

#[derive(Debug)]
struct Class {
    key: Arc<ClassKey>,
    members: u32,
}

/// What decides which shapes a worker suits at all.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ClassKey {
    total: Amounts,
    kinds: Vec<KindTag>,
    labels: Labels,
}

impl Crowd {
    pub(super) fn new(silent_after: Span, overload_patience: Span) -> Crowd {
        Crowd {
            all: Slab::new(),
            by_ref: BTreeMap::new(),
            groups: Groups::new(),
            classes: Slab::new(),
            by_class: BTreeMap::new(),
            alarms: BTreeSet::new(),
            touched: BTreeSet::new(),
            stirred: BTreeSet::new(),
            retired: Vec::new(),
            failing: BTreeMap::new(),
            turn: 0,
            silent_after,
            overload_patience,
        }
    }

    /// The index of a worker that is in, or about which something is reserved.
    pub(super) fn find(&self, worker: &WorkerRef) -> Option<WorkerIndex> {
        self.by_ref.get(worker).copied()
    }

    /// The latest life of a worker of that name.
    pub(super) fn latest(&self, name: &Name) -> Option<WorkerIndex> {
        self.lives(name, 0..=Incarnation::MAX).pop()
    }

    pub(super) fn get(&self, index: WorkerIndex) -> &Worker {
        &self.all[index]
    }

    pub(super) fn get_mut(&mut self, index: WorkerIndex) -> &mut Worker {
        &mut self.all[index]
    }

    /// A worker that is known; none when it is gone.
    pub(super) fn known(&self, index: WorkerIndex) -> Option<&Worker> {
        self.all.get(index)
    }

    pub(super) fn class_count(&self) -> usize {
        self.classes.len()
    }

    /// A new or changed row. Earlier lives of the worker are over; says which of them were in.
    pub(super) fn join(&mut self, facts: WorkerFacts, now: Timestamp) -> Vec<WorkerIndex> {
        let (name, incarnation) = (facts.worker.name.clone(), facts.worker.incarnation);
        let newer = self.lives(&name, incarnation.saturating_add(1)..=Incarnation::MAX);
        if incarnation < Incarnation::MAX && newer.iter().any(|index| self.all[*index].joined().is_some()) {
            return Vec::new();
        }
        let over = match incarnation.checked_sub(1) {
            Some(before) => self.leave_lives(&name, before, now),
            None => Vec::new(),
        };
        let groups: BTreeSet<GroupIndex> =
            facts.groups.iter().map(|group| self.groups.intern(group)).collect();
        let index = self.intern(&facts.worker);
        let before = self.all[index].joined().map(|joined| {
            let listed = joined.memberships.iter().map(|member| (member.group, member.listed));
            (joined.class, listed.collect::<Vec<_>>())
        });
        let class = self.join_class(&facts);
        if let Some((class, left)) = before {
            self.leave_class(class);
            for (group, listed) in left {
                self.groups.get_mut(group).list(index, listed, None);
                if !groups.contains(&group) {
                    self.groups.leave(group, index, &name, now);
                    self.groups.forget_if_unused(group);
                }
            }
        }
        for group in &groups {
            self.groups.get_mut(*group).members.insert(index);
        }
        let groups: Vec<GroupIndex> = groups.into_iter().collect();
        self.all[index].join(facts, class, &groups, now);
        self.judge(index, now);
        self.changed(index);
        over
    }

    /// All lives up to this one are over; says which of them were in.
    pub(super) fn lose(&mut self, worker: &WorkerRef, now: Timestamp) -> Vec<WorkerIndex> {
        self.leave_lives(&worker.name, worker.incarnation, now)
    }

    /// A heartbeat that reached some master at `heard_at`.
    pub(super) fn hear(&mut self, worker: &WorkerRef, load: &Load, heard_at: Timestamp) {
        let Some(index) = self.find(worker) else { return };
        let Some(joined) = self.all[index].joined() else {
            return;
        };
        if let Voice::Heard { at } = joined.voice {
            if heard_at < at {
                return;
            }
            self.alarms.remove(&(at.plus(self.silent_after), Alarm::Silence, index));
        }
        self.alarms.insert((heard_at.plus(self.silent_after), Alarm::Silence, index));
        self.all[index].hear(load, heard_at);
        self.judge(index, heard_at);
        self.changed(index);
    }

    /// A group's limits changed.
    pub(super) fn judge_all(&mut self, group: GroupIndex, now: Timestamp) {
        let members: Vec<WorkerIndex> = self.groups.get(group).members.iter().copied().collect();
        for index in members {
            self.judge(index, now);
            self.changed(index);
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.alarms.first().map(|(at, _, _)| *at)
    }

    /// Does what time alone does to workers.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some((at, alarm, index)) = self.alarms.first().copied().filter(|(at, _, _)| *at <= now) {
            self.alarms.pop_first();
            let Some(worker) = self.all.get(index) else { continue };
            let Some(joined) = worker.joined() else { continue };
            match alarm {
                // Of a worker that had this index before: its own alarm is later.
                Alarm::Silence => match joined.voice {
                    Voice::Heard { at: heard } if heard.plus(self.silent_after) <= now => {
                        self.all[index].fall_silent();
                    }
                    _ => continue,
                },
                Alarm::Patience => self.lose_patience(index, now),
                Alarm::Trial => match joined.health.standing {
                    Trust::Quarantined { until } if until <= at => {
                        let joined = self.all[index].joined_mut().expect("it was in just now");
                        joined.health.standing = Trust::OnTrial;
                    }
                    _ => continue,
                },
            }
            self.changed(index);
        }
    }

    pub(super) fn grant(&mut self, index: WorkerIndex, amounts: &Amounts, devices: Devices) {
        self.turn += 1;
        let turn = self.turn;
        self.all[index].grant(amounts, devices, turn);
        self.relist(index);
    }

    pub(super) fn release_grant(&mut self, index: WorkerIndex, amounts: &Amounts, devices: Devices) {
        self.all[index].release_grant(amounts, devices);
        self.changed(index);
        self.forget_if_unused(index);
    }

    /// An attempt holds part of the worker, which need not be known yet.
    pub(super) fn hold(&mut self, worker: &WorkerRef, amounts: &Amounts, devices: Devices) -> WorkerIndex {
        let index = self.intern(worker);
        self.all[index].hold(amounts, devices);
        self.relist(index);
        index
    }

    pub(super) fn release_hold(&mut self, index: WorkerIndex, amounts: &Amounts, devices: Devices) {
        self.all[index].release_hold(amounts, devices);
        self.changed(index);
        self.forget_if_unused(index);
    }

    /// An attempt succeeded there; what it held is released next, which lists the worker anew.
    pub(super) fn succeeded(&mut self, index: WorkerIndex, tag: TaskTag) {
        self.failing.remove(&tag);
        if let Some(joined) = self.all[index].joined_mut() {
            joined.health.succeed();
        }
    }

    /// How fast a worker was found to be before; one that is not in is no matter.
    pub(super) fn recall(&mut self, worker: &WorkerRef, pace: &Pace) {
        let Some(index) = self.find(worker) else { return };
        if let Some(joined) = self.all[index].joined_mut() {
            joined.health.recall(pace);
            self.relist(index);
        }
    }

    /// An attempt failed there. A task that failed on another worker before is to blame itself.
    pub(super) fn failed(&mut self, index: WorkerIndex, tag: TaskTag, now: Timestamp) {
        let before = self.failing.insert(tag, index);
        if self.failing.len() > FAILING_MAX {
            self.failing.pop_first();
        }
        if before.is_some_and(|other| other != index) {
            return;
        }
        let Some(joined) = self.all[index].joined_mut() else { return };
        if joined.health.fail(tag) && self.may_quarantine(index) {
            let joined = self.all[index].joined_mut().expect("it was in just now");
            let until = joined.health.quarantine(now);
            self.alarms.insert((until, Alarm::Trial, index));
            self.changed(index);
        }
    }

    /// Workers that have changed, since the last call, other than by grants. Some may be gone again.
    pub(super) fn take_touched(&mut self) -> BTreeSet<WorkerIndex> {
        std::mem::take(&mut self.touched)
    }

    /// Groups of workers that have changed in whatever way, since the last call. Some may be gone again.
    pub(super) fn take_stirred(&mut self) -> BTreeSet<GroupIndex> {
        std::mem::take(&mut self.stirred)
    }

    /// The circuit breaker: in each of its groups few enough others are in quarantine.
    fn may_quarantine(&self, index: WorkerIndex) -> bool {
        let Some(joined) = self.all[index].joined() else { return false };
        joined.memberships.iter().all(|member| {
            let members = &self.groups.get(member.group).members;
            let distrusted = |other: &&WorkerIndex| {
                let joined = self.all[**other].joined();
                **other != index && joined.is_some_and(|joined| joined.health.standing != Trust::Full)
            };
            match members.iter().filter(distrusted).count() {
                0 => members.len() >= QUARANTINED_FROM,
                others => (others + 1) * QUARANTINED_ONE_IN <= members.len(),
            }
        })
    }

    fn judge(&mut self, index: WorkerIndex, now: Timestamp) {
        let groups = &self.groups;
        let Some(joined) = self.all[index].joined_mut() else { return };
        if !joined.judge(|group| groups.get(group).config.thresholds, now).is_empty() {
            self.alarms.insert((now.plus(self.overload_patience), Alarm::Patience, index));
        }
    }

    fn lose_patience(&mut self, index: WorkerIndex, now: Timestamp) {
        let patience = self.overload_patience;
        let Some(joined) = self.all[index].joined_mut() else { return };
        for over in joined.memberships.iter_mut().filter_map(|member| member.over.as_mut()) {
            if over.since.plus(patience) <= now {
                over.patience = Patience::Over;
            }
        }
    }

    fn intern(&mut self, worker: &WorkerRef) -> WorkerIndex {
        if let Some(index) = self.find(worker) {
            return index;
        }
        let index = self.all.insert(Worker::new(worker.clone()));
        self.by_ref.insert(worker.clone(), index);
        index
    }

    fn lives(&self, name: &Name, which: RangeInclusive<Incarnation>) -> Vec<WorkerIndex> {
        if which.is_empty() {
            return Vec::new();
        }
        let life = |incarnation| WorkerRef { name: name.clone(), incarnation };
        self.by_ref.range(life(*which.start())..=life(*which.end())).map(|(_, index)| *index).collect()
    }

    fn leave_lives(&mut self, name: &Name, up_to: Incarnation, now: Timestamp) -> Vec<WorkerIndex> {
        let mut left = self.lives(name, 0..=up_to);
        left.retain(|index| self.all[*index].joined().is_some());
        for index in &left {
            let Presence::Joined(joined) = self.all[*index].leave() else { continue };
            if let Voice::Heard { at } = joined.voice {
                self.alarms.remove(&(at.plus(self.silent_after), Alarm::Silence, *index));
            }
            for member in &joined.memberships {
                self.stirred.insert(member.group);
                self.groups.get_mut(member.group).list(*index, member.listed, None);
                self.groups.leave(member.group, *index, name, now);
                self.groups.forget_if_unused(member.group);
            }
            self.leave_class(joined.class);
            self.failing.retain(|_, worker| worker != index);
        }
        left
    }

    /// Drops what is only a name, after everything reserved on it has gone.
    pub(super) fn forget_if_unused(&mut self, index: WorkerIndex) {
        if self.all.get(index).is_some_and(Worker::is_unused) {
            let worker = self.all.remove(index);
            self.by_ref.remove(&worker.id);
            self.touched.remove(&index);
        }
    }

    fn join_class(&mut self, facts: &WorkerFacts) -> ClassIndex {
        let WorkerFacts { total, kinds, labels, .. } = facts;
        let mut kinds = kinds.clone();
        kinds.sort_unstable();
        let key = ClassKey { total: total.clone(), kinds, labels: labels.clone() };
        if let Some(index) = self.by_class.get(&key) {
            self.classes[*index].members += 1;
            return *index;
        }
        let key = Arc::new(key);
        let index = self.classes.insert(Class { key: key.clone(), members: 1 });
        self.by_class.insert(key, index);
        index
    }

    fn leave_class(&mut self, index: ClassIndex) {
        self.classes[index].members -= 1;
        if self.classes[index].members == 0 {
            let class = self.classes.remove(index);
            self.by_class.remove(&class.key);
            self.retired.push(index);
        }
    }

    /// More may fit a worker than before.
    pub(super) fn changed(&mut self, index: WorkerIndex) {
        self.touched.insert(index);
        if let Some(joined) = self.all[index].joined() {
            self.stirred.extend(joined.memberships.iter().map(|member| member.group));
        }
        self.relist(index);
    }

    /// Lists a worker in each of its groups where it takes work.
    fn relist(&mut self, index: WorkerIndex) {
        let worker = &self.all[index];
        let Some(joined) = worker.joined() else { return };
        let roomy = joined.free.get(&Resource::Slots) > 0;
        for place in 0..joined.memberships.len() {
            let worker = &self.all[index];
            let Some(joined) = worker.joined() else { return };
            let member = &joined.memberships[place];
            let open = standing(worker, joined, member).is_ok();
            let group = self.groups.get_mut(member.group);
            let key = || worker.load_key(group.config.policy);
            let (before, after) = (member.listed, (open && roomy).then(key));
            group.open.set(index, open);
            group.roomy.set(index, open && roomy);
            if before != after {
                group.list(index, before, after);
                if let Some(joined) = self.all[index].joined_mut() {
                    joined.memberships[place].listed = after;
                }
            }
        }
    }
}
