//! The end of a run, whichever decision made it: its row among the live ones goes, its workflow gets its place back, and
//! its actor goes once its rows can be read. Must not know why it ended.

use actix::prelude::*;
use hortator_core::event::{Event, RunOutcome};
use hortator_core::id::Name;
use hortator_core::run::RunPhase;
use hortator_proto::row;
use hortator_raft::Write;
use slog::info;

use super::RunActor;
use crate::context::Context;
use crate::shard::board::Move;
use crate::shard::effect::Effect;
use crate::shard::rebuild::directory_range;
use crate::workflow::RunsMoved;

/// The epoch is over: the actor goes.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Retire;

/// An end of the run can be read from its rows: the actor goes, unless the run has been retried since.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct RetireIfOver;

impl RunActor {
    /// What belongs to the same entry as the run's end, if these events have one: a cancel ends a run that waits for
    /// its turn, and a quarantined one, in the decision that takes it.
    pub(super) fn ending(&self, events: &[Event]) -> Option<(Vec<Write>, Effect)> {
        let outcome = events.iter().find_map(|event| match event {
            Event::RunFinished { outcome } => Some(*outcome),
            _ => None,
        })?;
        self.log_end(outcome);
        let run = self.run();
        let workers: Vec<Name> = self.context.workers().workers.keys().cloned().collect();
        let mut writes = vec![Write::Delete { key: row::key::live_run(run) }];
        // Of task runs that had no actor since the last failover.
        writes.extend(self.context.limits.leave_all(directory_range(run)));
        writes.extend(self.context.learned.write(&self.state.header().workflow));
        Some((writes, Effect::Finished { run, workers }))
    }

    /// Its place in the workflow is free.
    pub(super) fn leave_workflow(&self) {
        let name = &self.state.header().workflow;
        self.context.board.moved(name, Move::Left(self.run()));
        if let Some(workflow) = self.context.workflows.borrow().get(name) {
            // Full means that it has messages to handle, and with each of them it looks at the board.
            let _ = workflow.send(RunsMoved);
        }
    }

    fn log_end(&self, outcome: RunOutcome) {
        let header = self.state.header();
        if let RunPhase::Finished { finished_at, counts, .. } = &header.phase {
            let took = finished_at.since(header.created_at);
            self.context.meter.tally.ran(took);
            info!(self.context.log, "run finished"; "run" => %header.id, "workflow" => %header.workflow,
                "state" => outcome.word(), "took" => %took, "succeeded" => counts.succeeded,
                "failed" => counts.failed, "skipped" => counts.skipped, "cancelled" => counts.cancelled);
        }
    }

    /// A finished run gets an actor for a retry; when nothing comes of that, its rows are enough, once they are there.
    pub(super) fn retire_if_kept_in_rows(&self, ctx: &mut Context<Self>) {
        let kept = crate::query::header(&self.context.rows, self.run());
        if kept.is_ok_and(|kept| kept.as_ref() == Some(self.state.header())) {
            ctx.notify(RetireIfOver);
        }
    }
}

impl Handler<Retire> for RunActor {
    type Result = ();

    fn handle(&mut self, _: Retire, ctx: &mut Context<Self>) {
        self.scope.retire();
        ctx.stop();
    }
}

impl Handler<RetireIfOver> for RunActor {
    type Result = ();

    fn handle(&mut self, _: RetireIfOver, ctx: &mut Context<Self>) {
        if !self.state.header().is_live() {
            self.context.runs.borrow_mut().remove(&self.run());
            self.context.board.take_wish(self.run());
            self.scope.retire();
            self.pass_retry_on();
            ctx.stop();
        }
    }
}
