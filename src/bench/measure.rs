//! One run from its submission to its last committed finish, and the time from a request to a start.
//! Times of tasks are the agent's clock, which on one machine is the client's clock.

use std::time::{Duration, Instant};

use hortator_core::id::Name;
use hortator_core::time::Timestamp;
use hortator_proto::api::{GroupView, RunView, StatusView, TaskRunView};

use super::workload::{self, Kind};
use super::{Cluster, Plan};
use crate::api::body::{AppliedBody, Page, StartBody, StartedBody};
use crate::cli::client::{Call, query};
use crate::cli::error::{Error, Exit};
use crate::cli::session::Session;

/// Pause between two looks at a run: an error of half of it at most, against runs of hundreds of milliseconds; a look
/// costs the master some tens of microseconds.
const LOOK: Duration = Duration::from_millis(4);
/// Task runs of one page.
const PAGE: u32 = 5_000;

/// One run.
#[derive(Clone, Debug)]
pub(super) struct Measured {
    pub tasks: u32,
    pub seconds: f64,
    /// Milliseconds from a parent's finish to its child's start, sorted; empty where a shape has no hops.
    pub hops_ms: Vec<f64>,
}

/// How long leaders and workers may take to be there.
const READY_MAX: Duration = Duration::from_secs(30);

/// Waits until every group has a leader and every worker has registered.
pub(super) async fn until_ready(session: &Session, plan: &Plan, cluster: &Cluster) -> Result<(), Error> {
    let until = Instant::now() + READY_MAX;
    loop {
        let why = match session.client.ask::<StatusView>(Call::get("/status")).await {
            // A master that has joined answers for itself only when it knows the tokens.
            Ok(view) if is_complete(&view, plan) => match cluster.counters().await {
                Ok(_) => return Ok(()),
                Err(error) => error.to_string(),
            },
            Ok(view) => view.sentence,
            Err(error) => error.to_string(),
        };
        if Instant::now() > until {
            return Err(Error::new(Exit::Unavailable, "H9033", format!("the cluster is not ready: {why}")));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn is_complete(view: &StatusView, plan: &Plan) -> bool {
    let voters = |group: &GroupView| group.voters.len() >= plan.masters as usize;
    view.verdict == "available"
        && view.workers.len() >= plan.workers as usize
        && view.groups.iter().all(voters)
}

/// Makes the definition known; outside of what is timed.
pub(super) async fn apply(session: &Session, text: &str) -> Result<Name, Error> {
    let call = Call::post("/workflows", text.to_owned().into()).header("Content-Type", "application/yaml");
    let applied: AppliedBody = session.client.ask(call).await?;
    Ok(applied.name)
}

pub(super) async fn start(session: &Session, workflow: &Name) -> Result<StartedBody, Error> {
    let body = StartBody {
        workflow: workflow.clone(),
        namespace: session.namespace.clone(),
        inputs: Default::default(),
        priority: None,
        version: None,
    };
    session.client.ask(Call::post_json("/runs", &body)).await
}

pub(super) async fn until_end(session: &Session, started: &StartedBody) -> Result<RunView, Error> {
    loop {
        let view: RunView = session.client.ask(Call::get(format!("/runs/{}", started.run))).await?;
        match view.state.as_str() {
            "succeeded" => return Ok(view),
            "failed" | "cancelled" => {
                let detail = format!("the measured run ended {}", view.state);
                return Err(Error::new(Exit::Unexpected, "H9030", detail));
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

pub(super) async fn one_run(session: &Session, workflow: &Name, plan: &Plan) -> Result<Measured, Error> {
    let begun = Instant::now();
    let started = start(session, workflow).await?;
    until_end(session, &started).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let hops_ms = match workload::parent(plan.shape, 1) {
        Some(_) => hops(plan, &task_runs(session, &started).await?),
        None => Vec::new(),
    };
    Ok(Measured { tasks: plan.tasks, seconds, hops_ms })
}

async fn task_runs(session: &Session, started: &StartedBody) -> Result<Vec<TaskRunView>, Error> {
    let (mut tasks, mut cursor) = (Vec::new(), None);
    loop {
        let pairs = [("limit", Some(PAGE.to_string())), ("cursor", cursor.take())];
        let path = format!("/runs/{}/tasks{}", started.run, query(&pairs));
        let page: Page<TaskRunView> = session.client.ask(Call::get(path)).await?;
        tasks.extend(page.items);
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(tasks),
        }
    }
}

/// Task runs come in the order of the definition, so a task's number is its place.
fn hops(plan: &Plan, tasks: &[TaskRunView]) -> Vec<f64> {
    let mut hops: Vec<f64> = (0..tasks.len() as u32)
        .filter_map(|task| {
            let parent = &tasks[workload::parent(plan.shape, task)? as usize];
            Some(millis(parent.finished_at?, tasks[task as usize].started_at?))
        })
        .collect();
    hops.sort_by(f64::total_cmp);
    hops
}

fn millis(from: Timestamp, to: Timestamp) -> f64 {
    (to.0 - from.0) as f64 / 1e3
}

/// Milliseconds from sending a start to the task's start at the agent, so many times one after the other.
pub(super) async fn starts(session: &Session, kind: Kind, count: usize) -> Result<Vec<f64>, Error> {
    let workflow = apply(session, &workload::definition(workload::Shape::Fan, kind, 1)).await?;
    let mut times = Vec::new();
    for _ in 0..count {
        let sent = hortator_actors::seam::Clock::wall(&crate::env::SystemClock);
        let started = start(session, &workflow).await?;
        until_end(session, &started).await?;
        let tasks = task_runs(session, &started).await?;
        let began = tasks.first().and_then(|task| task.started_at);
        times.extend(began.map(|began| millis(sent, began)));
    }
    Ok(times)
}
