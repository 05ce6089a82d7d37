//! An epoch's beginning and end, and what each notice of the group means for it.
//! Effects are executed here and nowhere else, after the notice that their entry is committed.

use std::collections::VecDeque;

use actix::prelude::*;
use hortator_core::dispatch::stream::{OfferBook, QUIET_WAIT};
use hortator_core::time::Timestamp;
use hortator_raft::{Notice, Position};
use slog::{info, o};

use super::context::{ContextParts, ShardContext};
use super::leading::Leading;
use super::limits::LimitSize;
use super::rebuild::Rebuild;
use super::stream::Hold;
use super::sweep::Sweep;
use super::{Epoch, Shard, ShardReport, Stage, effect};
use crate::context::Context;
use crate::group::{Drained, GroupNotice};
use crate::journal::{Flushed, Journal, Settled};
use crate::query;
use crate::run::{Retire, RetireIfOver};
use crate::schedule::EpochOver;
use crate::seam::Room;

impl Shard {
    pub(super) fn on_notice(&mut self, notice: GroupNotice, ctx: &mut Context<Self>) {
        match notice {
            GroupNotice::Raft(Notice::EpochBegan { term, epoch, index }) => {
                self.begin(term, epoch, index, ctx)
            }
            GroupNotice::Raft(Notice::EpochEnded { .. }) => self.end(),
            GroupNotice::Raft(Notice::Committed { position, epoch, sequence }) => {
                let settled = self
                    .epoch
                    .as_ref()
                    .and_then(|now| now.context.journal.committed(position, epoch, sequence));
                self.settle(settled, position.index);
            }
            GroupNotice::Raft(Notice::Applied { index } | Notice::Rescan { index }) => self.on_applied(index),
            GroupNotice::Raft(Notice::DiskLow { low }) => {
                self.disk_low = low;
                if let Some(epoch) = &self.epoch {
                    epoch.context.set_disk_low(low);
                }
            }
            GroupNotice::Raft(_) => {}
            GroupNotice::Drain { epoch } => self.drain(epoch),
            GroupNotice::ReadConfirmed { token, index } => {
                let settled = self.epoch.as_ref().and_then(|now| now.context.journal.read_confirmed(token));
                self.settle(settled, index);
            }
            GroupNotice::ReadDropped { token } => {
                if let Some(epoch) = &self.epoch {
                    epoch.context.journal.read_dropped(token);
                }
            }
        }
    }

    fn begin(&mut self, term: u64, epoch: u64, index: u64, ctx: &mut Context<Self>) {
        self.end();
        let parts = &self.parts;
        let log = parts.log.new(o!("term" => term, "epoch" => epoch));
        let clock = parts.seams.clock.clone();
        // Each run that is loaded raises the floor.
        let journal =
            Journal::new(parts.group.clone(), clock, query::history_write, (term, epoch), Timestamp(0));
        let mut book = OfferBook::new(parts.id, term, epoch, parts.meter.pace.span(QUIET_WAIT));
        if let Some((_, dispatcher_term)) = self.dispatcher {
            book.on_dispatcher(dispatcher_term);
        }
        let context = ShardContext::new(ContextParts {
            shard: parts.id,
            generation: parts.generation,
            mutant: parts.mutant,
            journal,
            rows: parts.rows.clone(),
            all_rows: parts.all_rows.clone(),
            definitions: self.definitions.clone(),
            meter: parts.meter.clone(),
            log,
            book,
            workers: self.workers.clone(),
            disk_low: self.disk_low,
            leading: Leading {
                post: parts.post.clone(),
                leaders: parts.leaders.clone(),
                replicas: parts.replicas.clone(),
                tables: parts.tables.clone(),
            },
            entropy: (parts.seams.entropy)(&format!("shard-{}", parts.id)),
            shard_mailbox: ctx.mailbox(),
            began: Position { term, index },
        });
        self.epoch = Some(Epoch {
            context,
            stage: Stage::Rebuilding(Rebuild::default()),
            finished: VecDeque::new(),
            early: Vec::new(),
            reads: VecDeque::new(),
            hold: Hold::No,
            expiry_armed: false,
            pace_armed: false,
            sweep: Sweep::default(),
            looks: 0,
        });
        ctx.notify(super::rebuild::Page);
    }

    /// Nothing more is decided in that epoch; what was decided goes out.
    fn drain(&self, epoch: u64) {
        if let Some(now) = self.epoch.as_ref().filter(|now| now.context.journal.epoch() == epoch) {
            now.context.journal.drain();
        }
        // A full mailbox: the group waits a bounded time only.
        let _ = self.parts.group.send(Drained { epoch });
    }

    /// Closes the epoch's flag and drops its actors: what they still hold is worth nothing.
    pub(super) fn end(&mut self) {
        let Some(epoch) = self.epoch.take() else { return };
        let context = epoch.context;
        info!(context.log, "epoch closed"; "runs" => context.runs.borrow().len());
        context.journal.close();
        context.tasks.take();
        if let Some(actor) = context.schedule_actor.take() {
            // One with a full mailbox sees that the epoch is over with its next look.
            let _ = actor.send(EpochOver);
        }
        for actor in context.runs.take().into_values() {
            // One with a full mailbox sees that the epoch is over with its next message.
            let _ = actor.send(Retire);
        }
        context.workflows.take();
        context.limits.close();
    }

    /// Executes what waited for that index.
    fn settle(&mut self, settled: Option<Settled<effect::Effect>>, index: u64) {
        let (Some(settled), Some(epoch)) = (settled, &mut self.epoch) else { return };
        let left = effect::execute(
            &epoch.context,
            &self.parts.post,
            settled.position,
            settled.effects,
            self.parts.seams.clock.boot(),
        );
        epoch.finished.extend(left.finished.into_iter().map(|run| (index, run)));
        epoch.reads.extend(left.reads.into_iter().map(|job| (index, job)));
        if epoch.context.journal.flush_paced() != Flushed::Done {
            epoch.context.arrange_flush();
        }
        self.on_applied(self.parts.rows.applied());
    }

    /// Rows up to `index` can be read.
    fn on_applied(&mut self, index: u64) {
        self.parts.applied.send_if_modified(|applied| {
            let rises = *applied < index;
            *applied = index.max(*applied);
            rises
        });
        let runs = self.epoch.as_ref().map_or(0, |epoch| epoch.context.runs.borrow().len());
        self.parts.replicas.set_runs(self.parts.id, runs as u64);
        self.retire_finished(index);
        self.tell_limits_moved();
        let Some(epoch) = &mut self.epoch else { return };
        let mut ready = Vec::new();
        let mut waiting = VecDeque::new();
        for (at, job) in epoch.reads.drain(..) {
            if at <= index { ready.push(job) } else { waiting.push_back((at, job)) }
        }
        epoch.reads = waiting;
        for job in ready {
            let work = query::prepare(&epoch.context, job);
            self.parts.seams.rooms.enter(Room::Reads, work);
        }
    }

    /// Runs whose end can be read: their actors go.
    pub(super) fn retire_finished(&mut self, index: u64) {
        let Some(epoch) = &mut self.epoch else { return };
        while let Some((_, run)) = epoch.finished.pop_front_if(|(at, _)| *at <= index) {
            // A retried run lives on under the same id: only one that is over goes.
            let actor = epoch.context.runs.borrow().get(&run).cloned();
            if actor.is_some_and(|actor| actor.send(RetireIfOver).is_err()) {
                // It is looked at: in a moment again.
                return epoch.finished.push_front((index, run));
            }
        }
    }

    /// Rows that cannot be read now show nothing: the next question may be luckier.
    pub(super) fn limit_sizes(&self) -> Vec<LimitSize> {
        let sizes = self.open().map(|context| context.limits.sizes(&context.rows));
        sizes.and_then(Result::ok).unwrap_or_default()
    }

    pub(super) fn report(&self) -> ShardReport {
        let Some(context) = self.open() else { return ShardReport::default() };
        ShardReport {
            leads: true,
            runs_live: context.runs.borrow().len() as u64,
            runs_queued: context.turns.waiting(),
            tasks_active: context.tasks.borrow().len() as u64,
        }
    }
}
