//! `hortator dev` and the commands that ask it, as a person would go through them.

mod program;

use program::{Dev, Home};
use serde_json::Value;

const WAITING: &str =
    "hortator: v1\nname: waiting\ntasks:\n  - { id: never, group: nowhere, shell: { script: 'true' } }\n";

fn lines(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|line| line.split('\t').collect()).collect()
}

#[test]
fn a_day_with_dev() {
    let dev = Dev::start(&[]);
    let file = |name: &str| {
        program::repository(&format!("configs/workflows/{name}.workflow.yaml")).display().to_string()
    };
    let status = dev.call(&["status", "-o", "json"]).expect(0).json();
    assert_eq!((&status["verdict"], status["masters"].as_array().unwrap().len()), (&"available".into(), 3));
    assert_eq!(lines(&dev.call(&["worker", "list", "--no-headers"]).expect(0).stdout).len(), 2);

    // Apply, and apply again.
    let applied = dev.call(&["workflow", "apply", &file("etl"), &file("failing")]).expect(0);
    assert_eq!(lines(&applied.stdout)[0], ["default/etl", "v1", "applied"]);
    let again = dev.call(&["workflow", "apply", &file("etl")]).expect(0);
    assert_eq!(lines(&again.stdout)[0], ["default/etl", "v1", "unchanged"]);
    dev.call(&["workflow", "apply", &file("etl"), "--if-version", "7"]).expect(4);
    let listed = dev.call(&["workflow", "list", "-o", "name"]).expect(0).stdout;
    assert_eq!(listed, "default/etl\ndefault/failing\n");
    let source = dev.call(&["workflow", "show", "etl@1", "--source"]).expect(0).stdout;
    assert_eq!(source, std::fs::read_to_string(file("etl")).unwrap());
    dev.call(&["workflow", "show", "nothing"]).expect(3);

    // Start, with and without waiting, and once more under the same key.
    let result = dev.call(&["start", "etl", "-i", "rows=400", "--wait", "-o", "json"]).expect(0).json();
    assert_eq!(result["state"], "succeeded", "tasks on two workers share the run's directory: {result}");
    what_was_learned(&dev);
    let key = ["start", "etl", "-i", "rows=1", "--key", "once", "-o", "json"];
    let (first, second) = (dev.call(&key).expect(0).json(), dev.call(&key).expect(0).json());
    assert_eq!(
        (&first["run"], &first["existing"], &second["existing"]),
        (&second["run"], &false.into(), &true.into())
    );
    dev.call(&["start", "etl", "-i", "rows=x"]).expect(2);
    dev.call(&["start", "nothing"]).expect(3);
    let failed = dev.call(&["start", "failing", "--follow", "-o", "name"]).expect(8);
    assert!(failed.stderr.contains("break | about to fail"), "{}", failed.stderr);

    look_at_runs(&dev, failed.stdout.trim());
    assert_eq!(dev.interrupt(), 0);
}

/// After one run of `etl`, through every door.
fn what_was_learned(dev: &Dev) {
    let learned = dev.call(&["workflow", "durations", "etl", "-o", "json"]).expect(0);
    let view = learned.json();
    let (tasks, classes) = (view["tasks"].as_array().unwrap(), view["classes"].as_array().unwrap());
    assert_eq!((&view["namespace"], &view["workflow"]), (&"default".into(), &"etl".into()), "{view:#}");
    let extract = tasks.iter().find(|task| task["task"] == "extract").unwrap();
    assert_eq!(extract["samples"], 1, "{view:#}");
    assert!(extract["p50_s"].as_f64().unwrap() > 0.0 && extract["p95_s"] == extract["p50_s"], "{view:#}");
    assert!(extract["last_seen"].as_str().unwrap().ends_with('Z'), "{view:#}");
    assert_eq!((classes.len(), &classes[0]["workers"]), (1, &2.into()), "both workers are alike: {view:#}");
    assert_eq!(extract["class"], classes[0]["class"]);
    let table = dev.call(&["workflow", "durations"]).expect(0).stdout;
    let rows = lines(&table);
    assert_eq!(rows[0], ["WORKFLOW", "TASK", "CLASS", "WORKERS", "SAMPLES", "P50", "P95", "LAST SEEN"]);
    let row = rows.iter().find(|row| row[1] == "extract").unwrap();
    assert_eq!((row[0], row[3], row[4]), ("default/etl", "2", "1"), "{table}");
    let shell = dev.call(&["shell", "-c", "workflow durations etl"]).expect(0).stdout;
    assert!(shell.contains("extract"), "one may look without `write on`: {shell}");
    dev.call(&["workflow", "durations", "etl@1"]).expect(2);
    dev.call(&["workflow", "durations", "nothing"]).expect(3);
}

/// Everything that shows a run, by id and by name.
fn look_at_runs(dev: &Dev, failed: &str) {
    dev.call(&["run", "show", "etl@latest", "--wait"]).expect(0);
    let listed = dev.call(&["ps", "--state", "failed", "-o", "name"]).expect(0).stdout;
    assert_eq!(listed.trim(), failed);
    let table = dev.call(&["ps"]).expect(0).stdout;
    assert!(
        table.starts_with("RUN\tNAMESPACE\tWORKFLOW\tVERSION\tSTATE\t") && lines(&table).len() == 4,
        "{table}"
    );
    let page = dev.call(&["ps", "-n", "2", "-o", "json"]).expect(0).json();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (2, &Value::Null));

    let tasks = dev.call(&["run", "tasks", failed, "--failed", "-o", "name"]).expect(0).stdout;
    assert_eq!(tasks.trim(), format!("{failed}/break"));
    let events = dev.call(&["run", "events", failed, "-o", "jsonl"]).expect(0).stdout;
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (&events[0]["event"], &events.last().unwrap()["event"]),
        (&"run_created".into(), &"run_finished".into())
    );
    let followed = dev.call(&["run", "events", failed, "--follow", "-o", "jsonl"]).expect(0).stdout;
    assert_eq!(followed.lines().count(), events.len(), "the stream and the pages tell the same");
    let after = events[0]["position"].as_str().unwrap();
    let rest = dev.call(&["run", "events", failed, "--after", after, "-o", "jsonl"]).expect(0).stdout;
    assert_eq!(rest.lines().count(), events.iter().filter(|event| event["position"] != after).count());

    assert_eq!(dev.call(&["logs", failed, "prepare"]).expect(0).stdout, "prepared\n");
    let stamped = dev.call(&["logs", &format!("{failed}/break"), "-t"]).expect(0).stdout;
    assert!(stamped.ends_with("Z e about to fail\n"), "{stamped}");
    assert!(dev.call(&["logs", failed]).expect(0).stdout.contains("prepare | prepared\n"));
    dev.call(&["logs", failed, "after-break"]).expect(4);
    dev.call(&["logs", failed, "nothing"]).expect(3);

    let retried = dev.call(&["retry", failed, "--failed", "--wait", "-o", "json"]).expect(8).json();
    let attempts: Vec<_> =
        retried["tasks"].as_array().unwrap().iter().map(|task| task["state"].clone()).collect();
    // What `later` needs has succeeded before, so this time it is as early as the task that fails.
    assert_eq!(attempts, ["succeeded", "failed", "skipped", "succeeded", "succeeded"]);
    dev.call(&["cancel", failed]).expect(4);
    dev.call(&["run", "show", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]).expect(3);
    dev.call(&["run", "show", "etl"]).expect(2);
}

#[test]
fn what_waits_says_why_and_can_be_cancelled() {
    let dev = Dev::start(&["--masters", "1", "--workers", "1"]);
    let file = dev.home.write("waiting.yaml", WAITING);
    dev.call(&["workflow", "apply", &file]).expect(0);
    dev.call(&["start", "waiting", "--wait", "--timeout", "200ms"]).expect(9);
    let explained = dev.call(&["explain", "waiting@latest/never", "-o", "json"]).expect(0).json();
    let reason = &explained["tasks"][0]["reasons"][0];
    assert_eq!(reason["code"], "R304", "{explained}");
    let text = dev.call(&["explain", "waiting@latest"]).expect(0).stdout;
    assert!(text.contains("R304 GROUP_UNKNOWN") && text.contains("nowhere"), "{text}");
    what_if(&dev);
    let cancelled = dev.call(&["cancel", "waiting@latest", "--wait", "-o", "json"]).expect(8).json();
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(dev.interrupt(), 0);
}

/// One change, several at once, and what is none.
fn what_if(dev: &Dev) {
    let worker = dev.call(&["worker", "list", "-o", "name"]).expect(0).stdout;
    let worker = worker.trim();
    let ask = |change: &str, code| {
        let asked = dev.call(&["explain", "waiting@latest/never", "--what-if", change]).expect(code);
        asked.stdout + &asked.stderr
    };
    let cases = [
        (format!("worker={worker}"), 0, format!("\"nowhere\", and {worker} is in default")),
        (format!("worker={worker},group=default"), 0, format!("it could start now, on {worker}")),
        (format!("worker={worker},group=default,cpu=1000"), 0, "1000 needed".to_owned()),
        ("group=default,zone=any,priority=high".to_owned(), 0, format!("it could start now, on {worker}")),
        ("zone=any".to_owned(), 0, "R304".to_owned()),
        ("worker=nobody".to_owned(), 3, "there is no worker nobody".to_owned()),
        ("planet=mars".to_owned(), 2, "cannot be imagined".to_owned()),
    ];
    for (change, code, expected) in cases {
        let told = ask(&change, code);
        assert!(told.contains(&expected), "{change}: {told}");
    }
}

#[test]
fn without_a_cluster_the_error_says_so_at_once() {
    let home = Home::new();
    let none = home.call(&["ps"]).expect(6);
    assert!(none.stderr.contains("[H1004]") && none.stderr.contains("hortator dev"), "{}", none.stderr);
    let gone = home.command(&["ps", "--addr", "127.0.0.1:1"]).env("HORTATOR_TOKEN", "x").spawn().unwrap();
    let gone = program::finish(gone, &["ps"]).expect(6);
    assert!(
        gone.stderr.contains("cannot reach a master at 127.0.0.1:1 (connection refused)"),
        "{}",
        gone.stderr
    );
    let dev = Dev::start(&["--masters", "1", "--workers", "0"]);
    let wrong = dev.home.command(&["ps"]).env("HORTATOR_TOKEN", "wrong").spawn().unwrap();
    let wrong = program::finish(wrong, &["ps"]).expect(5);
    assert!(wrong.stderr.contains("[H1201]"), "{}", wrong.stderr);
}

#[test]
fn commands_that_need_no_cluster() {
    let home = Home::new();
    assert_eq!(home.call(&["version", "-o", "json"]).expect(0).json()["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(home.call(&["schema", "workflow"]).expect(0).json()["type"], "object");
    assert!(home.call(&["completion", "bash"]).expect(0).stdout.contains("_hortator"));
    assert!(home.call(&["help", "H2103"]).expect(0).stdout.contains("needs"));
    assert!(home.call(&["help", "r301"]).expect(0).stdout.contains("NO_CAPACITY"));
    assert!(home.call(&["help", "workflow", "apply"]).expect(0).stdout.contains("Example:"));
    home.call(&["help", "H2999"]).expect(2);
    assert!(home.call(&["help", "strat"]).expect(2).stderr.contains("hortator help start"));
    let shown =
        home.command(&["config", "show", "--origin"]).env("HORTATOR_DEV__WORKERS", "5").spawn().unwrap();
    let shown = program::finish(shown, &["config"]).expect(0).stdout;
    assert!(shown.contains("dev.workers\t5\tvariable HORTATOR_DEV__WORKERS\n"), "{shown}");
    let wrong = home.write("wrong.toml", "[dev]\nmaster = 1\n");
    let wrong = home.call(&["config", "check", "--config", &wrong]).expect(7);
    assert!(
        wrong.stderr.contains("wrong.toml:2") && wrong.stderr.contains("dev.masters"),
        "{}",
        wrong.stderr
    );
    let etl = program::repository("configs/workflows/etl.workflow.yaml").display().to_string();
    for format in ["ascii", "dot", "mermaid"] {
        assert!(
            home.call(&["workflow", "graph", &etl, "--format", format])
                .expect(0)
                .stdout
                .contains("transform")
        );
    }
}
