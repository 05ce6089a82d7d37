//! One simulated run from its plan and seed to its verdict: safety under faults, then everything is healed and must come
//! to an end. The same run can be played once more from what it resolved to.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use hortator_actors::mutant::Mutant;
use hortator_actors::{placing, waiting};
use hortator_core::lease::{DEFAULT_TERMS, Leases};
use hortator_raft::marks;
use serde::Serialize;

use crate::census::{self, Census};
use crate::checkers::{LIVENESS, SAFETY, UNDISTURBED, Violation, judge};
pub use crate::course::Aside;
use crate::course::{Course, Goals};
use crate::evidence::{Evidence, Start};
use crate::faults::{self, Dues, Fault, Hit, heal};
use crate::haul::haul;
use crate::marks::Ear;
use crate::ownership;
use crate::past::Past;
use crate::plan::{Judge, Plan};
use crate::priorities::Priorities;
use crate::reasons::Reasons;
use crate::replicas;
use crate::reservations::Reservations;
use crate::resolved::Resolved;
use crate::schedules;
use crate::settled;
use crate::witness::Witness;
use crate::workload::{Habits, Told, Workload};
use crate::world::image::Image;
use crate::world::net::Counts;
use crate::world::trace::Digest;
use crate::world::{Shape, World, tell_on};

/// Clients see the end of what they watch, or let go.
const CLIENTS_MAX: Duration = Duration::from_secs(60);

/// Between all that is judged and the cut of the power, in microseconds.
const EVE: [u64; 2] = [10_000_000, 40_000_000];
/// Between two errands then: many are under way when the power goes.
const BUSY: [u64; 2] = [100_000, 3_000_000];
/// How long the power is off, in microseconds: also for longer than leases last.
const DARK: [u64; 2] = [100_000, 100_000_000];
const PROVES: &str = "a run that proves nothing is no pass";

/// What to simulate.
#[derive(Clone, Debug)]
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
    /// That were played.
    pub segments: u64,
    pub violations: Vec<Violation>,
    pub aside: Aside,
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
    /// Whether no promise is broken.
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

/// Everything that happens from a plan and a seed. `reader`: where the trace goes as text.
pub fn simulate(order: Order, reader: Option<Box<dyn Write + Send>>) -> Verdict {
    match order.plan.segments {
        1 => play(order, Audience { reader, witness: None }).0,
        _ => haul(order, reader, &mut |_| {}),
    }
}

/// The same, with what the plan resolved to; of a plan with several segments the first.
pub fn play(order: Order, audience: Audience) -> (Verdict, Resolved) {
    let Order { plan, seed, mutant } = order;
    let goals = Goals::of(&plan);
    let begin = Begin::first(seed, plan.cluster.masters);
    let Played { mut verdict, mut resolved, hit, .. } =
        stage(Course::Plan(Box::new(plan)), seed, mutant, audience, begin, Then::End);
    verdict.aside = goals.seen_from(&verdict.marks, &hit);
    resolved.broke(&verdict.violations);
    (verdict, resolved)
}

/// A run that was resolved before. What it resolved to this time differs where a client came too late for an errand.
pub fn replay(resolved: Resolved, mutant: Mutant, audience: Audience) -> (Verdict, Resolved) {
    let seed = resolved.seed;
    let begin = Begin::first(seed, resolved.cluster.masters);
    let course = Course::Resolved(Box::new(resolved));
    let Played { verdict, resolved, .. } = stage(course, seed, mutant, audience, begin, Then::End);
    (verdict, resolved)
}

/// One segment of a plan: what it goes on from, and what comes after it.
pub(crate) fn play_segment(
    order: &Order,
    begin: Begin,
    reader: Option<Box<dyn Write + Send>>,
    then: Then,
) -> Played {
    let course = Course::Plan(Box::new(order.plan.clone()));
    stage(course, order.seed, order.mutant, Audience { reader, witness: None }, begin, then)
}

/// What a story goes on from.
#[derive(Debug)]
pub(crate) struct Begin {
    /// Of what is drawn in it; what all segments share is drawn from the order's.
    pub seed: u64,
    pub stage: Stage,
    pub image: Image,
    pub past: Past,
}

/// Whether anybody has been there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    New,
    GoesOn,
}

impl Begin {
    /// A cluster that has never run.
    pub(crate) fn first(seed: u64, masters: u64) -> Begin {
        Begin { seed, stage: Stage::New, image: Image::first(masters), past: Past::default() }
    }
}

/// What follows when all is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    End,
    /// Work goes on, and in the midst of it all hosts lose their power.
    Cut,
}

/// What came of a story.
pub(crate) struct Played {
    pub verdict: Verdict,
    pub resolved: Resolved,
    /// Lines of its plan that have hit somebody.
    pub hit: BTreeSet<usize>,
    /// What another can go on from; after an end that is a world where nothing runs.
    pub image: Image,
    pub past: Past,
}

fn stage(course: Course, seed: u64, mutant: Mutant, audience: Audience, begin: Begin, then: Then) -> Played {
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
        equipment: cluster.equipment(),
        ..Shape::default()
    };
    let Audience { reader, witness } = audience;
    let Begin { seed: drawn_from, stage, image, mut past } = begin;
    let ear = Ear::remembering(std::mem::take(&mut past.heard), drawn_from, witness.clone());
    marks::listen(Box::new(ear.clone()));
    let priorities = Priorities::default();
    let reservations = Reservations::new(ear.clone());
    placing::listen(Box::new((priorities.clone(), reservations.clone())));
    let reasons = Reasons::default();
    waiting::listen(Box::new(reasons.clone()));
    let heard = ear.clone();
    let (mut played, trace) = tell_on(drawn_from, shape, image, reader, move |world| {
        if let Some(witness) = witness {
            world.trace().listen(witness);
        }
        let scene = Scene { course, seed, stage, ear: heard };
        scene.story(world, past, then)
    });
    marks::deafen();
    placing::deafen();
    waiting::deafen();
    let Played { verdict, resolved, .. } = &mut played;
    (verdict.trace, verdict.marks) = (trace, ear.passed());
    let others = [priorities.violations(), reservations.violations(), reasons.violations()];
    verdict.violations.extend(ear.violations().into_iter().chain(others.into_iter().flatten()));
    resolved.mutant = (mutant != Mutant::None).then(|| mutant.name().to_owned());
    resolved.broke(&verdict.violations);
    played
}

/// What a story is about.
struct Scene {
    course: Course,
    /// Of the order.
    seed: u64,
    stage: Stage,
    ear: Ear,
}

impl Scene {
    async fn story(self, world: Rc<World>, mut past: Past, then: Then) -> Played {
        let Scene { course, ear, .. } = &self;
        world.net().set_weather(course.weather());
        let workload = course.workload(&world, self.seed, self.stage, std::mem::take(&mut past.known));
        let hits = Rc::<RefCell<Vec<Hit>>>::default();
        let dues: Dues = Rc::new(RefCell::new(std::mem::take(&mut past.dues)));
        let injectors = course.injectors(&world, ear, &hits, &dues);
        tokio::time::sleep(course.lasts()).await;
        for injector in injectors {
            injector.abort();
            if let Err(error) = injector.await {
                assert!(!error.is_panic(), "an injector panicked: {error}");
            }
        }
        past.dues = dues.take();
        heal(&world);
        ear.calm_down();
        faults::take_back(&world, &hits.borrow());
        let unsettled = faults::settle(&world).await;
        workload.finish(CLIENTS_MAX).await;
        let unkept = settled::compare(&world, &workload).await;
        let looked = schedules::quiet(&world, &workload).await;
        let Census { evidence, violations } =
            census::take(&world, &workload, looked, &ear.losers(), &past).await;
        let mut violations = self.judge(&world, &workload, &evidence, violations, unsettled);
        violations.extend(unkept);
        let hits = hits.take();
        let verdict = self.verdict(&world, &workload, &evidence, &past, &hits);
        let resolved = course.resolve(self.seed, &workload, hits.clone());
        let image = match then {
            Then::End => Image::default(),
            Then::Cut => {
                let (image, wrong) = eve(&world, course, &workload, &evidence, &mut past, ear).await;
                violations.extend(wrong);
                image
            }
        };
        violations.extend(surprises(&world));
        let hit = hits.iter().filter(|hit| !hit.who.is_empty()).map(|hit| hit.line).collect();
        Played { verdict: Verdict { violations, ..verdict }, resolved, hit, image, past }
    }

    fn judge(
        &self,
        world: &Rc<World>,
        workload: &Workload,
        evidence: &Evidence,
        late: Vec<Violation>,
        unsettled: Vec<Violation>,
    ) -> Vec<Violation> {
        let ear = &self.ear;
        // Of a cluster that tells nothing only that can be said.
        let tells = late.iter().all(|violation| violation.checker != "harness");
        let undisturbed = Some(&UNDISTURBED).filter(|_| self.course.judge() == Judge::Undisturbed);
        let checkers = SAFETY.iter().chain(LIVENESS).chain(undisturbed).filter(|_| tells);
        let mut violations = judge(checkers, evidence);
        violations.extend(late);
        violations.extend(replicas::compare(world, ear));
        violations.extend(ownership::take(world));
        violations.extend(ear.left_open());
        violations.extend(unsettled);
        violations.extend(ear.in_joint().into_iter().map(|group| Violation {
            checker: "L7",
            promise: faults::STEPS_END,
            detail: format!("group {group} has not left a joint configuration"),
        }));
        violations.extend(told_wrong(&workload.told()));
        violations
    }

    fn verdict(
        &self,
        world: &World,
        workload: &Workload,
        evidence: &Evidence,
        past: &Past,
        hits: &[Hit],
    ) -> Verdict {
        let mut faults = BTreeMap::new();
        hits.iter().for_each(|hit| *faults.entry(hit.fault).or_default() += 1);
        let (cluster, told) = (self.course.cluster(), workload.told());
        Verdict {
            plan: self.course.name(),
            seed: self.seed,
            segments: 1,
            violations: Vec::new(),
            aside: Aside::default(),
            trace: Digest { lines: 0, hash: 0 },
            seconds: world.now() as f64 / 1e6,
            masters: cluster.masters,
            workers: cluster.workers,
            shards: cluster.shards,
            faults,
            runs_acknowledged: told.starts.values().filter(|start| **start != Start::Unknown).count(),
            runs: past.count_runs(evidence),
            attempts: past.count_attempts(evidence),
            calls: told.calls,
            wires: world.net().counts(),
            marks: BTreeMap::new(),
        }
    }
}

/// Everything was well; now schedules and clients go on, and in the midst of that the power goes. What has begun by then ends
/// in the next segment.
async fn eve(
    world: &Rc<World>,
    course: &Course,
    workload: &Workload,
    evidence: &Evidence,
    past: &mut Past,
    ear: &Ear,
) -> (Image, Option<Violation>) {
    let log_keep = course.cluster().log_keep;
    past.heard = ear.take_memory();
    past.settle(evidence, world.ledger(), &mut workload.told_mut(), log_keep);
    ear.give_memory(std::mem::take(&mut past.heard));
    let roused = schedules::rouse(world, workload).await;
    if let Course::Plan(plan) = course {
        workload.resume(world, &Habits { pause: BUSY, ..plan.habits });
    }
    let lasts = world.draw("eve").between(EVE);
    tokio::time::sleep(Duration::from_micros(lasts)).await;
    let begun = census::begun(world);
    let mut image = world.cut_power();
    let begun = [std::mem::take(&mut past.begun), begun].concat();
    past.begun = past.open(begun);
    past.known = workload.known();
    past.heard = ear.take_memory();
    // The power is off for a while.
    image.at = (image.at + world.draw("dark").log_between(DARK)).next_multiple_of(1_000);
    let wrong = roused.err().map(|detail| Violation { checker: "harness", promise: PROVES, detail });
    (image, wrong)
}

fn surprises(world: &World) -> Vec<Violation> {
    let surprises = world.surprises().into_iter().map(|surprise| Violation {
        checker: "P6",
        promise: "a node never ends by itself",
        detail: format!("{} at {:.6}: {}", surprise.who, surprise.at as f64 / 1e6, surprise.why),
    });
    surprises.collect()
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
