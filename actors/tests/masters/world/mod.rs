//! Masters and workers of one cluster on a paused clock: each life of a node is a set of tasks of its own, and dropping
//! it is its crash. Must not know what a test checks.

mod host;
mod life;
mod members;
mod net;
mod records;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hortator_actors::agent::{AgentConfig, AgentSeams};
use hortator_actors::gateway::GatewayHandle;
use hortator_actors::membership::{Founder, Founding, Genesis};
use hortator_actors::mutant::Mutant;
use hortator_actors::node::{Node, NodeConfig};
use hortator_actors::pace::Pace;
use hortator_actors::seam::{Clock, EntropySource, HostMetrics, Seams};
use hortator_core::definition::{self, Definition, canonical};
use hortator_core::dispatch::KindTag;
use hortator_core::id::{Name, RunId, WorkflowName};
use hortator_core::lease::{DEFAULT_TERMS, Leases};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::{Command, Problem, Query, Request, Response, RunView, TaskRunView, WorkerView};
use hortator_proto::frame::{NodeId, WorkerProfile};
use hortator_raft::memory::{Crash, MemoryBackend};
use hortator_raft::{Entropy, Step};
use slog::Logger;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{Instant, sleep};

use host::Host;
pub(crate) use host::{Deed, What};
use life::Life;
pub(crate) use net::{Net, Passing};
pub(crate) use records::{fold_equals_rows, rows_after, rows_of};

pub(crate) const CLUSTER: [u8; 16] = [7; 16];
const SHARDS: u32 = 1;

/// A generator that repeats itself; streams share it, which is as good where all of it is seeded.
#[derive(Clone, Debug)]
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

impl Entropy for Draw {
    fn next_u64(&mut self, _: &str) -> u64 {
        self.next()
    }
}

/// The paused runtime's time, as if the hosts had been up for an hour.
#[derive(Debug)]
pub(crate) struct PausedClock(pub(crate) Instant);

impl Clock for PausedClock {
    fn wall(&self) -> Timestamp {
        Timestamp(1_700_000_000_000_000).plus(Span(self.0.elapsed().as_micros() as u64))
    }

    fn boot(&self) -> Span {
        Span(3_600_000_000 + self.0.elapsed().as_micros() as u64)
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// Tells `story` on a paused clock, in a world of `masters` and of workers `w1`, `w2`, … with four slots each.
pub(crate) fn world<F: Future<Output = ()>>(
    seed: u64,
    masters: u64,
    workers: usize,
    story: impl FnOnce(Rc<World>) -> F,
) {
    println!("seed {seed}");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let world = Rc::new(World::new(seed, masters));
        let pump = tokio::task::spawn_local(world.net.clone().pump());
        for id in 1..=masters {
            world.start_master(id).await;
        }
        for number in 1..=workers {
            world.start_worker(&format!("w{number}"), true);
        }
        Box::pin(story(world.clone())).await;
        assert!(!pump.is_finished(), "the wires work to the end");
    });
}

pub(crate) struct World {
    pub(crate) net: Arc<Net>,
    pub(crate) draw: RefCell<Draw>,
    seed: u64,
    clock: Arc<PausedClock>,
    masters: RefCell<Vec<u64>>,
    shards: Cell<u32>,
    disks: RefCell<BTreeMap<u64, MemoryBackend>>,
    nodes: RefCell<BTreeMap<u64, Master>>,
    hosts: RefCell<BTreeMap<Name, Worker>>,
    lives: Cell<u64>,
    log: Logger,
}

struct Master {
    node: Node,
    life: Life,
    disk: JoinHandle<()>,
    stalled: Rc<Cell<bool>>,
}

/// A host, and the agent's life on it while there is one.
type Worker = (Arc<Host>, Option<Life>);

impl World {
    fn new(seed: u64, masters: u64) -> World {
        let clock = Arc::new(PausedClock(Instant::now()));
        World {
            net: Net::new(seed),
            draw: RefCell::new(Draw(seed)),
            seed,
            clock,
            masters: RefCell::new((1..=masters).collect()),
            shards: Cell::new(SHARDS),
            disks: RefCell::default(),
            nodes: RefCell::default(),
            hosts: RefCell::default(),
            lives: Cell::new(0),
            log: records::logger(),
        }
    }

    /// Another generator for each life and each name.
    fn entropy(&self) -> EntropySource {
        self.lives.set(self.lives.get() + 1);
        let base = self.seed.wrapping_mul(31).wrapping_add(self.lives.get() << 32);
        Arc::new(move |name: &str| Box::new(Draw(base ^ hortator_core::id::fnv1a64(name.as_bytes()))))
    }

    /// The first masters form the cluster; every other one is let in.
    fn founding(&self, id: u64) -> Founding {
        if !self.masters.borrow().contains(&id) {
            return Founding::Joiner;
        }
        let founder = |id: &u64| Founder {
            id: *id,
            name: name(&format!("n{id}")),
            peer: format!("h{id}:1"),
            worker: format!("h{id}:2"),
            api: format!("h{id}:3"),
        };
        Founding::First(Box::new(Genesis {
            cluster: CLUSTER,
            shards: self.shards.get(),
            generation: 1,
            masters: self.masters.borrow().iter().map(founder).collect(),
            authority: None,
            tokens: Vec::new(),
        }))
    }

    pub(crate) async fn start_master(&self, id: u64) {
        let (life, rooms) = Life::begin();
        let disk = self.disk(id);
        let seams = Seams {
            clock: self.clock.clone(),
            entropy: self.entropy(),
            store: Arc::new(disk.clone()),
            transport: Net::port(&self.net, NodeId::Master(id)),
            rooms: Arc::new(rooms),
            host: Arc::new(|| Box::new(host::Idle) as Box<dyn HostMetrics>),
        };
        let config = NodeConfig {
            pace: Pace::Lively,
            me: id,
            cluster: CLUSTER,
            cluster_name: "world".into(),
            generation: 1,
            shards: self.shards.get(),
            founding: self.founding(id),
            leases: Leases::Kept(DEFAULT_TERMS),
            cache_bytes: 1 << 20,
            disk_low_bytes: 0,
            ballast_bytes: 0,
            log_keep_entries: hortator_raft::LOG_KEEP_ENTRIES,
            mutant: Mutant::None,
        };
        let (pace, stalled) = (Draw(self.draw.borrow_mut().next()), Rc::<Cell<bool>>::default());
        let disk = tokio::task::spawn_local(spin(disk, pace, stalled.clone()));
        let node = Node::start(seams, config, &self.log).await.expect("the node starts");
        self.nodes.borrow_mut().insert(id, Master { node, life, disk, stalled });
    }

    /// The process and its host go at once; `crash` says what is left of what was not synced.
    pub(crate) async fn crash_master(&self, id: u64, crash: Crash) {
        let Some(Master { node, life, disk, .. }) = self.nodes.borrow_mut().remove(&id) else { return };
        self.disk(id).crash(crash);
        self.net.leave(&NodeId::Master(id));
        disk.abort();
        drop(node);
        life.end().await;
    }

    /// Starts the worker's agent, again or for the first time; its spool and its dead are those of its host.
    pub(crate) fn start_worker(&self, text: &str, earlier_lives_dead: bool) {
        self.start_worker_as(text, earlier_lives_dead, usual_profile(text));
    }

    pub(crate) fn start_worker_as(&self, text: &str, earlier_lives_dead: bool, profile: WorkerProfile) {
        let worker = name(text);
        let (life, rooms) = Life::begin();
        let mut hosts = self.hosts.borrow_mut();
        let (host, present) =
            hosts.entry(worker.clone()).or_insert_with(|| (Host::new(self.clock.clone()), None));
        let seams = AgentSeams {
            clock: self.clock.clone(),
            entropy: self.entropy(),
            transport: Net::port(&self.net, NodeId::Worker(worker.clone())),
            launcher: Arc::new(host::Machine(host.clone())),
            logs: Arc::new(host::Machine(host.clone())),
            host: Box::new(host::Machine(host.clone())),
            meter: Arc::default(),
        };
        let config = AgentConfig { name: worker, profile, earlier_lives_dead, mutant: Mutant::None };
        let spool = Box::new(host::Machine(host.clone()));
        drop(hortator_actors::agent::start(&rooms, config, seams, spool, &self.log));
        *present = Some(life);
    }

    /// The agent and all that it started are gone; its spool is not.
    pub(crate) async fn crash_worker(&self, text: &str) {
        let (host, life) = {
            let mut hosts = self.hosts.borrow_mut();
            let (host, life) = hosts.get_mut(&name(text)).expect("a known worker");
            (host.clone(), life.take())
        };
        self.net.leave(&NodeId::Worker(name(text)));
        if let Some(life) = life {
            life.end().await;
        }
        host.kill_all();
    }

    pub(crate) fn host(&self, text: &str) -> Arc<Host> {
        self.hosts.borrow()[&name(text)].0.clone()
    }

    pub(crate) fn disk(&self, id: u64) -> MemoryBackend {
        self.disks.borrow_mut().entry(id).or_default().clone()
    }

    pub(crate) fn masters(&self) -> Vec<u64> {
        self.masters.borrow().clone()
    }

    /// The next number of the story's own.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.draw.borrow_mut().below(bound)
    }

    /// What all hosts did so far.
    pub(crate) fn deeds(&self) -> Vec<Deed> {
        let mut deeds: Vec<Deed> = self.hosts.borrow().values().flat_map(|(host, _)| host.deeds()).collect();
        deeds.sort_by_key(|deed| deed.at);
        deeds
    }

    /// Holds back that master's writes for the group, as a disk does that takes its time.
    pub(crate) fn stall_disk(&self, id: u64, stalled: bool) {
        self.nodes.borrow()[&id].stalled.set(stalled);
    }

    /// Shards of a cluster whose masters have not been started yet.
    pub(crate) fn set_shards(&self, shards: u32) {
        assert!(self.nodes.borrow().is_empty(), "the number of shards is fixed when a cluster is formed");
        self.shards.set(shards);
    }

    /// The first masters of a cluster that a test starts by itself.
    pub(crate) fn set_masters(&self, masters: u64) {
        *self.masters.borrow_mut() = (1..=masters).collect();
    }

    /// A planned stop's first half.
    pub(crate) async fn hand_over(&self, id: u64) {
        let node = self.nodes.borrow_mut().remove(&id).expect("it runs");
        node.node.hand_over().await;
        self.nodes.borrow_mut().insert(id, node);
    }

    pub(crate) fn gateway(&self, id: u64) -> Option<GatewayHandle> {
        self.nodes.borrow().get(&id).map(|master| master.node.gateway().clone())
    }

    /// Who leads the group, as that master sees it.
    pub(crate) async fn leader(&self, through: u64, group: u32) -> Option<u64> {
        let Response::Status(status) = self.ask(through, Query::Status).await.ok()? else { return None };
        let found = status.groups.iter().find(|view| view.group == group)?;
        found.leader
    }

    /// Waits until a master leads the group; not one of `without`.
    pub(crate) async fn wait_leader(&self, through: u64, group: u32, without: &[u64]) -> u64 {
        for _ in 0..400 {
            match self.leader(through, group).await {
                Some(leader) if !without.contains(&leader) => return leader,
                _ => sleep(Duration::from_millis(25)).await,
            }
        }
        panic!("nobody leads group {group}")
    }

    /// One request through one master.
    pub(crate) async fn request(&self, through: u64, request: Request) -> Result<Response, Problem> {
        let gateway = self.gateway(through).expect("that master runs");
        match gateway.request(request).await {
            Response::Problem(problem) => Err(problem),
            response => Ok(response),
        }
    }

    pub(crate) async fn ask(&self, through: u64, query: Query) -> Result<Response, Problem> {
        self.request(through, Request::Query(query)).await
    }

    /// Applies a definition, in the words of its file after the header.
    pub(crate) async fn apply(&self, through: u64, text: &str) -> (WorkflowName, Arc<Definition>) {
        self.apply_as(through, "flow", text).await
    }

    pub(crate) async fn apply_as(
        &self,
        through: u64,
        name: &str,
        text: &str,
    ) -> (WorkflowName, Arc<Definition>) {
        let text = format!("hortator: v1\nname: {name}\n{text}");
        let definition = definition::parse(name, text.as_bytes()).expect("a valid definition").definition;
        let json = canonical::to_json(&definition);
        let command = Command::Apply {
            name: definition.name.clone(),
            source: text,
            hash: canonical::hash_of_json(&json),
            canonical: String::from_utf8(json).expect("JSON is text"),
            if_version: None,
            by: "test".into(),
        };
        self.request(through, Request::Command(command)).await.expect("applied");
        (definition.name.clone(), Arc::new(definition))
    }

    pub(crate) async fn try_start(
        &self,
        through: u64,
        workflow: &WorkflowName,
        key: &str,
    ) -> Result<RunId, Problem> {
        let command = Command::Start {
            workflow: workflow.clone(),
            version: None,
            inputs: BTreeMap::new(),
            priority: None,
            key: Some(key.into()),
            by: "test".into(),
        };
        match self.request(through, Request::Command(command)).await? {
            Response::Started { run, .. } => Ok(run),
            other => panic!("{other:?} answers a start"),
        }
    }

    /// Applies and starts.
    pub(crate) async fn begin(&self, through: u64, text: &str) -> (RunId, Arc<Definition>) {
        let (workflow, definition) = self.apply(through, text).await;
        (self.try_start(through, &workflow, "once").await.expect("started"), definition)
    }

    pub(crate) async fn cancel(&self, through: u64, run: RunId) -> String {
        let command = Command::Cancel { run, reason: None, by: "test".into() };
        match self.request(through, Request::Command(command)).await.expect("accepted") {
            Response::Accepted { state, .. } => state,
            other => panic!("{other:?} answers a cancel"),
        }
    }

    pub(crate) async fn view(&self, through: u64, run: RunId) -> Result<RunView, Problem> {
        match self.ask(through, Query::Run { run }).await? {
            Response::Run(view) => Ok(*view),
            other => panic!("{other:?} answers a question for a run"),
        }
    }

    /// Waits for the end of a run, at most a minute of the world's time.
    pub(crate) async fn finished(&self, through: u64, run: RunId) -> String {
        self.finished_within(through, run, Duration::from_secs(60)).await
    }

    /// Waits for the end of a run, at most so long by the world's time.
    pub(crate) async fn finished_within(&self, through: u64, run: RunId, most: Duration) -> String {
        let began = Instant::now();
        while began.elapsed() < most {
            if let Ok(view) = self.view(through, run).await
                && view.finished_at.is_some()
            {
                return view.state;
            }
            sleep(Duration::from_millis(50)).await;
        }
        let (view, tasks) = (self.view(through, run).await, self.tasks(through, run).await);
        panic!("the run does not end: {view:#?} {tasks:#?}")
    }

    /// A worker as the membership leader has it.
    pub(crate) async fn worker(&self, through: u64, text: &str) -> WorkerView {
        let leader = self.wait_leader(through, 0, &[]).await;
        match self.ask(leader, Query::Workers).await {
            Ok(Response::Workers(views)) => {
                views.into_iter().find(|view| view.name == name(text)).expect("a known worker")
            }
            other => panic!("{other:?} answers a question for workers"),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.wall()
    }

    /// Cuts a worker off from all masters, or lets it back.
    pub(crate) fn cut_off(&self, text: &str, cut: bool) {
        for master in &self.masters() {
            self.net.cut(&NodeId::Worker(name(text)), &NodeId::Master(*master), cut);
        }
    }

    pub(crate) async fn tasks(&self, through: u64, run: RunId) -> Vec<TaskRunView> {
        let query = Query::TaskRuns { run, states: Vec::new(), after: None, limit: 5_000 };
        match self.ask(through, query).await {
            Ok(Response::TaskRuns { tasks, .. }) => tasks,
            other => panic!("{other:?} answers a question for task runs"),
        }
    }

    /// Who leads shard 1 and who the membership, once these are two: only between them the stream crosses wires.
    pub(crate) async fn two_leaders(&self) -> (u64, u64) {
        for _ in 0..20 {
            let leaders = (self.wait_leader(1, 1, &[]).await, self.wait_leader(1, 0, &[]).await);
            if leaders.0 != leaders.1 {
                return leaders;
            }
            self.crash_master(leaders.0, Crash::Keep).await;
            self.start_master(leaders.0).await;
            sleep(Duration::from_secs(3)).await;
        }
        panic!("one master leads everything");
    }

    /// Waits until `done` holds, at most ten seconds of the world's time.
    pub(crate) async fn until(&self, what: &str, done: impl Fn() -> bool) {
        for _ in 0..10_000 {
            if done() {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("never: {what}; {:#?}", self.deeds());
    }
}

/// Of a worker that runs everything, in four slots of the group `default`.
pub(crate) fn usual_profile(text: &str) -> WorkerProfile {
    WorkerProfile {
        groups: vec![name("default")],
        slots: 4,
        kinds: vec![KindTag::Shell, KindTag::Noop],
        zone: None,
        labels: BTreeMap::new(),
        version: "0.1.0".into(),
        host: text.into(),
        ..WorkerProfile::default()
    }
}

/// A disk that works in turns, now and then a moment later. Stalled, it writes nothing for shard 1.
async fn spin(disk: MemoryBackend, mut draw: Draw, stalled: Rc<Cell<bool>>) {
    loop {
        sleep(Duration::from_millis(1 + draw.below(2))).await;
        for name in disk.writer_names() {
            let stands = stalled.get() && name.contains('1');
            while !stands && disk.step_writer(&name) == Some(Step::Worked) {}
        }
    }
}
