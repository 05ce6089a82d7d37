//! What clients ask and are told, as JSON; masters pass the same on to each other.
//! Must not know HTTP: paths and status codes are the root package's.

mod cluster;
mod command;
mod durations;
mod home;
mod inside;
mod limit;
mod placement;
mod problem;
mod query;
mod schedule;
mod work;

use hortator_core::id::{Position, RunId, TaskKey, WorkflowName};
use hortator_core::reason::Reason;
use serde::{Deserialize, Serialize};

pub use cluster::{
    BalanceView, GroupView, MasterDetail, MasterLoadView, MasterView, MoveView, OrderView, RelayedView,
    SettingsView, StatusView, TokenView, Welcome, WorkerView,
};
pub use command::{Command, ScheduleSwitch, SettingsChange, WorkerOrder};
pub use durations::{DurationView, DurationsView, WorkerClassView};
pub use home::Home;
pub use inside::{
    ActorDetail, ActorOrder, ActorView, ActorsView, DeadLettersOf, DeadLettersView, GroupSumsView, KindView,
    LoadView, LogCutView, LogEntryView, LogView, LogWriteView, Look, MessageView, MessagesView,
    RaftGroupView, RaftPeerView, RaftView, RestartedView, Sight, SlowOne, SlowView, SumView, SumsView,
    TurnView, Warning, WarningsView,
};
pub use limit::{LimitDetail, LimitUser, LimitView};
pub use placement::{
    BlockedView, ChoiceView, GroupChange, QuotaChange, QuotaView, WhatIfView, WorkerGroupView, WorkerWhyView,
};
pub use problem::{Problem, ProblemKind};
pub use query::{Query, RunFilter, TaskSelector};
pub use schedule::{ScheduleExplain, ScheduleHistory, ScheduleView, SwitchedOff, Upcoming};
pub use work::{
    AttemptView, EventEntry, ExplainView, RunView, TaskExplain, TaskRunDetail, TaskRunView, WorkflowDetail,
    WorkflowView,
};

/// Most items of one page.
pub const PAGE_MAX: u32 = 5_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    Command(Command),
    Query(Query),
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
    Durations(DurationsView),
    Schedules(Vec<ScheduleView>),
    Schedule(Box<ScheduleView>),
    ScheduleNext(Vec<Upcoming>),
    ScheduleHistory(ScheduleHistory),
    ScheduleExplain(Box<ScheduleExplain>),
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
    WorkerGroups(Vec<WorkerGroupView>),
    Quotas(Vec<QuotaView>),
    Limits(Vec<LimitView>),
    Limit(Box<LimitDetail>),
    WorkerWhy(Box<WorkerWhyView>),
    WhatIf(WhatIfView),
    /// In the order in which shapes were asked about.
    Placeable(Vec<Vec<Reason>>),
    Tokens(Vec<TokenView>),
    Settings(SettingsView),
    Masters(Vec<MasterDetail>),
    Redeemed(Box<Welcome>),
    /// A command of the membership group is committed; what it concerned, and whether it changed anything.
    Changed {
        name: String,
        changed: bool,
    },
    Balance(BalanceView),
    Status(Box<StatusView>),
    Position(Position),
    Problem(Problem),
}
