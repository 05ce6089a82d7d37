//! Arguments of what is done with runs: start, list, show, follow, explain, cancel, retry.
//! Must not know what the commands do.

use clap::{ArgGroup, Args, Subcommand};
use hortator_core::definition::Priority;
use hortator_core::time::{Span, Timestamp};
use serde_json::Value;

use super::local::RunFileArgs;
use crate::cli::reference::Then;

/// Run a file at once in a cluster of this process, or look at runs of a cluster
///
/// A known verb after `run` is that verb; anything else is a file. A file named like a verb is `./show`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    arg_required_else_help = true,
    subcommand_value_name = "VERB",
    after_help = "Examples:\n  hortator run etl.workflow.yaml -i rows=1000 --follow\n  \
                  hortator run show etl@latest\n  hortator run tasks etl@latest --state failed"
)]
pub struct RunArgs {
    #[command(subcommand)]
    pub verb: Option<RunVerb>,
    #[command(flatten)]
    pub file: RunFileArgs,
}

#[derive(Debug, Subcommand)]
pub enum RunVerb {
    /// Show a run
    #[command(after_help = "Example:\n  hortator run show etl@latest")]
    Show(ShowArgs),
    /// List a run's task runs
    #[command(after_help = "Example:\n  hortator run tasks etl@latest --state failed -o name")]
    Tasks(TasksArgs),
    /// Print a run's history
    #[command(after_help = "Example:\n  hortator run events etl@latest --follow -o jsonl")]
    Events(EventsArgs),
    /// Show a run as it was at a position or a time
    #[command(after_help = "Example:\n  hortator run at etl@latest --position 1:812")]
    At(AtArgs),
    /// Walk through a run's history, event by event
    #[command(after_help = "Example:\n  hortator run replay etl@latest --step")]
    Replay(ReplayArgs),
    /// Start a run; the same as `hortator start`
    #[command(after_help = "Example:\n  hortator run start etl -i rows=1000")]
    Start(StartArgs),
    /// Cancel runs; the same as `hortator cancel`
    #[command(after_help = "Example:\n  hortator run cancel etl@latest")]
    Cancel(CancelArgs),
    /// Repeat what failed; the same as `hortator retry`
    #[command(after_help = "Example:\n  hortator run retry etl@latest --failed")]
    Retry(RetryArgs),
}

/// How long and how to stay with a run.
#[derive(Clone, Debug, Args)]
pub struct WaitArgs {
    /// Wait for the end; exit 8 when the run fails or is cancelled
    #[arg(long)]
    pub wait: bool,
    /// Wait for the end and print the tasks' logs meanwhile; Ctrl-C leaves the run alone
    #[arg(short, long)]
    pub follow: bool,
    /// Stop waiting after this long; exit 9
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<Span>,
}

/// Start a run of an applied workflow
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hortator start daily-sales -i day=2026-11-20 --follow")]
pub struct StartArgs {
    /// NAME or NAMESPACE/NAME, either with @VERSION
    #[arg(value_name = "NAME[@VERSION]")]
    pub workflow: String,
    /// An input of the run; may be repeated
    #[arg(short, long = "input", value_name = "NAME=VALUE", value_parser = parse_input)]
    pub inputs: Vec<(String, Value)>,
    /// highest, high, normal, low or lowest; without it the workflow's own
    #[arg(long, value_name = "LEVEL", value_parser = parse_priority)]
    pub priority: Option<Priority>,
    /// Idempotency key: a second start with the same key answers with the first one's run
    #[arg(long, value_name = "TEXT")]
    pub key: Option<String>,
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// List runs, newest first
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hortator ps --state failed --since 24h -o name | xargs -r hortator retry --failed"
)]
pub struct PsArgs {
    /// Only runs of this workflow, NAME or NAMESPACE/NAME
    #[arg(value_name = "WORKFLOW")]
    pub name: Option<String>,
    /// Only runs in these states, as a comma list
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = parse_state)]
    pub state: Vec<String>,
    /// Only runs of this workflow, NAME or NAMESPACE/NAME
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    pub workflow: Option<String>,
    /// Only runs made in the last such time
    #[arg(long, value_name = "DURATION")]
    pub since: Option<Span>,
    /// Those of every namespace
    #[arg(long)]
    pub all_namespaces: bool,
    /// At most so many
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    pub limit: u32,
}

/// A run, and how long to stay with it.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Run id, NAME@latest or NAME@-1
    #[arg(value_name = "RUN")]
    pub run: String,
    #[command(flatten)]
    pub wait: WaitArgs,
}

#[derive(Debug, Args)]
pub struct TasksArgs {
    /// Run id, NAME@latest or NAME@-1
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Only task runs in these states, as a comma list
    #[arg(long, value_name = "STATE", value_delimiter = ',', value_parser = parse_state)]
    pub state: Vec<String>,
    /// Only failed ones
    #[arg(long, conflicts_with = "state")]
    pub failed: bool,
}

#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Run id, NAME@latest or NAME@-1
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Go on as the run goes on, until it is final
    #[arg(short, long)]
    pub follow: bool,
    /// Only what comes after this position, GROUP:INDEX
    #[arg(long, value_name = "POSITION")]
    pub after: Option<hortator_core::id::Position>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("moment").required(true))]
pub struct AtArgs {
    /// Run id, NAME@latest or NAME@-1
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Everything up to this position, GROUP:INDEX
    #[arg(long, group = "moment", value_name = "POSITION")]
    pub position: Option<hortator_core::id::Position>,
    /// Everything up to this time, as 2026-11-20T14:02:03Z
    #[arg(long, group = "moment", value_name = "TIME")]
    pub time: Option<Timestamp>,
}

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// Run id, NAME@latest or NAME@-1
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Wait for Enter after each event, on a terminal
    #[arg(long)]
    pub step: bool,
}

/// Print the logs of a run's tasks
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hortator logs etl@latest transform -f")]
pub struct LogsArgs {
    /// Run id, NAME@latest or NAME@-1; also RUN/TASK
    #[arg(value_name = "RUN")]
    pub run: String,
    /// One task; an item of a foreach as `TASK[2]`. Without it, all that were started
    #[arg(value_name = "TASK")]
    pub task: Option<String>,
    /// Go on until the task, or the run, is over
    #[arg(short, long)]
    pub follow: bool,
    /// This attempt instead of the latest
    #[arg(long, value_name = "N", requires = "task")]
    pub attempt: Option<u16>,
    /// With the time and the stream, o or e, of each line, as they are in the file
    #[arg(short, long)]
    pub timestamps: bool,
}

/// Why a run, or one of its tasks, is not running; or why a schedule did not fire
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hortator explain daily-sales@latest/load\n  hortator explain daily-sales@latest/load --at 2:812000\n  hortator explain schedule daily-sales/nightly --at 2026-11-21T02:30:00Z"
)]
pub struct ExplainArgs {
    /// RUN or RUN/TASK; a run is an id, NAME@latest or NAME@-1. Or the word `schedule`
    #[arg(value_name = "RUN[/TASK]|schedule")]
    pub what: String,
    /// WORKFLOW/SCHEDULE or NAMESPACE/WORKFLOW/SCHEDULE, after the word `schedule`
    #[arg(value_name = "SCHEDULE", required_if_eq("what", "schedule"))]
    pub schedule: Option<String>,
    /// As of then: a position or a time of the run; of a schedule, one of its times, to the minute
    #[arg(long, value_name = "POSITION|TIME")]
    pub at: Option<Then>,
    /// What would become of RUN/TASK: with other amounts (cpu=1,memory=5GiB), group=GROUP, zone=any, priority=high,
    /// uncordon=WORKER; worker=WORKER asks of that worker alone
    #[arg(long, value_name = "CHANGE", conflicts_with = "at")]
    pub what_if: Option<String>,
}

/// What changed in a run between two moments, folded from its history
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hortator diff 2:812000 2:812400 --object etl@latest")]
pub struct DiffArgs {
    /// From this position, GROUP:INDEX, or time
    #[arg(value_name = "FROM")]
    pub from: Then,
    /// To this one
    #[arg(value_name = "TO")]
    pub to: Then,
    /// The run: an id, NAME@latest or NAME@-1
    #[arg(long, value_name = "RUN")]
    pub object: String,
}

/// What happens in the whole cluster: runs, workers, leaders, as the logs of all groups have it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hortator events -f 'failed|lost'")]
pub struct FeedArgs {
    /// Only lines that this regular expression finds
    #[arg(value_name = "FILTER")]
    pub filter: Option<String>,
    /// Go on as things happen, until Ctrl-C
    #[arg(short, long)]
    pub follow: bool,
    /// Begin with so many of the last entries of each group
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=200))]
    pub last: u64,
}

/// Cancel runs: nothing new starts, what runs is ended
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  hortator cancel etl@latest --reason 'wrong day'")]
pub struct CancelArgs {
    /// Run ids, NAME@latest or NAME@-1
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<String>,
    /// Why; kept in the run's history
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// Repeat what did not succeed in runs that are over
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true),
    after_help = "Example:\n  hortator retry etl@latest --failed --follow"
)]
pub struct RetryArgs {
    /// Run ids, NAME@latest or NAME@-1
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<String>,
    /// Everything that failed, and what was skipped or cancelled after it
    #[arg(long, group = "what")]
    pub failed: bool,
    #[command(flatten)]
    pub wait: WaitArgs,
}

/// The state words of runs and task runs.
pub const STATES: [&str; 14] = [
    "queued",
    "waiting",
    "ready",
    "dispatched",
    "running",
    "stopping",
    "backoff",
    "cancelling",
    "lost",
    "quarantined",
    "succeeded",
    "failed",
    "cancelled",
    "skipped",
];

fn parse_state(text: &str) -> Result<String, String> {
    if STATES.contains(&text) {
        return Ok(text.into());
    }
    let near = hortator_core::reason::nearest(text, STATES);
    let near = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
    Err(format!("there is no such state{near} States: {}", STATES.join(", ")))
}

fn parse_priority(text: &str) -> Result<Priority, String> {
    serde_json::from_value(text.into()).map_err(|_| "levels are highest, high, normal, low, lowest".into())
}

/// `k=v`: the value is text; the cluster reads it as the type that the workflow declares.
pub fn parse_input(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("write NAME=VALUE".into()),
    }
}
