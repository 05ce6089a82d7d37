//! A worker's profile, which registrations carry and rows keep.
//! Must not know sessions.

use protobuf::MessageField;

use super::id;
use crate::error::Unreadable;
use crate::frame::{LifeId, WorkerProfile};
use crate::generated::id as wire_id;
use crate::generated::row as wire;
use hortator_core::dispatch::{Amounts, KindTag, Metric, WEIGHT_DEFAULT};

/// The words of `KindTag`; they are `KindTag`'s own text.
const KINDS: [KindTag; 2] = [KindTag::Shell, KindTag::Noop];

pub(crate) fn profile_message(profile: &WorkerProfile) -> wire::WorkerProfile {
    wire::WorkerProfile {
        groups: profile.groups.iter().map(ToString::to_string).collect(),
        slots: profile.slots,
        kinds: profile.kinds.iter().map(ToString::to_string).collect(),
        zone: profile.zone.clone(),
        labels: profile.labels.clone(),
        version: profile.version.clone(),
        host: profile.host.clone(),
        resources: amounts_message(&profile.resources),
        devices: profile.devices.clone(),
        weight: profile.weight,
        thresholds: profile
            .thresholds
            .iter()
            .map(|(metric, limit)| (metric.name().to_owned(), *limit))
            .collect(),
        ..Default::default()
    }
}

/// Kinds that a newer worker has and this version does not know are left out: no task of this version's asks for one.
pub(crate) fn profile(message: wire::WorkerProfile) -> Result<WorkerProfile, Unreadable> {
    let known = |word: &String| KINDS.into_iter().find(|kind| kind.to_string() == *word);
    Ok(WorkerProfile {
        groups: id::names(message.groups)?,
        slots: message.slots,
        kinds: message.kinds.iter().filter_map(known).collect(),
        zone: message.zone,
        labels: message.labels,
        version: message.version,
        host: message.host,
        resources: amounts(message.resources)?,
        devices: message.devices,
        weight: if message.weight == 0 { WEIGHT_DEFAULT } else { message.weight },
        thresholds: message
            .thresholds
            .iter()
            .filter_map(|(word, limit)| Some((metric(word)?, *limit)))
            .collect(),
    })
}

/// A metric that a newer version has and this one does not know has no limit here.
fn metric(word: &str) -> Option<Metric> {
    Metric::ALL.into_iter().find(|metric| metric.name() == word)
}

/// Absent when all are zero.
pub(crate) fn amounts_message(amounts: &Amounts) -> MessageField<wire_id::Amounts> {
    match amounts.is_zero() {
        true => None.into(),
        false => Some(wire_id::Amounts { of: amounts.clone().into(), ..Default::default() }).into(),
    }
}

pub(crate) fn amounts(message: MessageField<wire_id::Amounts>) -> Result<Amounts, Unreadable> {
    let of = message.into_option().map(|message| message.of).unwrap_or_default();
    Ok(Amounts::try_from(of)?)
}

pub(crate) fn life(number: u64, nonce_high: u64, nonce_low: u64) -> LifeId {
    LifeId { number, nonce: id::join(nonce_high, nonce_low) }
}
