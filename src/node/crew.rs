//! The nodes of a cluster in one process, and how each is made again after it was killed on purpose. Must not know why it
//! was killed.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use hortator_actors::mailbox::Meter;
use slog::{Logger, error};

use super::error::Error;
use super::master::{Master, MasterConfig};
use super::worker::{Worker, WorkerConfig};
use crate::env::Listen;
use crate::live_faults::Keeper;

/// All nodes; those that are down have only what they are made of.
pub(super) struct Crew {
    nodes: Arc<Mutex<Vec<Member>>>,
    log: Logger,
}

struct Member {
    name: String,
    recipe: Recipe,
    life: Life,
}

#[derive(Clone)]
enum Recipe {
    Master { config: Box<MasterConfig>, dials: Vec<String> },
    Worker(Box<WorkerConfig>),
}

enum Life {
    Master(Box<Master>),
    Worker(Box<Worker>),
    Down,
}

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Crew({} nodes)", lock(&self.nodes).len())
    }
}

fn lock(nodes: &Mutex<Vec<Member>>) -> MutexGuard<'_, Vec<Member>> {
    nodes.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crew {
    pub(super) fn new(log: &Logger) -> Crew {
        Crew { nodes: Arc::default(), log: log.clone() }
    }

    /// It is made again where it can be called now.
    pub(super) fn master(&self, config: MasterConfig, master: Master, dials: Vec<String>) {
        let listen = master.addresses().peers.map_or(config.listen, Listen::Together);
        let (name, config) = (format!("n{}", config.id), Box::new(MasterConfig { listen, ..config }));
        let recipe = Recipe::Master { config, dials };
        lock(&self.nodes).push(Member { name, recipe, life: Life::Master(Box::new(master)) });
    }

    pub(super) fn worker(&self, config: WorkerConfig, worker: Worker) {
        let (name, recipe) = (config.name.to_string(), Recipe::Worker(Box::new(config)));
        lock(&self.nodes).push(Member { name, recipe, life: Life::Worker(Box::new(worker)) });
    }

    /// What each node that lives counts, masters first.
    pub(super) fn meters(&self) -> Vec<Arc<Meter>> {
        let meter = |member: &Member| match &member.life {
            Life::Master(master) => Some(master.node().meter().clone()),
            Life::Worker(worker) => Some(worker.meter().clone()),
            Life::Down => None,
        };
        lock(&self.nodes).iter().filter_map(meter).collect()
    }

    /// Of the masters' files so far.
    pub(super) fn syncs(&self) -> u64 {
        let syncs = |member: &Member| match &member.life {
            Life::Master(master) => master.syncs().count(),
            _ => 0,
        };
        lock(&self.nodes).iter().map(syncs).sum()
    }

    /// Somebody who kills all but this node, which answers for the cluster. Its thread lives until it is told to end: a
    /// warden ends with the thread that started it.
    pub(super) fn keeper(&self, spared: &str) -> (CrewKeeper, KeeperThread) {
        let (orders, incoming) = channel();
        let (nodes, log) = (self.nodes.clone(), self.log.clone());
        let thread = std::thread::Builder::new().name("crew".into());
        let thread = thread.spawn(move || live(&nodes, &incoming, &log)).expect("the system gives a thread");
        let keeper = CrewKeeper {
            nodes: self.nodes.clone(),
            spared: spared.to_owned(),
            orders: Mutex::new(orders.clone()),
        };
        (keeper, KeeperThread { orders, thread })
    }

    /// Workers first: their last reports find a master.
    pub(super) fn stop(self) {
        let mut lives: Vec<Life> = lock(&self.nodes).drain(..).map(|member| member.life).collect();
        lives.sort_by_key(|life| matches!(life, Life::Master(_)));
        lives.into_iter().for_each(Life::end);
    }
}

impl Life {
    fn end(self) {
        match self {
            Life::Master(master) => master.stop(),
            Life::Worker(worker) => worker.stop(),
            Life::Down => {}
        }
    }
}

impl Recipe {
    fn made(self, log: &Logger) -> Result<Life, Error> {
        match self {
            Recipe::Worker(config) => Ok(Life::Worker(Box::new(Worker::start(*config, log)?))),
            Recipe::Master { config, dials } => {
                let path = config.data.clone();
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
                let runtime = runtime.map_err(|source| Error::Data { path, source })?;
                let master = runtime.block_on(Master::start(*config, log))?;
                master.dial(dials);
                Ok(Life::Master(Box::new(master)))
            }
        }
    }
}

enum Order {
    Revive(String),
    End,
}

/// See `Crew::keeper`.
pub(super) struct CrewKeeper {
    nodes: Arc<Mutex<Vec<Member>>>,
    spared: String,
    orders: Mutex<Sender<Order>>,
}

pub(super) struct KeeperThread {
    orders: Sender<Order>,
    thread: JoinHandle<()>,
}

impl std::fmt::Debug for KeeperThread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeeperThread")
    }
}

impl KeeperThread {
    /// What is ordered before is done.
    pub(super) fn stop(self) {
        // A thread that has ended does nothing more.
        self.orders.send(Order::End).unwrap_or(());
        self.thread.join().unwrap_or(());
    }
}

impl Keeper for CrewKeeper {
    fn kill(&self, node: &str) -> Result<(), String> {
        if node == self.spared {
            return Err(format!(
                "{node} answers for this cluster, whose masters share one API: kill another one, or pause {node}"
            ));
        }
        let mut nodes = lock(&self.nodes);
        let Some(member) = nodes.iter_mut().find(|member| member.name == node) else {
            return Err(format!("{node} is no node of this process"));
        };
        let life = std::mem::replace(&mut member.life, Life::Down);
        drop(nodes);
        life.end();
        Ok(())
    }

    fn revive(&self, node: &str) {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.send(Order::Revive(node.to_owned())).unwrap_or(());
    }
}

fn live(nodes: &Mutex<Vec<Member>>, orders: &Receiver<Order>, log: &Logger) {
    while let Ok(Order::Revive(name)) = orders.recv() {
        let down = |member: &&Member| member.name == name && matches!(member.life, Life::Down);
        let recipe = lock(nodes).iter().find(down).map(|member| member.recipe.clone());
        let Some(recipe) = recipe else { continue };
        match recipe.made(log) {
            Ok(life) => {
                let mut nodes = lock(nodes);
                if let Some(member) = nodes.iter_mut().find(|member| member.name == name) {
                    member.life = life;
                }
            }
            Err(error) => error!(log, "a node that was killed does not start again"; "node" => name,
                "error" => %error),
        }
    }
}
