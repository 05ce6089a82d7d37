//! A long haul: segments of one plan, one after the other, each a world of its own that goes on from what the one before has
//! left on its disks. Must not know how a segment is played and judged.
//!
//! ```text
//!  segment 1: trouble ─▶ healed, judged ─▶ eve ─▶ power cut ─┬ image: disks, clocks, members, what processes wrote
//!  segment 2: starts on the image ◀─────────────────────────┴ past: what judges remember
//! ```

use std::collections::BTreeSet;
use std::hash::Hasher as _;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use crate::course::Goals;
use crate::past::Past;
use crate::run::{Begin, Order, Played, Stage, Then, Verdict, play_segment};
use crate::world::draw::Draw;
use crate::world::image::Image;
use crate::world::trace::{Digest, Rolling};

/// Plays all segments, or as many as break no promise: what follows a broken one proves nothing. `told`: the verdict of each
/// that is over.
pub fn haul(order: Order, reader: Option<Box<dyn Write + Send>>, told: &mut dyn FnMut(&Verdict)) -> Verdict {
    let mut haul = Haul::new(order, reader);
    while let Some(verdict) = haul.next_segment() {
        told(&verdict);
    }
    haul.verdict()
}

/// One on its way.
pub struct Haul {
    order: Order,
    reader: Option<Shared>,
    /// Segments that are over.
    played: u64,
    begin: Option<Begin>,
    hit: BTreeSet<usize>,
    sum: Option<Verdict>,
}

impl std::fmt::Debug for Haul {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Haul({} of {} segments)", self.played, self.order.plan.segments)
    }
}

impl Haul {
    pub fn new(order: Order, reader: Option<Box<dyn Write + Send>>) -> Haul {
        let begin = Some(Begin::first(order.seed, order.plan.cluster.masters));
        let reader = reader.map(|reader| Shared(Arc::new(Mutex::new(reader))));
        Haul { order, reader, played: 0, begin, hit: BTreeSet::new(), sum: None }
    }

    /// Plays the next one. None when all are over, or a promise was broken.
    pub fn next_segment(&mut self) -> Option<Verdict> {
        let begin = self.begin.take()?;
        let is_last = self.played + 1 == self.order.plan.segments;
        let reader = self.reader.clone().map(|reader| Box::new(reader) as Box<dyn Write + Send>);
        let began = begin.image.at;
        let then = if is_last { Then::End } else { Then::Cut };
        let Played { mut verdict, hit, image, past, .. } = play_segment(&self.order, begin, reader, then);
        self.played += 1;
        verdict.seconds -= began as f64 / 1e6;
        self.hit.extend(hit);
        if verdict.is_good() && !is_last {
            let seed = seed_of(self.order.seed, self.played);
            self.begin = Some(Begin { seed, stage: Stage::GoesOn, image, past });
        }
        self.sum = Some(match self.sum.take() {
            None => verdict.clone(),
            Some(sum) => sum.and(&verdict, self.played),
        });
        Some(verdict)
    }

    /// What the next one goes on from.
    pub fn image_mut(&mut self) -> Option<&mut Image> {
        self.begin.as_mut().map(|begin| &mut begin.image)
    }

    /// What judges remember before the next one.
    pub fn past(&self) -> Option<&Past> {
        self.begin.as_ref().map(|begin| &begin.past)
    }

    /// Of all that were played.
    ///
    /// # Panics
    ///
    /// When none was.
    pub fn verdict(self) -> Verdict {
        let mut verdict = self.sum.expect("a haul has a first segment");
        if verdict.is_good() && self.played == self.order.plan.segments {
            verdict.aside = Goals::of(&self.order.plan).seen_from(&verdict.marks, &self.hit);
        }
        verdict
    }
}

impl Verdict {
    /// Both, the second of which is that segment.
    fn and(self, next: &Verdict, segment: u64) -> Verdict {
        let (mut faults, mut marks, mut wires) = (self.faults, self.marks, self.wires);
        next.faults.iter().for_each(|(fault, count)| *faults.entry(*fault).or_default() += count);
        next.marks.iter().for_each(|(mark, count)| *marks.entry(mark.clone()).or_default() += count);
        wires.add(&next.wires);
        let mut hash = Rolling::default();
        hash.write_u64(self.trace.hash);
        hash.write_u64(next.trace.hash);
        let mut violations = self.violations;
        violations.extend(next.violations.iter().cloned().map(|mut violation| {
            violation.detail = format!("in segment {segment}: {}", violation.detail);
            violation
        }));
        Verdict {
            segments: segment,
            violations,
            trace: Digest { lines: self.trace.lines + next.trace.lines, hash: hash.finish() },
            seconds: self.seconds + next.seconds,
            faults,
            runs_acknowledged: self.runs_acknowledged + next.runs_acknowledged,
            runs: self.runs + next.runs,
            attempts: self.attempts + next.attempts,
            calls: next.calls,
            wires,
            marks,
            ..self
        }
    }
}

/// Each segment draws from streams of its own; the first is what it is alone.
fn seed_of(seed: u64, segment: u64) -> u64 {
    Draw::of(seed, &format!("segment {segment}")).word()
}

/// A reader of all segments' traces.
#[derive(Clone)]
struct Shared(Arc<Mutex<Box<dyn Write + Send>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}
