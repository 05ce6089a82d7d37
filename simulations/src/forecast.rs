//! A deployer's own workflows and schedules against a planned cluster, on virtual time: one master, all workers, the same
//! Dispatcher, Run, Task and Schedule actors, and stated durations in place of processes. Must not know how a forecast is
//! shown.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hortator_actors::pace::Pace;
use hortator_actors::seam::{LaunchNames, LaunchSpec};
use hortator_core::definition::{Definition, canonical};
use hortator_core::dispatch::NO_CLASS;
use hortator_core::id::{Name, RunId, WorkflowName};
use hortator_core::lease::{DEFAULT_TERMS, Leases};
use hortator_core::limit::MAX_MOST;
use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::{Command, Problem, Query, Request, Response, RunFilter, RunView, TaskRunView};
use hortator_raft::marks;
use serde_json::Value;
use tokio::time::sleep;

use crate::evidence::{LedgerLine, Mark};
use crate::faults::{Hit, Injector, heal};
use crate::forecast_chaos::ChaosSums;
use crate::forecast_config::ForecastConfig;
use crate::forecast_durations::{Learned, Sources, Takes};
use crate::lone::{Unheard, ask};
use crate::marks::Ear;
use crate::plan::Plan;
use crate::stub::{Act, Stub};
use crate::world::cast::{Cast, Play};
use crate::world::draw::Draw;
use crate::world::{Band, Shape, World, tell_unasked};

/// So long before, the cluster is new: a leader and all workers are there when the plan begins.
const WARM_UP: Span = Span::from_secs(3_600);
/// So long before, workflows are applied: what is due at the very beginning counts, and hardly anything before it.
const APPLY_AHEAD: Span = Span::from_secs(30);
/// Until a new cluster that looks at time seldom has a leader and its workers.
const PATIENCE: Duration = Duration::from_secs(900);
/// Between two looks whether the last run is over.
const END_LOOK: Duration = Duration::from_secs(60);
/// What is still open so long after the plan's end is told as open.
const END_MAX: Duration = Duration::from_secs(86_400);
const PAGE: u32 = 500;
/// Log entries kept: nobody else needs them.
const LOG_KEEP: u64 = 1_000;

/// What is planned.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// Each with its text.
    pub workflows: Vec<(String, Arc<Definition>)>,
    pub bands: Vec<Band>,
    pub from: Timestamp,
    pub lasts: Span,
    pub config: ForecastConfig,
    pub learned: Learned,
    /// Its faults, with their own times.
    pub chaos: Option<Plan>,
    /// A run is late whose first task starts so long after the run's time.
    pub late: Span,
    pub seed: u64,
}

/// What will be.
#[derive(Debug)]
pub struct Forecast {
    pub began: Timestamp,
    pub lasts: Span,
    /// In the order of their times.
    pub runs: Vec<RunStory>,
    /// Processes as they ran.
    pub ledger: Vec<LedgerLine>,
    pub bands: Vec<Band>,
    pub late: Span,
    pub sources: Sources,
    /// Without any, nothing.
    pub chaos: Option<ChaosSums>,
}

#[derive(Debug)]
pub struct RunStory {
    pub view: RunView,
    pub tasks: Vec<TaskRunView>,
    /// The worker group of each task.
    pub definition: Arc<Definition>,
}

/// Why there is no forecast.
#[derive(Debug, thiserror::Error)]
pub enum OutlookError {
    #[error("{workflow}: {problem}")]
    Refused { workflow: String, problem: Box<Problem> },
    #[error("workflow {workflow} wants worker group {group:?}, and no worker is planned for it")]
    NoWorkers { workflow: String, group: String },
    #[error("workflow {workflow}: no planned worker of group {group:?} can ever run task {task}: {lack}")]
    TooLittle { workflow: String, task: String, group: String, lack: String },
    #[error("something is said of workflow {workflow}, and none of that name is planned")]
    Stranger { workflow: String },
    #[error("workflow {workflow}: {what}")]
    Strange { workflow: String, what: String },
    #[error("the simulated cluster gives no answer: {0}")]
    Silent(String),
}

/// See the module. With chaos the same plan is made twice, once without it.
pub fn foresee(outlook: Outlook) -> Result<Forecast, OutlookError> {
    if let Some(workflow) = outlook.config.stranger(&outlook.workflows) {
        return Err(OutlookError::Stranger { workflow: workflow.to_owned() });
    }
    for (_, definition) in &outlook.workflows {
        can_run(&outlook.bands, definition)?;
        if let Some(what) = outlook.config.strange(definition) {
            return Err(OutlookError::Strange { workflow: definition.name.to_string(), what });
        }
    }
    let Some(plan) = outlook.chaos.clone() else { return play(outlook).map(|(forecast, _)| forecast) };
    let (calm, _) = play(Outlook { chaos: None, ..outlook.clone() })?;
    let (mut forecast, hits) = play(outlook)?;
    forecast.chaos = Some(ChaosSums::of(&plan.name, &hits, &forecast, &calm));
    Ok(forecast)
}

fn play(outlook: Outlook) -> Result<(Forecast, Vec<Hit>), OutlookError> {
    let cast = Durable::of(&outlook);
    let (quiet, sources) = (outlook.chaos.is_none(), cast.sources.clone());
    let shape = Shape {
        masters: 1,
        shards: 1,
        log_keep: LOG_KEEP,
        bands: outlook.bands.clone(),
        cast: Arc::new(cast),
        pace: if quiet { Pace::Quiet } else { Pace::Lazy },
        leases: if quiet { Leases::NotKept } else { Leases::Kept(DEFAULT_TERMS) },
        begins: Timestamp(outlook.from.0 - WARM_UP.0 as i64),
        ..Shape::default()
    };
    // Injectors ask it who leads; nothing that is rare happens on purpose.
    let ear = Ear::silent(outlook.seed);
    if outlook.chaos.is_some() {
        marks::listen(Box::new(ear.clone()));
    }
    let told = tell_unasked(outlook.seed, shape, move |world| story(world, outlook, ear, sources));
    marks::deafen();
    told
}

/// What could never run would wait without end, and with it the answer.
fn can_run(bands: &[Band], definition: &Definition) -> Result<(), OutlookError> {
    for task in &definition.tasks {
        let (workflow, group) = (definition.name.to_string(), task.group.to_string());
        let Some(band) = bands.iter().find(|band| band.group == task.group) else {
            return Err(OutlookError::NoWorkers { workflow, group });
        };
        if let Some(lack) = band.equipment.lacks(task, band.slots) {
            return Err(OutlookError::TooLittle { workflow, task: task.id.to_string(), group, lack });
        }
    }
    Ok(())
}

/// What the processes of planned tasks do.
#[derive(Debug)]
struct Durable {
    parts: BTreeMap<WorkflowName, BTreeMap<Name, Part>>,
    fails: u64,
    seed: u64,
    sources: Sources,
}

#[derive(Debug)]
struct Part {
    takes: Takes,
    stub: Option<Stub>,
    gives: BTreeMap<String, Value>,
}

impl Durable {
    fn of(outlook: &Outlook) -> Durable {
        let Outlook { config, learned, bands, seed, .. } = outlook;
        let class = |group: &Name| {
            let band = || bands.iter().find(|band| band.group == *group);
            let stated = config.classes.get(group).copied();
            stated.or_else(|| Some(band()?.profile(group.as_str()).class())).unwrap_or(NO_CLASS)
        };
        let (mut parts, mut sources) = (BTreeMap::new(), Sources::default());
        for (_, definition) in &outlook.workflows {
            let name = &definition.name;
            let takes = Takes::of(definition, config, learned, class, &mut sources);
            let part = |(task, takes): (Name, Takes)| {
                let (stub, gives) = (config.stub(name, &task).cloned(), config.gives(name, &task));
                (task, Part { takes, stub, gives })
            };
            parts.insert(name.clone(), takes.into_iter().map(part).collect());
        }
        Durable { parts, fails: config.fails, seed: *seed, sources }
    }

    fn part(&self, spec: &LaunchSpec) -> Option<&Part> {
        let LaunchNames { namespace, workflow, task, .. } = &spec.names;
        let name = WorkflowName { namespace: namespace.clone(), name: workflow.clone() };
        self.parts.get(&name)?.get(task)
    }
}

impl Cast for Durable {
    fn play(&self, spec: &LaunchSpec) -> Result<Play, String> {
        let names = &spec.names;
        let attempt = &spec.attempt;
        let part = self.part(spec).ok_or_else(|| format!("task {} is none of the plan", names.task))?;
        // By the run's time and not by its id, so that plans with other workers or with faults draw the same for it.
        let second = attempt.task_run.run.made_at().0 / 1_000_000;
        let (workflow, task, item) = (&names.workflow, &names.task, names.item);
        let stream = format!("{}/{workflow} {second} {task} {item:?} {}", names.namespace, attempt.attempt);
        let mut draw = Draw::of(self.seed, &stream);
        let usual = part.takes.draw(&mut draw);
        let act = match &part.stub {
            Some(stub) => stub.act(attempt.attempt),
            None if draw.chance(self.fails) => Act::FAILS,
            None => Act::USUAL,
        };
        Ok(Play { script: act.script(act.takes.unwrap_or(usual)), outputs: part.gives.clone() })
    }
}

async fn story(
    world: Rc<World>,
    outlook: Outlook,
    ear: Ear,
    sources: Sources,
) -> Result<(Forecast, Vec<Hit>), OutlookError> {
    until(&world, Timestamp(outlook.from.0 - APPLY_AHEAD.0 as i64)).await;
    for (source, definition) in &outlook.workflows {
        apply(&world, source, definition, &outlook.config).await?;
    }
    until(&world, outlook.from).await;
    // Later than asked for only where there is so much to apply.
    let began = world.wall().max(outlook.from);
    let hits: Rc<RefCell<Vec<Hit>>> = Rc::default();
    let injectors =
        outlook.chaos.iter().flat_map(|plan| plan.faults.iter().enumerate()).map(|(number, line)| {
            let injector =
                Injector::new(line.clone(), number, world.clone(), ear.clone(), hits.clone(), Rc::default());
            tokio::task::spawn_local(injector.run())
        });
    let injectors: Vec<_> = injectors.collect();
    sleep(outlook.lasts.as_duration()).await;
    injectors.iter().for_each(tokio::task::JoinHandle::abort);
    if outlook.chaos.is_some() {
        heal(&world);
    }
    let end = began.plus(outlook.lasts);
    let until = tokio::time::Instant::now() + END_MAX;
    loop {
        let open = list(&world, &["queued", "running", "cancelling"]).await?;
        if open.iter().all(|run| run.created_at >= end) || tokio::time::Instant::now() >= until {
            break;
        }
        sleep(END_LOOK).await;
    }
    let by_name: BTreeMap<String, &Arc<Definition>> =
        outlook.workflows.iter().map(|(_, definition)| (definition.name.to_string(), definition)).collect();
    let mut runs = Vec::new();
    for view in list(&world, &[]).await?.into_iter().filter(|view| (began..end).contains(&view.created_at)) {
        let name = format!("{}/{}", view.namespace, view.workflow);
        let Some(definition) = by_name.get(&name) else { continue };
        let tasks = tasks(&world, &view).await?;
        runs.push(RunStory { view, tasks, definition: Arc::clone(definition) });
    }
    runs.sort_by_key(|run| (run.view.created_at, run.view.id));
    // Schedules go on firing while the last planned runs end.
    let planned: BTreeSet<RunId> = runs.iter().map(|run| run.view.id).collect();
    let mut ledger = world.ledger().lines();
    ledger.retain(|line| planned.contains(&line.key.run));
    let hits = hits.take();
    let Outlook { lasts, bands, late, .. } = outlook;
    Ok((Forecast { began, lasts, runs, ledger, bands, late, sources, chaos: None }, hits))
}

async fn until(world: &World, time: Timestamp) {
    sleep(time.since(world.wall()).as_duration()).await;
}

async fn apply(
    world: &World,
    source: &str,
    definition: &Arc<Definition>,
    config: &ForecastConfig,
) -> Result<(), OutlookError> {
    let json = canonical::to_json(definition);
    let command = Command::Apply {
        name: definition.name.clone(),
        source: source.to_owned(),
        hash: canonical::hash_of_json(&json),
        canonical: String::from_utf8_lossy(&json).into_owned(),
        if_version: None,
        by: "plan".into(),
    };
    let workflow = definition.name.to_string();
    for name in definition.limits() {
        // Of what is not stated there is enough.
        let max = config.limit(&name).unwrap_or(MAX_MOST);
        let command = Command::SetLimit { name, max, by: "plan".into() };
        ask(world, PATIENCE, Request::Command(command)).await?;
    }
    ask(world, PATIENCE, Request::Command(command)).await.map(drop).map_err(|error| match error {
        Unheard::Refused(problem) => OutlookError::Refused { workflow, problem },
        Unheard::Silent(words) => OutlookError::Silent(words),
    })
}

impl From<Unheard> for OutlookError {
    fn from(unheard: Unheard) -> OutlookError {
        match unheard {
            Unheard::Refused(problem) => OutlookError::Silent(problem.to_string()),
            Unheard::Silent(words) => OutlookError::Silent(words),
        }
    }
}

/// Of all workflows at once: each question looks at every run that there ever was.
async fn list(world: &World, states: &[&str]) -> Result<Vec<RunView>, OutlookError> {
    let mut all: Vec<RunView> = Vec::new();
    loop {
        let filter =
            RunFilter { states: states.iter().map(ToString::to_string).collect(), ..RunFilter::default() };
        let before = all.last().map(|view| view.id);
        match ask(world, PATIENCE, Request::Query(Query::Runs { filter, before, limit: PAGE })).await? {
            Response::Runs(page) => {
                let full = page.len() == PAGE as usize;
                all.extend(page);
                if !full {
                    return Ok(all);
                }
            }
            other => return Err(OutlookError::Silent(format!("{other:?}"))),
        }
    }
}

async fn tasks(world: &World, run: &RunView) -> Result<Vec<TaskRunView>, OutlookError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let query = Query::TaskRuns { run: run.id, states: Vec::new(), after, limit: PAGE };
        match ask(world, PATIENCE, Request::Query(query)).await? {
            Response::TaskRuns { tasks, next, .. } => {
                all.extend(tasks);
                match next {
                    Some(next) => after = Some(next),
                    None => return Ok(all),
                }
            }
            other => return Err(OutlookError::Silent(format!("{other:?}"))),
        }
    }
}

impl RunStory {
    pub fn first_start(&self) -> Option<Timestamp> {
        self.tasks.iter().filter_map(|task| task.started_at).min()
    }
}

impl Forecast {
    /// When each process ran, with its worker.
    pub fn processes(&self) -> Vec<(String, Timestamp, Timestamp)> {
        let mut open = BTreeMap::new();
        let mut done = Vec::new();
        for line in &self.ledger {
            let key = (&line.key, line.attempt);
            match line.mark {
                Mark::Start => drop(open.insert(key, (line.worker.clone(), line.at))),
                Mark::Beat | Mark::End => {
                    if let Some((worker, start)) = open.remove(&key) {
                        done.push((worker, start, line.at));
                    }
                }
            }
        }
        done
    }
}
