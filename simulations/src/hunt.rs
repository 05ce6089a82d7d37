//! How soon drawn seeds find a deliberate mistake, and who says so: a checker that finds none proves nothing. Must not know
//! how a mistake is made.

use std::collections::BTreeSet;
use std::ops::Range;

use hortator_actors::mutant::Mutant;

use crate::plan::Plan;
use crate::run::{Order, simulate};

/// What came of looking for one mistake in a range of seeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hunt {
    /// Seeds until the checker that guards the broken promise spoke, if it did.
    pub tried: Option<u64>,
    /// What it said.
    pub words: String,
    /// Checkers that spoke on these seeds besides.
    pub others: BTreeSet<&'static str>,
}

/// Plays one seed after the other until the mutant's own checker speaks.
pub fn hunt(mutant: Mutant, seeds: Range<u64>) -> Hunt {
    let mut others = BTreeSet::new();
    for seed in seeds.clone() {
        let verdict = simulate(Order { plan: Plan::swarm(seed), seed, mutant }, None);
        let own = |checker| Some(checker) == mutant.checker();
        others.extend(verdict.violations.iter().map(|one| one.checker).filter(|checker| !own(*checker)));
        if let Some(found) = verdict.violations.iter().find(|one| own(one.checker)) {
            let words = format!("seed {seed}: {found}");
            return Hunt { tried: Some(seed - seeds.start + 1), words, others };
        }
    }
    Hunt { tried: None, words: String::new(), others }
}

/// The middle one; none when it was not found.
pub fn median(hunts: &[Hunt]) -> Option<u64> {
    let mut tried: Vec<u64> = hunts.iter().map(|hunt| hunt.tried.unwrap_or(u64::MAX)).collect();
    tried.sort_unstable();
    tried.get(tried.len() / 2).copied().filter(|tried| *tried < u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_counts_what_was_not_found() {
        let hunt = |tried| Hunt { tried, words: String::new(), others: BTreeSet::new() };
        for (tried, expected) in [
            (vec![Some(3), Some(1), Some(9)], Some(3)),
            (vec![Some(3), None, Some(9)], Some(9)),
            (vec![None, None, Some(9)], None),
            (vec![], None),
        ] {
            assert_eq!(median(&tried.iter().copied().map(hunt).collect::<Vec<_>>()), expected, "{tried:?}");
        }
    }
}
