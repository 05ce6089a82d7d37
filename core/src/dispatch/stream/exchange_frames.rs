//! How shards' frames change what the Dispatcher knows: lists, single changes, restarts.
//! Must not know how workers are chosen.

use std::collections::BTreeSet;

use super::channel::{Listing, Phase, Sequence, Stream};
use super::exchange::{Exchange, Opening, ageing};
use super::frame::{Held, ListState, OfferFrame, OfferItem};
use crate::dispatch::{Ended, Offer, OfferRefused};
use crate::id::TaskRunId;
use crate::time::Timestamp;

/// Offers set aside that are tried again in one turn.
const TRIED_AGAIN: usize = 64;

/// What became of an offer frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameTaken {
    Yes,
    /// Of another term's Dispatcher, an earlier epoch, or seen before: without effect.
    Old,
    /// Something before it is missing; the shard is asked for a list.
    AskedForList,
}

impl Exchange {
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
            stream.turn_to(id, self.dispatch.grants_made() + 1);
        }
        self.dirty.insert(id.shard);
        match sequence {
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
        }
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
            Phase::Synced => frame.items.into_iter().for_each(|item| self.take_item(shard, item, now)),
            Phase::Broken => unreachable!("a broken stream takes nothing but a list's beginning"),
        }
    }

    /// The list is complete: it replaces what was known of the shard.
    fn end_list(&mut self, shard: u32, now: Timestamp) {
        let stream = self.stream_mut(shard);
        let Phase::Listing(listing) = std::mem::replace(&mut stream.phase, Phase::Synced) else {
            unreachable!("only a list ends")
        };
        let Listing { offers, holds, horizons, works, paces } = listing;
        stream.works = works;
        paces.iter().for_each(|(worker, pace)| self.dispatch.recall_pace(worker, pace));
        let stream = self.stream_mut(shard);
        let mut before = std::mem::take(&mut stream.offers);
        let granted_from = stream.granted_from;
        self.replace_holds(shard, holds, now);
        self.dispatch.on_source_listed(shard);
        for offer in offers {
            // A grant that the shard may still use goes on; one of an earlier epoch is void.
            before.remove(&offer.task_run);
            if self.dispatch.is_granted_since(&offer, granted_from) {
                self.stream_mut(shard).offers.insert(offer.task_run);
            } else {
                self.show(shard, offer, now);
            }
        }
        before.into_iter().for_each(|void| self.dispatch.withdraw(void));
        for (shape, hidden) in horizons {
            // Of a shape that there is no place for nothing is granted, so nothing can be out of order.
            let _ = self.dispatch.on_horizon(shard, &shape, hidden);
        }
        if let Opening::Waiting { listed, .. } = &mut self.opening {
            listed.insert(shard);
        }
    }

    fn replace_holds(&mut self, shard: u32, holds: Vec<(TaskRunId, Held)>, now: Timestamp) {
        let mut before = std::mem::take(&mut self.stream_mut(shard).holds);
        let mut after = BTreeSet::new();
        for (task_run, held) in holds {
            let facts = held.facts(task_run);
            if !self.dispatch.is_held_as(&facts) {
                self.dispatch.on_hold(&facts);
            }
            before.remove(&task_run);
            after.insert(task_run);
        }
        before.into_iter().for_each(|over| self.dispatch.ended(over, Ended::Otherwise, now));
        self.stream_mut(shard).holds = after;
    }

    fn take_item(&mut self, shard: u32, item: OfferItem, now: Timestamp) {
        match item {
            OfferItem::Offer(offer) => self.show(shard, offer, now),
            OfferItem::Withdraw(task_run) => {
                let stream = self.stream_mut(shard);
                stream.offers.remove(&task_run);
                stream.set_aside.remove(&task_run);
                self.dispatch.withdraw(task_run);
            }
            OfferItem::Horizon { shape, hidden } => {
                let _ = self.dispatch.on_horizon(shard, &shape, hidden);
            }
            OfferItem::Work { group, work } => _ = self.stream_mut(shard).works.insert(group, work),
            OfferItem::Pace { worker, pace } => self.dispatch.recall_pace(&worker, &pace),
            OfferItem::Dispatched { task_run, held } => {
                let stream = self.stream_mut(shard);
                stream.offers.remove(&task_run);
                stream.set_aside.remove(&task_run);
                stream.holds.insert(task_run);
                if self.dispatch.is_granted_as(task_run, &held) {
                    self.dispatch.dispatched(task_run);
                } else {
                    self.dispatch.on_hold(&held.facts(task_run));
                }
            }
            OfferItem::Ended { task_run, how } => {
                if self.stream_mut(shard).holds.remove(&task_run) {
                    self.dispatch.ended(task_run, how, now);
                }
            }
            OfferItem::GrantFailed { task_run, grant, why } => self.dispatch.failed(task_run, grant, why),
        }
    }

    /// An offer is new to us.
    fn show(&mut self, shard: u32, offer: Offer, now: Timestamp) {
        let (task_run, shape) = (offer.task_run, offer.shape.clone());
        match self.dispatch.offer(shard, offer.clone(), now) {
            Ok(()) => drop(self.stream_mut(shard).offers.insert(task_run)),
            Err(OfferRefused::TooManyShapes { .. }) => {
                self.stream_mut(shard).set_aside.insert(task_run, offer);
            }
            // No book makes one; it can never be placed.
            Err(OfferRefused::Requests { .. }) => {}
        }
        let stream = self.streams.get_mut(&shard).expect("a shard that is spoken of has a stream");
        let ageing = ageing(&self.dispatch, &shape, now);
        if stream.tell_ageing(&shape, ageing) {
            self.dirty.insert(shard);
        }
        if let Some(reasons) = self.parkings.told(&shape)
            && !stream.is_told_parked(&shape)
        {
            stream.tell_parked(&shape, reasons, ageing);
            self.dirty.insert(shard);
        }
        let dispatch = &self.dispatch;
        stream.forget_lanes(|shape| dispatch.shown_by(shape).contains(&shard));
    }

    /// Tries a few of those again for which there was no place.
    pub(super) fn try_set_aside(&mut self, now: Timestamp) {
        let shards: Vec<u32> = self.streams.keys().copied().collect();
        for shard in shards {
            for _ in 0..TRIED_AGAIN {
                let stream = self.stream_mut(shard);
                let before = stream.set_aside.len();
                let Some((_, offer)) = stream.set_aside.pop_first() else { break };
                self.show(shard, offer, now);
                if self.stream_mut(shard).set_aside.len() == before {
                    break;
                }
            }
        }
    }

    /// Takes a stream's waiting offers out of the queues: they may not be true any more. Grants stay reserved.
    pub(super) fn freeze(&mut self, shard: u32) {
        self.dispatch.on_source_lost(shard);
        self.stream_mut(shard).set_aside.clear();
    }
}
