//! One limit at its home's leader: who holds it and who waits. A thin shell around its decider; what it decides is in the
//! home's rows, where the task runs' shards look. It must not know task runs beyond their wants.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use hortator_core::id::{LimitName, TaskRunId};
use hortator_core::limit::{HomeEvent, HomeState, LimitRecord, MAX_MOST, Seen};
use hortator_proto::api::{Problem, ProblemKind, Response};
use hortator_proto::row::{self, key::Key};
use hortator_raft::{ReadError, Write, sometimes};
use slog::{error, info};

use crate::caught::{self, Decides, caught};
use crate::context::{self, Context};
use crate::gateway::ReplyTo;
use crate::mailbox::Mailbox;
use crate::mutant::Mutant;
use crate::observe::ActorName;
use crate::shard::context::ShardContext;
use crate::shard::effect::{Answer, Effect};
use crate::shard::limits::{LimitUse, each};

/// Wishes to look, all alike, and operators' changes.
const MAILBOX: usize = 64;
/// Holds given in one turn; with a higher maximum there may be thousands, and others want their turns as well.
const PAGE: usize = 500;
/// Limits of one shard: each in use has an actor, which stays until the epoch ends.
const LIMITS_KEPT_MAX: usize = 10_000;
/// Before a shard that cannot take more is tried again.
const UNDER_PRESSURE: Duration = Duration::from_millis(20);

/// Wants have changed: whose, lies at the shard's desk.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct LookAtWants;

/// So much of it may be in use from now on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetLimit {
    pub max: u32,
    pub by: String,
    pub reply: ReplyTo,
}

/// There is to be no such limit.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DeleteLimit {
    pub by: String,
    pub reply: ReplyTo,
}

/// See the module.
pub struct LimitActor {
    context: Rc<ShardContext>,
    name: LimitName,
    state: HomeState,
    standing: Standing,
}

#[derive(Debug)]
enum Standing {
    Works,
    /// Its decider panicked: what is held stays held and nothing more is given, until another epoch begins from rows.
    Quarantined {
        cause: String,
    },
}

impl LimitActor {
    /// The limit's actor, from its rows when it has not been in use in this epoch.
    pub fn of(context: &Rc<ShardContext>, name: &LimitName) -> Result<Mailbox<LimitActor>, ReadError> {
        if let Some(actor) = context.limits.actor(name) {
            return Ok(actor);
        }
        let state = restore(context, name)?;
        let actor =
            LimitActor { context: context.clone(), name: name.clone(), state, standing: Standing::Works };
        let mailbox = context::start(&context.meter, ActorName::Text(format!("limit {name}").into()), actor);
        context.limits.set_actor(name, mailbox.clone());
        Ok(mailbox)
    }

    /// With every message, before it is handled: false, and the end of this actor, when its epoch is over. Otherwise it
    /// looks at the wants, since notices may have been refused.
    fn attends(&mut self, ctx: &mut Context<Self>) -> bool {
        if !self.context.journal.is_open() {
            ctx.stop();
            return false;
        }
        if self.context.journal.under_pressure() {
            ctx.run_later(UNDER_PRESSURE, |actor, ctx| _ = actor.attends(ctx));
        } else {
            self.look();
            self.grant(ctx);
        }
        true
    }

    /// Compares with the rows of the task runs' shards.
    fn look(&mut self) {
        let unseen = self.context.limits.take_unseen(&self.name);
        let mut task_runs = unseen.task_runs;
        task_runs.extend(self.state.known().filter(|task_run| unseen.shards.contains(&task_run.run.shard())));
        let mut writes = Vec::new();
        let mut views = BTreeMap::new();
        for task_run in task_runs {
            let shard = task_run.run.shard();
            let view = views.entry(shard).or_insert_with(|| self.context.limits.view(shard));
            let Some(seen) = view.as_ref().and_then(|view| self.seen(view, task_run)) else { continue };
            let Some(decided) = self.decided(|state| state.look(task_run, seen)) else { break };
            writes.extend(decided.map(|event| self.fold(&event)));
        }
        if !writes.is_empty() {
            self.context.hand_in(writes, Vec::new(), Vec::new());
        }
    }

    fn seen(&self, view: &hortator_raft::RowsView, task_run: TaskRunId) -> Option<Seen> {
        let stored = view.get(&row::key::want(&self.name, task_run)).ok()?;
        let want = match stored {
            Some(stored) => Some((stored.written.index, row::decode_want(&stored.value).ok()?)),
            None => None,
        };
        let applied = match self.context.mutant.is(Mutant::EndsHoldsByAbsence) {
            true => u64::MAX,
            false => view.applied().ok()?.index,
        };
        Some(Seen { applied, want })
    }

    /// Gives what there is now, and says what is in use then: the last word of every look and every change.
    fn grant(&mut self, ctx: &mut Context<Self>) {
        let now = self.context.journal.now();
        let Some(grants) = self.decided(|state| state.grants(PAGE, now)) else { return };
        if !grants.is_empty() {
            sometimes!("limit: a hold is given");
            let more = grants.len() == PAGE;
            let writes = grants.iter().map(|event| self.fold(event)).collect();
            self.context.hand_in(writes, Vec::new(), Vec::new());
            if more {
                ctx.notify(LookAtWants);
            }
        }
        let in_use = LimitUse { used: self.state.used(), waiting: self.state.waiting() };
        self.context.limits.set_use(&self.name, in_use);
    }

    /// What the decider says; none in quarantine.
    fn decided<T>(&mut self, decide: impl FnOnce(&mut HomeState) -> T) -> Option<T> {
        if let Standing::Quarantined { .. } = &self.standing {
            return None;
        }
        match caught(|| Decides::Limit(self.name.clone()), || decide(&mut self.state)) {
            Ok(decided) => Some(decided),
            Err(cause) => {
                error!(self.context.log, "limit quarantined"; "limit" => %self.name, "code" => caught::CODE,
                    "cause" => &cause);
                self.standing = Standing::Quarantined { cause };
                None
            }
        }
    }

    /// Whether commands are refused for it.
    fn refuses(&self) -> Option<Problem> {
        match &self.standing {
            Standing::Works => None,
            Standing::Quarantined { cause } => {
                let detail =
                    format!("limit {} is quarantined: a decision about it failed: {cause}", self.name);
                Some(Problem::new(ProblemKind::Internal, caught::CODE, detail))
            }
        }
    }

    fn fold(&mut self, event: &HomeEvent) -> Write {
        self.state.apply(event);
        match event {
            HomeEvent::Held { task_run, hold } => {
                Write::Put { key: row::key::hold(&self.name, *task_run), value: row::encode_hold(hold) }
            }
            HomeEvent::Ended { task_run } => Write::Delete { key: row::key::hold(&self.name, *task_run) },
        }
    }

    fn set(&mut self, ctx: &mut Context<Self>, SetLimit { max, by, reply }: SetLimit) {
        if max > MAX_MOST {
            let detail = format!("limit {} cannot be {max}: the most is {MAX_MOST}", self.name);
            return refuse(reply, Problem::new(ProblemKind::Invalid, "H3110", detail));
        }
        if self.state.max().is_none() && self.are_enough() {
            let detail =
                format!("there is no room for limit {}: its shard keeps {LIMITS_KEPT_MAX}", self.name);
            return refuse(reply, Problem::new(ProblemKind::Conflict, "H3110", detail));
        }
        info!(self.context.log, "limit set"; "limit" => %self.name, "max" => max, "by" => &by);
        self.state.set_max(Some(max));
        let record = LimitRecord { max, by, set_at: self.context.journal.now() };
        let write = Write::Put { key: row::key::limit(&self.name), value: row::encode_limit(&record) };
        self.answer(vec![write], reply);
        self.grant(ctx);
    }

    fn are_enough(&self) -> bool {
        let kept = self.context.rows.scan_prefix(&row::key::limits(), LIMITS_KEPT_MAX);
        kept.is_ok_and(|kept| kept.len() == LIMITS_KEPT_MAX)
    }

    fn delete(&mut self, DeleteLimit { by, reply }: DeleteLimit) {
        if self.state.max().is_none() {
            return refuse(reply, no_such_limit(&self.name));
        }
        info!(self.context.log, "limit deleted"; "limit" => %self.name, "by" => by);
        self.state.set_max(None);
        self.answer(vec![Write::Delete { key: row::key::limit(&self.name) }], reply);
    }

    fn answer(&self, writes: Vec<Write>, to: ReplyTo) {
        let answer = Answer::Complete(Response::Changed { name: self.name.to_string(), changed: true });
        self.context.hand_in(writes, Vec::new(), vec![Effect::Reply { to, answer }]);
    }
}

/// Who holds it and how much there may be; who waits is found in the other shards' rows.
fn restore(context: &ShardContext, name: &LimitName) -> Result<HomeState, ReadError> {
    let stored = context.rows.get(&row::key::limit(name))?;
    let max = stored.and_then(|stored| Some(row::decode_limit(&stored.value).ok()?.max));
    let mut holders = BTreeMap::new();
    each(&context.rows, &row::key::holds_of(name), |key, stored| {
        match (row::key::parse(key), row::decode_hold(&stored.value)) {
            (Some(Key::Hold { task_run, .. }), Ok(hold)) => drop(holders.insert(task_run, hold)),
            (_, hold) => {
                error!(context.log, "row of a hold cannot be read"; "limit" => %name, "hold" => ?hold)
            }
        }
    })?;
    Ok(HomeState::new(max, holders))
}

pub(crate) fn no_such_limit(name: &LimitName) -> Problem {
    let detail = format!("limit {name} does not exist");
    Problem::new(ProblemKind::NotFound, "H3111", detail).hint("hortator limit list")
}

fn refuse(reply: ReplyTo, problem: Problem) {
    reply.send(Response::Problem(problem));
}

impl std::fmt::Debug for LimitActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LimitActor({})", self.name)
    }
}

impl Actor for LimitActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<LookAtWants> for LimitActor {
    type Result = ();

    fn handle(&mut self, _: LookAtWants, ctx: &mut Context<Self>) {
        self.attends(ctx);
    }
}

impl Handler<SetLimit> for LimitActor {
    type Result = ();

    fn handle(&mut self, message: SetLimit, ctx: &mut Context<Self>) {
        match self.attends(ctx).then(|| self.refuses()) {
            Some(None) => self.set(ctx, message),
            Some(Some(problem)) => refuse(message.reply, problem),
            // Dropped without an answer, as all of an epoch that is over.
            None => {}
        }
    }
}

impl Handler<DeleteLimit> for LimitActor {
    type Result = ();

    fn handle(&mut self, message: DeleteLimit, ctx: &mut Context<Self>) {
        match self.attends(ctx).then(|| self.refuses()) {
            Some(None) => self.delete(message),
            Some(Some(problem)) => refuse(message.reply, problem),
            None => {}
        }
    }
}
