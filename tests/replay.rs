//! A run as it was: what `run at` and `run replay` fold from a history is what the cluster itself says.

mod program;

use program::Dev;
use serde_json::Value;

/// The sample workflows, and one that is cancelled while a task of it runs and an item waits for another.
const LONG: &str = "hortator: v1\nname: long\ntasks:\n  - id: item\n    foreach: { items: [1, 2, 3], parallel: 1 }\n    \
                    shell: { script: 'sleep 60' }\n  - { id: after, needs: [item], noop: {} }\n";

fn without(mut value: Value, names: &[&str]) -> Value {
    let fields = value.as_object_mut().unwrap();
    names.iter().for_each(|name| drop(fields.remove(*name)));
    value
}

/// The fold of the whole history is what the rows say, and the fold of each part of it fits the step that leads there.
#[track_caller]
fn check(dev: &Dev, run: &str) {
    let shown = dev.call(&["run", "show", run, "-o", "json"]).expect(0).json();
    let tasks = dev.call(&["run", "tasks", run, "-o", "json"]).expect(0).json();
    let end = dev.call(&["run", "at", run, "--time", "2200-01-01T00:00:00Z", "-o", "json"]).expect(0).json();
    let folded: Vec<Value> =
        end["tasks"].as_array().unwrap().iter().map(|task| without(task.clone(), &["since"])).collect();
    assert_eq!(Value::from(folded), tasks["items"], "run {run}");
    let alone = without(end.clone(), &["tasks", "events", "at", "position"]);
    assert_eq!(alone, without(shown, &["position"]), "run {run}");

    let steps = dev.call(&["run", "replay", run, "--step", "-o", "jsonl"]).expect(0).stdout;
    let steps: Vec<Value> = steps.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let events = dev.call(&["run", "events", run, "-o", "jsonl"]).expect(0).stdout;
    assert_eq!(steps.len(), events.lines().count());
    assert_eq!(steps.last().unwrap()["run_state"], end["state"]);
    let lasts = steps.iter().zip(&steps[1..]).filter(|(step, next)| step["position"] != next["position"]);
    for (step, _) in lasts.step_by(7) {
        let position = step["position"].as_str().unwrap();
        let then = dev.call(&["run", "at", run, "--position", position, "-o", "json"]).expect(0).json();
        assert_eq!((&then["position"], &then["at"]), (&step["position"], &step["at"]));
        assert_eq!(then["state"], step["run_state"], "at {position} of {run}");
        let Some(task) = step["task"].as_str() else { continue };
        let named = |found: &&Value| match found["item"].as_u64() {
            Some(item) => task == format!("{}[{item}]", found["id"].as_str().unwrap()),
            None => found["id"] == task,
        };
        // A foreach that was skipped as a whole has no task run of that name.
        if let Some(found) = then["tasks"].as_array().unwrap().iter().find(named) {
            assert_eq!(found["state"], step["task_state"], "{task} at {position} of {run}");
        }
    }
}

#[test]
fn the_fold_of_a_history_is_what_the_cluster_says() {
    let dev = Dev::start(&["--masters", "1", "--workers", "2"]);
    for sample in ["etl", "failing", "fanout", "flaky", "hello"] {
        let file = program::repository(&format!("configs/workflows/{sample}.workflow.yaml"));
        dev.call(&["workflow", "apply", &file.display().to_string()]).expect(0);
        let run = dev.call(&["start", sample]).expect(0).stdout.trim().to_owned();
        dev.call(&["run", "show", &run, "--wait"]);
        check(&dev, &run);
        if sample == "failing" {
            dev.call(&["retry", &run, "--failed", "--wait"]).expect(8);
            check(&dev, &run);
        }
    }
    let file = dev.home.write("long.workflow.yaml", LONG);
    dev.call(&["workflow", "apply", &file]).expect(0);
    let run = dev.call(&["start", "long"]).expect(0).stdout.trim().to_owned();
    while dev.call(&["run", "tasks", &run, "--state", "dispatched", "-o", "name"]).expect(0).stdout.is_empty()
    {
    }
    let live = dev.call(&["run", "at", &run, "--time", "2200-01-01T00:00:00Z"]).expect(0).stdout;
    let states: Vec<&str> = live.lines().skip(1).filter_map(|line| line.split('\t').nth(1)).collect();
    assert_eq!(states, ["dispatched", "waiting", "waiting", "waiting"], "{live}");
    dev.call(&["cancel", &run, "--wait"]).expect(8);
    check(&dev, &run);

    // What cannot be shown says why.
    let before = dev.call(&["run", "at", &run, "--time", "2001-01-01T00:00:00Z"]).expect(3);
    assert!(before.stderr.contains("[H3015]"), "{}", before.stderr);
    dev.call(&["run", "at", &run, "--position", "77:1"]).expect(2);
    dev.call(&["run", "at", &run]).expect(2);
    assert_eq!(dev.interrupt(), 0);
}
