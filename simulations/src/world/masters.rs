//! How a world's masters come, stand still, go and come back. Must not know why.

use std::rc::Rc;
use std::sync::Arc;

use hortator_actors::gateway::GatewayHandle;
use hortator_actors::membership::{Founder, Founding, Genesis};
use hortator_actors::node::{Node, NodeConfig, StartError};
use hortator_actors::seam::{HostMetrics, Seams};
use hortator_proto::frame::NodeId;
use hortator_raft::StoreBackend as _;
use hortator_raft::memory::{Crash, MemoryBackend};

use super::clock::HostClock;
use super::disk::{Death, Disk, Trap};
use super::door::Door;
use super::host::Idle;
use super::image::MasterImage;
use super::net::Parting;
use super::stage::{Life, bury};
use super::wishes::Wish;
use super::{World, name};

pub(super) const CLUSTER: [u8; 16] = [7; 16];
/// As in small production clusters.
const CACHE_BYTES: usize = 1 << 20;

/// A master's host, and its process while there is one.
#[derive(Debug)]
pub struct Master {
    disk: Disk,
    clock: Arc<HostClock>,
    process: Option<Process>,
    /// Starts under way, so that it is not started twice.
    starting: bool,
}

#[derive(Debug)]
struct Process {
    life: Rc<Life>,
    /// None until all of it has started.
    node: Option<Rc<Node>>,
}

impl Master {
    pub fn clock(&self) -> Arc<HostClock> {
        self.clock.clone()
    }

    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    pub fn is_up(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.node.is_some())
    }

    pub(super) fn gateway(&self) -> Option<Door<GatewayHandle>> {
        Some(Door::to(self.process.as_ref()?.node.as_ref()?.gateway().clone()))
    }
}

impl World {
    /// Starts a master, for the first time or again; nothing when it runs.
    pub async fn start_master(self: &Rc<World>, id: u64) {
        let text = format!("n{id}");
        if self.crew().is_retired(id) {
            return;
        }
        let (disk, clock) = {
            let mut masters = self.masters.borrow_mut();
            let master = masters.entry(id).or_insert_with(|| self.new_master(id, &MasterImage::default()));
            if master.process.is_some() || master.starting {
                return;
            }
            master.starting = true;
            (master.disk.clone(), master.clock.clone())
        };
        let (life, rooms) = self.stage.begin(&text);
        self.listen_for_death(id, life.number(), &disk);
        let seams = Seams {
            clock,
            entropy: self.entropy(&text, life.number()),
            store: Arc::new(disk),
            transport: self.net.port(NodeId::Master(id), life.number()),
            rooms: Arc::new(rooms),
            host: Arc::new(|| Box::new(Idle) as Box<dyn HostMetrics>),
        };
        let number = life.number();
        if let Some(master) = self.masters.borrow_mut().get_mut(&id) {
            master.process = Some(Process { life, node: None });
        }
        let started = Node::start(seams, self.node_config(id), &self.log).await;
        let mut masters = self.masters.borrow_mut();
        let Some(master) = masters.get_mut(&id) else { return };
        master.starting = false;
        let present = master.process.as_mut().filter(|process| process.life.number() == number);
        match (started, present) {
            (Ok(node), Some(process)) => process.node = Some(Rc::new(node)),
            (Err(error), Some(_)) => {
                // A start that finds the disk full says so and ends; that one is started again until there is space.
                let expected = master.disk.is_dead() || is_want_of_space(&error) && master.disk.is_bounded();
                drop(masters);
                if !expected {
                    self.verdict(&text, error_text(&error));
                }
                self.crash_master(id, Crash::Keep, Parting::Told);
                self.restart_master_soon(id);
            }
            // Killed while it started.
            (_, None) => {}
        }
    }

    /// A host with what was left of it.
    pub(super) fn new_master(&self, id: u64, image: &MasterImage) -> Master {
        let name = format!("n{id}");
        let disk = Disk::holding(image.restored(), self.seed, name, self.agenda.clone(), self.trace.clone());
        let clock = Arc::new(HostClock::new(self.agenda.clone(), image.clock));
        Master { disk, clock, process: None, starting: false }
    }

    fn listen_for_death(&self, id: u64, life: u64, disk: &Disk) {
        let (net, wishes, doom) = (self.net.clone(), self.wishes.clone(), self.stage.doom());
        disk.begin(Arc::new(move |death: Death| {
            doom.strike(life);
            net.leave(&NodeId::Master(id), Parting::Told);
            wishes.make(Wish::MasterDied { master: id, life, death });
        }));
    }

    fn node_config(&self, id: u64) -> NodeConfig {
        NodeConfig {
            pace: self.shape.pace,
            me: id,
            cluster: CLUSTER,
            cluster_name: "world".into(),
            generation: 1,
            shards: self.shape.shards,
            founding: self.founding(id),
            leases: self.shape.leases,
            cache_bytes: CACHE_BYTES,
            disk_low_bytes: 0,
            ballast_bytes: 0,
            log_keep_entries: self.shape.log_keep,
            mutant: self.shape.mutant,
        }
    }

    /// The first masters form the cluster; every other one is let in.
    fn founding(&self, id: u64) -> Founding {
        if id > self.shape.masters {
            return Founding::Joiner;
        }
        let founder = |id: u64| Founder {
            id,
            name: name(&format!("n{id}")),
            peer: format!("h{id}:1"),
            worker: format!("h{id}:2"),
            api: format!("h{id}:3"),
        };
        Founding::First(Box::new(Genesis {
            cluster: CLUSTER,
            shards: self.shape.shards,
            generation: 1,
            masters: (1..=self.shape.masters).map(founder).collect(),
            authority: None,
            tokens: Vec::new(),
        }))
    }

    /// The process goes at once; `crash` says what is left of what it had not synced, `parting` whether its host went
    /// with it. Nothing when it does not run.
    pub fn crash_master(&self, id: u64, crash: Crash, parting: Parting) {
        let mut masters = self.masters.borrow_mut();
        let Some(master) = masters.get_mut(&id) else { return };
        let Some(process) = master.process.take() else { return };
        master.starting = false;
        let disk = master.disk.clone();
        drop(masters);
        // What it could still reach is dead before it is dropped.
        self.net.leave(&NodeId::Master(id), parting);
        disk.crash(crash);
        bury(|| {
            drop(process.node);
            self.stage.end(&process.life);
        });
    }

    /// The host is gone for good, with its disk; whoever knew it by its id waits in vain.
    pub fn retire_master(&self, id: u64, parting: Parting) {
        self.crash_master(id, Crash::Lose, parting);
        self.crew().retire(id);
        self.masters.borrow_mut().remove(&id);
    }

    /// The host comes back with an empty disk, and calls itself what it was called before.
    pub async fn empty_master(self: &Rc<World>, id: u64) {
        self.crash_master(id, Crash::Lose, Parting::Silent);
        self.crew().spoil(id);
        let name = format!("n{id} emptied");
        let disk =
            Disk::holding(MemoryBackend::new(), self.seed, name, self.agenda.clone(), self.trace.clone());
        if let Some(master) = self.masters.borrow_mut().get_mut(&id) {
            master.disk = disk;
        }
        self.start_master(id).await;
    }

    /// The host comes back with another directory, which was its own once.
    pub async fn put_back(self: &Rc<World>, id: u64, files: MemoryBackend) {
        self.crash_master(id, Crash::Lose, Parting::Silent);
        self.crew().spoil(id);
        let name = format!("n{id} put back");
        let disk = Disk::holding(files, self.seed, name, self.agenda.clone(), self.trace.clone());
        if let Some(master) = self.masters.borrow_mut().get_mut(&id) {
            master.disk = disk;
        }
        self.start_master(id).await;
    }

    /// What ends such a master is no surprise.
    pub(super) fn is_spoilt(&self, who: &str) -> bool {
        master_of(who).is_some_and(|id| self.crew().is_spoilt(id))
    }

    /// A master ends when a sync fails: what is on its disk then, nobody knows.
    pub(super) fn has_failed_sync(&self, who: &str) -> bool {
        let disk = master_of(who).and_then(|id| self.disk(id));
        disk.is_some_and(|disk| disk.files().has_failed_sync())
    }

    /// A planned stop's first half.
    pub async fn hand_over(&self, id: u64) {
        let node = self.masters.borrow().get(&id).and_then(|master| master.process.as_ref()?.node.clone());
        if let Some(node) = node {
            node.hand_over().await;
        }
    }

    /// The process stands still, or goes on.
    pub fn freeze_master(&self, id: u64, frozen: bool) {
        let masters = self.masters.borrow();
        let Some(master) = masters.get(&id) else { return };
        let Some(process) = &master.process else { return };
        if process.life.is_frozen() == frozen {
            return;
        }
        self.stage.freeze(&process.life, frozen);
        let disk = master.disk.clone();
        drop(masters);
        disk.freeze(frozen);
        self.net.freeze(&NodeId::Master(id), frozen);
    }

    /// The master dies at its disk, there and then.
    pub fn trap_master(&self, id: u64, trap: Trap) {
        if let Some(master) = self.masters.borrow().get(&id) {
            master.disk.set_trap(trap);
        }
    }

    pub fn disk(&self, id: u64) -> Option<Disk> {
        Some(self.masters.borrow().get(&id)?.disk.clone())
    }

    pub fn master_is_up(&self, id: u64) -> bool {
        self.masters.borrow().get(&id).is_some_and(Master::is_up)
    }

    /// Those with a process.
    pub fn masters_up(&self) -> usize {
        self.masters.borrow().values().filter(|master| master.process.is_some()).count()
    }

    /// All that ever were.
    pub fn master_ids(&self) -> Vec<u64> {
        self.masters.borrow().keys().copied().collect()
    }

    pub fn master_life(&self, id: u64) -> Option<u64> {
        Some(self.masters.borrow().get(&id)?.process.as_ref()?.life.number())
    }

    /// Why a master may never take part again under its id, if so.
    pub fn refusal(&self, id: u64) -> Option<String> {
        let masters = self.masters.borrow();
        Some(masters.get(&id)?.process.as_ref()?.node.as_ref()?.refusal()?.to_owned())
    }
}

fn is_want_of_space(error: &StartError) -> bool {
    matches!(error, StartError::Group { source, .. } if source.is_want_of_space())
}

fn error_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}

fn master_of(who: &str) -> Option<u64> {
    who.strip_prefix('n')?.parse().ok()
}
