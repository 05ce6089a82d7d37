//! S12: replays what each Dispatcher was shown and granted. Of all that asks for the same, the first in order of run
//! priority, run, task priority and activation is granted first, whatever became of earlier grants. Must not know how a
//! Dispatcher keeps its queues.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use hortator_actors::placing::Listener;
use hortator_core::definition::Priority;
use hortator_core::dispatch::stream::{
    DispatcherFrame, DispatcherItem, DispatcherTerm, FrameTaken, ListState, OfferFrame, OfferItem,
};
use hortator_core::dispatch::{Grant, Offer, Rank, Shape};
use hortator_core::id::{RunId, TaskKey, TaskRunId};
use hortator_core::time::{Span, Timestamp};

use crate::checkers::Violation;

const PROMISE: &str =
    "of what asks for the same the highest priority is placed first, also after a grant that came to nothing";
/// More say nothing new.
const VIOLATIONS_MAX: usize = 20;

/// See the module. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Priorities(Rc<RefCell<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    dispatchers: BTreeMap<DispatcherTerm, Queues>,
    violations: Vec<Violation>,
}

/// What one Dispatcher knows, by what it was told.
#[derive(Debug, Default)]
struct Queues {
    shards: BTreeMap<u32, Shown>,
    waiting: BTreeMap<Arc<Shape>, BTreeSet<Turn>>,
}

/// Of one shard.
#[derive(Debug, Default)]
struct Shown {
    offers: BTreeMap<TaskRunId, Known>,
    phase: Phase,
}

#[derive(Debug, Default)]
enum Phase {
    /// A list is awaited.
    #[default]
    Broken,
    /// What a list has named so far.
    Listing(Vec<Offer>),
    Synced,
}

#[derive(Debug)]
struct Known {
    shape: Arc<Shape>,
    turn: Turn,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Granted { number: u64, until: Timestamp },
}

/// Less is earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    run_priority: Priority,
    run_created: Timestamp,
    run: RunId,
    task_priority: Priority,
    /// Milliseconds of the path behind it: the longest first.
    remaining: Reverse<u64>,
    activation: u64,
    key: TaskKey,
}

impl Turn {
    fn of(rank: &Rank, task_run: TaskRunId) -> Turn {
        Turn {
            run_priority: rank.run_priority,
            run_created: rank.run_created,
            run: task_run.run,
            task_priority: rank.task_priority,
            remaining: Reverse(rank.remaining.0 / 1_000),
            activation: rank.activation,
            key: task_run.key,
        }
    }
}

impl Priorities {
    pub fn violations(&self) -> Vec<Violation> {
        self.0.borrow().violations.clone()
    }
}

impl Listener for Priorities {
    fn hears(&mut self, frame: OfferFrame, taken: FrameTaken) {
        let mut seen = self.0.borrow_mut();
        let queues = seen.dispatchers.entry(frame.stream.dispatcher_term).or_default();
        match taken {
            FrameTaken::Old => {}
            FrameTaken::AskedForList => queues.freeze(frame.stream.shard, Phase::Broken),
            FrameTaken::Yes => queues.take(frame),
        }
    }

    fn says(&mut self, term: DispatcherTerm, frames: &[DispatcherFrame], now: Timestamp) {
        let mut seen = self.0.borrow_mut();
        let Seen { dispatchers, violations } = &mut *seen;
        let queues = dispatchers.entry(term).or_default();
        queues.expire(now);
        let items = frames.iter().flat_map(|frame| &frame.items);
        let grants: Vec<&Grant> = items
            .filter_map(|item| match item {
                DispatcherItem::Grant(grant) => Some(grant),
                _ => None,
            })
            .collect();
        for grant in &grants {
            queues.grant(grant, now);
        }
        // What still waits after the round could have been granted in place of each that was.
        let wrong = grants.iter().filter_map(|grant| queues.passed_over(grant.task_run));
        let room = VIOLATIONS_MAX.saturating_sub(violations.len());
        violations.extend(wrong.take(room).map(|detail| Violation {
            checker: "S12",
            promise: PROMISE,
            detail: format!("dispatcher {}: {detail}", term.0),
        }));
    }
}

impl Queues {
    /// The shard's waiting offers may not be true any more; grants go on.
    fn freeze(&mut self, shard: u32, phase: Phase) {
        let shown = self.shards.entry(shard).or_default();
        shown.phase = phase;
        let void: Vec<TaskRunId> = shown
            .offers
            .iter()
            .filter(|(_, known)| known.state == State::Waiting)
            .map(|(task_run, _)| *task_run)
            .collect();
        void.into_iter().for_each(|task_run| self.forget(shard, task_run));
    }

    fn take(&mut self, frame: OfferFrame) {
        let shard = frame.stream.shard;
        if matches!(frame.list, ListState::Begin | ListState::Whole) {
            self.freeze(shard, Phase::Listing(Vec::new()));
        }
        let shown = self.shards.entry(shard).or_default();
        if let Phase::Listing(listing) = &mut shown.phase {
            listing.extend(frame.items.into_iter().filter_map(|item| match item {
                OfferItem::Offer(offer) => Some(offer),
                _ => None,
            }));
            if matches!(frame.list, ListState::End | ListState::Whole) {
                self.end_list(shard);
            }
            return;
        }
        for item in frame.items {
            match item {
                OfferItem::Offer(offer) => self.show(shard, offer),
                OfferItem::Withdraw(task_run) | OfferItem::Dispatched { task_run, .. } => {
                    self.forget(shard, task_run);
                }
                OfferItem::GrantFailed { task_run, grant, .. } => self.failed(shard, task_run, grant),
                OfferItem::Horizon { .. }
                | OfferItem::Work { .. }
                | OfferItem::Pace { .. }
                | OfferItem::Ended { .. } => {}
            }
        }
    }

    fn end_list(&mut self, shard: u32) {
        let shown = self.shards.entry(shard).or_default();
        let Phase::Listing(listed) = std::mem::replace(&mut shown.phase, Phase::Synced) else { return };
        let mut granted = std::mem::take(&mut shown.offers);
        for offer in listed {
            let task_run = offer.task_run;
            let before = granted.remove(&task_run).map(|known| known.state);
            self.show(shard, offer);
            // Its grant may still be used; its place is what the list says: a later epoch counts activations anew.
            if let Some(state @ State::Granted { .. }) = before {
                self.withhold(shard, task_run, state);
            }
        }
    }

    fn withhold(&mut self, shard: u32, task_run: TaskRunId, state: State) {
        let shown = self.shards.entry(shard).or_default();
        let Some(known) = shown.offers.get_mut(&task_run) else { return };
        known.state = state;
        let (shape, turn) = (known.shape.clone(), known.turn);
        self.leaves_queue(&shape, turn);
    }

    fn show(&mut self, shard: u32, offer: Offer) {
        self.forget(shard, offer.task_run);
        let turn = Turn::of(&offer.rank, offer.task_run);
        self.waiting.entry(offer.shape.clone()).or_default().insert(turn);
        let known = Known { shape: offer.shape, turn, state: State::Waiting };
        self.shards.entry(shard).or_default().offers.insert(offer.task_run, known);
    }

    fn forget(&mut self, shard: u32, task_run: TaskRunId) {
        let Some(known) = self.shards.entry(shard).or_default().offers.remove(&task_run) else { return };
        self.leaves_queue(&known.shape, known.turn);
    }

    fn leaves_queue(&mut self, shape: &Arc<Shape>, turn: Turn) {
        if let Some(waiting) = self.waiting.get_mut(shape) {
            waiting.remove(&turn);
            if waiting.is_empty() {
                self.waiting.remove(shape);
            }
        }
    }

    fn failed(&mut self, shard: u32, task_run: TaskRunId, grant: u64) {
        let known = self.shards.entry(shard).or_default().offers.get_mut(&task_run);
        if let Some(known) = known
            && matches!(known.state, State::Granted { number, .. } if number == grant)
        {
            known.state = State::Waiting;
            self.waiting.entry(known.shape.clone()).or_default().insert(known.turn);
        }
    }

    /// Grants that nobody used in time: their task runs wait again, unless their shard has to say so first.
    fn expire(&mut self, now: Timestamp) {
        for shown in self.shards.values_mut() {
            let is_over = |known: &Known| matches!(known.state, State::Granted { until, .. } if until <= now);
            if !matches!(shown.phase, Phase::Synced) {
                shown.offers.retain(|_, known| !is_over(known));
                continue;
            }
            for known in shown.offers.values_mut().filter(|known| is_over(known)) {
                known.state = State::Waiting;
                self.waiting.entry(known.shape.clone()).or_default().insert(known.turn);
            }
        }
    }

    fn grant(&mut self, grant: &Grant, now: Timestamp) {
        let shown = self.shards.entry(grant.task_run.run.shard()).or_default();
        let Some(known) = shown.offers.get_mut(&grant.task_run) else { return };
        // The Dispatcher keeps the room twice as long as the shard may use it.
        let until = now.plus(Span(grant.valid_for.0.saturating_mul(2)));
        known.state = State::Granted { number: grant.number, until };
        let (shape, turn) = (known.shape.clone(), known.turn);
        self.leaves_queue(&shape, turn);
    }

    /// The better one that waits although this one was granted.
    fn passed_over(&self, granted: TaskRunId) -> Option<String> {
        let known = self.shards.get(&granted.run.shard())?.offers.get(&granted)?;
        let first = self.waiting.get(&known.shape)?.first()?;
        (*first < known.turn).then(|| {
            format!(
                "{granted:?} was granted while the higher {:?} of run {} waited for the same",
                first.key, first.run
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use hortator_core::dispatch::stream::StreamId;
    use hortator_core::dispatch::{GrantFailed, KindTag};
    use hortator_core::id::{Name, WorkerRef};

    use super::*;

    const SHARD: u32 = 1;

    fn name(text: &str) -> Name {
        text.parse().expect("a name")
    }

    fn stream() -> StreamId {
        StreamId { shard: SHARD, shard_term: 1, epoch: 1, dispatcher_term: DispatcherTerm(1) }
    }

    /// Task runs by number; the lower is the earlier.
    fn task_run(number: u32) -> TaskRunId {
        TaskRunId { run: RunId::new(1_000, SHARD, 1), key: TaskKey { task: number, item: 0 } }
    }

    enum Step {
        Lists(&'static [u32]),
        /// With their places in the order of a later epoch.
        ListsAnew(&'static [(u32, u64)]),
        Fails {
            task: u32,
            grant: u64,
        },
        /// With the number of the first of these grants.
        Grants(u64, &'static [u32]),
        Waits(Span),
    }

    fn offer(number: u32) -> OfferItem {
        offer_at((number, u64::from(number)))
    }

    fn offer_at((number, activation): (u32, u64)) -> OfferItem {
        let rank = Rank {
            run_priority: Priority::Normal,
            run_created: Timestamp(0),
            task_priority: Priority::Normal,
            remaining: Span::ZERO,
            activation,
        };
        let shape = Arc::new(Shape::of_slots(name("w"), name("default"), KindTag::Shell, 1));
        OfferItem::Offer(Offer { task_run: task_run(number), shape, rank, since: Timestamp(0) })
    }

    fn grant(task: u32, number: u64) -> DispatcherItem {
        DispatcherItem::Grant(Grant {
            task_run: task_run(task),
            worker: WorkerRef { name: name("w1"), incarnation: 1 },
            request: 0,
            devices: Vec::new(),
            number,
            valid_for: Span::from_millis(500),
        })
    }

    fn count(steps: &[Step]) -> usize {
        let (mut priorities, mut now) = (Priorities::default(), Timestamp(0));
        for step in steps {
            let hears = |priorities: &mut Priorities, list, items| {
                priorities.hears(OfferFrame { stream: stream(), number: 1, list, items }, FrameTaken::Yes);
            };
            match *step {
                Step::Lists(tasks) => {
                    hears(&mut priorities, ListState::Whole, tasks.iter().copied().map(offer).collect());
                }
                Step::ListsAnew(tasks) => {
                    hears(&mut priorities, ListState::Whole, tasks.iter().copied().map(offer_at).collect());
                }
                Step::Fails { task, grant } => {
                    let why = GrantFailed::AtWorker;
                    let failed = OfferItem::GrantFailed { task_run: task_run(task), grant, why };
                    hears(&mut priorities, ListState::Delta, vec![failed]);
                }
                Step::Grants(first, tasks) => {
                    let items =
                        tasks.iter().zip(first..).map(|(task, number)| grant(*task, number)).collect();
                    let frame =
                        DispatcherFrame { stream: stream(), list: 1, number: 1, round: 1, rows: 0, items };
                    priorities.says(DispatcherTerm(1), &[frame], now);
                }
                Step::Waits(span) => now = now.plus(span),
            }
        }
        priorities.violations().len()
    }

    #[test]
    fn whoever_is_passed_over_is_seen() {
        use Step::{Fails, Grants, Lists, ListsAnew, Waits};
        let second = || Waits(Span::from_secs(1));
        for (case, steps, expected) in [
            ("in order", vec![Lists(&[1, 2, 3]), Grants(1, &[1]), Grants(2, &[2, 3])], 0),
            ("one round", vec![Lists(&[1, 2, 3]), Grants(1, &[2, 1])], 0),
            ("the second first", vec![Lists(&[1, 2, 3]), Grants(1, &[2])], 1),
            (
                "failed and to the tail",
                vec![Lists(&[1, 2]), Grants(1, &[1]), Fails { task: 1, grant: 1 }, Grants(2, &[2])],
                1,
            ),
            (
                "failed and back",
                vec![Lists(&[1, 2]), Grants(1, &[1]), Fails { task: 1, grant: 1 }, Grants(2, &[1])],
                0,
            ),
            (
                "an old failure",
                vec![Lists(&[1, 2]), Grants(2, &[1]), Fails { task: 1, grant: 1 }, Grants(3, &[2])],
                0,
            ),
            ("lost and to the tail", vec![Lists(&[1, 2]), Grants(1, &[1]), second(), Grants(2, &[2])], 1),
            (
                "a later epoch's order",
                vec![
                    Lists(&[1, 2]),
                    Grants(1, &[1]),
                    ListsAnew(&[(2, 1), (1, 2)]),
                    second(),
                    Grants(2, &[2]),
                ],
                0,
            ),
            ("listed anew", vec![Lists(&[1, 2]), Lists(&[2]), Grants(1, &[2])], 0),
        ] {
            assert_eq!(count(&steps), expected, "{case}");
        }
    }
}
