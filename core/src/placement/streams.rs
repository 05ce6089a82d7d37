//! The Dispatcher's end of one shard's stream: numbers, what it showed and holds, and what is to be told.
//! Must not know workers or ranks.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::frame::{
    CREDITS_INITIAL, Credit, DispatcherFrame, DispatcherItem, ListState, OfferFrame, OfferItem, StreamId,
};
use super::offer::{Offer, Shape};
use super::queues::{OfferIndex, ShapeIndex};
use super::workers::WorkerIndex;
use crate::id::{TaskRunId, WorkerRef};
use crate::reason::Reason;

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) phase: Phase,
    /// Grants with lower numbers were for an earlier epoch.
    pub(super) granted_from: u64,
    /// Last offer frame taken.
    received: u64,
    /// Number of the frame that began the list.
    list: u64,
    sent: u64,
    pub(super) offers: BTreeMap<TaskRunId, OfferIndex>,
    pub(super) holds: BTreeMap<TaskRunId, (WorkerIndex, u32)>,
    /// What was shown and told of each shape.
    pub(super) lanes: BTreeMap<ShapeIndex, Lane>,
    out: Vec<DispatcherItem>,
    answer: Answer,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// What it showed is not known to be true; waits for a list.
    Broken,
    /// A list is under way and replaces what is known when it ends.
    Listing(Listing),
    Synced,
}

#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) offers: Vec<Offer>,
    pub(super) holds: Vec<(TaskRunId, WorkerRef, u32)>,
}

/// One shape within a stream.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) credits: u32,
    /// Shown and not granted.
    pub(super) waiting: u32,
    /// Most that waited at once since the credits changed.
    pub(super) peak: u32,
    pub(super) told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Open,
    Parked,
}

/// Whether the shard waits for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    NotDue,
    Due,
}

/// What a frame is, by its stream and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sequence {
    /// Seen before, or overtaken by a restart.
    Old,
    /// The first of a list.
    Begins,
    Follows,
    /// Something before it is missing.
    Gap,
}

impl Stream {
    pub(super) fn new(id: StreamId) -> Stream {
        Stream {
            id,
            phase: Phase::Broken,
            granted_from: 0,
            received: 0,
            list: 0,
            sent: 0,
            offers: BTreeMap::new(),
            holds: BTreeMap::new(),
            lanes: BTreeMap::new(),
            out: Vec::new(),
            answer: Answer::NotDue,
        }
    }

    pub(super) fn sequence(&self, frame: &OfferFrame) -> Sequence {
        let begins = matches!(frame.list, ListState::Begin | ListState::Whole);
        if frame.stream < self.id || (frame.stream == self.id && frame.number <= self.received) {
            return Sequence::Old;
        }
        if begins {
            return Sequence::Begins;
        }
        let expected = match (&self.phase, frame.list) {
            (Phase::Synced, ListState::Delta) => true,
            (Phase::Listing(_), ListState::Part | ListState::End) => true,
            (Phase::Broken | Phase::Listing(_) | Phase::Synced, _) => false,
        };
        let next = frame.stream == self.id && frame.number == self.received + 1;
        if expected && next { Sequence::Follows } else { Sequence::Gap }
    }

    /// A later epoch of the shard speaks: numbers begin anew, what is known stays until its list has ended.
    pub(super) fn turn_to(&mut self, id: StreamId, granted_from: u64) {
        self.id = id;
        self.granted_from = granted_from;
        self.received = 0;
        self.list = 0;
        self.sent = 0;
        self.out.clear();
    }

    /// Takes the first frame of a list; nothing that was told before counts.
    pub(super) fn begin(&mut self, number: u64) {
        self.list = number;
        self.sent = 0;
        self.out.clear();
        self.lanes.clear();
        self.phase = Phase::Listing(Listing::default());
        self.receive(number);
    }

    pub(super) fn receive(&mut self, number: u64) {
        self.received = number;
        self.answer = Answer::Due;
    }

    /// Asks for a list. What is still to be told is void.
    pub(super) fn ask_restart(&mut self, seen: u64) {
        self.out.clear();
        self.out.push(DispatcherItem::Restart { seen });
    }

    pub(super) fn lane(&mut self, shape: ShapeIndex) -> &mut Lane {
        self.lanes.entry(shape).or_insert(Lane {
            credits: CREDITS_INITIAL,
            waiting: 0,
            peak: 0,
            told: Told::Open,
        })
    }

    pub(super) fn tell(&mut self, item: DispatcherItem) {
        self.out.push(item);
    }

    pub(super) fn tell_credits(&mut self, index: ShapeIndex, shape: &Arc<Shape>, credits: u32) {
        let lane = self.lane(index);
        lane.peak = lane.waiting;
        if lane.credits != credits {
            lane.credits = credits;
            self.tell(DispatcherItem::Credit(Credit { shape: shape.clone(), credits }));
        }
    }

    /// Keeps one offer shown, and says why.
    pub(super) fn tell_parked(&mut self, index: ShapeIndex, shape: &Arc<Shape>, reasons: &[Reason]) {
        self.tell_credits(index, shape, 1);
        self.lane(index).told = Told::Parked;
        self.tell(DispatcherItem::Parked { shape: shape.clone(), reasons: reasons.to_vec() });
    }

    /// Takes back that a shape is parked, and says whether it had been told.
    pub(super) fn tell_open(&mut self, index: ShapeIndex, shape: &Arc<Shape>) -> bool {
        let lane = self.lanes.get_mut(&index).filter(|lane| lane.told == Told::Parked);
        let Some(lane) = lane else { return false };
        lane.told = Told::Open;
        self.tell(DispatcherItem::Unparked { shape: shape.clone() });
        true
    }

    /// What there is to say, at most `items_max` items a frame; the answer to the last frame taken is in the first.
    pub(super) fn take_frames(&mut self, items_max: usize) -> Vec<DispatcherFrame> {
        let mut frames = Vec::new();
        let answer = std::mem::replace(&mut self.answer, Answer::NotDue);
        let mut items = std::mem::take(&mut self.out).into_iter().peekable();
        while items.peek().is_some() || (answer == Answer::Due && frames.is_empty()) {
            self.sent += 1;
            let items = items.by_ref().take(items_max).collect();
            frames.push(self.frame(items));
        }
        frames
    }

    fn frame(&self, items: Vec<DispatcherItem>) -> DispatcherFrame {
        let Stream { id: stream, list, sent: number, received: round, .. } = *self;
        DispatcherFrame { stream, list, number, round, items }
    }
}

impl Listing {
    /// Takes an item of a page; only these two belong into a list.
    pub(super) fn take(&mut self, item: OfferItem) {
        match item {
            OfferItem::Offer(offer) => self.offers.push(offer),
            OfferItem::Dispatched { task_run, worker, slots } => self.holds.push((task_run, worker, slots)),
            OfferItem::Withdraw(_) | OfferItem::Ended { .. } | OfferItem::GrantRefused { .. } => {}
        }
    }
}
