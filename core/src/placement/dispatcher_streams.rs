//! How shards' frames change what the Dispatcher knows: lists, single changes, restarts.
//! Must not know how workers are chosen.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::dispatcher::{OfferSlot, OfferState, Opening, Placement};
use super::frame::{EndedHow, ListState, OfferFrame, OfferItem};
use super::offer::{Offer, QueueKey, Shape};
use super::queues::{OfferIndex, ShapeIndex, Standing};
use super::streams::{Listing, Phase, Sequence, Stream, Told};
use super::workers::HoldSource;
use crate::id::{TaskRunId, WorkerRef};
use crate::time::Timestamp;

/// Shapes without an offer that are remembered for what was told of them; more are forgotten.
const SHAPES_IDLE_MAX: usize = 1024;

/// What became of an offer frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameTaken {
    Yes,
    /// Of another term's Dispatcher, an earlier epoch, or seen before: without effect.
    Old,
    /// Something before it is missing; the shard is asked for a list.
    AskedForList,
}

impl Placement {
    /// Takes a shard's word. Every frame taken is answered by the next `poll_frames`.
    pub fn on_offer_frame(&mut self, frame: OfferFrame, now: Timestamp) -> FrameTaken {
        let id = frame.stream;
        if id.dispatcher_term != self.term {
            return FrameTaken::Old;
        }
        let stream = self.streams.entry(id.shard).or_insert_with(|| Stream::new(id));
        let sequence = stream.sequence(&frame);
        if sequence == Sequence::Old {
            return FrameTaken::Old;
        }
        if id != stream.id {
            stream.turn_to(id, self.grants_made + 1);
        }
        let taken = match sequence {
            Sequence::Old => unreachable!("returned above"),
            Sequence::Begins => {
                self.freeze(id.shard);
                self.stream_mut(id.shard).begin(frame.number);
                self.take_page(frame, now);
                FrameTaken::Yes
            }
            Sequence::Follows => {
                self.stream_mut(id.shard).receive(frame.number);
                self.take_page(frame, now);
                FrameTaken::Yes
            }
            Sequence::Gap => {
                self.freeze(id.shard);
                let stream = self.stream_mut(id.shard);
                stream.phase = Phase::Broken;
                stream.ask_restart(frame.number);
                FrameTaken::AskedForList
            }
        };
        self.dirty.insert(id.shard);
        self.settle_workers(now);
        taken
    }

    fn take_page(&mut self, frame: OfferFrame, now: Timestamp) {
        let shard = frame.stream.shard;
        let ends = matches!(frame.list, ListState::End | ListState::Whole);
        match &mut self.stream_mut(shard).phase {
            Phase::Listing(listing) => {
                frame.items.into_iter().for_each(|item| listing.take(item));
                if ends {
                    self.end_list(shard, now);
                }
            }
            Phase::Synced => frame.items.into_iter().for_each(|item| self.take_item(shard, item)),
            Phase::Broken => unreachable!("a broken stream takes nothing but a list's beginning"),
        }
    }

    /// The list is complete: it replaces what was known of the shard.
    fn end_list(&mut self, shard: u32, now: Timestamp) {
        let stream = self.stream_mut(shard);
        let Phase::Listing(listing) = std::mem::replace(&mut stream.phase, Phase::Synced) else {
            unreachable!("only a list ends")
        };
        let Listing { offers, holds } = listing;
        self.replace_holds(shard, holds);
        let mut before = std::mem::take(&mut self.stream_mut(shard).offers);
        let granted_from = self.stream_mut(shard).granted_from;
        for offer in offers {
            // A grant that the shard may still use goes on; one of an earlier epoch is void.
            match before.remove(&offer.task_run) {
                Some(known) if self.is_granted_since(known, granted_from) => {
                    self.stream_mut(shard).offers.insert(offer.task_run, known);
                }
                Some(void) => {
                    self.discard(void);
                    self.show(shard, offer);
                }
                None => self.show(shard, offer),
            }
        }
        before.into_values().for_each(|void| self.discard(void));
        if let Opening::Waiting { listed, .. } = &mut self.opening {
            listed.insert(shard);
        }
        self.settle_workers(now);
    }

    fn replace_holds(&mut self, shard: u32, holds: Vec<(TaskRunId, WorkerRef, u32)>) {
        let mut before = std::mem::take(&mut self.stream_mut(shard).holds);
        let mut after = BTreeMap::new();
        for (task_run, worker, slots) in holds {
            let known = self.workers.find(&worker);
            let same = before.get(&task_run).filter(|(index, held)| Some(*index) == known && *held == slots);
            let hold = match same.copied() {
                Some(hold) => {
                    before.remove(&task_run);
                    hold
                }
                None => {
                    // Its grant, if it had one here, ends by not being listed; both count for a moment.
                    (self.workers.hold(&worker, slots, HoldSource::Elsewhere), slots)
                }
            };
            if let Some((worker, slots)) = after.insert(task_run, hold) {
                self.workers.release_hold(worker, slots);
            }
        }
        for (worker, slots) in before.into_values() {
            self.workers.release_hold(worker, slots);
        }
        self.stream_mut(shard).holds = after;
    }

    fn take_item(&mut self, shard: u32, item: OfferItem) {
        match item {
            OfferItem::Offer(offer) => {
                if let Some(known) = self.stream_mut(shard).offers.remove(&offer.task_run) {
                    self.discard(known);
                }
                self.show(shard, offer);
            }
            OfferItem::Withdraw(task_run) => {
                if let Some(known) = self.stream_mut(shard).offers.remove(&task_run) {
                    self.discard(known);
                }
            }
            OfferItem::Dispatched { task_run, worker, slots } => {
                self.on_dispatched(shard, task_run, &worker, slots);
            }
            OfferItem::Ended { task_run, how } => {
                if let Some((worker, slots)) = self.stream_mut(shard).holds.remove(&task_run) {
                    match how {
                        EndedHow::Refused => self.workers.note_refusal(worker, slots),
                        EndedHow::Finished => {}
                    }
                    self.workers.release_hold(worker, slots);
                }
            }
            OfferItem::GrantRefused { task_run, grant } => self.on_grant_refused(shard, task_run, grant),
        }
    }

    fn on_dispatched(&mut self, shard: u32, task_run: TaskRunId, worker: &WorkerRef, slots: u32) {
        let offer = self.stream_mut(shard).offers.remove(&task_run);
        let granted_on = offer.and_then(|offer| match self.offers[offer].state {
            OfferState::Granted { worker, .. } => Some(worker),
            OfferState::Waiting => None,
        });
        let source = match granted_on {
            Some(index) if self.workers.find(worker) == Some(index) => HoldSource::Grant,
            Some(_) | None => HoldSource::Elsewhere,
        };
        // Held first, so that the room is never free in between.
        let index = self.workers.hold(worker, slots, source);
        if let Some(offer) = offer {
            self.discard(offer);
        }
        if let Some((before, slots)) = self.stream_mut(shard).holds.insert(task_run, (index, slots)) {
            self.workers.release_hold(before, slots);
        }
    }

    fn on_grant_refused(&mut self, shard: u32, task_run: TaskRunId, grant: u64) {
        let Some(offer) = self.stream_mut(shard).offers.get(&task_run).copied() else {
            return;
        };
        let slot = &self.offers[offer];
        if let OfferState::Granted { worker, number, .. } = slot.state
            && number == grant
        {
            let slots = self.queues.get(slot.shape).shape.slots;
            self.workers.note_refusal(worker, slots);
            self.requeue(offer);
        }
    }

    /// An offer is new to us.
    fn show(&mut self, shard: u32, offer: Offer) {
        let Offer { task_run, shape, rank, since } = offer;
        let shape = self.intern_shape(&shape);
        self.queues.refer(shape);
        let key = QueueKey::new(&rank, task_run);
        let slot = OfferSlot { key, since, shape, shard, state: OfferState::Waiting };
        let index = self.offers.insert(slot);
        self.stream_mut(shard).offers.insert(task_run, index);
        self.enqueue(index);
    }

    fn intern_shape(&mut self, shape: &Arc<Shape>) -> ShapeIndex {
        self.queues.find(shape).unwrap_or_else(|| {
            let group = self.workers.groups.intern(&shape.group);
            self.queues.intern(shape, group)
        })
    }

    fn enqueue(&mut self, offer: OfferIndex) {
        let OfferSlot { key, shape, shard, .. } = self.offers[offer];
        self.queues.insert(shape, key, offer);
        let lane = self.stream_mut(shard).lane(shape);
        lane.waiting += 1;
        lane.peak = lane.peak.max(lane.waiting);
        if lane.told == Told::Open && self.queues.get(shape).standing == Standing::Settled {
            let reasons = self.explain_shape(shape);
            let name = self.queues.get(shape).shape.clone();
            self.stream_mut(shard).tell_parked(shape, &name, &reasons);
            self.dirty.insert(shard);
        }
    }

    /// Takes a waiting offer out of its queue.
    pub(super) fn unqueue(&mut self, offer: OfferIndex) {
        let OfferSlot { key, shape, shard, .. } = self.offers[offer];
        self.stream_mut(shard).lane(shape).waiting -= 1;
        if self.queues.get(shape).standing == Standing::Settled && self.queues.get(shape).waiting.len() == 1 {
            self.tell_open(shape);
        }
        self.queues.remove(shape, &key);
    }

    /// A grant came to nothing: its offer waits again, in its own place.
    pub(super) fn requeue(&mut self, offer: OfferIndex) {
        let OfferSlot { key, shape, shard, state, .. } = self.offers[offer];
        if !matches!(self.stream_mut(shard).phase, Phase::Synced) {
            // The list that is under way says whether it still waits.
            self.stream_mut(shard).offers.remove(&key.task_run());
            self.discard(offer);
            return;
        }
        if let OfferState::Granted { worker, .. } = state {
            self.workers.release_grant(worker, self.queues.get(shape).shape.slots);
            self.offers[offer].state = OfferState::Waiting;
            self.enqueue(offer);
        }
    }

    /// Forgets an offer that its stream does not name any more, with its grant.
    fn discard(&mut self, offer: OfferIndex) {
        match self.offers[offer].state {
            OfferState::Waiting => self.unqueue(offer),
            OfferState::Granted { worker, .. } => {
                let slots = self.queues.get(self.offers[offer].shape).shape.slots;
                self.workers.release_grant(worker, slots);
            }
        }
        let OfferSlot { shape, .. } = self.offers.remove(offer);
        if self.queues.unrefer(shape) == 0 && self.queues.len() > SHAPES_IDLE_MAX {
            for stream in self.streams.values_mut() {
                stream.lanes.remove(&shape);
            }
            self.forget_drained(shape);
            self.queues.forget(shape);
        }
    }

    /// Takes a stream's waiting offers out of the queues: they may not be true any more. Grants stay reserved.
    pub(super) fn freeze(&mut self, shard: u32) {
        let offers = &self.offers;
        let waiting = |index: &OfferIndex| offers[*index].state == OfferState::Waiting;
        let stream = self.streams.get_mut(&shard).expect("a frozen stream is there");
        let void: Vec<OfferIndex> = stream.offers.values().copied().filter(waiting).collect();
        stream.offers.retain(|_, index| !waiting(index));
        void.into_iter().for_each(|offer| self.discard(offer));
    }

    fn is_granted_since(&self, offer: OfferIndex, first: u64) -> bool {
        matches!(self.offers[offer].state, OfferState::Granted { number, .. } if number >= first)
    }

    /// Tells the shards that wait that nothing of the shape can be placed.
    pub(super) fn tell_parked(&mut self, shape: ShapeIndex) {
        let reasons = self.explain_shape(shape);
        let name = self.queues.get(shape).shape.clone();
        for (shard, stream) in &mut self.streams {
            if stream.lanes.get(&shape).is_some_and(|lane| lane.waiting > 0) {
                stream.tell_parked(shape, &name, &reasons);
                self.dirty.insert(*shard);
            }
        }
    }

    /// Takes back what was told of a parked shape.
    pub(super) fn tell_open(&mut self, shape: ShapeIndex) {
        let name = &self.queues.get(shape).shape;
        for (shard, stream) in &mut self.streams {
            if stream.tell_open(shape, name) {
                self.dirty.insert(*shard);
            }
        }
    }

    pub(super) fn stream_mut(&mut self, shard: u32) -> &mut Stream {
        self.streams.get_mut(&shard).expect("a shard that is spoken of has a stream")
    }
}
