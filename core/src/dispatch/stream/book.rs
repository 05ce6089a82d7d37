//! The shard's side: all its ready task runs, the best of each shape shown to the Dispatcher, and the attempts that
//! hold parts of workers. Must not know workers' load, other shards, or what a task run is beyond its offer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::backlog::Backlog;
use super::book_age::Ages;
use super::book_link::{Link, Place};
use super::frame::{CREDITS_INITIAL, DispatcherFrame, DispatcherTerm, Held, OfferFrame, OfferItem, StreamId};
use crate::definition::Priority;
use crate::dispatch::offer::QueueKey;
use crate::dispatch::{Ended, Grant, GrantFailed, Offer, Pace, Shape};
use crate::id::{Incarnation, Name, TaskRunId, WorkerRef};
use crate::reason::{AHEAD_COUNT_MAX, Ahead, Among, LISTED_MAX, Reason};
use crate::time::{Span, Timestamp};

/// Shapes without an offer that are remembered for their credits; more are forgotten, which only costs a moment.
const SHAPES_IDLE_MAX: usize = 1024;

/// Workers whose pace is kept; far above what a cluster has.
const PACES_MAX: usize = 20_000;

/// All ready task runs of one epoch of a shard.
#[derive(Debug)]
pub struct OfferBook {
    pub(super) shard: u32,
    pub(super) shard_term: u64,
    pub(super) epoch: u64,
    pub(super) offers: BTreeMap<TaskRunId, Entry>,
    pub(super) shapes: BTreeMap<Arc<Shape>, ShapeBook>,
    pub(super) holds: BTreeMap<TaskRunId, Held>,
    /// How fast workers are, by the attempts of this shard: for Dispatchers to come.
    pub(super) paces: BTreeMap<Name, (Incarnation, Pace)>,
    pub(super) backlog: Backlog,
    pub(super) ages: Ages,
    /// Shapes whose shown offers may not be the right ones any more.
    pub(super) unbalanced: BTreeSet<Arc<Shape>>,
    pub(super) link: Link,
    /// After so long without a word the stream is tried.
    quiet: Span,
}

#[derive(Debug)]
pub(super) struct Entry {
    /// With the priority it has risen to.
    pub(super) key: QueueKey,
    pub(super) asked: Priority,
    pub(super) shape: Arc<Shape>,
    pub(super) since: Timestamp,
    /// How long it will usually run.
    expected: Option<Span>,
    pub(super) place: Place,
    /// By the Dispatcher's time; none while it does not age.
    pub(super) rises_at: Option<Timestamp>,
}

#[derive(Debug)]
pub(super) struct ShapeBook {
    pub(super) credits: u32,
    pub(super) hidden: BTreeSet<QueueKey>,
    pub(super) shown: BTreeSet<QueueKey>,
    /// Offers with a grant that is not settled; they use no credit.
    pub(super) granted: BTreeSet<QueueKey>,
    /// The best hidden one as the Dispatcher knows it.
    pub(super) horizon: Option<QueueKey>,
    /// As the Dispatcher said; empty means that it is not parked.
    pub(super) parked: Vec<Reason>,
}

impl ShapeBook {
    fn new() -> ShapeBook {
        ShapeBook {
            credits: CREDITS_INITIAL,
            hidden: BTreeSet::new(),
            shown: BTreeSet::new(),
            granted: BTreeSet::new(),
            horizon: None,
            parked: Vec::new(),
        }
    }

    pub(super) fn place_mut(&mut self, place: Place) -> &mut BTreeSet<QueueKey> {
        match place {
            Place::Hidden => &mut self.hidden,
            Place::Shown => &mut self.shown,
            Place::Granted => &mut self.granted,
        }
    }

    fn is_empty(&self) -> bool {
        self.hidden.is_empty() && self.shown.is_empty() && self.granted.is_empty() && self.horizon.is_none()
    }
}

impl OfferBook {
    /// Epochs of a shard are numbered upwards within a term and over terms. `quiet`: usually
    /// [`QUIET_WAIT`](super::QUIET_WAIT).
    pub fn new(shard: u32, shard_term: u64, epoch: u64, quiet: Span) -> OfferBook {
        OfferBook {
            shard,
            shard_term,
            epoch,
            offers: BTreeMap::new(),
            shapes: BTreeMap::new(),
            holds: BTreeMap::new(),
            paces: BTreeMap::new(),
            backlog: Backlog::default(),
            ages: Ages::default(),
            unbalanced: BTreeSet::new(),
            link: Link::None,
            quiet,
        }
    }

    /// A task run is ready, and may be known to run for so long usually. One that is already here is replaced.
    pub fn insert(&mut self, offer: Offer, expected: Option<Span>) {
        self.remove(offer.task_run);
        let Offer { task_run, shape, rank, since } = offer;
        let shape = match self.shapes.get_key_value(&shape) {
            Some((known, _)) => known.clone(),
            None => {
                self.shapes.insert(shape.clone(), ShapeBook::new());
                shape
            }
        };
        let key = QueueKey::new(&rank, task_run);
        self.shape_mut(&shape).hidden.insert(key);
        self.unbalanced.insert(shape.clone());
        self.backlog.enter(&shape, expected);
        let (asked, rises_at) = (rank.run_priority, self.ages.enter(&shape.group, task_run, since));
        let entry = Entry { key, asked, shape, since, expected, place: Place::Hidden, rises_at };
        self.offers.insert(task_run, entry);
    }

    /// A task run is not ready any more: cancelled, paused, skipped. Unknown ones are no matter.
    pub fn remove(&mut self, task_run: TaskRunId) {
        match self.take(task_run) {
            Some(Place::Shown | Place::Granted) => {
                self.link.tell(OfferItem::Withdraw(task_run));
            }
            Some(Place::Hidden) | None => {}
        }
    }

    /// An attempt was dispatched (decided, not necessarily committed): the offer goes, part of the worker is held.
    pub fn dispatched(&mut self, task_run: TaskRunId, held: Held) {
        self.take(task_run);
        self.link.tell(OfferItem::Dispatched { task_run, held: held.clone() });
        self.holds.insert(task_run, held);
    }

    /// The dispatched attempt holds nothing any more.
    pub fn ended(&mut self, task_run: TaskRunId, how: Ended) {
        if let Some(held) = self.holds.remove(&task_run) {
            if let Ended::Succeeded { took, expected: Some(expected), .. } = how {
                self.note_pace(held.worker, took, expected);
            }
            self.link.tell(OfferItem::Ended { task_run, how });
        }
    }

    fn note_pace(&mut self, worker: WorkerRef, took: Span, expected: Span) {
        if self.paces.len() >= PACES_MAX && !self.paces.contains_key(&worker.name) {
            return;
        }
        let (life, pace) = self.paces.entry(worker.name).or_default();
        // Another life may be another host.
        if *life != worker.incarnation {
            (*life, *pace) = (worker.incarnation, Pace::default());
        }
        pace.compare(took, expected);
    }

    /// A grant cannot be used; the task run goes on waiting in its own place.
    pub fn refuse_grant(&mut self, task_run: TaskRunId, grant: u64, why: GrantFailed) {
        if self.is_at(task_run, Place::Granted) {
            let told = self.link.tell(OfferItem::GrantFailed { task_run, grant, why });
            self.move_to(task_run, if told { Place::Shown } else { Place::Hidden });
        }
    }

    /// There is a Dispatcher of that term: it gets the full list. A term that is known already changes nothing, a
    /// lower one neither.
    pub fn on_dispatcher(&mut self, term: DispatcherTerm) {
        if self.link.term().is_none_or(|known| known < term) {
            self.link = Link::to(term, self.quiet);
            self.begin_list();
        }
    }

    /// The connection to the Dispatcher broke, or came back: what was under way may be lost.
    pub fn on_connection(&mut self) {
        self.restart();
    }

    /// Takes the Dispatcher's word; the grants are for the task runs' actors, each to be answered by `dispatched`,
    /// `refuse_grant` or `remove`.
    pub fn on_frame(&mut self, frame: DispatcherFrame, now: Timestamp) -> Vec<Grant> {
        self.take_frame(frame, now)
    }

    /// Frames to send now, each of at most `items_max` items; call after every batch of changes.
    pub fn poll_frames(&mut self, items_max: usize, now: Timestamp) -> Vec<OfferFrame> {
        assert!(items_max > 0, "a frame holds something");
        self.make_frames(items_max, now)
    }

    /// Whether an offer was sent that the Dispatcher has not considered yet.
    pub fn round_is_open(&self) -> bool {
        self.link.round_is_open()
    }

    /// When `expire` and `poll_frames` are wanted: an answer is overdue, a quiet stream is to be tried, sums are to be
    /// told, or something has aged.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let told = self.link.has_listed().then(|| [self.backlog.due(), self.ages.next_rise()]);
        self.word_due().into_iter().chain(told.into_iter().flatten().flatten()).min()
    }

    fn word_due(&self) -> Option<Timestamp> {
        self.link.next_deadline(!self.offers.is_empty() || !self.holds.is_empty())
    }

    /// An overdue answer restarts the stream; a quiet one is tried with an empty frame by the next `poll_frames`.
    pub fn expire(&mut self, now: Timestamp) {
        if self.word_due().is_some_and(|deadline| deadline <= now) {
            match self.link.probe() {
                super::book_link::Overdue::Answer => self.restart(),
                super::book_link::Overdue::Word => {}
            }
        }
    }

    /// The stream to the Dispatcher, when one is known.
    pub fn stream(&self) -> Option<StreamId> {
        let dispatcher_term = self.link.term()?;
        Some(StreamId { shard: self.shard, shard_term: self.shard_term, epoch: self.epoch, dispatcher_term })
    }

    /// Ready task runs here.
    pub fn len(&self) -> usize {
        self.offers.len()
    }

    pub fn is_empty(&self) -> bool {
        self.offers.is_empty()
    }

    /// Why a ready task run waits, as far as is known here: never empty for one that is in the book. The Dispatcher's
    /// own answer is better for a shown one.
    pub fn explain(&self, task_run: TaskRunId) -> Vec<Reason> {
        let Some(entry) = self.offers.get(&task_run) else {
            return Vec::new();
        };
        let shape = &self.shapes[&entry.shape];
        let mut reasons = shape.parked.clone();
        if let Some(what) = self.link.silence() {
            reasons.insert(0, Reason::Starting { what: what.to_owned(), done: 0, total: 1 });
        }
        let own = self.behind(entry, Among::Shape, std::iter::once(shape));
        match own {
            Reason::Behind { ahead: 0, .. } if !reasons.is_empty() => {}
            // It is not parked and the first of its shape: whoever else may be placed and is better takes what room there is.
            Reason::Behind { ahead: 0, .. } => reasons.push(self.behind_others(entry).unwrap_or(own)),
            behind => reasons.push(behind),
        }
        reasons
    }

    /// Of other shapes of its group, as far as they are of this shard; those that are parked take nothing.
    fn behind_others(&self, entry: &Entry) -> Option<Reason> {
        let others = self.shapes.iter().filter(|(other, book)| {
            other.group == entry.shape.group && **other != entry.shape && book.parked.is_empty()
        });
        let behind = self.behind(entry, Among::Group, others.map(|(_, book)| book));
        (!matches!(behind, Reason::Behind { ahead: 0, .. })).then_some(behind)
    }

    /// Who of these shapes comes before it.
    fn behind<'a>(&self, entry: &Entry, among: Among, shapes: impl Iterator<Item = &'a ShapeBook>) -> Reason {
        let (mut ahead, mut keys) = (0, Vec::new());
        for set in shapes.flat_map(|shape| [&shape.shown, &shape.hidden]) {
            ahead += set.range(..entry.key).take(AHEAD_COUNT_MAX as usize).count() as u64;
            keys.extend(set.range(..entry.key).take(LISTED_MAX));
        }
        keys.sort();
        keys.truncate(LISTED_MAX);
        let (group, ahead) = (entry.shape.group.clone(), ahead.min(AHEAD_COUNT_MAX));
        let first = keys.into_iter().map(|key| self.ahead(key)).collect();
        Reason::Behind { group, ahead, first, ageing: None, among }
    }

    /// The worker that an attempt of the task run holds a part of.
    pub fn holder(&self, task_run: TaskRunId) -> Option<&WorkerRef> {
        self.holds.get(&task_run).map(|held| &held.worker)
    }

    /// Since when it is ready; none for a task run that is not offered.
    pub fn since(&self, task_run: TaskRunId) -> Option<Timestamp> {
        self.offers.get(&task_run).map(|entry| entry.since)
    }

    fn ahead(&self, key: &QueueKey) -> Ahead {
        key.ahead(self.offers[&key.task_run()].since)
    }

    pub(super) fn shape_mut(&mut self, shape: &Arc<Shape>) -> &mut ShapeBook {
        self.shapes.get_mut(shape).expect("a shape stays while it has offers")
    }

    pub(super) fn is_at(&self, task_run: TaskRunId, place: Place) -> bool {
        self.offers.get(&task_run).is_some_and(|entry| entry.place == place)
    }

    /// Moves an offer that is here.
    pub(super) fn move_to(&mut self, task_run: TaskRunId, place: Place) {
        let entry = self.offers.get_mut(&task_run).expect("the offer is here");
        let shape = self.shapes.get_mut(&entry.shape).expect("a shape stays while it has offers");
        shape.place_mut(entry.place).remove(&entry.key);
        shape.place_mut(place).insert(entry.key);
        entry.place = place;
        self.unbalanced.insert(entry.shape.clone());
    }

    /// Takes an offer out and says where it was.
    fn take(&mut self, task_run: TaskRunId) -> Option<Place> {
        let entry = self.offers.remove(&task_run)?;
        self.backlog.leave(&entry.shape, entry.expected);
        self.ages.leave(task_run, entry.rises_at);
        let shape = self.shape_mut(&entry.shape);
        shape.place_mut(entry.place).remove(&entry.key);
        let idle = shape.is_empty();
        if idle && self.shapes.len() > SHAPES_IDLE_MAX {
            self.shapes.remove(&entry.shape);
            self.unbalanced.remove(&entry.shape);
        } else {
            self.unbalanced.insert(entry.shape);
        }
        Some(entry.place)
    }
}
