//! What clients ask and are told, as JSON; masters pass the same on to each other.
//! Must not know HTTP: paths and status codes are the root package's.

mod inside;

use std::collections::BTreeMap;

use hortator_core::access::{Role, SecretHash};
use hortator_core::cluster::{JoinRole, JoinedAs, Joiner};
use hortator_core::definition::Priority;
use hortator_core::event::Event;
use hortator_core::id::{Name, Position, RunId, TaskKey, WorkflowName};
use hortator_core::lease::Leases;
use hortator_core::reason::Reason;
use hortator_core::retention::HistoryRule;
use hortator_core::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use inside::{
    ActorOrder, ActorView, ActorsView, KindView, LoadView, LogEntryView, LogView, LogWriteView, Look,
    RaftGroupView, RaftPeerView, RaftView, Sight,
};

/// Most items of one page.
pub const PAGE_MAX: u32 = 5_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    Command(Command),
    Query(Query),
}

/// Changes something; answered after commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// `canonical` is the checked definition as JSON text; `source` what the person wrote.
    Apply {
        name: WorkflowName,
        source: String,
        canonical: String,
        hash: String,
        if_version: Option<u32>,
        by: String,
    },
    Start {
        workflow: WorkflowName,
        version: Option<u32>,
        inputs: BTreeMap<String, Value>,
        priority: Option<Priority>,
        key: Option<String>,
        by: String,
    },
    Cancel {
        run: RunId,
        reason: Option<String>,
        by: String,
    },
    RetryFailed {
        run: RunId,
        by: String,
    },
    /// The secret is drawn and shown at the edge; only its hash comes here. `valid_for`: none means for ever.
    TokenCreate {
        name: Name,
        hash: SecretHash,
        role: Role,
        valid_for: Option<Span>,
    },
    TokenRevoke {
        name: Name,
    },
    /// Whether a worker is to get new work.
    OrderWorker {
        name: Name,
        order: WorkerOrder,
        by: String,
    },
    ChangeSettings {
        change: SettingsChange,
        by: String,
    },
    /// Makes a token that lets one node in. The secret is drawn at the edge; only its hash comes here.
    JoinTokenCreate {
        id: String,
        hash: SecretHash,
        role: JoinRole,
        valid_for: Span,
    },
    /// A node shows its join token. `key`: hash of its public key; it may ask again with the same one.
    Redeem {
        token: String,
        hash: SecretHash,
        key: SecretHash,
        joiner: Joiner,
    },
    MasterRemove {
        id: u64,
    },
    /// A master says where it is reached now. Taken from that master itself only.
    MasterMove {
        id: u64,
        peer: String,
        worker: String,
        api: String,
    },
}

/// Settings of the whole cluster; what is not named stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsChange {
    pub worker_lease: Option<Span>,
    pub declare_lost: Option<Span>,
    pub history_keep: Option<Span>,
    pub history_keep_runs: Option<u32>,
}

/// What people may order about a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerOrder {
    /// Nothing new; it stays.
    Cordon,
    /// New work again.
    Uncordon,
    /// Nothing new; what it has is to end, and then it is free to leave.
    Drain,
}

/// Reads; answered at the leader after a ReadIndex round, or by this replica when `local`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Query {
    Workflows {
        namespace: Option<Name>,
        after: Option<WorkflowName>,
        limit: u32,
    },
    /// `version`: none means the latest.
    Workflow {
        name: WorkflowName,
        version: Option<u32>,
    },
    Runs {
        filter: RunFilter,
        before: Option<RunId>,
        limit: u32,
    },
    Run {
        run: RunId,
    },
    /// The nth newest run of a workflow, 0 = the newest.
    NthRun {
        workflow: WorkflowName,
        back: u32,
    },
    /// `states`: state words; empty means all.
    TaskRuns {
        run: RunId,
        states: Vec<String>,
        after: Option<TaskKey>,
        limit: u32,
    },
    /// One task run with all its attempts.
    TaskRun {
        run: RunId,
        task: TaskSelector,
    },
    /// History after a log index of the run's shard, oldest first.
    Events {
        run: RunId,
        after: u64,
        limit: u32,
    },
    Explain {
        run: RunId,
        task: Option<TaskSelector>,
    },
    Workers,
    Status,
    Tokens,
    Settings,
    Masters,
    /// How far a group is: what was acknowledged before the question is at or below the answer.
    Position {
        group: u32,
    },
}

/// Who answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// The master that is asked, leader or not.
    Here,
    /// The leader of the membership group.
    Membership,
    Shard(u32),
    /// Every shard; the answers are merged.
    EveryShard,
}

impl Request {
    pub fn home(&self, shards: u32) -> Home {
        match self {
            Request::Command(Command::Apply { name, .. }) => Home::Shard(name.shard(shards)),
            Request::Command(Command::Start { workflow, .. }) => Home::Shard(workflow.shard(shards)),
            Request::Command(Command::Cancel { run, .. } | Command::RetryFailed { run, .. }) => {
                Home::Shard(run.shard())
            }
            Request::Query(Query::Workflow { name, .. }) => Home::Shard(name.shard(shards)),
            Request::Query(Query::NthRun { workflow, .. }) => Home::Shard(workflow.shard(shards)),
            Request::Query(
                Query::Run { run }
                | Query::TaskRuns { run, .. }
                | Query::TaskRun { run, .. }
                | Query::Events { run, .. }
                | Query::Explain { run, .. },
            ) => Home::Shard(run.shard()),
            Request::Query(Query::Workflows { .. } | Query::Runs { .. }) => Home::EveryShard,
            Request::Query(Query::Workers | Query::Status) => Home::Here,
            Request::Query(Query::Position { group: 0 }) => Home::Membership,
            Request::Query(Query::Position { group }) => Home::Shard(*group),
            Request::Command(
                Command::TokenCreate { .. }
                | Command::TokenRevoke { .. }
                | Command::JoinTokenCreate { .. }
                | Command::Redeem { .. }
                | Command::MasterRemove { .. }
                | Command::MasterMove { .. },
            )
            | Request::Query(Query::Tokens | Query::Masters) => Home::Membership,
            Request::Command(Command::OrderWorker { .. } | Command::ChangeSettings { .. })
            | Request::Query(Query::Settings) => Home::Membership,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskSelector {
    pub task: Name,
    pub item: Option<u32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunFilter {
    /// State words; empty means all.
    pub states: Vec<String>,
    pub workflow: Option<WorkflowName>,
    pub namespace: Option<Name>,
    pub since: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    Applied {
        name: WorkflowName,
        version: u32,
        changed: bool,
        position: Position,
    },
    Started {
        run: RunId,
        existing: bool,
        position: Position,
    },
    Accepted {
        run: RunId,
        state: String,
        position: Position,
    },
    Workflows(Vec<WorkflowView>),
    Workflow(Box<WorkflowDetail>),
    Runs(Vec<RunView>),
    Run(Box<RunView>),
    TaskRuns {
        tasks: Vec<TaskRunView>,
        next: Option<TaskKey>,
        position: Position,
    },
    TaskRun(Box<TaskRunDetail>),
    /// `last`: the run was final at the position.
    Events {
        entries: Vec<EventEntry>,
        last: bool,
        position: Position,
    },
    Explain(ExplainView),
    Workers(Vec<WorkerView>),
    Tokens(Vec<TokenView>),
    Settings(SettingsView),
    Masters(Vec<MasterDetail>),
    Redeemed(Box<Welcome>),
    /// A command of the membership group is committed; what it concerned, and whether it changed anything.
    Changed {
        name: String,
        changed: bool,
    },
    Status(Box<StatusView>),
    Position(Position),
    Problem(Problem),
}

/// A refusal or failure, for people and for programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail} [{code}]")]
pub struct Problem {
    /// `H1xxx`–`H9xxx`.
    pub code: String,
    pub kind: ProblemKind,
    /// What happened and why, with names and values.
    pub detail: String,
    /// What to do, a command where there is one.
    pub hint: Option<String>,
    /// The names and values of `detail`, for programs.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
}

impl Problem {
    pub fn new(kind: ProblemKind, code: &str, detail: impl Into<String>) -> Problem {
        Problem { code: code.into(), kind, detail: detail.into(), hint: None, params: BTreeMap::new() }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn param(mut self, name: &str, value: impl Into<Value>) -> Problem {
        self.params.insert(name.into(), value.into());
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProblemKind {
    NotFound,
    Conflict,
    Invalid,
    /// Over a bound for now: the same request may succeed later.
    Busy,
    Unavailable,
    Forbidden,
    Internal,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkflowView {
    pub namespace: Name,
    pub name: Name,
    pub version: u32,
    pub tasks: u32,
    pub applied_at: Timestamp,
    pub by: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkflowDetail {
    #[serde(flatten)]
    pub view: WorkflowView,
    pub latest: u32,
    pub hash: String,
    pub source: String,
    /// Live runs, oldest first, at most 100.
    pub live: Vec<RunId>,
}

/// A run, with task counts by state word.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    pub id: RunId,
    pub namespace: Name,
    pub workflow: Name,
    pub version: u32,
    pub state: String,
    pub priority: Priority,
    pub by: String,
    pub inputs: BTreeMap<String, Value>,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub counts: BTreeMap<String, u32>,
    pub first_failed: Option<String>,
    /// The reason of a queued run, in one sentence.
    pub reason: Option<String>,
    pub position: Position,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRunView {
    pub id: Name,
    pub item: Option<u32>,
    pub state: String,
    /// 0 when none was dispatched.
    pub attempt: u16,
    pub worker: Option<Name>,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub error: Option<String>,
    pub ready_at: Option<Timestamp>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
    pub outputs: BTreeMap<String, Value>,
    /// The top reason of one that waits, as a sentence with its code.
    pub reason: Option<String>,
}

/// A task run, where it is kept, and its attempts, oldest first: what finding a log needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRunDetail {
    #[serde(flatten)]
    pub view: TaskRunView,
    pub key: TaskKey,
    pub namespace: Name,
    pub workflow: Name,
    /// Whether the task run is over for good.
    pub last: bool,
    pub attempts: Vec<AttemptView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptView {
    pub attempt: u16,
    pub state: String,
    pub worker: Name,
    pub exit_code: Option<i32>,
    pub signal: Option<i32>,
    pub error: Option<String>,
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventEntry {
    pub position: Position,
    pub at: Timestamp,
    pub events: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExplainView {
    pub run: RunId,
    pub run_state: String,
    /// Reasons of the run itself, when it waits.
    pub run_reasons: Vec<Reason>,
    /// Waiting task runs with their reasons, at most 100, best first.
    pub tasks: Vec<TaskExplain>,
    pub more: u32,
    pub position: Position,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskExplain {
    pub id: Name,
    pub item: Option<u32>,
    pub state: String,
    pub since: Option<Timestamp>,
    pub reasons: Vec<Reason>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerView {
    pub name: Name,
    pub incarnation: u64,
    pub state: String,
    pub groups: Vec<Name>,
    pub slots: u32,
    pub slots_used: u32,
    pub cpu_percent: f32,
    pub load1: f32,
    pub memory_used: u64,
    pub memory_total: u64,
    pub version: String,
    pub host: String,
    /// When the master that answers last heard it, itself or through another.
    pub seen_at: Option<Timestamp>,
    /// Attempts it has now, as its last heartbeat said.
    #[serde(default)]
    pub running: u32,
    /// Who cordoned or drains it, and since when.
    #[serde(default)]
    pub ordered: Option<OrderView>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrderView {
    pub order: WorkerOrder,
    pub by: String,
    pub since: Timestamp,
}

/// Times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsView {
    /// As people set it.
    pub leases: Leases,
    /// As the number of masters makes of it.
    pub in_force: Leases,
    /// Longer than in force while leases of an earlier setting may still be out there.
    pub nobody_lost_before: Span,
    /// How long finished runs are kept.
    pub history: HistoryRule,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenView {
    pub name: Name,
    pub role: Role,
    /// `valid`, `expired` or `revoked`.
    pub state: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// A master as the cluster keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MasterDetail {
    pub id: u64,
    pub name: Name,
    /// `joining`, `member`, `leaving` or `removed`.
    pub state: String,
    pub peer: String,
    pub worker: String,
    pub api: String,
    pub added_at: Timestamp,
}

/// What a node that was let in must know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    pub node: JoinedAs,
    /// 32 hexadecimal digits.
    pub cluster: String,
    pub generation: u32,
    pub shards: u32,
    pub masters: Vec<MasterDetail>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    pub cluster: String,
    /// `available`, `degraded` or `unavailable`, from quorum and agreement.
    pub verdict: String,
    pub sentence: String,
    pub masters: Vec<MasterView>,
    pub groups: Vec<GroupView>,
    pub workers: Vec<WorkerView>,
    /// Paths that lead over a third since a link is down, as the asked master knows of them.
    #[serde(default)]
    pub relayed: Vec<RelayedView>,
    pub runs_live: u64,
    pub runs_queued: u64,
    pub tasks_active: u64,
}

/// `from` reaches `to` over `via`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayedView {
    pub from: String,
    pub to: String,
    pub via: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MasterView {
    pub id: u64,
    pub name: String,
    pub state: String,
    pub leads: Vec<u32>,
    pub lag: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupView {
    pub group: u32,
    pub term: u64,
    pub leader: Option<u64>,
    pub commit: u64,
    pub applied: u64,
    pub voters: Vec<u64>,
}
