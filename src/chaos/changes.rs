//! What has changed in the cluster between the first fault and the end, beside its work.

use std::collections::BTreeMap;

use hortator_proto::api::StatusView;
use hortator_simulations::checkers::Violation;

use super::plan::{Allowed, Plan};

/// What is compared.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) status: StatusView,
    /// Leaderships given to another on purpose until then.
    pub(super) handed_over: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Changes {
    /// Terms that somebody has won or tried to win, but for those that a leader gave away to spread the load.
    pub(super) terms: u64,
    /// Lives of workers that were followed by another.
    pub(super) lives: u64,
}

impl Changes {
    pub(super) fn between(before: &Look, after: &Look) -> Changes {
        // A master that was started again counts from zero.
        let handed = after.handed_over.saturating_sub(before.handed_over);
        let (before, after) = (&before.status, &after.status);
        let terms = |view: &StatusView| view.groups.iter().map(|group| group.term).sum::<u64>();
        let lives = |view: &StatusView| -> BTreeMap<String, u64> {
            view.workers.iter().map(|worker| (worker.name.to_string(), worker.incarnation)).collect()
        };
        let (known, now) = (lives(before), lives(after));
        let ended = known.iter().map(|(name, life)| now.get(name).map_or(1, |new| new.saturating_sub(*life)));
        Changes {
            terms: terms(after).saturating_sub(terms(before)).saturating_sub(handed),
            lives: ended.sum(),
        }
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

#[cfg(test)]
mod tests {
    use hortator_proto::api::GroupView;

    use super::*;

    fn look(terms: &[u64], handed_over: u64) -> Look {
        let group = |(term, group): (&u64, u32)| GroupView {
            group,
            term: *term,
            leader: Some(1),
            commit: 0,
            applied: 0,
            voters: vec![1, 2, 3],
        };
        let status = StatusView {
            cluster: "test".to_owned(),
            verdict: "available".to_owned(),
            sentence: String::new(),
            masters: Vec::new(),
            groups: terms.iter().zip(0..).map(group).collect(),
            workers: Vec::new(),
            relayed: Vec::new(),
            faults: Vec::new(),
            runs_live: 0,
            runs_queued: 0,
            tasks_active: 0,
        };
        Look { status, handed_over }
    }

    #[test]
    fn a_leadership_that_was_given_away_is_no_election() {
        for (before, after, terms) in [
            (look(&[2, 3], 1), look(&[2, 3], 1), 0),
            (look(&[2, 3], 1), look(&[2, 5], 1), 2),
            (look(&[2, 3], 1), look(&[3, 4], 2), 1),
            (look(&[2, 3], 1), look(&[2, 4], 2), 0),
            // Started again, it counts from zero.
            (look(&[2, 3], 4), look(&[2, 4], 1), 1),
        ] {
            assert_eq!(Changes::between(&before, &after).terms, terms, "{before:?} {after:?}");
        }
    }
}
