//! How a world's workers come, stand still, go and come back. Must not know why.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hortator_actors::agent::{AgentConfig, AgentHandle, AgentSeams};
use hortator_actors::mailbox::Meter;
use hortator_core::dispatch::{KindTag, Resource};
use hortator_core::id::Name;
use hortator_proto::frame::{NodeId, WorkerProfile};
use hortator_raft::sometimes;

use super::clock::{Face, HostClock};
use super::host::Host;
use super::net::Parting;
use super::stage::Life;
use super::wishes::Wish;
use super::{Band, World};

/// Between two tries of a new agent to get the warden's lock.
const LOCK_LOOK: Duration = Duration::from_millis(5);

/// A worker's host, and the agent on it while there is one.
#[derive(Debug)]
pub struct Worker {
    host: Host,
    clock: Arc<HostClock>,
    agent: Option<(Rc<Life>, AgentHandle)>,
    /// Of the agent's last life: whether the host is still in the same boot of its kernel.
    same_boot: bool,
    starting: bool,
}

impl Worker {
    pub fn clock(&self) -> Arc<HostClock> {
        self.clock.clone()
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    pub fn agent(&self) -> Option<&AgentHandle> {
        self.agent.as_ref().map(|(_, agent)| agent)
    }

    pub(super) fn life(&self) -> Option<u64> {
        self.agent.as_ref().map(|(life, _)| life.number())
    }
}

impl Band {
    /// Of its worker on that host.
    pub(crate) fn profile(&self, host: &str) -> WorkerProfile {
        let (has, labels) = (&self.equipment.has, self.equipment.labels.iter());
        let gpus = has.get(&Resource::Gpu);
        WorkerProfile {
            groups: vec![self.group.clone()],
            slots: self.slots,
            kinds: vec![KindTag::Shell, KindTag::Noop],
            zone: self.equipment.zone.clone(),
            labels: labels.map(|(key, value)| (key.to_string(), value.clone())).collect(),
            resources: has.clone().with(Resource::Gpu, 0),
            devices: (0..gpus).map(|number| number.to_string()).collect(),
            version: "0.1.0".into(),
            host: host.into(),
            ..WorkerProfile::default()
        }
    }
}

impl World {
    /// Starts the worker's agent, for the first time or again, as soon as nothing of an earlier one is left on its host.
    pub async fn start_worker(&self, worker: &Name) {
        let host = {
            let mut workers = self.workers.borrow_mut();
            let present =
                workers.entry(worker.clone()).or_insert_with(|| self.new_worker(worker, Face::default()));
            if present.agent.is_some() || present.starting {
                return;
            }
            present.starting = true;
            present.host.clone()
        };
        while !host.is_quiet() {
            tokio::time::sleep(LOCK_LOOK).await;
        }
        let mut workers = self.workers.borrow_mut();
        let Some(present) = workers.get_mut(worker) else { return };
        // It may have been exchanged meanwhile.
        let host = present.host.clone();
        let text = worker.to_string();
        let (life, rooms) = self.stage.begin(&text);
        let seams = AgentSeams {
            clock: present.clock.clone(),
            entropy: self.entropy(&text, life.number()),
            transport: self.net.port(NodeId::Worker(worker.clone()), life.number()),
            launcher: Arc::new(host.seat(life.number())),
            logs: Arc::new(host.seat(life.number())),
            host: Box::new(host.seat(life.number())),
            meter: Arc::new(Meter::at(self.shape.pace)),
        };
        let config = AgentConfig {
            name: worker.clone(),
            profile: self.profile(&text),
            earlier_lives_dead: present.same_boot,
            mutant: self.shape.mutant,
        };
        let spool = Box::new(host.seat(life.number()));
        let agent = hortator_actors::agent::start(&rooms, config, seams, spool, &self.log);
        present.agent = Some((life, agent));
        (present.same_boot, present.starting) = (true, false);
    }

    fn new_worker(&self, worker: &Name, face: Face) -> Worker {
        let clock = Arc::new(HostClock::new(self.agenda.clone(), face));
        let (wishes, poisoned) = (self.wishes.clone(), worker.clone());
        let (doom, name) = (self.net.clone(), NodeId::Worker(worker.clone()));
        let host = Host::new(
            self.seed,
            worker.to_string(),
            clock.clone(),
            self.agenda.clone(),
            self.ledger.clone(),
            self.shape.cast.clone(),
            move || {
                doom.leave(&name, Parting::Told);
                wishes.make(Wish::AgentPoisoned { worker: poisoned.clone() });
            },
        );
        Worker { host, clock, agent: None, same_boot: true, starting: false }
    }

    fn profile(&self, text: &str) -> WorkerProfile {
        let bands = self.shape.bands();
        bands.iter().find(|band| band.has(text)).unwrap_or(&bands[0]).profile(text)
    }

    /// The agent goes at once; its warden ends what it started a moment later, and its spool stays.
    pub fn kill_agent(&self, worker: &Name) {
        if let Some(host) = self.end_agent(worker, Parting::Told) {
            host.agent_died();
        }
    }

    /// Its power is on again, in another boot of its kernel.
    pub(super) fn bring_back_worker(&self, worker: &Name, face: Face) {
        let host = Worker { same_boot: false, ..self.new_worker(worker, face) };
        self.workers.borrow_mut().insert(worker.clone(), host);
    }

    /// The whole host goes, and comes back in another boot of its kernel.
    pub fn cut_power_of_worker(&self, worker: &Name) {
        if let Some(host) = self.end_agent(worker, Parting::Silent) {
            host.power_lost();
        }
        if let Some(present) = self.workers.borrow_mut().get_mut(worker) {
            present.same_boot = false;
        }
    }

    /// The host goes for good; under its name comes another one, without a spool and in a boot of its own.
    pub fn exchange_host(&self, worker: &Name) {
        self.cut_power_of_worker(worker);
        if let Some(host) = self.host(worker) {
            host.power_lost();
        }
        let other = self.new_worker(worker, Face::default());
        if let Some(present) = self.workers.borrow_mut().get_mut(worker) {
            (present.host, present.clock) = (other.host, other.clock);
        }
    }

    fn end_agent(&self, worker: &Name, parting: Parting) -> Option<Host> {
        let mut workers = self.workers.borrow_mut();
        let present = workers.get_mut(worker)?;
        let (life, agent) = present.agent.take()?;
        let host = present.host.clone();
        drop(workers);
        self.net.leave(&NodeId::Worker(worker.clone()), parting);
        drop(agent);
        self.stage.end(&life);
        Some(host)
    }

    /// The agent stands still, or goes on; its processes and its warden do not mind.
    pub fn freeze_agent(&self, worker: &Name, frozen: bool) {
        let workers = self.workers.borrow();
        let Some((life, _)) = workers.get(worker).and_then(|present| present.agent.as_ref()) else { return };
        if life.is_frozen() == frozen {
            return;
        }
        self.stage.freeze(life, frozen);
        drop(workers);
        let runs = self.host(worker).is_some_and(|host| host.running() > 0);
        sometimes!(!frozen && runs, "worker: processes run on while their agent stands still");
        self.net.freeze(&NodeId::Worker(worker.clone()), frozen);
    }

    /// The host with all its processes stands still, or goes on; its agent is another matter.
    pub fn freeze_host(&self, worker: &Name, frozen: bool) {
        if let Some(host) = self.host(worker) {
            host.freeze(frozen);
        }
    }

    /// Workers on that master's host: they are dealt out in turn.
    pub fn workers_beside(&self, master: u64) -> Vec<Name> {
        let masters = self.master_ids();
        let turns = masters.iter().cycle().zip(self.worker_names());
        turns.filter(|(id, _)| **id == master).map(|(_, worker)| worker).collect()
    }

    pub fn worker_is_up(&self, worker: &Name) -> bool {
        self.workers.borrow().get(worker).is_some_and(|present| present.agent.is_some())
    }

    /// All that ever were.
    pub fn worker_names(&self) -> Vec<Name> {
        self.workers.borrow().keys().cloned().collect()
    }

    pub fn host(&self, worker: &Name) -> Option<Host> {
        Some(self.workers.borrow().get(worker)?.host.clone())
    }

    /// The agent of that worker, if it runs.
    pub fn agent(&self, worker: &Name) -> Option<AgentHandle> {
        self.workers.borrow().get(worker)?.agent().cloned()
    }

    pub fn clock_of_worker(&self, worker: &Name) -> Option<Arc<HostClock>> {
        Some(self.workers.borrow().get(worker)?.clock.clone())
    }
}
