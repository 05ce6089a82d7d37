//! What a failed decider means for its run: it is quarantined, and everything else goes on.
//! It must not know what is decided otherwise.

use actix::prelude::*;
use hortator_core::event::Event;
use hortator_core::run::{self, RunCommand, RunRejection};
use hortator_core::time::Timestamp;
use hortator_proto::row;
use hortator_raft::Write;
use slog::error;

use super::RunActor;
use crate::caught::{self, Decides, caught};
use crate::context::Context;

/// A decider of one of its task runs has failed: why lies in the scope.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct DecisionFailed;

impl RunActor {
    /// The decider's answer, or that of the quarantine when it failed.
    pub(super) fn decided(
        &mut self,
        command: &RunCommand,
        now: Timestamp,
    ) -> Result<Vec<Event>, RunRejection> {
        let decided = caught(|| Decides::Run(self.scope.run), || run::decide(&self.state, command, now));
        decided.unwrap_or_else(|panic| {
            self.quarantine(format!("the decision about {command:?} failed: {panic}"));
            run::decide(&self.state, command, now)
        })
    }

    /// Nothing of what failed was folded: the run is what it was, and starts nothing from here.
    pub(super) fn quarantine(&mut self, reason: String) {
        let Some(event) = run::quarantine(self.state.header(), caught::CODE, &reason) else { return };
        error!(self.context.log, "run quarantined"; "run" => %self.run(), "why" => &reason);
        let now = self.context.journal.now();
        self.state.apply(&event, now);
        self.on_quarantine(event);
    }

    fn on_quarantine(&mut self, event: Event) {
        let run = self.run();
        let write = Write::Put { key: row::key::run(run), value: row::encode_run(self.state.header()) };
        self.context.hand_in(vec![write], vec![(run, event)], Vec::new());
        self.note_turn();
        self.tell_stance();
    }
}

impl Handler<DecisionFailed> for RunActor {
    type Result = ();

    fn handle(&mut self, _: DecisionFailed, ctx: &mut Context<Self>) {
        self.attends(ctx);
    }
}
