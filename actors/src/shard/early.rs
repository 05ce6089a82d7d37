//! Grants of workers that this master's membership rows do not let have work yet, though those of the Dispatcher do: they
//! are kept until the rows have come, and given back only when the time for using them is over.
//! Must not know how a worker is chosen.

use actix::prelude::*;
use hortator_core::dispatch::{Grant, GrantFailed};
use hortator_core::id::TaskRunId;
use hortator_raft::sometimes;

use super::Shard;
use crate::context::Context;
use crate::task::Granted;

/// A grant, and the index of the rows that it waits for.
#[derive(Debug)]
pub(super) struct EarlyGrant {
    rows: u64,
    grant: Grant,
}

impl Shard {
    /// To the task run's actor, now or when the rows that the grant rests on are here.
    pub(super) fn hand_over(&mut self, grant: Grant, rows: u64, ctx: &mut Context<Self>) {
        let Some(epoch) = &mut self.epoch else { return };
        if rows > self.workers.index && !self.workers.takes(&grant.worker) {
            sometimes!("shard: a grant comes before the rows it rests on");
            let (id, number, wait) = (grant.task_run, grant.number, grant.valid_for.as_duration());
            epoch.early.push(EarlyGrant { rows, grant });
            ctx.run_later(wait, move |shard, _| shard.give_back(id, number));
            return;
        }
        let context = epoch.context.clone();
        let (id, number) = (grant.task_run, grant.number);
        let task = context.tasks.borrow().get(&id).cloned();
        // A grant that finds nobody expires at the Dispatcher; the offer was withdrawn with its actor.
        if task.is_some_and(|task| task.send(Granted(grant)).is_err()) {
            context.book.borrow_mut().refuse_grant(id, number, GrantFailed::AtWorker);
        }
    }

    /// The rows have moved on: those that waited for them are used, or refused for good.
    pub(super) fn hand_over_early(&mut self, ctx: &mut Context<Self>) {
        let Some(epoch) = &mut self.epoch else { return };
        let index = self.workers.index;
        let takes = |early: &mut EarlyGrant| early.rows <= index || self.workers.takes(&early.grant.worker);
        let ripe: Vec<EarlyGrant> = epoch.early.extract_if(.., takes).collect();
        if ripe.is_empty() {
            return;
        }
        epoch.context.arrange_flush();
        ripe.into_iter().for_each(|early| self.hand_over(early.grant, early.rows, ctx));
    }

    /// It has waited as long as it may be used.
    fn give_back(&mut self, id: TaskRunId, number: u64) {
        let Some(epoch) = &mut self.epoch else { return };
        let before = epoch.early.len();
        epoch.early.retain(|early| (early.grant.task_run, early.grant.number) != (id, number));
        if epoch.early.len() < before {
            epoch.context.book.borrow_mut().refuse_grant(id, number, GrantFailed::AtWorker);
            epoch.context.arrange_flush();
        }
    }
}
