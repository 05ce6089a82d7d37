//! A failed run is retried: what has not succeeded gets another round under the same id, its attempts numbered on.
//! Must not know what an attempt is beyond its number.

use std::rc::Rc;

use actix::prelude::*;
use bytes::Bytes;
use hortator_core::event::Event;
use hortator_core::id::RunId;
use hortator_core::run::RunCommand;
use hortator_core::workflow::Place;
use hortator_proto::api::{Problem, ProblemKind, Response};
use hortator_proto::row;
use hortator_raft::Write;

use super::RunActor;
use crate::context::Context;
use crate::gateway::{ReplyTo, no_leader};
use crate::query;
use crate::shard::board::Move;
use crate::shard::context::ShardContext;
use crate::shard::effect::{Answer, Effect};
use crate::shard::rebuild::{LoadError, load_run};
use crate::workflow::{RunsMoved, WorkflowActor};

/// Somebody wants a finished run's failures tried again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RetryFailed {
    pub by: String,
    pub reply: ReplyTo,
}

/// How an actor knows of the attempts of earlier rounds: it does not hear of them itself.
pub(super) enum Past {
    /// The run has gone on under this actor since its rows were read, so they know more.
    Stale,
    /// And it is over, and somebody wants a retry: an actor made from its last rows will take that.
    StaleAndAsked(RetryFailed),
    /// The run was over when its rows were read, and nothing has happened since.
    Known,
}

/// Lets an actor that is made from the run's rows, with all its attempts, take the retry.
pub fn retry_from_rows(context: &Rc<ShardContext>, run: RunId, message: RetryFailed) {
    match load_run(context, run) {
        Ok((state, active)) => {
            let actor = RunActor::start_with(context, state, active);
            let _ = actor.send(message);
        }
        Err(error) => message.reply.send(not_loaded(run, &error)),
    }
}

fn not_loaded(run: RunId, error: &LoadError) -> Response {
    Response::Problem(match error {
        LoadError::Unknown => query::no_such_run(run),
        other => Problem::new(ProblemKind::Internal, "H9003", format!("run {run} cannot be loaded: {other}")),
    })
}

impl RunActor {
    fn retry(&mut self, ctx: &mut Context<Self>, message: RetryFailed) {
        if self.state.header().is_live() {
            return self.retry_now(ctx, message);
        }
        match self.past {
            Past::Known => self.retry_now(ctx, message),
            Past::Stale => {
                // Its last rows may still be on their way: the actor goes when they are there.
                self.past = Past::StaleAndAsked(message);
                self.retire_if_kept_in_rows(ctx);
            }
            Past::StaleAndAsked(_) => self.refuse(message.reply, "somebody else's retry is on its way"),
        }
    }

    /// Whoever is asked for a retry that waited for the run's rows.
    pub(super) fn pass_retry_on(&mut self) {
        if let Past::StaleAndAsked(message) = std::mem::replace(&mut self.past, Past::Stale) {
            retry_from_rows(&self.context, self.run(), message);
        }
    }

    fn retry_now(&mut self, ctx: &mut Context<Self>, RetryFailed { by, reply }: RetryFailed) {
        match self.decide(&RunCommand::Retry { by }) {
            Ok(events) => self.begin_again(&events, reply),
            Err(rejection) => {
                self.refuse(reply, &rejection.to_string());
                self.retire_if_kept_in_rows(ctx);
            }
        }
        self.advance(ctx);
    }

    fn begin_again(&mut self, events: &[Event], reply: ReplyTo) {
        let run = self.run();
        for event in events {
            if let Event::RunRetried { tasks, .. } = event {
                tasks.iter().for_each(|task| self.scope.forget(*task));
            }
        }
        self.past = Past::Stale;
        self.scope.set_stance(self.state.header().stance());
        let answer = Answer::Accepted { run, state: self.state.header().word().to_string() };
        let live = Write::Put { key: row::key::live_run(run), value: Bytes::new() };
        self.context.hand_in(vec![live], Vec::new(), vec![Effect::Reply { to: reply, answer }]);
        let name = self.state.header().workflow.clone();
        self.context
            .board
            .moved(&name, Move::Returned { run, place: Place::of(&self.state.header().origin) });
        if let Ok(workflow) = WorkflowActor::of(&self.context, &name) {
            // Full means that it has messages to handle, and with each of them it looks at the board.
            let _ = workflow.send(RunsMoved);
        }
    }

    fn refuse(&self, to: ReplyTo, why: &str) {
        let (run, word) = (self.run(), self.state.header().word());
        let detail = format!("run {run} is {word} and cannot be retried: {why}");
        let answer =
            Answer::Complete(Response::Problem(Problem::new(ProblemKind::Conflict, "H3202", detail)));
        self.context.hand_in(Vec::new(), Vec::new(), vec![Effect::Reply { to, answer }]);
    }
}

impl Handler<RetryFailed> for RunActor {
    type Result = ();

    fn handle(&mut self, message: RetryFailed, ctx: &mut Context<Self>) {
        match self.attends(ctx) {
            true => self.retry(ctx, message),
            false => message.reply.send(no_leader(self.context.shard)),
        }
    }
}
