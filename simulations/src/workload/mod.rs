//! What clients ask of a simulated cluster: shapes of workflows, and clients that start, watch, repeat and cancel runs
//! and write down what they were told. Must not know which faults there are.

mod client;
mod definitions;
mod errand;
mod horizon;
mod orders;
mod quotas;
mod said;
mod subject;
mod timings;
mod waits;
mod words;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use hortator_core::id::{Name, Position, RunId};
use tokio::task::JoinHandle;

pub(crate) use client::FINAL;
pub use definitions::{Flow, LICENCE, LIMITS, Mix, SOON, draw_flows};
pub use errand::{Errand, LimitSet};
use horizon::Horizon;
pub use orders::Order;
pub use quotas::{FREE_WORD, QuotaSet};
pub use said::Said;
pub use subject::Subject;
pub use timings::draw_beginning;

use crate::evidence::{Cancel, LedgerKey, Start};
use crate::world::World;
use client::Client;

/// What clients are like. Chances are in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Habits {
    pub clients: u64,
    /// Workflows, shared by all clients.
    pub workflows: u64,
    /// Microseconds from the end of one errand to the next.
    #[serde(with = "crate::words::micros")]
    pub pause: [u64; 2],
    /// How long a client waits for an answer before it asks another master, in microseconds.
    #[serde(with = "crate::words::micros")]
    pub patience: [u64; 2],
    /// A start is sent once more although it was answered.
    #[serde(with = "crate::words::share")]
    pub repeats: u64,
    /// A start that is not answered at once is given up: nobody knows what became of it.
    #[serde(with = "crate::words::share")]
    pub gives_up: u64,
    #[serde(with = "crate::words::share")]
    pub cancels: u64,
    #[serde(with = "crate::words::share")]
    pub retries_failed: u64,
    /// Something besides runs is changed, or a schedule is triggered.
    #[serde(with = "crate::words::share")]
    pub orders: u64,
    /// Of these, some are about a worker.
    #[serde(with = "crate::words::share")]
    pub cordons: u64,
    /// A quota is changed by the one client that gives all orders.
    #[serde(with = "crate::words::share")]
    pub quotas: u64,
    pub mix: Mix,
}

impl Default for Habits {
    fn default() -> Habits {
        Habits {
            clients: 3,
            workflows: 3,
            pause: [10_000, 500_000],
            patience: [500_000, 12_000_000],
            repeats: 100_000,
            gives_up: 50_000,
            cancels: 50_000,
            retries_failed: 100_000,
            orders: 100_000,
            cordons: 0,
            quotas: 0,
            mix: Mix::default(),
        }
    }
}

/// What all clients were told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub starts: BTreeMap<String, Start>,
    pub cancels: BTreeMap<RunId, Cancelled>,
    /// How much there is of each limit.
    pub limits: BTreeMap<Name, Said<u32>>,
    /// What was set otherwise.
    pub settings: BTreeMap<Subject, Said<String>>,
    /// Runs whose failed tasks are to be tried again.
    pub retries: BTreeSet<RunId>,
    pub seen_succeeded: BTreeMap<LedgerKey, usize>,
    /// Histories that were followed page by page.
    pub followed: BTreeMap<RunId, Vec<(Position, usize)>>,
    /// Runs that were seen at their end and that nobody tried again.
    pub finals: BTreeMap<RunId, String>,
    /// How far the groups had come by all of that.
    horizon: Horizon,
    pub calls: u64,
    pub refused: u64,
    pub unanswered: u64,
    /// What was said that makes no sense.
    pub wrong: Vec<String>,
    /// What waits without a reason.
    pub unexplained: Vec<String>,
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
    shared: Shared,
    clients: RefCell<Vec<Going>>,
}

/// What all clients know and tell.
#[derive(Clone, Debug, Default)]
struct Shared {
    flows: Rc<Vec<Flow>>,
    told: Rc<RefCell<Told>>,
    stop: Rc<Cell<bool>>,
    errands: Rc<RefCell<Vec<Errand>>>,
    /// The number of each client's next errand.
    numbers: Rc<RefCell<BTreeMap<u64, u64>>>,
}

/// What clients knew when the world before this one ended.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub told: Told,
    /// Errands of which nobody saw the end.
    pub open: Vec<Errand>,
    /// The number of each client's next errand.
    pub numbers: BTreeMap<u64, u64>,
}

impl Shared {
    /// Whether any workflow wants any.
    fn knows_limits(&self) -> bool {
        self.flows.iter().any(|flow| flow.shapes.iter().any(|task| !task.limits.is_empty()))
    }
}

/// A client, and whether it is on no errand.
#[derive(Debug)]
struct Going {
    client: JoinHandle<()>,
    rests: Rc<Cell<bool>>,
}

impl Workload {
    /// Starts the clients; the first of all stores the workflows.
    pub fn start(world: &Rc<World>, habits: &Habits) -> Workload {
        let workload = Workload::of(draw_flows(world.seed(), habits, world.shape().begins));
        for number in 0..habits.clients.max(1) {
            let habits = *habits;
            workload.go(world, number, habits.patience, move |client| client.begin(habits));
        }
        workload
    }

    /// Clients of a world that goes on from another: each asks once more for whatever it does not know to be over.
    pub fn go_on(world: &Rc<World>, flows: Vec<Flow>, habits: &Habits, known: Known) -> Workload {
        let mut workload = Workload::of(flows);
        workload.shared.told = Rc::new(RefCell::new(known.told));
        workload.shared.numbers = Rc::new(RefCell::new(known.numbers));
        for number in 0..habits.clients.max(1) {
            let own = known.open.iter().filter(|errand| errand.client == number).cloned().collect();
            let habits = *habits;
            workload.go(world, number, habits.patience, move |client| client.go_on(own, habits));
        }
        workload
    }

    /// After they have finished, clients set out once more.
    pub fn resume(&self, world: &Rc<World>, habits: &Habits) {
        self.shared.stop.set(false);
        for number in 0..habits.clients.max(1) {
            let habits = *habits;
            self.go(world, number, habits.patience, move |client| client.run(habits));
        }
    }

    /// What clients know when their world ends in the midst of their errands.
    pub fn known(&self) -> Known {
        let told = self.told().clone();
        let errands = self.shared.errands.borrow();
        let open = errands.iter().filter(|errand| told.starts.contains_key(&errand.key())).cloned().collect();
        Known { open, numbers: self.shared.numbers.borrow().clone(), told }
    }

    /// The same errands once more; what came of them the first time is not known to their clients.
    pub fn repeat(world: &Rc<World>, flows: Vec<Flow>, errands: &[Errand], patience: [u64; 2]) -> Workload {
        let workload = Workload::of(flows);
        for number in 0..=errands.iter().map(|errand| errand.client).max().unwrap_or(0) {
            let own = errands.iter().filter(|errand| errand.client == number).cloned().collect();
            workload.go(world, number, patience, |client| client.repeat(own));
        }
        workload
    }

    fn of(flows: Vec<Flow>) -> Workload {
        let shared = Shared { flows: Rc::new(flows), ..Shared::default() };
        Workload { shared, clients: RefCell::default() }
    }

    fn go<F: Future<Output = ()> + 'static>(
        &self,
        world: &Rc<World>,
        number: u64,
        patience: [u64; 2],
        course: impl FnOnce(Client) -> F,
    ) {
        let client = Client::new(world.clone(), number, patience, self.shared.clone());
        let rests = client.rests();
        let client = tokio::task::spawn_local(course(client));
        self.clients.borrow_mut().push(Going { client, rests });
    }

    /// All that clients set out for.
    pub fn errands(&self) -> Vec<Errand> {
        self.shared.errands.borrow().clone()
    }

    pub fn flows(&self) -> &[Flow] {
        &self.shared.flows
    }

    pub fn told(&self) -> std::cell::Ref<'_, Told> {
        self.shared.told.borrow()
    }

    pub fn told_mut(&self) -> std::cell::RefMut<'_, Told> {
        self.shared.told.borrow_mut()
    }

    /// No new errands; waits for those under way. False when some are not done by then.
    pub async fn finish(&self, patience: Duration) -> bool {
        self.shared.stop.set(true);
        let clients = self.clients.take();
        let all = async {
            for Going { client, rests } in clients {
                if rests.get() {
                    client.abort();
                    continue;
                }
                if let Err(error) = client.await {
                    assert!(!error.is_panic(), "a client panicked: {error}");
                }
            }
        };
        tokio::time::timeout(patience, all).await.is_ok()
    }
}

impl Told {
    /// Forgets what was told of runs that are over and judged, and starts that nobody knows of: they have had their time.
    /// `place`: where a length of the ledger is now.
    pub fn settle(&mut self, is_open: impl Fn(RunId) -> bool, place: impl Fn(usize) -> usize) {
        self.starts.retain(|_, start| match start {
            Start::Acknowledged { runs, .. } => runs.iter().any(|run| is_open(*run)),
            Start::Unknown => false,
        });
        self.cancels.retain(|run, _| is_open(*run));
        self.seen_succeeded.retain(|key, _| is_open(key.run));
        self.followed.retain(|run, _| is_open(*run));
        self.retries.retain(|run| is_open(*run));
        // The judges have switched these as they need them.
        self.settings.retain(|subject, _| {
            !matches!(subject, Subject::Switch(..) | Subject::Worker(_) | Subject::Quota(..))
        });
        for cancelled in self.cancels.values_mut() {
            if let Cancelled::Seen(length) = cancelled {
                *length = place(*length);
            }
        }
        self.seen_succeeded.values_mut().for_each(|length| *length = place(*length));
    }

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
