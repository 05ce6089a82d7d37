//! Schedules as a person goes through them, on real processes: what comes, what was, why, and switching.

mod program;

use std::time::{Duration, Instant};

use program::Dev;
use serde_json::Value;

const FLOW: &str = "hortator: v1\nname: beat\nschedules:\n  - { id: fast, every: 1s, overlap: skip }\n  \
                    - { id: night, cron: '30 2 * * *', timezone: Europe/Berlin, enabled: false }\n\
                    tasks:\n  - { id: one, noop: {} }\n";

/// Asks until the answer is as wanted; what a second brings takes a second.
fn until(what: &str, dev: &Dev, words: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let answer = dev.call(words).expect(0).json();
        if wanted(&answer) {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{what}: {answer}");
    }
}

#[test]
fn a_schedule_from_the_first_fire_to_the_last() {
    let dev = Dev::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("beat.workflow.yaml");
    std::fs::write(&file, FLOW).unwrap();
    let applied = dev.call(&["workflow", "apply", file.to_str().unwrap()]).expect(0);
    assert!(applied.stderr.contains("H2152"), "a change of the clock is told of: {}", applied.stderr);

    let fired = |answer: &Value| answer["items"].as_array().is_some_and(|lines| lines.len() >= 3);
    let history = ["schedule", "history", "beat/fast", "-o", "json"];
    let lines = until("it fires", &dev, &history, fired);
    let newest = &lines["items"][0];
    assert_eq!((&newest["event"]["event"], &newest["event"]["cause"]), (&"fired".into(), &"due".into()));
    let run = newest["run"].as_str().unwrap();
    let shown =
        until("it ends", &dev, &["run", "show", run, "-o", "json"], |run| run["state"] == "succeeded");
    assert_eq!(shown["by"], "schedule fast");

    let listed = dev.call(&["schedule", "list", "-o", "name"]).expect(0).stdout;
    assert_eq!(listed, "default/beat/fast\ndefault/beat/night\n");
    let night = dev.call(&["schedule", "show", "beat/night", "-o", "json"]).expect(0).json();
    assert_eq!((&night["state"], &night["next"]), (&"off".into(), &Value::Null));
    let next = dev.call(&["schedule", "next", "beat/night", "-n", "400", "-o", "json"]).expect(0).json();
    let next = next["items"].as_array().unwrap();
    let changes: Vec<&Value> =
        next.iter().map(|one| &one["clock_change"]).filter(|one| !one.is_null()).collect();
    assert!(
        changes.contains(&&"after_gap".into()) && changes.contains(&&"first_of_two".into()),
        "{changes:?}"
    );

    dev.call(&["schedule", "disable", "beat/fast"]).expect(0);
    let off = dev.call(&["schedule", "show", "beat/fast", "-o", "json"]).expect(0).json();
    assert_eq!(off["state"], "off");
    let explained = dev.call(&["explain", "schedule", "beat/fast"]).expect(0).stdout;
    assert!(explained.contains("switched off by") && explained.contains("R120"), "{explained}");
    let time = newest["event"]["nominal"].as_str().unwrap();
    let explained = dev.call(&["explain", "schedule", "beat/fast", "--at", time]).expect(0).stdout;
    assert!(explained.contains("it did fire") && explained.contains(run), "{explained}");

    let made = dev.call(&["schedule", "trigger", "beat/night", "-o", "json"]).expect(0).json();
    let run = made["run"].as_str().unwrap();
    until("it ends", &dev, &["run", "show", run, "-o", "json"], |run| run["state"] == "succeeded");
    dev.call(&["schedule", "enable", "beat/fast"]).expect(0);
    dev.call(&["schedule", "show", "beat/none"]).expect(3);
    dev.call(&["schedule", "show", "beat"]).expect(2);
    assert_eq!(dev.interrupt(), 0);
}
