//! The cluster that is measured: in this process, or one process for each node, as on separate hosts.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Plan;
use super::counters::Counters;
use crate::cli::error::{Error, Exit};
use crate::node::Embedded;

/// How nodes are told to end, and that their last words are only of interest in case of trouble.
const NODE_LOG: &str = "node.log";
/// Ports below those that the system gives to callers, so that none is taken between two looks.
const PORTS: std::ops::Range<u16> = 21_000..31_000;

/// One of the two.
#[derive(Debug)]
pub enum Cluster {
    Here(Embedded),
    Processes(Processes),
}

/// Masters and workers as children of this process; dropping them kills them.
#[derive(Debug)]
pub struct Processes {
    nodes: Vec<Node>,
    /// Of the API: addresses of all masters, and the token.
    pub addresses: Vec<SocketAddr>,
    pub token: String,
}

#[derive(Debug)]
struct Node {
    child: Child,
    /// Where it answers `/metrics`.
    http: SocketAddr,
}

impl Cluster {
    /// Where to ask, and with which token.
    pub fn door(&self) -> (Vec<SocketAddr>, String) {
        match self {
            Cluster::Here(embedded) => (vec![embedded.api], embedded.token.clone()),
            Cluster::Processes(processes) => (processes.addresses.clone(), processes.token.clone()),
        }
    }

    pub(super) async fn counters(&self) -> Result<Counters, Error> {
        match self {
            Cluster::Here(embedded) => Ok(Counters::of_embedded(embedded)),
            Cluster::Processes(processes) => {
                let mut sum = Counters::default();
                for node in &processes.nodes {
                    sum.add(&Counters::of_metrics(&metrics(node.http, &processes.token).await?));
                }
                Ok(sum)
            }
        }
    }

    pub fn stop(self) {
        match self {
            Cluster::Here(embedded) => embedded.stop(),
            Cluster::Processes(processes) => drop(processes),
        }
    }
}

async fn metrics(address: SocketAddr, token: &str) -> Result<String, Error> {
    let failed = |why: String| trouble(format!("http://{address}/metrics: {why}"));
    let request = awc::Client::default().get(format!("http://{address}/metrics"));
    let sent = request.insert_header(("Authorization", format!("Bearer {token}"))).send().await;
    let mut answer = sent.map_err(|error| failed(error.to_string()))?;
    let body = answer.body().await.map_err(|error| failed(error.to_string()))?;
    match answer.status().is_success() {
        true => Ok(String::from_utf8_lossy(&body).into_owned()),
        false => Err(failed(answer.status().to_string())),
    }
}

fn trouble(detail: String) -> Error {
    Error::new(Exit::Unexpected, "H9032", detail)
}

impl Processes {
    pub fn start(plan: &Plan) -> Result<Processes, Error> {
        let written = |error: std::io::Error| Error::io("cannot write the nodes' configuration", &error);
        let data = std::path::absolute(&plan.data).map_err(written)?;
        let shared_file = data.join("cluster.toml");
        let ports = free_ports(2 * plan.masters as usize)?;
        let (peers, workers) = ports.split_at(plan.masters as usize);
        let mut processes = Processes { nodes: Vec::new(), addresses: Vec::new(), token: String::new() };
        let mut masters = Vec::new();
        for (index, door) in workers.iter().enumerate() {
            let text = master_text(index, peers, *door, &data, &shared_file);
            masters.push(spawn("master", &data.join(format!("n{}", index + 1)), &text)?);
        }
        for starting in masters {
            let node = starting.ready(" api=")?;
            processes.addresses.push(node.http);
            processes.nodes.push(node);
        }
        let starting: Vec<Starting> = (1..=plan.workers)
            .map(|number| {
                let text = worker_text(number, workers, plan.slots, &data, &shared_file);
                spawn("worker", &data.join(format!("w{number}")), &text)
            })
            .collect::<Result<_, Error>>()?;
        for starting in starting {
            processes.nodes.push(starting.ready(" http=")?);
        }
        let file = fs::read_to_string(&shared_file).map_err(written)?;
        let table: toml::Table = file.parse().map_err(|_| trouble("the shared file is broken".into()))?;
        processes.token = table["token"].as_str().unwrap_or_default().to_owned();
        Ok(processes)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // What was measured is over, and the directory goes with it.
            let _ = node.child.kill();
            let _ = node.child.wait();
        }
    }
}

/// A child that has not said that it is ready. Dropping it kills it.
struct Starting {
    node: Option<Child>,
    directory: PathBuf,
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(mut child) = self.node.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Starting {
    fn ready(mut self, before_address: &str) -> Result<Node, Error> {
        let child = self.node.as_mut().expect("it is taken once");
        let mut line = String::new();
        let out = child.stdout.take().expect("it is a pipe");
        let _ = BufReader::new(out).read_line(&mut line);
        let address = line.split(before_address).nth(1).and_then(|rest| rest.split_whitespace().next());
        match address.and_then(|address| address.parse().ok()) {
            Some(http) => Ok(Node { child: self.node.take().expect("it is taken once"), http }),
            None => {
                let log = fs::read_to_string(self.directory.join(NODE_LOG)).unwrap_or_default();
                Err(trouble(format!("a node did not start: {}", log.lines().last().unwrap_or("no word"))))
            }
        }
    }
}

fn spawn(role: &str, directory: &Path, text: &str) -> Result<Starting, Error> {
    let failed = |error: std::io::Error| Error::io("cannot start a node", &error);
    fs::create_dir_all(directory).map_err(failed)?;
    let config = directory.join("node.toml");
    fs::write(&config, text).map_err(failed)?;
    let log = fs::File::create(directory.join(NODE_LOG)).map_err(failed)?;
    let child = Command::new(std::env::current_exe().map_err(failed)?)
        .args(["server", role, "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(failed)?;
    Ok(Starting { node: Some(child), directory: directory.to_owned() })
}

fn master_text(index: usize, peers: &[u16], workers: u16, data: &Path, shared_file: &Path) -> String {
    let (id, port) = (index + 1, peers[index]);
    let masters = peers.iter().enumerate();
    let masters: Vec<String> = masters
        .map(|(index, port)| format!("{{ id = {}, peers = \"127.0.0.1:{port}\" }}", index + 1))
        .collect();
    format!(
        "[node]\ndata = {:?}\n[listen]\npeers = \"127.0.0.1:{port}\"\nworkers = \"127.0.0.1:{workers}\"\n\
         api = \"127.0.0.1:0\"\n[development]\nshared_file = {shared_file:?}\nid = {id}\nmasters = [{}]\n\
         [log]\nlevel = \"warning\"\n",
        data.join(format!("n{id}/data")),
        masters.join(", ")
    )
}

fn worker_text(number: u32, ports: &[u16], slots: u32, data: &Path, shared_file: &Path) -> String {
    let masters: Vec<String> = ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    format!(
        "[node]\ndata = {:?}\n[worker]\nname = \"w{number}\"\nslots = {slots}\nmasters = [{}]\nruns = {:?}\n\
         [listen]\nhttp = \"127.0.0.1:0\"\n[development]\nshared_file = {shared_file:?}\n\
         [log]\nlevel = \"warning\"\n",
        data.join(format!("w{number}/data")),
        masters.join(", "),
        data.join("runs"),
    )
}

fn free_ports(count: usize) -> Result<Vec<u16>, Error> {
    let begin = rand::random_range(PORTS);
    let candidates = (begin..PORTS.end).chain(PORTS.start..begin);
    let free = candidates.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    let ports: Vec<u16> = free.take(count).collect();
    match ports.len() == count {
        true => Ok(ports),
        false => Err(trouble("no port is free".into())),
    }
}
