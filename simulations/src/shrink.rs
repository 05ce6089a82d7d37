//! Makes a run that breaks a promise smaller, step by step, as long as the same checker still speaks: errands first, then
//! faults, then times, then the cluster. Must not know what the promise is.

use std::time::{Duration, Instant};

use hortator_actors::mutant::Mutant;
use hortator_core::time::Span;

use crate::plan::Cluster;
use crate::resolved::{Resolved, Written};
use crate::run::{Audience, replay};

/// By then a new cluster has its leaders and its workflows.
const SETTLED: Span = Span::from_secs(2);

/// What is asked for.
#[derive(Debug)]
pub struct Shrinking {
    pub from: Resolved,
    pub mutant: Mutant,
    /// What must go on to speak.
    pub checker: String,
    /// No further try begins after it.
    pub budget: Duration,
    pub tries_max: u64,
    pub jobs: usize,
}

/// What came of it.
#[derive(Debug)]
pub struct Shrunk {
    pub to: Resolved,
    pub tries: u64,
    /// Whether there was nothing left to try, or the budget was spent.
    pub end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Smallest,
    OutOfBudget,
}

/// A step that worked, in words.
pub type Teller<'a> = &'a mut dyn FnMut(&str);

/// See the module.
pub fn shrink(asked: Shrinking, tell: Teller<'_>) -> Shrunk {
    let Shrinking { from, mutant, checker, budget, tries_max, jobs } = asked;
    let until = Instant::now() + budget;
    let mut search =
        Search { best: from, mutant, checker, until, tries_max, jobs: jobs.max(1), tries: 0, tell };
    // What one step takes away may make room for another.
    loop {
        let before = search.best.clone();
        search.minimise("errands", |run| &mut run.errands);
        search.minimise("faults", |run| &mut run.hits);
        search.shorten();
        search.simplify();
        search.shrink_cluster();
        if search.best == before || search.is_over() {
            break;
        }
    }
    let end = if search.is_over() { End::OutOfBudget } else { End::Smallest };
    Shrunk { to: search.best, tries: search.tries, end }
}

struct Search<'a> {
    best: Resolved,
    mutant: Mutant,
    checker: String,
    until: Instant,
    tries_max: u64,
    jobs: usize,
    tries: u64,
    tell: Teller<'a>,
}

impl Search<'_> {
    fn is_over(&self) -> bool {
        self.tries >= self.tries_max || Instant::now() >= self.until
    }

    /// Delta debugging: halves, then smaller and smaller parts, each alone and each left out.
    fn minimise<T: Clone>(&mut self, what: &str, list: fn(&mut Resolved) -> &mut Vec<T>) {
        let all = list(&mut self.best).clone();
        if all.is_empty() || self.adopt(vec![with(&self.best, list, Vec::new())], what).is_some() {
            return;
        }
        let mut parts = 2;
        loop {
            let items = list(&mut self.best).clone();
            if items.len() < 2 || self.is_over() {
                return;
            }
            let chunks: Vec<&[T]> = items.chunks(items.len().div_ceil(parts)).collect();
            let alone = chunks.iter().map(|chunk| chunk.to_vec());
            let without = |left_out: usize| {
                let kept = chunks.iter().enumerate().filter(|(number, _)| *number != left_out);
                kept.flat_map(|(_, chunk)| chunk.to_vec()).collect()
            };
            let halves = chunks.len() == 2;
            let others = (0..chunks.len()).filter(|_| !halves).map(without);
            let many = chunks.len();
            let candidates = alone.chain(others).map(|items| with(&self.best, list, items)).collect();
            parts = match self.adopt(candidates, what) {
                Some(place) if place < many => 2,
                Some(_) => (many - 1).max(2),
                None if many < items.len() => (many * 2).min(items.len()),
                None => return,
            };
        }
    }

    /// Nothing is waited for at the beginning, an end soon after the last that happens, then shorter faults.
    fn shorten(&mut self) {
        while !self.is_over() && self.adopt(self.earlier(), "beginning").is_some() {}
        let lasts_max = self.best.lasts;
        let hits = self.best.hits.iter().map(|hit| hit.at.0 + hit.lasts.0);
        let errands = self.best.errands.iter().map(|errand| errand.at.0);
        let busy = hits.chain(errands).max().unwrap_or(0);
        let ends = [busy, busy + 1_000_000, busy + 10_000_000].map(Span);
        let candidates: Vec<Resolved> = ends
            .into_iter()
            .filter(|end| *end < lasts_max)
            .map(|lasts| Resolved { lasts, ..self.best.clone() })
            .collect();
        self.adopt(candidates, "time");
        for place in 0..self.best.hits.len() {
            loop {
                let lasts = self.best.hits[place].lasts;
                if lasts < Span::from_millis(20) || self.is_over() {
                    break;
                }
                let mut shorter = self.best.clone();
                // Whole milliseconds are easier to read.
                shorter.hits[place].lasts = Span(lasts.0 / 2 / 1_000 * 1_000);
                if self.adopt(vec![shorter], "length of a fault").is_none() {
                    break;
                }
            }
        }
    }

    /// The same with everything closer to the beginning.
    fn earlier(&self) -> Vec<Resolved> {
        let times =
            self.best.hits.iter().map(|hit| hit.at).chain(self.best.errands.iter().map(|errand| errand.at));
        let Some(first) = times.min() else { return Vec::new() };
        let moved = |by: u64| {
            let mut run = self.best.clone();
            let waits = run.hits.iter_mut().filter_map(|hit| hit.after.as_mut());
            waits.for_each(|after| after.from.0 = after.from.0.saturating_sub(by));
            let times = run.hits.iter_mut().map(|hit| &mut hit.at);
            times.chain(run.errands.iter_mut().map(|errand| &mut errand.at)).for_each(|at| at.0 -= by);
            run.lasts.0 = run.lasts.0.saturating_sub(by);
            run
        };
        let shares = [1, 2, 4].map(|share| first.0.saturating_sub(SETTLED.0) / share / 1_000 * 1_000);
        shares.into_iter().filter(|by| *by >= SETTLED.0 / 4).map(moved).collect()
    }

    fn simplify(&mut self) {
        let mut candidates = vec![
            Resolved { astray: 0, dropped: 0, ..self.best.clone() },
            Resolved { astray: 0, ..self.best.clone() },
            Resolved { dropped: 0, ..self.best.clone() },
        ];
        candidates.retain(|run| *run != self.best);
        self.adopt(candidates, "weather");
        let used = |run: &Resolved, written: &Written| {
            run.errands
                .iter()
                .any(|errand| written.source.contains(&format!("\nname: {}\n", errand.workflow)))
        };
        let mut fewer = self.best.clone();
        fewer.workflows.retain(|written| used(&self.best, written));
        self.adopt(vec![fewer].into_iter().filter(|run| *run != self.best).collect(), "workflows");
        for place in 0..self.best.workflows.len() {
            self.simplify_workflow(place);
        }
        for place in 0..self.best.errands.len() {
            let mut plain = self.best.clone();
            let errand = &mut plain.errands[place];
            (errand.retries, errand.gives_up, errand.repeats) = (false, false, false);
            (errand.cancel_after, errand.limit) = (None, None);
            if plain != self.best {
                self.adopt(vec![plain], "an errand's whims");
            }
        }
    }

    /// One task that does little.
    fn simplify_workflow(&mut self, place: usize) {
        let written = self.best.workflows[place].clone();
        let Some(name) = written.source.lines().find(|line| line.starts_with("name: ")) else { return };
        let least = format!("hortator: v1\n{name}\ntasks:\n  - {{ id: t0, shell: {{ script: run 10 }} }}\n");
        if written.source == least {
            return;
        }
        let mut plain = self.best.clone();
        plain.workflows[place] = Written { harmless: true, source: least };
        self.adopt(vec![plain], "a workflow");
    }

    fn shrink_cluster(&mut self) {
        let Cluster { masters, workers, shards, .. } = self.best.cluster;
        // Odd numbers only: they are what people run.
        self.offer((1..masters).step_by(2), |cluster, count| cluster.masters = count);
        self.offer(1..workers, |cluster, count| cluster.workers = count);
        self.offer(1..u64::from(shards), |cluster, count| cluster.shards = count as u32);
    }

    /// The smallest count that will do.
    fn offer(&mut self, counts: impl Iterator<Item = u64>, set: fn(&mut Cluster, u64)) {
        let smaller = |count| {
            let mut run = self.best.clone();
            set(&mut run.cluster, count);
            run
        };
        let candidates = counts.map(smaller).collect();
        self.adopt(candidates, "cluster");
    }

    /// The first of them after which the same checker speaks becomes the best; its place in the list.
    fn adopt(&mut self, candidates: Vec<Resolved>, what: &str) -> Option<usize> {
        for (batch, together) in candidates.chunks(self.jobs).enumerate() {
            if self.is_over() {
                return None;
            }
            self.tries += together.len() as u64;
            let speaks = try_all(together, self.mutant, &self.checker);
            if let Some(found) = speaks.iter().position(|speaks| *speaks) {
                let best = &together[found];
                let (faults, errands) = (best.hits.len(), best.errands.len());
                let Resolved { cluster, lasts, .. } = best;
                (self.tell)(&format!(
                    "{what}: {errands} errands, {faults} faults, {lasts}, {} masters, {} workers, {} shards ({} tries)",
                    cluster.masters, cluster.workers, cluster.shards, self.tries
                ));
                self.best = best.clone();
                return Some(batch * self.jobs + found);
            }
        }
        None
    }
}

fn with<T>(run: &Resolved, list: fn(&mut Resolved) -> &mut Vec<T>, items: Vec<T>) -> Resolved {
    let mut changed = run.clone();
    *list(&mut changed) = items;
    changed
}

/// Whether the checker speaks of each; each is played on a thread of its own.
fn try_all(candidates: &[Resolved], mutant: Mutant, checker: &str) -> Vec<bool> {
    let speaks = |candidate: Resolved| {
        let (verdict, _) = replay(candidate, mutant, Audience::default());
        verdict.violations.iter().any(|violation| violation.checker == checker)
    };
    std::thread::scope(|scope| {
        let tries: Vec<_> =
            candidates.iter().map(|candidate| scope.spawn(move || speaks(candidate.clone()))).collect();
        // A world that cannot even be told is no smaller story.
        tries.into_iter().map(|one| one.join().unwrap_or(false)).collect()
    })
}
