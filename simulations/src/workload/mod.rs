//! What clients ask of a simulated cluster: shapes of workflows, and clients that start, watch, repeat and cancel runs
//! and write down what they were told. Must not know which faults there are.

mod client;
mod definitions;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use hortator_core::id::RunId;
use tokio::task::JoinHandle;

pub use definitions::{Flow, Mix, draw_flows};

use crate::evidence::{Cancel, LedgerKey, Start};
use crate::world::World;
use client::Client;

/// What clients are like. Chances are in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Habits {
    pub clients: u64,
    /// Workflows, shared by all clients.
    pub workflows: u64,
    /// Microseconds from the end of one errand to the next.
    pub pause: [u64; 2],
    /// How long a client waits for an answer before it asks another master, in microseconds.
    pub patience: [u64; 2],
    /// A start is sent once more although it was answered.
    pub repeats: u64,
    /// A start that is not answered at once is given up: nobody knows what became of it.
    pub gives_up: u64,
    pub cancels: u64,
    pub retries_failed: u64,
    pub mix: Mix,
}

/// What all clients were told.
#[derive(Debug, Default)]
pub struct Told {
    pub starts: BTreeMap<String, Start>,
    pub cancels: BTreeMap<RunId, Cancelled>,
    pub seen_succeeded: BTreeMap<LedgerKey, usize>,
    pub calls: u64,
    pub refused: u64,
    pub unanswered: u64,
    /// What was said that makes no sense.
    pub wrong: Vec<String>,
}

/// A cancel that was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    Accepted,
    /// With the length of the ledger at that moment.
    Seen(usize),
}

/// See the module.
#[derive(Debug)]
pub struct Workload {
    flows: Rc<Vec<Flow>>,
    told: Rc<RefCell<Told>>,
    stop: Rc<Cell<bool>>,
    clients: RefCell<Vec<JoinHandle<()>>>,
}

impl Workload {
    /// Starts the clients; the first of all stores the workflows.
    pub fn start(world: &Rc<World>, habits: Habits) -> Workload {
        let flows = Rc::new(draw_flows(world.seed(), &habits));
        let (told, stop) = (Rc::<RefCell<Told>>::default(), Rc::<Cell<bool>>::default());
        let clients = (0..habits.clients.max(1)).map(|number| {
            let client =
                Client::new(world.clone(), number, habits, flows.clone(), told.clone(), stop.clone());
            tokio::task::spawn_local(client.run())
        });
        let clients = RefCell::new(clients.collect());
        Workload { flows, told, stop, clients }
    }

    pub fn flows(&self) -> &[Flow] {
        &self.flows
    }

    pub fn told(&self) -> std::cell::Ref<'_, Told> {
        self.told.borrow()
    }

    pub fn told_mut(&self) -> std::cell::RefMut<'_, Told> {
        self.told.borrow_mut()
    }

    /// No new errands; waits for those under way. False when some are not done by then.
    pub async fn finish(&self, patience: Duration) -> bool {
        self.stop.set(true);
        let clients = self.clients.take();
        let all = async {
            for client in clients {
                if let Err(error) = client.await {
                    assert!(!error.is_panic(), "a client panicked: {error}");
                }
            }
        };
        tokio::time::timeout(patience, all).await.is_ok()
    }
}

impl Told {
    pub fn cancels(&self, ledger: usize) -> Vec<Cancel> {
        let over_at = |cancelled: &Cancelled| match cancelled {
            Cancelled::Accepted => ledger,
            Cancelled::Seen(length) => *length,
        };
        self.cancels
            .iter()
            .map(|(run, cancelled)| Cancel { run: *run, over_at: over_at(cancelled) })
            .collect()
    }
}
