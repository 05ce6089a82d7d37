//! The Dispatcher's end of one shard's stream: numbers, what it showed and holds, and what is to be told.
//! Must not know workers or ranks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::backlog::Work;
use super::frame::{
    Ageing, CREDITS_INITIAL, Credit, DispatcherFrame, DispatcherItem, Held, Hidden, ListState, OfferFrame,
    OfferItem, StreamId,
};
use crate::dispatch::{Offer, Pace, Shape};
use crate::id::{Name, TaskRunId, WorkerRef};
use crate::reason::Reason;
use crate::time::Span;

/// Shapes of which a stream remembers what it told; of more, those are forgotten of which nothing is shown, which only
/// costs a moment.
const LANES_MAX: usize = 1024;

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
    /// Shown, or granted and not settled.
    pub(super) offers: BTreeSet<TaskRunId>,
    pub(super) holds: BTreeSet<TaskRunId>,
    /// How much waits for each group, shown or not.
    pub(super) works: BTreeMap<Name, Work>,
    /// Offers for which there are too many shapes already: they are tried again when some have gone.
    pub(super) set_aside: BTreeMap<TaskRunId, Offer>,
    /// What was told of each shape.
    lanes: BTreeMap<Arc<Shape>, Lane>,
    /// As it was told, of groups that age.
    ages: BTreeMap<Name, Span>,
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
    pub(super) holds: Vec<(TaskRunId, Held)>,
    pub(super) horizons: Vec<(Arc<Shape>, Option<Hidden>)>,
    pub(super) works: BTreeMap<Name, Work>,
    pub(super) paces: Vec<(WorkerRef, Pace)>,
}

/// One shape within a stream.
#[derive(Debug)]
struct Lane {
    credits: u32,
    told: Told,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
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
            offers: BTreeSet::new(),
            holds: BTreeSet::new(),
            works: BTreeMap::new(),
            set_aside: BTreeMap::new(),
            lanes: BTreeMap::new(),
            ages: BTreeMap::new(),
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
        self.ages.clear();
        self.set_aside.clear();
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

    fn lane(&mut self, shape: &Arc<Shape>) -> &mut Lane {
        self.lanes.entry(shape.clone()).or_insert(Lane { credits: CREDITS_INITIAL, told: Told::Open })
    }

    /// Forgets what was told of shapes of which nothing is shown, when there are many.
    pub(super) fn forget_lanes(&mut self, is_shown: impl Fn(&Shape) -> bool) {
        if self.lanes.len() > LANES_MAX {
            self.lanes.retain(|shape, _| is_shown(shape));
        }
    }

    pub(super) fn tell(&mut self, item: DispatcherItem) {
        self.out.push(item);
    }

    fn tell_credits(&mut self, shape: &Arc<Shape>, credits: u32, ageing: Option<Ageing>) {
        let knows_ageing = self.knows_ageing(&shape.group, ageing);
        let lane = self.lane(shape);
        if lane.credits != credits || !knows_ageing {
            lane.credits = credits;
            self.tell(DispatcherItem::Credit(Credit { shape: shape.clone(), credits, ageing }));
            match ageing {
                Some(Ageing { every, .. }) => _ = self.ages.insert(shape.group.clone(), every),
                None => _ = self.ages.remove(&shape.group),
            }
        }
    }

    fn knows_ageing(&self, group: &Name, ageing: Option<Ageing>) -> bool {
        self.ages.get(group).copied() == ageing.map(|ageing| ageing.every)
    }

    /// Says how the shape's group ages, unless that was said; returns whether it did.
    pub(super) fn tell_ageing(&mut self, shape: &Arc<Shape>, ageing: Option<Ageing>) -> bool {
        if self.knows_ageing(&shape.group, ageing) {
            return false;
        }
        let credits = self.lane(shape).credits;
        self.tell_credits(shape, credits, ageing);
        true
    }

    /// All it showed of the shape was granted, and there is room for more: it shows twice as much.
    pub(super) fn grow(&mut self, shape: &Arc<Shape>, credits_max: u32, ageing: Option<Ageing>) {
        let credits = self.lane(shape).credits.saturating_mul(2).max(CREDITS_INITIAL);
        self.tell_credits(shape, credits.min(credits_max), ageing);
    }

    /// Keeps one offer shown, and says why.
    pub(super) fn tell_parked(&mut self, shape: &Arc<Shape>, reasons: &[Reason], ageing: Option<Ageing>) {
        self.tell_credits(shape, 1, ageing);
        self.lane(shape).told = Told::Parked;
        self.tell(DispatcherItem::Parked { shape: shape.clone(), reasons: reasons.to_vec() });
    }

    pub(super) fn is_told_parked(&self, shape: &Shape) -> bool {
        self.lanes.get(shape).is_some_and(|lane| lane.told == Told::Parked)
    }

    /// Takes back that a shape is parked, and says whether it had been told.
    pub(super) fn tell_open(&mut self, shape: &Arc<Shape>) -> bool {
        let lane = self.lanes.get_mut(shape).filter(|lane| lane.told == Told::Parked);
        let Some(lane) = lane else { return false };
        lane.told = Told::Open;
        self.tell(DispatcherItem::Unparked { shape: shape.clone() });
        true
    }

    /// What there is to say, at most `items_max` items a frame; the answer to the last frame taken is in the first.
    pub(super) fn take_frames(&mut self, items_max: usize, rows: u64) -> Vec<DispatcherFrame> {
        let mut frames = Vec::new();
        let answer = std::mem::replace(&mut self.answer, Answer::NotDue);
        let mut items = std::mem::take(&mut self.out).into_iter().peekable();
        while items.peek().is_some() || (answer == Answer::Due && frames.is_empty()) {
            self.sent += 1;
            let items = items.by_ref().take(items_max).collect();
            frames.push(self.frame(items, rows));
        }
        frames
    }

    fn frame(&self, items: Vec<DispatcherItem>, rows: u64) -> DispatcherFrame {
        let Stream { id: stream, list, sent: number, received: round, .. } = *self;
        DispatcherFrame { stream, list, number, round, rows, items }
    }
}

impl Listing {
    /// Takes an item of a page; only these belong into a list.
    pub(super) fn take(&mut self, item: OfferItem) {
        match item {
            OfferItem::Offer(offer) => self.offers.push(offer),
            OfferItem::Dispatched { task_run, held } => self.holds.push((task_run, held)),
            OfferItem::Horizon { shape, hidden } => self.horizons.push((shape, hidden)),
            OfferItem::Work { group, work } => _ = self.works.insert(group, work),
            OfferItem::Pace { worker, pace } => self.paces.push((worker, pace)),
            OfferItem::Withdraw(_) | OfferItem::Ended { .. } | OfferItem::GrantFailed { .. } => {}
        }
    }
}
