//! The ready queues: per shape strictly by rank, the shapes' heads against each other, parked shapes aside.
//! Must not know workers or streams; a shape is parked and woken by its owner.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::offer::{QueueKey, Shape};
use super::slab::Slab;
use super::worker_groups::GroupIndex;
use crate::time::{Span, Timestamp};

pub(super) type ShapeIndex = u32;
pub(super) type OfferIndex = u32;

#[derive(Debug)]
pub(super) struct Queues {
    shapes: Slab<ShapeQueue>,
    by_shape: BTreeMap<Arc<Shape>, ShapeIndex>,
    /// The best waiting offer of each open shape.
    heads: BTreeMap<QueueKey, ShapeIndex>,
    /// By group and slots.
    parked: BTreeSet<(GroupIndex, u32, ShapeIndex)>,
    /// When parkings settle, in order; an entry counts only while its parking lasts.
    settling: VecDeque<(Timestamp, ShapeIndex, u64)>,
    settle_after: Span,
    parkings: u64,
}

#[derive(Debug)]
pub(super) struct ShapeQueue {
    pub(super) shape: Arc<Shape>,
    pub(super) group: GroupIndex,
    pub(super) waiting: BTreeMap<QueueKey, OfferIndex>,
    pub(super) standing: Standing,
    /// Offers of the shape, also granted ones.
    offers: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Open,
    /// Nothing of it can be placed; shards are not told yet, since it may soon pass.
    Parked {
        parking: u64,
    },
    /// It lasts; shards know the reasons and keep one offer shown.
    Settled,
}

impl Queues {
    pub(super) fn new(settle_after: Span) -> Queues {
        Queues {
            shapes: Slab::new(),
            by_shape: BTreeMap::new(),
            heads: BTreeMap::new(),
            parked: BTreeSet::new(),
            settling: VecDeque::new(),
            settle_after,
            parkings: 0,
        }
    }

    pub(super) fn get(&self, index: ShapeIndex) -> &ShapeQueue {
        &self.shapes[index]
    }

    pub(super) fn find(&self, shape: &Shape) -> Option<ShapeIndex> {
        self.by_shape.get(shape).copied()
    }

    pub(super) fn intern(&mut self, shape: &Arc<Shape>, group: GroupIndex) -> ShapeIndex {
        let queue = ShapeQueue {
            shape: shape.clone(),
            group,
            waiting: BTreeMap::new(),
            standing: Standing::Open,
            offers: 0,
        };
        let index = self.shapes.insert(queue);
        self.by_shape.insert(shape.clone(), index);
        index
    }

    pub(super) fn len(&self) -> usize {
        self.shapes.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ShapeQueue> {
        self.by_shape.values().map(|index| &self.shapes[*index])
    }

    /// One more offer has the shape.
    pub(super) fn refer(&mut self, index: ShapeIndex) {
        self.shapes[index].offers += 1;
    }

    /// One offer less has the shape; says how many still have.
    pub(super) fn unrefer(&mut self, index: ShapeIndex) -> u32 {
        self.shapes[index].offers -= 1;
        self.shapes[index].offers
    }

    /// Forgets a shape nobody refers to.
    pub(super) fn forget(&mut self, index: ShapeIndex) {
        let queue = self.shapes.remove(index);
        assert!(queue.waiting.is_empty() && queue.standing == Standing::Open, "a shape in use stays");
        self.by_shape.remove(&queue.shape);
    }

    pub(super) fn insert(&mut self, index: ShapeIndex, key: QueueKey, offer: OfferIndex) {
        let queue = &mut self.shapes[index];
        let before = queue.waiting.first_key_value().map(|(first, _)| *first);
        queue.waiting.insert(key, offer);
        if queue.standing == Standing::Open && before.is_none_or(|first| key < first) {
            if let Some(first) = before {
                self.heads.remove(&first);
            }
            self.heads.insert(key, index);
        }
    }

    /// Takes out a waiting offer. An empty shape is not parked.
    pub(super) fn remove(&mut self, index: ShapeIndex, key: &QueueKey) {
        let queue = &mut self.shapes[index];
        queue.waiting.remove(key).expect("a waiting offer is in its queue");
        if queue.standing != Standing::Open {
            if queue.waiting.is_empty() {
                self.open(index);
            }
        } else if self.heads.remove(key).is_some()
            && let Some((first, _)) = queue.waiting.first_key_value()
        {
            self.heads.insert(*first, index);
        }
    }

    /// The best head of all.
    pub(super) fn best(&self) -> Option<(QueueKey, ShapeIndex)> {
        self.heads.first_key_value().map(|(key, shape)| (*key, *shape))
    }

    pub(super) fn park(&mut self, index: ShapeIndex, now: Timestamp) {
        let queue = &mut self.shapes[index];
        let (first, _) = queue.waiting.first_key_value().expect("only a shape with a head is parked");
        self.heads.remove(first);
        self.parked.insert((queue.group, queue.shape.slots, index));
        self.settle_later(index, now);
    }

    /// Begins the settling of a parked shape, again if it had settled, so that its reasons are told anew.
    pub(super) fn settle_later(&mut self, index: ShapeIndex, now: Timestamp) {
        self.parkings += 1;
        self.shapes[index].standing = Standing::Parked { parking: self.parkings };
        self.settling.push_back((now.plus(self.settle_after), index, self.parkings));
    }

    /// Lets a parked shape compete again.
    pub(super) fn open(&mut self, index: ShapeIndex) {
        let queue = &mut self.shapes[index];
        self.parked.remove(&(queue.group, queue.shape.slots, index));
        queue.standing = Standing::Open;
        if let Some((first, _)) = queue.waiting.first_key_value() {
            self.heads.insert(*first, index);
        }
    }

    /// Parked shapes of a group that need at most so many slots.
    pub(super) fn parked(&self, group: GroupIndex, slots_max: u32) -> impl Iterator<Item = ShapeIndex> {
        let range = (group, 0, 0)..=(group, slots_max, ShapeIndex::MAX);
        self.parked.range(range).map(|(_, _, shape)| *shape)
    }

    /// The next shape whose parking has lasted long enough to be told.
    pub(super) fn pop_settled(&mut self, now: Timestamp) -> Option<ShapeIndex> {
        self.drop_void();
        let (at, index, _) = *self.settling.front()?;
        if at > now {
            return None;
        }
        self.settling.pop_front();
        self.shapes[index].standing = Standing::Settled;
        Some(index)
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.settling.iter().find(|entry| self.lasts(entry)).map(|(at, _, _)| *at)
    }

    /// Drops parkings at the front that ended before they settled.
    pub(super) fn drop_void(&mut self) {
        while self.settling.front().is_some_and(|entry| !self.lasts(entry)) {
            self.settling.pop_front();
        }
    }

    fn lasts(&self, (_, index, parking): &(Timestamp, ShapeIndex, u64)) -> bool {
        let standing = self.shapes.get(*index).map(|queue| queue.standing);
        standing == Some(Standing::Parked { parking: *parking })
    }
}
