//! Frames from a master to a worker as messages and back.
//! Must not know what an agent does with them.

use hortator_core::id::{AttemptId, Fence, RunId, TaskKey, TaskRunId};
use hortator_core::time::Span;

use super::{LifeId, LogRequest, MasterAddress, Program, RunAttempt, StopAttempt, ToWorker};
use crate::codec::Form;
use crate::convert::enumerations::Choice;
use crate::convert::{id, narrow, unknown_kind, worker};
use crate::error::Unreadable;
use crate::generated::frame as wire;
use crate::generated::id::{FencedAttempt, Nothing};
use protobuf::MessageField;

impl Form for ToWorker {
    type Message = wire::ToWorker;
    const WHAT: &'static str = "frame to a worker";

    fn to_message(&self) -> wire::ToWorker {
        use wire::to_worker::Body;
        let body = match self {
            ToWorker::Registered { life, incarnation, cluster } => {
                Body::Registered(registered_message(*life, *incarnation, *cluster))
            }
            ToWorker::Leads { shard, term, watermark } => Body::Leads(wire::Leads {
                shard: *shard,
                term: *term,
                watermark: Some(id::fence_message(*watermark)).into(),
                ..Default::default()
            }),
            ToWorker::Run(attempts) => Body::Run(wire::RunAttempts {
                attempts: attempts.iter().map(run_message).collect(),
                ..Default::default()
            }),
            ToWorker::Stop(attempts) => Body::Stop(wire::StopAttempts {
                attempts: attempts.iter().map(stop_message).collect(),
                ..Default::default()
            }),
            ToWorker::Ask { incarnation, attempts } => Body::Ask(wire::Ask {
                incarnation: *incarnation,
                attempts: id::fenced_list(attempts),
                ..Default::default()
            }),
            ToWorker::Acknowledge { reports, watermark } => Body::Acknowledge(wire::Acknowledge {
                reports: id::fenced_list(reports),
                watermark: Some(id::fence_message(*watermark)).into(),
                ..Default::default()
            }),
            ToWorker::HeartbeatSeen { sequence, lease, leader } => Body::HeartbeatSeen(wire::HeartbeatSeen {
                sequence: *sequence,
                lease: lease.0,
                leader: *leader,
                ..Default::default()
            }),
            ToWorker::RunsEnded(runs) => Body::RunsEnded(wire::RunsEnded {
                runs: runs.iter().copied().map(id::run_message).collect(),
                ..Default::default()
            }),
            ToWorker::ReadLog(request) => Body::ReadLog(log_message(request)),
            ToWorker::Members { masters, index } => Body::Members(members_message(masters, *index)),
        };
        wire::ToWorker { body: Some(body), ..Default::default() }
    }

    fn from_message(message: wire::ToWorker) -> Result<ToWorker, Unreadable> {
        use wire::to_worker::Body;
        Ok(match message.body {
            Some(Body::Registered(m)) => ToWorker::Registered {
                life: worker::life(m.number, m.session_high, m.session_low),
                incarnation: m.incarnation,
                cluster: id::join(m.cluster_high, m.cluster_low).to_be_bytes(),
            },
            Some(Body::Leads(m)) => {
                ToWorker::Leads { shard: m.shard, term: m.term, watermark: watermark(&m.watermark)? }
            }
            Some(Body::Run(m)) => ToWorker::Run(m.attempts.into_iter().map(run).collect::<Result<_, _>>()?),
            Some(Body::Stop(m)) => {
                ToWorker::Stop(m.attempts.into_iter().map(stop).collect::<Result<_, _>>()?)
            }
            Some(Body::Ask(m)) => {
                ToWorker::Ask { incarnation: m.incarnation, attempts: id::read_fenced_list(&m.attempts)? }
            }
            Some(Body::Acknowledge(m)) => ToWorker::Acknowledge {
                reports: id::read_fenced_list(&m.reports)?,
                watermark: watermark(&m.watermark)?,
            },
            Some(Body::HeartbeatSeen(m)) => {
                ToWorker::HeartbeatSeen { sequence: m.sequence, lease: Span(m.lease), leader: m.leader }
            }
            Some(Body::RunsEnded(m)) => {
                ToWorker::RunsEnded(m.runs.iter().map(|run| id::run_id(run.high, run.low)).collect())
            }
            Some(Body::ReadLog(m)) => ToWorker::ReadLog(log(m)?),
            Some(Body::Members(m)) => {
                let address =
                    |m: wire::MasterAddress| MasterAddress { id: m.id, address: m.address, api: m.api };
                ToWorker::Members { index: m.index, masters: m.masters.into_iter().map(address).collect() }
            }
            None => return Err(unknown_kind("kind of frame", &message.special_fields)),
        })
    }
}

fn members_message(masters: &[MasterAddress], index: u64) -> wire::Members {
    let address = |master: &MasterAddress| wire::MasterAddress {
        id: master.id,
        address: master.address.clone(),
        api: master.api.clone(),
        ..Default::default()
    };
    wire::Members { masters: masters.iter().map(address).collect(), index, ..Default::default() }
}

pub(super) fn registered_message(life: LifeId, incarnation: u64, cluster: [u8; 16]) -> wire::Registered {
    let cluster = u128::from_be_bytes(cluster);
    wire::Registered {
        session_high: id::high(life.nonce),
        session_low: id::low(life.nonce),
        number: life.number,
        incarnation,
        cluster_high: id::high(cluster),
        cluster_low: id::low(cluster),
        ..Default::default()
    }
}

fn watermark(message: &MessageField<crate::generated::id::Fence>) -> Result<Fence, Unreadable> {
    message.as_ref().map(id::fence).ok_or(Unreadable::Missing("watermark"))
}

/// The attempt that a message is about.
pub(super) fn about(message: &MessageField<FencedAttempt>) -> Result<(AttemptId, Fence), Unreadable> {
    id::fenced(message.as_ref().ok_or(Unreadable::Missing("attempt"))?)
}

fn run_message(run: &RunAttempt) -> wire::RunAttempt {
    use wire::run_attempt::Program as Kind;
    let program = match &run.program {
        Program::Noop => Kind::Noop(Nothing::default()),
        Program::Script { interpreter, text } => Kind::Script(wire::Script {
            interpreter: interpreter.clone(),
            text: text.clone(),
            ..Default::default()
        }),
        Program::File { interpreter, path } => Kind::File(wire::File {
            interpreter: interpreter.clone(),
            path: path.clone(),
            ..Default::default()
        }),
    };
    wire::RunAttempt {
        attempt: Some(id::fenced_message((run.attempt, run.fence))).into(),
        incarnation: run.incarnation,
        term: run.term,
        namespace: run.namespace.to_string(),
        workflow: run.workflow.to_string(),
        task: run.task.to_string(),
        item: run.item,
        slots: run.slots,
        program: Some(program),
        env: run.env.clone(),
        outputs: run.outputs.iter().map(|(name, kind)| (name.clone(), kind.wire())).collect(),
        grace: run.grace.0,
        timeout: run.timeout.map(|timeout| timeout.0),
        resources: worker::amounts_message(&run.resources),
        devices: run.devices.clone(),
        ..Default::default()
    }
}

fn run(message: wire::RunAttempt) -> Result<RunAttempt, Unreadable> {
    use wire::run_attempt::Program as Kind;
    let (attempt, fence) = about(&message.attempt)?;
    let program = match message.program {
        Some(Kind::Noop(_)) => Program::Noop,
        Some(Kind::Script(script)) => Program::Script { interpreter: script.interpreter, text: script.text },
        Some(Kind::File(file)) => Program::File { interpreter: file.interpreter, path: file.path },
        None => return Err(unknown_kind("kind of program", &message.special_fields)),
    };
    let outputs = message.outputs.into_iter().map(|(name, kind)| Ok((name, Choice::read(kind)?)));
    Ok(RunAttempt {
        attempt,
        fence,
        incarnation: message.incarnation,
        term: message.term,
        namespace: id::name(message.namespace)?,
        workflow: id::name(message.workflow)?,
        task: id::name(message.task)?,
        item: message.item,
        slots: message.slots,
        program,
        env: message.env,
        outputs: outputs.collect::<Result<_, Unreadable>>()?,
        grace: Span(message.grace),
        timeout: message.timeout.map(Span),
        resources: worker::amounts(message.resources)?,
        devices: message.devices,
    })
}

fn stop_message(stop: &StopAttempt) -> wire::StopAttempt {
    wire::StopAttempt {
        attempt: Some(id::fenced_message((stop.attempt, stop.fence))).into(),
        incarnation: stop.incarnation,
        cause: stop.cause.wire(),
        ..Default::default()
    }
}

fn stop(message: wire::StopAttempt) -> Result<StopAttempt, Unreadable> {
    let (attempt, fence) = about(&message.attempt)?;
    let cause = Choice::read(message.cause)?;
    Ok(StopAttempt { attempt, fence, incarnation: message.incarnation, cause })
}

fn log_message(request: &LogRequest) -> wire::LogRequest {
    let TaskRunId { run, key } = request.attempt.task_run;
    wire::LogRequest {
        id: request.id,
        run_high: id::high(run.0),
        run_low: id::low(run.0),
        task_index: key.task,
        item_index: key.item,
        attempt: u32::from(request.attempt.attempt),
        namespace: request.namespace.to_string(),
        workflow: request.workflow.to_string(),
        task: request.task.to_string(),
        item: request.item,
        offset: request.offset,
        bytes_max: request.bytes_max,
        ..Default::default()
    }
}

fn log(message: wire::LogRequest) -> Result<LogRequest, Unreadable> {
    let run: RunId = id::run_id(message.run_high, message.run_low);
    let key = TaskKey { task: message.task_index, item: message.item_index };
    Ok(LogRequest {
        id: message.id,
        attempt: AttemptId {
            task_run: TaskRunId { run, key },
            attempt: narrow(message.attempt, "attempt number")?,
        },
        namespace: id::name(message.namespace)?,
        workflow: id::name(message.workflow)?,
        task: id::name(message.task)?,
        item: message.item,
        offset: message.offset,
        bytes_max: message.bytes_max,
    })
}
