//! The door for clients on every master: takes a request, finds the leader of its group, passes the answer back.
//! Must not know HTTP, and decides nothing.

use hortator_core::id::{Name, RunId, TaskKey};
use hortator_proto::api::{Problem, Request, Response};
use hortator_proto::frame::LogChunk;

/// What the HTTP layer holds. Cheap to clone, usable from any thread.
#[derive(Clone, Debug)]
pub struct GatewayHandle {}

/// Which log to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSelector {
    pub run: RunId,
    pub namespace: Name,
    pub workflow: Name,
    pub task: Name,
    pub key: TaskKey,
    /// Set for items of a `foreach`.
    pub item: Option<u32>,
    pub attempt: u16,
    pub worker: Name,
}

impl GatewayHandle {
    /// Routes a request to its leader and waits for the answer, at most `REQUEST_TIMEOUT`.
    pub async fn request(&self, _request: Request) -> Response {
        std::future::pending().await
    }

    /// Reads whole lines of an attempt's log from its worker, at most `bytes_max`.
    pub async fn read_log(&self, _log: LogSelector, _offset: u64, _bytes_max: u32) -> Result<LogChunk, Problem> {
        std::future::pending().await
    }

    /// Resolves when this master's replica of the group has applied more than `index`.
    pub async fn applied_past(&self, _group: u32, _index: u64) -> u64 {
        std::future::pending().await
    }

    /// Number of shards of the cluster.
    pub fn shards(&self) -> u32 {
        1
    }

    /// Whether this master is ready to serve, with a line per check.
    pub async fn readiness(&self) -> Vec<(String, Result<(), String>)> {
        Vec::new()
    }

    /// The node's metrics in OpenMetrics text.
    pub async fn metrics(&self) -> String {
        String::new()
    }
}
