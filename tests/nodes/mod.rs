//! Masters and workers as processes, each with a configuration file of its own, in one home directory.
//! Must not know what the tests look for. Each test file uses a part of this.
#![allow(dead_code)]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use serde_json::Value;

use crate::harness::{Api, wait_until};
use crate::program::{Home, LIMIT, pid};

/// A process that has said that it is ready.
pub(crate) struct NodeProcess {
    child: std::cell::RefCell<Child>,
    name: String,
    log: std::path::PathBuf,
    /// Its first line.
    pub(crate) ready: String,
}

impl NodeProcess {
    fn start(home: &Home, role: &str, name: &str, variables: &[(&str, &str)]) -> NodeProcess {
        NodeProcess::start_more(home, role, name, variables, &[])
    }

    /// With more arguments.
    pub(crate) fn start_more(
        home: &Home,
        role: &str,
        name: &str,
        variables: &[(&str, &str)],
        more: &[&str],
    ) -> NodeProcess {
        let config = home.path().join(format!("{name}.toml")).display().to_string();
        let log = home.path().join(format!("{name}.log"));
        let append = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut command = home.command(&[&["server", role, "--config", &config], more].concat());
        let child = command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(append).spawn();
        let child = std::cell::RefCell::new(child.unwrap());
        NodeProcess { child, name: name.to_owned(), log, ready: String::new() }
    }

    #[track_caller]
    pub(crate) fn until_ready(mut self) -> NodeProcess {
        let out = self.child.borrow_mut().stdout.take().unwrap();
        BufReader::new(out).read_line(&mut self.ready).unwrap();
        assert!(self.ready.starts_with("ready "), "{}: {:?}\n{}", self.name, self.ready, self.log());
        self
    }

    /// `api` of `ready master n1 peers=… workers=… api=…`.
    pub(crate) fn address(&self, of: &str) -> String {
        let words = self.ready.split_whitespace();
        let found = words.filter_map(|word| word.split_once('=')).find(|(name, _)| *name == of);
        found.unwrap_or_else(|| panic!("{:?} has no {of}", self.ready)).1.to_owned()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.borrow().id()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn kill(&self, signal: Signal) {
        kill(pid(&self.child.borrow()), signal).unwrap();
    }

    /// Sends the signal and gives the exit code, or what a shell makes of a signal.
    #[track_caller]
    pub(crate) fn end(&self, signal: Signal) -> i32 {
        self.kill(signal);
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.borrow_mut().try_wait().unwrap() {
                let signal = std::os::unix::process::ExitStatusExt::signal(&status);
                return status.code().unwrap_or_else(|| 128 + signal.unwrap_or(0));
            }
            assert!(Instant::now() < until, "{} does not end after {signal}\n{}", self.name, self.log());
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let child = self.child.get_mut();
        let _ = child.kill();
        let _ = child.wait();
        if std::thread::panicking() {
            eprintln!("--- {}\n{}", self.name, self.log());
        }
    }
}

pub(crate) struct Cluster {
    pub(crate) workers: Vec<NodeProcess>,
    pub(crate) masters: Vec<NodeProcess>,
    variables: Vec<(String, String)>,
    pub(crate) home: Home,
}

impl Cluster {
    pub(crate) fn start(masters: usize, workers: usize) -> Cluster {
        Cluster::start_with(masters, workers, &[])
    }

    /// All masters start at once, as after a power loss.
    pub(crate) fn start_with(masters: usize, workers: usize, variables: &[(&str, &str)]) -> Cluster {
        let home = Home::new();
        let ports = free_ports(2 * masters);
        let (peers, doors) = ports.split_at(masters);
        for master in 0..masters {
            home.write(&format!("n{}.toml", master + 1), master_text(&home, master, peers, doors));
        }
        for worker in 1..=workers {
            home.write(&format!("w{worker}.toml"), worker_text(&home, worker, doors));
        }
        let starting: Vec<NodeProcess> = (1..=masters)
            .map(|master| NodeProcess::start(&home, "master", &format!("n{master}"), variables))
            .collect();
        let masters = starting.into_iter().map(NodeProcess::until_ready).collect();
        let workers = (1..=workers)
            .map(|worker| NodeProcess::start(&home, "worker", &format!("w{worker}"), variables).until_ready())
            .collect();
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let cluster = Cluster { home, workers, masters, variables: variables.iter().map(own).collect() };
        cluster.until_available(cluster.masters.len());
        cluster
    }

    /// A master with a worker in one process.
    pub(crate) fn start_all() -> Cluster {
        let home = Home::new();
        let text = master_text(&home, 0, &free_ports(1), &[0]) + "[worker]\nname = \"w1\"\nslots = 8\n";
        home.write("n1.toml", text);
        let process = NodeProcess::start(&home, "all", "n1", &[]);
        Cluster {
            workers: Vec::new(),
            masters: vec![Cluster::second_line(process)],
            variables: Vec::new(),
            home,
        }
    }

    /// The worker's line comes first.
    fn second_line(mut process: NodeProcess) -> NodeProcess {
        let mut out = BufReader::new(process.child.borrow_mut().stdout.take().unwrap());
        let mut worker = String::new();
        out.read_line(&mut worker).unwrap();
        assert!(worker.starts_with("ready worker w1"), "{worker:?}\n{}", process.log());
        out.read_line(&mut process.ready).unwrap();
        process
    }

    pub(crate) fn api(&self, master: usize) -> Api {
        let file = std::fs::read_to_string(self.home.path().join("cluster.toml")).unwrap();
        let table: toml::Table = file.parse().unwrap();
        let token = table["token"].as_str().unwrap().to_owned();
        Api { address: self.masters[master].address("api"), token }
    }

    /// What each master says of the cluster; a dead one says nothing.
    pub(crate) fn statuses(&self) -> Vec<Option<Value>> {
        let ask = |master| self.api(master).ask_with("GET /api/v1/status", &[], "").ok();
        (0..self.masters.len())
            .map(|master| ask(master).filter(|answer| answer.status == 200).map(|answer| answer.json()))
            .collect()
    }

    /// All of so many masters know the leaders, and each worker is known to some master.
    #[track_caller]
    pub(crate) fn until_available(&self, masters: usize) {
        wait_until("an available cluster", || {
            let statuses: Vec<Value> = self.statuses().into_iter().flatten().collect();
            let known = statuses.iter().filter_map(|status| Some(status["workers"].as_array()?.len())).max();
            statuses.iter().filter(|status| status["verdict"] == "available").count() == masters
                && known >= Some(self.workers.len())
        });
    }

    pub(crate) fn restart_master(&mut self, master: usize) {
        self.masters[master] = self.again("master", &format!("n{}", master + 1));
    }

    pub(crate) fn restart_worker(&mut self, worker: usize) {
        self.workers[worker] = self.again("worker", &format!("w{}", worker + 1));
    }

    fn again(&self, role: &str, name: &str) -> NodeProcess {
        let variables: Vec<(&str, &str)> =
            self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        NodeProcess::start(&self.home, role, name, &variables).until_ready()
    }
}

fn master_text(home: &Home, index: usize, ports: &[u16], doors: &[u16]) -> String {
    let home = home.path().display();
    let masters: Vec<String> =
        (1..).zip(ports).map(|(id, port)| format!("{{ id = {id}, peers = \"127.0.0.1:{port}\" }}")).collect();
    let (id, port, door) = (index + 1, ports[index], doors[index]);
    format!(
        "[node]\ndata = \"{home}/n{id}\"\n[listen]\npeers = \"127.0.0.1:{port}\"\nworkers = \"127.0.0.1:{door}\"\n\
         api = \"127.0.0.1:0\"\n[development]\nshared_file = \"{home}/cluster.toml\"\nid = {id}\nmasters = [{}]\n",
        masters.join(", ")
    )
}

fn worker_text(home: &Home, number: usize, ports: &[u16]) -> String {
    let home = home.path().display();
    let masters: Vec<String> = ports.iter().map(|port| format!("\"127.0.0.1:{port}\"")).collect();
    format!(
        "[node]\ndata = \"{home}/w{number}\"\n[worker]\nname = \"w{number}\"\nslots = 8\nmasters = [{}]\nruns =          \"{home}/runs\"\n[development]\nshared_file = \"{home}/cluster.toml\"\n",
        masters.join(", ")
    )
}

/// Below those that the system gives to callers, so that nobody takes one while its node is down; each process of
/// tests begins elsewhere.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = 10_000 + (std::process::id() % 500) as u16 * 20;
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let ports = std::iter::repeat_with(|| begin + NEXT.fetch_add(1, Ordering::Relaxed));
    ports.filter(free).take(count).collect()
}

/// The configuration file of a master on ports of its own.
pub(crate) fn master_file(home: &Home, name: &str) -> String {
    let ports = free_ports(3);
    let text = format!(
        "[node]\ndata = \"{}/{name}\"\n[listen]\npeers = \"127.0.0.1:{}\"\nworkers = \"127.0.0.1:{}\"\napi = \
         \"127.0.0.1:{}\"\n",
        home.path().display(),
        ports[0],
        ports[1],
        ports[2]
    );
    home.write(&format!("{name}.toml"), text)
}

pub(crate) fn worker_file(home: &Home, name: &str) -> String {
    let text = format!("[node]\ndata = \"{}/{name}\"\n[worker]\nname = \"{name}\"\n", home.path().display());
    home.write(&format!("{name}.toml"), text)
}

pub(crate) fn init(home: &Home, file: &str, name: &str) -> Value {
    home.call(&["cluster", "init", "--config", file, "--name", name, "-o", "json"]).expect(0).json()
}

pub(crate) fn start(home: &Home, role: &str, name: &str, more: &[&str]) -> NodeProcess {
    NodeProcess::start_more(home, role, name, &[], more).until_ready()
}

pub(crate) fn join_token(home: &Home, arguments: &[&str]) -> String {
    let made = home.call(&[&["cluster", "add"], arguments, &["-o", "json"]].concat()).expect(0).json();
    let token = made["token"].as_str().unwrap();
    assert!(
        made["command"]
            .as_str()
            .unwrap()
            .starts_with(&format!("HORTATOR_JOIN_TOKEN={token} hortator server ")),
        "{made}"
    );
    token.to_owned()
}
