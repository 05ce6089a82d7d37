//! The seams between the actors and the world: clock, transport, launcher, rooms. `src/env` implements them for
//! production, `hortator-simulations` for tests. Monotonic time for timers is tokio's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use hortator_core::definition::ValueType;
use hortator_core::id::{AttemptId, Fence, Name, RunId};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::frame::{LogAnswer, LogRequest, MasterAddress, NodeId};
use hortator_raft::{Entropy, StoreBackend};
use serde_json::Value;

/// All that a node needs of the world.
#[derive(Clone)]
pub struct Seams {
    pub clock: Arc<dyn Clock>,
    pub entropy: EntropySource,
    pub store: Arc<dyn StoreBackend>,
    pub transport: Arc<dyn Transport>,
    pub rooms: Arc<dyn Rooms>,
    pub host: HostSource,
}

/// Gives each who asks a look at the host of its own.
pub type HostSource = Arc<dyn Fn() -> Box<dyn HostMetrics> + Send + Sync>;

/// Gives each who asks, by name, a generator of its own.
pub type EntropySource = Arc<dyn Fn(&str) -> Box<dyn Entropy> + Send + Sync>;

/// Where a launcher's events go.
pub type LaunchListener = Arc<dyn Fn(Vec<LaunchEvent>) + Send + Sync>;

impl fmt::Debug for Seams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seams")
    }
}

/// Wall time, and the time since boot that goes on in suspend (CLOCK_BOOTTIME).
pub trait Clock: Send + Sync {
    fn wall(&self) -> Timestamp;
    fn boot(&self) -> Span;
}

/// Where actors live: a room is a thread with a runtime in production, a set of tasks in a simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Room {
    /// The Raft drivers of all groups.
    Raft,
    /// The deciding actors of one group.
    Deciders(u32),
    /// Sessions and the Gateway.
    Edge,
    /// Answering reads from rows, which may take long.
    Reads,
    /// A worker's agent and attempts.
    Agent,
}

pub trait Rooms: Send + Sync {
    /// Runs `work` inside the room, where it may start actors.
    fn enter(&self, room: Room, work: Box<dyn FnOnce() + Send>);
}

/// Frames to and from other nodes, in order per pair and direction while a session lasts; a frame may be lost.
pub trait Transport: Send + Sync {
    /// Hands over one encoded frame of at most `FRAME_BYTES_MAX`; never waits.
    fn send(&self, to: &NodeId, frame: Bytes) -> Result<(), SendError>;
    /// Where incoming frames and session changes go; called once, before the first send.
    fn listen(&self, incoming: Arc<dyn Incoming>);
    /// These masters there are, this one included, with the addresses at which this node reaches them. Nothing to do
    /// where links are given. `removed`: ids that belonged to the cluster and never will again, so that nobody of that
    /// id is spoken with; one who is in neither list may be new.
    fn masters_changed(&self, masters: &[MasterAddress], removed: &BTreeSet<u64>) {
        let _ = (masters, removed);
    }
}

pub trait Incoming: Send + Sync {
    fn frame(&self, from: &NodeId, frame: Bytes);
    fn session_opened(&self, peer: &NodeId);
    /// The session ended; never evidence of anybody's death.
    fn session_closed(&self, peer: &NodeId);
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("no session with {0}")]
    NotConnected(NodeId),
    #[error("{bytes} bytes wait to be sent to {to}, at most {max} may")]
    Full { to: NodeId, bytes: usize, max: usize },
}

/// Starts, signals and awaits the processes of attempts. Every call hands over and returns at once; what happens
/// comes back as `LaunchEvent`s.
pub trait Launcher: Send + Sync {
    /// Where events go, in batches and in order; called once, before the first start.
    fn listen(&self, events: LaunchListener);
    fn start(&self, specs: Vec<LaunchSpec>);
    fn stop(&self, attempt: AttemptId, fence: Fence, how: Stop);
    /// Past this time since boot everything is killed and nothing starts; `None` lifts it.
    fn set_deadline(&self, boot: Option<Span>);
    /// The run's shared directory may go.
    fn run_ended(&self, run: RunId);
    /// Kills everything and ends the warden.
    fn shutdown(&self);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// TERM, then KILL after the attempt's grace.
    Term,
    Kill,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LaunchSpec {
    pub attempt: AttemptId,
    pub fence: Fence,
    pub names: LaunchNames,
    pub program: LaunchProgram,
    pub env: BTreeMap<String, String>,
    pub outputs: BTreeMap<String, ValueType>,
    pub grace: Span,
    /// For `HTR_DEADLINE` only: the shard enforces timeouts.
    pub deadline: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchNames {
    pub namespace: Name,
    pub workflow: Name,
    pub task: Name,
    pub item: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchProgram {
    Script { interpreter: String, text: String },
    File { interpreter: String, path: String },
}

#[derive(Clone, Debug, PartialEq)]
pub enum LaunchEvent {
    Started {
        attempt: AttemptId,
        fence: Fence,
        pid: u32,
        at: Timestamp,
    },
    Ended(LaunchEnd),
    /// The warden is gone and with it every process: the agent's life is over.
    WardenGone {
        reason: String,
    },
    /// A new warden holds the lock: the agent may begin a new life. Never sent for the first warden, which is there
    /// before the agent is. `earlier_lives_dead`: same kernel boot, so nothing of earlier lives can be left.
    WardenReady {
        earlier_lives_dead: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub struct LaunchEnd {
    pub attempt: AttemptId,
    pub fence: Fence,
    pub started_at: Option<Timestamp>,
    pub finished_at: Timestamp,
    pub result: LaunchResult,
    pub outputs: BTreeMap<String, Value>,
    pub log: LogStat,
}

#[derive(Clone, Debug, PartialEq)]
pub enum LaunchResult {
    Exited {
        code: i32,
    },
    Signalled {
        signal: i32,
    },
    /// The host could not start it; a sentence that says why and what to do.
    NotStarted {
        error: String,
    },
    /// Exit code 0, but what it wrote to `HTR_OUTPUT` is not what the task declares.
    OutputsInvalid {
        error: String,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStat {
    pub bytes_kept: u64,
    pub bytes_dropped: u64,
}

/// Reads the logs that attempts leave on this host.
pub trait LogReader: Send + Sync {
    /// Hands the request over and returns at once; `reply` is called once, on any thread.
    fn read(&self, request: &LogRequest, reply: Box<dyn FnOnce(LogAnswer) + Send>);
}

/// How busy the host is.
pub trait HostMetrics: Send {
    /// A fresh look; must not take longer than a few hundred microseconds.
    fn sample(&mut self) -> HostSample;
}

/// What a heartbeat says about the host; see `Heartbeat` for the units.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct HostSample {
    pub cpu_percent: f32,
    pub memory_used: u64,
    pub memory_total: u64,
    pub disk_free: u64,
    pub load1: f32,
    pub pressure_cpu: f32,
    pub disk_total: u64,
    pub pressure_memory: f32,
    pub pressure_io: f32,
    pub cores: u32,
}

/// The file of the reports that no master has acknowledged: whole records in order. Nothing is synced: it outlives
/// its process, not its host.
pub trait SpoolFile: Send {
    /// Every whole record, oldest first; what a crash tore off at the end is gone, here and in the file.
    fn read(&mut self) -> io::Result<Vec<Bytes>>;
    fn append(&mut self, record: &[u8]) -> io::Result<()>;
    /// Puts these in place of all there was, in one step.
    fn replace(&mut self, records: &[Bytes]) -> io::Result<()>;
}
