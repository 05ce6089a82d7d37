//! Arguments of what is done with workers and with the settings about them.
//! Must not know what the commands do.

use clap::{Args, Subcommand};
use hortator_core::id::Name;
use hortator_core::time::Span;

#[derive(Debug, Subcommand)]
pub enum WorkerVerb {
    /// List workers with their load
    #[command(after_help = "Example:\n  hortator worker list -o json")]
    List,
    /// Show a worker, and how many attempts it has left
    #[command(after_help = "Example:\n  hortator worker show w1")]
    Show(WorkerArgs),
    /// Why a worker gets what it gets: its last choices for and against, with scores
    #[command(after_help = "Example:\n  hortator worker why w1")]
    Why(WorkerArgs),
    /// Give a worker nothing new; when what it has is over, it is drained
    #[command(after_help = "Example:\n  hortator worker drain w1 --wait --deadline 30m")]
    Drain(DrainArgs),
    /// Give a worker nothing new; it stays
    #[command(after_help = "Example:\n  hortator worker cordon w1")]
    Cordon(WorkerArgs),
    /// Give a cordoned or drained worker work again
    #[command(after_help = "Example:\n  hortator worker uncordon w1")]
    Uncordon(WorkerArgs),
}

#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// The worker's name
    #[arg(value_name = "WORKER")]
    pub name: Name,
}

#[derive(Debug, Args)]
pub struct DrainArgs {
    #[command(flatten)]
    pub worker: WorkerArgs,
    /// Wait until nothing runs there any more
    #[arg(long)]
    pub wait: bool,
    /// Wait no longer than this; exit 9 when something still runs then
    #[arg(long, value_name = "SPAN", requires = "wait")]
    pub deadline: Option<Span>,
}

#[derive(Debug, Subcommand)]
pub enum SettingsVerb {
    /// Show the settings of the whole cluster
    #[command(after_help = "Example:\n  hortator settings show")]
    Show,
    /// Change settings of the whole cluster; what is not named stays as it is
    #[command(
        after_help = "Example:\n  hortator settings set --worker-lease 2m --declare-lost 2m10s\n  hortator settings set --history-keep 7d"
    )]
    Set(SetArgs),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub struct SetArgs {
    /// How long a worker works on without hearing from the cluster
    #[arg(long, value_name = "SPAN")]
    pub worker_lease: Option<Span>,
    /// How long a worker may be silent before its work starts elsewhere; at least 3s more than the lease
    #[arg(long, value_name = "SPAN")]
    pub declare_lost: Option<Span>,
    /// How long a finished run and its history are kept
    #[arg(long, value_name = "SPAN")]
    pub history_keep: Option<Span>,
    /// How many finished runs of each workflow are kept: so many that succeeded, and so many that did not
    #[arg(long, value_name = "COUNT")]
    pub history_keep_runs: Option<u32>,
}
