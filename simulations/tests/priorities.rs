//! A, B and C wait in this order for a slot, and what grants it to A is lost: A is first when there is room again. The
//! deliberate mistake that sends A to the tail is seen.

use hortator_actors::mutant::Mutant;
use hortator_core::time::Span;
use hortator_simulations::run::{Order, simulate};
use hortator_simulations::scenarios::find;

/// Grants enough that some are lost, and that whoever lost one has others behind.
const LASTS: Span = Span::from_secs(40);
const SEEDS: std::ops::Range<u64> = 0..6;

/// How many seeds say so, checker by checker.
fn said(mutant: Mutant) -> Vec<&'static str> {
    let mut said = Vec::new();
    for seed in SEEDS {
        let mut plan = find("priority-order").expect("it comes with the program");
        plan.lasts = LASTS;
        let verdict = simulate(Order { plan, seed, mutant }, None);
        let mut checkers: Vec<&str> = verdict.violations.iter().map(|violation| violation.checker).collect();
        checkers.dedup();
        println!("seed {seed}, {}: {:?}", mutant.name(), verdict.violations.first());
        said.extend(checkers);
    }
    said
}

#[test]
fn who_was_first_stays_first() {
    assert_eq!(said(Mutant::None), Vec::<&str>::new());
}

#[test]
fn who_is_sent_to_the_tail_is_missed() {
    assert!(said(Mutant::RequeuesAtTheTail).contains(&"S12"));
}
