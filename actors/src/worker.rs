//! A master's side of worker sessions: one actor per session, which hands each frame to whoever decides about it.
//! It must not know what a report means, and a closed session means nothing but that frames cannot be sent.

use std::sync::Arc;

use actix::prelude::*;
use hortator_core::id::Name;
use hortator_core::time::Timestamp;
use hortator_proto::frame::{FromWorker, HeardHeartbeat, Heartbeat, Report};
use slog::{Logger, debug, info, o};

use crate::context::{self, Context};
use crate::dispatcher::HeartbeatHeard;
use crate::gateway::LogAnswered;
use crate::mailbox::Meter;
use crate::membership::{HeartbeatCame, RegisterWorker};
use crate::observe::ActorName;
use crate::post::Post;
use crate::seam::Clock;
use crate::shard::{FromAsked, FromInventory, Reported, WorkerConnected};

/// Frames of one worker that wait to be looked at; reports beyond it are sent again by the agent.
const SESSION_MAILBOX: usize = 1_024;

/// A worker's session opened.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SessionOpened(pub Name);

/// A worker's session ended.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SessionClosed(pub Name);

/// A frame of the session's worker.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FromSession(pub FromWorker);

/// A frame that came before its session's actor had started.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FirstFrame {
    pub worker: Name,
    pub frame: FromWorker,
}

/// Starts and ends the actors of sessions, on the edge.
pub struct WorkerPost {
    post: Arc<Post>,
    clock: Arc<dyn Clock>,
    meter: Arc<Meter>,
    log: Logger,
}

impl WorkerPost {
    pub fn new(post: Arc<Post>, clock: Arc<dyn Clock>, meter: Arc<Meter>, log: Logger) -> WorkerPost {
        WorkerPost { post, clock, meter, log }
    }
}

impl std::fmt::Debug for WorkerPost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WorkerPost")
    }
}

impl std::fmt::Debug for WorkerActor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WorkerActor({})", self.name)
    }
}

impl Actor for WorkerPost {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(SESSION_MAILBOX);
    }
}

impl Handler<SessionOpened> for WorkerPost {
    type Result = ();

    fn handle(&mut self, SessionOpened(name): SessionOpened, _: &mut Context<Self>) {
        self.open(name);
    }
}

impl WorkerPost {
    fn open(&self, name: Name) {
        let log = self.log.new(o!("worker" => name.to_string()));
        info!(log, "session opened");
        let actor = WorkerActor {
            name: name.clone(),
            post: self.post.clone(),
            clock: self.clock.clone(),
            heartbeat: None,
            log,
        };
        let mailbox = context::start(&self.meter, ActorName::Text(name.to_string().into()), actor);
        self.post.session_started(name.clone(), mailbox);
        for (_, shard) in self.post.shards() {
            // A full mailbox: it hears who leads when the shard says so to all, every other second.
            let _ = shard.send(WorkerConnected(name.clone()));
        }
    }
}

impl Handler<SessionClosed> for WorkerPost {
    type Result = ();

    fn handle(&mut self, SessionClosed(name): SessionClosed, _: &mut Context<Self>) {
        info!(self.log, "session closed"; "worker" => %name);
        self.post.session_ended(&name);
    }
}

impl Handler<FirstFrame> for WorkerPost {
    type Result = ();

    fn handle(&mut self, FirstFrame { worker, frame }: FirstFrame, _: &mut Context<Self>) {
        // Where it speaks it has a session: the word that it opened found a full mailbox.
        if self.post.session(&worker).is_none() {
            self.open(worker.clone());
        }
        if let Some(session) = self.post.session(&worker) {
            // A full mailbox drops it, like any frame.
            let _ = session.send(FromSession(frame));
        }
    }
}

/// One session with one worker.
pub struct WorkerActor {
    name: Name,
    post: Arc<Post>,
    clock: Arc<dyn Clock>,
    heartbeat: Option<(Timestamp, Heartbeat)>,
    log: Logger,
}

impl Actor for WorkerActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(SESSION_MAILBOX);
    }
}

impl Handler<FromSession> for WorkerActor {
    type Result = ();

    fn handle(&mut self, FromSession(frame): FromSession, _: &mut Context<Self>) {
        match frame {
            FromWorker::Register(registration) => {
                if let Some(membership) = self.post.membership() {
                    let (session_of, through) = (self.name.clone(), self.post.me());
                    let _ = membership.send(RegisterWorker { session_of, through, registration });
                }
            }
            FromWorker::Heartbeat(heartbeat) => self.on_heartbeat(heartbeat),
            FromWorker::Reports(reports) => self.on_reports(reports),
            FromWorker::Inventory { incarnation, running, spooled } => {
                for (_, shard) in self.post.shards() {
                    let held = running.iter().chain(&spooled).copied().collect();
                    let _ = shard.send(FromInventory { worker: self.name.clone(), incarnation, held });
                }
            }
            FromWorker::Running { incarnation: _, attempts } => {
                for (id, shard) in self.post.shards() {
                    let own = attempts.iter().filter(|(_, fence)| fence.shard == id);
                    // A full mailbox: they are asked for again.
                    let _ = shard.send(FromAsked { running: own.copied().collect() });
                }
            }
            FromWorker::Log(answer) => {
                if let Some(gateway) = self.post.gateway() {
                    let _ = gateway.send(LogAnswered(answer));
                }
            }
        }
    }
}

impl WorkerActor {
    fn on_heartbeat(&mut self, heartbeat: Heartbeat) {
        Meter::add(&self.post.meter().heartbeats, 1);
        let heard_at = self.clock.wall();
        self.heartbeat = Some((heard_at, heartbeat.clone()));
        let worker = &self.name;
        if let Some(membership) = self.post.membership() {
            let heard = HeardHeartbeat { worker: worker.clone(), heartbeat: heartbeat.clone() };
            let _ = membership.send(HeartbeatCame(heard));
        }
        if let Some(dispatcher) = self.post.dispatcher() {
            let _ = dispatcher.send(HeartbeatHeard { worker: worker.clone(), heartbeat, heard_at });
        }
    }

    /// Reports go to the shard that dispatched them; one that is not led here is dropped, and the agent sends its
    /// reports again when it hears who leads.
    fn on_reports(&mut self, reports: Vec<Report>) {
        let mut by_shard: std::collections::BTreeMap<u32, Vec<Report>> = std::collections::BTreeMap::new();
        for report in reports {
            by_shard.entry(report.fence.shard).or_default().push(report);
        }
        for (shard, reports) in by_shard {
            let sent = self.post.shard(shard).map(|mailbox| mailbox.send(Reported { reports }));
            if !matches!(sent, Some(Ok(()))) {
                debug!(self.log, "reports not taken, the agent keeps them"; "shard" => shard);
            }
        }
    }
}
