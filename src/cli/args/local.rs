//! Arguments of what needs no cluster, or brings its own: run a file, dev, import, bench, config, schema, completion.
//! Must not know what the commands do.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use hortator_core::time::Span;
use serde_json::Value;

use super::runs::parse_input;

/// What `hortator run FILE` takes.
#[derive(Debug, Args)]
pub struct RunFileArgs {
    /// Definition to run; `-` is stdin
    #[arg(value_name = "FILE", required = true)]
    pub file: Option<PathBuf>,
    /// An input of the run; may be repeated
    #[arg(short, long = "input", value_name = "NAME=VALUE", value_parser = parse_input)]
    pub inputs: Vec<(String, Value)>,
    /// Print the tasks' logs as they are written
    #[arg(short, long)]
    pub follow: bool,
    /// Keep the cluster's files here; without it they are temporary
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Slots of the worker: how many one-slot tasks run at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub slots: Option<u32>,
    /// Cancel the run after this long; exit 9
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<Span>,
}

/// A whole cluster in this process, for trying things out
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hortator dev --masters 1 --data ./dev-data")]
pub struct DevArgs {
    /// Masters; odd numbers make sense
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=9))]
    pub masters: Option<u32>,
    /// Workers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=64))]
    pub workers: Option<u32>,
    /// Slots of each worker
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub slots: Option<u32>,
    /// Keep the cluster's files here; without it they are temporary
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Allow faults to be injected: hortator fault
    #[arg(long)]
    pub faults: bool,
    /// API port; 0 takes any, and a given one that is in use is an error
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}

#[derive(Debug, Subcommand)]
pub enum ImportVerb {
    /// A WfCommons trace (WfFormat 1.5) becomes a workflow whose tasks sleep as long and write as many files
    #[command(
        after_help = "Example:\n  hortator import wfcommons montage.json --time-scale 0.001 --out montage.workflow.yaml"
    )]
    Wfcommons(WfcommonsArgs),
}

#[derive(Debug, Args)]
pub struct WfcommonsArgs {
    /// The trace, JSON
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Each task sleeps its measured runtime times this
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = parse_scale)]
    pub time_scale: f64,
    /// Each file has its traced size, but at most so many bytes
    #[arg(long, value_name = "N", default_value_t = 65_536)]
    pub max_bytes: u64,
    /// Write here instead of stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Name of the workflow; without it a slug of the trace's
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
}

fn parse_scale(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(scale) if scale.is_finite() && scale >= 0.0 => Ok(scale),
        _ => Err("a number of at least 0 is needed".into()),
    }
}

/// Measure this machine: tasks a second, time per hop, time from submit to start
#[derive(Clone, Debug, Args)]
#[command(after_help = "Example:\n  hortator bench --shape fan --tasks 10000 --kind noop -o json")]
pub struct BenchArgs {
    #[arg(long, value_name = "SHAPE", default_value = "fan")]
    pub shape: BenchShape,
    /// Tasks of the run
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub tasks: u32,
    #[arg(long, value_name = "KIND", default_value = "noop")]
    pub kind: BenchKind,
    /// Masters of the cluster that is measured
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=9))]
    pub masters: u32,
    /// Workers of the cluster that is measured
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub workers: u32,
    /// Slots of each worker
    #[arg(long, value_name = "N")]
    pub slots: Option<u32>,
    /// Repetitions, of which the median is shown
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Tasks a second beside which starts are measured too [default: half of what was measured]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub load: Option<u32>,
    /// Measure no tasks: so many light workers lose all their connections at once and come back
    #[arg(long, value_name = "N", conflicts_with_all = ["shape", "tasks", "kind", "workers", "slots", "load"],
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub sessions: Option<u32>,
    /// Where the cluster's files lie; a directory on the disk to be measured
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchShape {
    /// All tasks independent
    Fan,
    /// Each needs the one before
    Chain,
    /// One, then all but two, then one
    Diamond,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchKind {
    /// Done at once in the agent
    Noop,
    /// `/bin/sh -c :` through the shell executor
    Process,
}

#[derive(Debug, Subcommand)]
pub enum SchemaVerb {
    /// Of workflow definitions, for editors
    #[command(after_help = "Example:\n  hortator schema workflow > workflow.schema.json")]
    Workflow,
}

/// Completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hortator completion bash > /etc/bash_completion.d/hortator")]
pub struct CompletionArgs {
    pub shell: clap_complete::Shell,
}
