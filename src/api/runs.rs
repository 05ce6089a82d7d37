//! Runs: start, list, show, wait, explain, cancel, retry; and the task runs of one.
//! Must not know what makes a run wait or fail.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use hortator_core::id::{Name, Position, RunId, WorkflowName};
use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::{Command, Query, Request, Response, RunFilter, RunView, TaskSelector};
use serde::Deserialize;

use super::Backend;
use super::body::{AcceptedBody, CancelBody, Page, StartBody, StartedBody, namespace_default};
use super::problem::Refusal;
use super::reference;
use super::routes::{BODY_BYTES_MAX, Caller, read_body};
use super::streams::{Pace, Streams};

/// A client waits at most so long for one answer, and asks again.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Longest idempotency key; a UUID has 36 characters.
const KEY_BYTES_MAX: usize = 128;
/// States from which a run moves only when it is retried.
pub const FINAL_STATES: [&str; 3] = ["succeeded", "failed", "cancelled"];

/// `POST /runs`
pub(super) async fn start(
    backend: web::Data<dyn Backend>,
    caller: Caller,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let key = idempotency_key(&request)?;
    let bytes = read_body(payload, BODY_BYTES_MAX).await?;
    let body: StartBody = serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::bad_request(format!("the body does not start a run: {error}")))?;
    let command = Command::Start {
        workflow: WorkflowName { namespace: body.namespace, name: body.workflow },
        version: body.version,
        inputs: body.inputs,
        priority: body.priority,
        key,
        by: caller.0,
    };
    match backend.request(Request::Command(command)).await {
        Response::Started { run, existing, position } => {
            let mut response = if existing { HttpResponse::Ok() } else { HttpResponse::Created() };
            Ok(response
                .insert_header(("Hortator-Position", position.to_string()))
                .insert_header(("Location", format!("/api/v1/runs/{run}")))
                .json(StartedBody { run, existing, position }))
        }
        other => Err(Refusal::of(other, "Start")),
    }
}

pub(super) fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Refusal> {
    let Some(value) = request.headers().get("Idempotency-Key") else {
        return Ok(None);
    };
    let key = value.to_str().unwrap_or("");
    if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        let detail = format!("the Idempotency-Key is not 1 to {KEY_BYTES_MAX} visible ASCII characters");
        return Err(Refusal::bad_request(detail));
    }
    Ok(Some(key.into()))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    state: Option<String>,
    workflow: Option<String>,
    namespace: Option<String>,
    since: Option<Timestamp>,
    cursor: Option<RunId>,
    limit: Option<u32>,
}

/// `GET /runs`, newest first
pub(super) async fn list(
    backend: web::Data<dyn Backend>,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, Refusal> {
    let limit = reference::limit(query.limit)?;
    let namespace = query.namespace.as_deref().map(reference::name).transpose()?;
    let home = namespace.clone().unwrap_or_else(namespace_default);
    let workflow = query.workflow.as_deref().map(|text| reference::workflow(text, &home)).transpose()?;
    let states = reference::states(query.state.as_deref(), &reference::RUN_STATES)?;
    let filter = RunFilter { states, workflow, namespace, since: query.since };
    match backend.request(Request::Query(Query::Runs { filter, before: query.cursor, limit })).await {
        Response::Runs(items) => {
            Ok(HttpResponse::Ok().json(Page::of(items, limit, |last| last.id.to_string())))
        }
        other => Err(Refusal::of(other, "Runs")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowQuery {
    /// Answer when the run is final, or after this long with the state of then.
    wait: Option<String>,
    namespace: Option<String>,
}

/// `GET /runs/{id}`
pub(super) async fn show(
    backend: web::Data<dyn Backend>,
    streams: web::Data<Streams>,
    path: web::Path<String>,
    query: web::Query<ShowQuery>,
) -> Result<HttpResponse, Refusal> {
    let run = find(&**backend, &path, query.namespace.as_deref()).await?;
    let wait = match query.wait.as_deref().map(str::parse::<Span>).transpose() {
        Ok(wait) => wait.map_or(Duration::ZERO, Span::as_duration).min(WAIT_MAX),
        Err(error) => return Err(Refusal::bad_request(format!("wait: {error}"))),
    };
    let view = match wait {
        Duration::ZERO => view(&**backend, run).await?,
        wait => {
            let _ticket = streams.enter()?;
            wait_until_final(&**backend, run, wait).await?
        }
    };
    Ok(HttpResponse::Ok().insert_header(("Hortator-Position", view.position.to_string())).json(view))
}

async fn wait_until_final(backend: &dyn Backend, run: RunId, wait: Duration) -> Result<RunView, Refusal> {
    let until = tokio::time::Instant::now() + wait;
    let mut pace = Pace::new();
    loop {
        let view = view(backend, run).await?;
        let left = until.saturating_duration_since(tokio::time::Instant::now());
        if FINAL_STATES.contains(&view.state.as_str()) || left.is_zero() {
            return Ok(view);
        }
        let seen = Position { group: run.shard(), index: view.position.index };
        pace.news(backend, seen, left).await;
    }
}

async fn view(backend: &dyn Backend, run: RunId) -> Result<RunView, Refusal> {
    match backend.request(Request::Query(Query::Run { run })).await {
        Response::Run(view) => Ok(*view),
        other => Err(Refusal::of(other, "Run")),
    }
}

pub(super) async fn find(
    backend: &dyn Backend,
    text: &str,
    namespace: Option<&str>,
) -> Result<RunId, Refusal> {
    let namespace: Name = namespace.map_or_else(|| Ok(namespace_default()), reference::name)?;
    reference::run_id(backend, text, &namespace).await
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TasksQuery {
    state: Option<String>,
    cursor: Option<String>,
    limit: Option<u32>,
    namespace: Option<String>,
}

/// `GET /runs/{id}/tasks`, in the order of the file
pub(super) async fn tasks(
    backend: web::Data<dyn Backend>,
    path: web::Path<String>,
    query: web::Query<TasksQuery>,
) -> Result<HttpResponse, Refusal> {
    let run = find(&**backend, &path, query.namespace.as_deref()).await?;
    let limit = reference::limit(query.limit)?;
    let after = query.cursor.as_deref().map(reference::task_cursor).transpose()?;
    let states = reference::states(query.state.as_deref(), &reference::TASK_STATES)?;
    match backend.request(Request::Query(Query::TaskRuns { run, states, after, limit })).await {
        Response::TaskRuns { tasks, next, position } => Ok(HttpResponse::Ok()
            .insert_header(("Hortator-Position", position.to_string()))
            .json(Page { items: tasks, next: next.map(reference::task_cursor_text) })),
        other => Err(Refusal::of(other, "TaskRuns")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskQuery {
    item: Option<u32>,
    namespace: Option<String>,
}

/// `GET /runs/{id}/tasks/{task}`: one task run with its attempts
pub(super) async fn task(
    backend: web::Data<dyn Backend>,
    path: web::Path<(String, String)>,
    query: web::Query<TaskQuery>,
) -> Result<HttpResponse, Refusal> {
    let run = find(&**backend, &path.0, query.namespace.as_deref()).await?;
    let task = TaskSelector { task: reference::name(&path.1)?, item: query.item };
    Ok(HttpResponse::Ok().json(super::logs::detail(&**backend, run, &task).await?))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainQuery {
    task: Option<String>,
    item: Option<u32>,
    namespace: Option<String>,
}

/// `GET /runs/{id}/explain`
pub(super) async fn explain(
    backend: web::Data<dyn Backend>,
    path: web::Path<String>,
    query: web::Query<ExplainQuery>,
) -> Result<HttpResponse, Refusal> {
    let run = find(&**backend, &path, query.namespace.as_deref()).await?;
    let task = match &query.task {
        Some(task) => Some(TaskSelector { task: reference::name(task)?, item: query.item }),
        None if query.item.is_some() => return Err(Refusal::bad_request("item= needs task=")),
        None => None,
    };
    match backend.request(Request::Query(Query::Explain { run, task })).await {
        Response::Explain(view) => {
            Ok(HttpResponse::Ok().insert_header(("Hortator-Position", view.position.to_string())).json(view))
        }
        other => Err(Refusal::of(other, "Explain")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamespaceQuery {
    namespace: Option<String>,
}

/// `POST /runs/{id}/cancel`
pub(super) async fn cancel(
    backend: web::Data<dyn Backend>,
    caller: Caller,
    path: web::Path<String>,
    query: web::Query<NamespaceQuery>,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let run = find(&**backend, &path, query.namespace.as_deref()).await?;
    let bytes = read_body(payload, BODY_BYTES_MAX).await?;
    let body: CancelBody = match bytes.is_empty() {
        true => CancelBody::default(),
        false => serde_json::from_slice(&bytes)
            .map_err(|error| Refusal::bad_request(format!("the body does not cancel a run: {error}")))?,
    };
    accepted(&**backend, Command::Cancel { run, reason: body.reason, by: caller.0 }).await
}

/// `POST /runs/{id}/retry`: everything that has not succeeded runs again
pub(super) async fn retry(
    backend: web::Data<dyn Backend>,
    caller: Caller,
    path: web::Path<String>,
    query: web::Query<NamespaceQuery>,
) -> Result<HttpResponse, Refusal> {
    let run = find(&**backend, &path, query.namespace.as_deref()).await?;
    accepted(&**backend, Command::RetryFailed { run, by: caller.0 }).await
}

async fn accepted(backend: &dyn Backend, command: Command) -> Result<HttpResponse, Refusal> {
    match backend.request(Request::Command(command)).await {
        Response::Accepted { run, state, position } => Ok(HttpResponse::Accepted()
            .insert_header(("Hortator-Position", position.to_string()))
            .json(AcceptedBody { run, state, position })),
        other => Err(Refusal::of(other, "the command")),
    }
}
