//! `hortator fault` on a cluster that may be broken: each kind does what it says and ends by itself, and nobody may where it
//! was not allowed.

mod harness;
mod program;

use std::time::{Duration, Instant};

use harness::Api;
use program::{Dev, Finished, LIMIT};
use serde_json::Value;

fn fault(dev: &Dev, words: &str) -> Finished {
    dev.call(&[&["fault"], &words.split(' ').collect::<Vec<_>>()[..]].concat())
}

#[track_caller]
fn until(what: &str, holds: impl Fn() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < limit, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn status(dev: &Dev) -> Value {
    dev.call(&["status", "-o", "json"]).json()
}

fn held(dev: &Dev) -> usize {
    status(dev)["faults"].as_array().map_or(0, Vec::len)
}

/// Of a master or a worker, as the cluster sees it.
fn state(dev: &Dev, list: &str, name: &str) -> String {
    let status = status(dev);
    let found = status[list].as_array().unwrap().iter().find(|node| node["name"] == name);
    found.and_then(|node| node["state"].as_str()).unwrap_or("unknown").to_owned()
}

fn metric(dev: &Dev, line: &str) -> bool {
    metrics(dev).lines().any(|found| found == line)
}

fn metrics(dev: &Dev) -> String {
    Api::of(dev).ask("GET /metrics", "").expect(200).body
}

#[test]
fn nobody_breaks_a_cluster_that_may_not_be_broken() {
    let dev = Dev::start(&["--masters", "1", "--workers", "1"]);
    for words in ["list", "add pause w1 for 1s", "clear"] {
        let refused = fault(&dev, words).expect(5).stderr;
        assert!(refused.contains("H1209") && refused.contains("dev --faults"), "{words}: {refused}");
    }
    let page = dev.call(&["help", "H1209"]).expect(0).stdout;
    assert!(page.contains("faults.enabled"), "{page}");
    assert_eq!(held(&dev), 0);
    assert!(!metrics(&dev).contains("live_faults"));
}

#[test]
fn faults_hold_for_a_while_and_end_by_themselves() {
    let dev = Dev::start(&["--masters", "3", "--workers", "2", "--faults"]);
    let hello = program::repository("configs/workflows/hello.workflow.yaml").display().to_string();
    dev.call(&["workflow", "apply", &hello]).expect(0);

    // What makes no sense, or has no end, or cannot be done here, is refused with its reason.
    for (words, exit, part) in [
        ("kill n2", 2, "does not say how long"),
        ("add kill n2", 2, "does not say how long"),
        ("kill n2 for 2h", 2, "lasts up to 1h"),
        ("kill n9 for 1s", 3, "its nodes are n1, n2, n3, w1, w2"),
        ("kill n1 for 1s", 2, "pause n1"),
        ("disk w1 full for 1s", 2, "no master"),
        ("disk n1 bitflip for 1s", 2, "simulator"),
        ("panic actor Shard:shard-1 for 1s", 2, "the whole cluster"),
        ("clear 77", 3, "there is no fault 77"),
    ] {
        let refused = fault(&dev, words).expect(exit).stderr;
        assert!(refused.contains(part) && refused.contains("H1210"), "{words}: {refused}");
    }
    assert_eq!(held(&dev), 0);

    // One line of the status for each, and a table; in the shell too, where `|` belongs to the partition.
    fault(&dev, "add delay peer n1→n2 5ms±2 for 1h").expect(0);
    dev.call(&["shell", "--write", "-c", "fault partition n2 | n3 for 1h"]).expect(0);
    let refused = dev.call(&["shell", "-c", "fault kill n2 for 1s"]).expect(5).stderr;
    assert!(refused.contains("H1020"), "{refused}");
    let listed = dev.call(&["shell", "-c", "fault list"]).expect(0).stdout;
    assert!(listed.contains("delay n1→n2 5ms±2ms") && listed.contains("partition n2 | n3"), "{listed}");
    let banner = dev.call(&["status", "-o", "table"]).expect(0).stdout;
    assert!(banner.contains("FAULT  partition n2 | n3"), "{banner}");
    assert!(dev.call(&["status"]).expect(0).stdout.contains("fault\tdelay n1→n2"));
    assert!(metric(&dev, "hortator_live_faults_active 2"));
    dev.call(&["start", "hello", "--wait"]).expect(0);
    fault(&dev, "clear 1").expect(0);
    assert_eq!(held(&dev), 1);
    fault(&dev, "clear").expect(0);
    assert_eq!(held(&dev), 0);
    assert!(metric(&dev, "hortator_live_faults_active 0"));
    assert!(metric(&dev, "hortator_live_faults_total{kind=\"partition\"} 1"));
}

#[test]
fn nodes_are_killed_and_stand_still_and_come_back() {
    let dev = Dev::start(&["--masters", "3", "--workers", "2", "--faults"]);
    let hello = program::repository("configs/workflows/hello.workflow.yaml").display().to_string();
    dev.call(&["workflow", "apply", &hello]).expect(0);
    // Who leads knows how the others are.
    until("n1 leads the membership", || {
        let _ = dev.call(&["raft", "transfer", "0", "--to", "n1"]);
        state(&dev, "masters", "n2") == "up" && state(&dev, "masters", "n3") == "up"
    });
    let rises = |list: &str, name: &str, words: &str| {
        until(&format!("before {words}"), || state(&dev, list, name) == "up");
        fault(&dev, &format!("{words} for 1h")).expect(0);
        until(&format!("{words}: it is seen"), || state(&dev, list, name) != "up");
        fault(&dev, "clear").expect(0);
        until(&format!("{words}: it is back"), || state(&dev, list, name) == "up");
    };
    rises("masters", "n3", "kill n3");
    rises("masters", "n2", "pause n2");
    rises("masters", "n2", "partition n2 | n1,n3,w1,w2");
    rises("masters", "n2", "drop n2 100%");
    rises("workers", "w1", "heartbeat-loss w1");
    rises("workers", "w2", "pause w2");
    rises("workers", "w2", "kill w2");
    // One that nobody clears.
    fault(&dev, "kill n3 for 2s").expect(0);
    until("it ends", || held(&dev) == 0);
    until("it is back", || state(&dev, "masters", "n3") == "up");
    dev.call(&["start", "hello", "--wait"]).expect(0);
    // What is down when all ends is no hindrance.
    fault(&dev, "kill n2 for 1h").expect(0);
    fault(&dev, "pause w1 for 1h").expect(0);
    fault(&dev, "pause n1 for 1h").expect(0);
    assert_eq!(dev.interrupt(), 0);
}

#[test]
fn disks_and_clocks_go_wrong_and_right_again() {
    let dev = Dev::start(&["--masters", "1", "--workers", "1", "--faults"]);
    let hello = program::repository("configs/workflows/hello.workflow.yaml").display().to_string();
    dev.call(&["workflow", "apply", &hello]).expect(0);
    let start = || dev.call(&["start", "hello", "-o", "json"]);

    fault(&dev, "disk n1 full for 1h").expect(0);
    until("starts are refused", || start().stderr.contains("H4101"));
    fault(&dev, "clear").expect(0);
    until("starts are taken", || start().code == 0);

    let began = Instant::now();
    fault(&dev, "disk n1 fsync-delay 2s for 1h").expect(0);
    start().expect(0);
    assert!(began.elapsed() >= Duration::from_secs(2), "an acknowledgement is on the disk");
    fault(&dev, "clear").expect(0);

    // An epoch takes the wall's time when it begins, and its own from then on.
    let month = || {
        let run = dev.call(&["start", "hello", "--wait", "-o", "name"]).expect(0).stdout.trim().to_owned();
        let shown = dev.call(&["run", "show", &run, "-o", "json"]).expect(0).json();
        shown["created_at"].as_str().unwrap()[..7].to_owned()
    };
    let before = month();
    fault(&dev, "clock n1 +30d for 1h").expect(0);
    for group in status(&dev)["groups"].as_array().unwrap().iter().filter(|group| group["group"] != 0) {
        dev.call(&["debug", "restart", &format!("Shard:shard-{}", group["group"])]).expect(0);
    }
    until("stamps are a month ahead", || month() > before);
    fault(&dev, "clear").expect(0);
    assert_eq!(dev.interrupt(), 0);
}
