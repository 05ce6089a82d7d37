//! Where a story's faults and errands come from: a plan that draws them, or a run that was resolved; and where a plan wants to
//! go. Must not know how its end is judged.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use hortator_core::time::Timestamp;
use serde::Serialize;

use crate::faults::{self, Dues, FaultLine, Hit, Injector};
use crate::marks::Ear;
use crate::plan::{Cluster, Judge, Origin, Plan};
use crate::resolved::{Resolved, Written};
use crate::run::Stage;
use crate::workload::{Known, Workload, draw_flows};
use crate::world::World;
use crate::world::weather::{FAIR, Weather};

/// Where faults and errands come from.
pub(crate) enum Course {
    Plan(Box<Plan>),
    Resolved(Box<Resolved>),
}

/// Where a plan wants to go: marks that it must pass or must not, and faults that must hit.
pub(crate) struct Goals {
    expects: Vec<String>,
    never: Vec<String>,
    faults: Vec<FaultLine>,
}

impl Goals {
    pub(crate) fn of(plan: &Plan) -> Goals {
        let faults = match plan.origin {
            Origin::Swarm => Vec::new(),
            Origin::Scenario => plan.faults.clone(),
        };
        Goals { expects: plan.expects.clone(), never: plan.never.clone(), faults }
    }

    /// `passed`: marks; `hit`: lines that have hit somebody.
    pub(crate) fn seen_from(self, passed: &BTreeMap<String, u64>, hit: &BTreeSet<usize>) -> Aside {
        let lines = self.faults.iter().enumerate().filter(|(number, _)| !hit.contains(number));
        let idle = lines.map(|(number, line)| {
            format!("fault {} of it, {:?} of {:?}, never happened", number + 1, line.fault, line.who)
        });
        let missed = self.expects.iter().filter(|name| !passed.contains_key(*name));
        let missed = missed.map(|name| format!("the mark {name:?} was never passed"));
        let strayed = self.never.iter().filter(|name| passed.contains_key(*name));
        let strayed = strayed.map(|name| format!("the mark {name:?} was passed"));
        Aside { missed: idle.chain(missed).collect(), strayed: strayed.collect() }
    }
}

/// What is wrong with a scenario, or with this seed for it, and not with the cluster: sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Aside {
    /// Where it says that it goes, and did not: another seed may.
    pub missed: BTreeSet<String>,
    /// Where it says that it never goes, and did.
    pub strayed: BTreeSet<String>,
}

impl Aside {
    /// Of many seeds: missed is what all of them have missed.
    pub fn of_all<'a>(seeds: impl IntoIterator<Item = &'a Aside>) -> Aside {
        let mut seeds = seeds.into_iter();
        let first = seeds.next().cloned().unwrap_or_default();
        seeds.fold(first, |mut all, seed| {
            all.missed.retain(|sentence| seed.missed.contains(sentence));
            all.strayed.extend(seed.strayed.iter().cloned());
            all
        })
    }

    pub fn is_empty(&self) -> bool {
        self.missed.is_empty() && self.strayed.is_empty()
    }

    pub fn sentences(&self) -> impl Iterator<Item = &str> {
        self.missed.iter().chain(&self.strayed).map(String::as_str)
    }
}

impl Course {
    pub(crate) fn cluster(&self) -> Cluster {
        match self {
            Course::Plan(plan) => plan.cluster,
            Course::Resolved(resolved) => resolved.cluster,
        }
    }

    pub(crate) fn judge(&self) -> Judge {
        match self {
            Course::Plan(plan) => plan.judge,
            Course::Resolved(resolved) => resolved.judge,
        }
    }

    pub(crate) fn begins(&self) -> Timestamp {
        match self {
            Course::Plan(plan) => plan.begins,
            Course::Resolved(resolved) => resolved.begins,
        }
    }

    /// `seed`: of the workflows.
    pub(crate) fn workload(&self, world: &Rc<World>, seed: u64, stage: Stage, known: Known) -> Workload {
        match (self, stage) {
            (Course::Plan(plan), Stage::New) => Workload::start(world, &plan.habits),
            (Course::Plan(plan), Stage::GoesOn) => {
                let flows = draw_flows(seed, &plan.habits, plan.begins);
                Workload::go_on(world, flows, &plan.habits, known)
            }
            (Course::Resolved(run), _) => Workload::repeat(world, run.flows(), &run.errands, run.patience),
        }
    }

    /// A task for each line of faults.
    pub(crate) fn injectors(
        &self,
        world: &Rc<World>,
        ear: &Ear,
        hits: &Rc<RefCell<Vec<Hit>>>,
        dues: &Dues,
    ) -> Vec<tokio::task::JoinHandle<()>> {
        match self {
            Course::Plan(plan) => {
                let lines = plan.faults.iter().enumerate().map(|(number, line)| {
                    let (world, ear, hits, dues) = (world.clone(), ear.clone(), hits.clone(), dues.clone());
                    let injector = Injector::new(line.clone(), number, world, ear, hits, dues);
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

    pub(crate) fn resolve(&self, seed: u64, workload: &Workload, hits: Vec<Hit>) -> Resolved {
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
                judge: plan.judge,
                cluster: plan.cluster,
                hits,
                errands,
                workflows,
            },
        }
    }

    pub(crate) fn weather(&self) -> Weather {
        let (astray, dropped) = match self {
            Course::Plan(plan) => (plan.astray, plan.dropped),
            Course::Resolved(run) => (run.astray, run.dropped),
        };
        Weather { astray, dropped, ..FAIR }
    }

    pub(crate) fn name(&self) -> String {
        match self {
            Course::Plan(plan) => plan.name.clone(),
            Course::Resolved(run) => run.name.clone(),
        }
    }

    pub(crate) fn lasts(&self) -> Duration {
        match self {
            Course::Plan(plan) => plan.lasts.as_duration(),
            Course::Resolved(run) => run.lasts.as_duration(),
        }
    }
}
