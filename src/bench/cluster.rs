//! The cluster that is measured: in this process, or one process for each node, as on separate hosts.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Plan;
use super::counters::Counters;
use crate::cli::client::{Target, Way};
use crate::cli::error::{Error, Exit};
use crate::cli::scrape::Metrics;
use crate::forming::{Formed, Forming, FormingError};
use crate::node::Embedded;

/// How nodes are told to end, and that their last words are only of interest in case of trouble.
const NODE_LOG: &str = "node.log";
/// For peers, workers and the API.
const PORTS_OF_A_MASTER: usize = 3;
/// Ports below those that the system gives to callers, so that none is taken between two looks.
const PORTS: std::ops::Range<u16> = 21_000..31_000;

/// One of the two.
#[derive(Debug)]
pub enum Cluster {
    Here(Embedded),
    Processes(Processes),
}

/// Masters and workers as children of this process; dropping them kills them.
#[derive(Debug, Default)]
pub struct Processes {
    nodes: Vec<(Node, Asked)>,
    /// Of the API: addresses of all masters, the token, and the way there.
    addresses: Vec<SocketAddr>,
    token: String,
    way: Way,
}

/// How a node's metrics are asked for: a worker answers on this host only, in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Master,
    Worker,
}

#[derive(Debug)]
struct Node {
    child: Child,
    /// Where it answers `/metrics`.
    http: SocketAddr,
}

impl Cluster {
    /// Where to ask, and how.
    pub fn target(&self) -> Target {
        let (addresses, token, way) = match self {
            Cluster::Here(embedded) => (&[embedded.api][..], &embedded.token, Way::Plain),
            Cluster::Processes(processes) => {
                (&processes.addresses[..], &processes.token, processes.way.clone())
            }
        };
        let addresses = addresses.iter().map(|address| (*address).into()).collect();
        Target { addresses, token: token.clone(), way, source: "the bench".into() }
    }

    pub(super) async fn counters(&self) -> Result<Counters, Error> {
        match self {
            Cluster::Here(embedded) => Ok(Counters::of_embedded(embedded)),
            Cluster::Processes(processes) => {
                let mut sum = Counters::default();
                for (node, asked) in &processes.nodes {
                    let way = if *asked == Asked::Master { &processes.way } else { &Way::Plain };
                    let metrics = Metrics::ask(&node.http.into(), &processes.token, way).await?;
                    sum.add(&Counters::of_metrics(&metrics));
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

fn trouble(detail: String) -> Error {
    Error::new(Exit::Unexpected, "H9032", detail)
}

impl Processes {
    /// Formed as a deployer does, with certificates: what is measured is what will run.
    pub fn start(plan: &Plan) -> Result<Processes, Error> {
        let written = |error: std::io::Error| Error::io("cannot write the nodes' configuration", &error);
        let unformed = |error: FormingError| trouble(error.to_string());
        let data = std::path::absolute(&plan.data).map_err(written)?;
        let program = std::env::current_exe().map_err(written)?;
        let forming = Forming { program, home: data.join("config") };
        let ports = free_ports(PORTS_OF_A_MASTER * plan.masters as usize)?;
        let mut formed = None;
        let mut processes = Processes::default();
        for (index, ports) in ports.chunks(PORTS_OF_A_MASTER).enumerate() {
            let name = format!("n{}", index + 1);
            let directory = data.join(&name);
            let mut text = master_text(&directory, ports);
            match &formed {
                None => {
                    let file = write_config(&directory, &text)?;
                    formed = Some(forming.init("bench", &file).map_err(unformed)?);
                }
                Some(_) => text += &join_text(&directory, &forming.master(&name).map_err(unformed)?)?,
            }
            processes.add(spawn("master", &directory, &text)?.ready(" api=")?, Asked::Master);
        }
        for number in 1..=plan.workers {
            let directory = data.join(format!("w{number}"));
            let token = forming.worker().map_err(unformed)?;
            let text = worker_text(number, plan.slots, &data, &directory) + &join_text(&directory, &token)?;
            processes.add(spawn("worker", &directory, &text)?.ready(" http=")?, Asked::Worker);
        }
        let Formed { token, authority } = formed.expect("there is a first master");
        processes.token = token;
        processes.way = Way::of_authority(&format!("sha256:{authority}"))?;
        Ok(processes)
    }

    fn add(&mut self, node: Node, asked: Asked) {
        if asked == Asked::Master {
            self.addresses.push(node.http);
        }
        self.nodes.push((node, asked));
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for (node, _) in &mut self.nodes {
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
    let config = write_config(directory, text)?;
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

fn write_config(directory: &Path, text: &str) -> Result<PathBuf, Error> {
    let failed = |error: std::io::Error| Error::io("cannot write a node's configuration", &error);
    fs::create_dir_all(directory).map_err(failed)?;
    let file = directory.join("node.toml");
    fs::write(&file, text).map_err(failed)?;
    Ok(file)
}

fn master_text(directory: &Path, ports: &[u16]) -> String {
    format!(
        "[node]\ndata = {:?}\n[listen]\npeers = \"127.0.0.1:{}\"\nworkers = \"127.0.0.1:{}\"\n\
         api = \"127.0.0.1:{}\"\n[log]\nlevel = \"warning\"\n",
        directory.join("data"),
        ports[0],
        ports[1],
        ports[2],
    )
}

fn worker_text(number: u32, slots: u32, data: &Path, directory: &Path) -> String {
    format!(
        "[node]\ndata = {:?}\n[worker]\nname = \"w{number}\"\nslots = {slots}\nruns = {:?}\n\
         [listen]\nhttp = \"127.0.0.1:0\"\n[log]\nlevel = \"warning\"\n",
        directory.join("data"),
        data.join("runs"),
    )
}

/// The token goes into a file, as arguments are shown to everybody.
fn join_text(directory: &Path, token: &str) -> Result<String, Error> {
    let failed = |error: std::io::Error| Error::io("cannot write a join token", &error);
    fs::create_dir_all(directory).map_err(failed)?;
    let file = directory.join("join.token");
    fs::write(&file, token).map_err(failed)?;
    Ok(format!("[join]\ntoken_file = {file:?}\n"))
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
