//! Frames between masters, and between masters and workers, as the actors see them.
//! Must not know sockets: a frame is bytes once encoded, and a peer is a `NodeId`. Encoding cannot fail; who builds a
//! batch keeps it below `FRAME_BYTES_MAX`, since no reader takes more.

mod envelope;
mod from_worker;
mod peer;
mod raft;
mod to_worker;

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use hortator_core::definition::ValueType;
use hortator_core::dispatch::stream::{DispatcherFrame, DispatcherTerm, OfferFrame};
use hortator_core::dispatch::{Amounts, KindTag, Metric, Resource, WEIGHT_DEFAULT, WorkerClass};
use hortator_core::event::AttemptEnd;
use hortator_core::id::{AttemptId, Fence, Incarnation, Name, RunId, WorkerRef, fnv1a64};
use hortator_core::time::{Span, Timestamp};

pub use self::envelope::{Content, Envelope, Links, RelayedPath, Route, SpeaksFor};
use crate::codec::Format;
pub use crate::error::DecodeError;

/// Largest frame on any connection (architecture section 10, point 8).
pub const FRAME_BYTES_MAX: usize = 16 << 20;

const FORMAT: Format = Format { version: 1, bytes_max: FRAME_BYTES_MAX };

macro_rules! framed {
    ($($frame:ident),+) => {$(
        impl $frame {
            pub fn encode(&self) -> Bytes {
                FORMAT.encode(self)
            }

            pub fn decode(bytes: &[u8]) -> Result<$frame, DecodeError> {
                FORMAT.decode(bytes)
            }

            /// The same without copying: payloads share the frame's memory and keep it alive.
            pub fn decode_shared(bytes: &Bytes) -> Result<$frame, DecodeError> {
                FORMAT.decode_shared(bytes)
            }
        }
    )+};
}

framed!(Handshake, ToWorker, FromWorker);

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeId {
    Master(u64),
    Worker(Name),
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NodeId::Master(id) => write!(f, "n{id}"),
            NodeId::Worker(name) => write!(f, "{name}"),
        }
    }
}

/// The first frame of a connection, both ways: nothing else is read before the cluster is the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    pub cluster: [u8; 16],
    pub node: NodeId,
    pub version: String,
    /// The node's boot counter, so that a connection of an earlier life is known as such.
    pub boot: u64,
}

/// Between two masters.
#[derive(Clone, Debug, PartialEq)]
pub enum PeerFrame {
    /// Opaque to all but `hortator-raft`.
    Raft { group: u32, payload: Bytes },
    /// Exchanged per group when a connection opens: how a restored or emptied directory is found out.
    Hello { group: u32, payload: Bytes },
    /// A shard leader shows its ready task runs to the membership leader.
    Offers(OfferFrame),
    /// The Dispatcher's answer.
    Dispatcher(DispatcherFrame),
    /// "I dispatch in this term; show me what you have." Sent by the membership leader when its term begins, and in
    /// answer to a shard that asks.
    DispatcherHere { term: DispatcherTerm },
    /// A request of a client, passed on to the leader of its group. `body` is JSON of `api::Request`.
    Request { id: u64, body: Bytes },
    /// JSON of `api::Response`.
    Response { id: u64, body: Bytes },
    /// Heartbeats that came to a master that does not lead the membership group, passed on to the one that does.
    Heartbeats(Vec<HeardHeartbeat>),
    /// The membership leader acknowledges heartbeats, through the master that heard them.
    HeartbeatsSeen { term: u64, lease: Span, seen: Vec<(Name, u64)> },
    /// What the sender leads and how busy it is, to the membership leader.
    Load(LoadReport),
    /// The membership leader asks the shard's leader to hand it over.
    HandShardOver { shard: u32, to: u64 },
    /// A registration that came to a master that does not lead the membership group.
    Registration(Registration),
    /// Its answer, through the master that passed it on.
    Registered { term: u64, worker: Name, life: LifeId, incarnation: Incarnation, cluster: [u8; 16] },
}

/// A worker's heartbeat, as its session said it.
#[derive(Clone, Debug, PartialEq)]
pub struct HeardHeartbeat {
    pub worker: Name,
    pub heartbeat: Heartbeat,
}

/// A master's work, each second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoadReport {
    /// Time since it started.
    pub up: Span,
    /// Of its host, per cent of all cores.
    pub cpu_percent: f32,
    pub leads: Vec<LedShard>,
    /// The time by its clock.
    pub wall: Timestamp,
    pub sums: Vec<RowSum>,
    /// How many are connected to it.
    pub workers: u32,
}

/// The sum of a group's rows after an entry: the same on every replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSum {
    pub group: u32,
    pub index: u64,
    pub sum: u64,
}

/// A shard that a master leads. `heirs`: masters that could take over at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedShard {
    pub shard: u32,
    pub term: u64,
    pub runs: u64,
    pub proposals_per_second: u64,
    pub heirs: Vec<u64>,
}

/// From a master to a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum ToWorker {
    /// The life that counts, by commit. To the one that asked it is its registration; an answer to an earlier life of
    /// that name counts for nothing; and whoever is told a younger one registers once more, as a younger one still.
    Registered {
        life: LifeId,
        incarnation: Incarnation,
        cluster: [u8; 16],
    },
    /// This master leads the shard in that term: reports of its attempts go here. `watermark`: every fence of the
    /// shard below it has ended by commit.
    Leads {
        shard: u32,
        term: u64,
        watermark: Fence,
    },
    Run(Vec<RunAttempt>),
    Stop(Vec<StopAttempt>),
    /// A leader in doubt asks what became of these; one that was never seen is decided now, as refused.
    Ask {
        incarnation: Incarnation,
        attempts: Vec<(AttemptId, Fence)>,
    },
    /// These reports are committed and may leave the spool.
    Acknowledge {
        reports: Vec<(AttemptId, Fence)>,
        watermark: Fence,
    },
    /// The membership leader, confirmed as such after that heartbeat came, believes the worker alive for `lease` from
    /// its sending; zero means that this cluster keeps no leases. It may come through another master.
    HeartbeatSeen {
        sequence: u64,
        lease: Span,
        leader: u64,
    },
    /// No attempt of these runs is left: their shared directories may go.
    RunsEnded(Vec<RunId>),
    ReadLog(LogRequest),
    /// The masters there are, with the addresses at which workers reach them. Said when a session opens and when the
    /// list changes. `index`: of the membership group's log, how new the list is.
    Members {
        masters: Vec<MasterAddress>,
        index: u64,
    },
}

/// Where a master is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterAddress {
    pub id: u64,
    /// `HOST:PORT`.
    pub address: String,
    /// Of its API, likewise; empty where it has none that others reach.
    pub api: String,
}

/// Everything an agent needs to start an attempt. `incarnation` is the life it is meant for.
#[derive(Clone, Debug, PartialEq)]
pub struct RunAttempt {
    pub attempt: AttemptId,
    pub fence: Fence,
    pub incarnation: Incarnation,
    /// The term of the shard's leader; a worker refuses a lower one than it has seen.
    pub term: u64,
    pub namespace: Name,
    pub workflow: Name,
    pub task: Name,
    /// Set for the items of a `foreach`.
    pub item: Option<u32>,
    pub slots: u32,
    /// What it holds beside slots.
    pub resources: Amounts,
    /// Those of the worker's devices that are its own.
    pub devices: Vec<String>,
    pub program: Program,
    /// Rendered by the leader: inputs, the item and the task's own variables.
    pub env: BTreeMap<String, String>,
    pub outputs: BTreeMap<String, ValueType>,
    pub grace: Span,
    pub timeout: Option<Span>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Program {
    Noop,
    Script { interpreter: String, text: String },
    File { interpreter: String, path: String },
}

#[derive(Clone, Debug, PartialEq)]
pub struct StopAttempt {
    pub attempt: AttemptId,
    pub fence: Fence,
    pub incarnation: Incarnation,
    pub cause: hortator_core::event::StopCause,
}

/// From a worker to a master.
#[derive(Clone, Debug, PartialEq)]
pub enum FromWorker {
    Register(Registration),
    Heartbeat(Heartbeat),
    Reports(Vec<Report>),
    /// What the agent holds, at session start and on request.
    Inventory {
        incarnation: Incarnation,
        running: Vec<(AttemptId, Fence)>,
        spooled: Vec<(AttemptId, Fence)>,
    },
    Log(LogAnswer),
    /// Of the attempts that a leader asked for, those that run. Of the others it has or gets a report.
    Running {
        incarnation: Incarnation,
        attempts: Vec<(AttemptId, Fence)>,
    },
}

/// A new life asks to be known. Holding the warden's lock under the same kernel boot proves the earlier lives'
/// attempts dead.
#[derive(Clone, Debug, PartialEq)]
pub struct Registration {
    pub name: Name,
    pub life: LifeId,
    pub facts: Box<WorkerProfile>,
    /// The lock was got and the boot id is that of the last life, or there was none.
    pub earlier_lives_dead: bool,
    /// Attempts of earlier lives whose end lies in the spool: they end by their reports.
    pub spooled: Vec<(AttemptId, Fence)>,
}

/// One life of a worker's agent, from its own side: however often and late its registration comes, it is one. Ordered:
/// a registration of a lower one is late and changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LifeId {
    /// Rises from life to life, also over processes: the wall clock when it began, or more than what was told.
    pub number: u64,
    /// Drawn anew for each life.
    pub nonce: u128,
}

#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct WorkerProfile {
    pub groups: Vec<Name>,
    pub slots: u32,
    pub kinds: Vec<KindTag>,
    pub zone: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub version: String,
    pub host: String,
    /// What it has beside slots and devices.
    #[serde(default)]
    pub resources: Amounts,
    /// What task processes call its devices.
    #[serde(default)]
    pub devices: Vec<String>,
    /// Against other workers' weights.
    #[serde(default = "usual_weight")]
    pub weight: u32,
    /// Its own limits, in per cent; where it has none, those of its group count.
    #[serde(default)]
    pub thresholds: BTreeMap<Metric, f64>,
}

impl WorkerProfile {
    /// Workers that declare the same are alike, as far as durations go.
    pub fn class(&self) -> WorkerClass {
        let WorkerProfile { resources, devices, .. } = self;
        fnv1a64(format!("{resources:?} {}", devices.len()).as_bytes()) as WorkerClass
    }

    /// All it has, slots and devices too.
    pub fn total(&self) -> Amounts {
        let total = self.resources.clone().with(Resource::Slots, u64::from(self.slots));
        total.with(Resource::Gpu, self.devices.len() as u64)
    }
}

fn usual_weight() -> u32 {
    WEIGHT_DEFAULT
}

impl Default for WorkerProfile {
    /// A worker without a place, for all else to be said.
    fn default() -> WorkerProfile {
        WorkerProfile {
            groups: Vec::new(),
            slots: 0,
            kinds: Vec::new(),
            zone: None,
            labels: BTreeMap::new(),
            version: String::new(),
            host: String::new(),
            resources: Amounts::default(),
            devices: Vec::new(),
            weight: WEIGHT_DEFAULT,
            thresholds: BTreeMap::new(),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heartbeat {
    pub incarnation: Incarnation,
    pub sequence: u64,
    pub running_slots: u32,
    pub running: u32,
    /// Per cent of all cores.
    pub cpu_percent: f32,
    pub memory_used: u64,
    pub memory_total: u64,
    pub disk_free: u64,
    pub load1: f32,
    /// Per cent of time that some process waited for the CPU, over ten seconds.
    pub pressure_cpu: f32,
    pub log_bytes_dropped: u64,
    /// What running attempts hold beside slots.
    pub resources: Amounts,
    pub disk_total: u64,
    pub pressure_memory: f32,
    pub pressure_io: f32,
    /// For what `load1` means; 0 where it is not known.
    pub cores: u32,
}

/// The worker's word for one fence.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub attempt: AttemptId,
    pub fence: Fence,
    pub worker: WorkerRef,
    pub word: Word,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Word {
    /// It ran, or could not be started by the host, and is over.
    Ended(AttemptEnd),
    /// It was never started and never will be.
    Refused { why: String },
}

/// A piece of an attempt's log.
#[derive(Clone, Debug, PartialEq)]
pub struct LogRequest {
    pub id: u64,
    pub attempt: AttemptId,
    pub namespace: Name,
    pub workflow: Name,
    pub task: Name,
    pub item: Option<u32>,
    pub offset: u64,
    pub bytes_max: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LogAnswer {
    pub id: u64,
    pub result: Result<LogChunk, String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LogChunk {
    /// Whole lines.
    pub bytes: Bytes,
    pub next_offset: u64,
    /// The attempt still writes.
    pub open: bool,
}

/// Agent's clock around start and reap.
pub type AgentTime = Timestamp;
