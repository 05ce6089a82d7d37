//! Ids, fences, workers' names and named JSON values.
//! Must not know what they are about.

use std::collections::BTreeMap;

use hortator_core::id::{AttemptId, Fence, Name, RunId, TaskKey, TaskRunId, WorkerRef, WorkflowName};

use super::narrow;
use crate::error::Unreadable;
use crate::generated::id as wire;

pub(crate) fn high(number: u128) -> u64 {
    (number >> 64) as u64
}

pub(crate) fn low(number: u128) -> u64 {
    number as u64
}

pub(crate) fn join(high: u64, low: u64) -> u128 {
    (u128::from(high) << 64) | u128::from(low)
}

pub(crate) fn run_id(high: u64, low: u64) -> RunId {
    RunId(join(high, low))
}

pub(crate) fn run_message(run: RunId) -> wire::RunId {
    wire::RunId { high: high(run.0), low: low(run.0), ..Default::default() }
}

pub(crate) fn key_message(key: TaskKey) -> wire::TaskKey {
    wire::TaskKey { task: key.task, item: key.item, ..Default::default() }
}

pub(crate) fn key(message: &wire::TaskKey) -> TaskKey {
    TaskKey { task: message.task, item: message.item }
}

pub(crate) fn fence_message(fence: Fence) -> wire::Fence {
    let Fence { generation, shard, term, index } = fence;
    wire::Fence { generation, shard, term, index, ..Default::default() }
}

pub(crate) fn fence(message: &wire::Fence) -> Fence {
    let wire::Fence { generation, shard, term, index, .. } = *message;
    Fence { generation, shard, term, index }
}

pub(crate) fn fenced_message((attempt, fence): (AttemptId, Fence)) -> wire::FencedAttempt {
    let TaskRunId { run, key } = attempt.task_run;
    wire::FencedAttempt {
        run_high: high(run.0),
        run_low: low(run.0),
        task: key.task,
        item: key.item,
        attempt: u32::from(attempt.attempt),
        generation: fence.generation,
        shard: fence.shard,
        term: fence.term,
        index: fence.index,
        ..Default::default()
    }
}

pub(crate) fn fenced(message: &wire::FencedAttempt) -> Result<(AttemptId, Fence), Unreadable> {
    let wire::FencedAttempt { task, item, generation, shard, term, index, .. } = *message;
    let run = run_id(message.run_high, message.run_low);
    let task_run = TaskRunId { run, key: TaskKey { task, item } };
    let attempt = AttemptId { task_run, attempt: narrow(message.attempt, "attempt number")? };
    Ok((attempt, Fence { generation, shard, term, index }))
}

pub(crate) fn fenced_list(attempts: &[(AttemptId, Fence)]) -> Vec<wire::FencedAttempt> {
    attempts.iter().copied().map(fenced_message).collect()
}

pub(crate) fn read_fenced_list(
    messages: &[wire::FencedAttempt],
) -> Result<Vec<(AttemptId, Fence)>, Unreadable> {
    messages.iter().map(fenced).collect()
}

pub(crate) fn workflow(namespace: &str, name: &str) -> Result<WorkflowName, Unreadable> {
    Ok(WorkflowName { namespace: Name::new(namespace)?, name: Name::new(name)? })
}

pub(crate) fn worker_message(worker: &WorkerRef) -> wire::Worker {
    let WorkerRef { name, incarnation } = worker;
    wire::Worker { name: name.to_string(), incarnation: *incarnation, ..Default::default() }
}

pub(crate) fn worker(message: wire::Worker) -> Result<WorkerRef, Unreadable> {
    Ok(WorkerRef { name: name(message.name)?, incarnation: message.incarnation })
}

/// Takes the text over instead of copying it.
pub(crate) fn name(text: String) -> Result<Name, Unreadable> {
    Ok(Name::try_from(text)?)
}

pub(crate) fn names(texts: Vec<String>) -> Result<Vec<Name>, Unreadable> {
    texts.into_iter().map(name).collect()
}

/// Each value is a JSON text of its own, so none is nested deeper than when it was read first.
pub(crate) fn values_message(values: &BTreeMap<String, serde_json::Value>) -> Vec<wire::Value> {
    values
        .iter()
        .map(|(name, value)| wire::Value {
            name: name.clone(),
            json: value.to_string(),
            ..Default::default()
        })
        .collect()
}

pub(crate) fn values(messages: Vec<wire::Value>) -> Result<BTreeMap<String, serde_json::Value>, Unreadable> {
    messages
        .into_iter()
        .map(|wire::Value { name, json, .. }| match serde_json::from_str(&json) {
            Ok(value) => Ok((name, value)),
            Err(why) => Err(Unreadable::Json { name, why: why.to_string() }),
        })
        .collect()
}
