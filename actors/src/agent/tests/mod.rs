//! The agent from outside in: stories of its machine, random histories, the actor on a paused clock.

mod actor;
mod pace;
mod random;
mod script;
mod stories;
mod world;

use std::collections::BTreeMap;

use hortator_core::event::{AttemptEnd, AttemptResult};
use hortator_core::id::{AttemptId, Fence, Name, RunId, TaskKey, TaskRunId};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::{NodeId, Program, RunAttempt, WorkerProfile};
use hortator_raft::Entropy;

pub(super) const N1: NodeId = NodeId::Master(1);

/// Counts instead of drawing.
pub(super) struct Counter(pub(super) u64);

impl Entropy for Counter {
    fn next_u64(&mut self, _: &str) -> u64 {
        self.0 += 1;
        self.0
    }
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn profile(slots: u32) -> WorkerProfile {
    WorkerProfile {
        groups: vec![name("default")],
        slots,
        kinds: Vec::new(),
        zone: None,
        labels: BTreeMap::new(),
        version: "0.1.0".into(),
        host: "h".into(),
        ..WorkerProfile::default()
    }
}

pub(super) fn attempt(shard: u32, task: u32, attempt: u16) -> AttemptId {
    let run = RunId::new(1, shard, 7);
    AttemptId { task_run: TaskRunId { run, key: TaskKey { task, item: 0 } }, attempt }
}

pub(super) fn fence(shard: u32, index: u64) -> Fence {
    Fence { generation: 1, shard, term: 1, index }
}

pub(super) fn run(
    attempt: AttemptId,
    fence: Fence,
    incarnation: u64,
    term: u64,
    program: Program,
) -> RunAttempt {
    RunAttempt {
        attempt,
        fence,
        incarnation,
        term,
        namespace: name("default"),
        workflow: name("w"),
        task: name("t"),
        item: None,
        slots: 1,
        resources: Default::default(),
        devices: Vec::new(),
        program,
        env: BTreeMap::new(),
        outputs: BTreeMap::new(),
        grace: Span::from_secs(5),
        timeout: None,
    }
}

pub(super) fn script() -> Program {
    Program::Script { interpreter: "sh".into(), text: "true".into() }
}

pub(super) fn ended(at: Timestamp) -> AttemptEnd {
    let result = AttemptResult::Succeeded { outputs: BTreeMap::new() };
    AttemptEnd { started_at: at, finished_at: at, result }
}
