//! The Dispatcher: chooses workers for ready task runs while its master leads the membership group. All it holds is
//! soft; the choosing is `core`'s `Exchange`, and this actor brings frames, workers and time to it.

pub(crate) mod heard;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use hortator_core::dispatch::stream::{
    DispatcherTerm, Exchange, ExchangeConfig, FRAME_ITEMS_MAX, OfferFrame, Wanted, WantedWorkers,
};
use hortator_core::dispatch::{Amounts, Chance, DispatchConfig, QueueNow};
use hortator_core::id::{Name, WorkerRef};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::{OrderView, Query, Response, WorkerOrder, WorkerView};
use hortator_proto::frame::{Heartbeat, PeerFrame};
use hortator_proto::row::{Admission, Ordered, WorkerRow};
use slog::{Logger, debug, info};

use crate::context::{self, Context};
use crate::gateway::{ReplyTo, no_leader};
use crate::mailbox::{Mailbox, Meter};
use crate::mutant::Mutant;
use crate::observe::ActorName;
use crate::placement_views::PlacementViews;
use crate::placing;
use crate::post::Post;
use crate::seam::Clock;
use crate::worker_facts::load;
use crate::worker_table::WorkerTable;
use heard::{AllHeard, Era, Heard, tell_worker};

/// Offer frames and heartbeats; a lost frame restarts its stream, a lost heartbeat is followed by the next.
const MAILBOX: usize = 16_384;
/// Grants per turn; then frames that have come meanwhile are looked at.
const GRANTS_PER_TURN: usize = 4_096;
/// The least pause between two looks at deadlines: tokio's grain.
const DEADLINE_GRAIN: Duration = Duration::from_millis(1);
/// A worker that was not heard for this long is shown as silent; what it means is decided elsewhere.
const SILENT_AFTER_US: u64 = 3_000_000;

/// A `Run` that was decided before its leader saw a drain reaches the worker within this time.
const LAST_RUNS_ARRIVE: Span = Span::from_secs(1);

/// This master is the membership leader; with that Dispatcher's term.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub enum Reign {
    Begins { term: DispatcherTerm },
    Ends,
}

/// A shard's offer frame.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FromShard {
    pub from: u64,
    pub frame: OfferFrame,
}

/// A session with a master opened: its shards are to hear who dispatches.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct MasterReturned(pub u64);

/// The membership rows changed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct WorkersSeen(pub Arc<WorkerTable>);

/// A worker's heartbeat came to this master, or was passed on to it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HeartbeatHeard {
    pub worker: Name,
    pub heartbeat: Heartbeat,
    pub heard_at: Timestamp,
}

/// The workers, for people.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Vec<WorkerView>")]
pub struct ObserveDispatcher;

/// The same for a client, answered by the one that hears all workers: that of the membership leader.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TellWorkers {
    pub reply: ReplyTo,
}

/// What only the one that places can tell a client.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TellPlacement {
    pub query: Query,
    pub reply: ReplyTo,
}

/// What waits, by worker group, with the age of the oldest; empty where nothing is dispatched.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "Vec<QueueSeen>")]
pub struct ObserveQueues;

/// What waits for workers of one group.
#[derive(Clone, Debug)]
pub struct QueueSeen {
    pub group: Name,
    pub waiting: u64,
    pub oldest: Span,
    /// What it could use, by learned durations.
    pub wanted: Amounts,
    /// The same in workers; none without any worker.
    pub wanted_workers: Option<WantedWorkers>,
    /// How many have each reason, by its code.
    pub blocked: BTreeMap<&'static str, u64>,
}

#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
struct PlaceNow;

/// See the module.
pub struct Dispatcher {
    post: Arc<Post>,
    clock: Arc<dyn Clock>,
    shards: u32,
    mutant: Mutant,
    table: Arc<WorkerTable>,
    heard: AllHeard,
    reign: Option<Term>,
    meter: Arc<Meter>,
    log: Logger,
}

struct Term {
    term: DispatcherTerm,
    exchange: Exchange,
    era: Era,
    /// The master that each shard's frames come from.
    homes: BTreeMap<u32, u64>,
    placing: bool,
    timer: Option<SpawnHandle>,
}

impl Dispatcher {
    /// Starts it in the present room.
    pub fn start_in_room(
        post: Arc<Post>,
        clock: Arc<dyn Clock>,
        shards: u32,
        mutant: Mutant,
        meter: Arc<Meter>,
        log: Logger,
    ) -> Mailbox<Dispatcher> {
        let dispatcher = Dispatcher {
            post,
            clock,
            shards,
            mutant,
            table: Arc::default(),
            heard: BTreeMap::new(),
            reign: None,
            meter: meter.clone(),
            log,
        };
        context::start(&meter, ActorName::Only, dispatcher)
    }

    /// Time for expiry, waits and reasons.
    fn now(&self) -> Timestamp {
        match &self.reign {
            Some(reign) => reign.era.time(self.clock.boot()),
            None => self.clock.wall(),
        }
    }

    fn begin(&mut self, term: DispatcherTerm) {
        info!(self.log, "dispatcher begins"; "dispatcher_term" => term.0);
        let era = Era { wall: self.clock.wall(), boot: self.clock.boot() };
        let now = era.wall;
        let usual = ExchangeConfig::default();
        // Heartbeats come as seldom as their senders look.
        let silent_after = self.meter.pace.every(usual.dispatch.silent_after.as_duration());
        let silent_after = Span(silent_after.as_micros() as u64);
        let mistake = self.mutant.of_dispatcher();
        let dispatch = DispatchConfig { silent_after, mistake, ..usual.dispatch };
        let config = ExchangeConfig { dispatch, ..usual };
        // Which of many equal workers are looked at is no secret: the term is seed enough.
        let mut exchange = Exchange::new(term, self.shards, config, Chance::new(term.0), now);
        exchange.on_rows(self.table.index);
        exchange.on_groups(self.table.group_configs(), now);
        for (namespace, quota) in &self.table.quotas {
            exchange.on_quota(namespace, quota.clone());
        }
        for row in self.table.workers.values() {
            tell_worker(&mut exchange, (None, row), &self.heard, (&era, now));
        }
        let (homes, placing, timer) = (BTreeMap::new(), false, None);
        self.reign = Some(Term { term, exchange, era, homes, placing, timer });
    }

    /// Rows that are new or changed, and workers that are gone or lost.
    fn on_table(&mut self, table: Arc<WorkerTable>) {
        let before = std::mem::replace(&mut self.table, table);
        let now = self.now();
        let Some(reign) = &mut self.reign else { return };
        reign.exchange.on_rows(self.table.index);
        reign.exchange.on_groups(self.table.group_configs(), now);
        for (namespace, quota) in &self.table.quotas {
            if before.quotas.get(namespace) != Some(quota) {
                reign.exchange.on_quota(namespace, quota.clone());
            }
        }
        for (name, row) in &self.table.workers {
            let known = before.workers.get(name).map(Arc::as_ref);
            if known != Some(row.as_ref()) {
                tell_worker(&mut reign.exchange, (known, row), &self.heard, (&reign.era, now));
            }
        }
    }

    fn on_frame(&mut self, from: u64, frame: OfferFrame) {
        let now = self.now();
        let Some(reign) = &mut self.reign else {
            return debug!(self.log, "offers came to a master that does not dispatch"; "from" => from);
        };
        if frame.stream.dispatcher_term != reign.term {
            let term = reign.term;
            return self.post.to_master(from, PeerFrame::DispatcherHere { term });
        }
        reign.homes.insert(frame.stream.shard, from);
        match placing::is_heard().then(|| frame.clone()) {
            Some(heard) => placing::hears(heard, reign.exchange.on_offer_frame(frame, now)),
            None => _ = reign.exchange.on_offer_frame(frame, now),
        }
    }

    /// Lets frames that wait in the mailbox come in first, then places.
    fn arrange_placing(&mut self, ctx: &mut Context<Self>) {
        if let Some(reign) = &mut self.reign
            && !std::mem::replace(&mut reign.placing, true)
        {
            ctx.notify(PlaceNow);
        }
    }

    fn place(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        let Some(reign) = &mut self.reign else { return };
        reign.placing = false;
        reign.exchange.expire(now);
        let granted = reign.exchange.place(now, GRANTS_PER_TURN);
        Meter::add(&self.meter.grants, granted as u64);
        let frames = reign.exchange.poll_frames(FRAME_ITEMS_MAX);
        placing::says(reign.term, &frames, now);
        for frame in frames {
            if let Some(master) = reign.homes.get(&frame.stream.shard) {
                self.post.to_master(*master, PeerFrame::Dispatcher(frame));
            }
        }
        if let Some(timer) = reign.timer.take() {
            ctx.cancel_future(timer);
        }
        if granted >= GRANTS_PER_TURN {
            return self.arrange_placing(ctx);
        }
        if let Some(deadline) = reign.exchange.next_deadline() {
            let wait = deadline.since(now).as_duration().max(DEADLINE_GRAIN);
            reign.timer = Some(ctx.run_later(wait, |dispatcher, ctx| dispatcher.place(ctx)));
        }
    }

    fn views(&self) -> Vec<WorkerView> {
        let now = self.clock.wall();
        self.table.workers.values().map(|row| self.view(row, now)).collect()
    }

    fn view(&self, row: &WorkerRow, now: Timestamp) -> WorkerView {
        let heard = self.heard.get(&row.name).filter(|heard| heard.heartbeat.incarnation == row.incarnation);
        let silent = heard.is_none_or(|heard| now.since(heard.at).0 > SILENT_AFTER_US);
        let beat = heard.map(|heard| heard.heartbeat.clone()).unwrap_or_default();
        let state = match () {
            () if row.lost_through >= row.incarnation => "lost",
            () if silent => "silent",
            () if matches!(row.admission, Admission::Cordoned(_)) => "cordoned",
            () if matches!(&row.admission, Admission::Draining(by) if !is_drained(by, heard)) => "draining",
            () if matches!(row.admission, Admission::Draining(_)) => "drained",
            () => "up",
        };
        WorkerView {
            name: row.name.clone(),
            incarnation: row.incarnation,
            state: state.into(),
            groups: row.profile.groups.clone(),
            slots: row.profile.slots,
            slots_used: beat.running_slots,
            cpu_percent: beat.cpu_percent,
            load1: beat.load1,
            memory_used: beat.memory_used,
            memory_total: beat.memory_total,
            version: row.profile.version.clone(),
            host: row.profile.host.clone(),
            seen_at: heard.map(|heard| heard.at),
            seen_by: None,
            running: beat.running,
            ordered: order_view(&row.admission),
        }
    }
}

/// Nothing is left, and what was on its way when the order came has arrived.
fn is_drained(ordered: &Ordered, heard: Option<&Heard>) -> bool {
    let arrived = ordered.since.plus(LAST_RUNS_ARRIVE);
    heard.is_some_and(|heard| heard.heartbeat.running == 0 && heard.at >= arrived)
}

fn order_view(admission: &Admission) -> Option<OrderView> {
    let view = |order, by: &Ordered| Some(OrderView { order, by: by.by.clone(), since: by.since });
    match admission {
        Admission::Open => None,
        Admission::Cordoned(by) => view(WorkerOrder::Cordon, by),
        Admission::Draining(by) => view(WorkerOrder::Drain, by),
    }
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dispatcher")
    }
}

impl Actor for Dispatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Reign> for Dispatcher {
    type Result = ();

    fn handle(&mut self, reign: Reign, ctx: &mut Context<Self>) {
        match reign {
            Reign::Begins { term } => self.begin(term),
            Reign::Ends => self.reign = None,
        }
        self.arrange_placing(ctx);
    }
}

impl Handler<PlaceNow> for Dispatcher {
    type Result = ();

    fn handle(&mut self, _: PlaceNow, ctx: &mut Context<Self>) {
        self.place(ctx);
    }
}

impl Handler<FromShard> for Dispatcher {
    type Result = ();

    fn handle(&mut self, FromShard { from, frame }: FromShard, ctx: &mut Context<Self>) {
        self.on_frame(from, frame);
        self.arrange_placing(ctx);
    }
}

impl Handler<MasterReturned> for Dispatcher {
    type Result = ();

    fn handle(&mut self, MasterReturned(master): MasterReturned, _: &mut Context<Self>) {
        if let Some(reign) = &self.reign {
            self.post.to_master(master, PeerFrame::DispatcherHere { term: reign.term });
        }
    }
}

impl Handler<WorkersSeen> for Dispatcher {
    type Result = ();

    fn handle(&mut self, WorkersSeen(table): WorkersSeen, ctx: &mut Context<Self>) {
        self.on_table(table);
        self.arrange_placing(ctx);
    }
}

impl Handler<HeartbeatHeard> for Dispatcher {
    type Result = ();

    fn handle(&mut self, message: HeartbeatHeard, ctx: &mut Context<Self>) {
        let HeartbeatHeard { worker, heartbeat, heard_at } = message;
        let order = |beat: &Heartbeat| (beat.incarnation, beat.sequence);
        if self.heard.get(&worker).is_some_and(|newest| order(&newest.heartbeat) >= order(&heartbeat)) {
            // Another master has passed it on already.
            return;
        }
        let boot = self.clock.boot();
        if let Some(reign) = &mut self.reign {
            let seen = WorkerRef { name: worker.clone(), incarnation: heartbeat.incarnation };
            reign.exchange.on_heartbeat(&seen, &load(&heartbeat), reign.era.time(boot));
        }
        self.heard.insert(worker, Heard { at: heard_at, boot, heartbeat });
        self.arrange_placing(ctx);
    }
}

impl Handler<ObserveDispatcher> for Dispatcher {
    type Result = MessageResult<ObserveDispatcher>;

    fn handle(&mut self, _: ObserveDispatcher, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.views())
    }
}

impl Handler<TellWorkers> for Dispatcher {
    type Result = ();

    fn handle(&mut self, TellWorkers { reply }: TellWorkers, _: &mut Context<Self>) {
        reply.send(match &self.reign {
            Some(_) => Response::Workers(self.views()),
            None => no_leader(0),
        });
    }
}

impl Handler<TellPlacement> for Dispatcher {
    type Result = ();

    fn handle(&mut self, TellPlacement { query, reply }: TellPlacement, _: &mut Context<Self>) {
        let Some(reign) = &self.reign else { return reply.send(no_leader(0)) };
        let (exchange, table, heard) = (&reign.exchange, &self.table, &self.heard);
        let views = PlacementViews { exchange, table, heard };
        reply.send(views.answer(&query));
    }
}

impl Handler<ObserveQueues> for Dispatcher {
    type Result = MessageResult<ObserveQueues>;

    fn handle(&mut self, _: ObserveQueues, _: &mut Context<Self>) -> Self::Result {
        // Offers say since when they wait by their shards' clocks.
        let now = self.clock.wall();
        let Some(reign) = &self.reign else { return MessageResult(Vec::new()) };
        let mut queues = reign.exchange.queues_now();
        let age = |since: Option<Timestamp>| since.map_or(Span::ZERO, |since| now.since(since));
        let wanted = reign.exchange.wanted().into_iter();
        let one = |(group, wanted): (Name, Wanted)| {
            let QueueNow { waiting, oldest, blocked } = queues.remove(&group).unwrap_or_default();
            let waiting = waiting.max(wanted.waiting);
            let (wanted, wanted_workers) = (wanted.amounts, wanted.workers);
            QueueSeen { group, waiting, oldest: age(oldest), wanted, wanted_workers, blocked }
        };
        MessageResult(wanted.map(one).collect())
    }
}
