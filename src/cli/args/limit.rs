//! Arguments about limits. Must not know what the commands do.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum LimitVerb {
    /// List limits: how much of each is in use, and how many wait
    #[command(after_help = "Example:\n  hortator limit list")]
    List {
        /// Of all namespaces
        #[arg(short = 'A', long)]
        all_namespaces: bool,
    },
    /// Show one limit: who holds it and who waits for it
    #[command(after_help = "Example:\n  hortator limit show warehouse-db")]
    Show(LimitArgs),
    /// Set how much of a limit may be in use at a time. Whoever holds it goes on, and who waits starts when there is room
    #[command(after_help = "Example:\n  hortator limit set warehouse-db 5")]
    Set(LimitSetArgs),
    /// Delete a limit: tasks that want it wait until it is set again
    #[command(after_help = "Example:\n  hortator limit delete warehouse-db")]
    Delete(LimitArgs),
}

#[derive(Debug, Args)]
pub struct LimitArgs {
    /// The limit, as tasks name it under `limits`, or NAMESPACE/NAME
    #[arg(value_name = "KEY")]
    pub name: String,
}

#[derive(Debug, Args)]
pub struct LimitSetArgs {
    /// The limit, as tasks name it under `limits`, or NAMESPACE/NAME
    #[arg(value_name = "KEY")]
    pub name: String,
    /// How much of it there is; 0 lets nobody start
    #[arg(value_name = "N")]
    pub max: u32,
}
