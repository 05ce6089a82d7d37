//! The clients of a chaos run: they start runs, again and again until they are acknowledged, watch them, and remember
//! what they were told. They use the client of the command line, with its own fail-over and repetitions.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hortator_core::id::{Name, RunId, WorkflowName};
use hortator_core::time::Timestamp;
use hortator_proto::api::{RunView, TaskRunView};
use hortator_simulations::evidence::{LedgerKey, Start};

use super::cluster::Cluster;
use super::ledger::{Ledger, SAY, VARIABLE};
use super::plan::Tasks;
use crate::api::body::{AppliedBody, Page, StartBody, StartedBody};
use crate::cli::client::{Call, Client};
use crate::cli::error::{Error, Exit};

/// Pause between two starts of a quick run.
const QUICK_EVERY: Duration = Duration::from_millis(150);
/// How long a client rests after an error before it asks the same again.
const REST: Duration = Duration::from_millis(200);
/// How often a client looks at its run.
const LOOK_EVERY: Duration = Duration::from_millis(400);

/// Tenths of a second that a long task lasts: more than a lease of 10 s, less than the time for all to recover.
const LONG_BEATS: u32 = 200;

/// What the clients know, shared by all of them.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) starts: BTreeMap<String, Start>,
    pub(super) seen_succeeded: BTreeMap<LedgerKey, usize>,
    /// Acknowledged and not seen ended.
    pub(super) under_way: usize,
    /// Runs that ended in another state than succeeded.
    pub(super) failed: Vec<(RunId, String)>,
    /// Of each call that ended well, its own repetitions included.
    pub(super) latencies: Vec<Duration>,
    /// Calls that the client gave up.
    pub(super) errors: u64,
}

/// The clients, running on the present thread's local tasks.
pub(super) struct Workload {
    told: Rc<RefCell<Told>>,
    stop: Rc<Cell<bool>>,
    clients: RefCell<Vec<tokio::task::JoinHandle<()>>>,
}

impl std::fmt::Debug for Workload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Workload({} clients)", self.clients.borrow().len())
    }
}

/// What a workflow of the workload is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its tasks are processes that write down that they live.
    Ledger,
    /// Its one task is done at once: many starts are under way when a fault comes.
    Quick,
    /// Its one task writes down that it lives for longer than a lease.
    Long,
}

impl Kind {
    pub(super) fn of(tasks: Tasks) -> &'static [Kind] {
        match tasks {
            Tasks::Short => &[Kind::Ledger, Kind::Quick],
            Tasks::Long => &[Kind::Ledger, Kind::Quick, Kind::Long],
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Kind::Ledger => "ledger",
            Kind::Quick => "quick",
            Kind::Long => "long",
        }
    }

    /// What is under way for each shard: enough that every shard dispatches several times a second.
    fn clients(self) -> usize {
        match self {
            Kind::Ledger => 3,
            Kind::Quick => 1,
            Kind::Long => 2,
        }
    }
}

/// One workflow of a kind for each shard.
pub(super) fn workflows(kind: Kind, shards: u32) -> Vec<WorkflowName> {
    let name = |text: &str| Name::new(text).expect("letters and digits are a name");
    (1..=shards)
        .map(|shard| {
            (0u32..)
                .map(|number| WorkflowName {
                    namespace: name("default"),
                    name: name(&format!("{}-{number}", kind.prefix())),
                })
                .find(|workflow| workflow.shard(shards) == shard)
                .expect("some name falls into every shard")
        })
        .collect()
}

/// A little DAG whose tasks write down that they live: short ones, and one that is nearly always running.
fn definition(kind: Kind, workflow: &WorkflowName, ledger: &Ledger) -> String {
    let name = &workflow.name;
    if kind == Kind::Quick {
        return format!("hortator: v1\nname: {name}\ntasks:\n  - {{ id: only, noop: {{}} }}\n");
    }
    let path = ledger.path().display();
    let script = |beats: u32, pause: &str| {
        format!("{SAY}\nsay start; for beat in $(seq {beats}); do sleep {pause}; say beat; done; say end")
    };
    let quoted = |text: String| serde_json::to_string(&text).expect("text is JSON");
    if kind == Kind::Long {
        let long = quoted(script(LONG_BEATS, "0.1"));
        return format!(
            "hortator: v1\nname: {name}\ndefaults:\n  env: {{ {VARIABLE}: {path:?} }}\ntasks:\n  \
             - {{ id: lasting, shell: {{ shell: bash, script: {long} }} }}\n"
        );
    }
    let (short, long) = (quoted(script(2, "0.05")), quoted(script(15, "0.1")));
    format!(
        "hortator: v1\nname: {name}\ndefaults:\n  env: {{ {VARIABLE}: {path:?} }}\ntasks:\n  \
         - {{ id: first, shell: {{ shell: bash, script: {short} }} }}\n  \
         - {{ id: wide, needs: [first], foreach: {{ items: [0, 1, 2], as: number }}, shell: {{ shell: bash, script: {short} }} }}\n  \
         - {{ id: long, needs: [first], shell: {{ shell: bash, script: {long} }} }}\n  \
         - {{ id: last, needs: [wide, long], shell: {{ shell: bash, script: {short} }} }}\n"
    )
}

impl Workload {
    /// Stores the workflows and starts the clients.
    pub(super) async fn start(cluster: &Cluster, tasks: Tasks, shards: u32) -> Result<Workload, Error> {
        let ledger = &cluster.ledger;
        let (told, stop) = (Rc::<RefCell<Told>>::default(), Rc::<Cell<bool>>::default());
        let mut clients = Vec::new();
        for &kind in Kind::of(tasks) {
            for workflow in workflows(kind, shards) {
                let text = Bytes::from(definition(kind, &workflow, ledger));
                let call = Call::post("/workflows", text).header("Content-Type", "application/yaml");
                let _: AppliedBody = cluster.client.ask(call).await?;
                for number in 0..kind.clients() {
                    let client = ChaosClient {
                        kind,
                        name: format!("{}-{number}", workflow.name),
                        workflow: workflow.clone(),
                        client: cluster.new_client(),
                        ledger: ledger.clone(),
                        told: told.clone(),
                        stop: stop.clone(),
                    };
                    clients.push(tokio::task::spawn_local(client.run()));
                }
            }
        }
        Ok(Workload { told, stop, clients: RefCell::new(clients) })
    }

    pub(super) fn told(&self) -> std::cell::Ref<'_, Told> {
        self.told.borrow()
    }

    /// No new runs; waits for those under way, at most so long. False when some have not ended.
    pub(super) async fn finish(&self, patience: Duration) -> bool {
        self.stop.set(true);
        let ends = futures_util::future::join_all(self.clients.take());
        tokio::time::timeout(patience, ends).await.is_ok()
    }
}

struct ChaosClient {
    kind: Kind,
    name: String,
    workflow: WorkflowName,
    client: Client,
    ledger: Ledger,
    told: Rc<RefCell<Told>>,
    stop: Rc<Cell<bool>>,
}

impl ChaosClient {
    async fn run(self) {
        for number in 0u64.. {
            if self.stop.get() {
                return;
            }
            let Some(run) = self.start(format!("{}-{number}", self.name)).await else {
                tokio::time::sleep(REST).await;
                continue;
            };
            if self.kind == Kind::Quick {
                tokio::time::sleep(QUICK_EVERY).await;
                continue;
            }
            self.told.borrow_mut().under_way += 1;
            let state = self.watch(run).await;
            let mut told = self.told.borrow_mut();
            told.under_way -= 1;
            if state != "succeeded" {
                told.failed.push((run, state));
            }
        }
    }

    /// Asks with one key until somebody answers; now and then once more, as a client does that lost the answer.
    async fn start(&self, key: String) -> Option<RunId> {
        self.told.borrow_mut().starts.insert(key.clone(), Start::Unknown);
        let body = StartBody {
            workflow: self.workflow.name.clone(),
            namespace: self.workflow.namespace.clone(),
            inputs: BTreeMap::new(),
            priority: None,
            version: None,
        };
        let call = Call::post_json("/runs", &body).header("Idempotency-Key", key.clone());
        let repeats = 1 + usize::from(key.ends_with('7'));
        let mut run = None;
        for _ in 0..repeats {
            let answer: StartedBody = self.ask(&call).await?;
            self.acknowledge(&key, answer.run);
            run = Some(answer.run);
        }
        run
    }

    fn acknowledge(&self, key: &str, run: RunId) {
        let mut told = self.told.borrow_mut();
        let start = told.starts.get_mut(key).expect("it was asked for");
        match start {
            Start::Unknown => *start = Start::Acknowledged { runs: vec![run], first_at: super::now() },
            Start::Acknowledged { runs, .. } => runs.push(run),
        }
    }

    /// Looks until the run is over, or does not exist: then it was lost, and nothing brings it back.
    async fn watch(&self, run: RunId) -> String {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Some(view) = self.ask::<RunView>(&Call::get(format!("/runs/{run}"))).await else {
                return "lost".into();
            };
            self.note_successes(run).await;
            if ["succeeded", "failed", "cancelled"].contains(&view.state.as_str()) {
                return view.state;
            }
        }
    }

    async fn note_successes(&self, run: RunId) {
        let call = Call::get(format!("/runs/{run}/tasks?state=succeeded"));
        let Some(page) = self.ask::<Page<TaskRunView>>(&call).await else { return };
        // What is read now may start no more from here on.
        let length = self.ledger.length();
        let mut told = self.told.borrow_mut();
        for task in page.items {
            let key = LedgerKey { run, task: task.id.to_string(), item: task.item.unwrap_or(0) };
            told.seen_succeeded.entry(key).or_insert(length);
        }
    }

    /// Asks until there is an answer; None when that is that there is no such thing.
    async fn ask<T: serde::de::DeserializeOwned>(&self, call: &Call) -> Option<T> {
        loop {
            let begun = Instant::now();
            match self.client.ask(call.clone()).await {
                Ok(answer) => {
                    self.told.borrow_mut().latencies.push(begun.elapsed());
                    return Some(answer);
                }
                Err(error) if error.exit == Exit::NotFound => return None,
                Err(_) => self.told.borrow_mut().errors += 1,
            }
            tokio::time::sleep(REST).await;
        }
    }
}

/// When a start was first acknowledged, for figures.
pub(super) fn acknowledged_at(start: &Start) -> Option<Timestamp> {
    match start {
        Start::Acknowledged { first_at, .. } => Some(*first_at),
        Start::Unknown => None,
    }
}
