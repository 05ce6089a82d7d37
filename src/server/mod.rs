//! Nodes as processes of their own: from a file of configuration to a running master or worker, and from a signal to
//! its end. Must not know what is decided in a node, nor how commands look.

mod error;
mod http;
mod life;
mod master;
mod metrics;
mod notify;
mod panics;
mod place;
mod signals;
mod worker;

pub use error::Error;
pub use life::live;
pub use panics::end_on_panic;

use std::path::Path;

use slog::Logger;
use tokio::runtime::Runtime;

use crate::config::{AllFile, MasterFile, WorkerFile};
use master::RunningMaster;
use worker::RunningWorker;

/// The running nodes of this process.
#[derive(Debug)]
pub struct Nodes(Vec<Node>);

#[derive(Debug)]
enum Node {
    Master(Box<RunningMaster>),
    Worker(Box<RunningWorker>),
}

/// Call these on the main thread: a warden ends with the thread that started it.
pub fn start_master(file: &MasterFile, log: &Logger) -> Result<Nodes, Error> {
    let master = RunningMaster::start(file, log)?;
    Ok(Nodes(vec![Node::Master(Box::new(master))]))
}

pub fn start_worker(file: &WorkerFile, log: &Logger) -> Result<Nodes, Error> {
    let worker = RunningWorker::start(file, log)?;
    Ok(Nodes(vec![Node::Worker(Box::new(worker))]))
}

/// Both; the worker is stopped first.
pub fn start_all(file: &AllFile, log: &Logger) -> Result<Nodes, Error> {
    let below = |name: &str| Path::new(&file.node.data).join(name);
    let master = RunningMaster::start(&file.master(below("master")), log)?;
    let mut worker_file = file.worker(below("worker"));
    // The port may have been left to the system.
    worker_file.worker.masters = vec![master.workers_address().to_string()];
    let worker = RunningWorker::start(&worker_file, log)?;
    Ok(Nodes(vec![Node::Worker(Box::new(worker)), Node::Master(Box::new(master))]))
}

impl Nodes {
    /// What scripts and supervisors wait for, one line for each node.
    pub fn ready_lines(&self) -> Vec<String> {
        let line = |node: &Node| match node {
            Node::Master(master) => master.ready_line(),
            Node::Worker(worker) => worker.ready_line(),
        };
        self.0.iter().map(line).collect()
    }

    /// What is missing before work can be done, if anything.
    async fn lacks(&self) -> Option<String> {
        for node in &self.0 {
            let lacks = match node {
                Node::Master(master) => master.lacks().await,
                Node::Worker(worker) => worker.lacks().await,
            };
            if lacks.is_some() {
                return lacks;
            }
        }
        None
    }

    /// Ends cleanly; returns when all is written.
    fn stop(self, runtime: &Runtime) {
        for node in self.0 {
            match node {
                Node::Master(master) => master.stop(runtime),
                Node::Worker(worker) => worker.stop(),
            }
        }
    }
}
