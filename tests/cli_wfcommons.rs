//! WfCommons traces become workflows that run: every trace that is there imports with its whole graph, and runs in
//! its order. The traces are not part of the repository: HORTATOR_TEST_DATA names their folder's parent, else
//! `../shared/data` beside the repository is tried; without either this test says so and checks nothing.

mod program;

use std::collections::BTreeMap;
use std::path::PathBuf;

use hortator::importers::wfcommons::{Options, import};
use hortator_core::definition::{self, Definition};
use program::{Home, repository};
use serde_json::Value;

/// Small enough that no task really sleeps.
const SCALE: &str = "0.00001";

fn traces() -> Vec<PathBuf> {
    let data =
        std::env::var_os("HORTATOR_TEST_DATA").map_or_else(|| repository("../shared/data"), PathBuf::from);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(data.join("wfcommons"))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    if paths.is_empty() {
        eprintln!("SKIPPED: no traces in {}; set HORTATOR_TEST_DATA", data.join("wfcommons").display());
    }
    paths
}

#[test]
fn every_trace_keeps_its_tasks_and_edges() {
    for path in traces() {
        let bytes = std::fs::read(&path).unwrap();
        let options = Options { time_scale: 0.001, bytes_max: 65_536, name: None };
        let yaml = import(&bytes, &options).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let workflow = definition::parse("trace", yaml.as_bytes()).unwrap().definition;
        let trace: Value = serde_json::from_slice(&bytes).unwrap();
        let tasks = trace["workflow"]["specification"]["tasks"].as_array().unwrap();
        let places: BTreeMap<&str, u32> = workflow
            .tasks
            .iter()
            .enumerate()
            .filter_map(|(place, task)| Some((task.title.as_deref()?, place as u32)))
            .collect();
        let first = usize::from(workflow.tasks[0].id.as_str() == "make-inputs");
        assert_eq!(workflow.tasks.len(), tasks.len() + first, "{}", path.display());
        for task in tasks {
            let parents = workflow.graph.parents(places[task["id"].as_str().unwrap()]);
            for parent in task["parents"].as_array().unwrap() {
                let parent = places[parent.as_str().unwrap()];
                assert!(parents.contains(&parent), "{}: {} lost a parent", path.display(), task["id"]);
            }
        }
    }
}

#[test]
fn every_trace_runs_in_its_order() {
    for path in traces() {
        let home = Home::new();
        let file = home.path().join("trace.workflow.yaml").display().to_string();
        let trace = path.display().to_string();
        home.call(&[
            "import",
            "wfcommons",
            &trace,
            "--time-scale",
            SCALE,
            "--max-bytes",
            "512",
            "--out",
            &file,
        ])
        .expect(0);
        let times = home.path().join("times").display().to_string();
        let yaml = with_times(&std::fs::read_to_string(&file).unwrap(), &times);
        std::fs::write(&file, &yaml).unwrap();
        let result = home.call(&["run", &file, "-o", "json"]).expect(0).json();
        let workflow = definition::parse("trace", yaml.as_bytes()).unwrap().definition;
        assert_eq!(result["state"], "succeeded", "{trace}");
        check_order(&workflow, &result, &trace);
        check_times(&workflow, &std::fs::read_to_string(&times).unwrap(), &trace);
    }
}

/// Every script first notes when it begins, and when it ends as the last thing it does.
fn with_times(yaml: &str, file: &str) -> String {
    let note = |word: &str| format!(r#"echo "{word} $HTR_TASK $(date +%s%N)" >> "{file}""#);
    let line = format!("        set -eu\n        trap '{}' EXIT; {}\n", note("end"), note("begin"));
    yaml.replace("        set -eu\n", &line)
}

/// No task begins before all it needs have ended, by the tasks' own word.
fn check_times(workflow: &Definition, times: &str, trace: &str) {
    let mut notes: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for line in times.lines() {
        let [word, task, time] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{trace}: {line:?}") };
        let before = notes.insert((task, word), time.parse().unwrap());
        assert!(before.is_none(), "{trace}: {task} ran twice");
    }
    for (place, task) in workflow.tasks.iter().enumerate() {
        let begun = notes[&(task.id.as_str(), "begin")];
        for parent in workflow.graph.parents(place as u32) {
            let parent = workflow.tasks[*parent as usize].id.as_str();
            let ended = notes[&(parent, "end")];
            assert!(ended <= begun, "{trace}: {} began before {parent} had ended", task.id);
        }
    }
}

/// No task starts before all it needs have ended, by the agent's clock.
fn check_order(workflow: &Definition, result: &Value, trace: &str) {
    let tasks = result["tasks"].as_array().unwrap();
    assert_eq!(tasks.len(), workflow.tasks.len(), "{trace}");
    for (place, task) in tasks.iter().enumerate() {
        assert_eq!(
            (task["id"].as_str().unwrap(), &task["attempt"]),
            (workflow.tasks[place].id.as_str(), &1.into())
        );
        let started = task["started_at"].as_str().unwrap();
        for parent in workflow.graph.parents(place as u32) {
            let parent = &tasks[*parent as usize];
            let finished = parent["finished_at"].as_str().unwrap();
            assert!(finished <= started, "{trace}: {} started before {} had ended", task["id"], parent["id"]);
        }
    }
}

#[test]
fn a_missing_input_fails_the_task_and_is_named() {
    let home = Home::new();
    let trace = home.write("trace.json", TWO_STEPS);
    let yaml = home.call(&["import", "wfcommons", &trace, "--time-scale", "0"]).expect(0).stdout;
    let producer = yaml.lines().find(|line| line.contains("put mid-")).unwrap();
    // The producer forgets its file.
    let file = home.write("broken.workflow.yaml", yaml.replace(producer, ""));
    let failed = home.call(&["run", &file, "--follow"]).expect(8);
    assert!(
        failed.stderr.contains("input file mid-") && failed.stderr.contains("is missing"),
        "{}",
        failed.stderr
    );
    home.call(&["import", "wfcommons", "nothing.json"]).expect(3);
    let other = home.write("other.json", "{}");
    home.call(&["import", "wfcommons", &other]).expect(7);
}

/// The smallest trace: each policy and order needs its one second, and says so in JSON as in the table.
#[test]
fn policies_are_compared_on_traces() {
    let home = Home::new();
    let trace = home.write("trace.json", TWO_STEPS);
    let json =
        home.call(&["sim", "policies", "--trace", &trace, "--noise", "0.5", "--seeds", "3", "-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&json.expect(0).stdout).unwrap();
    let rows = report["rows"].as_array().unwrap();
    let pair = |row: &serde_json::Value| row["case"].to_string();
    let pairs: std::collections::BTreeSet<String> = rows.iter().map(pair).collect();
    assert_eq!((rows.len(), pairs.len()), (20, 20), "five policies with four orders each");
    for row in rows {
        assert_eq!(row["cells"][0]["makespan"], 1.0, "{row}");
        assert_eq!(row["cells"][0]["ratio"], 1.0, "{row}");
    }
    let table = home.call(&["sim", "policies", "--trace", &trace]).expect(0).stdout;
    assert!(table.contains("least_loaded") && table.lines().any(|line| line.starts_with("trace")), "{table}");
    home.call(&["sim", "policies", "--trace", &trace, "--workers", "8"]).expect(2);
    let other = home.write("other.json", "{}");
    home.call(&["sim", "policies", "--trace", &other]).expect(7);
}

const TWO_STEPS: &str = r#"{"name": "Two Steps", "schemaVersion": "1.5", "workflow": {
    "specification": {"tasks": [
        {"name": "a", "id": "A", "parents": [], "children": ["B"], "inputFiles": ["in"], "outputFiles": ["mid"]},
        {"name": "b", "id": "B", "parents": ["A"], "children": [], "inputFiles": ["mid"], "outputFiles": ["out"]}],
      "files": [{"id": "in", "sizeInBytes": 3}, {"id": "mid", "sizeInBytes": 3}, {"id": "out", "sizeInBytes": 3}]},
    "execution": {"makespanInSeconds": 1, "tasks": [{"id": "A", "runtimeInSeconds": 1}]}}}"#;
