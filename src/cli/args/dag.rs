//! Arguments of `hortator workflow …`.
//! Must not know what the commands do.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use hortator_core::time::{Span, SpanError};
use hortator_simulations::stub::{Stub, StubError};
use serde_json::Value;

use super::runs::parse_input;

#[derive(Debug, Subcommand)]
pub enum WorkflowVerb {
    /// Check files without a cluster; exit 7 when one is wrong
    #[command(after_help = "Example:\n  hortator workflow validate configs/workflows/*.workflow.yaml")]
    Validate {
        /// Definitions; `-` is stdin
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Check files and store them in the cluster; an unchanged file is a no-op
    #[command(after_help = "Example:\n  hortator workflow apply etl.workflow.yaml --if-version 3")]
    Apply {
        /// Definitions; `-` is stdin
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Only when this is the latest version now; 0 means that there is none
        #[arg(long, value_name = "N")]
        if_version: Option<u32>,
    },
    /// List workflows with their latest version
    #[command(after_help = "Example:\n  hortator workflow list --namespace retail -o name")]
    List {
        /// Those of every namespace
        #[arg(long)]
        all_namespaces: bool,
    },
    /// Show one workflow: its latest version, or the one named
    #[command(after_help = "Example:\n  hortator workflow show etl@2")]
    Show {
        /// NAME, NAMESPACE/NAME, either with @VERSION
        #[arg(value_name = "NAME[@VERSION]")]
        name: String,
        /// Print the file as it was applied
        #[arg(long)]
        source: bool,
    },
    /// How long tasks take, learned from their successes, by class of workers
    #[command(
        after_help = "Example:\n  hortator workflow durations etl\n  hortator workflow durations -o json > learned.json"
    )]
    Durations {
        /// NAME or NAMESPACE/NAME; without one all workflows of the namespace
        #[arg(value_name = "NAME")]
        names: Vec<String>,
    },
    /// Rehearse a file on virtual time, with stubs in place of its processes; exit 8 when the run fails
    Test(TestArgs),
    /// Draw the tasks and what they need
    #[command(after_help = "Example:\n  hortator workflow graph etl.workflow.yaml --format mermaid")]
    Graph(GraphArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  hortator workflow test etl.workflow.yaml --stub extract=fail,ok --stub load=90s --gives extract.rows=7"
)]
pub struct TestArgs {
    /// A definition; `-` is stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// What a task does: ok, fail, hang, 2s, ok:2s or fail:2s; with commas one for each attempt. Without it ok after 1 s
    #[arg(long = "stub", value_name = "TASK=STUB", value_parser = parse_stub)]
    pub stubs: Vec<(String, Stub)>,
    /// What a task leaves when it succeeds; may be repeated
    #[arg(long = "gives", value_name = "TASK.NAME=VALUE", value_parser = parse_output)]
    pub outputs: Vec<(String, String, Value)>,
    /// An input of the run; may be repeated
    #[arg(short, long = "input", value_name = "NAME=VALUE", value_parser = parse_input)]
    pub inputs: Vec<(String, Value)>,
    /// The run is no longer waited for after so much of its time; exit 9 then
    #[arg(long, value_name = "SPAN", default_value = "1d", value_parser = parse_span)]
    pub within: Span,
    /// Everything that is drawn follows from it: jitter of retries, for example
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

pub(super) fn parse_stub(text: &str) -> Result<(String, Stub), String> {
    match text.split_once('=') {
        Some((task, stub)) if !task.is_empty() => {
            Ok((task.to_owned(), stub.parse().map_err(|error: StubError| error.to_string())?))
        }
        _ => Err("write TASK=STUB, for example load=fail".into()),
    }
}

/// Values are JSON where they can be, and text where they cannot.
pub(super) fn parse_output(text: &str) -> Result<(String, String, Value), String> {
    let parts = text.split_once('=').and_then(|(name, value)| Some((name.split_once('.')?, value)));
    let Some(((task, name), value)) = parts else {
        return Err("write TASK.NAME=VALUE, for example extract.rows=7".into());
    };
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((task.to_owned(), name.to_owned(), value))
}

pub(super) fn parse_span(text: &str) -> Result<Span, String> {
    text.parse().map_err(|error: SpanError| error.to_string())
}

#[derive(Debug, Args)]
pub struct GraphArgs {
    /// A file, or the name of an applied workflow
    #[arg(value_name = "FILE|NAME[@VERSION]")]
    pub what: String,
    #[arg(long, value_name = "FORMAT", default_value = "ascii")]
    pub format: GraphFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    Ascii,
    Dot,
    Mermaid,
}
