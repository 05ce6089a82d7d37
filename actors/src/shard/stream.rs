//! The shard's end of the offer stream, and the moment at which offers and entries go out.
//! It must not know how the Dispatcher chooses.

use std::time::Duration;

use actix::prelude::*;
use hortator_core::dispatch::GrantFailed;
use hortator_core::dispatch::stream::{DispatcherFrame, DispatcherTerm, FRAME_ITEMS_MAX, OfferItem};
use hortator_proto::frame::PeerFrame;

use super::Shard;
use super::effect::{self, Effect};
use crate::context::Context;
use crate::journal::Flushed;
use crate::mutant::Mutant;
use crate::waiting;

/// How often a flush lets all other actors of the thread have their turn first. A report makes a task run end (1), its
/// run start the next task run (2), and that one offer itself (3): after that all of it goes out together.
const FLUSH_TURNS: u8 = 3;
/// Of tokio's timers: no wait is shorter.
const GRAIN: Duration = Duration::from_millis(1);
/// How long an entry waits for the grants of the offers that go out with it. The design says 300 µs, which is below the
/// grain; the Dispatcher's answer nearly always comes first.
const HOLD_MAX: Duration = GRAIN;

/// Whether the pending entry waits for grants that may share it.
#[derive(Debug)]
pub(super) enum Hold {
    No,
    /// For the answer to this frame of offers.
    For(u64),
    /// It was answered, or that took too long; the next flush lets the entry go.
    Over,
}

impl Shard {
    /// A message to oneself would be handled at once, before anybody else's: only yielding lets the others in.
    pub(super) fn on_flush(&mut self, ctx: &mut Context<Self>) {
        let turns = async {
            for _ in 0..FLUSH_TURNS {
                tokio::task::yield_now().await;
            }
        };
        ctx.spawn(turns.into_actor(self).map(|(), shard, ctx| shard.flush_now(ctx)));
    }

    fn flush_now(&mut self, ctx: &mut Context<Self>) {
        self.misbehave();
        let Some(epoch) = &mut self.epoch else { return };
        epoch.context.flush_done();
        if let Hold::Over = epoch.hold {
            // With the grants that it was held for. What is offered from here on goes with the next one: an entry that
            // is held for one offer after the other would never go out while offers keep coming.
            epoch.hold = Hold::No;
            epoch.context.journal.release();
            self.send_pending(ctx);
        }
        self.show_offers(ctx);
        self.send_pending(ctx);
        if let Some(context) = self.open() {
            waiting::shard_changed(&context);
        }
    }

    fn send_pending(&mut self, ctx: &mut Context<Self>) {
        let Some(epoch) = &mut self.epoch else { return };
        if let Flushed::Paced(wait) = epoch.context.journal.flush_paced()
            && !std::mem::replace(&mut epoch.pace_armed, true)
        {
            ctx.run_later(wait.as_duration(), |shard, _| shard.on_pace());
        }
    }

    fn misbehave(&mut self) {
        let Some(epoch) = &self.epoch else { return };
        let wanted: fn(&Effect) -> bool = match self.parts.mutant {
            mutant if mutant.is(Mutant::AcknowledgesBeforeCommit) => {
                |effect| matches!(effect, Effect::Reply { .. })
            }
            mutant if mutant.is(Mutant::TakesReportsBeforeCommit) => {
                |effect| matches!(effect, Effect::Acknowledge { .. })
            }
            _ => return,
        };
        let stolen = epoch.context.journal.steal(wanted);
        effect::execute(&epoch.context, &self.parts.post, None, stolen, self.parts.seams.clock.boot());
    }

    fn on_pace(&mut self) {
        let Some(epoch) = &mut self.epoch else { return };
        epoch.pace_armed = false;
        epoch.context.arrange_flush();
    }

    /// Sends what the book has to say; while offers wait for their answer the pending entry is held.
    fn show_offers(&mut self, ctx: &mut Context<Self>) {
        let (Some(epoch), Some((master, _))) = (&mut self.epoch, self.dispatcher) else { return };
        let frames =
            epoch.context.book.borrow_mut().poll_frames(FRAME_ITEMS_MAX, epoch.context.journal.time());
        for frame in frames {
            let offers = frame.items.iter().any(|item| matches!(item, OfferItem::Offer(_)));
            let number = frame.number;
            self.parts.post.to_master(master, PeerFrame::Offers(frame));
            if offers && epoch.context.journal.has_pending() && matches!(epoch.hold, Hold::No) {
                epoch.hold = Hold::For(number);
                epoch.context.journal.hold();
                ctx.run_later(HOLD_MAX, move |shard, _| shard.round_is_over(number));
            }
        }
        self.arm_expiry(ctx);
    }

    /// Wakes the book when an answer is overdue: a lost frame restarts its stream.
    fn arm_expiry(&mut self, ctx: &mut Context<Self>) {
        let Some(epoch) = &mut self.epoch else { return };
        if epoch.expiry_armed {
            return;
        }
        let Some(deadline) = epoch.context.book.borrow().next_deadline() else { return };
        epoch.expiry_armed = true;
        let wait = deadline.since(epoch.context.journal.time()).as_duration().max(GRAIN);
        ctx.run_later(wait, |shard, _| shard.on_expiry());
    }

    fn on_expiry(&mut self) {
        let Some(epoch) = &mut self.epoch else { return };
        epoch.expiry_armed = false;
        epoch.context.book.borrow_mut().expire(epoch.context.journal.time());
        epoch.context.arrange_flush();
    }

    /// The offers up to that frame were considered, or have taken too long. Grants are on their way to task runs, which
    /// have their turn before the flush.
    fn round_is_over(&mut self, number: u64) {
        let Some(epoch) = &mut self.epoch else { return };
        if let Hold::For(held_for) = epoch.hold
            && held_for <= number
        {
            epoch.hold = Hold::Over;
            epoch.context.arrange_flush();
        }
    }

    pub(super) fn on_dispatcher_frame(&mut self, frame: DispatcherFrame, ctx: &mut Context<Self>) {
        let Some(context) = self.open() else { return };
        let (round, rows) = (frame.round, frame.rows);
        let grants = context.book.borrow_mut().on_frame(frame, context.journal.time());
        if context.journal.under_pressure() {
            for grant in grants {
                // As if its worker had no room: the next grant comes with that one's next heartbeat, not at once.
                context.book.borrow_mut().refuse_grant(grant.task_run, grant.number, GrantFailed::AtWorker);
            }
        } else {
            grants.into_iter().for_each(|grant| self.hand_over(grant, rows, ctx));
        }
        context.arrange_flush();
        self.round_is_over(round);
    }

    pub(super) fn on_dispatcher(&mut self, master: u64, term: DispatcherTerm) {
        if self.dispatcher.is_some_and(|(_, known)| known > term) || self.dispatcher == Some((master, term)) {
            return;
        }
        self.dispatcher = Some((master, term));
        if let Some(epoch) = &self.epoch {
            epoch.context.book.borrow_mut().on_dispatcher(term);
            epoch.context.arrange_flush();
        }
    }
}
