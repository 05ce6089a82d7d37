//! What the members of each group were, by the changes that replicas have applied: one step at a time, the same on every
//! replica, and nobody leads who has left. Must not know why they change.

use std::collections::{BTreeMap, BTreeSet};

use hortator_raft::marks::Deed;

use crate::checkers::Violation;
use crate::marks::MEMBERS;

/// See the module.
#[derive(Debug, Default)]
pub struct Members {
    groups: BTreeMap<u32, Group>,
}

#[derive(Debug, Default)]
struct Group {
    /// After each change, by its place in the log.
    sets: BTreeMap<u64, Set>,
    /// Those who know that they have left, and the term in which. Before a replica has applied its own removal it may rightly
    /// be elected by the members that it knows of: their majorities overlap with those of the others.
    left: BTreeMap<u64, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Set {
    voters: BTreeSet<u64>,
    outgoing: BTreeSet<u64>,
    learners: BTreeSet<u64>,
}

impl Set {
    fn all(&self) -> BTreeSet<u64> {
        self.voters.iter().chain(&self.outgoing).chain(&self.learners).copied().collect()
    }

    /// What is wrong with coming from `before` to this in one step.
    fn wrong_after(&self, before: &Set) -> Option<&'static str> {
        let enters = before.outgoing.is_empty() && !self.outgoing.is_empty();
        if enters && self.outgoing != before.voters {
            return Some("a joint configuration is entered from another one than there was");
        }
        if !before.outgoing.is_empty() && !self.outgoing.is_empty() {
            return Some("members change while another change is under way");
        }
        if !before.outgoing.is_empty() && self.voters != before.voters {
            return Some("a joint configuration is left for another one than it led to");
        }
        let moved = before.voters.symmetric_difference(&self.voters).count();
        (before.outgoing.is_empty() && !enters && moved > 1).then_some("two votes change in one step")
    }
}

impl Members {
    /// What speaks against the deed, if anything.
    pub fn on(&mut self, deed: &Deed<'_>) -> Option<Violation> {
        let wrong = match *deed {
            Deed::Members { group, replica, index, term, voters, outgoing, learners } => {
                let of = |ids: &[u64]| ids.iter().copied().collect();
                let set = Set { voters: of(voters), outgoing: of(outgoing), learners: of(learners) };
                let members = self.groups.entry(group).or_default();
                if !set.all().contains(&replica) {
                    members.left.entry(replica).or_insert(term);
                }
                let wrong = members.change(index, set)?;
                format!("n{replica}, entry {index} of group {group}: {wrong}")
            }
            Deed::Leads { group, term, replica } => {
                let left = *self.groups.get(&group)?.left.get(&replica)?;
                if term <= left {
                    return None;
                }
                format!("n{replica} left group {group} in term {left} and leads it in term {term}")
            }
            Deed::Votes { group, term, replica, to } => {
                let left = *self.groups.get(&group)?.left.get(&replica)?;
                if term <= left || to != replica {
                    return None;
                }
                format!("n{replica} left group {group} in term {left} and wants to lead it in term {term}")
            }
            _ => return None,
        };
        Some(Violation { checker: "S20", promise: MEMBERS, detail: wrong })
    }

    /// Whether its word counts in that group, by the last change that anyone has applied; the first members all vote.
    pub fn votes(&self, group: u32, replica: u64) -> bool {
        let set = self.groups.get(&group).and_then(Group::last);
        set.is_none_or(|set| set.voters.contains(&replica) || set.outgoing.contains(&replica))
    }

    /// Whether every group has a majority left without `victim`, for good: no change of members is under way, and all
    /// who vote are sound.
    pub fn bear_loss_of(&self, victim: u64, is_sound: impl Fn(u64) -> bool) -> bool {
        self.groups.values().filter_map(Group::last).all(|set| {
            let steady = set.outgoing.is_empty() && set.learners.is_empty();
            let left = set.voters.iter().filter(|id| **id != victim);
            steady && 2 * left.clone().count() > set.voters.len() && left.copied().all(&is_sound)
        })
    }

    /// Groups whose last change is not done with.
    pub fn in_joint(&self) -> Vec<u32> {
        let joint = |group: &Group| group.last().is_some_and(|set| !set.outgoing.is_empty());
        self.groups.iter().filter(|(_, group)| joint(group)).map(|(id, _)| *id).collect()
    }
}

impl Group {
    fn last(&self) -> Option<&Set> {
        self.sets.values().next_back()
    }

    fn change(&mut self, index: u64, set: Set) -> Option<String> {
        if let Some(known) = self.sets.get(&index) {
            return (*known != set)
                .then(|| format!("the members are {set:?}, for another replica {known:?}"));
        }
        // Replicas apply in order, so whoever is first at an index has told of all before it, unless a snapshot led past
        // them; then nothing can be said of the step.
        let later = self.sets.range(index..).next().is_some();
        let before = self.last().cloned();
        self.sets.insert(index, set.clone());
        if later {
            return None;
        }
        // A leader whose picture of the masters lags takes one in again, with the disk that it has; it goes once more.
        self.left.retain(|id, _| !set.all().contains(id));
        let before = before?;
        set.wrong_after(&before).map(|wrong| format!("{wrong}: from {before:?} to {set:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change<'a>(index: u64, voters: &'a [u64], outgoing: &'a [u64], learners: &'a [u64]) -> Deed<'a> {
        Deed::Members { group: 1, replica: 1, index, term: index, voters, outgoing, learners }
    }

    #[test]
    fn losses_that_can_be_borne() {
        let cases: &[(Deed<'_>, bool)] = &[
            (change(5, &[1, 2, 3], &[], &[]), true),
            (change(5, &[1, 2, 4], &[], &[]), true),
            (change(5, &[1, 2, 9], &[], &[]), false),
            (change(5, &[1, 2], &[], &[]), false),
            (change(5, &[1, 2, 3], &[], &[4]), false),
            (change(5, &[1, 2, 3], &[1, 2, 4], &[]), false),
        ];
        for (deed, bears) in cases {
            let mut members = Members::default();
            assert_eq!(members.on(deed).map(|wrong| wrong.detail), None, "{deed:?}");
            assert_eq!(members.bear_loss_of(1, |id| id != 9), *bears, "{deed:?}");
        }
        assert!(Members::default().bear_loss_of(1, |_| true));
    }

    #[test]
    fn steps_and_leaders() {
        let leads = |replica, term| Deed::Leads { group: 1, replica, term };
        let votes = |replica, term, to| Deed::Votes { group: 1, replica, term, to };
        let told = Deed::Members {
            group: 1,
            replica: 3,
            index: 7,
            term: 7,
            voters: &[1, 2],
            outgoing: &[],
            learners: &[],
        };
        let untold =
            [change(5, &[1, 2, 3], &[], &[]), change(6, &[1, 2], &[], &[3]), change(7, &[1, 2], &[], &[])];
        let gone = [untold[0], untold[1], untold[2], told];
        let cases: &[(&[Deed<'_>], Deed<'_>, bool)] = &[
            (&[change(5, &[1, 2, 3], &[], &[])], change(6, &[1, 2, 3], &[], &[4]), true),
            (&[change(5, &[1, 2, 3], &[], &[4])], change(6, &[1, 2, 3, 4], &[], &[]), true),
            (&[change(5, &[1, 2, 3], &[], &[4])], change(6, &[1, 2, 4], &[], &[3]), false),
            (&[change(5, &[1, 2, 3], &[], &[4])], change(6, &[1, 2, 4], &[1, 2, 3], &[3]), true),
            (&[change(5, &[1, 2, 3], &[], &[4])], change(6, &[1, 2, 4], &[1, 2], &[3]), false),
            (&[change(6, &[1, 2, 4], &[1, 2, 3], &[])], change(7, &[1, 2, 4], &[], &[3]), true),
            (&[change(6, &[1, 2, 4], &[1, 2, 3], &[])], change(7, &[1, 2, 4, 5], &[], &[]), false),
            (&[change(6, &[1, 2, 4], &[1, 2, 3], &[])], change(7, &[1, 2, 5], &[1, 2, 4], &[]), false),
            (&[change(6, &[1, 2], &[], &[])], change(6, &[1, 2], &[], &[]), true),
            (&[change(6, &[1, 2], &[], &[])], change(6, &[1, 3], &[], &[]), false),
            (&gone, change(8, &[1, 2], &[], &[3]), true),
            (&gone, change(8, &[1, 2], &[], &[4]), true),
            (&untold, leads(3, 9), true),
            (&gone, leads(3, 9), false),
            (&gone, leads(3, 6), true),
            (&gone, leads(2, 9), true),
            (&gone, votes(3, 9, 3), false),
            // Asked by one who does not know yet.
            (&gone, votes(3, 9, 2), true),
        ];
        for (before, last, good) in cases {
            let mut members = Members::default();
            before.iter().for_each(|deed| assert!(members.on(deed).is_none(), "{deed:?}"));
            assert_eq!(members.on(last).is_none(), *good, "{before:?} then {last:?}");
        }
    }

    #[test]
    fn a_joint_configuration_is_seen_until_it_is_left() {
        let mut members = Members::default();
        assert!(members.on(&change(6, &[1, 2, 4], &[1, 2, 3], &[])).is_none());
        assert_eq!(members.in_joint(), [1]);
        assert!(members.on(&change(7, &[1, 2, 4], &[], &[3])).is_none());
        assert!(members.in_joint().is_empty());
    }
}
