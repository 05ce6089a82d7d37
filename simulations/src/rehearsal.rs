//! A user's own workflow on virtual time: one master, a worker for each group that it asks for, and stubs in place of its
//! processes. Conditions, retries, timeouts and inputs are those of production, since the same actors decide them. Must
//! not know how a result is shown.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hortator_actors::seam::LaunchSpec;
use hortator_core::definition::{Definition, PlaceWish, Suggestions, canonical};
use hortator_core::id::{Name, RunId};
use hortator_core::limit::MAX_MOST;
use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::{Command, Problem, Query, Request, Response, RunView, TaskRunView};
use serde::{Serialize, Serializer};
use serde_json::Value;
use tokio::time::sleep;

use crate::evidence::{LedgerLine, Mark};
use crate::lone::{Unheard, ask};
use crate::stub::{Act, Stub};
use crate::world::cast::{Cast, Play};
use crate::world::equipment::Equipment;
use crate::world::{Band, Shape, World, tell};

/// What a task takes of which no stub says it.
const USUAL: Span = Span::from_secs(1);
/// Of each worker: whatever could run at a time does.
const SLOTS: u32 = 100_000;
/// Until a new cluster answers.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the run: short at first, longer when it takes long.
const LOOK: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(5)];
const PAGE: u32 = 1_000;

/// What is rehearsed.
#[derive(Clone, Debug)]
pub struct Rehearsal {
    pub source: String,
    pub definition: Arc<Definition>,
    pub inputs: BTreeMap<String, Value>,
    /// By task.
    pub stubs: BTreeMap<String, Stub>,
    /// What tasks leave when they succeed, by task and name.
    pub outputs: BTreeMap<String, BTreeMap<String, Value>>,
    pub seed: u64,
    /// It is no longer waited for then.
    pub within: Span,
}

/// What came of it; times are since the run was created, in JSON as seconds.
#[derive(Clone, Debug, Serialize)]
pub struct Rehearsed {
    pub workflow: String,
    pub state: String,
    #[serde(rename = "took_s", serialize_with = "seconds")]
    pub took: Span,
    pub reason: Option<String>,
    pub tasks: Vec<TaskStory>,
}

#[derive(Clone, Debug, Serialize)]
pub struct TaskStory {
    pub task: String,
    pub item: Option<u32>,
    pub state: String,
    #[serde(rename = "ready_s", serialize_with = "seconds_if")]
    pub ready: Option<Span>,
    #[serde(rename = "start_s", serialize_with = "seconds_if")]
    pub start: Option<Span>,
    #[serde(rename = "end_s", serialize_with = "seconds_if")]
    pub end: Option<Span>,
    /// When each attempt's process ran.
    pub attempts: Vec<Attempt>,
    pub exit_code: Option<i32>,
    pub error: Option<String>,
    /// Why it waits, when it does.
    pub reason: Option<String>,
    pub outputs: BTreeMap<String, Value>,
}

#[derive(Clone, Copy, Debug, Serialize)]
pub struct Attempt {
    #[serde(rename = "start_s", serialize_with = "seconds")]
    pub start: Span,
    /// None while it runs.
    #[serde(rename = "end_s", serialize_with = "seconds_if")]
    pub end: Option<Span>,
}

fn seconds<S: Serializer>(span: &Span, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(span.0 as f64 / 1e6)
}

fn seconds_if<S: Serializer>(span: &Option<Span>, serializer: S) -> Result<S::Ok, S::Error> {
    span.map(|span| span.0 as f64 / 1e6).serialize(serializer)
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    #[error("a stub is for task {task:?}, and the workflow has none of that name{help}")]
    Task { task: String, help: String },
    #[error("{0}")]
    Refused(Box<Problem>),
    #[error("the simulated cluster gives no answer: {0}")]
    Silent(String),
}

impl From<Unheard> for RehearsalError {
    fn from(unheard: Unheard) -> RehearsalError {
        match unheard {
            Unheard::Refused(problem) => RehearsalError::Refused(problem),
            Unheard::Silent(words) => RehearsalError::Silent(words),
        }
    }
}

/// See the module.
pub fn rehearse(rehearsal: Rehearsal) -> Result<Rehearsed, RehearsalError> {
    for task in rehearsal.stubs.keys().chain(rehearsal.outputs.keys()) {
        if rehearsal.definition.task(task).is_none() {
            let known = rehearsal.definition.tasks.iter().map(|task| task.id.as_str());
            let meant = Suggestions::new().nearest(task, known);
            let help = meant.map(|meant| format!("; did you mean {meant:?}?")).unwrap_or_default();
            return Err(RehearsalError::Task { task: task.clone(), help });
        }
    }
    let rehearsal = Rehearsal { definition: placed_anywhere(&rehearsal.definition), ..rehearsal };
    let mut groups: Vec<Name> = rehearsal.definition.tasks.iter().map(|task| task.group.clone()).collect();
    groups.sort();
    groups.dedup();
    let bands = groups
        .into_iter()
        .map(|group| Band { group, workers: 1, slots: SLOTS, equipment: Equipment::default() })
        .collect();
    let cast = Stubbed { stubs: rehearsal.stubs.clone(), outputs: rehearsal.outputs.clone() };
    let shape = Shape { masters: 1, shards: 1, bands, cast: Arc::new(cast), ..Shape::default() };
    tell(rehearsal.seed, shape, None, move |world| story(world, rehearsal)).0
}

/// Where tasks find their resources and labels is not rehearsed: nobody says what the cluster's workers have.
fn placed_anywhere(definition: &Definition) -> Arc<Definition> {
    let mut definition = definition.clone();
    for task in &mut definition.tasks {
        task.resources.clear();
        task.place = PlaceWish::default();
    }
    Arc::new(definition)
}

#[derive(Debug)]
struct Stubbed {
    stubs: BTreeMap<String, Stub>,
    outputs: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Cast for Stubbed {
    fn play(&self, spec: &LaunchSpec) -> Result<Play, String> {
        let task = spec.names.task.as_str();
        let act = self.stubs.get(task).map_or(Act::USUAL, |stub| stub.act(spec.attempt.attempt));
        let script = act.script(act.takes.unwrap_or(USUAL));
        Ok(Play { script, outputs: self.outputs.get(task).cloned().unwrap_or_default() })
    }
}

async fn story(world: Rc<World>, rehearsal: Rehearsal) -> Result<Rehearsed, RehearsalError> {
    let name = rehearsal.definition.name.clone();
    let json = canonical::to_json(&rehearsal.definition);
    let apply = Command::Apply {
        name: name.clone(),
        source: rehearsal.source,
        hash: canonical::hash_of_json(&json),
        canonical: String::from_utf8_lossy(&json).into_owned(),
        if_version: None,
        by: "you".into(),
    };
    ask(&world, PATIENCE, Request::Command(apply)).await?;
    // How much the cluster has of them is not known here; the run is alone.
    for name in rehearsal.definition.limits() {
        let command = Command::SetLimit { name, max: MAX_MOST, by: "you".into() };
        ask(&world, PATIENCE, Request::Command(command)).await?;
    }
    let start = Command::Start {
        workflow: name.clone(),
        version: None,
        inputs: rehearsal.inputs,
        priority: None,
        key: Some("rehearsal".into()),
        by: "you".into(),
    };
    let run = match ask(&world, PATIENCE, Request::Command(start)).await? {
        Response::Started { run, .. } => run,
        other => return Err(RehearsalError::Silent(format!("{other:?}"))),
    };
    let view = watch(&world, run, rehearsal.within).await?;
    let tasks = tasks(&world, run).await?;
    let ledger = world.ledger().lines();
    let end = view.finished_at.unwrap_or(Timestamp(view.created_at.0).plus(rehearsal.within));
    Ok(Rehearsed {
        workflow: name.to_string(),
        state: view.state.clone(),
        took: end.since(view.created_at),
        reason: view.reason.clone(),
        tasks: tasks.into_iter().map(|task| told(task, &ledger, view.created_at)).collect(),
    })
}

async fn watch(world: &World, run: RunId, within: Span) -> Result<RunView, RehearsalError> {
    let until = world.now() + within.0;
    let mut pause = LOOK[0];
    loop {
        match ask(world, PATIENCE, Request::Query(Query::Run { run })).await? {
            Response::Run(view) if view.finished_at.is_some() || world.now() >= until => return Ok(*view),
            Response::Run(_) => {}
            other => return Err(RehearsalError::Silent(format!("{other:?}"))),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LOOK[1]);
    }
}

async fn tasks(world: &World, run: RunId) -> Result<Vec<TaskRunView>, RehearsalError> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let query = Query::TaskRuns { run, states: Vec::new(), after, limit: PAGE };
        match ask(world, PATIENCE, Request::Query(query)).await? {
            Response::TaskRuns { tasks, next, .. } => {
                all.extend(tasks);
                match next {
                    Some(next) => after = Some(next),
                    None => return Ok(all),
                }
            }
            other => return Err(RehearsalError::Silent(format!("{other:?}"))),
        }
    }
}

fn told(task: TaskRunView, ledger: &[LedgerLine], began: Timestamp) -> TaskStory {
    let since = |time: Option<Timestamp>| time.map(|time| time.since(began));
    let mut attempts: BTreeMap<u16, Attempt> = BTreeMap::new();
    let own = ledger
        .iter()
        .filter(|line| line.key.task == task.id.as_str() && line.key.item == task.item.unwrap_or(0));
    for line in own {
        let at = line.at.since(began);
        let attempt = attempts.entry(line.attempt).or_insert(Attempt { start: at, end: None });
        if line.mark != Mark::Start {
            attempt.end = Some(at);
        }
    }
    TaskStory {
        task: task.id.to_string(),
        item: task.item,
        state: task.state,
        ready: since(task.ready_at),
        start: since(task.started_at),
        end: since(task.finished_at),
        attempts: attempts.into_values().collect(),
        exit_code: task.exit_code,
        error: task.error,
        reason: task.reason,
        outputs: task.outputs,
    }
}
