//! Who leads which shard, as far as the agent has heard. Pure.
//! Higher term wins; it is remembered over lives, so that a leader of the past stays one.

use std::collections::BTreeMap;

use hortator_proto::frame::NodeId;

#[derive(Debug, Default)]
pub(crate) struct Leaders {
    shards: BTreeMap<u32, (u64, NodeId)>,
}

/// What a term in a frame means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hearing {
    /// A lower term than seen.
    Stale,
    Known,
    /// A higher term than seen: its sender leads now.
    New,
}

impl Leaders {
    pub(crate) fn hear(&mut self, from: &NodeId, shard: u32, term: u64) -> Hearing {
        match self.shards.get(&shard) {
            Some((seen, _)) if term < *seen => Hearing::Stale,
            Some((seen, _)) if term == *seen => Hearing::Known,
            Some(_) | None => {
                self.shards.insert(shard, (term, from.clone()));
                Hearing::New
            }
        }
    }

    pub(crate) fn of(&self, shard: u32) -> Option<NodeId> {
        self.shards.get(&shard).map(|(_, leader)| leader.clone())
    }

    pub(crate) fn led_by(&self, node: &NodeId) -> Vec<u32> {
        self.shards.iter().filter(|(_, (_, leader))| leader == node).map(|(shard, _)| *shard).collect()
    }
}
