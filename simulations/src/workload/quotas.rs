//! What namespaces may hold at most, as a client sets it. Must not know whether it comes true.

use hortator_core::id::Name;
use hortator_proto::api::Command;
use serde::{Deserialize, Serialize};

use super::{LICENCE, Subject};
use crate::world::draw::Draw;

/// The namespace that some workflows are in, beside the usual one.
pub(super) const TEAM: &str = "team";

/// Namespaces, resources, and the most of each in the resource's own unit. Half of it lets every task run, some at a time.
const QUOTAS: [(&str, &str, u64); 6] = [
    ("default", "slots", 8),
    ("default", "gpu", 2),
    ("default", LICENCE, 2),
    (TEAM, "slots", 4),
    (TEAM, "cpu", 4_000),
    (TEAM, "gpu", 2),
];
/// Of changes in a million.
const TAKES_AWAY: u64 = 200_000;
const ALL: u64 = 400_000;

/// How much of a resource a namespace may hold from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaSet {
    pub namespace: Name,
    pub resource: String,
    /// Without one it is free.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u64>,
}

impl QuotaSet {
    pub(super) fn draw(draw: &mut Draw) -> QuotaSet {
        let (namespace, resource, most) = QUOTAS[draw.below(QUOTAS.len() as u64) as usize];
        let most = match draw.chance(TAKES_AWAY) {
            true => None,
            false if draw.chance(ALL) => Some(most),
            false => Some(most / 2),
        };
        let namespace = Name::new(namespace).expect("letters are a name");
        QuotaSet { namespace, resource: resource.to_owned(), most }
    }

    pub(super) fn sets(&self) -> (Subject, String) {
        let value = self.most.map_or_else(|| FREE_WORD.to_owned(), |most| most.to_string());
        (Subject::Quota(self.namespace.clone(), self.resource.clone()), value)
    }

    pub(crate) fn command(&self, by: String) -> Command {
        let change = [(self.resource.clone(), self.most)].into();
        Command::SetQuota { namespace: self.namespace.clone(), change, by }
    }
}

/// Where there is none.
pub const FREE_WORD: &str = "free";
