//! The slice of the simulator that runs on every change: seeds repeat themselves in other processes, a few break no
//! promise, and a deliberate mistake is found. Longer: `hortator sim explore --seeds A..B`.

mod program;

use program::Home;
use serde_json::Value;

fn sim(arguments: &[&str]) -> (i32, Value) {
    let home = Home::new();
    let finished = home.call(&[&["sim"], arguments, &["-o", "json"]].concat());
    eprintln!("{}", finished.stderr);
    assert!([0, 13].contains(&finished.code), "{}\n{}", finished.stdout, finished.stderr);
    (finished.code, finished.json())
}

#[test]
fn a_seed_repeats_itself_in_another_process() {
    let (code, repeated) = sim(&["twice", "--seeds", "1..4"]);
    assert_eq!((code, &repeated["apart"]), (0, &Value::Array(Vec::new())), "{repeated:#}");
    assert!(repeated["events"].as_u64().unwrap() > 100_000, "{repeated:#}");
}

#[test]
fn a_few_seeds_break_no_promise() {
    let (code, explored) = sim(&["explore", "--seeds", "0..4"]);
    assert_eq!((code, &explored["failed"]), (0, &Value::Array(Vec::new())), "{explored:#}");
    assert!(explored["runs"].as_u64().unwrap() > 100, "{explored:#}");
}

#[test]
fn a_scenario_by_its_name() {
    let (code, verdict) = sim(&["run", "leader-kill-loop", "--seed", "1"]);
    assert_eq!((code, &verdict["violations"]), (0, &Value::Array(Vec::new())), "{verdict:#}");
    assert!(verdict["faults"]["kill"].as_u64().unwrap() > 3, "{verdict:#}");
    let home = Home::new();
    assert!(home.call(&["sim", "list"]).expect(0).stdout.contains("leader-kill-loop"));
    let refused = home.call(&["sim", "run", "nothing"]).expect(7);
    assert!(
        refused.stderr.contains("leader-kill-loop") && refused.stderr.contains("H2005"),
        "{}",
        refused.stderr
    );
    home.call(&["sim", "explore", "--seeds", "5..5"]).expect(2);
}

// Minutes long in a debug build: run it with `cargo test --test simulate -- --ignored`.
#[test]
#[ignore = "minutes long"]
fn a_master_that_acknowledges_before_commit_is_found_out_by_a_swarm() {
    let found = (1..40).any(|seed: u32| {
        let (_, verdict) =
            sim(&["run", "--seed", &seed.to_string(), "--mutant", "acknowledge-before-commit"]);
        let violations = verdict["violations"].as_array().unwrap();
        violations.iter().any(|violation| violation["checker"] == "S1")
    });
    assert!(found, "39 seeds say nothing of lost commands");
}
