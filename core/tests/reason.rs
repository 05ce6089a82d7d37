//! The catalogue of reasons from outside: complete, unique, readable, and the same after a trip through JSON.
//! Must not know how texts are made.

use std::collections::BTreeSet;

use hortator_core::definition::{Priority, RunIf};
use hortator_core::dispatch::KindTag;
use hortator_core::id::{Name, RunId, TaskKey, WorkerRef};
use hortator_core::reason::*;
use hortator_core::time::Timestamp;
use serde_json::{Value, json};

/// One of each variant, in the order of their codes.
fn one_of_each() -> Vec<Reason> {
    [of_conditions(), of_placement(), of_what_follows()].concat()
}

fn of_conditions() -> Vec<Reason> {
    let (run, task) = (RunId::new(1_000, 1, 0), TaskKey { task: 4, item: 0 });
    let standing = TaskStanding { task: name("extract"), state: "failed".to_owned() };
    let (time, by) = (Timestamp(1_000_000), "li".to_owned());
    vec![
        Reason::WaitsForTask { open: 5, tasks: vec![standing.clone()] },
        Reason::RunIfNotMet { rule: RunIf::AllSuccess, upstream: vec![standing], open: 2 },
        Reason::RunEnds { why: RunEnding::Failed(name("a")) },
        Reason::NotBefore { time },
        Reason::Backoff { attempt: 2, attempts_max: 4, time, last_error: "exit code 1".to_owned() },
        Reason::WorkersLost { losses: 3, losses_max: 10, time, worker: name("w1") },
        Reason::Paused { scope: PauseScope::Schedule(name("nightly")), by, since: time },
        Reason::Quarantined { code: "H9010".to_owned(), cause: "a decider panicked".to_owned(), since: time },
        Reason::RunsFull { limit: 1, running: 1, holders: vec![run] },
        Reason::LimitFull {
            key: "db".to_owned(),
            used: 2,
            max: 2,
            needed: 1,
            holding: 1,
            holders: vec![Holder { run, task, since: time }],
        },
        Reason::Quota {
            scope: "namespace \"retail\"".to_owned(),
            quota: "slots".to_owned(),
            used: 9,
            max: 9,
        },
        Reason::LimitUnknown { key: "retail/db".to_owned() },
        Reason::ItemsFull { task: name("each"), active: 2, max: 2 },
    ]
}

fn of_placement() -> Vec<Reason> {
    let group = name("etl");
    let (run, task) = (RunId::new(1_000, 1, 0), TaskKey { task: 4, item: 0 });
    let (time, by) = (Timestamp(1_000_000), "li".to_owned());
    let shortage = Shortage {
        worker: name("w7"),
        dimension: Dimension::Slots,
        free: 1,
        total: 4,
        needed: 2,
        holders: 3,
    };
    vec![
        Reason::NoCapacity { group: group.clone(), total: 1, workers: vec![shortage] },
        Reason::Overloaded {
            group: group.clone(),
            total: 1,
            workers: vec![Overload {
                worker: name("w9"),
                metric: "load1".to_owned(),
                value: 9.4,
                limit: 8.0,
            }],
        },
        Reason::GroupEmpty { group: group.clone(), last_seen: None, similar: vec![] },
        Reason::GroupUnknown {
            group: name("etl-gpu"),
            groups: vec![group.clone()],
            similar: vec![group.clone()],
        },
        Reason::NoMatchingWorker {
            group: group.clone(),
            requirement: "label zone = eu-1".to_owned(),
            total: 1,
            workers: vec![Mismatch { worker: name("w7"), difference: "zone = us-1".to_owned() }],
        },
        Reason::WorkersDraining {
            group: group.clone(),
            total: 30,
            workers: vec![Withheld {
                worker: name("w8"),
                how: WithheldHow::Draining,
                by: by.clone(),
                since: time,
            }],
        },
        Reason::KindUnsupported {
            group: group.clone(),
            kind: KindTag::Noop,
            total: 1,
            workers: vec![WorkerVersion { worker: name("w7"), version: "0.1.0".to_owned() }],
        },
        Reason::ZoneWait {
            group: group.clone(),
            zone: "eu-1".to_owned(),
            until: Some(time),
            total: 1,
            workers: vec![Mismatch { worker: name("w7"), difference: "us-1".to_owned() }],
        },
        Reason::WorkersQuarantined {
            group: group.clone(),
            total: 1,
            workers: vec![Distrusted { worker: name("w7"), failures: 5, until: Some(time) }],
        },
        Reason::Behind {
            group,
            ahead: 2,
            first: vec![Ahead {
                run,
                task,
                run_priority: Priority::Highest,
                task_priority: Priority::Normal,
                since: time,
            }],
            ageing: None,
            among: Among::Shape,
        },
    ]
}

fn of_what_follows() -> Vec<Reason> {
    let worker = WorkerRef { name: name("w7"), incarnation: 3 };
    let time = Timestamp(1_000_000);
    vec![
        Reason::SentNotAcknowledged {
            worker: worker.clone(),
            since: time,
            stage: SentStage::Sent { next_resend: time },
        },
        Reason::WorkerSilent { worker, last_heartbeat: time, lost_at: Some(time) },
        Reason::NoLeader { raft_group: 2, seen: vec!["n1".to_owned()], needed: 2 },
        Reason::Starting { what: "rebuilding shard 2".to_owned(), done: 10, total: 40 },
    ]
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

#[test]
fn every_code_is_unique_and_made_by_one_variant() {
    let codes: Vec<&str> = CATALOGUE.iter().map(|entry| entry.code).collect();
    assert!(codes.is_sorted(), "in order, so also unique with the next line");
    assert_eq!(codes.iter().collect::<BTreeSet<_>>().len(), codes.len());
    assert_eq!(one_of_each().iter().map(Reason::code).collect::<Vec<_>>(), codes);
    assert_eq!(code_entry("r301").map(|entry| entry.name), Some("NO_CAPACITY"));
    assert_eq!(code_entry("R999"), None);
}

#[test]
fn every_reason_is_a_sentence_with_help() {
    for entry in CATALOGUE {
        assert!(entry.summary.ends_with('.') && !entry.help.ends_with('.'), "{}", entry.code);
    }
    for reason in one_of_each() {
        let (text, help) = (reason.text(), reason.help());
        for part in [&text, &help] {
            assert!(part.len() > 8 && !part.ends_with(['.', '!']), "{part:?}");
            assert!(!part.contains('{') || part.contains("with {"), "{part:?} has a hole");
        }
    }
}

#[test]
fn json_has_all_five_and_reads_back() {
    for reason in one_of_each() {
        let json = serde_json::to_value(&reason).expect("a reason is JSON");
        let keys: Vec<&String> = json.as_object().expect("an object").keys().collect();
        assert_eq!(keys.iter().copied().collect::<BTreeSet<_>>().len(), 5, "{keys:?}");
        assert_eq!(json["code"], reason.code());
        assert_eq!(json["name"], reason.name(), "the tag and the catalogue agree");
        assert_eq!(serde_json::from_value::<Reason>(json.clone()).expect("it reads back"), reason);
        let least = json!({"name": json["name"], "params": json["params"]});
        assert_eq!(serde_json::from_value::<Reason>(least).expect("name and params are enough"), reason);
    }
    assert!(serde_json::from_value::<Reason>(json!({"name": "NO_SUCH", "params": Value::Null})).is_err());
}

#[test]
fn sentences() {
    let check = |code: &str, text: &str, help: &str| {
        let reason = one_of_each().into_iter().find(|reason| reason.code() == code).expect("one of each");
        assert_eq!((reason.text().as_str(), reason.help().as_str()), (text, help));
    };
    check(
        "R101",
        "it waits for 5 tasks: extract (failed) and 4 more",
        "see what \"extract\" waits for: hortator explain RUN/extract",
    );
    check(
        "R102",
        "it will be skipped when 2 parents that are open have ended: run_if is all_success, and against it is extract (failed)",
        "change run_if in the workflow, or run the failed tasks again",
    );
    check(
        "R205",
        "2 items of task \"each\" are active, of at most 2 at a time",
        "wait for an item to end, or raise foreach.parallel above 2 in the workflow",
    );
    check(
        "R501",
        "it was sent to worker \"w7\" at 1970-01-01T00:00:01.000000Z, which has not acknowledged it; it is asked for at \
         1970-01-01T00:00:01.000000Z, and sent again if the worker does not have it",
        "usually passes by itself; otherwise: hortator worker show w7",
    );
    check(
        "R301",
        "no worker in group \"etl\" has room: w7 has 1 of 4 slots free, 2 needed (3 task runs there)",
        "add a worker to group \"etl\", or ask for less: the nearest is short by 1 slot",
    );
    check(
        "R304",
        "worker group \"etl-gpu\" does not exist; groups now: etl",
        "did you mean \"etl\"? Otherwise start a worker with --group etl-gpu",
    );
    check(
        "R306",
        "workers in group \"etl\" take no new work: w8 draining since 1970-01-01T00:00:01.000000Z by li and 29 more",
        "hortator worker uncordon w8, or add a worker",
    );
    check(
        "R402",
        "2 of this shape in group \"etl\" come first: 00000000Z80400000000000000/4 (highest, since \
         1970-01-01T00:00:01.000000Z) and 1 more",
        "raise its priority, or add capacity",
    );
    let Some(Reason::Behind { group, first, .. }) = of_placement().pop() else { panic!("the last one") };
    let others = Reason::Behind { group, ahead: 1, first, ageing: None, among: Among::Group };
    assert_eq!(
        others.text(),
        "it is next of its shape in group \"etl\", and 1 of other shapes come first where they fit: \
         00000000Z80400000000000000/4 (highest, since 1970-01-01T00:00:01.000000Z)"
    );
}
