//! Arguments of `hortator schedule …`.
//! Must not know what the commands do.

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum ScheduleVerb {
    /// List schedules with their next and last times
    #[command(after_help = "Example:\n  hortator schedule list --all-namespaces")]
    List {
        /// Those of every namespace
        #[arg(long)]
        all_namespaces: bool,
    },
    /// Show one schedule
    #[command(after_help = "Example:\n  hortator schedule show daily-sales/nightly")]
    Show(ScheduleArgs),
    /// The times to come, with what changes of the clock do to them
    #[command(after_help = "Example:\n  hortator schedule next daily-sales/nightly -n 20")]
    Next {
        #[command(flatten)]
        schedule: ScheduleArgs,
        /// So many
        #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
        count: u32,
    },
    /// What became of each time, newest first: its run, or why there is none
    #[command(after_help = "Example:\n  hortator schedule history daily-sales/nightly -n 50")]
    History {
        #[command(flatten)]
        schedule: ScheduleArgs,
        /// At most so many
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Start a run of a schedule now, beside its times
    #[command(after_help = "Example:\n  hortator schedule trigger daily-sales/nightly")]
    Trigger(ScheduleArgs),
    /// Switch a schedule on; what passed while it was off is not made up for
    #[command(after_help = "Example:\n  hortator schedule enable daily-sales/nightly")]
    Enable(ScheduleArgs),
    /// Switch a schedule off
    #[command(after_help = "Example:\n  hortator schedule disable daily-sales/nightly")]
    Disable(ScheduleArgs),
}

#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// WORKFLOW/SCHEDULE or NAMESPACE/WORKFLOW/SCHEDULE
    #[arg(value_name = "SCHEDULE")]
    pub name: String,
}
