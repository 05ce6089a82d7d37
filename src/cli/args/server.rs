//! Arguments of nodes as processes, and of configuration. Must not know what the commands do.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::Role;

#[derive(Debug, Subcommand)]
pub enum ServerVerb {
    /// A master: keeps state with the other masters, and decides
    #[command(after_help = "Example:\n  hortator server master --config /etc/hortator/master.toml")]
    Master(NodeArgs),
    /// A worker: runs tasks on this host
    #[command(after_help = "Example:\n  hortator server worker --config /etc/hortator/worker.toml")]
    Worker(NodeArgs),
    /// A master and a worker in one process, for a cluster of one host
    #[command(after_help = "Example:\n  hortator server all --config /etc/hortator/all.toml")]
    All(NodeArgs),
}

/// What every node takes beside its configuration.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// Token that `hortator cluster add` printed; used when the node belongs to no cluster yet. `ps` shows it to every
    /// user of the host: HORTATOR_JOIN_TOKEN and join.token_file do not
    #[arg(long, value_name = "TOKEN")]
    pub join: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// Print every effective value
    #[command(after_help = "Examples:\n  hortator config show --origin\n  \
                            hortator config show --origin --role master /etc/hortator/master.toml")]
    Show {
        /// With the file and line, or the variable, that set it
        #[arg(long)]
        origin: bool,
        /// Print a file with every key at its default, commented, as `config default` does
        #[arg(long, conflicts_with = "origin")]
        default: bool,
        #[command(flatten)]
        which: Which,
    },
    /// Print a file with every key at its default, commented
    #[command(after_help = "Example:\n  hortator config default --role master > master.toml")]
    Default {
        /// What it is for
        #[arg(long, value_name = "ROLE", default_value = "client")]
        role: Role,
    },
    /// Check a file and the variables; exit 7 when something is wrong
    #[command(after_help = "Example:\n  hortator config check configs/master.toml")]
    Check {
        #[command(flatten)]
        which: Which,
    },
}

/// Which configuration is meant.
#[derive(Clone, Debug, Args)]
pub struct Which {
    /// The file; without it those that a command or a node reads by itself
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// What it is for; without it this is seen from the keys in the file
    #[arg(long, value_name = "ROLE")]
    pub role: Option<Role>,
}
