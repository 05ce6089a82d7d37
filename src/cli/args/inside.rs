//! Arguments of looking inside: groups and their logs, actors, the shell. Must not know what the commands do.

use clap::{Args, Subcommand, ValueEnum};
use hortator_core::time::Span;

#[derive(Debug, Subcommand)]
pub enum RaftVerb {
    /// List the groups as the master that is asked has them
    #[command(after_help = "Example:\n  hortator raft groups")]
    Groups,
    /// Show a group: its replica here, and at the leader each peer's progress
    #[command(after_help = "Example:\n  hortator raft show 0")]
    Show {
        /// 0 is the membership group, 1 and above are shards
        #[arg(value_name = "GROUP")]
        group: u32,
    },
    /// Show entries of a group's log: which rows each writes, without their values
    #[command(after_help = "Example:\n  hortator raft log 1 --from 100 --limit 5")]
    Log {
        /// 0 is the membership group, 1 and above are shards
        #[arg(value_name = "GROUP")]
        group: u32,
        /// From this index on; without it the newest entries
        #[arg(long, value_name = "INDEX")]
        from: Option<u64>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u64,
    },
    /// Hand a group's leadership to another master
    #[command(after_help = "Example:\n  hortator raft transfer 1 --to n2")]
    Transfer {
        /// 0 is the membership group, 1 and above are shards
        #[arg(value_name = "GROUP")]
        group: u32,
        /// Who is to lead
        #[arg(long, value_name = "MASTER")]
        to: String,
    },
    /// Cut a group's log on the master that is asked: its rows are the snapshot, and followers keep what they need
    #[command(after_help = "Example:\n  hortator raft snapshot 1")]
    Snapshot {
        /// 0 is the membership group, 1 and above are shards
        #[arg(value_name = "GROUP")]
        group: u32,
    },
    /// Compare the rows of the masters after the same entries; exit 1 when they differ
    #[command(after_help = "Example:\n  hortator raft verify --deep")]
    Verify {
        /// Only this group
        #[arg(value_name = "GROUP")]
        group: Option<u32>,
        /// Read every row of every replica, whatever it takes
        #[arg(long)]
        deep: bool,
    },
    /// Which groups would lose their quorum with these masters; exit 6 when one would
    #[command(after_help = "Example:\n  hortator raft what-if --lose n1,n2")]
    WhatIf {
        /// Masters that are to be thought away
        #[arg(long, value_name = "MASTERS", value_delimiter = ',', required = true)]
        lose: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub enum DebugVerb {
    /// What goes through the mailboxes of the master that is asked
    #[command(after_help = "Example:\n  hortator debug actors --by time --top 5")]
    Actors(ActorsArgs),
    /// One actor: its mailbox, what it handles now, how long its kind takes
    #[command(after_help = "Example:\n  hortator debug actor Shard:shard-1")]
    Actor(ActorArgs),
    /// What one actor handles in a while, by message
    #[command(after_help = "Example:\n  hortator debug messages Shard:shard-1 --for 5s")]
    Messages {
        #[command(flatten)]
        actor: ActorArgs,
        /// For so long, a minute at most
        #[arg(long = "for", value_name = "SPAN", default_value = "5s")]
        lasts: Span,
    },
    /// Let a shard's deciders begin anew from rows
    #[command(after_help = "Example:\n  hortator debug restart Shard:shard-1")]
    Restart(ActorArgs),
    /// The slowest handlers, entries and syncs of the last hour
    #[command(after_help = "Example:\n  hortator debug slow 5")]
    Slow(SlowArgs),
    /// Messages that found their actor gone, or its mailbox full
    #[command(after_help = "Example:\n  hortator debug dead-letters")]
    DeadLetters,
    /// What is out of the ordinary, in sentences
    #[command(after_help = "Example:\n  hortator debug warnings")]
    Warnings,
}

#[derive(Clone, Debug, Args)]
pub struct ActorArgs {
    /// KIND:NAME, or a kind or name alone where there is one such
    #[arg(value_name = "ACTOR")]
    pub id: String,
}

#[derive(Clone, Debug, Args)]
pub struct SlowArgs {
    /// So many of each
    #[arg(value_name = "N", default_value_t = 10)]
    pub top: usize,
}

#[derive(Clone, Debug, Args)]
pub struct ActorsArgs {
    /// Choose the actors by messages that wait, by how long the oldest has waited, or by time spent
    #[arg(long, value_name = "WHAT", default_value = "mailbox")]
    pub by: By,
    /// So many actors
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub top: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    Mailbox,
    #[value(alias = "wait")]
    Age,
    #[value(alias = "busy")]
    Time,
    #[value(alias = "msgs")]
    Messages,
    Slowest,
}

/// A prompt for looking inside; read-only until `write on`
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  hortator shell -c status")]
pub struct ShellArgs {
    /// Do these commands, separated by `;`, instead of asking for them
    #[arg(short = 'c', long = "command", value_name = "COMMANDS")]
    pub commands: Option<String>,
    /// Allow changes from the beginning
    #[arg(long)]
    pub write: bool,
}
