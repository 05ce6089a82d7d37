//! The tree of commands as clap sees it: names, flags, help and an example for each.
//! Must not know what the commands do.

mod backup;
mod cluster;
mod dag;
mod faults;
mod inside;
pub mod limit;
mod local;
pub mod placement;
mod runs;
mod schedule;
mod server;
mod sim;
pub mod worker;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use backup::{BackupVerb, InspectArgs, RestoreArgs, SaveArgs};
pub use cluster::{AddArgs, AddVerb, ClusterVerb, InitArgs, RebalanceArgs, TokenRole, TokenVerb};
pub use dag::{GraphArgs, GraphFormat, TestArgs, WorkflowVerb};
pub use faults::{AddFaultArgs, FaultVerb};
pub use inside::{ActorArgs, ActorsArgs, By, DebugVerb, RaftVerb, ShellArgs, SlowArgs};
pub use limit::LimitVerb;
pub use local::{
    BenchArgs, BenchKind, BenchShape, CompletionArgs, DevArgs, ImportVerb, RunFileArgs, SchemaVerb,
    WfcommonsArgs,
};
pub use placement::{GroupVerb, QuotaVerb};
pub use runs::{
    AtArgs, CancelArgs, DiffArgs, EventsArgs, ExplainArgs, FeedArgs, LogsArgs, PsArgs, ReplayArgs, RetryArgs,
    RunArgs, RunVerb, STATES, ShowArgs, StartArgs, TasksArgs, WaitArgs, parse_input,
};
pub use schedule::{ScheduleArgs, ScheduleVerb};
pub use server::{ConfigVerb, NodeArgs, ServerVerb, Which};
pub use sim::{
    SimExploreArgs, SimPlanArgs, SimPoliciesArgs, SimProcessArgs, SimReplayArgs, SimRunArgs, SimShrinkArgs,
    SimTwiceArgs, SimVerb,
};
pub use worker::{SettingsVerb, WorkerVerb};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "hortator",
    version,
    about = "Runs workflows on a cluster of workers: one binary, no other services",
    after_help = "Examples:\n  hortator run configs/workflows/hello.workflow.yaml\n  hortator dev\n  \
                  hortator start etl --follow",
    disable_help_subcommand = true,
    propagate_version = false,
    max_term_width = 110
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Output form; without it a table on a terminal and plain tab-separated columns elsewhere
    #[arg(short, long, global = true, value_name = "FORM")]
    pub output: Option<Format>,
    /// Leave the header line of tables and columns out
    #[arg(long, global = true)]
    pub no_headers: bool,
    /// When to colour: NO_COLOR and CLICOLOR_FORCE are honoured
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: When,
    /// Only ASCII characters
    #[arg(long, global = true)]
    pub ascii: bool,
    /// No hints on what to do next, no progress
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print addresses, retries and causes on stderr
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Master to ask, HOST:PORT; may be repeated
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub addr: Vec<crate::cli::address::Address>,
    /// Context to use
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Namespace of names that are given without one
    #[arg(long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Configuration file, instead of those of the system and the user
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    /// One document
    Json,
    /// One document a line
    Jsonl,
    /// Only ids, for xargs
    Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum When {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Run(RunArgs),
    Dev(DevArgs),
    Start(StartArgs),
    Ps(PsArgs),
    Logs(LogsArgs),
    Explain(ExplainArgs),
    Cancel(CancelArgs),
    Retry(RetryArgs),
    /// Definitions: check, store, list, show, draw
    #[command(
        visible_alias = "wf",
        arg_required_else_help = true,
        after_help = "Example:\n  hortator workflow apply etl.workflow.yaml"
    )]
    Workflow {
        #[command(subcommand)]
        verb: WorkflowVerb,
    },
    /// Schedules: when workflows start by themselves
    #[command(
        visible_alias = "sched",
        arg_required_else_help = true,
        after_help = "Example:\n  hortator schedule list"
    )]
    Schedule {
        #[command(subcommand)]
        verb: ScheduleVerb,
    },
    /// Workers: their load, and whether they get new work
    #[command(
        visible_alias = "w",
        arg_required_else_help = true,
        after_help = "Example:\n  hortator worker list"
    )]
    Worker {
        #[command(subcommand)]
        verb: WorkerVerb,
    },
    /// Worker groups: how their workers are chosen, and what waits for them
    #[command(arg_required_else_help = true, after_help = "Example:\n  hortator group list")]
    Group {
        #[command(subcommand)]
        verb: GroupVerb,
    },
    /// Quotas: how much a namespace's attempts may hold at a time
    #[command(arg_required_else_help = true, after_help = "Example:\n  hortator quota list")]
    Quota {
        #[command(subcommand)]
        verb: QuotaVerb,
    },
    /// Limits: how many tasks may use something named at a time, in the whole cluster
    #[command(arg_required_else_help = true, after_help = "Example:\n  hortator limit set warehouse-db 5")]
    Limit {
        #[command(subcommand)]
        verb: LimitVerb,
    },
    /// Settings of the whole cluster
    #[command(arg_required_else_help = true, after_help = "Example:\n  hortator settings show")]
    Settings {
        #[command(subcommand)]
        verb: SettingsVerb,
    },
    /// Whose token this is, and what it allows
    #[command(after_help = "Example:\n  hortator whoami")]
    Whoami,
    /// Whether the cluster is usable, on one screen
    #[command(after_help = "Example:\n  hortator status")]
    Status,
    /// Check everything that is usually looked at one by one, with advice; exit 12 when something is wrong
    #[command(after_help = "Example:\n  hortator doctor")]
    Doctor,
    Events(FeedArgs),
    Diff(DiffArgs),
    /// Turn workflows of other systems into Hortator's
    #[command(
        arg_required_else_help = true,
        after_help = "Example:\n  hortator import wfcommons trace.json --time-scale 0.001 > trace.workflow.yaml"
    )]
    Import {
        #[command(subcommand)]
        verb: ImportVerb,
    },
    /// Nodes of a cluster as processes: master, worker, or both
    #[command(
        arg_required_else_help = true,
        after_help = "Example:\n  hortator server master --config /etc/hortator/master.toml"
    )]
    Server {
        #[command(subcommand)]
        verb: ServerVerb,
    },
    /// The cluster itself: form it, let nodes in, see its masters, make tokens for people
    #[command(arg_required_else_help = true, after_help = "Example:\n  hortator cluster members")]
    Cluster {
        #[command(subcommand)]
        verb: ClusterVerb,
    },
    /// Backups: everything a cluster knows in one file, and a new cluster made of one
    #[command(arg_required_else_help = true, after_help = "Example:\n  hortator backup save main.backup")]
    Backup {
        #[command(subcommand)]
        verb: BackupVerb,
    },
    /// The groups that the masters replicate: members, progress, logs, leadership
    #[command(arg_required_else_help = true, after_help = "Example:\n  hortator raft groups")]
    Raft {
        #[command(subcommand)]
        verb: RaftVerb,
    },
    Shell(ShellArgs),
    /// The inside of the master that is asked
    #[command(arg_required_else_help = true, after_help = "Example:\n  hortator debug actors")]
    Debug {
        #[command(subcommand)]
        verb: DebugVerb,
    },
    /// Break a cluster that may be broken, for a while: frames, links, disks, clocks, nodes
    #[command(arg_required_else_help = true, after_help = "Example:\n  hortator fault add kill n2 for 10s")]
    Fault {
        #[command(subcommand)]
        verb: FaultVerb,
    },
    Bench(BenchArgs),
    /// Hurt a cluster and see whether its promises hold
    #[command(
        arg_required_else_help = true,
        after_help = "Example:\n  hortator sim process --scenario mixed"
    )]
    Sim {
        #[command(subcommand)]
        verb: SimVerb,
    },
    /// Configuration: show it with its origins, print the defaults, check it
    #[command(arg_required_else_help = true, after_help = "Example:\n  hortator config show --origin")]
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
    /// JSON Schema of the file formats
    #[command(
        arg_required_else_help = true,
        after_help = "Example:\n  hortator schema workflow > workflow.schema.json"
    )]
    Schema {
        #[command(subcommand)]
        verb: SchemaVerb,
    },
    Completion(CompletionArgs),
    /// Version of this program
    #[command(after_help = "Example:\n  hortator version -o json")]
    Version,
    /// Help on a command, or the page of an error or reason code
    #[command(after_help = "Example:\n  hortator help H2103")]
    Help {
        /// A command, word by word, or a code such as H1001 or R301
        #[arg(value_name = "COMMAND|CODE")]
        topic: Vec<String>,
    },
}
