//! One simulated run from its plan and seed to its verdict: safety under faults, then everything is healed and must come
//! to an end. The same run can be played once more from what it resolved to.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use hortator_actors::mutant::Mutant;
use hortator_actors::{placing, waiting};
use hortator_core::lease::{DEFAULT_TERMS, Leases};
use hortator_core::time::Timestamp;
use hortator_raft::marks;
use serde::Serialize;

use crate::census;
use crate::checkers::{LIVENESS, SAFETY, Violation, judge};
use crate::evidence::{Mark, Start};
use crate::faults::{self, Fault, Hit, Injector, heal};
use crate::marks::Ear;
use crate::ownership;
use crate::plan::{Cluster, Origin, Plan};
use crate::priorities::Priorities;
use crate::reasons::Reasons;
use crate::replicas;
use crate::resolved::{Resolved, Written};
use crate::schedules;
use crate::witness::Witness;
use crate::workload::{Told, Workload};
use crate::world::net::Counts;
use crate::world::trace::Digest;
use crate::world::weather::{FAIR, Weather};
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

/// Who looks on while a run is played.
#[derive(Default)]
pub struct Audience {
    /// Where the trace goes as text.
    pub reader: Option<Box<dyn Write + Send>>,
    /// Who remembers what mattered.
    pub witness: Option<Witness>,
}

impl std::fmt::Debug for Audience {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Audience(reads {}, {:?})", self.reader.is_some(), self.witness)
    }
}

/// Where faults and errands come from.
enum Course {
    Plan(Box<Plan>),
    Resolved(Box<Resolved>),
}

/// Everything that happens from a plan and a seed. `reader`: where the trace goes as text.
pub fn simulate(order: Order, reader: Option<Box<dyn Write + Send>>) -> Verdict {
    play(order, Audience { reader, witness: None }).0
}

/// The same, with what the plan resolved to.
pub fn play(order: Order, audience: Audience) -> (Verdict, Resolved) {
    let Order { plan, seed, mutant } = order;
    stage(Course::Plan(Box::new(plan)), seed, mutant, audience)
}

/// A run that was resolved before. What it resolved to this time differs where a client came too late for an errand.
pub fn replay(resolved: Resolved, mutant: Mutant, audience: Audience) -> (Verdict, Resolved) {
    let seed = resolved.seed;
    stage(Course::Resolved(Box::new(resolved)), seed, mutant, audience)
}

fn stage(course: Course, seed: u64, mutant: Mutant, audience: Audience) -> (Verdict, Resolved) {
    let cluster = course.cluster();
    let shape = Shape {
        masters: cluster.masters,
        workers: cluster.workers,
        shards: cluster.shards,
        slots: cluster.slots,
        leases: Leases::Kept(DEFAULT_TERMS),
        log_keep: cluster.log_keep,
        mutant,
        begins: course.begins(),
        ..Shape::default()
    };
    let goals = course.goals();
    let Audience { reader, witness } = audience;
    let ear = Ear::new(seed, witness.clone());
    marks::listen(Box::new(ear.clone()));
    let priorities = Priorities::default();
    placing::listen(Box::new(priorities.clone()));
    let reasons = Reasons::default();
    waiting::listen(Box::new(reasons.clone()));
    let heard = ear.clone();
    let ((verdict, mut resolved), trace) = tell(seed, shape, reader, move |world| {
        if let Some(witness) = witness {
            world.trace().listen(witness);
        }
        story(world, course, heard)
    });
    marks::deafen();
    placing::deafen();
    waiting::deafen();
    let passed = ear.passed();
    let aim = |detail| Violation { checker: AIM, promise: GOES_THERE, detail };
    let Goals { expects, never } = goals;
    let missed = expects
        .into_iter()
        .filter(|name| !passed.contains_key(name))
        .map(|name| aim(format!("the mark {name:?} was never passed")));
    let strayed = never
        .into_iter()
        .filter(|name| passed.contains_key(name))
        .map(|name| aim(format!("the mark {name:?} was passed")));
    let violations: Vec<Violation> = {
        let seen = verdict.violations.into_iter().chain(ear.violations()).chain(priorities.violations());
        let seen = seen.chain(reasons.violations());
        seen.chain(missed).chain(strayed).collect()
    };
    resolved.mutant = (mutant != Mutant::None).then(|| mutant.name().to_owned());
    resolved.broke = violations.iter().map(|violation| violation.checker.to_owned()).collect();
    resolved.broke.dedup();
    (Verdict { trace, violations, marks: passed, ..verdict }, resolved)
}

/// Names what is wrong with a scenario, not with the cluster.
const AIM: &str = "aim";
const GOES_THERE: &str = "a scenario goes where it says it goes, and nowhere else";

/// Marks that a scenario must pass, and such that it must not.
#[derive(Default)]
struct Goals {
    expects: Vec<String>,
    never: Vec<String>,
}

impl Course {
    fn cluster(&self) -> Cluster {
        match self {
            Course::Plan(plan) => plan.cluster,
            Course::Resolved(resolved) => resolved.cluster,
        }
    }

    fn begins(&self) -> Timestamp {
        match self {
            Course::Plan(plan) => plan.begins,
            Course::Resolved(resolved) => resolved.begins,
        }
    }

    fn goals(&self) -> Goals {
        match self {
            Course::Plan(plan) => Goals { expects: plan.expects.clone(), never: plan.never.clone() },
            Course::Resolved(_) => Goals::default(),
        }
    }

    fn workload(&self, world: &Rc<World>) -> Workload {
        match self {
            Course::Plan(plan) => Workload::start(world, &plan.habits),
            Course::Resolved(run) => Workload::repeat(world, run.flows(), &run.errands, run.patience),
        }
    }

    /// A task for each line of faults.
    fn injectors(
        &self,
        world: &Rc<World>,
        ear: &Ear,
        hits: &Rc<RefCell<Vec<Hit>>>,
    ) -> Vec<tokio::task::JoinHandle<()>> {
        match self {
            Course::Plan(plan) => {
                let lines = plan.faults.iter().enumerate().map(|(number, line)| {
                    let injector =
                        Injector::new(line.clone(), number, world.clone(), ear.clone(), hits.clone());
                    tokio::task::spawn_local(injector.run())
                });
                lines.collect()
            }
            Course::Resolved(run) => {
                hits.borrow_mut().clone_from(&run.hits);
                let lines = run.hits.iter().map(|hit| hit.line).max().map_or(0, |last| last + 1);
                let of = |line| run.hits.iter().filter(|hit| hit.line == line).cloned().collect();
                let tasks = (0..lines).map(|line| {
                    tokio::task::spawn_local(faults::repeat(world.clone(), ear.clone(), of(line)))
                });
                tasks.collect()
            }
        }
    }

    fn resolve(&self, seed: u64, workload: &Workload, hits: Vec<Hit>) -> Resolved {
        let workflows = workload.flows().iter().map(Written::from).collect();
        let errands = workload.errands();
        match self {
            Course::Resolved(run) => Resolved { hits, errands, ..(**run).clone() },
            Course::Plan(plan) => Resolved {
                name: plan.name.clone(),
                seed,
                mutant: None,
                broke: Vec::new(),
                lasts: plan.lasts,
                patience: plan.habits.patience,
                astray: plan.astray,
                dropped: plan.dropped,
                begins: plan.begins,
                cluster: plan.cluster,
                hits,
                errands,
                workflows,
            },
        }
    }

    /// Lines of a scenario that hit nothing in all its time.
    fn missed(&self, hits: &[Hit]) -> Vec<Violation> {
        let Course::Plan(plan) = self else { return Vec::new() };
        if plan.origin == Origin::Swarm {
            return Vec::new();
        }
        let hit = |number| hits.iter().any(|hit| hit.line == number && !hit.who.is_empty());
        let missed = plan.faults.iter().enumerate().filter(|(number, _)| !hit(*number));
        missed
            .map(|(number, line)| Violation {
                checker: AIM,
                promise: GOES_THERE,
                detail: format!(
                    "fault {} of it, {:?} of {:?}, never happened",
                    number + 1,
                    line.fault,
                    line.who
                ),
            })
            .collect()
    }

    fn weather(&self) -> Weather {
        let (astray, dropped) = match self {
            Course::Plan(plan) => (plan.astray, plan.dropped),
            Course::Resolved(run) => (run.astray, run.dropped),
        };
        Weather { astray, dropped, ..FAIR }
    }

    fn name(&self) -> String {
        match self {
            Course::Plan(plan) => plan.name.clone(),
            Course::Resolved(run) => run.name.clone(),
        }
    }

    fn lasts(&self) -> Duration {
        match self {
            Course::Plan(plan) => plan.lasts.as_duration(),
            Course::Resolved(run) => run.lasts.as_duration(),
        }
    }
}

async fn story(world: Rc<World>, course: Course, ear: Ear) -> (Verdict, Resolved) {
    world.net().set_weather(course.weather());
    let workload = course.workload(&world);
    let hits = Rc::<RefCell<Vec<Hit>>>::default();
    let injectors = course.injectors(&world, &ear, &hits);
    tokio::time::sleep(course.lasts()).await;
    for injector in injectors {
        injector.abort();
        if let Err(error) = injector.await {
            assert!(!error.is_panic(), "an injector panicked: {error}");
        }
    }
    heal(&world);
    ear.calm_down();
    faults::take_back(&world, &hits.borrow());
    let unsettled = faults::settle(&world).await;
    workload.finish(CLIENTS_MAX).await;
    let looked = schedules::quiet(&world, &workload).await;
    let taken = census::take(&world, &workload, looked, &ear.losers()).await;
    // Of a cluster that tells nothing only that can be said.
    let tells = taken.violations.iter().all(|violation| violation.checker != "harness");
    let checkers = SAFETY.iter().chain(LIVENESS).filter(|_| tells);
    let mut violations = judge(checkers, &taken.evidence);
    violations.extend(taken.violations);
    violations.extend(replicas::compare(&world, &ear));
    violations.extend(ownership::take(&world));
    violations.extend(ear.left_open());
    violations.extend(unsettled);
    violations.extend(ear.in_joint().into_iter().map(|group| Violation {
        checker: "L7",
        promise: faults::STEPS_END,
        detail: format!("group {group} has not left a joint configuration"),
    }));
    violations.extend(told_wrong(&workload.told()));
    violations.extend(world.surprises().into_iter().map(|surprise| Violation {
        checker: "P6",
        promise: "a node never ends by itself",
        detail: format!("{} at {:.6}: {}", surprise.who, surprise.at as f64 / 1e6, surprise.why),
    }));
    let hits = hits.take();
    violations.extend(course.missed(&hits));
    let told = workload.told();
    let mut faults = BTreeMap::new();
    hits.iter().for_each(|hit| *faults.entry(hit.fault).or_default() += 1);
    let cluster = course.cluster();
    let verdict = Verdict {
        plan: course.name(),
        seed: world.seed(),
        violations,
        trace: Digest { lines: 0, hash: 0 },
        seconds: world.now() as f64 / 1e6,
        masters: cluster.masters,
        workers: cluster.workers,
        shards: cluster.shards,
        faults,
        runs_acknowledged: told.starts.values().filter(|start| **start != Start::Unknown).count(),
        runs: taken.evidence.runs.len(),
        attempts: taken.evidence.ledger.iter().filter(|line| line.mark == Mark::Start).count(),
        calls: told.calls,
        wires: world.net().counts(),
        marks: BTreeMap::new(),
    };
    (verdict, course.resolve(world.seed(), &workload, hits))
}

fn told_wrong(told: &Told) -> Vec<Violation> {
    let promise = "what was acknowledged is seen by every later question";
    let wrong = told.wrong.iter().map(|detail| ("S17", promise, detail));
    let unexplained =
        told.unexplained.iter().map(|detail| ("reasons", "whatever waits has a reason", detail));
    wrong
        .chain(unexplained)
        .map(|(checker, promise, detail)| Violation { checker, promise, detail: detail.clone() })
        .collect()
}
