//! Masters and workers of one cluster in one thread on virtual time, made from one seed: production's actors, deciders,
//! raft and redb between simulated wires, disks, clocks and processes. Must not know what a story wants to show.
//!
//! ```text
//!  story ─▶ World ─▶ Stage: lives (one per process), run when ready in an order that the seed draws
//!                      │   frames, writes, timers
//!                      ▼
//!                    Net, Disk, HostClock, Host ──▶ Agenda: what happens next, in microseconds
//!                      └────────── every step ────▶ Trace
//! ```

pub mod agenda;
pub mod cast;
pub mod clock;
pub mod crew;
pub mod disk;
mod door;
pub mod draw;
pub mod equipment;
pub mod host;
pub mod image;
pub mod layers;
pub mod ledger;
mod log;
mod masters;
pub mod net;
pub mod stage;
#[cfg(test)]
mod tests;
pub mod trace;
pub mod weather;
mod wishes;
mod workers;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::rc::Rc;
use std::sync::Arc;

use hortator_actors::gateway::GatewayHandle;
use hortator_actors::mutant::Mutant;
use hortator_actors::pace::Pace;
use hortator_actors::seam::EntropySource;
use hortator_core::id::Name;
use hortator_core::lease::{DEFAULT_TERMS, Leases};
use hortator_core::time::Timestamp;
use hortator_raft::StoreBackend as _;
use hortator_raft::memory::Crash;
use hortator_raft::sometimes;
use slog::Logger;

use agenda::Agenda;
use cast::Cast;
use clock::{BEGINNING, HostClock};
use crew::Crew;
use disk::Death;
pub use door::Door;
use draw::{Draw, Streams};
use equipment::Equipment;
use image::{Image, MasterImage};
use ledger::Ledger;
pub use masters::Master;
use net::{Net, Parting};
use stage::Stage;
use trace::{Digest, Trace, What};
use wishes::{Wish, Wishes};
pub use workers::Worker;

/// How long a supervisor takes to start a process again that ended by itself.
const SUPERVISOR: [u64; 2] = [100_000, 3_000_000];

/// What a world is made of.
#[derive(Clone, Debug)]
pub struct Shape {
    pub masters: u64,
    pub workers: u64,
    pub shards: u32,
    /// Of each worker.
    pub slots: u32,
    pub leases: Leases,
    /// Entries of a group's log that are kept behind what is applied; few make snapshots frequent.
    pub log_keep: u64,
    pub mutant: Mutant,
    /// What each worker has besides.
    pub equipment: Equipment,
    /// Workers of several groups, in place of `workers` and `slots`.
    pub bands: Vec<Band>,
    /// Who plays the tasks' processes.
    pub cast: Arc<dyn Cast>,
    /// How often actors look at what time alone brings.
    pub pace: Pace,
    /// What clocks that are right show when it begins.
    pub begins: Timestamp,
}

/// Workers of one group and one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    pub group: Name,
    pub workers: u64,
    pub slots: u32,
    /// What each of them has besides.
    pub equipment: Equipment,
}

impl Band {
    fn names(&self) -> impl Iterator<Item = Name> {
        (1..=self.workers).map(|number| name(&format!("{}-{number}", self.group)))
    }

    fn has(&self, worker: &str) -> bool {
        worker.rsplit_once('-').is_some_and(|(group, _)| group == self.group.as_str())
    }
}

impl Shape {
    /// Never empty.
    fn bands(&self) -> Vec<Band> {
        match self.bands.is_empty() {
            true => vec![Band {
                group: name("default"),
                workers: self.workers,
                slots: self.slots,
                equipment: self.equipment.clone(),
            }],
            false => self.bands.clone(),
        }
    }

    pub(crate) fn worker_names(&self) -> Vec<Name> {
        match self.bands.is_empty() {
            true => (1..=self.workers).map(|number| name(&format!("w{number}"))).collect(),
            false => self.bands.iter().flat_map(Band::names).collect(),
        }
    }
}

impl Default for Shape {
    fn default() -> Shape {
        Shape {
            masters: 3,
            workers: 3,
            shards: 2,
            slots: 4,
            leases: Leases::Kept(DEFAULT_TERMS),
            log_keep: 10_000,
            mutant: Mutant::None,
            equipment: Equipment::default(),
            bands: Vec::new(),
            cast: Arc::new(cast::Words),
            pace: Pace::Lively,
            begins: BEGINNING,
        }
    }
}

/// A process ended that nobody had hurt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surprise {
    pub at: u64,
    pub who: String,
    pub why: String,
}

/// See the module.
pub struct World {
    seed: u64,
    shape: Shape,
    agenda: Arc<Agenda>,
    trace: Trace,
    stage: Rc<Stage>,
    net: Net,
    ledger: Ledger,
    wishes: Arc<Wishes>,
    log: Logger,
    supervisor: RefCell<Draw>,
    masters: RefCell<BTreeMap<u64, Master>>,
    workers: RefCell<BTreeMap<Name, Worker>>,
    surprises: RefCell<Vec<Surprise>>,
    crew: Crew,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "World(seed {}, {:?})", self.seed, self.agenda)
    }
}

/// A name of the world's own making.
pub fn name(text: &str) -> Name {
    Name::new(text).expect("letters and digits are a name")
}

/// Tells `story` in a new world whose masters and workers are about to start. Gives what it gives, and the trace's end.
pub fn tell<T: 'static, F: Future<Output = T> + 'static>(
    seed: u64,
    shape: Shape,
    reader: Option<Box<dyn Write + Send>>,
    story: impl FnOnce(Rc<World>) -> F + 'static,
) -> (T, Digest) {
    let trace = Trace::new(reader);
    let image = Image::first(shape.masters);
    let end = tell_in(seed, shape, image, trace.clone(), story);
    (end, trace.digest())
}

/// The same in a world that goes on from what another has left.
pub fn tell_on<T: 'static, F: Future<Output = T> + 'static>(
    seed: u64,
    shape: Shape,
    image: Image,
    reader: Option<Box<dyn Write + Send>>,
    story: impl FnOnce(Rc<World>) -> F + 'static,
) -> (T, Digest) {
    let trace = Trace::new(reader);
    let end = tell_in(seed, shape, image, trace.clone(), story);
    (end, trace.digest())
}

/// The same where only the end counts, and nobody will ask whether it repeats: hashing pages takes time.
pub fn tell_unasked<T: 'static, F: Future<Output = T> + 'static>(
    seed: u64,
    shape: Shape,
    story: impl FnOnce(Rc<World>) -> F + 'static,
) -> T {
    let image = Image::first(shape.masters);
    tell_in(seed, shape, image, Trace::unasked(), story)
}

fn tell_in<T: 'static, F: Future<Output = T> + 'static>(
    seed: u64,
    shape: Shape,
    image: Image,
    trace: Trace,
    story: impl FnOnce(Rc<World>) -> F + 'static,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime without sockets needs nothing of the host");
    runtime.block_on(async move {
        let world = World::new(seed, shape, trace, image);
        let (stage, agenda) = (world.stage.clone(), world.agenda.clone());
        let told = stage.tell(async move {
            tokio::task::spawn_local(world.clone().grant_wishes());
            tokio::task::spawn_local(world.clone().bury_fallen());
            world.start_all().await;
            let end = story(world.clone()).await;
            world.end_all();
            end
        });
        let end = told.await;
        agenda.close();
        end
    })
}

impl World {
    fn new(seed: u64, shape: Shape, trace: Trace, image: Image) -> Rc<World> {
        let agenda = Arc::new(Agenda::new(seed, shape.begins, image.at));
        let world = Rc::new(World {
            seed,
            shape,
            stage: Stage::new(seed, agenda.clone(), trace.clone()),
            net: Net::new(seed, agenda.clone(), trace.clone()),
            ledger: Ledger::new(image.ledger, agenda.clone(), trace.clone()),
            wishes: Arc::default(),
            log: log::logger(agenda.clone(), trace.clone()),
            supervisor: RefCell::new(Draw::of(seed, "supervisor")),
            masters: RefCell::default(),
            workers: RefCell::default(),
            surprises: RefCell::default(),
            crew: image.crew,
            agenda,
            trace,
        });
        for (id, left) in &image.masters {
            let master = world.new_master(*id, left);
            world.masters.borrow_mut().insert(*id, master);
        }
        for (worker, face) in &image.workers {
            world.bring_back_worker(worker, *face);
        }
        world
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    pub fn net(&self) -> &Net {
        &self.net
    }

    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Which masters are wanted.
    pub fn crew(&self) -> &Crew {
        &self.crew
    }

    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Microseconds since it began, or the first of those that it goes on from.
    pub fn now(&self) -> u64 {
        self.agenda.now()
    }

    /// What a clock that is right shows now.
    pub fn wall(&self) -> Timestamp {
        self.agenda.wall(self.agenda.now())
    }

    /// A stream of its own for whoever asks by another name.
    pub fn draw(&self, name: &str) -> Draw {
        Draw::of(self.seed, name)
    }

    pub fn note(&self, who: &str, what: What<'_>) {
        self.trace.note(self.agenda.now(), who, what);
    }

    /// Processes that ended without anybody's doing.
    pub fn surprises(&self) -> Vec<Surprise> {
        self.surprises.borrow().clone()
    }

    /// Another generator for each life and each name.
    fn entropy(&self, who: &str, life: u64) -> EntropySource {
        let (seed, who) = (self.seed, who.to_owned());
        Arc::new(move |name: &str| Box::new(Streams::new(seed, format!("{who}.{life}/{name}"))))
    }

    async fn start_all(self: &Rc<World>) {
        let mut order = self.master_ids();
        let mut draw = self.draw("beginning");
        draw.shuffle(&mut order);
        for id in order {
            self.start_master(id).await;
            tokio::time::sleep(std::time::Duration::from_millis(draw.below(60))).await;
        }
        for worker in self.shape.worker_names() {
            self.start_worker(&worker).await;
            tokio::time::sleep(std::time::Duration::from_millis(draw.below(60))).await;
        }
    }

    /// All hosts lose their power at once. Gives what is left of them; nobody is to be asked anything after that.
    pub fn cut_power(self: &Rc<World>) -> Image {
        let mut draw = self.draw("power");
        for id in self.master_ids() {
            let crash = match draw.below(3) {
                0 => Crash::Lose,
                1 => Crash::Keep,
                _ => Crash::Mix(draw.word()),
            };
            self.crash_master(id, crash, Parting::Silent);
        }
        self.worker_names().iter().for_each(|worker| self.cut_power_of_worker(worker));
        let masters = self.masters.borrow();
        let workers = self.workers.borrow();
        Image {
            at: self.now(),
            masters: masters.iter().map(|(id, master)| (*id, MasterImage::of(master))).collect(),
            workers: workers.iter().map(|(name, worker)| (name.clone(), worker.clock().shows())).collect(),
            crew: self.crew.clone(),
            ledger: self.ledger.lines(),
        }
    }

    /// So that nothing is left that refers to the world.
    fn end_all(self: &Rc<World>) {
        let masters: Vec<u64> = self.masters.borrow().keys().copied().collect();
        masters.into_iter().for_each(|id| self.crash_master(id, Crash::Keep, Parting::Told));
        let workers: Vec<Name> = self.workers.borrow().keys().cloned().collect();
        workers.iter().for_each(|worker| self.kill_agent(worker));
    }

    async fn grant_wishes(self: Rc<World>) {
        loop {
            for wish in self.wishes.next().await {
                self.grant(wish);
            }
        }
    }

    fn grant(self: &Rc<World>, wish: Wish) {
        match wish {
            Wish::MasterDied { master, life, death } => {
                if self.master_life(master) != Some(life) {
                    return;
                }
                if let Death::Verdict(why) = death {
                    self.verdict(&format!("n{master}"), why);
                }
                let crash = Crash::Mix(self.supervisor.borrow_mut().word());
                self.crash_master(master, crash, Parting::Told);
                self.restart_master_soon(master);
            }
            Wish::AgentPoisoned { worker } => {
                self.kill_agent(&worker);
                self.restart_worker_soon(worker);
            }
        }
    }

    /// Processes that panicked; in production the panic ends them.
    async fn bury_fallen(self: Rc<World>) {
        loop {
            for fall in self.stage.falls().await {
                let master =
                    self.masters.borrow().keys().copied().find(|id| self.master_life(*id) == Some(fall.life));
                let of = |worker: &Worker| worker.life() == Some(fall.life);
                let worker =
                    self.workers.borrow().iter().find(|(_, worker)| of(worker)).map(|(name, _)| name.clone());
                let disk = master.and_then(|id| self.disk(id));
                if disk.is_none_or(|disk| !disk.is_dead()) {
                    self.verdict(&fall.name, fall.why);
                }
                if let Some(master) = master {
                    let crash = Crash::Mix(self.supervisor.borrow_mut().word());
                    self.crash_master(master, crash, Parting::Told);
                    self.restart_master_soon(master);
                }
                if let Some(worker) = worker {
                    self.kill_agent(&worker);
                    self.restart_worker_soon(worker);
                }
            }
        }
    }

    fn verdict(&self, who: &str, why: String) {
        self.trace.aside(self.agenda.now(), format_args!("{who} ends: {why}"));
        sometimes!(self.is_spoilt(who), "world: a master with a spoilt disk ends by itself");
        if self.is_spoilt(who) || self.has_failed_sync(who) {
            return;
        }
        let surprise = Surprise { at: self.agenda.now(), who: who.to_owned(), why };
        self.surprises.borrow_mut().push(surprise);
    }

    fn restart_master_soon(self: &Rc<World>, id: u64) {
        let world = self.clone();
        tokio::task::spawn_local(async move {
            world.supervisor_pause().await;
            world.start_master(id).await;
        });
    }

    fn restart_worker_soon(self: &Rc<World>, worker: Name) {
        let world = self.clone();
        tokio::task::spawn_local(async move {
            world.supervisor_pause().await;
            world.start_worker(&worker).await;
        });
    }

    async fn supervisor_pause(&self) {
        let pause = self.supervisor.borrow_mut().log_between(SUPERVISOR);
        tokio::time::sleep(std::time::Duration::from_micros(pause)).await;
    }

    /// A door for clients at that master, if it runs.
    pub fn gateway(&self, id: u64) -> Option<Door<GatewayHandle>> {
        self.masters.borrow().get(&id)?.gateway()
    }

    /// The host clock of a node, by its name.
    pub fn clock_of_master(&self, id: u64) -> Option<Arc<HostClock>> {
        Some(self.masters.borrow().get(&id)?.clock())
    }
}
