//! Arguments about worker groups and quotas. Must not know what the commands do.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use hortator_core::dispatch::Policy;
use hortator_core::id::Name;
use hortator_core::time::Span;

#[derive(Debug, Subcommand)]
pub enum GroupVerb {
    /// List worker groups: how their workers are chosen, and what waits for them
    #[command(after_help = "Example:\n  hortator group list")]
    List,
    /// Change how a group's workers are chosen; what is not named stays as it is
    #[command(
        after_help = "Example:\n  hortator group set etl --policy bin_pack --ageing 10m --threshold cpu_percent=90"
    )]
    Set(GroupSetArgs),
    /// Forget a group that has no workers: tasks that want it wait, and are told that there is no such group
    #[command(after_help = "Example:\n  hortator group delete etl")]
    Delete(GroupDeleteArgs),
}

#[derive(Debug, Args)]
pub struct GroupDeleteArgs {
    /// The group's name
    #[arg(value_name = "GROUP")]
    pub name: Name,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true, args = ["policy", "ageing", "slow_start", "threshold"])]
pub struct GroupSetArgs {
    /// The group's name
    #[arg(value_name = "GROUP")]
    pub name: Name,
    /// How one of the workers that fit is taken
    #[arg(long, value_parser = PossibleValuesParser::new(Policy::ALL.map(Policy::name)))]
    pub policy: Option<String>,
    /// After each such time that a task run has waited it counts as one level more important; 0s means never
    #[arg(long, value_name = "SPAN")]
    pub ageing: Option<Span>,
    /// How long a young worker's share grows
    #[arg(long, value_name = "SPAN")]
    pub slow_start: Option<Span>,
    /// A worker above it gets nothing, for example memory_percent=95; 0 means no limit. May be given several times
    #[arg(long, value_name = "METRIC=PERCENT")]
    pub threshold: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum QuotaVerb {
    /// List quotas: how much of what each namespace's attempts hold, and may hold
    #[command(after_help = "Example:\n  hortator quota list")]
    List,
    /// Change how much a namespace's attempts may hold; what is not named stays as it is
    #[command(after_help = "Example:\n  hortator quota set retail gpu=2 cpu=16 memory=64GiB slots=none")]
    Set(QuotaSetArgs),
}

#[derive(Debug, Args)]
pub struct QuotaSetArgs {
    /// The namespace
    #[arg(value_name = "NAMESPACE")]
    pub whose: Name,
    /// What it may hold of a resource; `none` takes the limit away
    #[arg(value_name = "RESOURCE=AMOUNT", required = true)]
    pub most: Vec<String>,
}
