//! Arguments of backups. Must not know what the commands do.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hortator_core::id::Name;

#[derive(Debug, Subcommand)]
pub enum BackupVerb {
    Save(SaveArgs),
    Inspect(InspectArgs),
    Restore(RestoreArgs),
}

/// Copy everything the cluster knows into one file, while it works
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hortator backup save main-2026-11-21.backup")]
pub struct SaveArgs {
    /// Where to; there must be no such file yet
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Check a backup to its last byte and say what is in it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hortator backup inspect main-2026-11-21.backup")]
pub struct InspectArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Make a new cluster of a backup: fills the empty directory of its first master
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hortator backup restore main-2026-11-21.backup --config /etc/hortator/master.toml"
)]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The directory to fill; without it the one that the configuration names
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// What people call the new cluster, and the context for it; without it as the old one
    #[arg(long, value_name = "NAME")]
    pub name: Option<Name>,
}
