//! One play: jobs arrive, the Dispatcher grants, workers work at their speed, ends make further tasks ready.
//! Must not know why one play is compared with another.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::baseline::ByReports;
use super::{Fleet, Trace, bounds};
use crate::definition::Priority;
use crate::dispatch::KindTag;
use crate::dispatch::{
    Amounts, Chance, Dispatch, DispatchConfig, Ended, GroupConfig, HoldFacts, Load, Metric, Metrics, Offer,
    Pace, Policy, Rank, Shape, WorkerFacts, remaining_paths,
};
use crate::id::{Name, RunId, TaskKey, TaskRunId, WorkerRef};
use crate::time::{Span, Timestamp};

/// Which of the ready tasks of a run goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Longest remaining path by estimates: the product's.
    CriticalPath,
    /// In the order in which they became ready.
    Fifo,
    /// Longest estimate.
    LongestTask,
    /// Shortest estimate.
    ShortestTask,
}

impl Order {
    pub const ALL: [Order; 4] = [Order::CriticalPath, Order::Fifo, Order::LongestTask, Order::ShortestTask];

    pub fn name(self) -> &'static str {
        match self {
            Order::CriticalPath => "critical_path",
            Order::Fifo => "fifo",
            Order::LongestTask => "longest_task",
            Order::ShortestTask => "shortest_task",
        }
    }
}

/// What is known of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// The product: heartbeats so far apart, and the account of what was granted and ended since.
    Accounts { beat: Span },
    /// Each change is reported at once.
    Fresh,
    /// Heartbeats so far apart and nothing else.
    ReportsOnly { beat: Span },
}

/// What is known of workers' speeds at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// A Dispatcher that has just begun: speeds are learned on the way.
    None,
    /// It has seen a few attempts on each before.
    Speeds,
}

/// Whether the Dispatcher is lost when half of the work could be done, and what its successor knows of workers' speeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failover {
    Never,
    /// Nothing.
    Forgets,
    /// What the shards have seen, as in the product.
    Recalls,
}

/// Other load on the hosts, of which the Dispatcher knows what heartbeats say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weather {
    Calm,
    /// A host is calm for about so long, then everything on it takes twice as long for about so long.
    Busy {
        calm: Span,
        busy: Span,
    },
}

/// A run of a trace.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    pub trace: &'a Trace,
    pub priority: Priority,
    pub arrives: Timestamp,
}

#[derive(Clone, Debug)]
pub struct Study<'a> {
    pub fleet: &'a Fleet,
    pub jobs: Vec<Job<'a>>,
    pub order: Order,
    pub policy: Policy,
    pub sight: Sight,
    pub memory: Memory,
    pub failover: Failover,
    pub weather: Weather,
    /// Estimates are wrong by up to this share to either side.
    pub noise: f64,
    pub seed: u64,
}

/// When one task run was ready, started and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskTimes {
    pub ready: Timestamp,
    pub started: Timestamp,
    pub ended: Timestamp,
    pub worker: usize,
}

/// What happened, by job and task.
#[derive(Clone, Debug, PartialEq)]
pub struct Played {
    pub times: Vec<Vec<TaskTimes>>,
    /// Seconds of slots in use, by worker.
    pub busy: Vec<f64>,
    /// Dispatches that a worker had no room for.
    pub refusals: u64,
}

/// Twice a host's speed is lost while others use it.
const BUSY_SPEED: f64 = 0.5;
/// Attempts after which a worker's speed counts.
const LESSONS: u32 = 3;
/// Most events of a play; one that needs more would not end.
const EVENTS_MAX: u64 = 100_000_000;

#[derive(Clone, Copy, Debug)]
enum Event {
    Arrival { job: usize },
    End { job: usize, task: u32, version: u32 },
    Beat { worker: usize },
    Turn { worker: usize },
    Failover,
}

/// Plays a study to its end.
pub fn play(study: &Study<'_>) -> Played {
    let mut world = World::new(study);
    let mut events = 0;
    while let Some(((now, _), event)) = world.agenda.pop_first() {
        world.now = now;
        world.happen(event);
        // All that happens at one moment is known before anything is placed.
        if world.agenda.first_key_value().is_none_or(|((next, _), _)| *next > now) {
            world.place();
        }
        if world.open == 0 {
            break;
        }
        events += 1;
        assert!(events < EVENTS_MAX, "a play ends");
    }
    assert_eq!(world.open, 0, "every task has run");
    Played { times: world.times, busy: world.busy, refusals: world.refusals }
}

struct Running {
    job: usize,
    task: u32,
    /// Seconds of the trace that are left at `since`.
    left: f64,
    since: Timestamp,
    version: u32,
}

struct Host {
    id: WorkerRef,
    slots: u32,
    speed: f64,
    calm: bool,
    running: Vec<Running>,
}

struct World<'a> {
    study: &'a Study<'a>,
    now: Timestamp,
    agenda: BTreeMap<(Timestamp, u64), Event>,
    numbers: u64,
    dispatch: Dispatch,
    /// What was offered and not granted.
    waiting: BTreeMap<TaskRunId, Offer>,
    /// By host, as the shards see it.
    paces: Vec<Pace>,
    reports: ByReports,
    chance: Chance,
    weather: Chance,
    hosts: Vec<Host>,
    shape: Arc<Shape>,
    /// By job and task: the rank's length, the estimate, open parents.
    lengths: Vec<Vec<Span>>,
    estimates: Vec<Vec<Span>>,
    parents: Vec<Vec<u32>>,
    times: Vec<Vec<TaskTimes>>,
    busy: Vec<f64>,
    open: usize,
    activations: u64,
    refusals: u64,
}

impl<'a> World<'a> {
    fn new(study: &'a Study<'a>) -> World<'a> {
        let group = Name::new("default").expect("a good name");
        let namespace = group.clone();
        let shape = Arc::new(Shape::of_slots(group, namespace, KindTag::Shell, 1));
        let mut world = World {
            study,
            now: Timestamp(0),
            agenda: BTreeMap::new(),
            numbers: 0,
            dispatch: dispatch(),
            waiting: BTreeMap::new(),
            paces: Vec::new(),
            reports: ByReports::default(),
            chance: Chance::new(study.seed),
            weather: Chance::new(study.seed ^ 0x57ea_7e12),
            hosts: Vec::new(),
            shape,
            lengths: Vec::new(),
            estimates: Vec::new(),
            parents: Vec::new(),
            times: Vec::new(),
            busy: Vec::new(),
            open: 0,
            activations: 0,
            refusals: 0,
        };
        world.staff();
        world.prepare();
        world
    }

    fn staff(&mut self) {
        self.configure();
        for (at, (slots, speed)) in self.study.fleet.workers().into_iter().enumerate() {
            let name = Name::new(&format!("w{at}")).expect("a good name");
            let id = WorkerRef { name, incarnation: 1 };
            self.hosts.push(Host { id, slots, speed, calm: true, running: Vec::new() });
            self.paces.push(Pace::default());
            self.busy.push(0.0);
            self.join(at);
            // Hosts do not report in step.
            let first = match self.study.sight {
                Sight::Fresh => Span::ZERO,
                Sight::Accounts { beat } | Sight::ReportsOnly { beat } => {
                    Span(self.chance.below(beat.0.max(1)))
                }
            };
            if self.study.memory == Memory::Speeds {
                self.teach(at);
            }
            self.report(at);
            self.later(first, Event::Beat { worker: at });
            if let Weather::Busy { calm, .. } = self.study.weather {
                let first = about(calm, &mut self.weather);
                self.later(first, Event::Turn { worker: at });
            }
        }
    }

    fn configure(&mut self) {
        let group =
            GroupConfig { policy: self.study.policy, slow_start: Span::ZERO, ..GroupConfig::default() };
        self.dispatch.on_group(&self.shape.group, group, self.now);
    }

    fn join(&mut self, worker: usize) {
        let (groups, host) = (vec![self.shape.group.clone()], &self.hosts[worker]);
        let facts = WorkerFacts::of_slots(host.id.clone(), groups, u64::from(host.slots));
        self.dispatch.on_worker(facts, self.now);
    }

    /// Another Dispatcher hears of workers, of what runs and of what waits, as shards list it.
    fn fail_over(&mut self) {
        self.dispatch = dispatch();
        self.configure();
        for at in 0..self.hosts.len() {
            self.join(at);
            let running = self.hosts[at].running.iter().map(|running| task_run(running.job, running.task));
            let running: Vec<TaskRunId> = running.collect();
            running.into_iter().for_each(|task_run| self.hold(at, task_run));
            if self.study.failover == Failover::Recalls {
                self.dispatch.recall_pace(&self.hosts[at].id, &self.paces[at]);
            }
            self.report(at);
        }
        for offer in self.waiting.values() {
            self.dispatch.offer(1, offer.clone(), self.now).expect("one shape, one request");
        }
    }

    fn hold(&mut self, worker: usize, task_run: TaskRunId) {
        self.dispatch.on_hold(&HoldFacts {
            task_run,
            worker: self.hosts[worker].id.clone(),
            namespace: self.shape.namespace.clone(),
            amounts: Amounts::slots(1),
            devices: Vec::new(),
        });
    }

    /// What attempts would teach about a worker's speed, before the first.
    fn teach(&mut self, worker: usize) {
        let speed = self.hosts[worker].speed;
        let task_run = task_run(0xffff_ffff, 0);
        let took = Span((1e6 / speed) as u64);
        for _ in 0..LESSONS {
            self.hold(worker, task_run);
            let how = Ended::Succeeded { task: 0, took, expected: Some(Span::from_secs(1)) };
            self.dispatch.ended(task_run, how, self.now);
        }
    }

    fn prepare(&mut self) {
        for (at, job) in self.study.jobs.iter().enumerate() {
            let trace = job.trace;
            let noise = self.study.noise;
            let chance = &mut self.chance;
            let mut estimate = |duration: &Span| {
                let wrong = 1.0 + noise * (2.0 * chance.share() - 1.0);
                Span((duration.0 as f64 * wrong) as u64)
            };
            let estimates: Vec<Span> = trace.durations.iter().map(&mut estimate).collect();
            let lengths = match self.study.order {
                Order::CriticalPath => remaining_paths(&trace.graph, |task| estimates[task as usize]),
                Order::Fifo => vec![Span::ZERO; estimates.len()],
                Order::LongestTask => estimates.clone(),
                // The key counts in milliseconds of 32 bits.
                Order::ShortestTask => estimates
                    .iter()
                    .map(|own| Span((u64::from(u32::MAX) * 1000).saturating_sub(own.0)))
                    .collect(),
            };
            let parents = |task| trace.graph.parents(task as u32).len() as u32;
            self.parents.push((0..trace.graph.len()).map(parents).collect());
            self.times.push(vec![TaskTimes::default(); trace.graph.len()]);
            self.lengths.push(lengths);
            self.estimates.push(estimates);
            self.open += trace.graph.len();
            self.at(job.arrives, Event::Arrival { job: at });
        }
        if self.study.failover != Failover::Never {
            let half = self.study.jobs.iter().map(|job| bounds(job.trace, self.study.fleet).lower() / 2.0);
            self.later(Span((half.sum::<f64>() * 1e6) as u64), Event::Failover);
        }
    }

    fn at(&mut self, at: Timestamp, event: Event) {
        self.numbers += 1;
        self.agenda.insert((at, self.numbers), event);
    }

    fn later(&mut self, after: Span, event: Event) {
        self.at(self.now.plus(after), event);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival { job } => {
                let roots: Vec<u32> = (0..self.parents[job].len() as u32)
                    .filter(|task| self.parents[job][*task as usize] == 0)
                    .collect();
                roots.into_iter().for_each(|task| self.ready(job, task));
            }
            Event::End { job, task, version } => self.end(job, task, version),
            Event::Beat { worker } => {
                self.report(worker);
                match self.study.sight {
                    Sight::Fresh => {}
                    Sight::Accounts { beat } | Sight::ReportsOnly { beat } if beat.0 > 0 => {
                        self.later(beat, Event::Beat { worker });
                    }
                    Sight::Accounts { .. } | Sight::ReportsOnly { .. } => {}
                }
            }
            Event::Turn { worker } => self.turn(worker),
            Event::Failover => self.fail_over(),
        }
    }

    fn report(&mut self, worker: usize) {
        let host = &self.hosts[worker];
        let running = host.running.len() as u64;
        let mine = running as f64 / f64::from(host.slots);
        let busy = if host.calm { mine } else { 1.0 };
        let load = Load {
            running: Amounts::slots(running),
            used: Amounts::default(),
            metrics: Metrics::ZERO.with(Metric::CpuPercent, busy * 100.0),
        };
        self.dispatch.on_heartbeat(&host.id, &load, self.now);
        self.reports.report(worker, host.slots - host.running.len() as u32);
    }

    fn ready(&mut self, job: usize, task: u32) {
        self.times[job][task as usize].ready = self.now;
        self.activations += 1;
        let study = &self.study.jobs[job];
        if let Sight::ReportsOnly { .. } = self.study.sight {
            let length = u64::MAX - self.lengths[job][task as usize].0;
            let key = ((study.priority as u64) << 32) + job as u64;
            self.reports.waiting.insert((key, length, task as usize));
            return;
        }
        let rank = Rank {
            run_priority: study.priority,
            run_created: study.arrives,
            task_priority: Priority::Normal,
            remaining: self.lengths[job][task as usize],
            activation: self.activations,
        };
        let offer = Offer { task_run: task_run(job, task), shape: self.shape.clone(), rank, since: self.now };
        self.waiting.insert(offer.task_run, offer.clone());
        self.dispatch.offer(1, offer, self.now).expect("one shape, one request");
    }

    fn place(&mut self) {
        if let Sight::ReportsOnly { .. } = self.study.sight {
            return self.place_by_reports();
        }
        self.dispatch.expire(self.now);
        for grant in self.dispatch.place(usize::MAX, &mut self.chance, self.now) {
            let (job, task) = job_and_task(grant.task_run);
            self.dispatch.dispatched(grant.task_run);
            self.waiting.remove(&grant.task_run);
            let worker =
                self.hosts.iter().position(|host| host.id == grant.worker).expect("one of the fleet");
            self.start(worker, job, task);
        }
        if self.study.sight == Sight::Fresh {
            (0..self.hosts.len()).for_each(|worker| self.report(worker));
        }
    }

    fn place_by_reports(&mut self) {
        while let Some((key, length, task)) = self.reports.waiting.first().copied() {
            let Some(worker) = self.reports.emptiest() else { return };
            let host = &self.hosts[worker];
            if host.running.len() as u32 == host.slots {
                self.refusals += 1;
                self.reports.refused(worker);
                continue;
            }
            self.reports.waiting.remove(&(key, length, task));
            self.start(worker, (key & 0xffff_ffff) as usize, task as u32);
        }
    }

    fn start(&mut self, worker: usize, job: usize, task: u32) {
        let times = &mut self.times[job][task as usize];
        (times.started, times.worker) = (self.now, worker);
        let left = self.study.jobs[job].trace.durations[task as usize].0 as f64 / 1e6;
        self.hosts[worker].running.push(Running { job, task, left, since: self.now, version: 0 });
        let last = self.hosts[worker].running.len() - 1;
        self.expect_end(worker, last);
    }

    fn expect_end(&mut self, worker: usize, at: usize) {
        let host = &self.hosts[worker];
        let running = &host.running[at];
        let speed = host.speed * if host.calm { 1.0 } else { BUSY_SPEED };
        let (job, task, version) = (running.job, running.task, running.version);
        self.later(Span((running.left / speed * 1e6).round() as u64), Event::End { job, task, version });
    }

    fn end(&mut self, job: usize, task: u32, version: u32) {
        let worker = self.times[job][task as usize].worker;
        let same = |running: &Running| (running.job, running.task, running.version) == (job, task, version);
        let Some(at) = self.hosts[worker].running.iter().position(same) else { return };
        self.hosts[worker].running.swap_remove(at);
        let times = &mut self.times[job][task as usize];
        times.ended = self.now;
        let took = self.now.since(times.started);
        self.busy[worker] += took.0 as f64 / 1e6;
        self.open -= 1;
        if !matches!(self.study.sight, Sight::ReportsOnly { .. }) {
            let tag = (job as u64) << 32 | u64::from(task);
            let expected = self.estimates[job][task as usize];
            self.paces[worker].compare(took, expected);
            let expected = Some(expected);
            self.dispatch.ended(
                task_run(job, task),
                Ended::Succeeded { task: tag, took, expected },
                self.now,
            );
        }
        let trace = self.study.jobs[job].trace;
        for child in trace.graph.children(task) {
            let open = &mut self.parents[job][*child as usize];
            *open -= 1;
            if *open == 0 {
                self.ready(job, *child);
            }
        }
    }

    /// A host's weather changes: what runs there goes on at another speed.
    fn turn(&mut self, worker: usize) {
        let Weather::Busy { calm, busy } = self.study.weather else { return };
        let (now, host) = (self.now, &mut self.hosts[worker]);
        let speed = host.speed * if host.calm { 1.0 } else { BUSY_SPEED };
        for running in &mut host.running {
            running.left -= now.since(running.since).0 as f64 / 1e6 * speed;
            (running.left, running.since) = (running.left.max(0.0), now);
            running.version += 1;
        }
        host.calm = !host.calm;
        let next = about(if host.calm { calm } else { busy }, &mut self.weather);
        (0..self.hosts[worker].running.len()).for_each(|at| self.expect_end(worker, at));
        self.later(next, Event::Turn { worker });
    }
}

/// Silence is no subject here: reports may be far apart.
fn dispatch() -> Dispatch {
    Dispatch::new(DispatchConfig { silent_after: Span(u64::MAX / 4), ..DispatchConfig::default() })
}

/// From half of it to one and a half.
fn about(span: Span, chance: &mut Chance) -> Span {
    Span(span.0 / 2 + chance.below(span.0.max(1)))
}

fn task_run(job: usize, task: u32) -> TaskRunId {
    TaskRunId { run: RunId::new(0, 1, job as u128), key: TaskKey { task, item: 0 } }
}

fn job_and_task(task_run: TaskRunId) -> (usize, u32) {
    ((task_run.run.0 & 0xffff_ffff) as usize, task_run.key.task)
}
