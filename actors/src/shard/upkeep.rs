//! What a shard looks at by time alone: attempts in doubt, what a full mailbox refused, and what was said once and may
//! have been lost on its way. A lost notice costs a moment, never a run. It must not know what is decided.

use std::time::Duration;

use actix::prelude::*;
use hortator_core::dispatch::stream::DispatcherTerm;
use hortator_raft::sometimes;

use super::{Shard, Stage};
use crate::context::Context;

/// How often the shard looks at what is due by time alone: attempts to ask about (a quarter of the time after which they are
/// in doubt), and what full mailboxes have refused.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Every so many looks all workers hear again who leads, since a worker that knows nobody keeps its reports: some hundred
/// bytes for each of them in two seconds.
const ANNOUNCE_EACH: u64 = 8;
/// A Dispatcher says itself that it is there. After so many looks at a leader of the membership group from whom nothing
/// was heard, that word was lost: it dispatches, or will in a moment, and tells its own term to whom it is asked by.
const SILENT_LOOKS: u64 = 4;

impl Shard {
    pub(super) fn schedule_look(ctx: &mut Context<Self>) {
        // Armed from now, so that looks missed in a stall collapse into one.
        ctx.run_later(ctx.paced(LOOK_EVERY), |shard, ctx| {
            shard.look_at_dispatcher();
            shard.look_at_epoch();
            Shard::schedule_look(ctx);
        });
    }

    fn look_at_epoch(&mut self) {
        self.ask();
        self.look_elsewhere();
        let Some(epoch) = &mut self.epoch else { return };
        epoch.looks += 1;
        let (context, announces) = (epoch.context.clone(), epoch.looks % ANNOUNCE_EACH == 0);
        context.journal.press();
        context.flush_again_if_refused();
        if announces && matches!(epoch.stage, Stage::Open) && context.journal.is_open() {
            for worker in self.parts.post.sessions() {
                self.announce_to(&context, &worker);
            }
        }
        self.retire_finished(self.parts.rows.applied());
    }

    fn look_at_dispatcher(&mut self) {
        let seen = self.parts.leaders.of(0);
        let heard = self.dispatcher.map(|(_, term)| term);
        let least = DispatcherTerm::least_in(seen.term);
        let silent = seen.leader.filter(|_| heard.is_none_or(|heard| heard < least));
        self.silent = if silent.is_some() { self.silent + 1 } else { 0 };
        if let Some(leader) = silent.filter(|_| self.silent >= SILENT_LOOKS) {
            sometimes!("shard: a Dispatcher's word was lost");
            self.on_dispatcher(leader, least);
        }
    }
}
