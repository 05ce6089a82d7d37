//! The worker's side: one agent per worker, which runs what shard leaders dispatch and gives its word on it.
//!
//! ```text
//!  transport ─frames─▶ inbox ─▶ Agent ─▶ machine (pure: ledger, life, leaders, reports) ─effects─▶ spool, then frames
//!  launcher ─events─────▲         └─▶ AttemptActor ─stop─▶ launcher
//! ```
//!
//! Must not know sockets, files or processes except through the seams.

mod actor;
mod attempt;
mod inbox;
mod launch;
mod leaders;
mod ledger;
mod life;
mod machine;
mod reports;
mod spool;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use hortator_core::id::{Incarnation, Name};
use hortator_core::time::Span;
use hortator_proto::frame::WorkerProfile;
use slog::Logger;
use tokio::sync::oneshot;

use self::actor::{Agent, CloseIntake, Observe, StopAgent};
pub use self::machine::Ignored;
use crate::mailbox::{Mailbox, Meter};
use crate::mutant::Mutant;
use crate::seam::{
    Clock, EntropySource, HostMetrics, Launcher, LogReader, Room, Rooms, SpoolFile, Transport,
};

/// Who the worker is. Which masters it talks to is the transport's: it knows their addresses.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    pub name: Name,
    pub profile: WorkerProfile,
    /// The launcher's warden holds the lock, under the kernel boot of the last life or as the first life of all.
    pub earlier_lives_dead: bool,
    pub mutant: Mutant,
}

/// All that an agent needs of the world.
pub struct AgentSeams {
    pub clock: Arc<dyn Clock>,
    pub entropy: EntropySource,
    pub transport: Arc<dyn Transport>,
    pub launcher: Arc<dyn Launcher>,
    pub logs: Arc<dyn LogReader>,
    pub host: Box<dyn HostMetrics>,
    pub meter: Arc<Meter>,
}

impl fmt::Debug for AgentSeams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentSeams")
    }
}

/// Between two looks whether a draining agent is empty: short against what a task takes.
const DRAIN_LOOK: Duration = Duration::from_millis(20);

/// What the node keeps of its agent. Usable from any thread.
#[derive(Clone)]
pub struct AgentHandle {
    agent: Shared<BoxFuture<'static, Option<Mailbox<Agent>>>>,
}

impl fmt::Debug for AgentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgentHandle")
    }
}

/// How the agent is, for the shell.
#[derive(Clone, Debug, serde::Serialize)]
pub struct AgentObservation {
    pub name: Name,
    pub incarnation: Option<Incarnation>,
    pub membership_leader: Option<String>,
    /// When the heartbeat was sent that was acknowledged last, in time since boot; zero before the first.
    pub renewed_at: Span,
    pub sessions: Vec<String>,
    pub running: usize,
    pub slots_taken: u32,
    /// Attempts that are over and acknowledged, remembered so that none starts twice.
    pub settled: usize,
    /// Unacknowledged.
    pub reports: usize,
    pub spool_bytes: usize,
    pub ignored: Ignored,
    pub frames_dropped: u64,
    /// Refused, since their group has had a later leader.
    pub frames_of_old_terms: u64,
    pub frames_unsent: u64,
    pub turns: u64,
    pub busy_micros: u64,
}

/// Starts the agent in its room and returns at once.
pub fn start(
    rooms: &dyn Rooms,
    config: AgentConfig,
    seams: AgentSeams,
    spool: Box<dyn SpoolFile>,
    log: &Logger,
) -> AgentHandle {
    let (sender, receiver) = oneshot::channel();
    let log = log.clone();
    let work = move || drop(sender.send(Agent::start_here(config, seams, spool, &log)));
    rooms.enter(Room::Agent, Box::new(work));
    AgentHandle { agent: receiver.map(Result::ok).boxed().shared() }
}

impl AgentHandle {
    /// None when the agent has stopped.
    pub async fn observe(&self) -> Option<AgentObservation> {
        self.agent.clone().await?.ask(Observe).await.ok()
    }

    /// Starts nothing more. Returns when nothing runs and all that was said is acknowledged; whoever is not that patient
    /// drops it.
    pub async fn drain(&self) {
        let Some(agent) = self.agent.clone().await else { return };
        // An agent that is gone runs nothing.
        let _ = agent.ask(CloseIntake).await;
        while let Ok(seen) = agent.ask(Observe).await {
            if seen.running == 0 && seen.reports == 0 {
                return;
            }
            tokio::time::sleep(DRAIN_LOOK).await;
        }
    }

    /// Kills what runs and ends the agent. Reports that nobody has acknowledged stay in the spool.
    pub async fn stop(&self) {
        if let Some(agent) = self.agent.clone().await {
            // An agent that is gone has stopped.
            let _ = agent.ask(StopAgent).await;
        }
    }
}
