//! The book's end of the stream: numbers, restarts, credits, and which offers are shown.
//! Must not know why offers come and go.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::book::{Entry, OfferBook, ShapeBook};
use super::frame::{
    CREDITS_INITIAL, DispatcherFrame, DispatcherItem, DispatcherTerm, ListState, OfferFrame, OfferItem,
};
use crate::dispatch::{Grant, Offer, Rank, Shape};
use crate::id::{TaskRunId, WorkerRef};
use crate::time::{Span, Timestamp};

/// An answer later than this was probably lost; far above any round trip, far below what a person waits for.
const ANSWER_WAIT: Span = Span::from_millis(1000);
/// The wait doubles up to this while nothing is answered, so that lists do not bury a slow Dispatcher.
const ANSWER_WAIT_MAX: Span = Span::from_secs(16);
/// A stream on which nothing was said for so long, though something waits or runs, is tried with an empty frame: whatever
/// the Dispatcher said last may have been lost.
pub const QUIET_WAIT: Span = Span::from_secs(1);

/// Where an offer is, seen from the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Only in the book.
    Hidden,
    /// The Dispatcher knows it.
    Shown,
    /// The Dispatcher named a worker, and the shard has not decided yet.
    Granted,
}

#[derive(Debug)]
pub(super) enum Link {
    None,
    To(Stream),
}

#[derive(Debug)]
pub(super) struct Stream {
    term: DispatcherTerm,
    /// Of the last frame sent; 0 before the first.
    sent: u64,
    /// Of the last sent frame that showed an offer.
    sent_offer: u64,
    /// The last of our frames that the Dispatcher has considered.
    answered: u64,
    list: List,
    /// Number of the last frame taken that rests on the list; 0 before the first.
    heard: u64,
    /// Last word in either direction.
    active_at: Timestamp,
    patience: Span,
    /// See [`QUIET_WAIT`].
    quiet: Span,
    /// Changes not sent yet, in order.
    pending: Vec<OfferItem>,
    probe: Probe,
}

#[derive(Debug, PartialEq)]
enum List {
    Due,
    /// Number of its first frame.
    Sent {
        begin: u64,
    },
}

/// Whether the next poll sends a frame even without items.
#[derive(Debug, PartialEq)]
enum Probe {
    NotDue,
    Due,
}

/// What a deadline was about.
pub(super) enum Overdue {
    /// A frame of ours was not answered.
    Answer,
    /// Nothing was said for long.
    Word,
}

impl Link {
    pub(super) fn to(term: DispatcherTerm, quiet: Span) -> Link {
        Link::To(Stream {
            term,
            sent: 0,
            sent_offer: 0,
            answered: 0,
            list: List::Due,
            heard: 0,
            active_at: Timestamp::default(),
            patience: ANSWER_WAIT,
            quiet,
            pending: Vec::new(),
            probe: Probe::NotDue,
        })
    }

    pub(super) fn term(&self) -> Option<DispatcherTerm> {
        match self {
            Link::None => None,
            Link::To(stream) => Some(stream.term),
        }
    }

    /// Notes a change and says that it did, unless a full list will say it anyway.
    pub(super) fn tell(&mut self, item: OfferItem) -> bool {
        let Link::To(Stream { list: List::Sent { .. }, pending, .. }) = self else { return false };
        pending.push(item);
        true
    }

    /// Whether changes are sent one by one.
    pub(super) fn has_listed(&self) -> bool {
        matches!(self, Link::To(Stream { list: List::Sent { .. }, .. }))
    }

    /// Whose answer is missing: of a Dispatcher that was told nothing yet, that has not answered the list of what is
    /// ready, or that has left a frame unanswered for as long as an answer may take.
    pub(super) fn silence(&self) -> Option<&'static str> {
        match self {
            Link::None => Some("the shard has not heard of a Dispatcher yet"),
            Link::To(stream) => {
                let listed = matches!(stream.list, List::Sent { begin } if stream.answered >= begin);
                (!listed || stream.patience > ANSWER_WAIT)
                    .then_some("the Dispatcher is told what is ready and has not answered yet, by shard")
            }
        }
    }

    pub(super) fn round_is_open(&self) -> bool {
        matches!(self, Link::To(stream) if stream.sent_offer > stream.answered)
    }

    /// With nothing to wait for on either side there is no deadline.
    pub(super) fn next_deadline(&self, has_something: bool) -> Option<Timestamp> {
        match self {
            Link::To(stream) if stream.list == List::Due => None,
            Link::To(stream) if stream.sent > stream.answered => Some(stream.active_at.plus(stream.patience)),
            Link::To(stream) if has_something => Some(stream.active_at.plus(stream.quiet)),
            Link::To(_) | Link::None => None,
        }
    }

    /// A deadline passed: a quiet stream gets an empty frame at the next poll.
    pub(super) fn probe(&mut self) -> Overdue {
        match self {
            Link::To(stream) if stream.sent == stream.answered => {
                stream.probe = Probe::Due;
                Overdue::Word
            }
            Link::To(stream) => {
                stream.patience = Span((stream.patience.0 * 2).min(ANSWER_WAIT_MAX.0));
                Overdue::Answer
            }
            Link::None => Overdue::Word,
        }
    }
}

impl OfferBook {
    /// Both sides forget what was shown, and the list tells it anew.
    pub(super) fn restart(&mut self) {
        if let Link::To(stream) = &mut self.link {
            stream.list = List::Due;
            stream.heard = 0;
            stream.pending.clear();
            self.begin_list();
        }
    }

    /// Nothing counts as shown; grants in actors' hands stay what they are.
    pub(super) fn begin_list(&mut self) {
        self.backlog.forget_told();
        self.forget_ageing();
        for (name, shape) in &mut self.shapes {
            for key in std::mem::take(&mut shape.shown) {
                self.offers.get_mut(&key.task_run()).expect("a shown offer is here").place = Place::Hidden;
                shape.hidden.insert(key);
            }
            shape.credits = CREDITS_INITIAL;
            shape.horizon = None;
            shape.parked.clear();
            self.unbalanced.insert(name.clone());
        }
    }

    pub(super) fn take_frame(&mut self, frame: DispatcherFrame, now: Timestamp) -> Vec<Grant> {
        let current = self.stream();
        let Link::To(stream) = &mut self.link else {
            return Vec::new();
        };
        let List::Sent { begin } = stream.list else {
            return Vec::new();
        };
        if current != Some(frame.stream) {
            return Vec::new();
        }
        let asked =
            |item: &DispatcherItem| matches!(item, DispatcherItem::Restart { seen } if *seen >= begin);
        let gap = frame.list == begin && frame.number > stream.heard + 1;
        if gap || frame.items.iter().any(asked) {
            self.restart();
            return Vec::new();
        }
        if frame.list != begin || frame.number <= stream.heard {
            return Vec::new();
        }
        stream.heard = frame.number;
        stream.answered = stream.answered.max(frame.round);
        stream.active_at = now;
        stream.patience = ANSWER_WAIT;
        frame.items.into_iter().filter_map(|item| self.take_item(item, now)).collect()
    }

    fn take_item(&mut self, item: DispatcherItem, now: Timestamp) -> Option<Grant> {
        match item {
            DispatcherItem::Grant(grant) => {
                // One that is hidden was withdrawn meanwhile, which voids its grant at the Dispatcher.
                let place = self.offers.get(&grant.task_run)?.place;
                (place != Place::Hidden).then(|| {
                    self.move_to(grant.task_run, Place::Granted);
                    grant
                })
            }
            DispatcherItem::Credit(credit) => {
                self.on_ageing(&credit.shape.group, credit.ageing, now);
                if let Some(shape) = self.shapes.get_mut(&credit.shape) {
                    // With none shown a shape could never be woken.
                    shape.credits = credit.credits.max(1);
                    self.unbalanced.insert(credit.shape);
                }
                None
            }
            DispatcherItem::Parked { shape, reasons } => {
                if let Some(shape) = self.shapes.get_mut(&shape) {
                    shape.parked = reasons;
                }
                None
            }
            DispatcherItem::Unparked { shape } => {
                if let Some(shape) = self.shapes.get_mut(&shape) {
                    shape.parked.clear();
                }
                None
            }
            // One that asks for less than the list we began.
            DispatcherItem::Restart { .. } => None,
        }
    }

    pub(super) fn make_frames(&mut self, items_max: usize, now: Timestamp) -> Vec<OfferFrame> {
        let Some(id) = self.stream() else {
            return Vec::new();
        };
        self.rise(now);
        let Link::To(stream) = &mut self.link else {
            return Vec::new();
        };
        let listing = stream.list == List::Due;
        let mut items = std::mem::take(&mut stream.pending);
        if listing {
            stream.list = List::Sent { begin: stream.sent + 1 };
            items = self.held_and_granted();
        }
        for name in std::mem::take(&mut self.unbalanced) {
            let shape = self.shapes.get_mut(&name).expect("a shape stays while it is unbalanced");
            shape.balance(&name, &mut self.offers, &mut items);
        }
        items.extend(self.backlog.news(now).into_iter().map(|(group, work)| OfferItem::Work { group, work }));
        let Link::To(stream) = &mut self.link else {
            return Vec::new();
        };
        let probe = std::mem::replace(&mut stream.probe, Probe::NotDue);
        if items.is_empty() && !listing && probe == Probe::NotDue {
            return Vec::new();
        }
        stream.active_at = now;
        let pages = pages(items, items_max);
        let last = pages.len() - 1;
        let number = |(index, items): (usize, Vec<OfferItem>)| {
            stream.sent += 1;
            if items.iter().any(|item| matches!(item, OfferItem::Offer(_))) {
                stream.sent_offer = stream.sent;
            }
            let list = match index {
                _ if !listing => ListState::Delta,
                0 if last == 0 => ListState::Whole,
                0 => ListState::Begin,
                index if index == last => ListState::End,
                _ => ListState::Part,
            };
            OfferFrame { stream: id, number: stream.sent, list, items }
        };
        pages.into_iter().enumerate().map(number).collect()
    }

    /// What a full list says beside the shown offers.
    fn held_and_granted(&self) -> Vec<OfferItem> {
        let held = self.holds.iter();
        let held =
            held.map(|(task_run, held)| OfferItem::Dispatched { task_run: *task_run, held: held.clone() });
        let granted = self.shapes.values().flat_map(|shape| &shape.granted);
        let granted = granted.map(|key| OfferItem::Offer(self.offers[&key.task_run()].offer()));
        let unusual = self.paces.iter().filter(|(_, (_, pace))| !pace.is_usual());
        let paces = unusual.map(|(name, (incarnation, pace))| OfferItem::Pace {
            worker: WorkerRef { name: name.clone(), incarnation: *incarnation },
            pace: pace.clone(),
        });
        held.chain(granted).chain(paces).collect()
    }
}

impl ShapeBook {
    /// Shows the best offers, as many as there are credits for, takes the others back, and says which is the best of them.
    fn balance(
        &mut self,
        name: &Arc<Shape>,
        offers: &mut BTreeMap<TaskRunId, Entry>,
        items: &mut Vec<OfferItem>,
    ) {
        let credits = self.credits as usize;
        loop {
            let displaces = match (self.hidden.first(), self.shown.last()) {
                (Some(hidden), Some(shown)) => hidden < shown,
                _ => false,
            };
            if self.shown.len() > credits || (self.shown.len() == credits && displaces) {
                let key = self.shown.pop_last().expect("credits are at least one");
                self.hidden.insert(key);
                offers.get_mut(&key.task_run()).expect("a shown offer is here").place = Place::Hidden;
                items.push(OfferItem::Withdraw(key.task_run()));
            } else if self.shown.len() < credits && !self.hidden.is_empty() {
                let key = self.hidden.pop_first().expect("it is not empty");
                self.shown.insert(key);
                let entry = offers.get_mut(&key.task_run()).expect("a hidden offer is here");
                entry.place = Place::Shown;
                debug_assert_eq!(&entry.shape, name);
                items.push(OfferItem::Offer(entry.offer()));
            } else {
                break;
            }
        }
        let hidden = self.hidden.first().copied();
        if hidden != self.horizon {
            self.horizon = hidden;
            let hidden = hidden.map(|key| (key.rank(), key.task_run()));
            items.push(OfferItem::Horizon { shape: name.clone(), hidden });
        }
    }
}

impl Entry {
    fn offer(&self) -> Offer {
        Offer {
            task_run: self.key.task_run(),
            shape: self.shape.clone(),
            rank: Rank { run_priority: self.asked, ..self.key.rank() },
            since: self.since,
        }
    }
}

/// At least one page, each but the last full.
fn pages(items: Vec<OfferItem>, items_max: usize) -> Vec<Vec<OfferItem>> {
    let mut pages = Vec::new();
    let mut page = Vec::new();
    for item in items {
        if page.len() == items_max {
            pages.push(std::mem::take(&mut page));
        }
        page.push(item);
    }
    pages.push(page);
    pages
}
