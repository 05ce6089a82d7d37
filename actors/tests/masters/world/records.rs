//! What a run left: its history folded, and its rows as they lie in a master's file. Must not know how they came there.

use std::collections::BTreeMap;
use std::sync::Arc;

use hortator_core::definition::Definition;
use hortator_core::event::{Event, HistoryEntry};
use hortator_core::id::{RunId, TaskKey};
use hortator_core::run::{RunHeader, RunState};
use hortator_core::task_run::TaskState;
use hortator_proto::row;
use hortator_raft::memory::{Crash, MemoryBackend};
use hortator_raft::{Group, GroupConfig, Rows, Wake};
use slog::{Drain, Logger, o};

use super::{CLUSTER, Draw};

struct NoBell;

impl Wake for NoBell {
    fn wake(&self) {}
}

/// Where nodes log to; a line per record when a test is looked at.
pub(crate) fn logger() -> Logger {
    struct Lines;
    impl Drain for Lines {
        type Ok = ();
        type Err = slog::Never;
        fn log(&self, record: &slog::Record<'_>, _: &slog::OwnedKVList) -> Result<(), slog::Never> {
            println!("{}: {}", record.module(), record.msg());
            Ok(())
        }
    }
    match option_env!("HTR_TEST_LOG") {
        Some(_) => Logger::root(Lines, o!()),
        None => Logger::root(slog::Discard, o!()),
    }
}

/// The rows of shard 1 in a sole master's file, after its process has died.
pub(crate) fn rows_after(disk: &MemoryBackend) -> (Rows, Group) {
    rows_of(disk, 1)
}

/// The rows of shard 1 in one master's file, after its process has died.
pub(crate) fn rows_of(disk: &MemoryBackend, master: u64) -> (Rows, Group) {
    disk.crash(Crash::Keep);
    let config = GroupConfig {
        ballast_bytes: 0,
        disk_low_bytes: 0,
        ..GroupConfig::new(1, master, CLUSTER, vec![master])
    };
    let log = Logger::root(slog::Discard, o!());
    let (mut group, rows) =
        Group::open(config, Arc::new(disk.clone()), Box::new(Draw(1)), log, Arc::new(NoBell))
            .expect("it opens");
    let last = group.status().commit;
    for _ in 0..100 {
        group.turn();
        disk.run_writers();
    }
    assert!(rows.applied() >= last, "{} of {last} entries are applied", rows.applied());
    (rows, group)
}

/// History, folded from its first event on, gives the run's row and those of its task runs.
pub(crate) fn fold_equals_rows(rows: &Rows, run: RunId, definition: &Arc<Definition>) {
    let history = rows.scan_prefix(&row::key::history_of(run), 100_000).expect("readable");
    let entries = history.iter().map(|(_, stored)| row::decode_history(&stored.value).expect("history"));
    let (mut state, mut tasks, mut stamp) = (None, BTreeMap::new(), None);
    for HistoryEntry { at, events } in entries {
        assert!(stamp <= Some(at), "stamps never fall");
        stamp = Some(at);
        for event in &events {
            if let Some(header) = RunHeader::created(run, event, at) {
                state = Some(RunState::new(header, definition.clone()));
            }
            let state = state.as_mut().expect("a history begins with its run's creation");
            state.apply(event, at);
            fold_task(&mut tasks, event, at);
        }
    }
    let state = state.expect("there is a history");
    let stored = rows.get(&row::key::run(run)).expect("readable").expect("the run has a row");
    assert_eq!(state.header(), &row::decode_run(&stored.value).expect("a run's row"));
    let mut kept = BTreeMap::new();
    for (key, stored) in rows.scan_prefix(&row::key::task_runs(run), 100_000).expect("readable") {
        let id = row::key::parse_task_run(&key).expect("a task run's key");
        if id.attempt == 0 {
            kept.insert(id.task_run.key, row::decode_task(&stored.value).expect("a task run's row"));
        }
    }
    assert_eq!(tasks, kept);
}

fn fold_task(tasks: &mut BTreeMap<TaskKey, TaskState>, event: &Event, at: hortator_core::time::Timestamp) {
    let Some(key) = event.task_key() else { return };
    match (event, tasks.get_mut(&key)) {
        (_, Some(task)) => task.apply(event, at),
        (Event::TaskEnded { outcome, .. }, None) => {
            tasks.insert(key, TaskState::ended(key, 0, 0, outcome.clone(), at));
        }
        (Event::AttemptDispatched { ready_at, .. }, None) => {
            let mut task = TaskState::ready(key, 0, 0, *ready_at);
            task.apply(event, at);
            tasks.insert(key, task);
        }
        (other, None) => panic!("{other:?} is the first of its task run"),
    }
}
