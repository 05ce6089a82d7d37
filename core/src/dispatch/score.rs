//! How good each of the workers is that would do, and which one a policy takes.
//! Must not know why others would not do.

use super::account::Worker;
use super::chance::Chance;
use super::crowd::WorkerIndex;
use super::filters::is_near;
use super::groups::{GroupConfig, Policy};
use super::offer::{LabelRule, Shape};
use super::queues::Spread;
use crate::time::Timestamp;

/// A worker in another zone than wished counts as so much fuller, once it may be used at all.
const FAR: f64 = 1.5;

/// A worker that would do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) worker: WorkerIndex,
    /// Which of the shape's requests.
    pub(super) request: u8,
    /// Less is better.
    pub(super) score: f64,
    /// Its share in weighted round robin.
    pub(super) weight: f64,
    turn: u64,
}

pub(super) struct Terms<'a> {
    pub(super) shape: &'a Shape,
    pub(super) spread: &'a Spread,
    pub(super) config: &'a GroupConfig,
    pub(super) now: Timestamp,
}

impl Candidate {
    /// Reserved + measured after the request, times what makes the worker slower or less wanted than others.
    ///
    /// score = (1 + load after) × slowness × dislike ÷ warmth
    pub(super) fn new(index: WorkerIndex, worker: &Worker, request: u8, terms: &Terms<'_>) -> Candidate {
        let joined = worker.joined().expect("only workers that are in are candidates");
        let load = worker.load_after(&terms.shape.requests[usize::from(request)]);
        let warmth = joined.warmth(terms.config.slow_start, terms.now);
        let slowness = joined.health.slowness();
        let mut dislike = if is_near(joined, terms.shape) { 1.0 } else { FAR };
        for rule in &terms.shape.labels {
            match rule {
                LabelRule::Require(_) => {}
                LabelRule::Prefer { test, weight } => {
                    if !test.holds(&joined.facts.labels) {
                        dislike *= 1.0 + f64::from(*weight) / 100.0;
                    }
                }
                LabelRule::Spread { key } => {
                    dislike *= 1.0 + f64::from(terms.spread.count(key, joined.facts.labels.get(key)));
                }
            }
        }
        let score = match terms.config.policy {
            Policy::BinPack => (2.0 - load.min(1.0)) * slowness * dislike,
            Policy::LeastLoaded | Policy::WeightedRoundRobin | Policy::RoundRobin | Policy::Random => {
                (1.0 + load) * slowness * dislike / warmth
            }
        };
        // A worker that this request fills has weight left; one that was full before would not be a candidate.
        let free = (1.0 - load).max(0.0) + 1e-3;
        let weight = f64::from(joined.facts.weight) * free * warmth / (slowness * dislike);
        Candidate { worker: index, request, score, weight, turn: joined.turn }
    }
}

/// The place of the one that the policy takes among at least one; `credits` are those of weighted round robin, by
/// place, and are settled here.
pub(super) fn take(
    policy: Policy,
    candidates: &[Candidate],
    credits: &mut [f64],
    chance: &mut Chance,
) -> usize {
    let places = 0..candidates.len();
    let best = match policy {
        Policy::LeastLoaded | Policy::BinPack => {
            places.min_by(|a, b| by_score(&candidates[*a], &candidates[*b]))
        }
        Policy::RoundRobin => places.min_by_key(|place| (candidates[*place].turn, candidates[*place].worker)),
        Policy::Random => Some(chance.below(candidates.len() as u64) as usize),
        Policy::WeightedRoundRobin => {
            let mut total = 0.0;
            for (credit, candidate) in credits.iter_mut().zip(candidates) {
                *credit += candidate.weight;
                total += candidate.weight;
            }
            let richest = places.max_by(|a, b| {
                credits[*a].total_cmp(&credits[*b]).then_with(|| by_score(&candidates[*b], &candidates[*a]))
            });
            if let Some(place) = richest {
                credits[place] -= total;
            }
            richest
        }
    };
    best.expect("somebody would do")
}

/// Best first: by score, then the one that was chosen longest ago.
pub(super) fn by_score(one: &Candidate, other: &Candidate) -> std::cmp::Ordering {
    let key = |candidate: &Candidate| (candidate.turn, candidate.worker);
    one.score.total_cmp(&other.score).then_with(|| key(one).cmp(&key(other)))
}
