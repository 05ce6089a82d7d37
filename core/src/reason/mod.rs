//! Why something is not running: the catalogue of reasons that `explain` prints, each with its actual values.
//! Must not know who found a reason or how: deciders and placement make them, everybody shows them.

mod catalogue;
mod help;
mod json;
mod similar;
mod text;

use serde::{Deserialize, Serialize};

use crate::definition::{Priority, RunIf};
use crate::dispatch::KindTag;
use crate::id::{Name, RunId, TaskKey, TaskRunId, WorkerRef};
use crate::time::{Span, Timestamp};

pub use catalogue::{CATALOGUE, CodeEntry, code_entry};
pub use similar::{nearest, nearest_all};

/// Most workers, holders or task runs that one reason lists; the totals beside the lists stay exact.
pub const LISTED_MAX: usize = 20;

/// Behind how many others a place is still counted exactly; more reads "10000 or more".
pub const AHEAD_COUNT_MAX: u64 = 10_000;

/// One true cause for not running. Its JSON is `{code, name, text, help, params}` and reads back from `name` and
/// `params` alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(remote = "Self", tag = "name", content = "params", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// R101. `open` counts all, `tasks` lists the first.
    WaitsForTask { open: u64, tasks: Vec<TaskStanding> },
    /// R102: it will be skipped. `upstream` lists those that speak against the rule, `open` counts those that it waits for.
    RunIfNotMet { rule: RunIf, upstream: Vec<TaskStanding>, open: u64 },
    /// R106: it will not start in this round.
    RunEnds { why: RunEnding },
    /// R110
    NotBefore { time: Timestamp },
    /// R111. `attempt` is the next one, of at most `attempts_max`.
    Backoff { attempt: u32, attempts_max: u32, time: Timestamp, last_error: String },
    /// R112. So many attempts in a row were lost with their workers; with the `losses_max`th it fails.
    WorkersLost { losses: u32, losses_max: u32, time: Timestamp, worker: Name },
    /// R120
    Paused { scope: PauseScope, by: String, since: Timestamp },
    /// R130. `code` and `cause` say what failed.
    Quarantined { code: String, cause: String, since: Timestamp },
    /// R201. `holders` lists the first of `running`.
    RunsFull { limit: u32, running: u64, holders: Vec<RunId> },
    /// R202. `holders` lists the first of `holding`; with room for it, its home shard has not decided it yet.
    LimitFull { key: String, used: u64, max: u32, needed: u32, holding: u64, holders: Vec<Holder> },
    /// R203. `scope` in words: `namespace "retail"`, `worker group "etl"`; `quota` is what is counted.
    Quota { scope: String, quota: String, used: u64, max: u64 },
    /// R204
    LimitUnknown { key: String },
    /// R205. So many items of `task` are active, of at most `max`.
    ItemsFull { task: Name, active: u32, max: u32 },
    /// R301. `workers` lists the first of `total`.
    NoCapacity { group: Name, total: u64, workers: Vec<Shortage> },
    /// R302
    Overloaded { group: Name, total: u64, workers: Vec<Overload> },
    /// R303
    GroupEmpty { group: Name, last_seen: Option<LastSeen>, similar: Vec<Name> },
    /// R304. `similar` is sorted by likeness.
    GroupUnknown { group: Name, groups: Vec<Name>, similar: Vec<Name> },
    /// R305. `requirement` in words: `label zone = eu-1`.
    NoMatchingWorker { group: Name, requirement: String, total: u64, workers: Vec<Mismatch> },
    /// R306
    WorkersDraining { group: Name, total: u64, workers: Vec<Withheld> },
    /// R307, also for workers that are too old for the kind.
    KindUnsupported { group: Name, kind: KindTag, total: u64, workers: Vec<WorkerVersion> },
    /// R308. Workers of other zones that have room will do after `until`; without it they would do now.
    ZoneWait { group: Name, zone: String, until: Option<Timestamp>, total: u64, workers: Vec<Mismatch> },
    /// R309
    WorkersQuarantined { group: Name, total: u64, workers: Vec<Distrusted> },
    /// R402. `ahead` counts up to `AHEAD_COUNT_MAX`; 0 means that it is next. `ageing`: after that long it rises
    /// by one level.
    Behind {
        group: Name,
        ahead: u64,
        first: Vec<Ahead>,
        ageing: Option<Span>,
        #[serde(default)]
        among: Among,
    },
    /// R501
    SentNotAcknowledged { worker: WorkerRef, since: Timestamp, stage: SentStage },
    /// R502. `lost_at`: when it will be declared lost.
    WorkerSilent { worker: WorkerRef, last_heartbeat: Timestamp, lost_at: Option<Timestamp> },
    /// R601. `seen` names the members that answer, of which `needed` must.
    NoLeader { raft_group: u32, seen: Vec<String>, needed: u32 },
    /// R603. What is being rebuilt, in words, and how far it is.
    Starting { what: String, done: u64, total: u64 },
}

impl Reason {
    /// Of a limit that has room for it: its home shard has not decided it yet.
    pub fn is_undecided(&self) -> bool {
        match self {
            Reason::LimitFull { used, max, needed, .. } => used + u64::from(*needed) <= u64::from(*max),
            _ => false,
        }
    }
}

/// A task and its state in words, as the states table of the UX guide has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStanding {
    pub task: Name,
    pub state: String,
}

/// What was paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseScope {
    Schedule(Name),
}

/// Why a run starts nothing new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnding {
    /// `on_failure: stop`, and this task failed first.
    Failed(Name),
    /// Who cancelled it.
    Cancelled(String),
}

/// Behind whom a task run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Among {
    /// Those that ask for the same, which it never overtakes.
    #[default]
    Shape,
    /// The others of its worker group, which come first as long as they can be placed.
    Group,
}

/// A task run that holds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub run: RunId,
    pub task: TaskKey,
    pub since: Timestamp,
}

/// One worker that lacks room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shortage {
    pub worker: Name,
    pub dimension: Dimension,
    pub free: u64,
    pub total: u64,
    pub needed: u64,
    /// Task runs that hold the rest.
    pub holders: u64,
}

/// What a worker has a measured amount of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    Slots,
    /// Thousandths of a core.
    Cpu,
    /// MiB
    Memory,
    /// MiB
    Disk,
    Gpu,
    /// What the worker declares.
    Named(Name),
    /// Free slots as the worker itself judged them when it last refused; holds until its next heartbeat.
    SlotsRefused,
}

/// One worker over a threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overload {
    pub worker: Name,
    /// `load1`, `cpu_percent`, `pressure_cpu`, …
    pub metric: String,
    pub value: f64,
    pub limit: f64,
}

/// The last worker of a group that has none now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastSeen {
    pub worker: Name,
    pub at: Timestamp,
}

/// What a worker has instead of what is required.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    pub worker: Name,
    pub difference: String,
}

/// A worker that somebody keeps from new work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withheld {
    pub worker: Name,
    pub how: WithheldHow,
    pub by: String,
    pub since: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithheldHow {
    Draining,
    Cordoned,
}

/// A worker on which different tasks failed in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distrusted {
    pub worker: Name,
    pub failures: u64,
    /// Until when it gets nothing; without it, it is tried with one task run at a time.
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerVersion {
    pub worker: Name,
    pub version: String,
}

/// A ready task run that comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    pub run: RunId,
    pub task: TaskKey,
    pub run_priority: Priority,
    pub task_priority: Priority,
    pub since: Timestamp,
}

impl Ahead {
    pub fn task_run(&self) -> TaskRunId {
        TaskRunId { run: self.run, key: self.task }
    }
}

/// How far a chosen worker's start of an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SentStage {
    /// The worker is chosen; the shard has not committed it yet.
    Granted,
    /// Committed and sent.
    Sent { next_resend: Timestamp },
}
