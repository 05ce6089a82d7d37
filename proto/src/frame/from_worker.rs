//! Frames from a worker to a master as messages and back.
//! Must not know whether a report is believed.

use hortator_core::time::Timestamp;

use super::to_worker::about;
use super::{FromWorker, Heartbeat, LogAnswer, LogChunk, Registration, Report, Word};
use crate::codec::Form;
use crate::convert::{EPOCH, id, need, outcome, unknown_kind, worker};
use crate::error::Unreadable;
use crate::generated::frame as wire;

/// Times in a report count from 1970.
const BASE: Timestamp = EPOCH;

impl Form for FromWorker {
    type Message = wire::FromWorker;
    const WHAT: &'static str = "frame of a worker";

    fn to_message(&self) -> wire::FromWorker {
        use wire::from_worker::Body;
        let body = match self {
            FromWorker::Register(registration) => Body::Register(registration_message(registration)),
            FromWorker::Heartbeat(heartbeat) => Body::Heartbeat(heartbeat_message(heartbeat)),
            FromWorker::Reports(reports) => Body::Reports(wire::Reports {
                reports: reports.iter().map(report_message).collect(),
                ..Default::default()
            }),
            FromWorker::Inventory { incarnation, running, spooled } => Body::Inventory(wire::Inventory {
                incarnation: *incarnation,
                running: id::fenced_list(running),
                spooled: id::fenced_list(spooled),
                ..Default::default()
            }),
            FromWorker::Log(answer) => Body::Log(log_message(answer)),
            FromWorker::Running { incarnation, attempts } => Body::Running(wire::Running {
                incarnation: *incarnation,
                attempts: id::fenced_list(attempts),
                ..Default::default()
            }),
        };
        wire::FromWorker { body: Some(body), ..Default::default() }
    }

    fn from_message(message: wire::FromWorker) -> Result<FromWorker, Unreadable> {
        use wire::from_worker::Body;
        Ok(match message.body {
            Some(Body::Register(m)) => FromWorker::Register(registration(m)?),
            Some(Body::Heartbeat(m)) => FromWorker::Heartbeat(heartbeat(m)?),
            Some(Body::Reports(m)) => {
                FromWorker::Reports(m.reports.into_iter().map(report).collect::<Result<_, _>>()?)
            }
            Some(Body::Inventory(m)) => FromWorker::Inventory {
                incarnation: m.incarnation,
                running: id::read_fenced_list(&m.running)?,
                spooled: id::read_fenced_list(&m.spooled)?,
            },
            Some(Body::Log(m)) => FromWorker::Log(log(m)?),
            Some(Body::Running(m)) => FromWorker::Running {
                incarnation: m.incarnation,
                attempts: id::read_fenced_list(&m.attempts)?,
            },
            None => return Err(unknown_kind("kind of frame", &message.special_fields)),
        })
    }
}

pub(super) fn registration_message(registration: &Registration) -> wire::Registration {
    wire::Registration {
        name: registration.name.to_string(),
        number: registration.life.number,
        session_high: id::high(registration.life.nonce),
        session_low: id::low(registration.life.nonce),
        facts: Some(worker::profile_message(&registration.facts)).into(),
        earlier_lives_dead: registration.earlier_lives_dead,
        spooled: id::fenced_list(&registration.spooled),
        ..Default::default()
    }
}

pub(super) fn registration(message: wire::Registration) -> Result<Registration, Unreadable> {
    Ok(Registration {
        name: id::name(message.name)?,
        life: worker::life(message.number, message.session_high, message.session_low),
        facts: Box::new(worker::profile(need(message.facts, "facts of the worker")?)?),
        earlier_lives_dead: message.earlier_lives_dead,
        spooled: id::read_fenced_list(&message.spooled)?,
    })
}

pub(super) fn heartbeat_message(heartbeat: &Heartbeat) -> wire::Heartbeat {
    wire::Heartbeat {
        incarnation: heartbeat.incarnation,
        sequence: heartbeat.sequence,
        running_slots: heartbeat.running_slots,
        running: heartbeat.running,
        cpu_percent: heartbeat.cpu_percent,
        memory_used: heartbeat.memory_used,
        memory_total: heartbeat.memory_total,
        disk_free: heartbeat.disk_free,
        load1: heartbeat.load1,
        pressure_cpu: heartbeat.pressure_cpu,
        log_bytes_dropped: heartbeat.log_bytes_dropped,
        resources: worker::amounts_message(&heartbeat.resources),
        disk_total: heartbeat.disk_total,
        pressure_memory: heartbeat.pressure_memory,
        pressure_io: heartbeat.pressure_io,
        cores: heartbeat.cores,
        ..Default::default()
    }
}

pub(super) fn heartbeat(message: wire::Heartbeat) -> Result<Heartbeat, Unreadable> {
    Ok(Heartbeat {
        incarnation: message.incarnation,
        sequence: message.sequence,
        running_slots: message.running_slots,
        running: message.running,
        cpu_percent: measured(message.cpu_percent),
        memory_used: message.memory_used,
        memory_total: message.memory_total,
        disk_free: message.disk_free,
        load1: measured(message.load1),
        pressure_cpu: measured(message.pressure_cpu),
        log_bytes_dropped: message.log_bytes_dropped,
        resources: worker::amounts(message.resources)?,
        disk_total: message.disk_total,
        pressure_memory: measured(message.pressure_memory),
        pressure_io: measured(message.pressure_io),
        cores: message.cores,
    })
}

/// A load that is no number (a division by no time) reads as 0: it has no order and no JSON, and a heartbeat is a
/// sign of life in any case.
fn measured(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

fn report_message(report: &Report) -> wire::Report {
    use wire::report::Word as Kind;
    wire::Report {
        attempt: Some(id::fenced_message((report.attempt, report.fence))).into(),
        worker: Some(id::worker_message(&report.worker)).into(),
        word: Some(match &report.word {
            Word::Ended(end) => Kind::Ended(outcome::end_message(end, BASE)),
            Word::Refused { why } => Kind::Refused(why.clone()),
        }),
        ..Default::default()
    }
}

fn report(message: wire::Report) -> Result<Report, Unreadable> {
    use wire::report::Word as Kind;
    let (attempt, fence) = about(&message.attempt)?;
    let word = match message.word {
        Some(Kind::Ended(end)) => Word::Ended(outcome::end(end, BASE)?),
        Some(Kind::Refused(why)) => Word::Refused { why },
        None => return Err(unknown_kind("word of a worker", &message.special_fields)),
    };
    Ok(Report { attempt, fence, worker: id::worker(need(message.worker, "worker")?)?, word })
}

fn log_message(answer: &LogAnswer) -> wire::LogAnswer {
    use wire::log_answer::Result as Kind;
    let result = match &answer.result {
        Ok(LogChunk { bytes, next_offset, open }) => Kind::Chunk(wire::LogChunk {
            bytes: bytes.clone(),
            next_offset: *next_offset,
            open: *open,
            ..Default::default()
        }),
        Err(error) => Kind::Error(error.clone()),
    };
    wire::LogAnswer { id: answer.id, result: Some(result), ..Default::default() }
}

fn log(message: wire::LogAnswer) -> Result<LogAnswer, Unreadable> {
    use wire::log_answer::Result as Kind;
    let result = match message.result {
        Some(Kind::Chunk(chunk)) => {
            Ok(LogChunk { bytes: chunk.bytes, next_offset: chunk.next_offset, open: chunk.open })
        }
        Some(Kind::Error(error)) => Err(error),
        None => return Err(unknown_kind("answer", &message.special_fields)),
    };
    Ok(LogAnswer { id: message.id, result })
}
