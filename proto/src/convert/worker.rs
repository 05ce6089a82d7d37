//! A worker's profile, which registrations carry and rows keep.
//! Must not know sessions.

use super::id;
use crate::error::Unreadable;
use crate::frame::{LifeId, WorkerProfile};
use crate::generated::row as wire;
use hortator_core::placement::KindTag;

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
    })
}

pub(crate) fn life(number: u64, nonce_high: u64, nonce_low: u64) -> LifeId {
    LifeId { number, nonce: id::join(nonce_high, nonce_low) }
}
