//! What goes through each mailbox of one node, counted so that a look needs no answer of the actor: one that is stuck
//! shows as such. Must not know what the messages say.

mod name;
mod slow;
mod tap;
#[cfg(test)]
mod tests;

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix::prelude::SendError;
use hortator_proto::api::{
    ActorDetail, ActorOrder, ActorView, DeadLettersOf, KindView, LoadView, MessageView, SlowOne, TurnView,
};
use tokio::time::Instant;

use crate::histogram::Histogram;

pub use name::ActorName;
pub use slow::SlowBoard;
use tap::Tap;

/// One actor's counters. Written by its senders and its own thread, read by anybody.
#[derive(Debug)]
pub struct Gauge {
    slot: usize,
    kind: Arc<Kind>,
    name: ActorName,
    began: Instant,
    /// Messages that may wait.
    capacity: AtomicU64,
    sent: AtomicU64,
    handled: AtomicU64,
    /// Microseconds since `began`: nothing that waits was sent before.
    waiting_since: AtomicU64,
    busy_ns: AtomicU64,
    slowest_ns: AtomicU64,
    slowest: Mutex<&'static str>,
    /// Messages that found it full.
    refused: AtomicU64,
    /// What it handles, and since when.
    now: Mutex<Option<(&'static str, Instant)>>,
    tap: Tap,
}

/// All actors of one type on one node.
#[derive(Debug)]
struct Kind {
    word: &'static str,
    turns: Histogram,
    started: AtomicU64,
    /// Of actors that are gone.
    handled: AtomicU64,
    busy_ns: AtomicU64,
    slowest_ns: AtomicU64,
    slowest: Mutex<&'static str>,
    refused: AtomicU64,
    /// Messages to actors that were gone, and the last of them.
    dead: AtomicU64,
    dead_last: Mutex<String>,
    slow: Arc<SlowBoard>,
}

/// The actors of one node.
#[derive(Debug)]
pub struct Actors {
    began: Instant,
    known: Mutex<Known>,
    slow: Arc<SlowBoard>,
}

/// Starting an actor costs a slot here, so slots are reused and found by their number.
#[derive(Debug, Default)]
struct Known {
    kinds: BTreeMap<TypeId, Arc<Kind>>,
    slots: Vec<Option<Arc<Gauge>>>,
    free: Vec<usize>,
}

impl Known {
    fn alive(&self) -> impl Iterator<Item = &Arc<Gauge>> {
        self.slots.iter().flatten()
    }
}

impl Default for Actors {
    fn default() -> Actors {
        Actors { began: Instant::now(), known: Mutex::default(), slow: Arc::default() }
    }
}

impl Actors {
    /// An actor of type `A` begins.
    pub(crate) fn enter<A: 'static>(&self, name: ActorName) -> Arc<Gauge> {
        let mut known = self.lock();
        let new = || Arc::new(Kind::new(last_word(std::any::type_name::<A>()), self.slow.clone()));
        let kind = known.kinds.entry(TypeId::of::<A>()).or_insert_with(new).clone();
        kind.started.fetch_add(1, Ordering::Relaxed);
        let slot = known.free.pop().unwrap_or(known.slots.len());
        let gauge = Arc::new(Gauge::new(slot, kind, name, self.began));
        match known.slots.get_mut(slot) {
            Some(free) => *free = Some(gauge.clone()),
            None => known.slots.push(Some(gauge.clone())),
        }
        gauge
    }

    /// The actor is gone; its kind remembers what it did.
    pub(crate) fn leave(&self, gauge: &Gauge) {
        {
            let mut known = self.lock();
            known.slots[gauge.slot] = None;
            known.free.push(gauge.slot);
        }
        let (kind, load) = (&gauge.kind, Ordering::Relaxed);
        kind.handled.fetch_add(gauge.handled.load(load), load);
        kind.busy_ns.fetch_add(gauge.busy_ns.load(load), load);
        raise(&kind.slowest_ns, &kind.slowest, gauge.slowest_ns.load(load), slow_word(&gauge.slowest));
    }

    /// For how long this node has counted.
    pub fn up(&self) -> Duration {
        self.began.elapsed()
    }

    pub fn kinds(&self) -> Vec<KindView> {
        let known = self.lock();
        let now = self.began.elapsed();
        let mut views: BTreeMap<&str, KindView> = BTreeMap::new();
        for kind in known.kinds.values() {
            let load = LoadView {
                handled: kind.handled.load(Ordering::Relaxed),
                busy_us: kind.busy_ns.load(Ordering::Relaxed) / 1_000,
                slowest_us: kind.slowest_ns.load(Ordering::Relaxed) / 1_000,
                slowest: slow_word(&kind.slowest).into(),
                ..LoadView::default()
            };
            let started = kind.started.load(Ordering::Relaxed);
            views.insert(kind.word, KindView { kind: kind.word.into(), actors: 0, started, load });
        }
        for gauge in known.alive() {
            let Some(view) = views.get_mut(gauge.kind.word) else { continue };
            let load = gauge.load(now);
            view.actors += 1;
            view.load.mailbox += load.mailbox;
            view.load.oldest_us = view.load.oldest_us.max(load.oldest_us);
            view.load.handled += load.handled;
            view.load.busy_us += load.busy_us;
            if load.slowest_us > view.load.slowest_us {
                (view.load.slowest_us, view.load.slowest) = (load.slowest_us, load.slowest);
            }
        }
        views.into_values().collect()
    }

    /// The first so many in that order.
    pub fn top(&self, order: ActorOrder, count: usize) -> Vec<ActorView> {
        let alive: Vec<Arc<Gauge>> = self.lock().alive().cloned().collect();
        let now = self.began.elapsed();
        let mut loads: Vec<(u64, &Arc<Gauge>, LoadView)> = alive
            .iter()
            .map(|gauge| {
                let load = gauge.load(now);
                let weight = match order {
                    ActorOrder::Mailbox => load.mailbox,
                    ActorOrder::Age => load.oldest_us,
                    ActorOrder::Time => load.busy_us,
                    ActorOrder::Messages => load.handled,
                    ActorOrder::Slowest => load.slowest_us,
                };
                (weight, gauge, load)
            })
            .collect();
        // Among equals the busier first.
        loads.sort_by_key(|(weight, gauge, load)| (std::cmp::Reverse((*weight, load.busy_us)), gauge.slot));
        let view = |(_, gauge, load): (u64, &Arc<Gauge>, LoadView)| gauge.view(load);
        loads.into_iter().take(count).map(view).collect()
    }

    /// The actor of that id: `Shard:shard-1`, or a kind or a name alone where there is one such. Several are given back
    /// as they are.
    pub fn find(&self, id: &str) -> Vec<Arc<Gauge>> {
        let known = self.lock();
        let found = |fits: &dyn Fn(&Gauge) -> bool| -> Vec<Arc<Gauge>> {
            known.alive().filter(|gauge| fits(gauge)).cloned().collect()
        };
        let same = |text: &str, other: &str| text.eq_ignore_ascii_case(other);
        let exact = found(&|gauge| same(&gauge.id(), id));
        match exact.is_empty() {
            true => found(&|gauge| same(gauge.kind.word, id) || same(&gauge.name.to_string(), id)),
            false => exact,
        }
    }

    pub fn detail(&self, gauge: &Gauge, master: &str) -> ActorDetail {
        gauge.detail(master, self.up())
    }

    /// The slowest turns of the last hour.
    pub fn slowest(&self, count: usize) -> Vec<SlowOne> {
        self.slow.top(count)
    }

    /// Kinds with messages that came to nothing.
    pub fn dead_letters(&self) -> Vec<DeadLettersOf> {
        let of = |kind: &Arc<Kind>| DeadLettersOf {
            kind: kind.word.into(),
            dead: kind.dead.load(Ordering::Relaxed),
            last: kind.dead_last.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            refused: kind.refused.load(Ordering::Relaxed),
        };
        let mut found: Vec<DeadLettersOf> = self.lock().kinds.values().map(of).collect();
        found.sort_by(|a, b| a.kind.cmp(&b.kind));
        found
    }

    /// Lines of OpenMetrics text: how long turns take, by kind.
    pub(crate) fn write_turns(&self, text: &mut String, name: &str) {
        let kinds = self.lock().kinds.clone();
        let kinds: BTreeMap<&str, &Arc<Kind>> = kinds.values().map(|kind| (kind.word, kind)).collect();
        for kind in kinds.into_values() {
            kind.turns.write(text, name, &format!("kind=\"{}\",", kind.word));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kind {
    fn new(word: &'static str, slow: Arc<SlowBoard>) -> Kind {
        Kind {
            word,
            turns: Histogram::default(),
            started: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            busy_ns: AtomicU64::new(0),
            slowest_ns: AtomicU64::new(0),
            slowest: Mutex::new(""),
            refused: AtomicU64::new(0),
            dead: AtomicU64::new(0),
            dead_last: Mutex::default(),
            slow,
        }
    }
}

impl Gauge {
    fn new(slot: usize, kind: Arc<Kind>, name: ActorName, began: Instant) -> Gauge {
        Gauge {
            slot,
            kind,
            name,
            began,
            capacity: AtomicU64::new(u64::MAX),
            sent: AtomicU64::new(0),
            handled: AtomicU64::new(0),
            waiting_since: AtomicU64::new(0),
            busy_ns: AtomicU64::new(0),
            slowest_ns: AtomicU64::new(0),
            slowest: Mutex::new(""),
            refused: AtomicU64::new(0),
            now: Mutex::new(None),
            tap: Tap::default(),
        }
    }

    pub(crate) fn set_capacity(&self, messages: usize) {
        self.capacity.store(messages as u64, Ordering::Relaxed);
    }

    /// A message is about to be put into the mailbox, if there is room. actix gives each clone of an address a place of
    /// its own beyond the bound, and addresses are cloned for each message: only this count is a bound.
    #[must_use]
    pub(crate) fn admits(&self) -> bool {
        let waiting = self.sends();
        let fits = waiting < self.capacity.load(Ordering::Relaxed);
        if !fits {
            self.takes_back();
            self.was_full();
        }
        fits
    }

    /// The same for a message that is not refused; says how many waited before it.
    pub(crate) fn sends(&self) -> u64 {
        let before = self.sent.fetch_add(1, Ordering::Relaxed);
        let handled = self.handled.load(Ordering::Relaxed);
        if before <= handled {
            self.waiting_since.store(micros(self.began.elapsed()), Ordering::Relaxed);
        }
        before.saturating_sub(handled)
    }

    /// It was refused.
    pub(crate) fn takes_back(&self) {
        self.sent.fetch_sub(1, Ordering::Relaxed);
    }

    /// It was refused, for want of room or of an actor.
    pub(crate) fn bounces<M>(&self, error: &SendError<M>) {
        self.takes_back();
        match error {
            SendError::Full(_) => self.was_full(),
            SendError::Closed(_) => self.was_gone(std::any::type_name::<M>()),
        }
    }

    fn was_full(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        self.kind.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// The actor it was for has stopped.
    pub(crate) fn was_gone(&self, message: &'static str) {
        self.kind.dead.fetch_add(1, Ordering::Relaxed);
        let last = format!("{} to {}", last_word(message), self.id());
        *self.kind.dead_last.lock().unwrap_or_else(PoisonError::into_inner) = last;
    }

    /// A message that was sent at `sent` begins its turn `now`; what waits behind it is younger.
    pub(crate) fn begins(&self, sent: Instant, now: Instant, message: &'static str) {
        *self.lock_now() = Some((message, now));
        self.waiting_since.store(micros(sent.saturating_duration_since(self.began)), Ordering::Relaxed);
        self.handled.fetch_add(1, Ordering::Relaxed);
    }

    /// Nothing came of that turn.
    pub(crate) fn skips(&self) {
        *self.lock_now() = None;
    }

    /// The turn over a message of this type took so long.
    pub(crate) fn ends(&self, took: Duration, message: &'static str) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.busy_ns.fetch_add(ns, Ordering::Relaxed);
        self.kind.turns.add(took);
        *self.lock_now() = None;
        self.tap.note(last_word, message, ns);
        self.kind.slow.note(took, || format!("{} handled {}", self.id(), last_word(message)));
        if ns > self.slowest_ns.load(Ordering::Relaxed) {
            raise(&self.slowest_ns, &self.slowest, ns, last_word(message));
        }
    }

    /// By which people ask for it: its kind, and its name if there may be others of the kind.
    pub(crate) fn id(&self) -> String {
        match &self.name {
            ActorName::Only => self.kind.word.into(),
            name => format!("{}:{name}", self.kind.word),
        }
    }

    pub(crate) fn kind(&self) -> &'static str {
        self.kind.word
    }

    pub(crate) fn name(&self) -> &ActorName {
        &self.name
    }

    /// From now on what it handles is counted by message, until it is taken.
    pub(crate) fn listen(&self) {
        self.tap.open();
    }

    pub(crate) fn heard(&self) -> Vec<MessageView> {
        self.tap.take()
    }

    fn lock_now(&self) -> std::sync::MutexGuard<'_, Option<(&'static str, Instant)>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn view(&self, load: LoadView) -> ActorView {
        ActorView { kind: self.kind.word.into(), name: self.name.to_string(), id: self.id(), load }
    }

    fn detail(&self, master: &str, up: Duration) -> ActorDetail {
        let turn = |(message, since): (&'static str, Instant)| TurnView {
            message: last_word(message).into(),
            took_us: micros(since.elapsed()),
        };
        ActorDetail {
            master: master.into(),
            view: self.view(self.load(up)),
            age_us: micros(up),
            capacity: self.capacity.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            now: self.lock_now().map(turn),
            kind_p50_us: micros(self.kind.turns.quantile(50)),
            kind_p99_us: micros(self.kind.turns.quantile(99)),
        }
    }

    fn load(&self, now: Duration) -> LoadView {
        let handled = self.handled.load(Ordering::Relaxed);
        let mailbox = self.sent.load(Ordering::Relaxed).saturating_sub(handled);
        let since = self.waiting_since.load(Ordering::Relaxed);
        LoadView {
            mailbox,
            oldest_us: if mailbox == 0 { 0 } else { micros(now).saturating_sub(since) },
            handled,
            busy_us: self.busy_ns.load(Ordering::Relaxed) / 1_000,
            slowest_us: self.slowest_ns.load(Ordering::Relaxed) / 1_000,
            slowest: slow_word(&self.slowest).into(),
        }
    }
}

/// The two belong together only roughly: whoever looks sees one of the slowest turns.
fn raise(slowest_ns: &AtomicU64, slowest: &Mutex<&'static str>, ns: u64, message: &'static str) {
    if ns > slowest_ns.fetch_max(ns, Ordering::Relaxed) {
        *slowest.lock().unwrap_or_else(PoisonError::into_inner) = message;
    }
}

fn slow_word(slowest: &Mutex<&'static str>) -> &'static str {
    *slowest.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// `hortator_actors::group::PeerPayload` without its path.
fn last_word(path: &'static str) -> &'static str {
    let end = path.find('<').unwrap_or(path.len());
    path[..end].rfind("::").map_or(path, |place| &path[place + 2..])
}
