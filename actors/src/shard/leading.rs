//! Whether anybody leads another group that decides about this shard's task runs, as this master knows it: without one
//! nothing is placed, and no limit at home there is given. Must not know offers or limits.

use std::sync::Arc;

use hortator_core::reason::Reason;
use hortator_proto::frame::NodeId;

use crate::leaders::Leaders;
use crate::post::Post;
use crate::replicas::Replicas;
use crate::tables::Tables;

/// See the module.
pub struct Leading {
    pub post: Arc<Post>,
    pub leaders: Arc<Leaders>,
    pub replicas: Arc<Replicas>,
    pub tables: Tables,
}

impl Leading {
    /// None while there is a leader: who is heard, and how many of them a leader needs.
    pub fn no_leader(&self, group: u32) -> Option<Reason> {
        if self.leaders.of(group).leader.is_some() {
            return None;
        }
        let voters = self.replicas.of(group).voters;
        let answers = |id: &u64| *id == self.post.me() || self.post.relay().is_linked(&NodeId::Master(*id));
        let masters = self.tables.masters();
        let name = |id: &u64| masters.masters.get(id).map_or(format!("n{id}"), |row| row.name.to_string());
        Some(Reason::NoLeader {
            raft_group: group,
            needed: voters.len() as u32 / 2 + 1,
            seen: voters.iter().filter(|id| answers(id)).map(name).collect(),
        })
    }
}

impl std::fmt::Debug for Leading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Leading({:?})", self.leaders.all())
    }
}
