//! A run's header row.
//! Must not know task runs.

use hortator_core::id::RunId;
use hortator_core::run::{CancelRequest, Quarantine, RunHeader, RunPhase, Started};
use hortator_core::time::Timestamp;

use super::enumerations::Choice;
use super::{id, need, outcome, schedule, unknown_kind};
use crate::codec::Form;
use crate::error::Unreadable;
use crate::generated::id::Nothing;
use crate::generated::row as wire;
use crate::generated::row::run_header::Phase;

impl Form for RunHeader {
    type Message = wire::RunHeader;
    const WHAT: &'static str = "run's row";

    fn to_message(&self) -> wire::RunHeader {
        wire::RunHeader {
            run_high: id::high(self.id.0),
            run_low: id::low(self.id.0),
            namespace: self.workflow.namespace.to_string(),
            workflow: self.workflow.name.to_string(),
            version: self.version,
            inputs: id::values_message(&self.inputs),
            priority: self.priority.wire(),
            by: self.by.clone(),
            key: self.key.clone(),
            created_at: self.created_at.0,
            round: self.round,
            phase: Some(phase_kind(&self.phase)),
            fire: schedule::origin_message(&self.origin),
            ..Default::default()
        }
    }

    fn from_message(message: wire::RunHeader) -> Result<RunHeader, Unreadable> {
        let phase = match message.phase {
            Some(kind) => phase(kind)?,
            None => return Err(unknown_kind("phase of a run", &message.special_fields)),
        };
        Ok(RunHeader {
            id: RunId(id::join(message.run_high, message.run_low)),
            workflow: id::workflow(&message.namespace, &message.workflow)?,
            version: message.version,
            inputs: id::values(message.inputs)?,
            priority: Choice::read(message.priority)?,
            key: message.key,
            by: message.by,
            origin: schedule::origin(message.fire)?,
            created_at: Timestamp(message.created_at),
            round: message.round,
            phase,
        })
    }
}

fn phase_kind(phase: &RunPhase) -> Phase {
    match phase {
        RunPhase::Queued => Phase::Queued(Nothing::default()),
        RunPhase::Running { started_at } => {
            Phase::Running(wire::RunRunning { started_at: started_at.0, ..Default::default() })
        }
        RunPhase::Stopping { started_at, first_failed } => Phase::Stopping(wire::RunStopping {
            started_at: started_at.0,
            first_failed: Some(id::key_message(*first_failed)).into(),
            ..Default::default()
        }),
        RunPhase::Cancelling { started, request } => Phase::Cancelling(wire::RunCancelling {
            started_at: started_micros(*started),
            request: Some(request_message(request)).into(),
            ..Default::default()
        }),
        RunPhase::Quarantined { started, quarantine } => Phase::Quarantined(wire::RunInQuarantine {
            started_at: started_micros(*started),
            code: quarantine.code.clone(),
            reason: quarantine.reason.clone(),
            at: quarantine.at.0,
            cancel: quarantine.cancel.as_ref().map(request_message).into(),
            ..Default::default()
        }),
        RunPhase::Finished { outcome, started, finished_at, counts, first_failed, cancel } => {
            Phase::Finished(wire::RunFinishedAt {
                outcome: outcome.wire(),
                started_at: started_micros(*started),
                finished_at: finished_at.0,
                counts: Some(outcome::counts_message(*counts)).into(),
                first_failed: first_failed.map(id::key_message).into(),
                cancel: cancel.as_ref().map(request_message).into(),
                ..Default::default()
            })
        }
    }
}

fn phase(kind: Phase) -> Result<RunPhase, Unreadable> {
    Ok(match kind {
        Phase::Queued(_) => RunPhase::Queued,
        Phase::Running(running) => RunPhase::Running { started_at: Timestamp(running.started_at) },
        Phase::Stopping(stopping) => RunPhase::Stopping {
            started_at: Timestamp(stopping.started_at),
            first_failed: id::key(&need(stopping.first_failed, "first failed task run")?),
        },
        Phase::Cancelling(cancelling) => RunPhase::Cancelling {
            started: started(cancelling.started_at),
            request: request(need(cancelling.request, "request of the cancel")?),
        },
        Phase::Quarantined(quarantined) => RunPhase::Quarantined {
            started: started(quarantined.started_at),
            quarantine: Quarantine {
                code: quarantined.code,
                reason: quarantined.reason,
                at: Timestamp(quarantined.at),
                cancel: quarantined.cancel.into_option().map(request),
            },
        },
        Phase::Finished(finished) => RunPhase::Finished {
            outcome: Choice::read(finished.outcome)?,
            started: started(finished.started_at),
            finished_at: Timestamp(finished.finished_at),
            counts: outcome::counts(&need(finished.counts, "counts of task runs")?),
            first_failed: finished.first_failed.as_ref().map(id::key),
            cancel: finished.cancel.into_option().map(request),
        },
    })
}

fn started_micros(started: Started) -> Option<i64> {
    match started {
        Started::Never => None,
        Started::At(at) => Some(at.0),
    }
}

fn started(micros: Option<i64>) -> Started {
    micros.map_or(Started::Never, |micros| Started::At(Timestamp(micros)))
}

fn request_message(request: &CancelRequest) -> wire::CancelRequest {
    wire::CancelRequest {
        by: request.by.clone(),
        reason: request.reason.clone(),
        at: request.at.0,
        ..Default::default()
    }
}

fn request(message: wire::CancelRequest) -> CancelRequest {
    CancelRequest { by: message.by, reason: message.reason, at: Timestamp(message.at) }
}
