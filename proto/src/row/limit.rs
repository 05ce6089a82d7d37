//! Rows of limits, wants and holds, as messages and back.
//! Must not know keys.

use hortator_core::limit::{HoldRecord, LimitRecord, WantNumber, WantRecord};
use hortator_core::time::Timestamp;

use crate::codec::Form;
use crate::convert::enumerations::Choice;
use crate::convert::{id, narrow};
use crate::error::Unreadable;
use crate::generated::row as wire;

impl Form for LimitRecord {
    type Message = wire::LimitRow;
    const WHAT: &'static str = "row of a limit";

    fn to_message(&self) -> wire::LimitRow {
        wire::LimitRow { max: self.max, by: self.by.clone(), set_at: self.set_at.0, ..Default::default() }
    }

    fn from_message(message: wire::LimitRow) -> Result<LimitRecord, Unreadable> {
        Ok(LimitRecord { max: message.max, by: message.by, set_at: Timestamp(message.set_at) })
    }
}

impl Form for WantRecord {
    type Message = wire::WantRow;
    const WHAT: &'static str = "row of a want";

    fn to_message(&self) -> wire::WantRow {
        wire::WantRow {
            round: self.number.round,
            attempt: u32::from(self.number.attempt),
            weight: self.weight,
            run_priority: self.run_priority.wire(),
            run_created: self.run_created.0,
            task_priority: self.task_priority.wire(),
            workflow: self.workflow.to_string(),
            task: self.task.to_string(),
            ..Default::default()
        }
    }

    fn from_message(message: wire::WantRow) -> Result<WantRecord, Unreadable> {
        Ok(WantRecord {
            number: number(message.round, message.attempt)?,
            weight: message.weight,
            run_priority: Choice::read(message.run_priority)?,
            run_created: Timestamp(message.run_created),
            task_priority: Choice::read(message.task_priority)?,
            workflow: id::name(message.workflow)?,
            task: id::name(message.task)?,
        })
    }
}

impl Form for HoldRecord {
    type Message = wire::HoldRow;
    const WHAT: &'static str = "row of a hold";

    fn to_message(&self) -> wire::HoldRow {
        wire::HoldRow {
            round: self.number.round,
            attempt: u32::from(self.number.attempt),
            weight: self.weight,
            position: self.position,
            since: self.since.0,
            ..Default::default()
        }
    }

    fn from_message(message: wire::HoldRow) -> Result<HoldRecord, Unreadable> {
        Ok(HoldRecord {
            number: number(message.round, message.attempt)?,
            weight: message.weight,
            position: message.position,
            since: Timestamp(message.since),
        })
    }
}

fn number(round: u32, attempt: u32) -> Result<WantNumber, Unreadable> {
    Ok(WantNumber { round, attempt: narrow(attempt, "number of attempts")? })
}
