//! The HTTP API of a whole cluster, as a program would use it: keys that make a start happen once, cancel and retry,
//! reasons, histories and logs that are followed, and who is let in.

mod harness;
mod program;

use std::collections::BTreeSet;

use harness::{Api, processes_with, wait_until};
use program::Dev;
use serde_json::{Value, json};

fn cluster() -> (Dev, Api) {
    let dev = Dev::start(&["--masters", "1", "--workers", "1"]);
    let api = Api::of(&dev);
    (dev, api)
}

/// A workflow of the name `one` with these tasks.
fn apply(api: &Api, tasks: &[&str]) {
    let tasks: String = tasks.iter().map(|task| format!("  - {task}\n")).collect();
    api.apply(&format!("hortator: v1\nname: one\ntasks:\n{tasks}"));
}

fn task(api: &Api, run: &str, task: &str) -> Value {
    api.get(&format!("/runs/{run}/tasks/{task}"))
}

#[test]
fn a_key_starts_one_run_however_often_it_is_sent() {
    let (_dev, api) = cluster();
    apply(&api, &["{ id: a, noop: {} }"]);
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let api = api.clone();
            std::thread::spawn(move || api.start("one", "same").unwrap())
        })
        .collect();
    let started: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
    let runs: BTreeSet<&String> = started.iter().map(|(run, _)| run).collect();
    assert_eq!(runs.len(), 1, "{started:?}");
    assert_eq!(started.iter().filter(|(_, existing)| !existing).count(), 1, "{started:?}");
    // Also once the run is over.
    let run = started[0].0.clone();
    assert_eq!(api.end_of(&run), "succeeded");
    assert_eq!(api.start("one", "same").unwrap(), (run.clone(), true));
    assert_ne!(api.start("one", "other").unwrap().0, run);
    let all: Value = api.get("/runs?limit=100");
    assert_eq!(all["items"].as_array().unwrap().len(), 2, "{all}");
}

/// The end may be in the very entry that the first look waited for.
#[test]
fn whoever_waits_for_a_run_hears_of_its_end_at_once() {
    let (_dev, api) = cluster();
    apply(&api, &["{ id: a, noop: {} }"]);
    for round in 0..150 {
        let run = api.start("one", &format!("k{round}")).unwrap().0;
        let begun = std::time::Instant::now();
        let view: Value = api.get(&format!("/runs/{run}?wait=20s"));
        assert_eq!(view["state"], "succeeded", "round {round}: {view}");
        assert!(begun.elapsed().as_secs() < 15, "round {round} took {:?}", begun.elapsed());
    }
}

#[test]
fn a_cancelled_run_ends_its_process_and_starts_nothing_more() {
    let (dev, api) = cluster();
    let value = dev.home.path().display().to_string();
    let mark = format!("MARK={value}");
    let script = "trap \"\" TERM; while :; do sleep 0.2; done";
    let stubborn = format!("{{ id: stubborn, env: {{ MARK: '{value}' }}, shell: {{ script: '{script}' }} }}");
    apply(&api, &[&stubborn, "{ id: later, needs: [stubborn], run_if: always, noop: {} }"]);
    let run = api.start("one", "k").unwrap().0;
    wait_until("the task runs", || processes_with(&mark) > 0);
    let cancel = format!("POST /api/v1/runs/{run}/cancel");
    let accepted: Value = api.ask(&cancel, r#"{"reason":"enough"}"#).expect(202).json();
    assert_eq!(accepted["state"], "cancelling");
    assert_eq!(api.end_of(&run), "cancelled");
    assert_eq!(processes_with(&mark), 0, "cancelled is said after the last process is gone");
    assert_eq!(task(&api, &run, "stubborn")["state"], "cancelled");
    assert_eq!(task(&api, &run, "later")["attempt"], 0);
    let again: Value = api.ask(&cancel, "").expect(409).json();
    assert_eq!(again["code"], "H3201", "{again}");
}

#[test]
fn a_retry_repeats_what_failed_and_nothing_else() {
    let (dev, api) = cluster();
    let flag = dev.home.path().join("flag");
    let second = format!("{{ id: b, needs: [a], shell: {{ script: 'test -e {}' }} }}", flag.display());
    apply(&api, &["{ id: a, shell: { script: 'true' } }", &second, "{ id: c, needs: [b], noop: {} }"]);
    let run = api.start("one", "k").unwrap().0;
    let retry = format!("POST /api/v1/runs/{run}/retry");
    assert_eq!(api.end_of(&run), "failed");
    assert_eq!(task(&api, &run, "c")["state"], "skipped");
    std::fs::write(&flag, "").unwrap();
    api.ask(&retry, "").expect(202);
    assert_eq!(api.end_of(&run), "succeeded");
    let states = |id: &str| -> Vec<Value> {
        let task = task(&api, &run, id);
        task["attempts"].as_array().unwrap().iter().map(|attempt| attempt["state"].clone()).collect()
    };
    assert_eq!(states("a"), ["succeeded"]);
    assert_eq!(states("b"), ["failed", "succeeded"], "the attempt that failed can still be seen");
    let refused: Value = api.ask(&retry, "").expect(409).json();
    assert_eq!(refused["code"], "H3202", "{refused}");
}

#[test]
fn a_task_for_an_unknown_group_says_that_it_waits_for_it() {
    let (_dev, api) = cluster();
    apply(&api, &["{ id: a, group: nowhere, noop: {} }"]);
    let run = api.start("one", "k").unwrap().0;
    // The reason is true from the moment the offer is judged.
    wait_until("reason R304", || {
        let explained: Value = api.get(&format!("/runs/{run}/explain?task=a"));
        let reasons = explained["tasks"][0]["reasons"].as_array().cloned().unwrap_or_default();
        reasons.iter().any(|reason| reason["code"] == "R304")
    });
    assert_eq!(task(&api, &run, "a")["attempt"], 0);
}

/// Positions and texts of a stream of events; those of one entry share the last one's position.
fn history(api: &Api, run: &str, headers: &[(&str, &str)]) -> (Vec<String>, Vec<Value>) {
    let headers = [&[("Accept", "text/event-stream")], headers].concat();
    let (mut ids, mut data) = (Vec::new(), Vec::new());
    let mut ended = false;
    for line in api.stream(&format!("/runs/{run}/events"), &headers) {
        match line.split_once(": ") {
            Some(("id", id)) => ids.push(id.to_owned()),
            Some(("event", event)) => ended = event == "end",
            Some(("data", text)) if !ended => data.push(serde_json::from_str(text).unwrap()),
            _ => {}
        }
    }
    assert!(ended, "the stream ends with the run's end: {data:?}");
    (ids, data)
}

#[test]
fn events_arrive_in_order_and_go_on_where_a_client_left_off() {
    let (_dev, api) = cluster();
    let tasks =
        ["{ id: a, shell: { script: 'sleep 0.1' } }", "{ id: b, needs: [a], shell: { script: 'true' } }"];
    apply(&api, &tasks);
    let run = api.start("one", "k").unwrap().0;
    let (ids, events) = history(&api, &run, &[]);
    let index = |id: &str| -> u64 { id.split_once(':').unwrap().1.parse().unwrap() };
    assert!(ids.len() >= 3 && ids.windows(2).all(|pair| index(&pair[0]) < index(&pair[1])), "{ids:?}");
    assert_eq!(events.first().unwrap()["event"], "run_created");
    assert_eq!(events.last().unwrap()["event"], "run_finished");
    for (place, id) in ids.iter().enumerate() {
        let (rest, later) = history(&api, &run, &[("Last-Event-ID", id)]);
        assert_eq!(rest, ids[place + 1..], "after {id}");
        let after = |event: &&Value| index(event["position"].as_str().unwrap()) > index(id);
        let wanted: Vec<&Value> = events.iter().filter(after).collect();
        assert_eq!(later.iter().collect::<Vec<_>>(), wanted, "after {id}");
    }
}

#[test]
fn only_who_has_the_token_and_names_this_host_is_let_in() {
    let (_dev, api) = cluster();
    let (host, token) = (api.address.clone(), format!("Bearer {}", api.token));
    let ask = |headers: &[(&str, &str)]| {
        let answer = api.raw("GET /api/v1/runs", headers, "").unwrap();
        (answer.status, answer.json::<Value>()["code"].clone())
    };
    assert_eq!(ask(&[("Host", &host)]), (401, json!("H1201")));
    assert_eq!(ask(&[("Host", &host), ("Authorization", "Bearer wrong")]), (401, json!("H1201")));
    assert_eq!(ask(&[("Host", "evil.example"), ("Authorization", &token)]), (403, json!("H1204")));
    assert_eq!(ask(&[("Host", &host), ("Authorization", &token)]), (200, Value::Null));
}

#[test]
fn a_log_is_followed_while_the_task_runs() {
    let (dev, api) = cluster();
    let flag = dev.home.path().join("flag");
    let script = format!("echo before; while ! test -e {}; do sleep 0.05; done; echo after", flag.display());
    apply(&api, &[&format!("{{ id: a, shell: {{ script: '{script}' }} }}")]);
    let run = api.start("one", "k").unwrap().0;
    let mut lines = api.stream(&format!("/runs/{run}/tasks/a/log?follow=true"), &[]);
    let first = lines.next().unwrap();
    assert!(first.ends_with("Z o before"), "{first:?}");
    // It came while the task waits for this.
    std::fs::write(&flag, "").unwrap();
    let rest: Vec<String> = lines.collect();
    assert!(rest.len() == 1 && rest[0].ends_with("Z o after"), "{rest:?}");
    assert_eq!(api.end_of(&run), "succeeded");
    let whole = api.ask(&format!("GET /api/v1/runs/{run}/tasks/a/log"), "").expect(200).body;
    assert_eq!(whole, format!("{first}\n{}\n", rest[0]));
}
