//! A run that breaks a promise can be stored, played again line by line, and made smaller until little is left of it.

use std::time::Duration;

use hortator_actors::mutant::Mutant;
use hortator_simulations::diagram;
use hortator_simulations::plan::Plan;
use hortator_simulations::resolved::Resolved;
use hortator_simulations::run::{Audience, Order, play, replay};
use hortator_simulations::shrink::{Shrinking, shrink};
use hortator_simulations::witness::Witness;

const PLAN: &str = r#"
name = "dies-after-sync"
lasts = "8s"
cluster = { masters = 3, workers = 2, shards = 1, slots = 4, log_keep = 1000 }
habits = { clients = 3, workflows = 1, pause = ["10ms", "200ms"], mix = { tasks = [1, 2], takes = ["5ms", "50ms"], hangs = 0, deaf = 0 } }

[[fault]]
do = "die_after_sync"
who = "leader"
every = ["500ms", "1500ms"]
for = ["10ms", "1s"]

[[fault]]
do = "slow_disk"
who = "master"
every = ["500ms", "2s"]
for = ["10ms", "1s"]
"#;

fn plan() -> Plan {
    toml::from_str(PLAN).expect("a plan")
}

#[test]
fn what_a_plan_resolved_to_is_played_again_line_by_line() {
    let mut plan = plan();
    plan.habits.mix.limited = 1_000_000;
    let order = Order { plan, seed: 3, mutant: Mutant::None };
    let (verdict, resolved) = play(order, Audience::default());
    assert!(resolved.hits.len() > 3 && resolved.errands.len() > 10, "{}", resolved.text());
    assert!(resolved.errands.iter().any(|errand| errand.limit.is_some()), "{}", resolved.text());
    let read = Resolved::parse(&resolved.text()).expect("what was written can be read");
    assert_eq!(read, resolved);
    let (again, resolved_again) = replay(read, Mutant::None, Audience::default());
    assert_eq!(again.trace, verdict.trace);
    assert_eq!(resolved_again, resolved);
    assert_eq!(again, verdict);
}

/// Whatever the swarm draws, faults that wait for a mark among it.
#[test]
fn drawn_seeds_are_played_again_line_by_line() {
    let mut waited = 0;
    for seed in [88_101, 88_103] {
        let order = Order { plan: Plan::swarm(seed), seed, mutant: Mutant::None };
        let (verdict, resolved) = play(order, Audience::default());
        waited += resolved.hits.iter().filter(|hit| hit.after.is_some()).count();
        let read = Resolved::parse(&resolved.text()).expect("what was written can be read");
        let (again, _) = replay(read, Mutant::None, Audience::default());
        assert_eq!(again.trace, verdict.trace, "seed {seed}");
    }
    assert!(waited > 0, "no fault waited for anything");
}

#[test]
fn a_broken_promise_is_made_a_short_story() {
    let mutant: Mutant = "acknowledge-before-commit".parse().expect("a build with mutants");
    let found = (0..40).find_map(|seed| {
        let (verdict, resolved) = play(Order { plan: plan(), seed, mutant }, Audience::default());
        verdict.violations.iter().any(|violation| violation.checker == "S1").then_some(resolved)
    });
    let from = found.expect("40 seeds say nothing of lost commands");
    let (budget, tries_max) = (Duration::from_secs(60), 24);
    let asked = Shrinking { from: from.clone(), mutant, checker: "S1".into(), budget, tries_max, jobs: 2 };
    let shrunk = shrink(asked, &mut |step| eprintln!("{step}"));
    let witness = Witness::default();
    let audience = Audience { reader: None, witness: Some(witness.clone()) };
    let (verdict, _) = replay(shrunk.to.clone(), mutant, audience);
    assert!(verdict.violations.iter().any(|violation| violation.checker == "S1"), "{:?}", verdict.violations);
    assert!(shrunk.to.errands.len() * 2 < from.errands.len(), "{}", shrunk.to.text());
    assert!(shrunk.to.hits.len() <= from.hits.len(), "{}", shrunk.to.text());
    let story = diagram::draw(&witness.moments());
    assert!(story.contains("DieAfterSync") && story.contains("is started"), "{story}");
    eprintln!("{}\n{story}", shrunk.to.text());
}
