//! Keys taken apart. Must not know values.

use hortator_core::id::{AttemptId, LimitName, Name, RunId, TaskKey, TaskRunId, WorkflowName};
use hortator_core::time::Timestamp;

use super::{
    AUTHORITY, CANONICAL, CLUSTER, DELETED_RUN, HISTORY, HOLD, JOIN_TOKEN, LEARNED, LIMIT, LIVE_RUN, MASTER,
    QUOTA, RUN, RUN_OF_WORKFLOW, SCHEDULE, SCHEDULE_LINE, SETTINGS, SOURCE, START_KEY, TASK_RUN, TOKEN,
    VERSION, WANT, WORKER, WORKER_GROUP, WORKFLOW,
};

/// A key, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    Workflow(WorkflowName),
    Version {
        workflow: WorkflowName,
        version: u32,
    },
    SourceChunk {
        workflow: WorkflowName,
        version: u32,
        chunk: u32,
    },
    CanonicalChunk {
        workflow: WorkflowName,
        version: u32,
        chunk: u32,
    },
    StartKey {
        workflow: WorkflowName,
        key: String,
    },
    RunOfWorkflow {
        workflow: WorkflowName,
        run: RunId,
    },
    Schedule {
        workflow: WorkflowName,
        schedule: Name,
    },
    /// `time`: where the line belongs in time.
    ScheduleLine {
        workflow: WorkflowName,
        schedule: Name,
        time: Timestamp,
    },
    Learned(WorkflowName),
    Limit(LimitName),
    /// In the limit's home.
    Hold {
        limit: LimitName,
        task_run: TaskRunId,
    },
    /// In the run's shard.
    Want {
        limit: LimitName,
        task_run: TaskRunId,
    },
    Run(RunId),
    LiveRun(RunId),
    DeletedRun(RunId),
    TaskRun(TaskRunId),
    /// An attempt that ended before the newest one that ended.
    EarlierAttempt(AttemptId),
    /// `index`: of the entry in the shard's log.
    History {
        run: RunId,
        index: u64,
    },
    Worker(Name),
    Cluster,
    Token(Name),
    Settings,
    Master(u64),
    JoinToken(String),
    WorkerGroup(Name),
    Quota(Name),
    Authority,
}

/// Takes a key apart; none when this version makes no such key.
pub fn parse(key: &[u8]) -> Option<Key> {
    let (&kind, rest) = key.split_first()?;
    Some(match kind {
        WORKFLOW => {
            let (namespace, name) = rest.split_at(rest.iter().position(|byte| *byte == 0)?);
            Key::Workflow(WorkflowName { namespace: parse_name(namespace)?, name: parse_name(&name[1..])? })
        }
        VERSION => {
            let (workflow, rest) = split_workflow(rest)?;
            Key::Version { workflow, version: u32::from_be_bytes(rest.try_into().ok()?) }
        }
        SOURCE | CANONICAL => {
            let (workflow, rest) = split_workflow(rest)?;
            let (version, chunk) = rest.split_first_chunk()?;
            let (version, chunk) = (u32::from_be_bytes(*version), u32::from_be_bytes(chunk.try_into().ok()?));
            match kind {
                SOURCE => Key::SourceChunk { workflow, version, chunk },
                _ => Key::CanonicalChunk { workflow, version, chunk },
            }
        }
        START_KEY => {
            let (workflow, rest) = split_workflow(rest)?;
            Key::StartKey { workflow, key: std::str::from_utf8(rest).ok()?.into() }
        }
        RUN_OF_WORKFLOW => {
            let (workflow, rest) = split_workflow(rest)?;
            Key::RunOfWorkflow { workflow, run: parse_run_id(rest)? }
        }
        SCHEDULE => {
            let (workflow, rest) = split_workflow(rest)?;
            Key::Schedule { workflow, schedule: parse_name(rest)? }
        }
        SCHEDULE_LINE => {
            let (workflow, rest) = split_workflow(rest)?;
            let (schedule, rest) = rest.split_at(rest.iter().position(|byte| *byte == 0)?);
            let (time, rest) = rest[1..].split_first_chunk()?;
            if rest.len() != 5 {
                return None;
            }
            let time = Timestamp((u64::from_be_bytes(*time) ^ (1 << 63)) as i64);
            Key::ScheduleLine { workflow, schedule: parse_name(schedule)?, time }
        }
        LEARNED => {
            let (namespace, name) = rest.split_at(rest.iter().position(|byte| *byte == 0)?);
            Key::Learned(WorkflowName { namespace: parse_name(namespace)?, name: parse_name(&name[1..])? })
        }
        LIMIT => {
            let (namespace, name) = rest.split_at(rest.iter().position(|byte| *byte == 0)?);
            Key::Limit(LimitName { namespace: parse_name(namespace)?, name: parse_name(&name[1..])? })
        }
        HOLD => {
            let (limit, task_run) = parse_limit_and_task_run(rest)?;
            Key::Hold { limit, task_run }
        }
        WANT => {
            let (limit, task_run) = parse_limit_and_task_run(rest)?;
            Key::Want { limit, task_run }
        }
        RUN => Key::Run(parse_run_id(rest)?),
        LIVE_RUN => Key::LiveRun(parse_run_id(rest)?),
        DELETED_RUN => Key::DeletedRun(parse_run_id(rest)?),
        TASK_RUN => match parse_task_run(key)? {
            AttemptId { task_run, attempt: 0 } => Key::TaskRun(task_run),
            id => Key::EarlierAttempt(id),
        },
        HISTORY => {
            let (run, index) = parse_history(key)?;
            Key::History { run, index }
        }
        WORKER => Key::Worker(parse_name(rest)?),
        MASTER => Key::Master(u64::from_be_bytes(rest.try_into().ok()?)),
        JOIN_TOKEN => Key::JoinToken(std::str::from_utf8(rest).ok()?.into()),
        AUTHORITY if rest.is_empty() => Key::Authority,
        TOKEN => Key::Token(parse_name(rest)?),
        WORKER_GROUP => Key::WorkerGroup(parse_name(rest)?),
        QUOTA => Key::Quota(parse_name(rest)?),
        CLUSTER if rest.is_empty() => Key::Cluster,
        SETTINGS if rest.is_empty() => Key::Settings,
        _ => return None,
    })
}

/// The run of an entry of the index of live runs.
pub fn parse_live_run(key: &[u8]) -> Option<RunId> {
    parse_run_id(key.strip_prefix(&[LIVE_RUN])?)
}

/// The run of an entry of the index of deleted runs.
pub fn parse_deleted_run(key: &[u8]) -> Option<RunId> {
    parse_run_id(key.strip_prefix(&[DELETED_RUN])?)
}

/// The run of an entry of the index of a workflow's runs, whatever the workflow.
pub fn parse_run_of_workflow(key: &[u8]) -> Option<RunId> {
    let rest = key.strip_prefix(&[RUN_OF_WORKFLOW])?;
    parse_run_id(&rest[rest.len().checked_sub(16)?..])
}

/// The task run and attempt of a row; attempt 0 is the current row.
pub fn parse_task_run(key: &[u8]) -> Option<AttemptId> {
    let (run, rest) = key.strip_prefix(&[TASK_RUN])?.split_first_chunk()?;
    let (task, rest) = rest.split_first_chunk()?;
    let (item, rest) = rest.split_first_chunk()?;
    let key = TaskKey { task: u32::from_be_bytes(*task), item: u32::from_be_bytes(*item) };
    let task_run = TaskRunId { run: RunId::from_bytes(*run), key };
    Some(AttemptId { task_run, attempt: u16::from_be_bytes(rest.try_into().ok()?) })
}

/// The run of a history row, and the log index it was written at.
pub fn parse_history(key: &[u8]) -> Option<(RunId, u64)> {
    let (run, index) = key.strip_prefix(&[HISTORY])?.split_first_chunk()?;
    Some((RunId::from_bytes(*run), u64::from_be_bytes(index.try_into().ok()?)))
}

fn parse_limit_and_task_run(bytes: &[u8]) -> Option<(LimitName, TaskRunId)> {
    let (WorkflowName { namespace, name }, rest) = split_workflow(bytes)?;
    let (run, rest) = rest.split_first_chunk()?;
    let (task, item) = rest.split_first_chunk()?;
    let key = TaskKey { task: u32::from_be_bytes(*task), item: u32::from_be_bytes(item.try_into().ok()?) };
    Some((LimitName { namespace, name }, TaskRunId { run: RunId::from_bytes(*run), key }))
}

fn parse_run_id(bytes: &[u8]) -> Option<RunId> {
    Some(RunId::from_bytes(bytes.try_into().ok()?))
}

fn parse_name(bytes: &[u8]) -> Option<Name> {
    Name::new(std::str::from_utf8(bytes).ok()?).ok()
}

fn split_workflow(bytes: &[u8]) -> Option<(WorkflowName, &[u8])> {
    let (namespace, rest) = bytes.split_at(bytes.iter().position(|byte| *byte == 0)?);
    let rest = &rest[1..];
    let (name, rest) = rest.split_at(rest.iter().position(|byte| *byte == 0)?);
    Some((WorkflowName { namespace: parse_name(namespace)?, name: parse_name(name)? }, &rest[1..]))
}
