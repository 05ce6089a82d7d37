//! A cluster of real processes on one host, with a relay before every node, and whoever plays its supervisor.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use hortator_core::lease::Leases;
use hortator_proto::api::{MasterDetail, SettingsView, StatusView};

use super::Error;
use super::ledger::Ledger;
use super::links::{Links, Place};
use super::processes::{NodeCommand, Process};
use crate::api::body::Page;
use crate::cli::client::{Call, Client, Patience, Target, Way};
use crate::cli::scrape::Metrics;
use crate::forming::Forming;

/// How often the supervisor looks at its processes.
const SUPERVISE_EVERY: Duration = Duration::from_millis(20);
/// Ports of a node: peers, workers, API.
const PORTS: u16 = 3;
/// How long it may take until all masters are members.
const JOIN_MAX: Duration = Duration::from_secs(60);
/// The balancer moves no leader for so long: it has come to rest.
const SETTLED_FOR: Duration = Duration::from_secs(5);
/// How long it may take until it does.
const SETTLE_MAX: Duration = Duration::from_secs(120);
/// A cluster begins as one master, whose leases are long; the shorter ones of three count when those have passed.
const LEASES_MAX: Duration = Duration::from_secs(400);
/// Of each worker: more than the workload ever runs at a time, so that the loss of a worker stops nothing.
const SLOTS: u32 = 32;
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
    target: Target,
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
    /// The deliberate mistake that the masters make.
    pub(super) mutant: Option<String>,
}

impl Cluster {
    /// Forms a cluster as a deployer does: one master makes it, the others and the workers join with a token each.
    pub(super) async fn form(
        program: &Path,
        directory: &Path,
        size: &Size,
        links: Links,
    ) -> Result<Cluster, Error> {
        let ports = Ports::find()?;
        let layout = Layout { directory, size, ports };
        let forming = Forming { program: program.to_owned(), home: directory.join("config") };
        for place in layout.places() {
            links.open(place, ports.peers)?;
            links.open(place, ports.workers)?;
            layout.write(place)?;
        }
        let formed = forming.init("chaos", &layout.file(Place(1)))?;
        let mut processes = Vec::new();
        for place in layout.places() {
            if place != Place(1) {
                let token = match layout.is_master(place) {
                    true => forming.master(&layout.name(place))?,
                    false => forming.worker()?,
                };
                std::fs::write(layout.token_file(place), token)?;
            }
            processes.push(Process::start(program, layout.command(place))?);
        }
        let target = Target {
            addresses: layout.masters().map(|place| SocketAddr::new(place.own(), ports.api).into()).collect(),
            token: formed.token,
            way: Way::of_authority(&format!("sha256:{}", formed.authority))?,
            source: "the chaos run".to_owned(),
        };
        let client = Rc::new(Client::new(target.clone(), PATIENCE, false));
        let cluster = Cluster {
            links,
            ledger: Ledger::new(directory),
            client,
            target,
            masters: size.masters,
            workers: size.workers,
            processes: RefCell::new(processes),
            unsupervised: RefCell::default(),
        };
        cluster.until_members().await?;
        Ok(cluster)
    }

    /// One more client, which finds a master of its own.
    pub(super) fn new_client(&self) -> Client {
        Client::new(self.target.clone(), PATIENCE, false)
    }

    /// A master that has joined and not caught up is no member, and its loss would prove nothing.
    async fn until_members(&self) -> Result<(), Error> {
        let begun = std::time::Instant::now();
        loop {
            let page: Page<MasterDetail> = self.client.ask(Call::get("/cluster/masters")).await?;
            let members = page.items.iter().filter(|master| master.state == "member").count();
            if members == usize::from(self.masters) {
                return Ok(());
            }
            if begun.elapsed() > JOIN_MAX {
                return Err(Error::WarmUp(format!("{members} of {} masters are members", self.masters)));
            }
            tokio::time::sleep(SUPERVISE_EVERY).await;
        }
    }

    /// Leaderships given to another on purpose since the masters were started, of those that answer: one
    /// that does not answer makes judges stricter, never milder.
    pub(super) async fn handed_over(&self) -> u64 {
        let mut sum = 0;
        for address in &self.target.addresses {
            let metrics = Metrics::ask(address, &self.target.token, &self.target.way).await;
            sum += metrics.map_or(0, |metrics| metrics.value("hortator_raft_leaderships_handed_over_total"));
        }
        sum
    }

    /// Waits until nobody has won a term for a while: leaders are spread when a cluster is young.
    pub(super) async fn settled(&self) -> Result<StatusView, Error> {
        let begun = std::time::Instant::now();
        let mut before: StatusView = self.client.ask(Call::get("/status")).await?;
        loop {
            tokio::time::sleep(SETTLED_FOR).await;
            let now: StatusView = self.client.ask(Call::get("/status")).await?;
            let terms =
                |view: &StatusView| -> Vec<u64> { view.groups.iter().map(|group| group.term).collect() };
            let leads = now.masters.iter().map(|master| master.leads.len());
            let even = leads.clone().max().unwrap_or(0) <= leads.min().unwrap_or(0) + 1;
            if terms(&now) == terms(&before) && even || begun.elapsed() > SETTLE_MAX {
                return Ok(now);
            }
            before = now;
        }
    }

    /// Waits until the silence after which a worker is declared lost is the one that the settings ask for.
    pub(super) async fn until_leases_count(&self) -> Result<(), Error> {
        let begun = std::time::Instant::now();
        loop {
            let settings: SettingsView = self.client.ask(Call::get("/settings")).await?;
            match settings.leases {
                Leases::Kept(terms) if settings.nobody_lost_before <= terms.declare_lost => return Ok(()),
                _ if begun.elapsed() > LEASES_MAX => {
                    let why = format!("nobody is declared lost before {}", settings.nobody_lost_before);
                    return Err(Error::WarmUp(why));
                }
                _ => tokio::time::sleep(SETTLED_FOR).await,
            }
        }
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
    fn masters(&self) -> impl Iterator<Item = Place> + use<> {
        (1..=self.size.masters).map(Place)
    }

    fn places(&self) -> impl Iterator<Item = Place> + use<> {
        (1..=self.size.masters + self.size.workers).map(Place)
    }

    fn is_master(&self, place: Place) -> bool {
        place.0 <= self.size.masters
    }

    fn name(&self, place: Place) -> String {
        match self.is_master(place) {
            true => format!("n{}", place.0),
            false => format!("w{}", place.0 - self.size.masters),
        }
    }

    fn file(&self, place: Place) -> PathBuf {
        self.directory.join(format!("{}.toml", self.name(place)))
    }

    fn token_file(&self, place: Place) -> PathBuf {
        self.directory.join(format!("{}.token", self.name(place)))
    }

    fn command(&self, place: Place) -> NodeCommand {
        let (name, role) = (self.name(place), if self.is_master(place) { "master" } else { "worker" });
        let file = self.file(place).display().to_string();
        let arguments = ["server", role, "--config", &file].map(str::to_owned).to_vec();
        NodeCommand {
            place,
            log: self.directory.join(format!("{name}.log")),
            name,
            arguments,
            mutant: self.size.mutant.clone(),
        }
    }

    fn write(&self, place: Place) -> io::Result<()> {
        let (own, relay, name) = (place.own(), place.relay(), self.name(place));
        let Ports { peers, workers, api } = self.ports;
        let node = format!("[node]\ndata = {:?}\nsource = \"{own}\"\n", self.directory.join(&name));
        let rest = match self.is_master(place) {
            true => format!(
                "[listen]\npeers = \"{own}:{peers}\"\nworkers = \"{own}:{workers}\"\napi = \"{own}:{api}\"\n\
                 [advertise]\npeers = \"{relay}:{peers}\"\nworkers = \"{relay}:{workers}\"\n"
            ),
            false => format!("[worker]\nname = {name:?}\nslots = {SLOTS}\n"),
        };
        let join = match place {
            Place(1) => String::new(),
            _ => format!("[join]\ntoken_file = {:?}\n", self.token_file(place)),
        };
        std::fs::write(self.file(place), format!("{node}{rest}{join}"))
    }
}
