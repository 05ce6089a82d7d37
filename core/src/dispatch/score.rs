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
/// Packing prefers any host that has something left to one that is saturated, however full of ours that one is: the
/// others score from 1 to 2.
const SATURATED: f64 = 2.0;

/// A worker that would do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) worker: WorkerIndex,
    /// Which of the shape's requests.
    pub(super) request: u8,
    /// Less is better.
    pub(super) score: f64,
    /// Its share in weighted round robin, by all but its load.
    share: f64,
    /// What it has left of itself, which its share is for: none when it is saturated.
    left: f64,
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
    ///
    /// Packing goes by reservations: a host that others keep busy is no fuller of ours.
    pub(super) fn new(index: WorkerIndex, worker: &Worker, request: u8, terms: &Terms<'_>) -> Candidate {
        let joined = worker.joined().expect("only workers that are in are candidates");
        let request_amounts = &terms.shape.requests[usize::from(request)];
        let load = worker.load_after(request_amounts);
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
            Policy::BinPack => {
                let packed = worker.reserved_after(request_amounts).min(1.0);
                let saturated = if worker.is_saturated() { SATURATED } else { 1.0 };
                (2.0 - packed) * saturated * slowness * dislike
            }
            Policy::LeastLoaded | Policy::WeightedRoundRobin | Policy::RoundRobin | Policy::Random => {
                (1.0 + load) * slowness * dislike / warmth
            }
        };
        let share = f64::from(joined.facts.weight) * warmth / (slowness * dislike);
        // A worker that this request fills has something left for it; one without room would not be a candidate.
        let left = if worker.is_saturated() { 0.0 } else { (1.0 - load).max(0.0) + 1e-3 };
        Candidate { worker: index, request, score, share, left, turn: joined.turn }
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
        Policy::WeightedRoundRobin => Some(take_in_turn(candidates, credits)),
    };
    best.expect("somebody would do")
}

/// Smooth: each earns its weight, and the richest pays for all. One without weight gets nothing, also when it is rich
/// from before; but where all are saturated they share as if none were, since our own work may be what saturates them.
fn take_in_turn(candidates: &[Candidate], credits: &mut [f64]) -> usize {
    let all_saturated = candidates.iter().all(|candidate| candidate.left == 0.0);
    let weight = |place: usize| {
        let Candidate { share, left, .. } = candidates[place];
        if all_saturated { share } else { share * left }
    };
    let places = 0..candidates.len();
    places.clone().for_each(|place| credits[place] += weight(place));
    let richest = places.clone().max_by(|a, b| {
        let has_weight = |place: usize| weight(place) > 0.0;
        has_weight(*a)
            .cmp(&has_weight(*b))
            .then_with(|| credits[*a].total_cmp(&credits[*b]))
            .then_with(|| by_score(&candidates[*b], &candidates[*a]))
    });
    let richest = richest.expect("somebody would do");
    credits[richest] -= places.map(weight).sum::<f64>();
    richest
}

/// Best first: by score, then the one that was chosen longest ago.
pub(super) fn by_score(one: &Candidate, other: &Candidate) -> std::cmp::Ordering {
    let key = |candidate: &Candidate| (candidate.turn, candidate.worker);
    one.score.total_cmp(&other.score).then_with(|| key(one).cmp(&key(other)))
}
