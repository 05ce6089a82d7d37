//! One live run: a thin shell around its decider. It folds the ends of its task runs, starts the actors of those whose
//! turn has come, and ends the run. It must not know attempts, workers or placement.

mod again;
mod ending;
mod eta;
mod quarantine;

use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use hortator_core::definition::Definition;
use hortator_core::dispatch::Rank;
use hortator_core::event::Event;
use hortator_core::id::{RunId, TaskKey, TaskRunId};
use hortator_core::run::{Activation, RunCommand, RunHeader, RunRejection, RunState};
use hortator_core::task_run::{Stance, TaskState};
use hortator_core::time::Timestamp;
use hortator_core::workflow::Displaced;
use hortator_proto::api::{ExplainView, Problem, ProblemKind, Response, RunView, TaskSelector};
use hortator_proto::row;
use hortator_raft::Write;
use slog::{error, info};

use crate::caught::{Decides, caught};
use crate::conditions::{RunConditions, mix_up, remember_ended};
use crate::context::{self, Context};
use crate::gateway::{ReplyTo, no_leader};
use crate::mailbox::Mailbox;
use crate::mutant::Mutant;
use crate::observe::ActorName;
use crate::query::view;
use crate::scope::RunScope;
use crate::shard::board::Wish;
use crate::shard::context::ShardContext;
use crate::shard::effect::{Answer, Effect};
use crate::shard::turns::Turn;
use crate::task::{Look, TaskActor};
use crate::waiting;

use again::Past;
pub use again::{RetryFailed, retry_from_rows};
pub use ending::{Retire, RetireIfOver};
pub use quarantine::DecisionFailed;

/// Wishes of people and of the workflow; ends of task runs wait in the scope, not here.
const MAILBOX: usize = 256;
/// Task runs written down or started per turn: some milliseconds of work, then others have theirs.
const PAGE: usize = 1_000;

/// Ends of task runs lie in the scope.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct TasksEnded;

/// Task runs that were refused an actor for want of room may ask again.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct RoomMade;

/// The workflow wants something of the run: what, the board says.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Wished;

/// Somebody wants the run to end.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CancelRun {
    pub by: String,
    pub reason: Option<String>,
    pub reply: Option<ReplyTo>,
}

/// Somebody looks at the run.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ViewRun(pub ReplyTo);

/// Somebody asks why the run, or a task of it, does not run.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ExplainRun {
    pub task: Option<TaskSelector>,
    pub reply: ReplyTo,
}

/// More is to be done than one turn takes.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
struct GoOn;

/// See the module.
pub struct RunActor {
    context: Rc<ShardContext>,
    scope: Rc<RunScope>,
    state: RunState,
    /// Task runs that got an actor so far: each one's place in the order of activation.
    activations: u64,
    /// Of the whole run, items included.
    task_runs: u32,
    /// What the shard knows of it.
    turn: Turn,
    going_on: bool,
    past: Past,
}

impl RunActor {
    /// The actor of a run that was just created.
    pub fn start_new(context: &Rc<ShardContext>, header: RunHeader, definition: Arc<Definition>) {
        let state = RunState::new(header, definition);
        RunActor::start_with(context, state, Vec::new());
    }

    /// The actor of a run that rows describe; `active` are its task runs with an attempt or a back-off.
    pub fn start_with(
        context: &Rc<ShardContext>,
        mut state: RunState,
        active: Vec<TaskState>,
    ) -> Mailbox<RunActor> {
        let scope = Rc::new(RunScope::new(&state));
        let run = scope.run;
        scope.set_stance(state.header().stance());
        remember_ended(&scope, &state);
        if context.mutant.is(Mutant::MixesOutputsUp) {
            mix_up(&scope, &state);
        }
        scope.foresee(context.learned.of(&scope.definition));
        state.foresee(scope.paths());
        let past = if state.header().is_live() { Past::Stale } else { Past::Known };
        let mut actor = RunActor {
            context: context.clone(),
            scope: scope.clone(),
            state,
            activations: 0,
            task_runs: scope.definition.tasks.iter().map(hortator_core::definition::Task::items).sum(),
            turn: Turn::Over,
            going_on: false,
            past,
        };
        actor.note_turn();
        for task in active {
            if task.waits() {
                scope.enter_window(task.key);
            }
            actor.start_task(task);
        }
        let mailbox = context::start(&context.meter, ActorName::Run(run), actor);
        scope.set_actor(mailbox.clone());
        context.runs.borrow_mut().insert(run, mailbox.clone());
        mailbox
    }

    fn run(&self) -> RunId {
        self.scope.run
    }

    /// With every message, before it is handled: false, and the end of this actor, when its epoch is over. Otherwise it
    /// looks at what lies ready for it, since the notices of that may have been refused.
    fn attends(&mut self, ctx: &mut Context<Self>) -> bool {
        if !self.context.journal.is_open() {
            ctx.stop();
            return false;
        }
        let (failure, wish) = (self.scope.take_failure(), self.context.board.take_wish(self.run()));
        if let Some(reason) = failure {
            self.quarantine(reason);
            self.advance(ctx);
        }
        match wish {
            Some(Wish::Begin) => self.begin(ctx),
            Some(Wish::GiveWay(why)) => {
                let (by, rule) = match why {
                    Displaced::ByConcurrency => ("concurrency", "when_full: cancel_oldest"),
                    Displaced::BySchedule => ("schedule", "overlap: cancel_oldest"),
                };
                let reason = Some(format!("a newer run took its place ({rule})"));
                self.cancel(ctx, CancelRun { by: by.into(), reason, reply: None });
            }
            None => {}
        }
        if self.scope.has_ended() || self.scope.take_room() {
            self.advance(ctx);
        }
        true
    }

    fn begin(&mut self, ctx: &mut Context<Self>) {
        if self.decide(&RunCommand::Start).is_ok() {
            info!(self.context.log, "run started"; "run" => %self.run());
            self.scope.set_stance(self.state.header().stance());
            self.advance(ctx);
        }
    }

    fn note_turn(&mut self) {
        let header = self.state.header();
        let turn = Turn::of(header);
        self.context.turns.changed(&header.workflow, header.id, self.turn, turn);
        self.turn = turn;
    }

    /// One that waits for a worker is in the window already.
    fn start_task(&mut self, state: TaskState) {
        let key = state.key;
        self.activations += 1;
        let header = self.state.header();
        let rank = Rank {
            run_priority: header.priority,
            run_created: header.created_at,
            task_priority: self.scope.task(key).priority,
            remaining: self.scope.remaining(key.task),
            activation: self.activations,
        };
        let shape = self.scope.shape(key.task);
        TaskActor::start_in_epoch(self.context.clone(), self.scope.clone(), state, rank, shape);
    }

    /// Decides and folds one command; rows and events of the run itself go to the Journal.
    fn decide(&mut self, command: &RunCommand) -> Result<Vec<Event>, RunRejection> {
        let now = self.context.journal.now();
        let events = self.decided(command, now)?;
        let mut writes = Vec::new();
        for event in &events {
            self.state.apply(event, now);
            if let Event::TaskEnded { key, outcome } = event {
                self.scope.remember(*key, outcome);
                let id = TaskRunId { run: self.run(), key: *key };
                let (round, attempts) = (self.state.header().round, self.attempts_before(id));
                if attempts > 0 {
                    writes.extend(self.context.keep_attempt(id));
                }
                writes.extend(self.context.limits.leave(id));
                let state = TaskState::ended(*key, round, attempts, outcome.clone(), now);
                writes.push(Write::Put { key: row::key::task_run(id), value: row::encode_task(&state) });
            }
        }
        if events.iter().any(|event| event.task_key().is_none()) {
            let value = row::encode_run(self.state.header());
            writes.push(Write::Put { key: row::key::run(self.run()), value });
        }
        let (run, mut effects) = (self.run(), Vec::new());
        let ending = self.ending(&events);
        let is_over = ending.is_some();
        if let Some((more, effect)) = ending {
            writes.extend(more);
            effects.push(effect);
        }
        self.context.hand_in(writes, events.iter().map(|event| (run, event.clone())).collect(), effects);
        self.note_turn();
        if is_over {
            self.leave_workflow();
        }
        Ok(events)
    }

    /// The number of a task run's newest attempt in earlier rounds: it has no actor, so its row is the last word.
    fn attempts_before(&self, task_run: TaskRunId) -> u16 {
        if self.state.header().round == 0 {
            return 0;
        }
        let row = self.context.rows.get(&row::key::task_run(task_run)).ok().flatten();
        row.and_then(|stored| row::decode_task(&stored.value).ok()).map_or(0, |task| task.attempts)
    }

    /// Folds what ended, then does what follows: skips, starts, the end. One page per turn.
    fn advance(&mut self, ctx: &mut Context<Self>) {
        let now = self.context.journal.now();
        for (key, outcome) in self.scope.take_ended() {
            self.scope.remember(key, &outcome);
            let command = RunCommand::TaskEnded { key, outcome: outcome.clone() };
            let folded = Event::TaskEnded { key, outcome };
            match self.decided(&command, now) {
                Ok(events) => {
                    self.state.apply(&folded, now);
                    self.on_own_events(&events, now);
                    if self.context.mutant.is(Mutant::StartsChildrenEarly) {
                        self.end_other_items(&folded, now);
                    }
                }
                Err(rejection) => {
                    error!(self.context.log, "end of a task run that the run does not know"; "run" => %self.run(),
                        "task" => key.task, "item" => key.item, "why" => %rejection);
                }
            }
        }
        let judged = self.judge();
        let written = self.decide(&RunCommand::Advance { limit: PAGE }).unwrap_or_default();
        let started = self.start_ready();
        if (judged >= PAGE || !written.is_empty() || started >= PAGE) && !self.going_on {
            self.going_on = true;
            ctx.notify(GoOn);
        }
        waiting::run_changed(&self.context, &self.state, &self.scope);
    }

    /// Takes the end of one item for that of all; only a mutant does.
    fn end_other_items(&mut self, folded: &Event, now: Timestamp) {
        let Event::TaskEnded { key, outcome } = folded else { return };
        for item in 0..self.scope.task(*key).items() {
            let (key, outcome) = (TaskKey { item, ..*key }, outcome.clone());
            if self.decided(&RunCommand::TaskEnded { key, outcome: outcome.clone() }, now).is_ok() {
                self.scope.remember(key, &outcome);
                self.state.apply(&Event::TaskEnded { key, outcome }, now);
            }
        }
    }

    /// The run's own events that follow from a task run's end.
    fn on_own_events(&mut self, events: &[Event], now: Timestamp) {
        if events.is_empty() {
            return;
        }
        for event in events {
            self.state.apply(event, now);
        }
        let run = self.run();
        let write = Write::Put { key: row::key::run(run), value: row::encode_run(self.state.header()) };
        let events = events.iter().map(|event| (run, event.clone())).collect();
        self.context.hand_in(vec![write], events, Vec::new());
        self.tell_stance();
    }

    /// Looks at tasks whose parents have all ended: conditions, and whether their templates have values.
    fn judge(&mut self) -> usize {
        let mut conditions = RunConditions { engine: &self.context.engine, scope: &self.scope };
        let (run, state) = (self.scope.run, &mut self.state);
        let judged = caught(|| Decides::Run(run), || state.judge(PAGE, &mut conditions));
        judged.unwrap_or_else(|panic| {
            self.quarantine(format!("the look at what may run next failed: {panic}"));
            0
        })
    }

    fn start_ready(&mut self) -> usize {
        let scope = &self.scope;
        let ready = self.state.take_ready(PAGE, &mut |task| scope.admit(task));
        let started = ready.len();
        for Activation { key, round, attempts, since } in ready {
            self.start_task(TaskState::ready(key, round, attempts, since));
        }
        started
    }

    fn tell_stance(&mut self) {
        let stance = self.state.header().stance();
        if stance == self.scope.stance() && stance != Stance::Quarantined {
            return;
        }
        self.scope.set_stance(stance);
        let tasks = self.context.tasks.borrow();
        let (first, last) = (TaskKey { task: 0, item: 0 }, TaskKey { task: u32::MAX, item: u32::MAX });
        let run = self.run();
        for (_, task) in tasks.range(TaskRunId { run, key: first }..=TaskRunId { run, key: last }) {
            // A full mailbox holds messages, and with each of them the task run looks at the stance.
            let _ = task.send(Look::AtStance);
        }
    }

    fn cancel(&mut self, ctx: &mut Context<Self>, message: CancelRun) {
        let CancelRun { by, reason, reply } = message;
        let run = self.run();
        let command = RunCommand::Cancel { by, reason };
        let accepted = |state: &str| Answer::Accepted { run, state: state.to_string() };
        let answer = match self.decide(&command) {
            Ok(_) => {
                self.tell_stance();
                accepted("cancelling")
            }
            Err(RunRejection::AlreadyCancelling) => accepted("cancelling"),
            Err(rejection) => {
                let word = self.state.header().word();
                let detail = format!("run {run} is {word} and cannot be cancelled: {rejection}");
                Answer::Complete(Response::Problem(Problem::new(ProblemKind::Conflict, "H3201", detail)))
            }
        };
        if let Some(to) = reply {
            self.context.hand_in(Vec::new(), Vec::new(), vec![Effect::Reply { to, answer }]);
        }
        self.advance(ctx);
    }

    fn view(&self) -> RunView {
        let reasons = crate::query::explain::run_reasons(&self.context, &self.state);
        let mut run_view = view::run(self.state.header(), &self.scope.definition);
        let ended = self.state.counts();
        run_view.counts = view::words(&ended);
        let active = self.state.active();
        let waiting = self.task_runs.saturating_sub(ended.total() + active);
        for (word, count) in [("active", active), ("waiting", waiting)] {
            if count > 0 {
                run_view.counts.insert(word.to_string(), count);
            }
        }
        run_view.eta = self.eta();
        run_view.reason = reasons.first().map(|reason| format!("{} [{}]", reason.text(), reason.code()));
        run_view
    }

    fn explain(&self, task: Option<&TaskSelector>) -> Result<ExplainView, Problem> {
        crate::query::explain::explain(&self.context, &self.state, &self.scope, task)
    }
}

impl std::fmt::Debug for RunActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RunActor({})", self.scope.run)
    }
}

impl Actor for RunActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.advance(ctx);
    }
}

impl Handler<TasksEnded> for RunActor {
    type Result = ();

    fn handle(&mut self, _: TasksEnded, ctx: &mut Context<Self>) {
        self.attends(ctx);
    }
}

impl Handler<RoomMade> for RunActor {
    type Result = ();

    fn handle(&mut self, _: RoomMade, ctx: &mut Context<Self>) {
        self.attends(ctx);
    }
}

impl Handler<GoOn> for RunActor {
    type Result = ();

    fn handle(&mut self, _: GoOn, ctx: &mut Context<Self>) {
        self.going_on = false;
        if self.attends(ctx) {
            self.advance(ctx);
        }
    }
}

impl Handler<Wished> for RunActor {
    type Result = ();

    fn handle(&mut self, _: Wished, ctx: &mut Context<Self>) {
        self.attends(ctx);
    }
}

impl Handler<CancelRun> for RunActor {
    type Result = ();

    fn handle(&mut self, message: CancelRun, ctx: &mut Context<Self>) {
        if self.attends(ctx) {
            self.cancel(ctx, message);
        } else if let Some(reply) = message.reply {
            reply.send(no_leader(self.context.shard));
        }
    }
}

impl Handler<ViewRun> for RunActor {
    type Result = ();

    /// What this actor knows is told once all of it is committed.
    fn handle(&mut self, ViewRun(to): ViewRun, ctx: &mut Context<Self>) {
        if !self.attends(ctx) {
            return to.send(no_leader(self.context.shard));
        }
        let mut view = self.view();
        view.position = self.context.seen();
        let answer = Answer::Complete(Response::Run(Box::new(view)));
        self.context.hand_in(Vec::new(), Vec::new(), vec![Effect::Reply { to, answer }]);
    }
}

impl Handler<ExplainRun> for RunActor {
    type Result = ();

    fn handle(&mut self, ExplainRun { task, reply }: ExplainRun, ctx: &mut Context<Self>) {
        if !self.attends(ctx) {
            return reply.send(no_leader(self.context.shard));
        }
        let answer = match self.explain(task.as_ref()) {
            Ok(view) => {
                let position = self.context.seen();
                let eta = self.eta();
                Answer::Complete(Response::Explain(ExplainView { position, eta, ..view }))
            }
            Err(problem) => Answer::Complete(Response::Problem(problem)),
        };
        self.context.hand_in(Vec::new(), Vec::new(), vec![Effect::Reply { to: reply, answer }]);
    }
}
