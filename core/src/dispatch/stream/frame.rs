//! What an `OfferBook` and an `Exchange` tell each other. A numbered stream in each direction: a gap, or a number
//! nobody expects, restarts the stream with a full list, so a lost frame costs a moment and nothing else.
//! Must not know how frames travel.

use std::sync::Arc;

use super::backlog::Work;
use crate::dispatch::{Ended, Grant, GrantFailed, HoldFacts, Offer, Pace, Rank, Shape};
use crate::id::{Name, TaskRunId, WorkerRef};
use crate::reason::Reason;
use crate::time::{Span, Timestamp};

/// How many offers of a shape a book shows before the Dispatcher has named a number. Enough to fill a small group at
/// once, few enough that many shapes do not swamp a new Dispatcher.
pub const CREDITS_INITIAL: u32 = 64;

/// Most items in one frame; at about 200 bytes an item a frame stays far below the wire's 16 MiB.
pub const FRAME_ITEMS_MAX: usize = 10_000;

/// So many epochs may begin in one term of the membership group until the numbers of Dispatchers overlap: far more than do.
const EPOCH_BITS: u32 = 24;

/// A Dispatcher's own term: the later one has the higher. It is no term of the membership group, where an epoch may follow
/// another in one term, and its Dispatcher knows nothing of what the one before was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DispatcherTerm(pub u64);

impl DispatcherTerm {
    /// Of the Dispatcher that begins with that epoch of the membership group.
    pub fn of_epoch(group_term: u64, epoch: u64) -> DispatcherTerm {
        DispatcherTerm((group_term << EPOCH_BITS) | (epoch & ((1 << EPOCH_BITS) - 1)))
    }

    /// No Dispatcher of that term of the membership group has a lower one.
    pub fn least_in(group_term: u64) -> DispatcherTerm {
        DispatcherTerm::of_epoch(group_term, 0)
    }
}

/// One conversation: a shard leader's epoch with a Dispatcher's term. Later epochs of a shard compare greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    pub shard: u32,
    pub shard_term: u64,
    pub epoch: u64,
    pub dispatcher_term: DispatcherTerm,
}

/// From a shard to the Dispatcher.
#[derive(Clone, Debug, PartialEq)]
pub struct OfferFrame {
    pub stream: StreamId,
    /// Counts from 1 and goes on over restarts.
    pub number: u64,
    pub list: ListState,
    pub items: Vec<OfferItem>,
}

/// Whether a frame changes what was said, or is a page of a full list that replaces all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListState {
    /// Changes since the frame before.
    Delta,
    /// First page; all said before is void.
    Begin,
    Part,
    /// Last page; from here on the list counts.
    End,
    /// The only page.
    Whole,
}

/// The best of what a book does not show.
pub type Hidden = (Rank, TaskRunId);

#[derive(Clone, Debug, PartialEq)]
pub enum OfferItem {
    /// Shown: it may be granted from now on.
    Offer(Offer),
    /// No longer shown; a grant of it is void.
    Withdraw(TaskRunId),
    /// The best of a shape that is not shown has changed; none when all are shown.
    Horizon { shape: Arc<Shape>, hidden: Option<Hidden> },
    /// How much waits for a group, shown or not.
    Work { group: Name, work: Work },
    /// How fast a worker that is not as usual was found to be; part of lists only, since a Dispatcher sees each end itself.
    Pace { worker: WorkerRef, pace: Pace },
    /// An attempt was dispatched and holds part of its worker until it ends. It is no longer offered.
    Dispatched { task_run: TaskRunId, held: Held },
    /// The attempt that was dispatched holds nothing any more.
    Ended { task_run: TaskRunId, how: Ended },
    /// The shard cannot use that grant; the offer stays shown.
    GrantFailed { task_run: TaskRunId, grant: u64, why: GrantFailed },
}

/// What an attempt holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub worker: WorkerRef,
    pub shape: Arc<Shape>,
    /// Which of the shape's requests.
    pub request: u8,
    /// Those that its process may use.
    pub devices: Vec<String>,
}

impl Held {
    pub(super) fn facts(&self, task_run: TaskRunId) -> HoldFacts {
        HoldFacts {
            task_run,
            worker: self.worker.clone(),
            namespace: self.shape.namespace.clone(),
            amounts: self.shape.requests.get(usize::from(self.request)).cloned().unwrap_or_default(),
            devices: self.devices.clone(),
        }
    }
}

/// From the Dispatcher to a shard. Every offer frame that was processed is answered by one, also without grants.
#[derive(Clone, Debug, PartialEq)]
pub struct DispatcherFrame {
    pub stream: StreamId,
    /// Number of the offer frame that began the list this rests on; 0 before any.
    pub list: u64,
    /// Counts from 1 for each list.
    pub number: u64,
    /// The last offer frame that was processed, and whose offers were considered, before this was sent.
    pub round: u64,
    /// The membership rows that its grants rest on, by their index: who has older ones may not know the worker yet.
    pub rows: u64,
    pub items: Vec<DispatcherItem>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum DispatcherItem {
    Grant(Grant),
    Credit(Credit),
    /// Nothing of the shape can be placed, for these reasons.
    Parked {
        shape: Arc<Shape>,
        reasons: Vec<Reason>,
    },
    /// The shape is considered again.
    Unparked {
        shape: Arc<Shape>,
    },
    /// Frame `seen` did not follow what was processed: begin a full list, unless one began after it.
    Restart {
        seen: u64,
    },
}

/// How many offers of a shape may be shown and not granted at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credit {
    pub shape: Arc<Shape>,
    pub credits: u32,
    /// Of the shape's group, and so of all its shapes; none while nothing of it ages.
    pub ageing: Option<Ageing>,
}

/// What waits rises one level after each such time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ageing {
    pub every: Span,
    /// The Dispatcher's time when it said so: ages are told by its clock on both sides.
    pub now: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_dispatchers_have_higher_terms() {
        let terms = [(2, 5), (2, 6), (3, 1), (3, 2), (4, 0)];
        let terms = terms.map(|(term, epoch)| DispatcherTerm::of_epoch(term, epoch));
        assert!(terms.windows(2).all(|pair| pair[0] < pair[1]), "{terms:?}");
    }
}
