//! Arguments of `hortator sim`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hortator_core::time::{Span, Timestamp, TimestampError};
use hortator_simulations::stub::Stub;
use serde_json::Value;

#[derive(Debug, Subcommand)]
pub enum SimVerb {
    Run(SimRunArgs),
    Replay(SimReplayArgs),
    Shrink(SimShrinkArgs),
    Explore(SimExploreArgs),
    Twice(SimTwiceArgs),
    Plan(SimPlanArgs),
    Policies(SimPoliciesArgs),
    Process(SimProcessArgs),
    /// Scenarios and fault plans that come with the program
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

/// One cluster in a simulated world, from one seed; exit 13 when a promise was broken
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hortator sim run --seed 42 -o json\n  hortator sim run --seed 42 --trace story.txt"
)]
pub struct SimRunArgs {
    /// A scenario by its name (hortator sim list), or a file; without one the seed draws everything
    #[arg(value_name = "SCENARIO|FILE")]
    pub scenario: Option<String>,
    /// Everything follows from it; drawn and printed when none is given
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// A deliberate mistake that the masters make, to see that it is found; not in a release build
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
    /// Writes down all that happens, a line each
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Stores the run as it was resolved, for sim replay and sim shrink; a run that breaks a promise is always stored
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
}

/// A stored run once more, with a diagram of its story; exit 13 when a promise was broken
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hortator sim run --seed 42 --save run.toml\n  hortator sim replay run.toml"
)]
pub struct SimReplayArgs {
    /// What sim run --save or sim shrink wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Writes down all that happens, a line each
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
}

/// A run that breaks a promise made smaller as long as the same checker speaks; exit 13 when one does
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hortator sim shrink run.toml\n  hortator sim shrink --seed 42 --for 5m")]
pub struct SimShrinkArgs {
    /// A stored run; with --seed a scenario by its name or file, or nothing for what the seed draws
    #[arg(value_name = "FILE|SCENARIO", required_unless_present = "seed")]
    pub what: Option<String>,
    /// What everything that is drawn follows from
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// A deliberate mistake that the masters make, to see that it is found; not in a release build
    #[arg(long, value_name = "NAME", requires = "seed")]
    pub mutant: Option<String>,
    /// The checker that must go on to speak; without it the first that does
    #[arg(long, value_name = "NAME")]
    pub checker: Option<String>,
    /// No further try begins after it
    #[arg(long = "for", value_name = "SPAN", default_value = "5m")]
    pub budget: String,
    /// Threads; without it one for each core
    #[arg(short = 'j', long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Where the smaller run goes; without it beside the file, or into the directory for temporary files
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
}

/// Many seeds, on several threads; exit 13 when a promise was broken
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hortator sim explore --seeds 0..1000 -j 2")]
pub struct SimExploreArgs {
    /// A scenario by its name, or a file; without one each seed draws everything
    #[arg(value_name = "SCENARIO|FILE")]
    pub scenario: Option<String>,
    /// From the first up to, and without, the second
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    pub seeds: std::ops::Range<u64>,
    /// Threads; without it one for each core
    #[arg(short = 'j', long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Begins no further seed once a promise was broken
    #[arg(long)]
    pub first: bool,
    /// A deliberate mistake that the masters make, to see that it is found; not in a release build
    #[arg(long, value_name = "NAME")]
    pub mutant: Option<String>,
}

/// Each seed in two processes, whose whole traces must be the same; exit 13 when one is not
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hortator sim twice --seeds 0..20")]
pub struct SimTwiceArgs {
    /// A scenario by its name, or a file; without one each seed draws everything
    #[arg(value_name = "SCENARIO|FILE")]
    pub scenario: Option<String>,
    /// From the first up to, and without, the second
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    pub seeds: std::ops::Range<u64>,
}

/// Your own workflows and schedules on virtual time against a planned cluster: what waits, what comes late, how busy it is
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hortator sim plan --workflows flows/ --workers 8x4,gpu:2x1 --for 7d --svg week.svg\n  hortator sim plan --workflows flows/ --workers 8x4 --from 2026-10-24 --learned learned.json --stub nightly/load=fail,ok"
)]
pub struct SimPlanArgs {
    /// A directory of *.workflow.yaml, or one file
    #[arg(long, value_name = "DIR|FILE")]
    pub workflows: PathBuf,
    /// WORKERSxSLOTS, with the worker group before it when it is not `default`
    #[arg(long, value_name = "8x4[,GROUP:2x1]")]
    pub workers: String,
    /// How much time is planned
    #[arg(long = "for", value_name = "SPAN", default_value = "7d", value_parser = super::dag::parse_span)]
    pub lasts: Span,
    /// When it begins, a day or a time with its offset; the same Monday on whatever day it is asked when none is given
    #[arg(long, value_name = "DATE", default_value = "2024-01-01", value_parser = parse_date)]
    pub from: Timestamp,
    /// How long tasks take; without it durations.toml beside the workflows, or half a minute to two for every task
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How long tasks took, as hortator workflow durations -o json told; what --config states counts before it
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub learned: Vec<PathBuf>,
    /// What a task does, as in workflow test; without a time it takes as long as otherwise. May be repeated
    #[arg(long = "stub", value_name = "[WORKFLOW/]TASK=STUB", value_parser = super::dag::parse_stub)]
    pub stubs: Vec<(String, Stub)>,
    /// What a task leaves when it succeeds; may be repeated
    #[arg(long = "gives", value_name = "[WORKFLOW/]TASK.NAME=VALUE", value_parser = super::dag::parse_output)]
    pub outputs: Vec<(String, String, Value)>,
    /// A scenario whose lines of faults happen meanwhile, and nothing else of it: not its cluster, its clients or its tasks
    #[arg(long, value_name = "SCENARIO|FILE")]
    pub chaos: Option<String>,
    /// A run is late whose first task starts so long after its time
    #[arg(long, value_name = "SPAN", default_value = "1m", value_parser = super::dag::parse_span)]
    pub late: Span,
    /// Draws durations and faults
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Draws busy slots and waiting task runs over time
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// Placement policies and orders on traces of real workflows: makespan against what nothing can beat, waits, imbalance
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hortator sim policies --trace montage.json --workers 8x1 --noise 0.5")]
pub struct SimPoliciesArgs {
    /// Traces in WfFormat 1.5
    #[arg(long = "trace", value_name = "FILE", required = true, num_args = 1..)]
    pub traces: Vec<PathBuf>,
    /// WORKERSxSLOTS, with @SPEED where workers are faster or slower than those of the traces
    #[arg(long, value_name = "8x1[,2x4@2]", default_value = "8x1")]
    pub workers: String,
    /// Durations are estimated wrongly by up to this share, to either side
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub noise: f64,
    /// Seeds of the noise; the medians are shown
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub seeds: u64,
}

/// A day begins at midnight, UTC.
fn parse_date(text: &str) -> Result<Timestamp, String> {
    let time = text.parse().or_else(|_| format!("{text}T00:00:00Z").parse());
    time.map_err(|_: TimestampError| {
        format!("{text:?} is no date; write 2026-10-24, or 2026-10-24T22:00:00+02:00")
    })
}

fn seeds(text: &str) -> Result<std::ops::Range<u64>, String> {
    let range = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    match range {
        Some(range) if range.start < range.end => Ok(range),
        _ => Err("write a range as 0..100: from 0 up to, and without, 100".to_owned()),
    }
}
