//! The shard's desk for clients: commands go to the actor that decides, reads of live runs to their actor, and all
//! other reads to the rows after a ReadIndex round.

use std::rc::Rc;

use hortator_core::id::{LimitName, RunId, WorkflowName};
use hortator_proto::api::{Command, Problem, ProblemKind, Query, Request, Response};

use super::Shard;
use super::context::ShardContext;
use super::effect::Effect;
use crate::gateway::{ReplyTo, no_leader};
use crate::limit::{DeleteLimit, LimitActor, SetLimit};
use crate::mailbox::Mailbox;
use crate::query::{self, ReadJob};
use crate::run::{CancelRun, ExplainRun, RetryFailed, RunActor, ViewRun, retry_from_rows};
use crate::workflow::{ApplyVersion, StartRun, SwitchSchedule, TriggerSchedule, WorkflowActor};

impl Shard {
    pub(super) fn on_request(&mut self, term: u64, request: Request, reply: ReplyTo) {
        let Some(context) = self.open() else { return reply.send(no_leader(self.parts.id)) };
        match request {
            Request::Command(_) if context.journal.term() != term => reply.send(no_leader(self.parts.id)),
            Request::Command(_) if context.journal.under_pressure() => {
                let detail = format!("shard {} has more to write than it may hold", self.parts.id);
                let problem = Problem::new(ProblemKind::Busy, "H1105", detail).hint("try again in a moment");
                reply.send(Response::Problem(problem));
            }
            Request::Command(
                Command::Apply { .. }
                | Command::Start { .. }
                | Command::ScheduleTrigger { .. }
                | Command::RetryFailed { .. },
            ) if self.disk_low => {
                let detail = format!(
                    "the disk under shard {} is nearly full; reads and running tasks go on",
                    self.parts.id
                );
                let problem = Problem::new(ProblemKind::Busy, "H4101", detail);
                reply
                    .send(Response::Problem(problem.hint("free some space under the data directory: df -h")));
            }
            Request::Command(command) => on_command(&context, command, reply),
            Request::Query(query) => on_query(&context, query, reply),
        }
    }
}

fn on_command(context: &Rc<ShardContext>, command: Command, reply: ReplyTo) {
    match command {
        Command::OrderWorker { .. }
        | Command::ChangeSettings { .. }
        | Command::SetGroup { .. }
        | Command::DeleteGroup { .. }
        | Command::SetQuota { .. }
        | Command::TokenCreate { .. }
        | Command::TokenRevoke { .. }
        | Command::JoinTokenCreate { .. }
        | Command::Redeem { .. }
        | Command::MasterRemove { .. }
        | Command::MasterMove { .. } => {
            let detail = "a shard was asked for what the membership group decides";
            reply.send(Response::Problem(Problem::new(ProblemKind::Internal, "H9005", detail)));
        }
        Command::Apply { name, source, canonical, hash, if_version, by } => {
            with_workflow(context, &name, reply, |workflow, reply| {
                let _ = workflow.send(ApplyVersion { source, canonical, hash, if_version, by, reply });
            });
        }
        Command::Start { workflow, version, inputs, priority, key, by } => {
            with_workflow(context, &workflow, reply, |workflow, reply| {
                let _ = workflow.send(StartRun { version, inputs, priority, key, by, reply });
            });
        }
        Command::ScheduleTrigger { workflow, schedule, key, by } => {
            with_workflow(context, &workflow, reply, |workflow, reply| {
                let _ = workflow.send(TriggerSchedule { schedule, key, by, reply });
            });
        }
        Command::ScheduleSwitch { workflow, schedule, to, by } => {
            with_workflow(context, &workflow, reply, |workflow, reply| {
                let _ = workflow.send(SwitchSchedule { schedule, to, by, reply });
            });
        }
        Command::SetLimit { name, max, by } => with_limit(context, &name, reply, |limit, reply| {
            let _ = limit.send(SetLimit { max, by, reply });
        }),
        Command::DeleteLimit { name, by } => with_limit(context, &name, reply, |limit, reply| {
            let _ = limit.send(DeleteLimit { by, reply });
        }),
        Command::Cancel { run, reason, by } => match live(context, run) {
            Some(actor) => drop(actor.send(CancelRun { by, reason, reply: Some(reply) })),
            None if context.deleted.borrow().contains(&run) => reply.send(deleted(run)),
            None => cancel_finished(context, run, reply),
        },
        Command::RetryFailed { run, by } => match live(context, run) {
            Some(actor) => drop(actor.send(RetryFailed { by, reply })),
            None if context.deleted.borrow().contains(&run) => reply.send(deleted(run)),
            None => retry_from_rows(context, run, RetryFailed { by, reply }),
        },
    }
}

fn with_workflow(
    context: &Rc<ShardContext>,
    name: &WorkflowName,
    reply: ReplyTo,
    send: impl FnOnce(&Mailbox<WorkflowActor>, ReplyTo),
) {
    match WorkflowActor::of(context, name) {
        Ok(workflow) => send(&workflow, reply),
        Err(error) => {
            let detail = format!("workflow {name} cannot be used: {error}");
            reply.send(Response::Problem(Problem::new(ProblemKind::Internal, "H9002", detail)));
        }
    }
}

fn with_limit(
    context: &Rc<ShardContext>,
    name: &LimitName,
    reply: ReplyTo,
    send: impl FnOnce(&Mailbox<LimitActor>, ReplyTo),
) {
    match LimitActor::of(context, name) {
        Ok(limit) => send(&limit, reply),
        Err(error) => {
            let detail = format!("limit {name} cannot be used: {error}");
            reply.send(Response::Problem(Problem::new(ProblemKind::Internal, "H9004", detail)));
        }
    }
}

fn on_query(context: &Rc<ShardContext>, query: Query, reply: ReplyTo) {
    match query {
        Query::Run { run } => match live(context, run) {
            Some(actor) => drop(actor.send(ViewRun(reply))),
            None => read(context, Query::Run { run }, reply),
        },
        Query::Explain { run, task } => match live(context, run) {
            Some(actor) => drop(actor.send(ExplainRun { task, reply })),
            None => read(context, Query::Explain { run, task }, reply),
        },
        other => read(context, other, reply),
    }
}

fn live(context: &ShardContext, run: RunId) -> Option<Mailbox<RunActor>> {
    context.runs.borrow().get(&run).cloned()
}

fn read(context: &ShardContext, query: Query, reply: ReplyTo) {
    context.journal.confirm_then(vec![Effect::Read(ReadJob { query, reply })]);
}

/// A finished run cannot be cancelled; which it is, or that there is none, the rows say.
fn cancel_finished(context: &ShardContext, run: RunId, reply: ReplyTo) {
    let response = match query::header(&context.rows, run) {
        Ok(Some(header)) => {
            let detail = format!("run {run} has finished as {} and cannot be cancelled", header.word());
            Response::Problem(Problem::new(ProblemKind::Conflict, "H3201", detail))
        }
        Ok(None) => Response::Problem(query::no_such_run(run)),
        Err(problem) => Response::Problem(problem),
    };
    reply.send(response);
}

/// Whatever the rows still say.
fn deleted(run: RunId) -> Response {
    Response::Problem(query::no_such_run(run))
}
