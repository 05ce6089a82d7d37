//! Arguments of `hortator sim`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub enum SimVerb {
    Process(SimProcessArgs),
    /// Fault plans that come with the program
    #[command(after_help = "Example:\n  hortator sim list")]
    List,
}

/// A cluster of real processes under a fault plan; exit 13 when a promise was broken
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hortator sim process --scenario leader-kills --minutes 10 --seed 42 -o json"
)]
pub struct SimProcessArgs {
    /// A plan by its name (hortator sim list), or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "mixed")]
    pub scenario: String,
    /// The faults end after so many minutes, if the plan does not end before
    #[arg(long, value_name = "N", default_value_t = 3.0)]
    pub minutes: f64,
    /// Repeats the plan's draws; printed when none is given
    #[arg(long, value_name = "S")]
    pub seed: Option<u64>,
    /// A deliberate mistake that the masters make, to see that it is found; not in a release build
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
    /// Where the cluster's files and logs go, and stay; otherwise they stay only when something is wrong
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}
