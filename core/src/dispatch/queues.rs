//! The ready queues: per shape strictly by rank, the shapes of a group against each other, shapes that cannot be placed
//! aside under their reason. Must not know workers; a shape is parked and woken by its owner.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::crowd::WorkerIndex;
use super::filters::Zones;
use super::groups::GroupIndex;
use super::offer::{QueueKey, Shape, ZoneWish};
use super::quotas::AccountIndex;
use super::slab::Slab;
use crate::id::Name;
use crate::time::Timestamp;

pub(super) type ShapeIndex = u32;
pub(super) type OfferIndex = u32;
/// Who shows a window of what is ready: a shard.
pub type Source = u32;

/// So many workers are named as all that may fit a shape; more is "any".
pub(super) const REACH_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct Queues {
    shapes: Slab<ShapeQueue>,
    by_shape: BTreeMap<Arc<Shape>, ShapeIndex>,
    groups: BTreeMap<GroupIndex, GroupQueue>,
    /// The best of each group against each other.
    tops: BTreeSet<(QueueKey, GroupIndex)>,
    /// Shapes that were parked, opened or forgotten since the last look.
    changed: BTreeSet<Arc<Shape>>,
}

/// One group's queue; it is there as long as something of it waits.
#[derive(Debug, Default)]
struct GroupQueue {
    /// The best waiting offer of each shape that may be placed now.
    heads: BTreeMap<QueueKey, ShapeIndex>,
    top: Option<QueueKey>,
    /// Shapes that wait for some worker to change.
    narrow: BTreeSet<ShapeIndex>,
    shapes: u32,
}

#[derive(Debug)]
pub(super) struct ShapeQueue {
    pub(super) shape: Arc<Shape>,
    pub(super) group: GroupIndex,
    pub(super) account: AccountIndex,
    pub(super) waiting: BTreeMap<QueueKey, OfferIndex>,
    /// How many of those each source shows.
    shown: BTreeMap<Source, u32>,
    /// The best that a source has and does not show: nothing after it may be placed before it is shown.
    horizons: BTreeMap<Source, QueueKey>,
    pub(super) standing: Standing,
    pub(super) reach: Reach,
    pub(super) zone: ZoneStanding,
    /// By class of workers, whether they suit.
    pub(super) suits: Vec<Suits>,
    pub(super) spread: Spread,
    /// Offers of the shape, also granted ones, and holds that its spread counts.
    uses: u32,
    /// Its key among the group's heads.
    head: Option<QueueKey>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Open,
    /// No worker has room; woken by the one that may have.
    NoRoom,
    /// Its namespace's quota is used up; woken by what ends.
    NoQuota,
}

/// Which workers may fit a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Any,
    /// No others: all were asked, and these have changed since or did fit.
    Only(Vec<WorkerIndex>),
}

/// How far a wish for a zone has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ZoneStanding {
    Insisting,
    /// Nothing could be placed in the zone since then.
    Blocked {
        since: Timestamp,
    },
    /// Any zone, until one of the shape got a place in its own.
    Relaxed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Suits {
    #[default]
    Unknown,
    Yes,
    No,
}

/// How many attempts of a shape each value of a label has.
#[derive(Debug, Default)]
pub(super) struct Spread(BTreeMap<(Name, Option<String>), u32>);

impl Spread {
    pub(super) fn count(&self, key: &Name, value: Option<&String>) -> u32 {
        if self.0.is_empty() {
            return 0;
        }
        self.0.get(&(key.clone(), value.cloned())).copied().unwrap_or(0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn add(&mut self, key: &Name, value: Option<&String>) {
        *self.0.entry((key.clone(), value.cloned())).or_default() += 1;
    }

    pub(super) fn remove(&mut self, key: &Name, value: Option<&String>) {
        let place = (key.clone(), value.cloned());
        if let Some(count) = self.0.get_mut(&place) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&place);
            }
        }
    }
}

impl ShapeQueue {
    pub(super) fn zones(&self) -> Zones {
        match (&self.shape.zone, self.zone) {
            (ZoneWish::Near { wait, .. }, ZoneStanding::Insisting | ZoneStanding::Blocked { .. })
                if wait.0 > 0 =>
            {
                Zones::OwnOnly
            }
            _ => Zones::Any,
        }
    }

    /// Who shows some of what waits.
    pub(super) fn sources(&self) -> impl Iterator<Item = Source> {
        self.shown.keys().copied()
    }

    /// Whether the source has more of the shape, and shows nothing of it that waits.
    pub(super) fn is_drained(&self, source: Source) -> bool {
        !self.shown.contains_key(&source) && self.horizons.contains_key(&source)
    }

    /// What is not shown and comes before the best that is.
    pub(super) fn hidden_first(&self) -> Option<QueueKey> {
        let hidden = self.horizons.values().min()?;
        let shown = self.waiting.first_key_value().map(|(key, _)| key);
        shown.is_none_or(|shown| hidden < shown).then_some(*hidden)
    }

    fn placeable(&self) -> Option<QueueKey> {
        let (first, _) = self.waiting.first_key_value()?;
        (self.standing == Standing::Open && self.hidden_first().is_none()).then_some(*first)
    }
}

impl Queues {
    pub(super) fn new() -> Queues {
        Queues {
            shapes: Slab::new(),
            by_shape: BTreeMap::new(),
            groups: BTreeMap::new(),
            tops: BTreeSet::new(),
            changed: BTreeSet::new(),
        }
    }

    pub(super) fn get(&self, index: ShapeIndex) -> &ShapeQueue {
        &self.shapes[index]
    }

    pub(super) fn get_mut(&mut self, index: ShapeIndex) -> &mut ShapeQueue {
        &mut self.shapes[index]
    }

    /// One that may be gone.
    pub(super) fn known_mut(&mut self, index: ShapeIndex) -> Option<&mut ShapeQueue> {
        self.shapes.get_mut(index)
    }

    pub(super) fn find(&self, shape: &Shape) -> Option<ShapeIndex> {
        self.by_shape.get(shape).copied()
    }

    pub(super) fn insert_shape(
        &mut self,
        shape: Arc<Shape>,
        group: GroupIndex,
        account: AccountIndex,
    ) -> ShapeIndex {
        let index = self.shapes.insert(ShapeQueue {
            shape: shape.clone(),
            group,
            account,
            waiting: BTreeMap::new(),
            shown: BTreeMap::new(),
            horizons: BTreeMap::new(),
            standing: Standing::Open,
            reach: Reach::Any,
            zone: ZoneStanding::Insisting,
            suits: Vec::new(),
            spread: Spread::default(),
            uses: 0,
            head: None,
        });
        self.by_shape.insert(shape, index);
        self.groups.entry(group).or_default().shapes += 1;
        index
    }

    pub(super) fn indices(&self) -> impl Iterator<Item = ShapeIndex> {
        self.by_shape.values().copied()
    }

    pub(super) fn refer(&mut self, index: ShapeIndex) {
        self.shapes[index].uses += 1;
    }

    /// Says whether it is used any more.
    pub(super) fn unrefer(&mut self, index: ShapeIndex) -> bool {
        let queue = &mut self.shapes[index];
        queue.uses -= 1;
        queue.uses > 0 || !queue.horizons.is_empty()
    }

    pub(super) fn is_used(&self, index: ShapeIndex) -> bool {
        let queue = &self.shapes[index];
        queue.uses > 0 || !queue.horizons.is_empty()
    }

    /// Forgets a shape nobody refers to, and its group's queue with the last of them.
    pub(super) fn forget(&mut self, index: ShapeIndex) -> ShapeQueue {
        let queue = self.shapes.remove(index);
        assert!(queue.waiting.is_empty() && queue.head.is_none(), "a shape in use stays");
        self.by_shape.remove(&queue.shape);
        self.changed.insert(queue.shape.clone());
        let group = self.groups.get_mut(&queue.group).expect("a shape's group has a queue");
        group.narrow.remove(&index);
        group.shapes -= 1;
        if group.shapes == 0 {
            self.groups.remove(&queue.group);
        }
        queue
    }

    pub(super) fn insert(&mut self, index: ShapeIndex, key: QueueKey, offer: OfferIndex, source: Source) {
        let queue = &mut self.shapes[index];
        queue.waiting.insert(key, offer);
        *queue.shown.entry(source).or_default() += 1;
        self.settle_head(index);
    }

    /// Takes out a waiting offer.
    pub(super) fn remove(&mut self, index: ShapeIndex, key: &QueueKey, source: Source) -> OfferIndex {
        let queue = &mut self.shapes[index];
        let offer = queue.waiting.remove(key).expect("a waiting offer is in its queue");
        let shown = queue.shown.get_mut(&source).expect("its source shows it");
        *shown -= 1;
        if *shown == 0 {
            queue.shown.remove(&source);
        }
        self.settle_head(index);
        offer
    }

    pub(super) fn set_horizon(&mut self, index: ShapeIndex, source: Source, horizon: Option<QueueKey>) {
        let horizons = &mut self.shapes[index].horizons;
        match horizon {
            Some(key) => drop(horizons.insert(source, key)),
            None => drop(horizons.remove(&source)),
        }
        self.settle_head(index);
    }

    /// The best of all that may be placed.
    pub(super) fn best(&self) -> Option<(QueueKey, ShapeIndex)> {
        let (key, group) = self.tops.first()?;
        Some((*key, self.groups[group].heads[key]))
    }

    pub(super) fn park(&mut self, index: ShapeIndex, standing: Standing) {
        let queue = &mut self.shapes[index];
        queue.standing = standing;
        self.changed.insert(queue.shape.clone());
        if standing == Standing::NoRoom {
            queue.reach = Reach::Only(Vec::new());
            let group = self.groups.get_mut(&queue.group).expect("a shape's group has a queue");
            group.narrow.insert(index);
        }
        self.settle_head(index);
    }

    /// Only these workers may fit from now on, and those that change.
    pub(super) fn narrow(&mut self, index: ShapeIndex, reach: Vec<WorkerIndex>) {
        let queue = &mut self.shapes[index];
        queue.reach = Reach::Only(reach);
        self.groups.get_mut(&queue.group).expect("a shape's group has a queue").narrow.insert(index);
    }

    /// Any worker may fit again, whatever it waited for.
    pub(super) fn widen(&mut self, index: ShapeIndex) {
        let queue = &mut self.shapes[index];
        queue.reach = Reach::Any;
        if queue.standing != Standing::Open {
            queue.standing = Standing::Open;
            self.changed.insert(queue.shape.clone());
        }
        self.groups.get_mut(&queue.group).expect("a shape's group has a queue").narrow.remove(&index);
        self.settle_head(index);
    }

    /// This worker fits now.
    pub(super) fn reach(&mut self, index: ShapeIndex, worker: WorkerIndex) {
        let queue = &mut self.shapes[index];
        if let Reach::Only(reach) = &mut queue.reach {
            match reach.len() {
                _ if reach.contains(&worker) => {}
                REACH_MAX => return self.widen(index),
                _ => reach.push(worker),
            }
        }
        if queue.standing == Standing::NoRoom {
            queue.standing = Standing::Open;
            self.changed.insert(queue.shape.clone());
        }
        self.settle_head(index);
    }

    /// Shapes that were parked, opened or forgotten, since the last call.
    pub(super) fn take_changed(&mut self) -> BTreeSet<Arc<Shape>> {
        std::mem::take(&mut self.changed)
    }

    /// Shapes of the group for which a worker's change may matter.
    pub(super) fn narrow_of(&self, group: GroupIndex) -> impl Iterator<Item = ShapeIndex> {
        self.groups.get(&group).into_iter().flat_map(|queue| queue.narrow.iter().copied())
    }

    /// Lists a shape by its best offer, if it may be placed, and its group by its best shape.
    fn settle_head(&mut self, index: ShapeIndex) {
        let queue = &mut self.shapes[index];
        let (before, after) = (queue.head, queue.placeable());
        if before == after {
            return;
        }
        queue.head = after;
        let at = queue.group;
        let group = self.groups.get_mut(&at).expect("a shape's group has a queue");
        if let Some(before) = before {
            group.heads.remove(&before);
        }
        if let Some(after) = after {
            group.heads.insert(after, index);
        }
        let top = group.heads.first_key_value().map(|(key, _)| *key);
        if top != group.top {
            if let Some(before) = std::mem::replace(&mut group.top, top) {
                self.tops.remove(&(before, at));
            }
            if let Some(top) = top {
                self.tops.insert((top, at));
            }
        }
    }
}
