//! Arguments of forming and changing a cluster. Must not know what the commands do.

use clap::{Args, Subcommand, ValueEnum};
use hortator_core::id::Name;
use hortator_core::time::Span;

#[derive(Debug, Subcommand)]
pub enum ClusterVerb {
    Init(InitArgs),
    /// Let a node in: prints the one command to run on its machine
    #[command(arg_required_else_help = true, after_help = "Example:\n  hortator cluster add worker")]
    Add {
        #[command(subcommand)]
        node: AddVerb,
    },
    /// List the masters with their addresses
    #[command(after_help = "Example:\n  hortator cluster members -o json")]
    Members,
    /// Take a master out, whether it lives or not; its id is never used again
    #[command(after_help = "Example:\n  hortator cluster remove n2")]
    Remove {
        /// The master, as `cluster members` shows it: n2, or 2
        #[arg(value_name = "MASTER", value_parser = parse_master)]
        id: u64,
    },
    /// Spread the shards' leaders now: move by move what the Balancer would do with time
    #[command(after_help = "Example:\n  hortator cluster rebalance --dry-run")]
    Rebalance(RebalanceArgs),
    /// Tokens of people and programs
    #[command(arg_required_else_help = true, after_help = "Example:\n  hortator cluster token list")]
    Token {
        #[command(subcommand)]
        verb: TokenVerb,
    },
}

#[derive(Clone, Debug, Args)]
pub struct RebalanceArgs {
    /// Only say what would be moved
    #[arg(long)]
    pub dry_run: bool,
}

/// Form a new cluster: makes this master's directory, the cluster's authority and an admin's token
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hortator cluster init --config /etc/hortator/master.toml --name main")]
pub struct InitArgs {
    /// What people call the cluster, and the context for it
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub name: Name,
    /// Shards; fixed for ever. More spread work over more cores and masters
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub shards: u32,
}

#[derive(Debug, Subcommand)]
pub enum AddVerb {
    /// A master; three or five make sense
    #[command(after_help = "Example:\n  hortator cluster add master --name n2")]
    Master {
        /// What people call it
        #[arg(long, value_name = "NAME")]
        name: Name,
        #[command(flatten)]
        add: AddArgs,
    },
    /// A worker
    #[command(after_help = "Example:\n  hortator cluster add worker --valid-for 1d")]
    Worker {
        #[command(flatten)]
        add: AddArgs,
    },
}

#[derive(Debug, Args)]
pub struct AddArgs {
    /// How long the token may be used; an hour without it
    #[arg(long, value_name = "SPAN")]
    pub valid_for: Option<Span>,
}

#[derive(Debug, Subcommand)]
pub enum TokenVerb {
    /// Make a token; it is shown once
    #[command(after_help = "Example:\n  hortator cluster token create ci --role operator --valid-for 90d")]
    Create {
        /// Whose it is
        #[arg(value_name = "NAME")]
        name: Name,
        /// What it allows
        #[arg(long, value_name = "ROLE", default_value = "operator")]
        role: TokenRole,
        /// How long it counts; for ever without it
        #[arg(long, value_name = "SPAN")]
        valid_for: Option<Span>,
    },
    /// List the tokens, without their secrets
    #[command(after_help = "Example:\n  hortator cluster token list")]
    List,
    /// End a token at once, also what is open with it
    #[command(after_help = "Example:\n  hortator cluster token revoke ci")]
    Revoke {
        /// Whose it is
        #[arg(value_name = "NAME")]
        name: Name,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TokenRole {
    /// Sees everything but secrets
    Viewer,
    /// Starts, cancels and defines
    Operator,
    /// Everything
    Admin,
}

fn parse_master(text: &str) -> Result<u64, String> {
    let number = text.strip_prefix('n').unwrap_or(text);
    number.parse().map_err(|_| "a master is n2, or 2; see: hortator cluster members".into())
}
