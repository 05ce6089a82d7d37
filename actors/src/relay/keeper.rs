//! Looks after the links at a steady pace, as long as somebody uses the relay. Must not judge a link.

use std::sync::{Arc, Weak};
use std::time::Duration;

use actix::prelude::*;

use super::Relay;
use crate::context::{self, Context};
use crate::mailbox::Meter;
use crate::observe::ActorName;

/// See the module.
pub(super) struct LinkKeeper {
    relay: Weak<Relay>,
    every: Duration,
}

pub(super) fn start(relay: Weak<Relay>, every: Duration, meter: &Arc<Meter>) {
    context::start(meter, ActorName::Only, LinkKeeper { relay, every });
}

impl LinkKeeper {
    /// The next look is armed from now, so that looks missed in a stall collapse into one.
    fn look(&mut self, ctx: &mut Context<Self>) {
        match self.relay.upgrade() {
            Some(relay) => relay.look(),
            None => return ctx.stop(),
        }
        ctx.run_later(ctx.paced(self.every), LinkKeeper::look);
    }
}

impl Actor for LinkKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_later(ctx.paced(self.every), LinkKeeper::look);
    }
}
