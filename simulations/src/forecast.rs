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
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::evidence::{LedgerLine, Mark};
use crate::faults::{Injector, heal};
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

/// How long tasks take, as stated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Durations {
    /// Of tasks of which nothing else is said; each attempt draws its own.
    #[serde(with = "crate::words::spans")]
    pub task: [Span; 2],
    /// Attempts in a million that fail.
    #[serde(with = "crate::words::share")]
    pub fails: u64,
    /// By workflow and task.
    pub tasks: BTreeMap<String, BTreeMap<String, Stated>>,
}

impl Default for Durations {
    fn default() -> Durations {
        Durations { task: [Span::from_secs(30), Span::from_secs(120)], fails: 0, tasks: BTreeMap::new() }
    }
}

/// `"5m"` or `["5m", "20m"]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Stated {
    Always(#[serde(with = "crate::words::span")] Span),
    Between(#[serde(with = "crate::words::spans")] [Span; 2]),
}

impl Durations {
    pub fn parse(text: &str) -> Result<Durations, String> {
        toml::from_str(text).map_err(|error| crate::scenarios::advice(&error))
    }

    fn of(&self, workflow: &str, task: &str) -> [Span; 2] {
        match self.tasks.get(workflow).and_then(|tasks| tasks.get(task)) {
            Some(Stated::Always(span)) => [*span, *span],
            Some(Stated::Between(range)) => *range,
            None => self.task,
        }
    }
}

/// What is planned.
#[derive(Debug)]
pub struct Outlook {
    /// Each with its text.
    pub workflows: Vec<(String, Arc<Definition>)>,
    pub bands: Vec<Band>,
    pub lasts: Span,
    pub durations: Durations,
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
    #[error("the simulated cluster gives no answer: {0}")]
    Silent(String),
}

/// See the module.
pub fn foresee(outlook: Outlook) -> Result<Forecast, OutlookError> {
    for (_, definition) in &outlook.workflows {
        let planned = |group| outlook.bands.iter().any(|band| band.group == group);
        if let Some(task) = definition.tasks.iter().find(|task| !planned(task.group.clone())) {
            let (workflow, group) = (definition.name.to_string(), task.group.to_string());
            return Err(OutlookError::NoWorkers { workflow, group });
        }
    }
    let cast = Durable { durations: outlook.durations.clone(), seed: outlook.seed };
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

#[derive(Debug)]
struct Durable {
    durations: Durations,
    seed: u64,
}

impl Cast for Durable {
    fn play(&self, spec: &LaunchSpec) -> Result<Play, String> {
        let names = &spec.names;
        let attempt = &spec.attempt;
        let stream = format!("{} {} {:?} {}", attempt.task_run.run, names.task, names.item, attempt.attempt);
        let mut draw = Draw::of(self.seed, &stream);
        let [least, most] = self.durations.of(names.workflow.as_str(), names.task.as_str());
        let millis = draw.between([least.0, most.0]) / 1_000;
        let script = match draw.chance(self.durations.fails) {
            true => Script::Fail { millis },
            false => Script::Run { millis },
        };
        Ok(Play { script, outputs: BTreeMap::new() })
    }
}

async fn story(world: Rc<World>, outlook: Outlook, ear: Ear) -> Result<Forecast, OutlookError> {
    for (source, definition) in &outlook.workflows {
        apply(&world, source, definition).await?;
    }
    let began = world.wall();
    let injectors =
        outlook.chaos.iter().flat_map(|plan| plan.faults.iter().enumerate()).map(|(number, line)| {
            let injector = Injector::new(line.clone(), number, world.clone(), ear.clone(), Rc::default());
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

async fn apply(world: &World, source: &str, definition: &Arc<Definition>) -> Result<(), OutlookError> {
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
    // How much the cluster has of them is not known here.
    let limits = definition.limits().into_iter();
    let limits = limits.map(|name| Command::SetLimit { name, max: MAX_MOST, by: "plan".into() });
    for command in limits {
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
