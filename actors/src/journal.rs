//! What the deciding actors of one group hand in, until it is committed: the only way from a decision to the log,
//! and from the log to its effects. It must not know what an event or an effect means.
//!
//! ```text
//!  hand_in ─▶ pending ─flush─▶ in flight ─committed─▶ effects (executed by the epoch's owner)
//! ```
//!
//! What is handed in while an entry is in flight shares the next one (group commit), unless that entry is a large one:
//! then the next follows at once. While an offer waits for its grant the pending entry is held back for a moment, so that
//! "A finished" and "B dispatched" share it. Entries that few decisions share keep a pace: a commit costs the same for
//! one of them and for fifty.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use hortator_core::event::{Event, HistoryEntry};
use hortator_core::id::RunId;
use hortator_core::time::{Span, Timestamp};
use hortator_raft::{Batch, Position, Ticket, Write, sometimes};

use crate::group::{ConfirmRead, GroupActor, Propose};
use crate::mailbox::Mailbox;
use crate::seam::Clock;

/// A pending entry of this size is closed, and goes out whatever is in flight. An entry holds one history row
/// per run, which says outputs twice (attempt and task run) where a task's row says them once: with the largest turn
/// on top this stays below the store's longest value, 1 MiB.
const FULL_BYTES: usize = 384 << 10;
/// Entries in flight at most; a few keep the disks busy.
const IN_FLIGHT_MAX: usize = 4;
/// Bytes handed in and not committed, from which on new commands are refused and reports left in their spools. Far
/// below raft's own bound on uncommitted bytes (64 MiB), which would end the epoch.
const PRESSURE_BYTES: usize = 16 << 20;

/// From so many turns on an entry was shared by several task runs: one that ends, its run and its successor take four.
const SHARED_TURNS: u32 = 6;
/// A commit costs two syncs and frames on every master, as much as some dozens of turns cost. With so many an entry has
/// bought all there is to buy, and whoever comes after it need not wait for its commit, or for a pause.
const LARGE_TURNS: u32 = 50;
/// After the commit of an entry that was shared and not large the next one waits as long as that commit took, within
/// these bounds, so that commits get at most half of a busy shard's time and are shared by more. Less than the least is
/// below the timers' grain; the most keeps a slow disk from adding to its own slowness.
const PAUSE: (Span, Span) = (Span(1_000), Span(5_000));

/// One decision: what changes, what history says, and what follows once that is committed.
#[derive(Debug)]
pub struct Turn<E> {
    pub writes: Vec<Write>,
    pub events: Vec<(RunId, Event)>,
    pub effects: Vec<E>,
}

impl<E> Default for Turn<E> {
    fn default() -> Turn<E> {
        Turn { writes: Vec::new(), events: Vec::new(), effects: Vec::new() }
    }
}

/// How history becomes rows; the format is the proto crate's.
pub type HistoryWrite = fn(RunId, &HistoryEntry) -> Write;

/// One epoch's journal; ends with it. Shared by the actors of one thread.
pub struct Journal<E> {
    group: Mailbox<GroupActor>,
    clock: Arc<dyn Clock>,
    history: HistoryWrite,
    term: u64,
    epoch: u64,
    /// Wall time and time since boot when the epoch began: its time goes on from there by the boot clock alone.
    began: Cell<(Timestamp, Span)>,
    state: RefCell<State<E>>,
}

struct State<E> {
    open: bool,
    /// Leadership is handed over: nothing more is handed in, what was is committed.
    draining: bool,
    held: bool,
    next_sequence: u64,
    next_token: u64,
    stamp: Timestamp,
    pending: Pending<E>,
    /// Full ones before it, with their stamps.
    closed: VecDeque<(Timestamp, Pending<E>)>,
    bytes_closed: usize,
    in_flight: VecDeque<InFlight<E>>,
    bytes_in_flight: usize,
    /// Time since boot before which the pending entry stays, unless it is full.
    paced_until: Span,
    /// What the group had no room for: the last entry of those in flight, and nothing goes out before it.
    unsent: Option<Propose>,
    /// Effects whose round the group had no room for.
    unasked: Vec<E>,
    /// Effects that wait for a ReadIndex round, by its token.
    reads: BTreeMap<u64, Vec<E>>,
}

struct Pending<E> {
    writes: Vec<Write>,
    history: BTreeMap<RunId, Vec<Event>>,
    effects: Vec<E>,
    turns: u32,
    bytes: usize,
}

struct InFlight<E> {
    sequence: u64,
    bytes: usize,
    turns: u32,
    /// Time since boot.
    proposed: Span,
    effects: Vec<E>,
}

/// What a flush leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a paced entry goes out only when somebody flushes again"]
pub enum Flushed {
    /// Nothing, or what the next commit lets go.
    Done,
    /// The pending entry; it may go out after this time.
    Paced(Span),
}

/// What became of the effects when notices came in.
#[derive(Debug)]
pub struct Settled<E> {
    /// The entry's place; none when they rest on a ReadIndex round.
    pub position: Option<Position>,
    pub effects: Vec<E>,
}

impl<E> std::fmt::Debug for Journal<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Journal(epoch {})", self.epoch)
    }
}

impl<E> Journal<E> {
    /// `floor`: a time that the group's rows name; the epoch's time begins no earlier.
    pub fn new(
        group: Mailbox<GroupActor>,
        clock: Arc<dyn Clock>,
        history: HistoryWrite,
        (term, epoch): (u64, u64),
        floor: Timestamp,
    ) -> Journal<E> {
        let began = (clock.wall().max(floor), clock.boot());
        let state = State {
            open: true,
            draining: false,
            held: false,
            next_sequence: 0,
            next_token: 1,
            stamp: began.0,
            pending: Pending::new(),
            closed: VecDeque::new(),
            bytes_closed: 0,
            in_flight: VecDeque::new(),
            bytes_in_flight: 0,
            paced_until: Span(0),
            unsent: None,
            unasked: Vec::new(),
            reads: BTreeMap::new(),
        };
        Journal { group, clock, history, term, epoch, began: Cell::new(began), state: RefCell::new(state) }
    }

    /// The group's rows name that time: nothing decided from here on is stamped earlier, whatever this master's clock
    /// says. What was decided before keeps its stamp, in an entry of its own.
    pub fn no_earlier_than(&self, at: Timestamp) {
        if at <= self.time() {
            return;
        }
        sometimes!("journal: a clock is behind what its group's rows name");
        self.began.set((at, self.clock.boot()));
        let mut state = self.state.borrow_mut();
        if !state.pending.is_empty() {
            state.close_pending();
        }
    }

    /// When the epoch began, or what its rows name as a later time.
    pub fn began_at(&self) -> Timestamp {
        self.began.get().0
    }

    /// False once the epoch has ended or is about to: whoever sees that stops and touches nothing.
    pub fn is_open(&self) -> bool {
        let state = self.state.borrow();
        state.open && !state.draining
    }

    pub fn term(&self) -> u64 {
        self.term
    }

    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The stamp for a decision. All decisions of one entry share it, so that folding history gives the same states.
    pub fn now(&self) -> Timestamp {
        let mut state = self.state.borrow_mut();
        if state.pending.is_empty() {
            let now = self.time();
            state.stamp = state.stamp.max(now);
        }
        state.stamp
    }

    /// Time since boot, by this master's clock.
    pub fn boot(&self) -> Span {
        self.clock.boot()
    }

    /// The epoch's time, which may be later than the stamp of the pending entry.
    pub fn time(&self) -> Timestamp {
        let (wall, boot) = self.began.get();
        wall.plus(Span(self.clock.boot().0.saturating_sub(boot.0)))
    }

    /// Takes a decision in. Effects of a turn without writes wait for the last thing handed in before them, or, when
    /// nothing is under way, for a ReadIndex round. Returns whether a flush should be arranged.
    pub fn hand_in(&self, turn: Turn<E>) -> bool {
        let mut state = self.state.borrow_mut();
        if !state.open || state.draining {
            return false;
        }
        if !turn.writes.is_empty() || !turn.events.is_empty() {
            state.pending.take_in(turn);
            if state.pending.bytes >= FULL_BYTES {
                state.close_pending();
            }
            return true;
        }
        if turn.effects.is_empty() {
            return false;
        }
        if !state.pending.is_empty() {
            state.pending.effects.extend(turn.effects);
            return true;
        }
        if let Some((_, last)) = state.closed.back_mut() {
            last.effects.extend(turn.effects);
            return true;
        }
        if let Some(last) = state.in_flight.back_mut() {
            last.effects.extend(turn.effects);
            return false;
        }
        self.confirm(&mut state, turn.effects);
        false
    }

    /// Effects that need a ReadIndex round even when entries are under way: reads of rows.
    pub fn confirm_then(&self, effects: Vec<E>) {
        let mut state = self.state.borrow_mut();
        if state.open {
            self.confirm(&mut state, effects);
        }
    }

    fn confirm(&self, state: &mut State<E>, effects: Vec<E>) {
        // Effects that gather while a round is asked for, but not sent, would need one of their own: rounds are
        // cheap, and raft runs them together.
        let token = state.next_token;
        state.next_token += 1;
        match self.group.send(ConfirmRead { token }) {
            Ok(()) => drop(state.reads.insert(token, effects)),
            Err(_) => state.unasked.extend(effects),
        }
    }

    /// Says again what the group had no room for; from time to time, by the clock of the epoch's owner.
    pub fn press(&self) {
        let mut state = self.state.borrow_mut();
        let unasked = std::mem::take(&mut state.unasked);
        if state.open && !unasked.is_empty() {
            self.confirm(&mut state, unasked);
        }
        self.send_unsent(&mut state);
    }

    /// False while the last proposal has not gone out.
    fn send_unsent(&self, state: &mut State<E>) -> bool {
        if let Some(propose) = state.unsent.take().filter(|_| state.open) {
            state.unsent = self.group.offer(propose).err();
        }
        state.unsent.is_none()
    }

    /// Keeps the pending entry back until `release`, for grants that are on their way.
    pub fn hold(&self) {
        self.state.borrow_mut().held = true;
    }

    pub fn release(&self) {
        self.state.borrow_mut().held = false;
    }

    pub fn is_held(&self) -> bool {
        self.state.borrow().held
    }

    /// Whether anything waits to be proposed.
    pub fn has_pending(&self) -> bool {
        let state = self.state.borrow();
        !state.pending.is_empty() || !state.closed.is_empty()
    }

    /// Over this, whatever may decide waits outside.
    pub fn under_pressure(&self) -> bool {
        let state = self.state.borrow();
        state.pending.bytes + state.bytes_closed + state.bytes_in_flight > PRESSURE_BYTES
    }

    /// Proposes what may go out now: full entries at once, the pending one when no small one is in flight.
    pub fn flush(&self) {
        let mut state = self.state.borrow_mut();
        self.flush_full(&mut state);
        if state.may_go_out() {
            self.flush_pending(&mut state);
        }
    }

    /// Like [`Journal::flush`], and the pending entry keeps its pace.
    pub fn flush_paced(&self) -> Flushed {
        let mut state = self.state.borrow_mut();
        self.flush_full(&mut state);
        if !state.may_go_out() {
            return Flushed::Done;
        }
        let boot = self.clock.boot();
        if boot.0 < state.paced_until.0 {
            return Flushed::Paced(Span(state.paced_until.0 - boot.0));
        }
        self.flush_pending(&mut state);
        Flushed::Done
    }

    fn flush_full(&self, state: &mut State<E>) {
        while state.open && state.in_flight.len() < IN_FLIGHT_MAX && self.send_unsent(state) {
            let Some((stamp, full)) = state.closed.pop_front() else { return };
            state.bytes_closed -= full.bytes;
            self.propose(state, stamp, full);
        }
    }

    fn flush_pending(&self, state: &mut State<E>) {
        sometimes!(!state.in_flight.is_empty(), "journal: an entry follows large ones at once");
        let stamp = state.stamp;
        let pending = std::mem::replace(&mut state.pending, Pending::new());
        self.propose(state, stamp, pending);
    }

    fn propose(&self, state: &mut State<E>, at: Timestamp, pending: Pending<E>) {
        let Pending { mut writes, history, effects, bytes, turns } = pending;
        for (run, events) in history {
            writes.push((self.history)(run, &HistoryEntry { at, events }));
        }
        let sequence = state.next_sequence;
        let ticket = Ticket { term: self.term, epoch: self.epoch, sequence };
        let proposed = self.clock.boot();
        state.in_flight.push_back(InFlight { sequence, bytes, turns, proposed, effects });
        state.bytes_in_flight += bytes;
        state.next_sequence += 1;
        // Its sequence is spent, and the group takes no later one before it.
        state.unsent = self.group.offer(Propose { ticket, batch: Batch { writes } }).err();
    }

    /// Takes effects out before their time has come; only mutants do that.
    pub(crate) fn steal(&self, wanted: impl Fn(&E) -> bool) -> Vec<E> {
        let mut state = self.state.borrow_mut();
        let State { pending, in_flight, .. } = &mut *state;
        let waiting = in_flight.iter_mut().map(|entry| &mut entry.effects);
        waiting
            .chain([&mut pending.effects])
            .flat_map(|effects| effects.extract_if(.., |effect| wanted(effect)))
            .collect()
    }

    /// An entry of this epoch was committed. One of another epoch or out of turn settles nothing.
    pub fn committed(&self, position: Position, epoch: u64, sequence: u64) -> Option<Settled<E>> {
        let mut state = self.state.borrow_mut();
        if !state.open || epoch != self.epoch || position.term != self.term {
            return None;
        }
        let first = state.in_flight.front().map(|entry| entry.sequence);
        assert_eq!(first, Some(sequence), "commits of an epoch come in the order of its proposals");
        let entry = state.in_flight.pop_front().expect("it was just looked at");
        state.bytes_in_flight -= entry.bytes;
        if (SHARED_TURNS..LARGE_TURNS).contains(&entry.turns) {
            let now = self.clock.boot();
            let pause = (now.0 - entry.proposed.0).clamp(PAUSE.0.0, PAUSE.1.0);
            state.paced_until = Span(now.0 + pause);
        }
        Some(Settled { position: Some(position), effects: entry.effects })
    }

    pub fn read_confirmed(&self, token: u64) -> Option<Settled<E>> {
        let mut state = self.state.borrow_mut();
        if !state.open {
            return None;
        }
        let effects = state.reads.remove(&token)?;
        Some(Settled { position: None, effects })
    }

    /// The round came to nothing: another one, as long as the epoch lives.
    pub fn read_dropped(&self, token: u64) {
        let mut state = self.state.borrow_mut();
        if let Some(effects) = state.reads.remove(&token)
            && state.open
        {
            self.confirm(&mut state, effects);
        }
    }

    /// Proposes all there is, whatever it waited for, and takes nothing more. Effects of what is committed still happen.
    /// There is no way back: the epoch ends with the leadership, or another one begins here.
    pub fn drain(&self) {
        let mut state = self.state.borrow_mut();
        while state.open
            && self.send_unsent(&mut state)
            && let Some((stamp, full)) = state.closed.pop_front()
        {
            state.bytes_closed -= full.bytes;
            self.propose(&mut state, stamp, full);
        }
        if state.open && !state.pending.is_empty() && state.closed.is_empty() && self.send_unsent(&mut state)
        {
            self.flush_pending(&mut state);
        }
        state.draining = true;
    }

    /// The epoch is over: nothing more is proposed, and no effect of it is executed.
    pub fn close(&self) {
        let mut state = self.state.borrow_mut();
        state.open = false;
        state.pending = Pending::new();
        state.closed.clear();
        state.in_flight.clear();
        state.unsent = None;
        state.unasked.clear();
        state.reads.clear();
    }
}

impl<E> State<E> {
    fn close_pending(&mut self) {
        let full = std::mem::replace(&mut self.pending, Pending::new());
        self.bytes_closed += full.bytes;
        self.closed.push_back((self.stamp, full));
    }

    /// Whether there is a pending entry that waits for nothing but its pace.
    fn may_go_out(&self) -> bool {
        let room = self.in_flight.len() < IN_FLIGHT_MAX && self.closed.is_empty() && self.unsent.is_none();
        let all_large = self.in_flight.iter().all(|entry| entry.turns >= LARGE_TURNS);
        self.open && !self.held && !self.pending.is_empty() && room && all_large
    }
}

impl<E> Pending<E> {
    fn new() -> Pending<E> {
        Pending { writes: Vec::new(), history: BTreeMap::new(), effects: Vec::new(), turns: 0, bytes: 0 }
    }

    fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.history.is_empty()
    }

    fn take_in(&mut self, turn: Turn<E>) {
        /// What an event adds to its entry, about; exact only for what is large.
        const EVENT_BYTES: usize = 64;
        self.turns += 1;
        self.bytes += turn.writes.iter().map(write_bytes).sum::<usize>() + turn.events.len() * EVENT_BYTES;
        self.writes.extend(turn.writes);
        self.effects.extend(turn.effects);
        for (run, event) in turn.events {
            self.history.entry(run).or_default().push(event);
        }
    }
}

fn write_bytes(write: &Write) -> usize {
    let len = |bytes: &Bytes| bytes.len();
    match write {
        Write::Put { key, value } | Write::PutAtIndex { prefix: key, value } => len(key) + len(value),
        Write::Delete { key } => len(key),
        Write::DeleteRange { from, to } => len(from) + len(to),
    }
}
