//! What goes into a plan besides workflows: learned durations, dates, stubs and faults; as `hortator sim plan` takes them.

mod program;

use std::path::PathBuf;

use program::{Finished, Home};
use serde_json::{Value, json};

const HOURLY: &str = r#"
hortator: v1
name: hourly
schedules:
  - { id: main, cron: "0 * * * *", timezone: UTC }
tasks:
  - { id: extract, outputs: { rows: int }, shell: { script: extract } }
  - { id: load, needs: [extract], when: "tasks.extract.outputs.rows > 5", shell: { script: load } }
"#;

struct Flows {
    home: Home,
    place: PathBuf,
}

impl Flows {
    fn of(workflow: &str) -> Flows {
        let home = Home::new();
        let place = home.path().join("flows");
        std::fs::create_dir(&place).unwrap();
        let flows = Flows { home, place };
        flows.write("hourly.workflow.yaml", workflow);
        flows
    }

    /// A file beside the workflows, and its name.
    fn write(&self, name: &str, text: &str) -> String {
        let path = self.place.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn plan(&self, more: &[&str]) -> Finished {
        let place = self.place.display().to_string();
        let words = ["sim", "plan", "--workflows", &place, "--workers", "1x2"];
        self.home.call(&[&words[..], more].concat())
    }

    fn told(&self, more: &[&str]) -> Value {
        self.plan(&[more, &["-o", "json"]].concat()).expect(0).json()
    }
}

/// Seconds that half of the runs of the only workflow take, and the longest.
fn took(told: &Value) -> [u64; 2] {
    let sums = &told["workflows"][0];
    ["took_p50_s", "took_most_s"].map(|key| sums[key].as_f64().unwrap().round() as u64)
}

fn learned(tasks: &[(&str, &str, u32, f64, f64)]) -> String {
    let tasks = tasks.iter().map(|(task, class, samples, p50_s, p95_s)| {
        json!({ "task": task, "class": class, "samples": samples, "p50_s": p50_s, "p95_s": p95_s,
            "last_seen": "2026-11-20T14:02:03Z" })
    });
    json!({ "namespace": "default", "workflow": "hourly", "classes": [], "tasks": tasks.collect::<Vec<_>>() })
        .to_string()
}

#[test]
fn learned_durations_are_what_tasks_take() {
    let flows = Flows::of(&HOURLY.replace(", when: \"tasks.extract.outputs.rows > 5\"", ""));
    let words = ["--for", "1d"];
    let with = |file: &str, more: &[&str]| flows.told(&[&words[..], &["--learned", file], more].concat());
    let usual = flows.told(&words);
    assert_eq!(usual["durations"]["usual"], 2, "{usual:#}");
    assert!(took(&usual)[1] <= 240, "half a minute to two each: {usual:#}");

    let steady = flows.write(
        "steady.json",
        &learned(&[
            ("extract", "3f2a", 9, 600.0, 600.0),
            ("load", "3f2a", 9, 1200.0, 1200.0),
            ("load", "0001", 2, 60.0, 60.0),
        ]),
    );
    let told = with(&steady, &[]);
    assert_eq!(took(&told), [1800, 1800], "{told:#}");
    let sources = json!({ "stated": 0, "learned": 0, "learned_elsewhere": 2, "usual": 0 });
    assert_eq!(told["durations"], sources, "nobody says what the planned workers are");
    assert_eq!(told["makespan_s"].as_f64().unwrap().round(), 23.0 * 3600.0 + 1800.0, "{told:#}");
    // Of workers that are said to be of the other class, and with one task stated.
    let config = flows.write("slow.toml", "[classes]\ndefault = \"0001\"\n");
    assert_eq!(took(&with(&steady, &["--config", &config])), [660, 660], "load took a minute there");
    let config = flows.write("stated.toml", "[tasks.hourly]\nload = \"5m\"\n");
    let told = with(&steady, &["--config", &config]);
    assert_eq!((took(&told), &told["durations"]["stated"]), ([900, 900], &1.into()), "{told:#}");

    let wide = flows.write(
        "wide.json",
        &learned(&[("extract", "3f2a", 9, 60.0, 60.0), ("load", "3f2a", 9, 60.0, 600.0)]),
    );
    let [half, most] = took(&flows.told(&["--for", "4d", "--learned", &wide]));
    assert!((95..160).contains(&half) && most > 600, "a spread and no constant: {half} s, {most} s");

    let again = flows.plan(&[&words[..], &["--learned", &steady, &steady]].concat());
    assert!(again.expect(7).stderr.contains("a second time"));
}

/// When the runs began, to the minute: all of them are late where nothing is allowed.
fn times(told: &Value) -> Vec<String> {
    let late = told["late"].as_array().unwrap().iter();
    late.map(|run| run["at"].as_str().unwrap()[..16].to_owned()).collect()
}

#[test]
fn a_plan_begins_where_it_is_asked_to() {
    let nightly = HOURLY.replace("0 * * * *", "30 2 * * *").replace("UTC", "Europe/Berlin");
    let flows = Flows::of(&nightly);
    let from = |date: &str| flows.told(&["--from", date, "--for", "3d", "--late", "0s"]);
    for (date, ends, expected) in [
        // An hour that is not there: right after it. One that is there twice: once.
        ("2027-03-27", "2027-03-30T00:00:00", ["2027-03-27T01:30", "2027-03-28T01:00", "2027-03-29T00:30"]),
        ("2026-10-24", "2026-10-27T00:00:00", ["2026-10-24T00:30", "2026-10-25T00:30", "2026-10-26T01:30"]),
    ] {
        let told = from(date);
        assert_eq!(times(&told), expected, "{told:#}");
        assert!(told["began"].as_str().unwrap().starts_with(&format!("{date}T00:00:00")), "{told:#}");
        assert!(told["ends"].as_str().unwrap().starts_with(ends), "{told:#}");
    }
    let words = ["--for", "2d"];
    let (first, second) = (flows.plan(&words).expect(0), flows.plan(&words).expect(0));
    assert_eq!(first.stdout, second.stdout);
    assert!(first.stdout.starts_with("2.0 days from 2024-01-01T00:00:00"), "{}", first.stdout);
    assert!(flows.plan(&["--from", "yesterday"]).expect(2).stderr.contains("is no date"));
    // What is due at the very beginning is of the plan.
    let flows = Flows::of(HOURLY);
    assert_eq!(flows.told(&["--for", "3h"])["runs"], 3);
    let flows = Flows::of(&HOURLY.replace("0 * * * *", "0 0 1 2 *"));
    let silent = flows.plan(&["--for", "1d"]).expect(0).stderr;
    assert!(silent.contains("is in the plan: default/hourly"), "{silent}");
}

#[test]
fn stubs_and_outputs_decide_what_runs() {
    let flows = Flows::of(HOURLY);
    let counts = |more: &[&str]| {
        let told = flows.told(&[&["--for", "6h"], more].concat());
        (told["failed"].as_u64().unwrap(), told["groups"][0]["processes"].as_u64().unwrap())
    };
    assert_eq!(counts(&["--gives", "extract.rows=7"]), (0, 12), "rows are many");
    assert_eq!(counts(&["--gives", "hourly/extract.rows=3"]), (0, 6), "rows are few, so nothing is loaded");
    assert_eq!(counts(&["--gives", "extract.rows=7", "--stub", "load=fail"]), (6, 12));
    let config = flows
        .write("outputs.toml", "[gives.hourly]\nextract = { rows = 7 }\n[stubs.hourly]\nload = \"90m\"\n");
    let told = flows.told(&["--for", "6h", "--config", &config]);
    assert!(took(&told)[0] >= 5400, "{told:#}");
    let refused = |more: &[&str], exit: i32, part: &str| {
        let said = flows.plan(more).expect(exit).stderr;
        assert!(said.contains(part), "{more:?}: {said:?} lacks {part:?}");
    };
    refused(&["--stub", "lod=ok"], 7, "has none of that name");
    refused(&["--gives", "extract.lines=7"], 7, "none of its outputs");
    refused(&["--stub", "daily/load=ok"], 2, "none of the planned workflows");
    refused(&["--config", &config, "--gives", "load.rows=1"], 7, "outputs.toml");
}

const KILLS: &str = r#"
name = "kills"
lasts = "60s"
[[fault]]
do = "kill"
who = "worker"
every = ["90m", "90m"]
for = ["10m", "10m"]
"#;

#[test]
fn chaos_tells_what_it_did() {
    let flows = Flows::of(&HOURLY.replace(", when: \"tasks.extract.outputs.rows > 5\"", ""));
    flows.write("durations.toml", "task = [\"28m\", \"28m\"]\n");
    let kills = flows.write("kills.toml", KILLS);
    let told = flows.told(&["--for", "12h", "--chaos", &kills]);
    let chaos = &told["chaos"];
    assert_eq!(
        (&chaos["scenario"], &chaos["faults"][0]["do"]),
        (&"kills".into(), &"kill".into()),
        "{told:#}"
    );
    let hits = chaos["faults"][0]["hits"].as_u64().unwrap();
    assert!((5..=8).contains(&hits), "each hour and a half, and ten minutes each: {told:#}");
    assert!(chaos["lost_attempts"].as_u64().unwrap() >= 3, "{told:#}");
    assert!(chaos["end_added_s"].as_f64().unwrap() > 3.0 * 600.0, "what was lost runs once more: {told:#}");
    let calm = flows.told(&["--for", "12h"]);
    assert!(calm.get("chaos").is_none() && took(&calm) == [3360, 3360], "{calm:#}");
    let text = flows.plan(&["--for", "12h", "--chaos", &kills]).expect(0).stdout;
    assert!(text.contains("chaos kills: ") && text.contains("attempts were lost"), "{text}");
    let refused = |scenario: &str, part: &str| {
        let said = flows.plan(&["--for", "1h", "--chaos", scenario]).expect(7).stderr;
        assert!(said.contains(part), "{scenario}: {said:?} lacks {part:?}");
    };
    refused("full-load", "has no faults");
    refused("amnesia-rejoin", "a plan has one master");
    refused("frames-lost", "loses or repeats frames");
    refused(&flows.write("follower.toml", &KILLS.replace("\"worker\"", "\"follower\"")), "to follower");
}
