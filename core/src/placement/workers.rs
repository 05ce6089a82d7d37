//! All workers as the Dispatcher sees them: who is in, how full each is, and which one is least loaded.
//! Must not know offers, streams or who made a reservation.

use std::collections::{BTreeMap, BTreeSet};

use super::offer::Shape;
use super::room::{Presence, Room, Voice, Worker};
use super::slab::Slab;
use super::worker::{Load, WorkerFacts};
use super::worker_groups::{GroupIndex, WorkerGroups};
use crate::id::{Incarnation, Name, WorkerRef};
use crate::time::{Span, Timestamp};

pub(super) type WorkerIndex = u32;

/// Best of all up to so many workers with room, best of that many above.
const CANDIDATES_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Workers {
    all: Slab<Worker>,
    by_ref: BTreeMap<WorkerRef, WorkerIndex>,
    pub(super) groups: WorkerGroups,
    /// When each heard worker falls silent.
    silences: BTreeSet<(Timestamp, WorkerIndex)>,
    silent_after: Span,
    /// Counts choices, so that equal workers take turns.
    turn: u64,
    /// Workers that something may fit now that did not before.
    woken: BTreeSet<WorkerIndex>,
    /// Groups about which the reasons changed.
    changed: BTreeSet<GroupIndex>,
}

/// Whose attempt begins to hold slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HoldSource {
    /// It was granted here just before.
    Grant,
    /// The worker's heartbeat may have counted it before we heard of it.
    Elsewhere,
}

impl Workers {
    pub(super) fn new(silent_after: Span) -> Workers {
        Workers {
            all: Slab::new(),
            by_ref: BTreeMap::new(),
            groups: WorkerGroups::new(),
            silences: BTreeSet::new(),
            silent_after,
            turn: 0,
            woken: BTreeSet::new(),
            changed: BTreeSet::new(),
        }
    }

    /// The index of a worker that is in, or about which something is reserved.
    pub(super) fn find(&self, worker: &WorkerRef) -> Option<WorkerIndex> {
        self.by_ref.get(worker).copied()
    }

    pub(super) fn get(&self, index: WorkerIndex) -> &Worker {
        &self.all[index]
    }

    /// A worker that is in; none when it left and its index may even be another's.
    pub(super) fn joined(&self, index: WorkerIndex) -> Option<&Worker> {
        self.all.get(index).filter(|worker| worker.joined().is_some())
    }

    /// A new or changed row. Earlier lives of the worker are over; says which of them were in.
    pub(super) fn join(&mut self, facts: WorkerFacts, now: Timestamp) -> Vec<WorkerIndex> {
        let name = facts.worker.name.clone();
        let newer = self.lives(&name, facts.worker.incarnation + 1..=Incarnation::MAX);
        if newer.iter().any(|index| self.all[*index].joined().is_some()) {
            return Vec::new();
        }
        let over = self.leave_lives(&name, facts.worker.incarnation.saturating_sub(1), now);
        let groups: Vec<GroupIndex> = facts.groups.iter().map(|group| self.groups.intern(group)).collect();
        let index = self.intern(&facts.worker);
        self.unlist(index);
        for group in self.all[index].groups().to_vec() {
            self.groups.leave(group, index, &name, now);
            self.changed.insert(group);
        }
        for group in &groups {
            self.groups.join(*group, index);
            self.changed.insert(*group);
        }
        self.all[index].join(facts, groups, now);
        self.relist(index, Room::None);
        over
    }

    /// All lives up to this one are over; says which of them were in.
    pub(super) fn lose(&mut self, worker: &WorkerRef, now: Timestamp) -> Vec<WorkerIndex> {
        self.leave_lives(&worker.name, worker.incarnation, now)
    }

    /// A heartbeat that reached some master at `heard_at`.
    pub(super) fn hear(&mut self, worker: &WorkerRef, load: Load, heard_at: Timestamp) {
        let Some(index) = self.find(worker) else { return };
        let Some(joined) = self.all[index].joined() else {
            return;
        };
        if let Voice::Heard { at } = joined.voice {
            if heard_at < at {
                return;
            }
            self.silences.remove(&(at.plus(self.silent_after), index));
        } else {
            self.changed.extend(joined.groups.iter().copied());
        }
        self.silences.insert((heard_at.plus(self.silent_after), index));
        self.change(index, |worker| worker.hear(load, heard_at));
    }

    /// Workers that were not heard for too long get nothing until they are heard again.
    pub(super) fn expire(&mut self, now: Timestamp) {
        while let Some((deadline, index)) = self.silences.first().copied() {
            if deadline > now {
                return;
            }
            self.silences.pop_first();
            self.unlist(index);
            self.changed.extend(self.all[index].groups().iter().copied());
            self.all[index].fall_silent();
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.silences.first().map(|(deadline, _)| *deadline)
    }

    /// The least loaded worker that the shape fits, those that waited longest for work first among equals.
    pub(super) fn choose(&self, group: GroupIndex, shape: &Shape) -> Option<WorkerIndex> {
        let group = self.groups.get(group);
        if group.most_free().is_none_or(|most| most < shape.slots) {
            return None;
        }
        let fits = |index: &WorkerIndex| self.all[*index].refusal(shape).is_none();
        let by_load = group.by_load().take(CANDIDATES_MAX).find(fits);
        by_load.or_else(|| {
            let roomy = group.by_free(shape.slots).filter(fits).take(CANDIDATES_MAX);
            roomy.min_by_key(|index| self.all[*index].load_key())
        })
    }

    pub(super) fn grant(&mut self, index: WorkerIndex, slots: u32) {
        self.turn += 1;
        let turn = self.turn;
        self.change(index, |worker| worker.grant(slots, turn));
    }

    pub(super) fn release_grant(&mut self, index: WorkerIndex, slots: u32) {
        self.change(index, |worker| worker.granted.release(slots));
        self.forget_if_unused(index);
    }

    /// An attempt of `slots` holds part of the worker, which need not be known yet.
    pub(super) fn hold(&mut self, worker: &WorkerRef, slots: u32, source: HoldSource) -> WorkerIndex {
        let index = self.intern(worker);
        self.change(index, |worker| worker.hold(slots, source));
        index
    }

    pub(super) fn release_hold(&mut self, index: WorkerIndex, slots: u32) {
        self.change(index, |worker| worker.held.release(slots));
        self.forget_if_unused(index);
    }

    /// It had no room for so many slots, by its own judgement; true until its next heartbeat.
    pub(super) fn note_refusal(&mut self, index: WorkerIndex, slots: u32) {
        self.change(index, |worker| worker.note_refusal(slots));
    }

    /// Workers that have more room than before, or a new row, since the last call. Some may be gone again.
    pub(super) fn take_woken(&mut self) -> BTreeSet<WorkerIndex> {
        std::mem::take(&mut self.woken)
    }

    /// Groups whose reasons may read differently, since the last call.
    pub(super) fn take_changed(&mut self) -> BTreeSet<GroupIndex> {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn note_changed(&mut self, group: GroupIndex) {
        self.changed.insert(group);
    }

    fn intern(&mut self, worker: &WorkerRef) -> WorkerIndex {
        if let Some(index) = self.find(worker) {
            return index;
        }
        let index = self.all.insert(Worker::new(worker.clone()));
        self.by_ref.insert(worker.clone(), index);
        index
    }

    fn lives(&self, name: &Name, which: std::ops::RangeInclusive<Incarnation>) -> Vec<WorkerIndex> {
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
            self.unlist(*index);
            if let Presence::Joined(joined) = self.all[*index].leave() {
                if let Voice::Heard { at } = joined.voice {
                    self.silences.remove(&(at.plus(self.silent_after), *index));
                }
                for group in joined.groups {
                    self.groups.leave(group, *index, name, now);
                    self.changed.insert(group);
                }
            }
        }
        left
    }

    /// Drops what is only a name, after everything reserved on it has gone.
    pub(super) fn forget_if_unused(&mut self, index: WorkerIndex) {
        if self.all.get(index).is_some_and(Worker::is_unused) {
            let worker = self.all.remove(index);
            self.by_ref.remove(&worker.id);
        }
    }

    fn change(&mut self, index: WorkerIndex, change: impl FnOnce(&mut Worker)) {
        self.unlist(index);
        let before = self.all[index].room();
        change(&mut self.all[index]);
        self.relist(index, before);
    }

    fn unlist(&mut self, index: WorkerIndex) {
        let worker = &self.all[index];
        if let Room::For { free } = worker.room() {
            for group in worker.groups() {
                self.groups.get_mut(*group).unlist(worker.load_key(), free, index);
            }
        }
    }

    /// Puts the worker where it belongs now, and notes it if it has more room than before.
    fn relist(&mut self, index: WorkerIndex, before: Room) {
        let worker = &self.all[index];
        let room = worker.room();
        let Room::For { free } = room else { return };
        for group in worker.groups() {
            self.groups.get_mut(*group).list(worker.load_key(), free, index);
        }
        if room > before {
            self.woken.insert(index);
        }
    }
}
