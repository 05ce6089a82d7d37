//! What has changed in the cluster between the first fault and the end, beside its work.

use std::collections::BTreeMap;

use hortator_proto::api::StatusView;
use hortator_simulations::checkers::Violation;

use super::plan::{Allowed, Plan};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Changes {
    /// Terms that somebody has won or tried to win.
    pub(super) terms: u64,
    /// Lives of workers that were followed by another.
    pub(super) lives: u64,
}

impl Changes {
    pub(super) fn between(before: &StatusView, after: &StatusView) -> Changes {
        let terms = |view: &StatusView| view.groups.iter().map(|group| group.term).sum::<u64>();
        let lives = |view: &StatusView| -> BTreeMap<String, u64> {
            view.workers.iter().map(|worker| (worker.name.to_string(), worker.incarnation)).collect()
        };
        let (known, now) = (lives(before), lives(after));
        let ended = known.iter().map(|(name, life)| now.get(name).map_or(1, |new| new.saturating_sub(*life)));
        Changes { terms: terms(after).saturating_sub(terms(before)), lives: ended.sum() }
    }

    pub(super) fn violations(self, plan: &Plan) -> Vec<Violation> {
        let mut violations = Vec::new();
        if plan.elections == Allowed::None && self.terms > 0 {
            violations.push(Violation {
                checker: "L3",
                promise: "as long as every leader reaches its followers over somebody, nobody is elected",
                detail: format!("the terms of all groups rose by {}", self.terms),
            });
        }
        if plan.lives == Allowed::None && self.lives > 0 {
            violations.push(Violation {
                checker: "L4",
                promise: "a worker that is late by less than its lease is not declared lost",
                detail: format!("{} lives of workers ended", self.lives),
            });
        }
        violations
    }
}
