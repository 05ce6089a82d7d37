//! Shapes of which nothing can be placed, and when their shards are told why: not before it lasts, and not at each
//! heartbeat. Must not know the reasons' meaning or who shows what.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::dispatch::Shape;
use crate::reason::Reason;
use crate::time::{Span, Timestamp};

#[derive(Debug)]
pub(super) struct Parkings {
    shapes: BTreeMap<Arc<Shape>, Parking>,
    due: BTreeSet<(Timestamp, Arc<Shape>)>,
    settle_after: Span,
    retell_after: Span,
}

#[derive(Debug, Default)]
struct Parking {
    due: Option<Timestamp>,
    told_at: Option<Timestamp>,
    reasons: Vec<Reason>,
}

impl Parkings {
    pub(super) fn new(settle_after: Span, retell_after: Span) -> Parkings {
        Parkings { shapes: BTreeMap::new(), due: BTreeSet::new(), settle_after, retell_after }
    }

    /// Nothing of the shape can be placed, or nothing still.
    pub(super) fn begin(&mut self, shape: &Arc<Shape>, now: Timestamp) {
        self.shapes.entry(shape.clone()).or_default();
        self.stir(shape, now);
    }

    /// The reasons of a parked shape may read differently.
    pub(super) fn stir(&mut self, shape: &Arc<Shape>, now: Timestamp) {
        let Some(parking) = self.shapes.get_mut(shape) else { return };
        if parking.due.is_none() {
            let settled = now.plus(self.settle_after);
            let at = parking.told_at.map_or(settled, |told| told.plus(self.retell_after).max(settled));
            parking.due = Some(at);
            self.due.insert((at, shape.clone()));
        }
    }

    pub(super) fn stir_all(&mut self, now: Timestamp) {
        let shapes: Vec<Arc<Shape>> = self.shapes.keys().cloned().collect();
        shapes.iter().for_each(|shape| self.stir(shape, now));
    }

    /// The shape is considered again; says whether it had been told.
    pub(super) fn end(&mut self, shape: &Arc<Shape>) -> bool {
        let Some(parking) = self.shapes.remove(shape) else { return false };
        if let Some(at) = parking.due {
            self.due.remove(&(at, shape.clone()));
        }
        parking.told_at.is_some()
    }

    /// The next shape to be looked at.
    pub(super) fn pop_due(&mut self, now: Timestamp) -> Option<Arc<Shape>> {
        if self.due.first()?.0 > now {
            return None;
        }
        let (_, shape) = self.due.pop_first()?;
        let parking = self.shapes.get_mut(&shape).expect("what is due is parked");
        parking.due = None;
        Some(shape)
    }

    /// Remembers what is told; says whether it is news.
    pub(super) fn tell(&mut self, shape: &Shape, reasons: Vec<Reason>, now: Timestamp) -> bool {
        let Some(parking) = self.shapes.get_mut(shape) else { return false };
        let first = parking.told_at.replace(now).is_none();
        let news = first || parking.reasons != reasons;
        parking.reasons = reasons;
        news
    }

    /// What was told of a shape.
    pub(super) fn told(&self, shape: &Shape) -> Option<&[Reason]> {
        let parking = self.shapes.get(shape)?;
        parking.told_at.map(|_| parking.reasons.as_slice())
    }

    pub(super) fn next_deadline(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }
}
