//! What this master's shards and Dispatcher are to know of the membership group: told at once, and by whom it was refused
//! (a full mailbox) told again with the next tick. It must not know what they make of it.

use std::collections::BTreeSet;

use super::MembershipActor;
use crate::dispatcher::{Reign, WorkersSeen};
use crate::shard::WorkersChanged;

/// Who still has to hear what; the newest of each is what counts.
#[derive(Debug, Default)]
pub(super) struct Telling {
    shards: BTreeSet<u32>,
    dispatcher: bool,
    reign: Option<Reign>,
}

impl Telling {
    /// Whether it had no room for the newest table.
    pub(super) fn owes_the_dispatcher(&self) -> bool {
        self.dispatcher
    }
}

impl MembershipActor {
    pub(super) fn tell_table(&mut self) {
        self.telling.shards = self.post.shards().into_iter().map(|(id, _)| id).collect();
        self.telling.dispatcher = true;
        self.tell();
    }

    pub(super) fn tell_reign(&mut self, reign: Reign) {
        self.telling.reign = Some(reign);
        self.tell();
    }

    /// Once more to those who had no room.
    pub(super) fn tell(&mut self) {
        let Telling { shards, dispatcher, reign } = &mut self.telling;
        if shards.is_empty() && !*dispatcher && reign.is_none() {
            return;
        }
        for (id, shard) in self.post.shards() {
            if shards.contains(&id) && shard.send(WorkersChanged(self.table.clone())).is_ok() {
                shards.remove(&id);
            }
        }
        let Some(to) = self.post.dispatcher() else { return };
        // It begins with the table that it has.
        if *dispatcher && to.send(WorkersSeen(self.table.clone())).is_ok() {
            *dispatcher = false;
        }
        *reign = reign.take().filter(|reign| to.send(*reign).is_err());
    }
}
