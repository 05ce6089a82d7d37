//! A deployer's own workflows and schedules against a planned cluster, on virtual time: one master, all workers, the same
//! Dispatcher, Run, Task and Schedule actors, and stated durations in place of processes. Must not know how a forecast is
//! shown.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hortator_actors::pace::Pace;
use hortator_actors::seam::LaunchSpec;
use hortator_core::definition::{Definition, canonical};
use hortator_core::id::RunId;
use hortator_core::lease::{DEFAULT_TERMS, Leases};
use hortator_core::limit::MAX_MOST;
use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::{Command, Problem, Query, Request, Response, RunFilter, RunView, TaskRunView};
use hortator_raft::marks;
use tokio::time::sleep;

use crate::evidence::{LedgerLine, Mark};
use crate::faults::{Injector, heal};
use crate::forecast_config::ForecastConfig;
use crate::lone::{Unheard, ask};
use crate::marks::Ear;
use crate::plan::Plan;
use crate::world::cast::{Cast, Play};
use crate::world::draw::Draw;
use crate::world::host::Script;
use crate::world::{Band, Shape, World, tell_unasked};

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
#[derive(Debug)]
pub struct Outlook {
    /// Each with its text.
    pub workflows: Vec<(String, Arc<Definition>)>,
    pub bands: Vec<Band>,
    pub lasts: Span,
    pub config: ForecastConfig,
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
    #[error("the simulated cluster gives no answer: {0}")]
    Silent(String),
}

/// See the module.
pub fn foresee(outlook: Outlook) -> Result<Forecast, OutlookError> {
    outlook.workflows.iter().try_for_each(|(_, definition)| can_run(&outlook.bands, definition))?;
    let cast = Durable { config: outlook.config.clone(), seed: outlook.seed };
    let quiet = outlook.chaos.is_none();
    let shape = Shape {
        masters: 1,
        shards: 1,
        log_keep: LOG_KEEP,
        bands: outlook.bands.clone(),
        cast: Arc::new(cast),
        pace: if quiet { Pace::Quiet } else { Pace::Lazy },
        leases: if quiet { Leases::NotKept } else { Leases::Kept(DEFAULT_TERMS) },
        ..Shape::default()
    };
    // Injectors ask it who leads; nothing that is rare happens on purpose.
    let ear = Ear::silent(outlook.seed);
    if outlook.chaos.is_some() {
        marks::listen(Box::new(ear.clone()));
    }
    let told = tell_unasked(outlook.seed, shape, move |world| story(world, outlook, ear));
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

#[derive(Debug)]
struct Durable {
    config: ForecastConfig,
    seed: u64,
}

impl Cast for Durable {
    fn play(&self, spec: &LaunchSpec) -> Result<Play, String> {
        let names = &spec.names;
        let attempt = &spec.attempt;
        let stream = format!("{} {} {:?} {}", attempt.task_run.run, names.task, names.item, attempt.attempt);
        let mut draw = Draw::of(self.seed, &stream);
        let [least, most] = self.config.takes(names.workflow.as_str(), names.task.as_str());
        let millis = draw.between([least.0, most.0]) / 1_000;
        let script = match draw.chance(self.config.fails) {
            true => Script::Fail { millis },
            false => Script::Run { millis },
        };
        Ok(Play { script, outputs: BTreeMap::new() })
    }
}

async fn story(world: Rc<World>, outlook: Outlook, ear: Ear) -> Result<Forecast, OutlookError> {
    for (source, definition) in &outlook.workflows {
        apply(&world, source, definition, &outlook.config).await?;
    }
    let began = world.wall();
    let injectors =
        outlook.chaos.iter().flat_map(|plan| plan.faults.iter().enumerate()).map(|(number, line)| {
            let injector =
                Injector::new(line.clone(), number, world.clone(), ear.clone(), Rc::default(), Rc::default());
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
    for view in list(&world, &[]).await?.into_iter().filter(|view| view.created_at < end) {
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
    Ok(Forecast { began, lasts: outlook.lasts, runs, ledger, bands: outlook.bands, late: outlook.late })
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
