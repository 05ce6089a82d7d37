//! Arguments of `hortator workflow …`.
//! Must not know what the commands do.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

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
    /// Draw the tasks and what they need
    #[command(after_help = "Example:\n  hortator workflow graph etl.workflow.yaml --format mermaid")]
    Graph(GraphArgs),
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
