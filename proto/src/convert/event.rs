//! A history row: its events, with times counted from the row's and workers named once.
//! Must not drop an event: one of an unknown kind stops the reader.

use hortator_core::event::{Event, HistoryEntry, RunOutcome, Share, TaskOutcome};
use hortator_core::id::{TaskIndex, TaskKey, WorkerRef};
use hortator_core::time::Timestamp;

use super::enumerations::Choice;
use super::{id, later, narrow, need, outcome, schedule, since, unknown_kind};
use crate::codec::Form;
use crate::error::Unreadable;
use crate::generated::event as wire;
use crate::generated::event::event::Kind;
use crate::generated::id::Nothing;

impl Form for HistoryEntry {
    type Message = wire::History;
    const WHAT: &'static str = "row of a run's history";

    fn to_message(&self) -> wire::History {
        let mut workers = WorkerTable::default();
        let events = self
            .events
            .iter()
            .map(|event| wire::Event { kind: Some(kind(event, self.at, &mut workers)), ..Default::default() })
            .collect();
        wire::History { at: self.at.0, workers: workers.messages(), events, ..Default::default() }
    }

    fn from_message(message: wire::History) -> Result<HistoryEntry, Unreadable> {
        let at = Timestamp(message.at);
        let workers = message.workers.into_iter().map(id::worker).collect::<Result<Vec<_>, _>>()?;
        let events = message
            .events
            .into_iter()
            .map(|event| match event.kind {
                Some(kind) => read(kind, at, &workers),
                None => Err(unknown_kind("kind of event", &event.special_fields)),
            })
            .collect::<Result<_, _>>()?;
        Ok(HistoryEntry { at, events })
    }
}

/// The workers of a message, each once, in order of first use.
#[derive(Debug, Default)]
pub(crate) struct WorkerTable<'a>(Vec<&'a WorkerRef>);

impl<'a> WorkerTable<'a> {
    /// The worker's place. A linear look is enough: few workers share a message, and the newest is the likeliest.
    pub(crate) fn place(&mut self, worker: &'a WorkerRef) -> u32 {
        let place = match self.0.iter().rposition(|known| *known == worker) {
            Some(place) => place,
            None => {
                self.0.push(worker);
                self.0.len() - 1
            }
        };
        u32::try_from(place).expect("a message names fewer workers than fit into memory")
    }

    pub(crate) fn messages(&self) -> Vec<crate::generated::id::Worker> {
        self.0.iter().map(|worker| id::worker_message(worker)).collect()
    }
}

/// The worker at a place of a message's list.
pub(crate) fn worker_at(workers: &[WorkerRef], place: u32) -> Result<WorkerRef, Unreadable> {
    workers
        .get(place as usize)
        .cloned()
        .ok_or(Unreadable::Range { what: "place of a worker", value: u64::from(place) })
}

fn kind<'a>(event: &'a Event, at: Timestamp, workers: &mut WorkerTable<'a>) -> Kind {
    match event {
        Event::AttemptDispatched { key, attempt, worker, ready_at, share } => {
            Kind::AttemptDispatched(wire::AttemptDispatched {
                task: key.task,
                item: key.item,
                attempt: u32::from(*attempt),
                worker: workers.place(worker),
                ready_at: since(at, *ready_at),
                request: u32::from(share.request),
                devices: share.devices.clone(),
                ..Default::default()
            })
        }
        Event::AttemptStopping { key, attempt, cause } => Kind::AttemptStopping(wire::AttemptStopping {
            task: key.task,
            item: key.item,
            attempt: u32::from(*attempt),
            cause: cause.wire(),
            ..Default::default()
        }),
        Event::AttemptRefused { key, attempt, worker, why } => Kind::AttemptRefused(wire::AttemptRefused {
            task: key.task,
            item: key.item,
            attempt: u32::from(*attempt),
            worker: workers.place(worker),
            why: why.clone(),
            ..Default::default()
        }),
        Event::AttemptEnded { key, attempt, end, worker } => Kind::AttemptEnded(wire::AttemptEnded {
            task: key.task,
            item: key.item,
            attempt: u32::from(*attempt),
            worker: workers.place(worker),
            end: Some(outcome::end_message(end, at)).into(),
            ..Default::default()
        }),
        Event::AttemptLost { key, attempt, worker } => Kind::AttemptLost(wire::AttemptLost {
            task: key.task,
            item: key.item,
            attempt: u32::from(*attempt),
            worker: workers.place(worker),
            ..Default::default()
        }),
        Event::TaskBackoff { key, until } => Kind::TaskBackoff(backoff_message(*key, since(at, *until))),
        Event::TaskEnded { key, outcome } => Kind::TaskEnded(ended_message(*key, outcome)),
        Event::RunCreated { workflow, version, inputs, priority, by, key, origin } => {
            Kind::RunCreated(wire::RunCreated {
                namespace: workflow.namespace.to_string(),
                workflow: workflow.name.to_string(),
                version: *version,
                inputs: id::values_message(inputs),
                priority: priority.wire(),
                by: by.clone(),
                key: key.clone(),
                fire: schedule::origin_message(origin),
                ..Default::default()
            })
        }
        Event::RunStarted => Kind::RunStarted(Nothing::default()),
        Event::RunCancelRequested { by, reason } => {
            Kind::RunCancelRequested(cancel_message(by, reason.as_deref()))
        }
        Event::RunStopping { first_failed } => Kind::RunStopping(id::key_message(*first_failed)),
        Event::RunQuarantined { code, reason } => Kind::RunQuarantined(wire::RunQuarantined {
            code: code.clone(),
            reason: reason.clone(),
            ..Default::default()
        }),
        Event::RunFinished { outcome } => Kind::RunFinished(finished_message(*outcome)),
        Event::RunRetried { by, tasks } => Kind::RunRetried(retried_message(by, tasks)),
    }
}

fn backoff_message(key: TaskKey, until: i64) -> wire::TaskBackoff {
    wire::TaskBackoff { task: key.task, item: key.item, until, ..Default::default() }
}

fn ended_message(key: TaskKey, outcome: &TaskOutcome) -> wire::TaskEnded {
    let outcome = Some(outcome::outcome_message(outcome)).into();
    wire::TaskEnded { task: key.task, item: key.item, outcome, ..Default::default() }
}

fn cancel_message(by: &str, reason: Option<&str>) -> wire::RunCancelRequested {
    wire::RunCancelRequested { by: by.into(), reason: reason.map(Into::into), ..Default::default() }
}

/// What an attempt gets of its worker.
pub(crate) fn share(request: u32, devices: Vec<String>) -> Result<Share, Unreadable> {
    Ok(Share { request: narrow(request, "place of a request")?, devices })
}

fn finished_message(outcome: RunOutcome) -> wire::RunFinished {
    wire::RunFinished { outcome: outcome.wire(), ..Default::default() }
}

fn retried_message(by: &str, tasks: &[TaskIndex]) -> wire::RunRetried {
    wire::RunRetried { by: by.into(), tasks: tasks.to_vec(), ..Default::default() }
}

fn read(kind: Kind, at: Timestamp, workers: &[WorkerRef]) -> Result<Event, Unreadable> {
    Ok(match kind {
        Kind::AttemptDispatched(m) => Event::AttemptDispatched {
            key: TaskKey { task: m.task, item: m.item },
            attempt: number(m.attempt)?,
            worker: worker_at(workers, m.worker)?,
            ready_at: later(at, m.ready_at),
            share: share(m.request, m.devices)?,
        },
        Kind::AttemptStopping(m) => Event::AttemptStopping {
            key: TaskKey { task: m.task, item: m.item },
            attempt: number(m.attempt)?,
            cause: Choice::read(m.cause)?,
        },
        Kind::AttemptRefused(m) => Event::AttemptRefused {
            key: TaskKey { task: m.task, item: m.item },
            attempt: number(m.attempt)?,
            worker: worker_at(workers, m.worker)?,
            why: m.why,
        },
        Kind::AttemptEnded(m) => Event::AttemptEnded {
            key: TaskKey { task: m.task, item: m.item },
            attempt: number(m.attempt)?,
            worker: worker_at(workers, m.worker)?,
            end: outcome::end(need(m.end, "end of the attempt")?, at)?,
        },
        Kind::AttemptLost(m) => Event::AttemptLost {
            key: TaskKey { task: m.task, item: m.item },
            attempt: number(m.attempt)?,
            worker: worker_at(workers, m.worker)?,
        },
        Kind::TaskBackoff(m) => {
            Event::TaskBackoff { key: TaskKey { task: m.task, item: m.item }, until: later(at, m.until) }
        }
        Kind::TaskEnded(m) => Event::TaskEnded {
            key: TaskKey { task: m.task, item: m.item },
            outcome: outcome::outcome(need(m.outcome, "outcome of the task run")?)?,
        },
        Kind::RunCreated(m) => Event::RunCreated {
            workflow: id::workflow(&m.namespace, &m.workflow)?,
            version: m.version,
            inputs: id::values(m.inputs)?,
            priority: Choice::read(m.priority)?,
            by: m.by,
            key: m.key,
            origin: schedule::origin(m.fire)?,
        },
        Kind::RunStarted(_) => Event::RunStarted,
        Kind::RunCancelRequested(m) => Event::RunCancelRequested { by: m.by, reason: m.reason },
        Kind::RunStopping(key) => Event::RunStopping { first_failed: id::key(&key) },
        Kind::RunQuarantined(m) => Event::RunQuarantined { code: m.code, reason: m.reason },
        Kind::RunFinished(m) => Event::RunFinished { outcome: Choice::read(m.outcome)? },
        Kind::RunRetried(m) => Event::RunRetried { by: m.by, tasks: m.tasks },
    })
}

fn number(attempt: u32) -> Result<u16, Unreadable> {
    narrow(attempt, "attempt number")
}
