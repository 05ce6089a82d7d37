//! Every scenario in a short form: its faults hit, and no promise is broken. Whole: `hortator sim run NAME`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use hortator_actors::mutant::Mutant;
use hortator_core::time::Span;
use hortator_simulations::run::{Order, simulate};
use hortator_simulations::scenarios;

/// Long enough for each fault of a scenario, and for the clients to have something to lose.
const LASTS: Span = Span::from_secs(8);
const SEED: u64 = 1;

#[test]
fn every_scenario_hits_and_breaks_nothing() {
    let names = scenarios::names();
    assert!(names.len() >= 31, "{names:?}");
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let story = play(name);
                    wrong.lock().expect("no thread panics here").extend(story);
                }
            });
        }
    });
    let wrong = wrong.into_inner().expect("no thread panics here");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What is wrong with it.
fn play(name: &str) -> Option<String> {
    let mut plan = scenarios::find(name).expect("it is listed");
    // A fault that comes once in hours comes soon, so that it is known to hit.
    for line in &mut plan.faults {
        line.every = line.every.map(|every| every.min(Span::from_secs(4)));
        line.lasts = line.lasts.map(|lasts| lasts.min(LASTS));
    }
    // What follows a mark comes when that is passed, and may not be hurried.
    if plan.faults.iter().all(|line| line.after.is_none()) {
        plan.lasts = plan.lasts.min(LASTS);
    }
    // Once over the cut shows whether anything of it comes in the way.
    plan.segments = plan.segments.min(2);
    // What takes time to come about is asked of the whole scenario only.
    plan.expects.clear();
    let verdict = simulate(Order { plan, seed: SEED, mutant: Mutant::None }, None);
    let words: Vec<String> = verdict.violations.iter().take(3).map(ToString::to_string).collect();
    (!words.is_empty()).then(|| format!("{name}: {}", words.join("; ")))
}
