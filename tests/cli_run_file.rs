//! `hortator run FILE` from outside: the samples, exit codes, the result document, files that are wrong, Ctrl-C.

mod program;

use std::time::{Duration, Instant};

use program::{Home, finish, pid, repository};
use serde_json::Value;

fn sample(name: &str) -> String {
    repository(&format!("configs/workflows/{name}.workflow.yaml")).display().to_string()
}

/// The state of each task run by its id.
fn states(document: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    document["tasks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|task| (text(&task["id"]), text(&task["state"])))
        .collect()
}

#[test]
fn samples_end_as_they_say() {
    let home = Home::new();
    let run = |name: &str, code: i32| home.call(&["run", &sample(name), "-o", "json"]).expect(code).json();
    assert_eq!(run("hello", 0)["state"], "succeeded");
    let etl = run("etl", 0);
    let skipped: Vec<_> =
        states(&etl).into_iter().filter(|(_, state)| state == "skipped").map(|(id, _)| id).collect();
    assert_eq!(skipped, ["note-small", "quarantine"]);
    let fanout = states(&run("fanout", 0));
    assert_eq!(fanout.len(), 42);
    assert!(fanout.iter().all(|(_, state)| state == "succeeded"));
    assert!(fanout.iter().any(|(id, _)| id == "work[39]"));
    let flaky = run("flaky", 0);
    assert_eq!((&flaky["tasks"][0]["attempt"], &flaky["tasks"][1]["attempt"]), (&3.into(), &1.into()));
    let failing = run("failing", 8);
    assert_eq!(failing["state"], "failed");
    let expected = [
        ("prepare", "succeeded"),
        ("break", "failed"),
        ("after-break", "skipped"),
        ("later", "skipped"),
        ("slow", "succeeded"),
    ];
    assert_eq!(states(&failing), expected.map(|(id, state)| (id.to_owned(), state.to_owned())));
    assert_eq!(failing["tasks"][1]["exit_code"], 3);
    let left: Vec<_> =
        std::fs::read_dir(home.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert!(left.is_empty(), "a temporary cluster leaves nothing behind: {left:?}");
}

#[test]
fn a_workflow_with_schedules_runs_by_hand_as_well() {
    let home = Home::new();
    let document =
        home.call(&["run", &sample("nightly"), "-i", "depth=quick", "-o", "json"]).expect(0).json();
    assert_eq!(document["state"], "succeeded");
}

#[test]
fn every_sample_is_run_by_a_test() {
    let mut names: Vec<String> = std::fs::read_dir(repository("configs/workflows"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().replace(".workflow.yaml", ""))
        .collect();
    names.sort();
    assert_eq!(names, ["etl", "failing", "fanout", "flaky", "hello", "nightly"]);
}

#[test]
fn the_result_document_has_these_keys_and_no_others() {
    let home = Home::new();
    let document = home.call(&["run", &sample("hello"), "-i", "who=Ada", "-o", "json"]).expect(0).json();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&document), ["run", "state", "tasks"]);
    let task = &document["tasks"][0];
    let expected = ["attempt", "exit_code", "finished_at", "id", "ready_at", "started_at", "state", "worker"];
    assert_eq!(keys(task), expected);
    for name in ["ready_at", "started_at", "finished_at"] {
        let time = task[name].as_str().unwrap();
        assert!(time.len() == 27 && time.ends_with('Z'), "RFC 3339 in UTC with microseconds: {time}");
    }
    assert!(task["started_at"].as_str() <= task["finished_at"].as_str());
    assert_eq!(document["run"].as_str().unwrap().len(), 26);
}

#[test]
fn logs_follow_on_stderr_and_the_result_stays_alone_on_stdout() {
    let home = Home::new();
    let finished = home.call(&["run", &sample("hello"), "-i", "who=Ada", "--follow"]).expect(0);
    assert!(finished.stderr.contains("greet | hello Ada\n"), "{}", finished.stderr);
    let mut lines = finished.stdout.lines();
    assert_eq!(lines.next(), Some("TASK\tSTATE\tATTEMPT\tWORKER\tEXIT\tWAITED\tTOOK"));
    assert!(lines.next().unwrap().starts_with("greet\tsucceeded\t1\tw1\t0\t"));
    assert_eq!(lines.next(), None);
}

#[test]
fn a_wrong_file_or_input_is_refused_before_anything_starts() {
    let home = Home::new();
    let wrong =
        home.write("wrong.yaml", "hortator: v1\nname: wrong\ntasks:\n  - { id: a, needs: [b], noop: {} }\n");
    let refused = home.call(&["run", &wrong]).expect(7);
    assert!(
        refused.stderr.contains("error[H2103]") && refused.stderr.contains("wrong.yaml:4:"),
        "{}",
        refused.stderr
    );
    assert!(refused.stdout.is_empty());
    home.call(&["workflow", "validate", &wrong]).expect(7);
    home.call(&["run", "nothing.yaml"]).expect(3);
    let refused = home.call(&["run", &sample("etl"), "-i", "rows=many", "-i", "row=1"]).expect(2);
    assert!(
        refused.stderr.contains("whole number") && refused.stderr.contains("\"row\""),
        "{}",
        refused.stderr
    );
    let invalid = home.write("invalid.yaml", b"hortator: v1\nname: \xff\n");
    home.call(&["run", &invalid]).expect(7);
    let large = home.write("large.yaml", vec![b'#'; (16 << 20) + 1]);
    let refused = home.call(&["workflow", "validate", &large]).expect(7);
    assert!(refused.stderr.contains("16 MiB"), "{}", refused.stderr);
}

const SLEEPS: &str = "hortator: v1\nname: sleeps\ntasks:\n  - { id: long, shell: { script: 'sleep 600' } }\n";

#[test]
fn ctrl_c_cancels_and_waits_for_the_end() {
    let home = Home::new();
    let file = home.write("sleeps.yaml", SLEEPS);
    let arguments = ["run", &file, "-o", "json", "--follow"];
    let child = home.command(&arguments).spawn().unwrap();
    let pid = pid(&child);
    // Started is soft, so nothing outside says when the task runs; its shared directory does.
    let began = Instant::now();
    while !started(&home) {
        assert!(began.elapsed() < program::LIMIT, "the task does not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let document = finish(child, &arguments).expect(8).json();
    assert_eq!(
        (&document["state"], &document["tasks"][0]["state"]),
        (&"cancelled".into(), &"cancelled".into())
    );
}

fn started(home: &Home) -> bool {
    let clusters = std::fs::read_dir(home.path()).unwrap().flatten();
    clusters
        .map(|entry| entry.path().join("runs"))
        .any(|runs| std::fs::read_dir(runs).is_ok_and(|mut runs| runs.next().is_some()))
}

#[test]
fn a_time_limit_cancels() {
    let home = Home::new();
    let file = home.write("sleeps.yaml", SLEEPS);
    let document = home.call(&["run", &file, "--timeout", "300ms", "-o", "json"]).expect(9).json();
    assert_eq!(document["state"], "cancelled");
}

#[test]
fn kept_data_holds_the_run_of_the_time_before() {
    let home = Home::new();
    let run = ["run", &sample("hello"), "--data", "data", "-o", "name"];
    let call = || {
        let mut command = home.command(&run);
        finish(command.current_dir(home.path()).spawn().unwrap(), &run).expect(0).stdout
    };
    let (first, second) = (call(), call());
    assert_ne!(first, second);
    assert!(home.path().join("data").is_dir(), "a relative path counts from where the command is called");
}
