//! `AttemptActor`: one running process attempt. Passes stops on to the launcher, remembers who asked for them, and
//! turns the process' end into the worker's word. Must not know masters, fences' rules or the spool.

use std::sync::Arc;

use actix::prelude::*;
use hortator_core::event::StopCause;
use hortator_core::id::{AttemptId, Fence};
use hortator_core::time::Timestamp;
use slog::{Logger, debug, info};

use super::inbox::{Inbound, Inbox};
use super::launch::attempt_end;
use crate::context::Context;
use crate::mailbox::Meter;
use crate::seam::{LaunchEnd, Launcher, Stop};

/// A stop may be repeated each second while a process takes its grace; the actor reads faster than that.
pub(crate) const ATTEMPT_MAILBOX: usize = 16;

pub(crate) struct AttemptActor {
    pub(crate) attempt: AttemptId,
    pub(crate) fence: Fence,
    pub(crate) launcher: Arc<dyn Launcher>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) log: Logger,
    /// Why it was asked to end, and since when.
    stop: Option<(StopCause, Timestamp)>,
}

impl AttemptActor {
    pub(crate) fn new(
        attempt: AttemptId,
        fence: Fence,
        launcher: Arc<dyn Launcher>,
        inbox: Arc<Inbox>,
        meter: Arc<Meter>,
        log: Logger,
    ) -> AttemptActor {
        AttemptActor { attempt, fence, launcher, inbox, meter, log, stop: None }
    }
}

impl Actor for AttemptActor {
    type Context = Context<AttemptActor>;

    fn started(&mut self, ctx: &mut Context<AttemptActor>) {
        ctx.set_mailbox_capacity(ATTEMPT_MAILBOX);
    }
}

/// A master wants it to end. Later ones only change the reason: a cancel may overtake a timeout.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct StopAttempt {
    pub(crate) cause: StopCause,
    pub(crate) at: Timestamp,
}

/// The life is over, or the attempt is nobody's any more.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct KillAttempt;

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ProcessStarted {
    pub(crate) pid: u32,
}

#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct ProcessEnded(pub(crate) LaunchEnd);

/// The warden is gone, and the process with it: there is no end to report.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Forget;

impl Handler<StopAttempt> for AttemptActor {
    type Result = ();

    fn handle(&mut self, stop: StopAttempt, _: &mut Context<AttemptActor>) {
        match &mut self.stop {
            Some((cause, _)) => *cause = stop.cause,
            None => {
                self.stop = Some((stop.cause, stop.at));
                self.launcher.stop(self.attempt, self.fence, Stop::Term);
            }
        }
    }
}

impl Handler<KillAttempt> for AttemptActor {
    type Result = ();

    fn handle(&mut self, _: KillAttempt, _: &mut Context<AttemptActor>) {
        self.launcher.stop(self.attempt, self.fence, Stop::Kill);
    }
}

impl Handler<ProcessStarted> for AttemptActor {
    type Result = ();

    fn handle(&mut self, started: ProcessStarted, _: &mut Context<AttemptActor>) {
        debug!(self.log, "attempt started"; "fence" => %self.fence, "pid" => started.pid);
    }
}

impl Handler<ProcessEnded> for AttemptActor {
    type Result = ();

    fn handle(&mut self, ProcessEnded(end): ProcessEnded, ctx: &mut Context<AttemptActor>) {
        debug!(self.log, "attempt ended"; "fence" => %self.fence, "result" => ?end.result);
        let log_bytes_dropped = end.log.bytes_dropped;
        Meter::add(&self.meter.log_bytes, end.log.bytes_kept);
        Meter::add(&self.meter.log_dropped, log_bytes_dropped);
        let end = attempt_end(end, self.stop);
        let (attempt, fence) = (self.attempt, self.fence);
        self.inbox.push([Inbound::AttemptOver { attempt, fence, end, log_bytes_dropped }]);
        ctx.stop();
    }
}

impl Handler<Forget> for AttemptActor {
    type Result = ();

    fn handle(&mut self, _: Forget, ctx: &mut Context<AttemptActor>) {
        info!(self.log, "attempt forgotten with its warden"; "fence" => %self.fence);
        ctx.stop();
    }
}
