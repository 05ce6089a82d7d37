//! Core types as messages and back. Writing cannot fail; reading checks what protobuf does not.
//! Must not know whether a message is in a frame or in a row.

pub(crate) mod enumerations;
pub(crate) mod event;
pub(crate) mod id;
pub(crate) mod outcome;
pub(crate) mod placement;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod shape;
pub(crate) mod task_run;
pub(crate) mod worker;

use hortator_core::time::Timestamp;
use protobuf::{MessageField, SpecialFields};

use crate::error::Unreadable;

/// A message that must be there.
pub(crate) fn need<M>(field: MessageField<M>, what: &'static str) -> Result<M, Unreadable> {
    field.into_option().ok_or(Unreadable::Missing(what))
}

/// Nothing this version knows is set in a `oneof`: either nothing is, or a newer version's case.
pub(crate) fn unknown_kind(what: &'static str, fields: &SpecialFields) -> Unreadable {
    match fields.unknown_fields().iter().next() {
        Some((number, _)) => Unreadable::UnknownKind { what, number: i64::from(number) },
        None => Unreadable::Missing(what),
    }
}

/// Microseconds from `base`; wraps rather than fails, and `later` wraps back.
pub(crate) fn since(base: Timestamp, time: Timestamp) -> i64 {
    time.0.wrapping_sub(base.0)
}

pub(crate) fn later(base: Timestamp, micros: i64) -> Timestamp {
    Timestamp(base.0.wrapping_add(micros))
}

/// Times that count from 1970.
pub(crate) const EPOCH: Timestamp = Timestamp(0);

/// A number that is narrower here than on the wire.
pub(crate) fn narrow<T: TryFrom<u32>>(value: u32, what: &'static str) -> Result<T, Unreadable> {
    T::try_from(value).map_err(|_| Unreadable::Range { what, value: u64::from(value) })
}
