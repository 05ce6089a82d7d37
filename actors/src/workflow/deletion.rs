//! The end of a workflow's finished runs, and of its actor while nothing of it is live: memory follows live work.
//! It must not know how long runs are kept.

use actix::prelude::*;
use bytes::Bytes;
use hortator_core::id::RunId;
use hortator_core::workflow::{WorkflowCommand, WorkflowEvent};
use hortator_proto::row;
use hortator_raft::Write;
use slog::info;

use super::WorkflowActor;
use crate::context::Context;

/// Finished runs whose time is over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DeleteRuns(pub Vec<Victim>);

/// A finished run that is to go.
#[derive(Debug)]
pub struct Victim {
    pub run: RunId,
    /// The key of its start.
    pub key: Option<String>,
    pub remains: Remains,
}

/// What of a run goes later than the run itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// All of it fits into one entry.
    Nothing,
    /// Task runs and history go in pages; a row says so, and until it is gone the sweep goes on.
    TasksAndHistory,
}

/// Nobody needs the actor if it has no live run and nobody has asked for any workflow since.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct RetireIfIdle {
    pub asked_for: u64,
}

impl WorkflowActor {
    /// One turn, so that each run goes with its index row and its key, or stays as it is.
    fn delete(&mut self, victims: Vec<Victim>) {
        let mut writes = Vec::new();
        for victim in victims {
            let run = victim.run;
            // A retried run has an actor before its rows say anything.
            let returned = self.context.runs.borrow().contains_key(&run);
            if returned || self.context.deleted.borrow().contains(&run) {
                continue;
            }
            let command = WorkflowCommand::DeleteRun { run, key: victim.key };
            let Ok(events) = self.decide(&command) else { continue };
            self.context.deleted.borrow_mut().insert(run);
            writes.extend(self.deletion(run, victim.remains, &events));
            info!(self.context.log, "run deleted"; "run" => %run, "workflow" => %self.name());
        }
        if !writes.is_empty() {
            self.context.hand_in(writes, Vec::new(), Vec::new());
        }
    }

    fn deletion(&self, run: RunId, remains: Remains, events: &[WorkflowEvent]) -> Vec<Write> {
        let name = self.name();
        let mut writes = vec![
            Write::Delete { key: row::key::run(run) },
            Write::Delete { key: row::key::run_of_workflow(name, run) },
        ];
        for event in events {
            if let WorkflowEvent::KeyForgotten { key } = event {
                writes.push(Write::Delete { key: row::key::start_key(name, key) });
            }
        }
        match remains {
            Remains::Nothing => {
                for prefix in [row::key::task_runs(run), row::key::history_of(run)] {
                    let (from, to) = row::key::range(&prefix);
                    writes.push(Write::DeleteRange { from, to });
                }
            }
            Remains::TasksAndHistory => {
                writes.push(Write::Put { key: row::key::deleted_run(run), value: Bytes::new() });
            }
        }
        writes
    }
}

impl Handler<DeleteRuns> for WorkflowActor {
    type Result = ();

    fn handle(&mut self, DeleteRuns(victims): DeleteRuns, _: &mut Context<Self>) {
        self.follow_runs();
        if self.context.journal.is_open() {
            self.delete(victims);
        }
    }
}

impl Handler<RetireIfIdle> for WorkflowActor {
    type Result = ();

    fn handle(&mut self, RetireIfIdle { asked_for }: RetireIfIdle, ctx: &mut Context<Self>) {
        self.follow_runs();
        let was_in_use = std::mem::replace(&mut self.in_use, false);
        let idle = !was_in_use && self.state.live_count() == 0;
        if idle && self.context.workflows_asked_for.get() == asked_for {
            self.context.workflows.borrow_mut().remove(self.name());
            ctx.stop();
        }
    }
}
