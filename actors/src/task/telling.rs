//! What a task run tells others of its own events: workers after commit, and the shard's offers of who holds part of
//! whom. Must not decide anything.

use std::sync::Arc;

use hortator_core::definition::Delivery;
use hortator_core::dispatch::stream::Held;
use hortator_core::dispatch::{Ended, Shape};
use hortator_core::event::{AttemptEnd, AttemptResult, Event, Share};
use hortator_core::id::{AttemptId, TaskRunId, WorkerRef};
use hortator_core::task_run::{FenceAt, Outstanding, TaskPhase, TaskState};
use hortator_core::time::Span;
use hortator_raft::sometimes;

use super::TaskActor;
use crate::context::Context;
use crate::mailbox::Meter;
use crate::scope::RunScope;
use crate::shard::board::Passing;
use crate::shard::context::ShardContext;
use crate::shard::effect::{Effect, RunFence};

/// What the row of a task run says to others. At once, before its actor's first turn: the rebuild ends with telling
/// workers which fences are open.
pub(super) fn take_up(context: &ShardContext, scope: &RunScope, state: &TaskState, shape: &Arc<Shape>) {
    let id = TaskRunId { run: scope.run, key: state.key };
    let Some(attempt) = state.attempt() else {
        return context.board.passes(id, Passing::Begins);
    };
    context.hold(&attempt.worker.name, id);
    context.book.borrow_mut().dispatched(id, held(shape, &attempt.worker, &attempt.share));
    if let FenceAt::Known(fence) = attempt.fence {
        context.fence_open(fence, id);
    }
    scope.note_attempt(id.key, Some(attempt.dispatched_at));
}

impl TaskActor {
    /// What the outside is to be told of these events after commit.
    pub(super) fn effects(
        &self,
        ctx: &mut Context<Self>,
        before: &TaskState,
        events: &[Event],
    ) -> Vec<Effect> {
        let mut effects = Vec::new();
        for event in events {
            match event {
                Event::AttemptDispatched { attempt, worker, share, .. } => {
                    let mailbox = ctx.mailbox();
                    effects.push(Effect::Run {
                        scope: self.scope.clone(),
                        attempt: self.attempt_id(*attempt),
                        worker: worker.clone(),
                        share: share.clone(),
                        fence: RunFence::ThisEntry(mailbox),
                    });
                }
                Event::AttemptStopping { .. } => effects.extend(self.stop_effect()),
                Event::AttemptRefused { attempt, worker, .. }
                | Event::AttemptEnded { attempt, worker, .. }
                | Event::AttemptLost { attempt, worker, .. } => {
                    if let Some(FenceAt::Known(fence)) = before.attempt().map(|attempt| attempt.fence) {
                        let (worker, attempt) = (worker.name.clone(), self.attempt_id(*attempt));
                        effects.push(Effect::Acknowledge { worker, attempt, fence });
                    }
                }
                _ => {}
            }
        }
        effects
    }

    pub(super) fn attempt_id(&self, attempt: u16) -> AttemptId {
        AttemptId { task_run: self.id, attempt }
    }

    pub(super) fn stop_effect(&self) -> Option<Effect> {
        let TaskPhase::Stopping { attempt, cause, .. } = &self.state.phase else { return None };
        let FenceAt::Known(fence) = attempt.fence else { return None };
        Some(Effect::Stop {
            worker: attempt.worker.clone(),
            attempt: self.attempt_id(attempt.number),
            fence,
            cause: *cause,
        })
    }

    /// Tells the offers who holds part of whom, and the run what is under way.
    pub(super) fn note_holds(&self, before: &TaskState, events: &[Event]) {
        self.scope.note_attempt(self.id.key, self.state.attempt().map(|attempt| attempt.dispatched_at));
        let mut book = self.context.book.borrow_mut();
        for event in events {
            match event {
                Event::AttemptDispatched { worker, attempt, share, .. } => {
                    sometimes!(*attempt >= 3, "task: a third attempt");
                    self.context.hold(&worker.name, self.id);
                    let since = self.context.journal.time();
                    self.context.board.passes(self.id, Passing::Commits { since });
                    book.dispatched(self.id, held(&self.shape, worker, share));
                }
                Event::AttemptEnded { worker, .. } | Event::AttemptLost { worker, .. } => {
                    sometimes!(
                        matches!(event, Event::AttemptLost { .. }),
                        "task: an attempt was lost with its worker"
                    );
                    let lost = matches!(event, Event::AttemptLost { .. });
                    sometimes!(lost && self.id.key.item > 0, "task: an item was lost with its worker");
                    sometimes!(
                        lost && self.spec().delivery == Delivery::AtMostOnce,
                        "task: what may start once only was lost"
                    );
                    Meter::add(&self.context.meter.attempts_ended, 1);
                    self.context.let_go(&worker.name, self.id);
                    book.ended(self.id, self.how_ended(event));
                }
                Event::AttemptRefused { worker, .. } => {
                    self.context.let_go(&worker.name, self.id);
                    book.ended(self.id, Ended::Refused);
                }
                Event::TaskEnded { .. } if before.attempt().is_none() => book.remove(self.id),
                _ => {}
            }
        }
    }

    /// Keeps the run's window true: its place is for another while this one runs.
    pub(super) fn note_wait(&self, before: &TaskState) {
        match (before.waits(), self.state.waits()) {
            (true, false) => self.scope.leave_window(self.id.key),
            (false, true) => self.scope.enter_window(self.id.key),
            (true, true) | (false, false) => {}
        }
    }

    fn learn(&self, event: &Event, took: Span) {
        let Event::AttemptEnded { worker, .. } = event else { return };
        let table = self.context.workers();
        let profile = table.get(&worker.name).map(|row| &row.profile);
        let task = &self.scope.task(self.id.key).id;
        let at = self.context.journal.time();
        self.context.learned.learn(&self.scope.definition.name, task, profile, took, at);
    }

    /// What an attempt's end says about its worker.
    fn how_ended(&self, event: &Event) -> Ended {
        let Event::AttemptEnded { end: AttemptEnd { started_at, finished_at, result }, .. } = event else {
            return Ended::Otherwise;
        };
        let task = self.scope.tag(self.id.key);
        match result {
            AttemptResult::Succeeded { .. } => {
                let took = finished_at.since(*started_at);
                self.learn(event, took);
                Ended::Succeeded { task, took, expected: self.scope.expected(self.id.key) }
            }
            AttemptResult::Cancelled => Ended::Otherwise,
            AttemptResult::Exited { .. }
            | AttemptResult::Signalled { .. }
            | AttemptResult::NotStarted { .. }
            | AttemptResult::OutputsInvalid { .. }
            | AttemptResult::TimedOut => Ended::Failed { task },
        }
    }

    /// Sends `Run` or `Stop` once more; the worker decides each fence once.
    pub(super) fn say_again(&self) {
        let effect = match (self.state.effect(), self.state.attempt()) {
            (Outstanding::Run, Some(attempt)) => match attempt.fence {
                FenceAt::Known(fence) => Some(Effect::Run {
                    scope: self.scope.clone(),
                    attempt: self.attempt_id(attempt.number),
                    worker: attempt.worker.clone(),
                    share: attempt.share.clone(),
                    fence: RunFence::Known(fence),
                }),
                FenceAt::ThisRow => None,
            },
            (Outstanding::Stop, _) => self.stop_effect(),
            (_, _) => None,
        };
        if let Some(effect) = effect {
            self.context.hand_in(Vec::new(), Vec::new(), vec![effect]);
        }
    }
}

/// What an attempt holds of its worker.
pub(super) fn held(shape: &Arc<Shape>, worker: &WorkerRef, share: &Share) -> Held {
    let Share { request, devices } = share.clone();
    // A row of another version may name one that there is not: then the first counts.
    let request = if usize::from(request) < shape.requests.len() { request } else { 0 };
    Held { worker: worker.clone(), shape: shape.clone(), request, devices }
}
