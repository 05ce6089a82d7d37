//! One simulated run from its plan and seed to its verdict: safety under faults, then everything is healed and must come
//! to an end.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use hortator_actors::mutant::Mutant;
use hortator_core::lease::{DEFAULT_TERMS, Leases};
use hortator_raft::marks;
use serde::Serialize;

use crate::census;
use crate::checkers::{LIVENESS, SAFETY, Violation, judge};
use crate::evidence::{Mark, Start};
use crate::faults::{Done, Fault, Injector, heal};
use crate::marks::Ear;
use crate::plan::Plan;
use crate::replicas;
use crate::workload::{Told, Workload};
use crate::world::net::{Counts, FAIR, Weather};
use crate::world::trace::Digest;
use crate::world::{Shape, World, tell};

/// Clients see the end of what they watch, or let go.
const CLIENTS_MAX: Duration = Duration::from_secs(60);

/// What to simulate.
#[derive(Debug)]
pub struct Order {
    pub plan: Plan,
    pub seed: u64,
    /// A deliberate mistake of the masters, to see that it is found.
    pub mutant: Mutant,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    pub plan: String,
    pub seed: u64,
    pub violations: Vec<Violation>,
    pub trace: Digest,
    /// Of the world's time, in seconds.
    pub seconds: f64,
    pub masters: u64,
    pub workers: u64,
    pub shards: u32,
    pub faults: BTreeMap<Fault, u64>,
    pub runs_acknowledged: usize,
    pub runs: usize,
    pub attempts: usize,
    pub calls: u64,
    pub wires: Counts,
    /// How often each mark was passed.
    pub marks: BTreeMap<String, u64>,
}

impl Verdict {
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Everything that happens from a plan and a seed. `reader`: where the trace goes as text.
pub fn simulate(order: Order, reader: Option<Box<dyn Write + Send>>) -> Verdict {
    let Order { plan, seed, mutant } = order;
    let cluster = plan.cluster;
    let shape = Shape {
        masters: cluster.masters,
        workers: cluster.workers,
        shards: cluster.shards,
        slots: cluster.slots,
        leases: Leases::Kept(DEFAULT_TERMS),
        log_keep: cluster.log_keep,
        mutant,
    };
    let ear = Ear::new(seed);
    marks::listen(Box::new(ear.clone()));
    let (verdict, trace) = tell(seed, shape, reader, move |world| story(world, plan));
    marks::deafen();
    let violations = [verdict.violations, ear.violations()].concat();
    Verdict { trace, violations, marks: ear.passed(), ..verdict }
}

async fn story(world: Rc<World>, plan: Plan) -> Verdict {
    world.net().set_weather(Weather { astray: plan.astray, dropped: plan.dropped, ..FAIR });
    let workload = Workload::start(&world, plan.habits);
    let done = Rc::<RefCell<Vec<Done>>>::default();
    let injectors: Vec<_> = plan
        .faults
        .iter()
        .enumerate()
        .map(|(number, line)| {
            let injector = Injector::new(line.clone(), number, world.clone(), done.clone());
            tokio::task::spawn_local(injector.run())
        })
        .collect();
    tokio::time::sleep(plan.lasts.as_duration()).await;
    for injector in injectors {
        injector.abort();
        if let Err(error) = injector.await {
            assert!(!error.is_panic(), "an injector panicked: {error}");
        }
    }
    heal(&world);
    workload.finish(CLIENTS_MAX).await;
    let taken = census::take(&world, &workload).await;
    // Of a cluster that tells nothing only that can be said.
    let tells = taken.violations.iter().all(|violation| violation.checker != "harness");
    let checkers = SAFETY.iter().chain(LIVENESS).filter(|_| tells);
    let mut violations = judge(checkers, &taken.evidence);
    violations.extend(taken.violations);
    violations.extend(replicas::compare(&world));
    violations.extend(told_wrong(&workload.told()));
    violations.extend(world.surprises().into_iter().map(|surprise| Violation {
        checker: "P6",
        promise: "a node never ends by itself",
        detail: format!("{} at {:.6}: {}", surprise.who, surprise.at as f64 / 1e6, surprise.why),
    }));
    let told = workload.told();
    let mut faults = BTreeMap::new();
    done.borrow().iter().for_each(|done| *faults.entry(done.fault).or_default() += 1);
    Verdict {
        plan: plan.name,
        seed: world.seed(),
        violations,
        trace: Digest { lines: 0, hash: 0 },
        seconds: world.now() as f64 / 1e6,
        masters: plan.cluster.masters,
        workers: plan.cluster.workers,
        shards: plan.cluster.shards,
        faults,
        runs_acknowledged: told.starts.values().filter(|start| **start != Start::Unknown).count(),
        runs: taken.evidence.runs.len(),
        attempts: taken.evidence.ledger.iter().filter(|line| line.mark == Mark::Start).count(),
        calls: told.calls,
        wires: world.net().counts(),
        marks: BTreeMap::new(),
    }
}

fn told_wrong(told: &Told) -> Vec<Violation> {
    let wrong = told.wrong.iter().cloned();
    wrong
        .map(|detail| Violation {
            checker: "S17",
            promise: "what was acknowledged is seen by every later question",
            detail,
        })
        .collect()
}
