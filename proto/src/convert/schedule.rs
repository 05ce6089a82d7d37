//! Schedules: their rows, their lines, and what a run says of its fire.
//! Must not know when they fire.

use hortator_core::event::Origin;
use hortator_core::id::RunId;
use hortator_core::schedule::{
    Cause, Fire, LastFire, ScheduleLine, ScheduleRecord, ScheduleState, Switch, Turn,
};
use hortator_core::time::Timestamp;
use protobuf::MessageField;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{id, unknown_kind};
use crate::codec::Form;
use crate::error::Unreadable;
use crate::generated::id as id_wire;
use crate::generated::id::Nothing;
use crate::generated::row as wire;

pub(crate) fn origin_message(origin: &Origin) -> MessageField<id_wire::Fire> {
    use id_wire::fire::{Cause as WireCause, Turn as WireTurn};
    let Origin::Schedule(fire) = origin else { return MessageField::none() };
    let cause = match &fire.cause {
        Cause::Due => WireCause::Due(Nothing::default()),
        Cause::CaughtUp => WireCause::CaughtUp(Nothing::default()),
        Cause::Triggered { by } => WireCause::Triggered(by.clone()),
    };
    let turn = match fire.turn {
        Turn::Free => WireTurn::Free(Nothing::default()),
        Turn::OneAtATime => WireTurn::OneAtATime(Nothing::default()),
        Turn::InPlaceOfTheOldest => WireTurn::InPlaceOfTheOldest(Nothing::default()),
    };
    MessageField::some(id_wire::Fire {
        schedule: fire.schedule.to_string(),
        generation: fire.generation,
        nominal: fire.nominal.0,
        cause: Some(cause),
        turn: Some(turn),
        ..Default::default()
    })
}

pub(crate) fn origin(message: MessageField<id_wire::Fire>) -> Result<Origin, Unreadable> {
    use id_wire::fire::{Cause as WireCause, Turn as WireTurn};
    let Some(message) = message.into_option() else { return Ok(Origin::Asked) };
    let cause = match message.cause {
        Some(WireCause::Due(_)) => Cause::Due,
        Some(WireCause::CaughtUp(_)) => Cause::CaughtUp,
        Some(WireCause::Triggered(by)) => Cause::Triggered { by },
        None => return Err(unknown_kind("cause of a fire", &message.special_fields)),
    };
    let turn = match message.turn {
        Some(WireTurn::Free(_)) => Turn::Free,
        Some(WireTurn::OneAtATime(_)) => Turn::OneAtATime,
        Some(WireTurn::InPlaceOfTheOldest(_)) => Turn::InPlaceOfTheOldest,
        None => return Err(unknown_kind("turn of a fire", &message.special_fields)),
    };
    Ok(Origin::Schedule(Fire {
        schedule: id::name(message.schedule)?,
        generation: message.generation,
        nominal: Timestamp(message.nominal),
        cause,
        turn,
    }))
}

impl Form for ScheduleRecord {
    type Message = wire::Schedule;
    const WHAT: &'static str = "schedule's row";

    fn to_message(&self) -> wire::Schedule {
        let switched_off = match &self.state.switch {
            Switch::On => None,
            Switch::Off { by, since } => {
                Some(wire::Ordered { by: by.clone(), since: since.0, ..Default::default() })
            }
        };
        wire::Schedule {
            namespace: self.workflow.namespace.to_string(),
            workflow: self.workflow.name.to_string(),
            id: self.schedule.to_string(),
            timing: json(&self.timing),
            policy: json(&self.policy),
            enabled: self.enabled,
            generation: self.state.generation,
            switched_off: switched_off.into(),
            next: self.state.next.map(|next| next.0),
            since: self.since.0,
            lines: self.lines,
            last: self.last.map(last_message).into(),
            ..Default::default()
        }
    }

    fn from_message(message: wire::Schedule) -> Result<ScheduleRecord, Unreadable> {
        let switch = match message.switched_off.into_option() {
            None => Switch::On,
            Some(off) => Switch::Off { by: off.by, since: Timestamp(off.since) },
        };
        Ok(ScheduleRecord {
            workflow: id::workflow(&message.namespace, &message.workflow)?,
            schedule: id::name(message.id)?,
            timing: read_json(&message.timing, "timing of a schedule")?,
            policy: read_json(&message.policy, "policy of a schedule")?,
            enabled: message.enabled,
            state: ScheduleState {
                generation: message.generation,
                switch,
                next: message.next.map(Timestamp),
            },
            since: Timestamp(message.since),
            lines: message.lines,
            last: message.last.into_option().map(|last| LastFire {
                nominal: Timestamp(last.nominal),
                at: Timestamp(last.at),
                run: id::run_id(last.run_high, last.run_low),
            }),
        })
    }
}

fn last_message(last: LastFire) -> wire::LastFire {
    wire::LastFire {
        nominal: last.nominal.0,
        at: last.at.0,
        run_high: id::high(last.run.0),
        run_low: id::low(last.run.0),
        ..Default::default()
    }
}

impl Form for ScheduleLine {
    type Message = wire::ScheduleLine;
    const WHAT: &'static str = "line about a schedule";

    fn to_message(&self) -> wire::ScheduleLine {
        let run = self.run.map_or(0, |run| run.0);
        wire::ScheduleLine {
            at: self.at.0,
            generation: self.generation,
            event: json(&self.event),
            run_high: id::high(run),
            run_low: id::low(run),
            ..Default::default()
        }
    }

    fn from_message(message: wire::ScheduleLine) -> Result<ScheduleLine, Unreadable> {
        let run = id::join(message.run_high, message.run_low);
        Ok(ScheduleLine {
            at: Timestamp(message.at),
            generation: message.generation,
            event: read_json(&message.event, "event of a schedule")?,
            run: (run != 0).then_some(RunId(run)),
        })
    }
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("a schedule is always JSON")
}

fn read_json<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, Unreadable> {
    serde_json::from_str(text).map_err(|_| Unreadable::Missing(what))
}
