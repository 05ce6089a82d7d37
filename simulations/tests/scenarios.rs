//! Every scenario in a short form: its faults hit, it comes where its marks say that it goes, and no promise is broken. Whole:
//! `hortator sim run NAME`.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hortator_actors::mutant::Mutant;
use hortator_core::time::Span;
use hortator_simulations::marks;
use hortator_simulations::plan::Plan;
use hortator_simulations::run::{Aside, Order, simulate};
use hortator_simulations::scenarios;

/// Long enough for each fault of a scenario, and for the clients to have something to lose.
const LASTS: Span = Span::from_secs(8);
/// What is rare, or follows a loss that is noticed late, has so long.
const LASTS_LATER: Span = Span::from_secs(60);
const SEED: u64 = 1;
/// Seeds until a whole scenario has passed its marks.
const LATER: std::ops::Range<u64> = 2..5;

#[test]
fn every_scenario_hits_and_breaks_nothing() {
    let names = scenarios::names();
    assert!(names.len() >= 31, "{names:?}");
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let story = wrong_with(name);
                    wrong.lock().expect("no thread panics here").extend(story);
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no thread panics here");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is wrong with it. A short form may be too short for its marks; then longer ones have to pass the rest.
fn wrong_with(name: &str) -> Option<String> {
    let plan = scenarios::find(name).expect("it is listed");
    let mut asides = Vec::new();
    let tries = std::iter::once((SEED, LASTS)).chain(LATER.map(|seed| (seed, LASTS_LATER)));
    for (seed, lasts) in tries {
        let verdict = simulate(Order { plan: shorter(&plan, lasts), seed, mutant: Mutant::None }, None);
        let strayed = verdict.aside.strayed.iter().cloned();
        let words: Vec<String> =
            verdict.violations.iter().take(3).map(ToString::to_string).chain(strayed).collect();
        if !words.is_empty() {
            return Some(format!("{name}, seed {seed}: {}", words.join("; ")));
        }
        asides.push(verdict.aside);
        if Aside::of_all(&asides).is_empty() {
            return None;
        }
    }
    Some(format!("{name}: {:?}", Aside::of_all(&asides)))
}

fn shorter(plan: &Plan, lasts: Span) -> Plan {
    let mut plan = plan.clone();
    // A fault that comes once in hours comes soon, so that it is known to hit.
    for line in &mut plan.faults {
        line.every = line.every.map(|every| every.min(Span::from_secs(4)));
        line.lasts = line.lasts.map(|long| long.min(lasts));
    }
    // What follows a mark comes when that is passed, and may not be hurried.
    if plan.faults.iter().all(|line| line.after.is_none()) {
        plan.lasts = plan.lasts.min(lasts);
    }
    // Once over the cut shows whether anything of it comes in the way.
    plan.segments = plan.segments.min(2);
    plan
}

#[test]
fn every_scenario_says_where_it_goes() {
    let plans: Vec<Plan> =
        scenarios::names().iter().map(|name| scenarios::find(name).expect("it is listed")).collect();
    let silent = plans.iter().filter(|plan| plan.expects.is_empty() && plan.never.is_empty());
    let silent: Vec<&str> = silent.map(|plan| plan.name.as_str()).collect();
    assert!(silent.is_empty(), "these say neither what they pass nor what they do not: {silent:?}");
    let expected: BTreeSet<&str> =
        plans.iter().flat_map(|plan| plan.expects.iter().map(String::as_str)).collect();
    let unwanted = marks::OF_SCENARIOS.iter().filter(|mark| !expected.contains(*mark));
    assert_eq!(unwanted.count(), 0, "a mark that no seed passes is some scenario's");
}
