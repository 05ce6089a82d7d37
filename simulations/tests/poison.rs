//! A task that takes its worker with it on every try: it fails with a code, what is beside it does not, and the fleet stands.

use hortator_actors::mutant::Mutant;
use hortator_simulations::run::{Order, simulate};
use hortator_simulations::scenarios::find;

/// Every acknowledged run ends (L2), and not for want of poison.
#[test]
fn what_ends_its_worker_ends_itself() {
    let mut all = 0;
    for seed in 0..4 {
        let plan = find("poison").expect("it comes with the program");
        let verdict = simulate(Order { plan, seed, mutant: Mutant::None }, None);
        let lost = verdict.marks.get("task: an attempt was lost with its worker").copied().unwrap_or(0);
        let given_up = verdict.marks.get("task: given up after losses in a row").copied().unwrap_or(0);
        println!("seed {seed}: {} runs, {lost} attempts lost, {given_up} given up", verdict.runs);
        assert!(verdict.is_good(), "seed {seed}: {:#?}", verdict.violations);
        all += given_up;
    }
    assert!(all > 0, "nothing deadly was drawn");
}
