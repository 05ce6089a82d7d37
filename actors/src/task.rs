//! One active task run: a thin shell around its decider. It offers itself when ready, is granted a worker, hears the
//! worker's word, and arms the timers that its state asks for. It must not know its parents or placement.

mod limits;
mod telling;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use hortator_core::definition::Delivery;
use hortator_core::dispatch::{Grant, GrantFailed, Offer, Rank, Shape};
use hortator_core::event::{AttemptResult, Event, Share, StopCause, TaskOutcome};
use hortator_core::id::{AttemptId, TaskRunId, WorkerRef};
use hortator_core::limit::Wants;
use hortator_core::reason::Reason;
use hortator_core::task_run::{
    self, FenceAt, Outstanding, Rejection, TaskCommand, TaskPhase, TaskSpec, TaskState,
};
use hortator_core::time::Span;
use hortator_proto::frame::{Report, Word};
use hortator_proto::row;
use hortator_raft::{Write, always, buggify, sometimes};
use slog::{debug, info};

use crate::caught::{Decides, caught};
use crate::context::{self, Context};
use crate::mailbox::Meter;
use crate::mutant::Mutant;
use crate::observe::ActorName;
use crate::scope::RunScope;
use crate::shard::board::Place;
use crate::shard::context::ShardContext;
use crate::shard::effect::Effect;

/// A task run hears little at a time: a grant, a report, a wish of its run, its own timers.
const MAILBOX: usize = 16;
/// The longest a timer sleeps before it looks again: far below what tokio's timers can hold, and clocks of the epoch
/// and of the timer never drift far apart.
const TIMER_MAX: Duration = Duration::from_secs(3600);

/// Words kept until the attempt's place is known; a worker has one for each attempt and says it again.
const EARLY_MAX: usize = 4;

/// How long the worker's word on a `Stop` may take before it is said again: the frame may have been lost.
const DOUBT: Duration = Duration::from_secs(1);
/// Whoever waited so long met a crowd, for a mark.
const LONG_WAIT: Span = Span::from_secs(1);

/// The Dispatcher chose a worker.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Granted(pub Grant);

/// The worker's word.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct WorkerSaid(pub Report);

/// The entry that dispatched the attempt has its place in the log.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Placed(pub Place);

/// The run's stance changed, or the workers' table, or the worker is back: look again.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub enum Look {
    AtStance,
    AtWorkers,
    /// The rows of the limit that it waits for have changed.
    AtLimits,
    /// The worker is back and says whether it holds the attempt: what it may not have been told is said again.
    AtWorkerAgain {
        held: bool,
    },
}

/// See the module.
pub struct TaskActor {
    context: Rc<ShardContext>,
    scope: Rc<RunScope>,
    id: TaskRunId,
    state: TaskState,
    rank: Rank,
    shape: Arc<Shape>,
    wants: Wants,
    timer: Option<SpawnHandle>,
    losses_max: u32,
    /// Words that came before the attempt's place did.
    early: Vec<Report>,
    /// The run's stance and the workers' table that it has acted on.
    seen: (task_run::Stance, u64),
}

impl TaskActor {
    /// Starts the actor of a task run that is ready, or whose row says that it is active.
    pub fn start_in_epoch(
        context: Rc<ShardContext>,
        scope: Rc<RunScope>,
        state: TaskState,
        rank: Rank,
        shape: Arc<Shape>,
    ) -> TaskRunId {
        let id = TaskRunId { run: scope.run, key: state.key };
        telling::take_up(&context, &scope, &state, &shape);
        let wants = limits::wants(&context, &scope, &state);
        let actor = TaskActor {
            context: context.clone(),
            scope,
            id,
            state,
            rank,
            shape,
            wants,
            timer: None,
            losses_max: losses_max(),
            early: Vec::new(),
            seen: (task_run::Stance::Going, context.tables_seen()),
        };
        let mailbox = context::start(&context.meter, ActorName::TaskRun(id), actor);
        context.tasks.borrow_mut().insert(id, mailbox);
        id
    }

    fn spec(&self) -> TaskSpec {
        let spec = TaskSpec::new(self.scope.task(self.id.key), self.scope.stance());
        let spec = TaskSpec { losses_max: self.losses_max, ..spec };
        match self.context.mutant.is(Mutant::RepeatsAtMostOnce) {
            true => TaskSpec { delivery: Delivery::AtLeastOnce, ..spec },
            false => spec,
        }
    }

    /// Decides, folds, hands in, and does what the new state asks for.
    fn decide(&mut self, ctx: &mut Context<Self>, command: &TaskCommand) -> Result<(), Rejection> {
        let (now, jitter) = (self.context.journal.now(), self.context.random("retry"));
        let decided = caught(
            || Decides::TaskRun(self.id),
            || task_run::decide(&self.state, &self.spec(), command, jitter, now),
        );
        let events = match decided {
            Ok(decided) => decided?,
            Err(panic) => {
                self.scope.quarantine(format!(
                    "the decision about {command:?} of {} failed: {panic}",
                    self.label()
                ));
                task_run::decide(&self.state, &self.spec(), command, jitter, now)?
            }
        };
        if events.is_empty() {
            self.follow(ctx);
            return Ok(());
        }
        let before = self.state.clone();
        for event in &events {
            if let Event::AttemptDispatched { ready_at, .. } = event {
                let waited = now.since(*ready_at).as_duration();
                self.context.meter.dispatch.add(waited);
                if self.state.attempts == 0 {
                    let waits = self.context.waits_of(&self.scope.task(self.id.key).group);
                    waits.dependency.add(ready_at.since(self.id.run.made_at()).as_duration());
                    waits.capacity.add(waited);
                }
            }
            self.state.apply(event, now);
        }
        self.hand_in(ctx, &before, events);
        Ok(())
    }

    fn hand_in(&mut self, ctx: &mut Context<Self>, before: &TaskState, events: Vec<Event>) {
        let mut writes =
            vec![Write::Put { key: row::key::task_run(self.id), value: row::encode_task(&self.state) }];
        if let (Some(last), true) = (&before.last, self.state.attempts > before.attempts) {
            // The row has room for one attempt: the one before moves to a row of its own.
            let key = row::key::attempt(AttemptId { task_run: self.id, attempt: last.number });
            writes.push(Write::Put { key, value: row::encode_attempt(last) });
        }
        if before.last.is_none() && before.attempts > 0 {
            writes.extend(self.context.keep_attempt(self.id));
        }
        writes.extend(self.leave_limits(&events));
        let effects = self.effects(ctx, before, &events);
        self.note_holds(before, &events);
        self.note_wait(before);
        let outcome = events.iter().find_map(|event| match event {
            Event::TaskEnded { outcome, .. } => Some(outcome.clone()),
            _ => None,
        });
        let untold = self.context.mutant.is(Mutant::TellsNoLoss);
        let told = events.into_iter().filter(|event| !(untold && matches!(event, Event::AttemptLost { .. })));
        self.context.hand_in(writes, told.map(|event| (self.id.run, event)).collect(), effects);
        match outcome {
            Some(outcome) => self.end(ctx, outcome),
            None => self.follow(ctx),
        }
    }

    /// Does what the state asks for: an offer, or a timer.
    fn follow(&mut self, ctx: &mut Context<Self>) {
        if let Some(timer) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let now = self.context.journal.time();
        let wait = self.waits(now);
        if wait.is_some() || !self.context.mutant.is(Mutant::TellsOldReasons) {
            self.context.board.waits(self.id, wait);
        }
        if self.state.waits() {
            self.context.board.passed(self.id);
        }
        match &self.state.phase {
            TaskPhase::Ready { since: at } => self.offer_when_held(*at),
            TaskPhase::Backoff { until } if *until <= now => self.offer_when_held(*until),
            TaskPhase::Backoff { .. } | TaskPhase::Dispatched(_) => {
                let Some(at) = self.state.wake_at(&self.spec()) else { return };
                // Rounded up to the timer's grain, so that it does not come a moment too early.
                let wait = at.since(now).as_duration() + Duration::from_millis(1);
                self.timer = Some(ctx.run_later(wait.min(TIMER_MAX), |actor, ctx| actor.on_timer(ctx)));
            }
            TaskPhase::Stopping { .. } => {
                self.timer = Some(ctx.run_later(DOUBT, |actor, ctx| actor.on_timer(ctx)));
            }
            TaskPhase::Ended { .. } => {}
        }
    }

    /// Why it is not offered yet.
    fn waits(&self, now: hortator_core::time::Timestamp) -> Option<Reason> {
        let (TaskPhase::Backoff { until }, Some(last)) = (&self.state.phase, &self.state.last) else {
            return None;
        };
        let time = Some(*until).filter(|until| *until > now)?;
        let max = self.spec().retry.max;
        Some(match last.fate.is_failed_try() {
            true => Reason::Backoff {
                attempt: self.state.tries + 1,
                attempts_max: max + 1,
                time,
                last_error: last.fate.to_string(),
            },
            false => Reason::WorkersLost {
                losses: self.state.losses,
                losses_max: self.losses_max,
                time,
                worker: last.worker.name.clone(),
            },
        })
    }

    fn offer_when_held(&mut self, since: hortator_core::time::Timestamp) {
        if !self.holds_all_limits(since) {
            return;
        }
        let expected = self.scope.expected(self.id.key);
        self.context
            .offer(Offer { task_run: self.id, shape: self.shape.clone(), rank: self.rank, since }, expected);
    }

    fn on_timer(&mut self, ctx: &mut Context<Self>) {
        self.timer = None;
        if !self.attends(ctx) {
            return;
        }
        let command = match &self.state.phase {
            TaskPhase::Dispatched(attempt) => TaskCommand::TimeoutElapsed { attempt: attempt.number },
            TaskPhase::Backoff { .. } => TaskCommand::BackoffElapsed,
            TaskPhase::Stopping { .. } => {
                self.say_again();
                return self.follow(ctx);
            }
            TaskPhase::Ready { .. } | TaskPhase::Ended { .. } => return,
        };
        if let Err(rejection) = self.decide(ctx, &command) {
            debug!(self.context.log, "timer came to nothing"; "task_run" => %self.label(), "why" => %rejection);
            self.follow(ctx);
        }
    }

    /// The task run is over: the run hears of it, and this actor goes.
    fn end(&mut self, ctx: &mut Context<Self>, outcome: TaskOutcome) {
        always!(self.state.attempt().is_none(), "task: what is over has no attempt under way");
        let word = outcome.result().word();
        let last = self.state.last.as_ref();
        let worker = last.map(|last| last.worker.name.to_string());
        sometimes!(self.state.losses >= self.losses_max, "task: given up after losses in a row");
        let attempts = self.state.attempts;
        info!(self.context.log, "task run ended"; "run" => %self.id.run, "task" => %self.scope.task(self.id.key).id,
            "item" => self.id.key.item, "state" => word, "attempts" => attempts, "worker" => worker);
        self.context.tasks.borrow_mut().remove(&self.id);
        self.context.board.take_place(self.id);
        self.context.board.waits(self.id, None);
        self.context.board.passed(self.id);
        self.scope.task_ended(self.id.key, outcome);
        ctx.stop();
    }

    fn label(&self) -> String {
        format!("{}/{}[{}]", self.id.run, self.scope.task(self.id.key).id, self.id.key.item)
    }

    /// With every message, before it is handled: false, and the end of this actor, when its epoch is over. Otherwise it
    /// looks at what it depends on, since the notices of that may have been refused by a full mailbox.
    fn attends(&mut self, ctx: &mut Context<Self>) -> bool {
        if !self.context.journal.is_open() {
            ctx.stop();
            return false;
        }
        if let Some(place) = self.context.board.take_place(self.id) {
            self.on_place(ctx, place);
        }
        if self.context.limits.has_news(self.id) {
            self.follow(ctx);
        }
        if self.seen != (self.scope.stance(), self.context.tables_seen()) {
            self.on_look(ctx, Look::AtStance);
            self.on_look(ctx, Look::AtWorkers);
        }
        true
    }

    fn on_grant(&mut self, ctx: &mut Context<Self>, grant: &Grant) {
        // One that was on its way when an earlier attempt began finds no limits held for the next.
        if usize::from(grant.request) >= self.shape.requests.len() || self.wants.next().is_some() {
            self.context.book.borrow_mut().refuse_grant(self.id, grant.number, GrantFailed::AtShard);
            return self.context.arrange_flush();
        }
        if !self.context.workers().takes(&grant.worker) {
            self.context.book.borrow_mut().refuse_grant(self.id, grant.number, GrantFailed::AtWorker);
            self.context.arrange_flush();
            return;
        }
        sometimes!(self.waited(LONG_WAIT), "task: a grant came after a second");
        let share = Share { request: grant.request, devices: grant.devices.clone() };
        if let Err(rejection) = self.decide(ctx, &TaskCommand::Grant { worker: grant.worker.clone(), share })
        {
            sometimes!("task: a grant is not used");
            Meter::add(&self.context.meter.rejections, 1);
            debug!(self.context.log, "grant not used"; "task_run" => %self.label(), "why" => %rejection);
        }
    }

    fn waited(&self, span: Span) -> bool {
        let TaskPhase::Ready { since } = self.state.phase else { return false };
        self.context.journal.time().since(since) >= span
    }

    /// The word about the attempt that is under way, whichever it was about; only a mutant makes it so.
    fn about_this_attempt(&self, report: Report) -> Report {
        let present = self.state.attempt().map(|attempt| (attempt.number, attempt.fence));
        let Some((number, FenceAt::Known(fence))) = present else { return report };
        Report { attempt: self.attempt_id(number), fence, ..report }
    }

    fn on_word(&mut self, ctx: &mut Context<Self>, report: Report) {
        let report = match self.context.mutant.is(Mutant::AppliesAnyReport) {
            true => self.about_this_attempt(report),
            false => report,
        };
        let Report { attempt: AttemptId { attempt, .. }, fence, .. } = report;
        let command = match &report.word {
            Word::Ended(end) => {
                let cancelled =
                    matches!(self.state.phase, TaskPhase::Stopping { cause: StopCause::Cancelled, .. });
                let succeeded = matches!(end.result, AttemptResult::Succeeded { .. });
                sometimes!(cancelled && succeeded, "task: a success comes while it is to be cancelled");
                TaskCommand::Report { attempt, fence, end: end.clone() }
            }
            Word::Refused { why } => TaskCommand::Refused { attempt, fence, why: why.clone() },
        };
        match self.decide(ctx, &command) {
            Ok(()) => {}
            // The commit that places it is on its way to this mailbox.
            Err(Rejection::FencePending) if self.early.len() < EARLY_MAX => self.early.push(report),
            Err(Rejection::FencePending) => {}
            Err(rejection) => {
                sometimes!("task: a report of another attempt is only recorded");
                Meter::add(&self.context.meter.rejections, 1);
                info!(self.context.log, "report of another attempt recorded"; "task_run" => %self.label(),
                    "attempt" => attempt, "fence" => %fence, "why" => %rejection);
                let worker = report.worker.name.clone();
                let effect = Effect::Acknowledge { worker, attempt: report.attempt, fence };
                self.context.hand_in(Vec::new(), Vec::new(), vec![effect]);
            }
        }
    }

    fn on_place(&mut self, ctx: &mut Context<Self>, Place { attempt, fence }: Place) {
        if self.state.attempt().is_none_or(|present| present.number != attempt) {
            return;
        }
        self.state.resolve_fence(fence);
        for report in std::mem::take(&mut self.early) {
            self.on_word(ctx, report);
        }
        // What was asked while the place was unknown is asked again.
        self.on_look(ctx, Look::AtStance);
        self.on_look(ctx, Look::AtWorkers);
    }

    fn on_look(&mut self, ctx: &mut Context<Self>, look: Look) {
        let command = match look {
            Look::AtStance => {
                self.seen.0 = self.scope.stance();
                match self.seen.0 {
                    task_run::Stance::Going => return,
                    task_run::Stance::Stopping => TaskCommand::Stop,
                    task_run::Stance::Cancelling | task_run::Stance::Quarantined => TaskCommand::Cancel,
                }
            }
            Look::AtWorkers => {
                self.seen.1 = self.context.tables_seen();
                match self.loss() {
                    Some(command) => command,
                    None => return,
                }
            }
            // Whatever came to this mailbox has made it look already.
            Look::AtLimits => return,
            Look::AtWorkerAgain { held: false } if self.context.mutant.is(Mutant::TakesAbsenceForAnEnd) => {
                let Some(attempt) = self.state.attempt() else { return };
                let WorkerRef { name, incarnation } = attempt.worker.clone();
                TaskCommand::WorkerLost { name, through: incarnation }
            }
            Look::AtWorkerAgain { held: true } if self.state.effect() == Outstanding::Run => return,
            Look::AtWorkerAgain { .. } => return self.say_again(),
        };
        match self.decide(ctx, &command) {
            Ok(()) | Err(_) => {}
        }
    }

    /// The committed loss of this attempt's worker, unless the attempt's end lies in the worker's spool.
    fn loss(&self) -> Option<TaskCommand> {
        let attempt = self.state.attempt()?;
        let FenceAt::Known(fence) = attempt.fence else { return None };
        let WorkerRef { name, incarnation } = &attempt.worker;
        let table = self.context.workers();
        let lost = table.is_lost(name, *incarnation, self.attempt_id(attempt.number), fence);
        lost.then(|| TaskCommand::WorkerLost { name: name.clone(), through: *incarnation })
    }
}

/// No simulated minute has time for `LOSSES_MAX` losses in a row.
fn losses_max() -> u32 {
    match buggify!("task: two losses in a row are too many", 200_000) {
        true => 2,
        false => task_run::LOSSES_MAX,
    }
}

impl std::fmt::Debug for TaskActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TaskActor({:?})", self.id)
    }
}

impl Actor for TaskActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        if self.state.attempt().is_some() {
            self.say_again();
            self.on_look(ctx, Look::AtWorkers);
        }
        if self.context.tasks.borrow().contains_key(&self.id) {
            self.follow(ctx);
        }
    }
}

impl Handler<Granted> for TaskActor {
    type Result = ();

    fn handle(&mut self, Granted(grant): Granted, ctx: &mut Context<Self>) {
        if self.attends(ctx) {
            self.on_grant(ctx, &grant);
        }
    }
}

impl Handler<WorkerSaid> for TaskActor {
    type Result = ();

    fn handle(&mut self, WorkerSaid(report): WorkerSaid, ctx: &mut Context<Self>) {
        if self.attends(ctx) {
            self.on_word(ctx, report);
        }
    }
}

impl Handler<Placed> for TaskActor {
    type Result = ();

    fn handle(&mut self, Placed(place): Placed, ctx: &mut Context<Self>) {
        if self.attends(ctx) {
            self.on_place(ctx, place);
        }
    }
}

impl Handler<Look> for TaskActor {
    type Result = ();

    fn handle(&mut self, look: Look, ctx: &mut Context<Self>) {
        if self.attends(ctx) {
            self.on_look(ctx, look);
        }
    }
}
