//! Keys of rows: a kind byte, then names or big-endian numbers, so that keys sort as people read.
//! A name ends in a zero byte wherever something follows it; names hold none. Must not know values.
//!
//! ```text
//! w namespace 0 name                                workflow
//! v namespace 0 name 0 version:4                    version
//! d namespace 0 name 0 version:4 chunk:4            its source, raw bytes
//! c namespace 0 name 0 version:4 chunk:4            its checked form, raw bytes
//! k namespace 0 name 0 text                         idempotency key of a start
//! x namespace 0 name 0 run:16                       runs of a workflow; no value
//! f namespace 0 name 0 schedule                     schedule
//! o namespace 0 name 0 schedule 0 time:8 generation:4 kind:1   a decision about a schedule
//! e namespace 0 name                                learned durations of its tasks
//! b namespace 0 name                                limit, in its home
//! i namespace 0 name 0 run:16 task:4 item:4         who holds a limit, in its home
//! z namespace 0 name 0 run:16 task:4 item:4         who wants a limit, in the run's shard
//! r run:16                                          run header
//! l run:16                                          live runs; no value
//! g run:16                                          deleted runs that still have rows; no value
//! t run:16 task:4 item:4 attempt:2                  task run (attempt 0), ended earlier attempts
//! h run:16 index:8                                  history
//! n name                                            worker, in group 0
//! m                                                 cluster, in group 0
//! u name                                            token, in group 0
//! s                                                 settings, in group 0
//! a id:8                                            master, in group 0
//! j id                                              join token, in group 0
//! p name                                            worker group, in group 0
//! q namespace                                       quota, in group 0
//! y                                                 authority for certificates, in group 0
//! ```

mod parse;

use bytes::{BufMut, Bytes, BytesMut};
use hortator_core::id::{AttemptId, LimitName, Name, RunId, TaskRunId, WorkflowName};
use hortator_core::schedule::{ScheduleEvent, ScheduleLine};
use hortator_core::time::Timestamp;

pub use parse::{
    Key, parse, parse_deleted_run, parse_history, parse_live_run, parse_run_of_workflow, parse_task_run,
};

const WORKFLOW: u8 = b'w';
const VERSION: u8 = b'v';
const SOURCE: u8 = b'd';
const CANONICAL: u8 = b'c';
const START_KEY: u8 = b'k';
const RUN_OF_WORKFLOW: u8 = b'x';
const SCHEDULE: u8 = b'f';
const SCHEDULE_LINE: u8 = b'o';
const LEARNED: u8 = b'e';
const LIMIT: u8 = b'b';
const HOLD: u8 = b'i';
const WANT: u8 = b'z';
const RUN: u8 = b'r';
const LIVE_RUN: u8 = b'l';
const DELETED_RUN: u8 = b'g';
const TASK_RUN: u8 = b't';
const HISTORY: u8 = b'h';
const WORKER: u8 = b'n';
const CLUSTER: u8 = b'm';
const TOKEN: u8 = b'u';
const SETTINGS: u8 = b's';
const MASTER: u8 = b'a';
const JOIN_TOKEN: u8 = b'j';
const WORKER_GROUP: u8 = b'p';
const QUOTA: u8 = b'q';
const AUTHORITY: u8 = b'y';

/// Kinds of rows that other shards keep a picture of: wants and holds.
pub const WATCHED: &[u8] = &[WANT, HOLD];

pub fn workflow(name: &WorkflowName) -> Bytes {
    let mut key = of_namespace(WORKFLOW, &name.namespace);
    key.put_slice(name.name.as_str().as_bytes());
    key.freeze()
}

/// Prefix of all workflows.
pub fn workflows() -> Bytes {
    Bytes::from_static(&[WORKFLOW])
}

/// Prefix of a namespace's workflows.
pub fn workflows_of(namespace: &Name) -> Bytes {
    of_namespace(WORKFLOW, namespace).freeze()
}

pub fn version(name: &WorkflowName, version: u32) -> Bytes {
    let mut key = of_workflow(VERSION, name);
    key.put_u32(version);
    key.freeze()
}

/// Prefix of a workflow's versions.
pub fn versions(name: &WorkflowName) -> Bytes {
    of_workflow(VERSION, name).freeze()
}

pub fn source_chunk(name: &WorkflowName, version: u32, chunk: u32) -> Bytes {
    of_chunk(SOURCE, name, version, chunk)
}

pub fn canonical_chunk(name: &WorkflowName, version: u32, chunk: u32) -> Bytes {
    of_chunk(CANONICAL, name, version, chunk)
}

/// The idempotency key of a start.
pub fn start_key(name: &WorkflowName, text: &str) -> Bytes {
    let mut key = of_workflow(START_KEY, name);
    key.put_slice(text.as_bytes());
    key.freeze()
}

/// Prefix of the idempotency keys of a workflow's starts; the rest of a key is the text.
pub fn start_keys(name: &WorkflowName) -> Bytes {
    of_workflow(START_KEY, name).freeze()
}

pub fn run_of_workflow(name: &WorkflowName, run: RunId) -> Bytes {
    let mut key = of_workflow(RUN_OF_WORKFLOW, name);
    key.put_u128(run.0);
    key.freeze()
}

/// Prefix of the index of a workflow's runs, oldest first.
pub fn runs_of_workflow(name: &WorkflowName) -> Bytes {
    of_workflow(RUN_OF_WORKFLOW, name).freeze()
}

pub fn schedule(workflow: &WorkflowName, schedule: &Name) -> Bytes {
    let mut key = of_workflow(SCHEDULE, workflow);
    key.put_slice(schedule.as_str().as_bytes());
    key.freeze()
}

pub fn worker_group(name: &Name) -> Bytes {
    of_name(WORKER_GROUP, name.as_str())
}

/// Prefix of all worker groups.
pub fn worker_groups() -> Bytes {
    Bytes::from_static(&[WORKER_GROUP])
}

pub fn quota(namespace: &Name) -> Bytes {
    of_name(QUOTA, namespace.as_str())
}

/// Prefix of all quotas.
pub fn quotas() -> Bytes {
    Bytes::from_static(&[QUOTA])
}

/// How long a workflow's tasks take; the value is `LearnedTasks`' own encoding.
pub fn learned(workflow: &WorkflowName) -> Bytes {
    let mut key = of_namespace(LEARNED, &workflow.namespace);
    key.put_slice(workflow.name.as_str().as_bytes());
    key.freeze()
}

pub fn limit(name: &LimitName) -> Bytes {
    let mut key = of_namespace(LIMIT, &name.namespace);
    key.put_slice(name.name.as_str().as_bytes());
    key.freeze()
}

/// Prefix of all limits.
pub fn limits() -> Bytes {
    Bytes::from_static(&[LIMIT])
}

/// Prefix of a namespace's limits.
pub fn limits_of(namespace: &Name) -> Bytes {
    of_namespace(LIMIT, namespace).freeze()
}

pub fn hold(limit: &LimitName, task_run: TaskRunId) -> Bytes {
    of_limit_and_task_run(HOLD, limit, task_run)
}

/// Prefix of all holds.
pub fn holds() -> Bytes {
    Bytes::from_static(&[HOLD])
}

/// Prefix of who holds a limit.
pub fn holds_of(limit: &LimitName) -> Bytes {
    of_limit(HOLD, limit).freeze()
}

pub fn want(limit: &LimitName, task_run: TaskRunId) -> Bytes {
    of_limit_and_task_run(WANT, limit, task_run)
}

/// Prefix of all wants.
pub fn wants() -> Bytes {
    Bytes::from_static(&[WANT])
}

/// Prefix of who wants a limit, of this shard's task runs.
pub fn wants_of(limit: &LimitName) -> Bytes {
    of_limit(WANT, limit).freeze()
}

/// Prefix of all schedules.
pub fn schedules() -> Bytes {
    Bytes::from_static(&[SCHEDULE])
}

/// Prefix of a namespace's schedules.
pub fn schedules_in(namespace: &Name) -> Bytes {
    of_namespace(SCHEDULE, namespace).freeze()
}

/// Prefix of a workflow's schedules.
pub fn schedules_of(workflow: &WorkflowName) -> Bytes {
    of_workflow(SCHEDULE, workflow).freeze()
}

/// A decision about a schedule. Each has a key of its own: of one generation no time is decided twice.
pub fn schedule_line(workflow: &WorkflowName, schedule: &Name, line: &ScheduleLine) -> Bytes {
    let kind = match line.event {
        ScheduleEvent::Fired { .. } => 1,
        ScheduleEvent::PassedOver { .. } => 2,
        ScheduleEvent::Triggered { .. } => 3,
        ScheduleEvent::Enabled { .. } => 4,
        ScheduleEvent::Disabled { .. } => 5,
        ScheduleEvent::Retimed { .. } => 6,
    };
    let mut key = of_schedule(SCHEDULE_LINE, workflow, schedule);
    key.put_u64(sortable(line.time()));
    key.put_u32(line.generation);
    key.put_u8(kind);
    key.freeze()
}

/// Prefix of a schedule's lines, oldest first.
pub fn schedule_lines(workflow: &WorkflowName, schedule: &Name) -> Bytes {
    of_schedule(SCHEDULE_LINE, workflow, schedule).freeze()
}

/// The end of a schedule's lines before that time.
pub fn schedule_lines_before(workflow: &WorkflowName, schedule: &Name, time: Timestamp) -> Bytes {
    let mut key = of_schedule(SCHEDULE_LINE, workflow, schedule);
    key.put_u64(sortable(time));
    key.freeze()
}

/// In the order of time as unsigned bytes.
fn sortable(time: Timestamp) -> u64 {
    (time.0 as u64) ^ (1 << 63)
}

pub fn run(run: RunId) -> Bytes {
    of_run(RUN, run).freeze()
}

/// Prefix of all runs, oldest first.
pub fn runs() -> Bytes {
    Bytes::from_static(&[RUN])
}

pub fn live_run(run: RunId) -> Bytes {
    of_run(LIVE_RUN, run).freeze()
}

/// First and end of the index of live runs, to be read in pages.
pub fn live_runs() -> (Bytes, Bytes) {
    range(&[LIVE_RUN])
}

pub fn deleted_run(run: RunId) -> Bytes {
    of_run(DELETED_RUN, run).freeze()
}

/// Prefix of the index of deleted runs whose task runs and history are still to go.
pub fn deleted_runs() -> Bytes {
    Bytes::from_static(&[DELETED_RUN])
}

/// The current row of a task run.
pub fn task_run(id: TaskRunId) -> Bytes {
    attempt(AttemptId { task_run: id, attempt: 0 })
}

/// An earlier attempt; sorts after its task run's current row.
pub fn attempt(id: AttemptId) -> Bytes {
    let TaskRunId { run, key } = id.task_run;
    let mut bytes = of_run(TASK_RUN, run);
    bytes.put_u32(key.task);
    bytes.put_u32(key.item);
    bytes.put_u16(id.attempt);
    bytes.freeze()
}

/// Prefix of a run's task runs and their earlier attempts.
pub fn task_runs(run: RunId) -> Bytes {
    of_run(TASK_RUN, run).freeze()
}

/// Prefix of one task run's current row and its earlier attempts.
pub fn attempts(id: TaskRunId) -> Bytes {
    let mut bytes = of_run(TASK_RUN, id.run);
    bytes.put_u32(id.key.task);
    bytes.put_u32(id.key.item);
    bytes.freeze()
}

pub fn history(run: RunId, index: u64) -> Bytes {
    let mut key = of_run(HISTORY, run);
    key.put_u64(index);
    key.freeze()
}

/// Prefix of a run's history; also what a write at the entry's own index is given.
pub fn history_of(run: RunId) -> Bytes {
    of_run(HISTORY, run).freeze()
}

pub fn worker(name: &Name) -> Bytes {
    of_name(WORKER, name.as_str())
}

/// A person's or program's token.
pub fn token(name: &Name) -> Bytes {
    of_name(TOKEN, name.as_str())
}

/// Prefix of all tokens.
pub fn tokens() -> Bytes {
    Bytes::from_static(&[TOKEN])
}

/// Prefix of all workers.
pub fn workers() -> Bytes {
    Bytes::from_static(&[WORKER])
}

pub fn settings() -> Bytes {
    Bytes::from_static(&[SETTINGS])
}

pub fn master(id: u64) -> Bytes {
    let mut key = BytesMut::with_capacity(9);
    key.put_u8(MASTER);
    key.put_u64(id);
    key.freeze()
}

/// Prefix of all masters, by id.
pub fn masters() -> Bytes {
    Bytes::from_static(&[MASTER])
}

pub fn join_token(id: &str) -> Bytes {
    of_name(JOIN_TOKEN, id)
}

/// Prefix of all join tokens.
pub fn join_tokens() -> Bytes {
    Bytes::from_static(&[JOIN_TOKEN])
}

/// The cluster's authority for certificates.
pub fn authority() -> Bytes {
    Bytes::from_static(&[AUTHORITY])
}

pub fn cluster() -> Bytes {
    Bytes::from_static(&[CLUSTER])
}

/// Whether the row holds what lets somebody in: the authority's key, hashes of tokens. Such rows leave a cluster in no
/// copy.
pub fn opens_doors(key: &[u8]) -> bool {
    matches!(key.first(), Some(&(AUTHORITY | TOKEN | JOIN_TOKEN)))
}

/// First and end of the keys with that prefix. An empty prefix means all keys that this module makes.
pub fn range(prefix: &[u8]) -> (Bytes, Bytes) {
    let kept = prefix.len() - prefix.iter().rev().take_while(|byte| **byte == u8::MAX).count();
    let mut end = BytesMut::from(&prefix[..kept]);
    match end.last_mut() {
        Some(last) => *last += 1,
        None => end.put_u8(u8::MAX),
    }
    (Bytes::copy_from_slice(prefix), end.freeze())
}

fn of_name(kind: u8, name: &str) -> Bytes {
    let mut key = BytesMut::with_capacity(1 + name.len());
    key.put_u8(kind);
    key.put_slice(name.as_bytes());
    key.freeze()
}

fn of_namespace(kind: u8, namespace: &Name) -> BytesMut {
    let mut key = BytesMut::with_capacity(160);
    key.put_u8(kind);
    key.put_slice(namespace.as_str().as_bytes());
    key.put_u8(0);
    key
}

fn of_workflow(kind: u8, name: &WorkflowName) -> BytesMut {
    let mut key = of_namespace(kind, &name.namespace);
    key.put_slice(name.name.as_str().as_bytes());
    key.put_u8(0);
    key
}

fn of_limit(kind: u8, name: &LimitName) -> BytesMut {
    let mut key = of_namespace(kind, &name.namespace);
    key.put_slice(name.name.as_str().as_bytes());
    key.put_u8(0);
    key
}

fn of_limit_and_task_run(kind: u8, limit: &LimitName, TaskRunId { run, key }: TaskRunId) -> Bytes {
    let mut bytes = of_limit(kind, limit);
    bytes.put_u128(run.0);
    bytes.put_u32(key.task);
    bytes.put_u32(key.item);
    bytes.freeze()
}

fn of_schedule(kind: u8, workflow: &WorkflowName, schedule: &Name) -> BytesMut {
    let mut key = of_workflow(kind, workflow);
    key.put_slice(schedule.as_str().as_bytes());
    key.put_u8(0);
    key
}

fn of_chunk(kind: u8, name: &WorkflowName, version: u32, chunk: u32) -> Bytes {
    let mut key = of_workflow(kind, name);
    key.put_u32(version);
    key.put_u32(chunk);
    key.freeze()
}

fn of_run(kind: u8, run: RunId) -> BytesMut {
    let mut key = BytesMut::with_capacity(27);
    key.put_u8(kind);
    key.put_u128(run.0);
    key
}
