//! What the nodes of the measured cluster count, all together.

use std::sync::atomic::Ordering;

use crate::node::Embedded;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counters {
    pub entries: u64,
    pub row_writes: u64,
    pub syncs: u64,
    pub frames: u64,
    pub actor_messages: u64,
}

impl Counters {
    pub(super) async fn read(embedded: &Embedded) -> Counters {
        let mut sum = Counters { syncs: embedded.syncs(), ..Counters::default() };
        for meter in embedded.meters() {
            sum.entries += meter.entries.load(Ordering::Relaxed);
            sum.row_writes += meter.row_writes.load(Ordering::Relaxed);
            sum.frames += meter.frames_sent.load(Ordering::Relaxed);
            sum.actor_messages += meter.actor_messages.load(Ordering::Relaxed);
        }
        sum
    }

    pub(super) fn since(&self, before: &Counters) -> Counters {
        Counters {
            entries: self.entries - before.entries,
            row_writes: self.row_writes - before.row_writes,
            syncs: self.syncs - before.syncs,
            frames: self.frames - before.frames,
            actor_messages: self.actor_messages - before.actor_messages,
        }
    }
}
