//! Nodes as processes of their own: from a file of configuration to a running master or worker, and from a signal to
//! its end. Must not know what is decided in a node, nor how commands look.

mod addresses;
mod error;
mod forming;
mod http;
mod joining;
mod known_masters;
mod life;
mod master;
mod moving;
mod notify;
mod panics;
mod place;
mod renewal;
mod restoring;
mod signals;
mod upkeep;
mod worker;

pub use error::Error;
pub use forming::{Formed, form};
pub use life::live;
pub use panics::end_on_panic;
pub use restoring::restore;

use std::time::Duration;

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

/// Call these on the main thread: a warden ends with the thread that started it. A join token is used when the node
/// belongs to no cluster yet.
pub fn start_master(file: &MasterFile, token: Option<&str>, log: &Logger) -> Result<Nodes, Error> {
    let token = joining::token(token, &file.join)?;
    let master = RunningMaster::start(file, token, log)?;
    Ok(Nodes(vec![Node::Master(Box::new(master))]))
}

pub fn start_worker(file: &WorkerFile, token: Option<&str>, log: &Logger) -> Result<Nodes, Error> {
    let token = joining::token(token, &file.join)?;
    let worker = RunningWorker::start(file, token, log)?;
    Ok(Nodes(vec![Node::Worker(Box::new(worker))]))
}

/// Both; the token is the master's, which lets its worker in. The worker is stopped first.
pub fn start_all(file: &AllFile, token: Option<&str>, log: &Logger) -> Result<Nodes, Error> {
    let token = joining::token(token, &file.join)?;
    let master = RunningMaster::start(&file.master(), token, log)?;
    let mut worker_file = file.worker();
    // The port may have been left to the system.
    worker_file.worker.masters = vec![master.workers_address().to_string()];
    if worker_file.development.shared_file.is_none() {
        joining::let_own_worker_in(&worker_file, &worker::name_of(&worker_file)?, &file.master(), || {
            master.authority()
        })?;
    }
    let worker = RunningWorker::start(&worker_file, None, log)?;
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

    /// What is done now and then.
    fn tend(&mut self) {
        for node in &mut self.0 {
            if let Node::Master(master) = node {
                master.tend();
            }
        }
    }

    fn refusal(&self) -> Option<Error> {
        self.0.iter().find_map(|node| match node {
            Node::Master(master) => master.refusal(),
            Node::Worker(_) => None,
        })
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
    fn stop(self, runtime: &Runtime, grace: Duration) {
        for node in self.0 {
            match node {
                Node::Master(master) => master.stop(runtime),
                Node::Worker(worker) => worker.stop(runtime, grace),
            }
        }
    }
}
