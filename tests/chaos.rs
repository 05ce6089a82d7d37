//! The slice of the real-process harness that runs on every change: a bit of all faults, and a deliberate mistake that
//! must be found. Longer: `hortator sim process --scenario NAME --minutes N --seed S`.

mod program;

use program::Home;
use serde_json::Value;

/// Runs a plan and gives its exit code and report.
fn sim(plan: &str, minutes: &str, more: &[&str]) -> (i32, Value) {
    let home = Home::new();
    let data = home.path().join("sim").display().to_string();
    let arguments =
        ["sim", "process", "--scenario", plan, "--minutes", minutes, "--data", &data, "-o", "json"];
    let finished = home.call(&[&arguments[..], more].concat());
    // The seed that repeats it.
    eprintln!("{}", finished.stderr);
    assert!([0, 13].contains(&finished.code), "{}\n{}", finished.stdout, finished.stderr);
    (finished.code, finished.json())
}

#[test]
fn a_bit_of_everything_breaks_no_promise() {
    let (code, report) = sim("mixed", "1", &[]);
    assert_eq!((code, &report["violations"]), (0, &Value::Array(Vec::new())), "{report:#}");
    assert!(report["injected"].as_u64().unwrap() > 10, "{report:#}");
}

#[test]
fn a_master_that_acknowledges_before_commit_is_found_out() {
    let (code, report) = sim("leader-cuts", "0.5", &["--mutant", "acknowledge-before-commit"]);
    assert_eq!(code, 13, "{report:#}");
    let found = report["violations"].as_array().unwrap();
    assert!(found.iter().any(|violation| violation["checker"] == "S1"), "{report:#}");
}

#[test]
fn plans_are_listed_and_unknown_ones_refused() {
    let home = Home::new();
    assert!(home.call(&["sim", "list"]).expect(0).stdout.contains("leader-kills"));
    let refused = home.call(&["sim", "process", "--scenario", "nothing"]).expect(7);
    assert!(
        refused.stderr.contains("leader-kills") && refused.stderr.contains("H2005"),
        "{}",
        refused.stderr
    );
    home.call(&["sim", "process", "--mutant", "nothing"]).expect(2);
    home.call(&["sim", "process", "--minutes", "0"]).expect(2);
}
