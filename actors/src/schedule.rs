//! Looks at the clock for all schedules of one shard and wakes the workflows whose time has come. It decides nothing: what
//! becomes of a time is the workflow's matter, which has the runs, and it may wake too often but never too seldom.
//!
//! ```text
//!  rows ─rebuild─▶ Alarms ◀─set─ WorkflowActor
//!                    │ due              ▲
//!                    ▼                  │ LookAtSchedule
//!              ScheduleActor ───────────┘
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use actix::prelude::*;
use hortator_core::id::{Name, WorkflowName};
use hortator_core::schedule::Trust;
use hortator_core::time::{Span, Timestamp};
use hortator_proto::row;
use hortator_raft::{ReadError, sometimes};
use slog::{error, info};

use crate::context::{self, Context};
use crate::mailbox::Mailbox;
use crate::observe::ActorName;
use crate::shard::context::ShardContext;
use crate::shard::rebuild::after;
use crate::workflow::{LookAtSchedule, WorkflowActor};

/// Wishes to look again, all alike: more than one at a time says nothing more.
const MAILBOX: usize = 16;
/// Schedules woken per turn: at midnight thousands are due, and reports of running tasks want their turns as well.
const PER_TURN: usize = 64;
/// So many of one turn are a crowd, for a mark.
const MANY: usize = 16;
/// Rows read at a time when the epoch begins.
const PAGE: usize = 1_000;
/// The longest sleep, so that a clock that the sleep did not follow is noticed within a minute.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The shortest, which is the grain of timers.
const SLEEP_MIN: Duration = Duration::from_millis(1);
/// Before a shard that cannot take more is tried again.
const UNDER_PRESSURE: Duration = Duration::from_millis(20);
/// When a workflow that was woken and said nothing is woken again: its mailbox was full, or its rows cannot be read.
const ASK_AGAIN_AFTER: Span = Span::from_secs(1);
/// A sleep that took so much longer than meant is a stall; and for so long after one nothing is given up as missed.
const STALL: Span = Span::from_secs(1);

/// When each schedule of the shard wants to be looked at.
#[derive(Debug, Default)]
pub struct Alarms {
    by_time: BTreeSet<(Timestamp, WorkflowName, Name)>,
    of: BTreeMap<(WorkflowName, Name), Timestamp>,
}

impl Alarms {
    pub fn set(&mut self, workflow: &WorkflowName, schedule: &Name, at: Option<Timestamp>) {
        let key = (workflow.clone(), schedule.clone());
        if let Some(before) = self.of.remove(&key) {
            self.by_time.remove(&(before, key.0.clone(), key.1.clone()));
        }
        if let Some(at) = at {
            self.by_time.insert((at, key.0.clone(), key.1.clone()));
            self.of.insert(key, at);
        }
    }

    pub fn first(&self) -> Option<Timestamp> {
        self.by_time.first().map(|(at, ..)| *at)
    }

    /// The first that is due.
    fn due(&self, now: Timestamp) -> Option<(WorkflowName, Name)> {
        let (at, workflow, schedule) = self.by_time.first()?;
        (*at <= now).then(|| (workflow.clone(), schedule.clone()))
    }
}

/// There are alarms, or earlier ones than before.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct AlarmsChanged;

/// The epoch is over.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct EpochOver;

/// See the module.
pub struct ScheduleActor {
    context: Rc<ShardContext>,
    sleep: Option<SpawnHandle>,
    /// Time since boot from which the process may be trusted again.
    steady_from: Span,
}

impl ScheduleActor {
    /// Reads all alarms of the shard, once its live runs have actors.
    pub fn start_in_epoch(context: &Rc<ShardContext>) -> Mailbox<ScheduleActor> {
        match read_alarms(context) {
            Ok(0) => {}
            Ok(count) => info!(context.log, "schedules are looked at"; "schedules" => count),
            Err(error) => error!(context.log, "schedules cannot be read"; "error" => %error),
        }
        // Whoever leads since a moment has not ticked yet.
        let steady_from = Span(context.journal.boot().0 + STALL.0);
        let actor = ScheduleActor { context: context.clone(), sleep: None, steady_from };
        context::start(&context.meter, ActorName::Group(context.shard), actor)
    }

    /// Wakes what is due, and sleeps until something is.
    fn look(&mut self, ctx: &mut Context<Self>) {
        if !self.context.journal.is_open() {
            return ctx.stop();
        }
        let woken = match self.context.takes_new() {
            true => self.wake_due(),
            false => 0,
        };
        let sleep = match self.context.alarms.borrow().first() {
            None => None,
            Some(_) if woken == PER_TURN => Some(SLEEP_MIN),
            Some(at) if at <= self.context.journal.time() => Some(UNDER_PRESSURE),
            Some(at) => Some(at.since(self.context.journal.time()).as_duration()),
        };
        if let Some(before) = self.sleep.take() {
            ctx.cancel_future(before);
        }
        if let Some(sleep) = sleep {
            let sleep = sleep.clamp(SLEEP_MIN, SLEEP_MAX);
            let began = self.context.journal.boot();
            self.sleep = Some(ctx.run_later(sleep, move |actor, ctx| {
                actor.notice_stall(began, sleep);
                actor.look(ctx);
            }));
        }
    }

    fn notice_stall(&mut self, began: Span, meant: Duration) {
        let now = self.context.journal.boot();
        let slept = now.0.saturating_sub(began.0);
        if slept > meant.as_micros() as u64 + STALL.0 {
            self.steady_from = Span(now.0 + STALL.0);
        }
    }

    fn wake_due(&mut self) -> usize {
        let now = self.context.journal.time();
        let trust = match self.context.journal.boot() < self.steady_from {
            true => Trust::Shaken,
            false => Trust::Steady,
        };
        let mut woken = 0;
        while woken < PER_TURN {
            let due = self.context.alarms.borrow().due(now);
            let Some((workflow, schedule)) = due else { break };
            // The workflow sets the true time when it has looked.
            self.context.alarms.borrow_mut().set(&workflow, &schedule, Some(now.plus(ASK_AGAIN_AFTER)));
            match WorkflowActor::of(&self.context, &workflow) {
                // A full mailbox: it is woken again.
                Ok(actor) => drop(actor.send(LookAtSchedule { schedule, trust })),
                Err(error) => {
                    error!(self.context.log, "a workflow's schedule is due and cannot be looked at";
                    "workflow" => %workflow, "schedule" => %schedule, "error" => %error)
                }
            }
            woken += 1;
        }
        sometimes!(woken >= MANY, "schedule: many are due at once");
        woken
    }
}

fn read_alarms(context: &ShardContext) -> Result<usize, ReadError> {
    let (mut from, to) = row::key::range(&row::key::schedules());
    let mut count = 0;
    loop {
        let page = context.rows.scan(&from, &to, PAGE, false)?;
        for (_, stored) in &page {
            match row::decode_schedule(&stored.value) {
                Ok(record) => {
                    let at = record.state.wake_at();
                    context.alarms.borrow_mut().set(&record.workflow, &record.schedule, at);
                    count += 1;
                }
                Err(error) => error!(context.log, "schedule's row cannot be read"; "error" => %error),
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => from = after(key),
            _ => return Ok(count),
        }
    }
}

impl std::fmt::Debug for ScheduleActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ScheduleActor({})", self.context.shard)
    }
}

impl Actor for ScheduleActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.look(ctx);
    }
}

impl Handler<AlarmsChanged> for ScheduleActor {
    type Result = ();

    fn handle(&mut self, _: AlarmsChanged, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}

impl Handler<EpochOver> for ScheduleActor {
    type Result = ();

    fn handle(&mut self, _: EpochOver, ctx: &mut Context<Self>) {
        if let Some(sleep) = self.sleep.take() {
            ctx.cancel_future(sleep);
        }
        ctx.stop();
    }
}
