//! Random sequences of all that can happen, compared with the model after every step: order, reservations, wakings,
//! reasons. Each seed is one sequence; a failure names its seed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use hortator_core::definition::Priority;
use hortator_core::dispatch::*;
use hortator_core::dispatch::{KindTag, WorkerState};
use hortator_core::id::{Name, RunId, TaskKey, TaskRunId, WorkerRef};
use hortator_core::time::{Span, Timestamp};

use crate::model::{Model, ModelOffer};
use crate::world::{config, name};

/// The unoptimised build plays a part of them.
const SEEDS: u64 = if cfg!(debug_assertions) { 60 } else { 5_000 };
const STEPS: u32 = 120;
/// A mistake that none of so many seeds finds is not found.
const SEEDS_FOR_MISTAKES: u64 = 250;

#[test]
fn order_reservations_wakings_and_reasons_hold() {
    (0..SEEDS).for_each(|seed| run(seed, Mistake::None));
}

#[test]
fn a_requeue_at_the_tail_is_found() {
    is_found(Mistake::RequeuesAtTheTail);
}

#[test]
fn a_missing_waking_is_found() {
    is_found(Mistake::WakesNobody);
}

#[test]
fn a_leak_of_reservations_is_found() {
    is_found(Mistake::KeepsRefusedReservations);
}

fn is_found(mistake: Mistake) {
    let finds = |seed: &u64| catch_unwind(AssertUnwindSafe(|| run(*seed, mistake))).is_err();
    let found = (0..SEEDS_FOR_MISTAKES).find(finds);
    println!("{mistake:?} is found by seed {found:?}");
    assert!(found.is_some(), "{mistake:?} is not found by {SEEDS_FOR_MISTAKES} seeds");
}

/// One sequence; panics where the Dispatcher and the model differ.
fn run(seed: u64, mistake: Mistake) {
    let told = Seed(seed);
    let mut script = Script::new(seed, mistake);
    for _ in 0..STEPS {
        script.step();
        script.compare();
    }
    script.drain();
    drop(told);
}

/// Names the seed when a panic passes by.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("seed {}", self.0);
        }
    }
}

struct Script {
    dispatch: Dispatch,
    model: Model,
    chance: Chance,
    /// What the Dispatcher draws is another stream.
    draws: Chance,
    now: Timestamp,
    shapes: Vec<Arc<Shape>>,
    numbers: u32,
}

impl Script {
    fn new(seed: u64, mistake: Mistake) -> Script {
        let now = Timestamp(1_000_000_000);
        let mut dispatch = Dispatch::new(DispatchConfig { mistake, ..DispatchConfig::default() });
        let mut chance = Chance::new(seed);
        for group in ["a", "b"] {
            let policy = Policy::ALL[chance.below(5) as usize];
            dispatch.on_group(&name(group), config(policy), now);
        }
        let gpu = |slots| Amounts::slots(slots).with(Resource::Gpu, 1);
        let memory = |slots, memory| Amounts::slots(slots).with(Resource::Memory, memory);
        let shape = |group: &str, namespace: &str, requests: Vec<Amounts>| {
            let plain = Shape::of_slots(name(group), name(namespace), KindTag::Shell, 1);
            Arc::new(Shape { requests, ..plain })
        };
        let shapes = vec![
            shape("a", "one", vec![Amounts::slots(1)]),
            shape("a", "two", vec![Amounts::slots(2)]),
            shape("a", "one", vec![gpu(1), memory(2, 600)]),
            shape("b", "one", vec![Amounts::slots(1)]),
            shape("b", "two", vec![memory(1, 300)]),
            shape("c", "two", vec![Amounts::slots(3)]),
        ];
        let draws = Chance::new(!seed);
        Script { dispatch, model: Model::new(), chance, draws, now, shapes, numbers: 0 }
    }

    fn step(&mut self) {
        match self.chance.below(20) {
            0..=4 => (0..=self.chance.below(4)).for_each(|_| self.offer()),
            5..=8 => {
                let limit = if self.chance.below(3) == 0 { 1 + self.chance.below(3) } else { 1000 };
                self.place(limit as usize);
            }
            9..=11 => self.settle_grant(),
            12..=13 => self.end(),
            14..=15 => self.beat(),
            16 => self.join(),
            17 => self.lose_or_withhold(),
            18 => self.pass(),
            _ => match self.chance.below(3) {
                0 => self.withdraw(),
                1 => self.set_quota(),
                _ => self.pass(),
            },
        }
    }

    fn offer(&mut self) {
        self.numbers += 1;
        let levels = [Priority::Highest, Priority::Normal, Priority::Lowest];
        let run = self.chance.below(4);
        let draw = |chance: &mut Chance| levels[chance.below(3) as usize];
        let rank = Rank {
            run_priority: levels[run as usize % 3],
            run_created: Timestamp(run as i64 / 2),
            task_priority: draw(&mut self.chance),
            remaining: Span::from_secs(self.chance.below(3)),
            activation: self.chance.below(4),
        };
        let key = TaskKey { task: self.numbers, item: 0 };
        let task_run = TaskRunId { run: RunId::new(run, 1, 0), key };
        let shape = self.shapes[self.chance.below(self.shapes.len() as u64) as usize].clone();
        let offer = Offer { task_run, shape, rank, since: self.now };
        self.dispatch.offer(1, offer.clone(), self.now).expect("a good offer");
        self.model.offers.insert(task_run, ModelOffer { offer, grant: None });
    }

    fn withdraw(&mut self) {
        let all: Vec<TaskRunId> = self.model.offers.keys().copied().collect();
        if let Some(task_run) = self.pick(&all) {
            self.dispatch.withdraw(task_run);
            self.model.offers.remove(&task_run);
        }
    }

    fn place(&mut self, limit: usize) {
        let grants = self.dispatch.place(limit, &mut self.draws, self.now);
        let all = grants.len() < limit;
        for grant in grants {
            self.model.check_grant(&grant, self.now);
            let known = self.model.offers.get_mut(&grant.task_run).expect("it was offered");
            known.grant = Some((grant, self.now));
        }
        if all {
            for offer in self.model.waiting() {
                let placeable = self.model.is_placeable(&offer.shape, self.now);
                assert!(!placeable, "{:?} fits somewhere and still waits", offer.task_run);
            }
        }
    }

    /// A shard uses a grant, or cannot.
    fn settle_grant(&mut self) {
        let granted = self.model.offers.iter().filter(|(_, known)| known.grant.is_some());
        let granted: Vec<TaskRunId> = granted.map(|(task_run, _)| *task_run).collect();
        let Some(task_run) = self.pick(&granted) else { return };
        match self.chance.below(4) {
            0 | 1 => self.dispatched(task_run),
            which => {
                let why = if which == 2 { GrantFailed::AtWorker } else { GrantFailed::AtShard };
                let (grant, _) = self.model.offers[&task_run].grant.as_ref().expect("it is granted");
                self.dispatch.failed(task_run, grant.number, why);
                self.model.fail(task_run, why);
            }
        }
    }

    fn dispatched(&mut self, task_run: TaskRunId) {
        self.dispatch.dispatched(task_run);
        let ModelOffer { offer, grant } = self.model.offers.remove(&task_run).expect("it was granted");
        let (grant, _) = grant.expect("it was granted");
        let amounts = offer.shape.requests[usize::from(grant.request)].clone();
        self.model.holds.insert(task_run, (grant.worker, offer.shape.namespace.clone(), amounts));
    }

    fn end(&mut self) {
        let held: Vec<TaskRunId> = self.model.holds.keys().copied().collect();
        if let Some(task_run) = self.pick(&held) {
            let took = Span::from_secs(1 + self.chance.below(4));
            let how = match self.chance.below(2) {
                0 => Ended::Otherwise,
                _ => Ended::Succeeded { task: 1, took, expected: Some(Span::from_secs(2)) },
            };
            self.dispatch.ended(task_run, how, self.now);
            self.model.holds.remove(&task_run);
        }
    }

    fn beat(&mut self) {
        let workers: Vec<WorkerRef> = self.model.workers.keys().cloned().collect();
        if let Some(worker) = self.pick(&workers) {
            let load = Load { running: self.model.running(&worker), ..Load::idle() };
            self.dispatch.on_heartbeat(&worker, &load, self.now);
            self.model.hear(&worker, self.now);
        }
    }

    fn join(&mut self) {
        let number = self.chance.below(5);
        let incarnation = 1 + self.chance.below(2);
        let id = WorkerRef { name: name(&format!("w{number}")), incarnation };
        let newer =
            self.model.workers.keys().any(|known| known.name == id.name && known.incarnation > incarnation);
        if newer {
            return;
        }
        let groups: Vec<Name> = [&["a"][..], &["b"], &["a", "b"], &["a", "c"]][number as usize % 4]
            .iter()
            .map(|group| name(group))
            .collect();
        let mut facts = WorkerFacts::of_slots(id.clone(), groups, 1 + number);
        facts.total = facts.total.with(Resource::Memory, 1000);
        if number > 2 {
            facts = facts.with_devices(&["0"]);
        }
        self.dispatch.on_worker(facts.clone(), self.now);
        self.model.join(facts);
        let load = Load { running: self.model.running(&id), ..Load::idle() };
        self.dispatch.on_heartbeat(&id, &load, self.now);
        self.model.hear(&id, self.now);
    }

    fn lose_or_withhold(&mut self) {
        let workers: Vec<WorkerRef> = self.model.workers.keys().cloned().collect();
        let Some(worker) = self.pick(&workers) else { return };
        if self.chance.below(3) == 0 {
            self.dispatch.on_worker_lost(&worker, self.now);
            self.model.lose(&worker);
            return;
        }
        let mut facts = self.model.workers[&worker].facts.clone();
        facts.state = match facts.state {
            WorkerState::Up => WorkerState::Cordoned { by: "li".to_owned(), since: self.now },
            _ => WorkerState::Up,
        };
        self.dispatch.on_worker(facts.clone(), self.now);
        self.model.join(facts);
    }

    fn set_quota(&mut self) {
        let namespace = name(["one", "two"][self.chance.below(2) as usize]);
        let max = self.chance.below(8);
        match max {
            0 => {
                self.dispatch.on_quota(&namespace, Quota::new());
                self.model.quotas.remove(&namespace);
            }
            max => {
                self.dispatch.on_quota(&namespace, Quota::from([(Resource::Slots, max)]));
                self.model.quotas.insert(namespace, max);
            }
        }
    }

    fn pass(&mut self) {
        self.now = self.now.plus(Span::from_millis(self.chance.below(900)));
        self.dispatch.expire(self.now);
        self.model.expire(self.now);
    }

    /// Sums and reasons.
    fn compare(&self) {
        for worker in self.model.workers.keys() {
            let account = self.dispatch.account(worker).expect("it is in");
            assert_eq!(account.reserved, self.model.reserved(worker), "reserved on {}", worker.name);
        }
        for namespace in ["one", "two"].map(name) {
            let used = self.dispatch.quota_used(&namespace).get(&Resource::Slots);
            assert_eq!(used, self.model.used(&namespace));
        }
        let counts = self.dispatch.counts_now();
        assert_eq!(counts.waiting, self.model.waiting().count() as u64);
        assert_eq!(counts.held, self.model.holds.len() as u64);
        for offer in self.model.waiting() {
            let reasons = self.dispatch.explain(offer.task_run);
            assert!(!reasons.is_empty(), "{:?} waits without a reason", offer.task_run);
            assert!(reasons.iter().all(|reason| !reason.text().is_empty() && !reason.help().is_empty()));
        }
        let deadline = self.dispatch.next_deadline();
        assert!(deadline.is_none_or(|deadline| deadline > self.now), "time has something to do already");
    }

    /// Everybody is there and works: whatever can be placed at all is, and nothing stays reserved.
    fn drain(&mut self) {
        for namespace in ["one", "two"].map(name) {
            self.dispatch.on_quota(&namespace, Quota::new());
            self.model.quotas.remove(&namespace);
        }
        let workers: Vec<WorkerFacts> =
            self.model.workers.values().map(|known| known.facts.clone()).collect();
        for facts in workers {
            let facts = WorkerFacts { state: WorkerState::Up, ..facts };
            self.dispatch.on_worker(facts.clone(), self.now);
            self.model.join(facts);
        }
        loop {
            for worker in self.model.workers.keys().cloned().collect::<Vec<_>>() {
                let load = Load { running: self.model.running(&worker), ..Load::idle() };
                self.dispatch.on_heartbeat(&worker, &load, self.now);
                self.model.hear(&worker, self.now);
            }
            self.place(1000);
            let granted = self.model.offers.iter().filter(|(_, known)| known.grant.is_some());
            let granted: Vec<TaskRunId> = granted.map(|(task_run, _)| *task_run).collect();
            granted.iter().for_each(|task_run| self.dispatched(*task_run));
            let held: Vec<TaskRunId> = self.model.holds.keys().copied().collect();
            for task_run in &held {
                self.dispatch.ended(*task_run, Ended::Otherwise, self.now);
                self.model.holds.remove(task_run);
            }
            self.compare();
            if granted.is_empty() && held.is_empty() {
                break;
            }
        }
        for known in self.model.offers.values() {
            assert!(!self.model.is_placeable(&known.offer.shape, self.now), "it starves");
        }
        for worker in self.model.workers.keys() {
            let account = self.dispatch.account(worker).expect("it is in");
            assert!(account.reserved.is_zero() && account.held == 0 && account.granted == 0);
        }
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        match from.len() {
            0 => None,
            len => from.get(self.chance.below(len as u64) as usize).cloned(),
        }
    }
}
