//! Why a node, or a cluster in one process, does not start.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hortator_actors::node::StartError as NodeError;
use hortator_core::id::Name;

use crate::api;
use crate::env::Listen;
use crate::executors::StartError as LauncherError;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot use the data directory {}", .path.display())]
    Data {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} says something else: {why}. Start with what it was made with, or use another directory", .path.display())]
    Identity { path: PathBuf, why: String },
    #[error("master n{master} cannot listen on {}", places(.listen))]
    Listen {
        master: u64,
        listen: Listen,
        #[source]
        source: io::Error,
    },
    #[error("master n{master} does not start")]
    Master {
        master: u64,
        #[source]
        source: Box<NodeError>,
    },
    #[error("worker {worker} does not start")]
    Worker {
        worker: Name,
        #[source]
        source: Box<LauncherError>,
    },
    #[error("the API does not start")]
    Api(#[from] api::Error),
    #[error("the cluster is not ready after {} s: {why}", after.as_secs())]
    NotReady { why: String, after: Duration },
}

fn places(listen: &Listen) -> String {
    match listen {
        Listen::Nowhere => "no address".into(),
        Listen::Together(address) => address.to_string(),
        Listen::Apart { peers, workers } => format!("{peers} and {workers}"),
    }
}
