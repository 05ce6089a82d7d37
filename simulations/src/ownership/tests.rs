//! Doctored rows: each orphan is named.

use std::collections::BTreeMap;

use hortator_core::definition::Priority;
use hortator_core::event::{Origin, ResultCounts, RunOutcome, Share};
use hortator_core::id::{AttemptId, Name, TaskKey, TaskRunId, WorkerRef};
use hortator_core::run::{self, RunPhase};
use hortator_core::task_run::{Attempt, FenceAt, TaskPhase, TaskState};
use hortator_core::time::Timestamp;
use hortator_core::workflow::Started;
use hortator_proto::row::{WorkflowRow, encode_run, encode_start_key, encode_task};

use super::*;

fn workflow() -> WorkflowName {
    let name = |text| Name::new(text).expect("a name");
    WorkflowName { namespace: name("default"), name: name("daily") }
}

fn run() -> RunId {
    RunId::new(1, 1, 0)
}

fn header() -> RunHeader {
    RunHeader {
        id: run(),
        workflow: workflow(),
        version: 1,
        inputs: BTreeMap::new(),
        priority: Priority::default(),
        key: Some("k".into()),
        by: "a client".into(),
        origin: Origin::default(),
        created_at: Timestamp(1),
        round: 0,
        phase: RunPhase::Queued,
    }
}

fn task() -> TaskRunId {
    TaskRunId { run: run(), key: TaskKey { task: 0, item: 0 } }
}

fn busy() -> Bytes {
    let worker = WorkerRef { name: Name::new("w1").expect("a name"), incarnation: 1 };
    let (ready_at, dispatched_at) = (Timestamp(0), Timestamp(0));
    let (fence, share) = (FenceAt::ThisRow, Share::default());
    let attempt = Attempt { number: 1, worker, ready_at, dispatched_at, fence, share };
    let phase = TaskPhase::Dispatched(attempt);
    encode_task(&TaskState { key: task().key, round: 0, attempts: 1, tries: 0, losses: 0, last: None, phase })
}

/// A live run of a workflow, whole.
fn rows() -> BTreeMap<Bytes, Bytes> {
    let name = workflow();
    let row = WorkflowRow { name: name.clone(), latest: 1, created_at: Timestamp(1) };
    let started = Started { run: run(), request_hash: 1 };
    BTreeMap::from([
        (key::workflow(&name), row.encode()),
        (key::run(run()), encode_run(&header())),
        (key::run_of_workflow(&name, run()), Bytes::new()),
        (key::live_run(run()), Bytes::new()),
        (key::start_key(&name, "k"), encode_start_key(&started)),
        (key::task_run(task()), busy()),
        (key::history(run(), 7), Bytes::new()),
    ])
}

fn over() -> Bytes {
    let phase = RunPhase::Finished {
        outcome: RunOutcome::Succeeded,
        started: run::Started::At(Timestamp(1)),
        finished_at: Timestamp(2),
        counts: ResultCounts::default(),
        first_failed: None,
        cancel: None,
    };
    encode_run(&RunHeader { phase, ..header() })
}

#[test]
fn orphans_are_named() {
    let attempt = |number| key::attempt(AttemptId { task_run: task(), attempt: number });
    type Change = fn(&mut BTreeMap<Bytes, Bytes>);
    let changes: &[(&str, Change, bool)] = &[
        ("nothing", |_| {}, true),
        ("no workflow", |rows| drop(rows.remove(&key::workflow(&workflow()))), false),
        ("no run", |rows| drop(rows.remove(&key::run(run()))), false),
        ("not listed", |rows| drop(rows.remove(&key::run_of_workflow(&workflow(), run()))), false),
        ("not live", |rows| drop(rows.remove(&key::live_run(run()))), false),
        ("no key", |rows| drop(rows.remove(&key::start_key(&workflow(), "k"))), false),
        ("over and busy", |rows| drop(rows.insert(key::run(run()), over())), false),
        (
            "over",
            |rows| {
                rows.insert(key::run(run()), over());
                rows.remove(&key::task_run(task()));
            },
            true,
        ),
        ("damaged", |rows| drop(rows.insert(key::run(run()), Bytes::from_static(b"?"))), false),
        ("unknown", |rows| drop(rows.insert(Bytes::from_static(b"?"), Bytes::new())), false),
    ];
    for (words, change, good) in changes {
        let mut rows = rows();
        change(&mut rows);
        let rows: Vec<(Bytes, Bytes)> = rows.into_iter().collect();
        let wrong = Shard::of(&rows).judge(1, 1);
        assert_eq!(wrong.is_empty(), *good, "{words}: {wrong:?}");
    }
    // Of a deleted run some rows may stay, and are on their way.
    let left = BTreeMap::from([(attempt(1), Bytes::new()), (key::deleted_run(run()), Bytes::new())]);
    let left: Vec<(Bytes, Bytes)> = left.into_iter().collect();
    assert_eq!(Shard::of(&left).judge(1, 1), Vec::<String>::new());
    assert_ne!(Shard::of(&left[1..]).judge(1, 1), Vec::<String>::new());
}
