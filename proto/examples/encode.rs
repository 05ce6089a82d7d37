//! Sizes and speeds of what is encoded most: `cargo run --release -p hortator-proto --example encode`.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use hortator_core::definition::{Priority, ValueType};
use hortator_core::event::{AttemptEnd, AttemptResult, Event, HistoryEntry, Origin, Share, TaskOutcome};
use hortator_core::id::{AttemptId, Fence, Name, RunId, TaskKey, TaskRunId, WorkerRef, WorkflowName};
use hortator_core::run::{RunHeader, RunPhase};
use hortator_core::task_run::{Attempt, Exit, Fate, FenceAt, LastAttempt, TaskPhase, TaskState};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::{FromWorker, Heartbeat, PeerFrame, Program, Report, RunAttempt, ToWorker, Word};
use hortator_proto::row;

/// Microseconds of a day in 2026.
const AT: i64 = 1_795_000_000_000_000;
const RUN: RunId = RunId(0x019a_9f3c_2b10_0200_0000_0000_0000_0007);
const FENCE: Fence = Fence { generation: 0, shard: 2, term: 7, index: 812_338 };

fn main() {
    rows();
    frames();
}

fn rows() {
    let (dispatched, ended) = (dispatched(), ended());
    figure("task run, dispatched", row::encode_task(&dispatched).len(), || {
        row::decode_task(&row::encode_task(black_box(&dispatched)))
    });
    figure("task run, noop ended", row::encode_task(&ended).len(), || {
        row::decode_task(&row::encode_task(black_box(&ended)))
    });
    let first = HistoryEntry { at: Timestamp(AT + 2_100), events: vec![dispatch_event()] };
    figure("history, noop dispatched", row::encode_history(&first).len(), || {
        row::decode_history(&row::encode_history(black_box(&first)))
    });
    let second = HistoryEntry { at: Timestamp(AT + 5_000), events: vec![end_event()] };
    figure("history, noop ended", row::encode_history(&second).len(), || {
        row::decode_history(&row::encode_history(black_box(&second)))
    });
    let chain = HistoryEntry { at: Timestamp(AT + 5_000), events: vec![end_event(), dispatch_event()] };
    figure("history, ended and next dispatched", row::encode_history(&chain).len(), || {
        row::decode_history(&row::encode_history(black_box(&chain)))
    });
    let header = header();
    figure("run header", row::encode_run(&header).len(), || {
        row::decode_run(&row::encode_run(black_box(&header)))
    });
}

fn frames() {
    let noop = ToWorker::Run(vec![run_attempt(0, Program::Noop)]);
    figure("run frame, one noop", noop.encode().len(), || ToWorker::decode(&black_box(&noop).encode()));
    let script = |task| {
        let text = "set -eu\necho loading\npython3 load.py --day \"$DAY\"\n".to_owned();
        run_attempt(task, Program::Script { interpreter: "bash".into(), text })
    };
    let batch = ToWorker::Run((0..1_000).map(script).collect());
    figure("run frame, 1,000 scripts", batch.encode().len(), || {
        ToWorker::decode(&black_box(&batch).encode())
    });
    let reports = FromWorker::Reports((0..1_000).map(report).collect());
    figure("report frame, 1,000 ends", reports.encode().len(), || {
        FromWorker::decode(&black_box(&reports).encode())
    });
    let heartbeat =
        FromWorker::Heartbeat(Heartbeat { incarnation: 12, sequence: 90_000, ..Heartbeat::default() });
    figure("heartbeat", heartbeat.encode().len(), || FromWorker::decode(&black_box(&heartbeat).encode()));
    for (what, size) in [("raft frame, 200 bytes", 200), ("raft frame, 1 MiB", 1 << 20)] {
        let raft = PeerFrame::Raft { group: 2, payload: Bytes::from(vec![7; size]) };
        figure(what, raft.encode().len(), || PeerFrame::decode_shared(&black_box(&raft).encode()));
    }
}

/// The best of twenty rounds, each of some 10 ms.
fn figure<T>(what: &str, bytes: usize, work: impl Fn() -> T) {
    let round = |times: u32| {
        let start = Instant::now();
        for _ in 0..times {
            black_box(work());
        }
        start.elapsed()
    };
    let mut times = 1;
    while round(times).as_millis() < 10 {
        times *= 2;
    }
    let best = (0..20).map(|_| round(times)).min().expect("there are rounds") / times;
    println!("{what:<36} {bytes:>9} bytes {:>12.2} µs to encode and decode", best.as_nanos() as f64 / 1000.0);
}

fn name(text: &str) -> Name {
    Name::new(text).expect("these are names")
}

fn worker() -> WorkerRef {
    WorkerRef { name: name("worker-07"), incarnation: 12 }
}

const KEY: TaskKey = TaskKey { task: 4_321, item: 0 };

fn dispatched() -> TaskState {
    let attempt = Attempt {
        share: Share::default(),
        number: 1,
        worker: worker(),
        ready_at: Timestamp(AT),
        dispatched_at: Timestamp(AT + 2_100),
        fence: FenceAt::ThisRow,
    };
    let phase = TaskPhase::Dispatched(attempt);
    TaskState { key: KEY, round: 0, attempts: 1, tries: 0, losses: 0, last: None, phase }
}

fn ended() -> TaskState {
    let last = LastAttempt {
        number: 1,
        worker: worker(),
        ready_at: Timestamp(AT),
        dispatched_at: Timestamp(AT + 2_100),
        fate: Fate::Reported {
            started_at: Timestamp(AT + 3_400),
            finished_at: Timestamp(AT + 3_410),
            exit: Exit::Succeeded,
        },
    };
    let outcome = TaskOutcome::Succeeded { outputs: BTreeMap::new() };
    let phase = TaskPhase::Ended { outcome, at: Timestamp(AT + 5_000) };
    TaskState { key: KEY, round: 0, attempts: 1, tries: 0, losses: 0, last: Some(last), phase }
}

fn end() -> AttemptEnd {
    AttemptEnd {
        started_at: Timestamp(AT + 3_400),
        finished_at: Timestamp(AT + 3_410),
        result: AttemptResult::Succeeded { outputs: BTreeMap::new() },
    }
}

fn dispatch_event() -> Event {
    Event::AttemptDispatched {
        key: KEY,
        attempt: 1,
        worker: worker(),
        ready_at: Timestamp(AT),
        share: Share::default(),
    }
}

fn end_event() -> Event {
    Event::AttemptEnded { key: KEY, attempt: 1, end: end(), worker: worker() }
}

fn header() -> RunHeader {
    RunHeader {
        id: RUN,
        workflow: WorkflowName { namespace: name("retail"), name: name("daily-load") },
        version: 3,
        inputs: BTreeMap::from([("day".to_owned(), "2026-11-20".into())]),
        priority: Priority::Normal,
        key: None,
        by: "schedule nightly".into(),
        origin: Origin::Asked,
        created_at: Timestamp(AT),
        round: 0,
        phase: RunPhase::Running { started_at: Timestamp(AT + 900) },
    }
}

fn attempt_id(task: u32) -> AttemptId {
    AttemptId { task_run: TaskRunId { run: RUN, key: TaskKey { task, item: 0 } }, attempt: 1 }
}

fn run_attempt(task: u32, program: Program) -> RunAttempt {
    RunAttempt {
        attempt: attempt_id(task),
        fence: FENCE,
        incarnation: 12,
        term: 7,
        namespace: name("retail"),
        workflow: name("daily-load"),
        task: name("load-orders"),
        item: None,
        slots: 1,
        resources: Default::default(),
        devices: Vec::new(),
        program,
        env: BTreeMap::from([("DAY".to_owned(), "2026-11-20".to_owned())]),
        outputs: BTreeMap::from([("rows".to_owned(), ValueType::Int)]),
        grace: Span::from_secs(10),
        timeout: Some(Span::from_secs(3_600)),
    }
}

fn report(task: u32) -> Report {
    Report { attempt: attempt_id(task), fence: FENCE, worker: worker(), word: Word::Ended(end()) }
}
