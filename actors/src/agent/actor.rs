//! The `Agent` actor: brings what comes in to the machine and does what the machine wants done.
//! Must not decide anything about attempts, leases or masters: that is `machine`'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use hortator_core::id::{AttemptId, Fence};
use hortator_proto::frame::{FromWorker, NodeId, ToWorker};
use slog::{Logger, info, o, warn};

use super::attempt::{AttemptActor, Forget, KillAttempt, ProcessEnded, ProcessStarted, StopAttempt};
use super::inbox::{Inbound, Inbox};
use super::machine::{Effect, Input, Machine, Now};
use super::spool::Spool;
use super::{AgentConfig, AgentObservation, AgentSeams};
use crate::context::{self, Context};
use crate::mailbox::{Mailbox, Meter};
use crate::mutant::Mutant;
use crate::observe::ActorName;
use crate::relay::Relay;
use crate::seam::{LaunchEvent, LaunchSpec, SendError, SpoolFile, Stop};

/// Wake-ups (at most one), observers and the stop.
const AGENT_MAILBOX: usize = 64;
/// How late a heartbeat, a lease or a repeated report may be noticed; cheap enough for an idle host.
const TICK: Duration = Duration::from_millis(100);

pub(crate) struct Agent {
    seams: AgentSeams,
    /// The transport of the seams, by its own name.
    relay: Arc<Relay>,
    machine: Machine,
    spool: Spool,
    inbox: Arc<Inbox>,
    attempts: BTreeMap<(AttemptId, Fence), Mailbox<AttemptActor>>,
    /// Of the newest list of masters that came.
    members_index: u64,
    frames_unsent: u64,
    turns: u64,
    busy_micros: u64,
    log: Logger,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Agent({})", self.machine.name)
    }
}

impl Agent {
    /// Starts the actor in this room, then lets frames and launch events in.
    pub(crate) fn start_here(
        config: AgentConfig,
        seams: AgentSeams,
        spool: Box<dyn SpoolFile>,
        log: &Logger,
    ) -> Mailbox<Agent> {
        let log = log.new(o!("worker" => config.name.to_string()));
        let me = NodeId::Worker(config.name.clone());
        let relay = Relay::new(me, seams.transport, seams.meter.pace.clock(seams.clock.clone()), log.clone());
        relay.keep(&seams.meter);
        let seams = AgentSeams { transport: relay.clone(), ..seams };
        let now = Now { boot: seams.clock.boot(), wall: seams.clock.wall() };
        let (spool, spooled) = Spool::open(spool, log.clone());
        let entropy = (seams.entropy)("agent");
        let AgentConfig { name, profile, earlier_lives_dead, mutant } = config;
        let mut machine = Machine::new(name, profile, earlier_lives_dead, spooled, entropy, now);
        machine.mutant = mutant;
        let meter = seams.meter.clone();
        context::create(&meter, ActorName::Only, |ctx| {
            ctx.set_mailbox_capacity(AGENT_MAILBOX);
            let own = ctx.mailbox();
            // A full mailbox holds a wake-up already, and the next tick looks into the inbox too.
            let inbox = Arc::new(Inbox::new(Box::new(move || own.send(Wake).unwrap_or(()))));
            Agent {
                machine,
                spool,
                inbox,
                attempts: BTreeMap::new(),
                members_index: 0,
                frames_unsent: 0,
                turns: 0,
                busy_micros: 0,
                log,
                relay,
                seams,
            }
        })
    }

    /// All that waits goes through the machine, then all that the machine wants is done.
    fn turn(&mut self) {
        // Taken before the clock is read: what an attempt needs was over before its `Run` was sent.
        let inbound = self.inbox.take();
        let now = self.now();
        let mut effects = Vec::new();
        for item in inbound {
            if let Some(input) = self.translate(item) {
                self.machine.handle(input, now, &mut effects);
            }
        }
        self.machine.flush(now, &mut effects);
        self.perform(effects, now);
        self.spool.tidy(&self.machine.reports);
        self.turns += 1;
        self.busy_micros += self.seams.clock.boot().0.saturating_sub(now.boot.0);
    }

    fn translate(&mut self, item: Inbound) -> Option<Input> {
        Some(match item {
            Inbound::Frame { from, frame } => Input::Frame { frame: self.decode(&from, &frame)?, from },
            Inbound::SessionOpened(peer) => Input::SessionOpened(peer),
            Inbound::SessionClosed(peer) => Input::SessionClosed(peer),
            Inbound::AttemptOver { attempt, fence, end, log_bytes_dropped } => {
                self.attempts.remove(&(attempt, fence));
                Input::AttemptOver { attempt, fence, end, log_bytes_dropped }
            }
            Inbound::Launch(event) => self.on_launch_event(event)?,
        })
    }

    fn decode(&mut self, from: &NodeId, frame: &[u8]) -> Option<ToWorker> {
        Meter::add(&self.seams.meter.frames_received, 1);
        match ToWorker::decode(frame) {
            // Whom to talk to is the transport's.
            Ok(ToWorker::Members { masters, index }) if index >= self.members_index => {
                self.members_index = index;
                self.seams.transport.masters_changed(&masters, &BTreeSet::new());
                None
            }
            // A master that lags knows an older list.
            Ok(ToWorker::Members { .. }) => None,
            Ok(frame) => Some(frame),
            Err(error) => {
                warn!(self.log, "a frame cannot be read"; "from" => %from, "error" => %error);
                None
            }
        }
    }

    /// What concerns one attempt goes to its actor; the rest is the machine's.
    fn on_launch_event(&mut self, event: LaunchEvent) -> Option<Input> {
        match event {
            LaunchEvent::Started { attempt, fence, pid, at: _ } => {
                // Only told to the log: when the mailbox is full it is not told.
                self.tell((attempt, fence), ProcessStarted { pid });
                None
            }
            LaunchEvent::Ended(end) => {
                let key = (end.attempt, end.fence);
                let again = LaunchEvent::Ended(end.clone());
                // An end is never lost: when the mailbox is full it waits for a later turn.
                if self.attempts.contains_key(&key) && !self.tell(key, ProcessEnded(end)) {
                    self.inbox.put_back(Inbound::Launch(again));
                }
                None
            }
            LaunchEvent::WardenGone { reason } => {
                warn!(self.log, "the warden is gone"; "reason" => reason);
                Some(Input::WardenGone)
            }
            LaunchEvent::WardenReady { earlier_lives_dead } => {
                Some(Input::WardenReady { earlier_lives_dead })
            }
        }
    }

    fn perform(&mut self, effects: Vec<Effect>, now: Now) {
        let mut starts = Vec::new();
        for effect in effects {
            match effect {
                Effect::Keep(reports) => self.spool.keep(reports),
                Effect::Send { to, frame } => self.send(&to, &frame),
                Effect::Beat { to, heartbeat } => self.beat(&to, heartbeat),
                Effect::Start(spec) => starts.push(*spec),
                // A full mailbox means that the attempt is being stopped already; a leader asks again.
                Effect::Stop { attempt, fence, cause } => {
                    self.launch(&mut starts);
                    self.tell((attempt, fence), StopAttempt { cause, at: now.wall });
                }
                Effect::Kill { attempt, fence } => {
                    self.launch(&mut starts);
                    // A kill is said once, so no full mailbox may swallow it.
                    if !self.tell((attempt, fence), KillAttempt) {
                        self.seams.launcher.stop(attempt, fence, Stop::Kill);
                    }
                }
                Effect::ForgetAttempts => {
                    starts.clear();
                    // Without an address an actor ends, told or not.
                    let attempts = std::mem::take(&mut self.attempts);
                    attempts.values().for_each(|attempt| attempt.send(Forget).unwrap_or(()));
                }
                Effect::SetDeadline(_) if self.machine.mutant.is(Mutant::SetsNoDeadline) => {}
                Effect::SetDeadline(deadline) => self.seams.launcher.set_deadline(deadline),
                Effect::RunEnded(run) => self.seams.launcher.run_ended(run),
                Effect::ReadLog { from, request } => self.read_log(from, &request),
                Effect::LifeOver { incarnation, why } => {
                    warn!(self.log, "this life is over"; "incarnation" => ?incarnation, "why" => why);
                }
                Effect::Registered { incarnation } => {
                    info!(self.log, "registered"; "incarnation" => incarnation);
                }
            }
        }
        self.launch(&mut starts);
    }

    /// Starts what this turn has admitted, in one message to the launcher.
    fn launch(&mut self, starts: &mut Vec<LaunchSpec>) {
        if starts.is_empty() {
            return;
        }
        for spec in starts.iter() {
            let (attempt, fence) = (spec.attempt, spec.fence);
            let log = self
                .log
                .new(o!("run" => attempt.task_run.run.to_string(), "task" => spec.names.task.to_string(),
                "item" => spec.names.item, "attempt" => attempt.attempt));
            let (launcher, inbox) = (self.seams.launcher.clone(), self.inbox.clone());
            let meter = self.seams.meter.clone();
            let actor = AttemptActor::new(attempt, fence, launcher, inbox, meter, log);
            let mailbox = context::start(&self.seams.meter, ActorName::Attempt(attempt), actor);
            self.attempts.insert((attempt, fence), mailbox);
        }
        self.seams.launcher.start(std::mem::take(starts));
    }

    /// False when the attempt has no actor or its mailbox is full.
    fn tell<M>(&self, key: (AttemptId, Fence), message: M) -> bool
    where
        M: Message<Result = ()> + Send + 'static,
        AttemptActor: Handler<M>,
    {
        self.attempts.get(&key).is_some_and(|attempt| attempt.send(message).is_ok())
    }

    fn beat(&mut self, to: &[NodeId], mut heartbeat: hortator_proto::frame::Heartbeat) {
        let host = self.seams.host.sample();
        heartbeat.cpu_percent = host.cpu_percent;
        heartbeat.memory_used = host.memory_used;
        heartbeat.memory_total = host.memory_total;
        heartbeat.disk_free = host.disk_free;
        heartbeat.load1 = host.load1;
        heartbeat.pressure_cpu = host.pressure_cpu;
        heartbeat.disk_total = host.disk_total;
        heartbeat.pressure_memory = host.pressure_memory;
        heartbeat.pressure_io = host.pressure_io;
        heartbeat.cores = host.cores;
        let frame = FromWorker::Heartbeat(heartbeat);
        to.iter().for_each(|to| self.send(to, &frame));
    }

    /// What cannot be sent now is said again later: heartbeats come anew, reports and registrations are repeated.
    fn send(&mut self, to: &NodeId, frame: &FromWorker) {
        match self.seams.transport.send(to, frame.encode()) {
            Ok(()) => Meter::add(&self.seams.meter.frames_sent, 1),
            Err(SendError::NotConnected(_)) => self.frames_unsent += 1,
            Err(error @ SendError::Full { .. }) => {
                self.frames_unsent += 1;
                warn!(self.log, "a frame was not sent"; "error" => %error);
            }
        }
    }

    fn read_log(&self, from: NodeId, request: &hortator_proto::frame::LogRequest) {
        let transport = self.seams.transport.clone();
        let reply = move |answer| {
            // Whoever reads the log asks again when no answer comes.
            drop(transport.send(&from, FromWorker::Log(answer).encode()));
        };
        self.seams.logs.read(request, Box::new(reply));
    }

    fn now(&self) -> Now {
        Now { boot: self.seams.clock.boot(), wall: self.seams.clock.wall() }
    }

    fn schedule_tick(ctx: &mut Context<Agent>) {
        // Not `run_interval`: after a stall that would fire all missed ticks in a burst.
        ctx.run_later(ctx.paced(TICK), |agent, ctx| {
            agent.turn();
            agent.spool.recover(&agent.machine.reports);
            Agent::schedule_tick(ctx);
        });
    }
}

impl Actor for Agent {
    type Context = Context<Agent>;

    fn started(&mut self, ctx: &mut Context<Agent>) {
        self.seams.transport.listen(self.inbox.clone());
        let inbox = self.inbox.clone();
        let events = move |events: Vec<LaunchEvent>| inbox.push(events.into_iter().map(Inbound::Launch));
        self.seams.launcher.listen(Arc::new(events));
        self.turn();
        Agent::schedule_tick(ctx);
    }
}

/// Something is in the inbox.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Wake;

impl Handler<Wake> for Agent {
    type Result = ();

    fn handle(&mut self, _: Wake, _: &mut Context<Agent>) {
        self.turn();
    }
}

/// Kills what runs and ends the warden; answered when that is asked for.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct StopAgent;

impl Handler<StopAgent> for Agent {
    type Result = ();

    fn handle(&mut self, _: StopAgent, ctx: &mut Context<Agent>) {
        info!(self.log, "stopping"; "running" => self.attempts.len());
        self.turn();
        self.seams.launcher.shutdown();
        ctx.stop();
    }
}

/// Starts nothing more; what runs goes on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct CloseIntake;

impl Handler<CloseIntake> for Agent {
    type Result = ();

    fn handle(&mut self, _: CloseIntake, _: &mut Context<Agent>) {
        info!(self.log, "takes nothing more"; "running" => self.attempts.len());
        self.machine.close_intake();
        self.turn();
    }
}

#[derive(Debug, Message)]
#[rtype(result = "AgentObservation")]
pub(crate) struct Observe;

impl Handler<Observe> for Agent {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Context<Agent>) -> MessageResult<Observe> {
        let ledger = self.machine.ledger.as_ref();
        MessageResult(AgentObservation {
            name: self.machine.name.clone(),
            incarnation: self.machine.life.incarnation(),
            membership_leader: self.machine.life.leader().map(ToString::to_string),
            renewed_at: self.machine.life.renewed_at(),
            sessions: self.machine.sessions().map(ToString::to_string).collect(),
            running: ledger.map_or(0, |ledger| ledger.running().len()),
            slots_taken: ledger.map_or(0, |ledger| ledger.slots_taken()),
            settled: ledger.map_or(0, |ledger| ledger.settled()),
            reports: self.machine.reports.len(),
            spool_bytes: self.spool.bytes(),
            ignored: self.machine.ignored,
            frames_dropped: self.inbox.frames_dropped(),
            frames_of_old_terms: self.relay.counts().of_old_terms,
            frames_unsent: self.frames_unsent,
            turns: self.turns,
            busy_micros: self.busy_micros,
        })
    }
}
