//! A cluster of real processes on one host, with a relay before every node, and whoever plays its supervisor.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::Error;
use super::ledger::Ledger;
use super::links::{Links, Place};
use super::processes::{NodeCommand, Process};
use crate::cli::client::{Client, Patience, Target, Way};

/// How often the supervisor looks at its processes.
const SUPERVISE_EVERY: Duration = Duration::from_millis(20);
/// Ports of a node: peers, workers, API.
const PORTS: u16 = 3;
/// Where the search for free ports begins, and how far it goes.
const FIRST_PORT: u16 = 17_400;
const LAST_PORT: u16 = 29_000;
/// The clients of a chaos run use the times of the command line, but give a command up late.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(2),
    request: Duration::from_secs(10),
    retry: Duration::from_secs(30),
};

/// The processes and what stands between them.
pub(super) struct Cluster {
    pub(super) links: Links,
    pub(super) ledger: Ledger,
    pub(super) client: Rc<Client>,
    masters: u8,
    workers: u8,
    processes: RefCell<Vec<Process>>,
    /// Somebody else looks after these for a while.
    unsupervised: RefCell<BTreeSet<Place>>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Cluster({} masters, {} workers)", self.masters, self.workers)
    }
}

/// What a cluster is made of.
#[derive(Clone, Debug)]
pub(super) struct Size {
    pub(super) masters: u8,
    pub(super) workers: u8,
}

impl Cluster {
    /// Writes the configurations, starts all processes and waits for their ready lines.
    pub(super) fn form(
        program: &Path,
        directory: &Path,
        size: &Size,
        links: Links,
    ) -> Result<Cluster, Error> {
        let ports = Ports::find()?;
        let plan = Layout { directory, size, ports };
        for place in plan.places() {
            links.open(place, ports.peers)?;
            links.open(place, ports.workers)?;
        }
        let commands = plan.write()?;
        let processes = commands
            .into_iter()
            .map(|command| Process::start(program, command))
            .collect::<io::Result<Vec<Process>>>()?;
        let target = Target {
            addresses: plan.masters().map(|place| SocketAddr::new(place.own(), ports.api).into()).collect(),
            token: plan.token()?,
            way: Way::Plain,
            source: "the chaos run".to_owned(),
        };
        Ok(Cluster {
            links,
            ledger: Ledger::new(directory),
            client: Rc::new(Client::new(target, PATIENCE, false)),
            masters: size.masters,
            workers: size.workers,
            processes: RefCell::new(processes),
            unsupervised: RefCell::default(),
        })
    }

    pub(super) fn masters(&self) -> Vec<Place> {
        (1..=self.masters).map(Place).collect()
    }

    pub(super) fn workers(&self) -> Vec<Place> {
        (self.masters + 1..=self.masters + self.workers).map(Place).collect()
    }

    /// The place of the master with that id.
    pub(super) fn master(&self, id: u64) -> Option<Place> {
        self.masters().into_iter().find(|place| u64::from(place.0) == id)
    }

    pub(super) fn name(&self, place: Place) -> String {
        let mut name = String::new();
        self.with(place, |process| name = process.name().to_owned());
        name
    }

    /// Does something to a node's process.
    pub(super) fn with(&self, place: Place, act: impl FnOnce(&mut Process)) {
        let mut processes = self.processes.borrow_mut();
        if let Some(process) = processes.iter_mut().find(|process| process.place() == place) {
            act(process);
        }
    }

    pub(super) fn pause_supervision(&self, place: Place) {
        self.unsupervised.borrow_mut().insert(place);
    }

    pub(super) fn resume_supervision(&self, place: Place) {
        self.unsupervised.borrow_mut().remove(&place);
    }

    /// Never ends: starts again whatever is down and has waited long enough.
    pub(super) async fn supervise(self: Rc<Self>) {
        loop {
            for process in self.processes.borrow_mut().iter_mut() {
                if self.unsupervised.borrow().contains(&process.place()) {
                    continue;
                }
                if let Err(error) = process.supervise() {
                    process.surprises.push(format!("{} cannot be started: {error}", process.name()));
                }
            }
            tokio::time::sleep(SUPERVISE_EVERY).await;
        }
    }

    /// Ends all faults: whatever is frozen goes on, all links are whole.
    pub(super) fn heal(&self) {
        self.links.heal_all();
        self.unsupervised.borrow_mut().clear();
        self.processes.borrow_mut().iter_mut().for_each(Process::thaw);
    }

    /// Exits that nobody asked for.
    pub(super) fn surprises(&self) -> Vec<String> {
        self.processes.borrow().iter().flat_map(|process| process.surprises.clone()).collect()
    }

    /// Kills all at once; nothing is started again.
    pub(super) fn kill_all(&self) {
        self.processes.borrow_mut().clear();
    }
}

/// The same ports on every node's own address.
#[derive(Clone, Copy, Debug)]
struct Ports {
    peers: u16,
    workers: u16,
    api: u16,
}

impl Ports {
    /// Ports that are free on the first node's addresses: another chaos run of this host holds others.
    fn find() -> io::Result<Ports> {
        let free = |port: u16| {
            let own = TcpListener::bind((Place(1).own(), port));
            own.is_ok() && TcpListener::bind((Place(1).relay(), port)).is_ok()
        };
        let start = FIRST_PORT + (std::process::id() % 1_000) as u16 * PORTS;
        let mut candidates = (start..LAST_PORT).step_by(usize::from(PORTS));
        let found = candidates.find(|port| (0..PORTS).all(|offset| free(port + offset)));
        let first = found.ok_or_else(|| io::Error::other("there are no free ports"))?;
        Ok(Ports { peers: first, workers: first + 1, api: first + 2 })
    }
}

/// Which files say what to which node.
struct Layout<'a> {
    directory: &'a Path,
    size: &'a Size,
    ports: Ports,
}

impl Layout<'_> {
    fn masters(&self) -> impl Iterator<Item = Place> {
        (1..=self.size.masters).map(Place)
    }

    fn places(&self) -> impl Iterator<Item = Place> {
        (1..=self.size.masters + self.size.workers).map(Place)
    }

    fn shared(&self) -> PathBuf {
        self.directory.join("shared.toml")
    }

    fn write(&self) -> io::Result<Vec<NodeCommand>> {
        self.places().map(|place| self.write_node(place)).collect()
    }

    fn write_node(&self, place: Place) -> io::Result<NodeCommand> {
        let (role, name, text) = match place.0 <= self.size.masters {
            true => ("master", format!("n{}", place.0), self.master_text(place)),
            false => {
                let name = format!("w{}", place.0 - self.size.masters);
                ("worker", name.clone(), self.worker_text(place, &name))
            }
        };
        let path = self.directory.join(format!("{name}.toml"));
        std::fs::write(&path, text)?;
        let arguments = ["server", role, "--config", &path.display().to_string()].map(str::to_owned).to_vec();
        Ok(NodeCommand { place, log: self.directory.join(format!("{name}.log")), name, arguments })
    }

    fn master_text(&self, place: Place) -> String {
        let Ports { peers, workers, api } = self.ports;
        let (own, relay) = (place.own(), place.relay());
        let masters: Vec<String> = self
            .masters()
            .map(|other| format!("{{ id = {}, peers = \"{}:{peers}\" }}", other.0, other.relay()))
            .collect();
        format!(
            "[node]\ndata = {:?}\nsource = \"{own}\"\n\n\
             [listen]\npeers = \"{own}:{peers}\"\nworkers = \"{own}:{workers}\"\napi = \"{own}:{api}\"\n\n\
             [advertise]\npeers = \"{relay}:{peers}\"\nworkers = \"{relay}:{workers}\"\n\n\
             [development]\nshared_file = {:?}\nid = {}\nmasters = [{}]\n\n[log]\nlevel = \"info\"\n",
            self.directory.join(format!("n{}", place.0)),
            self.shared(),
            place.0,
            masters.join(", ")
        )
    }

    fn worker_text(&self, place: Place, name: &str) -> String {
        let masters: Vec<String> =
            self.masters().map(|master| format!("\"{}:{}\"", master.relay(), self.ports.workers)).collect();
        format!(
            "[node]\ndata = {:?}\nsource = \"{}\"\n\n[worker]\nname = {name:?}\nmasters = [{}]\nslots = 32\n\n\
             [development]\nshared_file = {:?}\n\n[log]\nlevel = \"info\"\n",
            self.directory.join(name),
            place.own(),
            masters.join(", "),
            self.shared(),
        )
    }

    /// The API's token, once a master has made the shared file.
    fn token(&self) -> io::Result<String> {
        let text = std::fs::read_to_string(self.shared())?;
        let table: toml::Table = text.parse().map_err(io::Error::other)?;
        let token = table.get("token").and_then(toml::Value::as_str);
        token.map(str::to_owned).ok_or_else(|| io::Error::other("the shared file holds no token"))
    }
}
