//! Worker groups, quotas, and why a worker gets what it gets.
//! Must not know how workers are chosen.

use actix_web::{HttpResponse, web};
use hortator_core::definition::{self, Definition, Task};
use hortator_core::dispatch::{Amounts, Change, Policy, Resource};
use hortator_core::id::{RunId, TaskKey, WorkflowName};
use hortator_core::time::Span;
use hortator_proto::api::{Command, GroupChange, Query, QuotaChange, Request, Response};
use serde::Deserialize;

use super::Backend;
use super::body::{ChangedBody, GroupBody, Page};
use super::problem::Refusal;
use super::reference;
use super::routes::{BODY_BYTES_MAX, Caller, read_body};
use super::runs::find;

/// `GET /workers/{name}/why`
pub(super) async fn why(
    backend: web::Data<dyn Backend>,
    path: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let name = reference::name(&path)?;
    match backend.request(Request::Query(Query::WorkerWhy { name })).await {
        Response::WorkerWhy(view) => Ok(HttpResponse::Ok().json(view)),
        Response::Problem(problem) => Err(problem.into()),
        _ => Err(Refusal::unexpected("WorkerWhy")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhatIfQuery {
    task: String,
    item: Option<u32>,
    /// Some of `cpu=1`, `memory=5GiB` and other amounts, `group=etl`, `zone=any`, `priority=high`, `uncordon=w3`, `worker=w3`.
    change: String,
    namespace: Option<String>,
}

/// `GET /runs/{id}/what-if`
pub(super) async fn what_if(
    backend: web::Data<dyn Backend>,
    path: web::Path<String>,
    query: web::Query<WhatIfQuery>,
) -> Result<HttpResponse, Refusal> {
    let run = find(&**backend, &path, query.namespace.as_deref()).await?;
    let definition = definition_of(&**backend, run).await?;
    let found = definition.tasks.iter().enumerate().find(|(_, task)| task.id.as_str() == query.task);
    let Some((index, task)) = found else {
        return Err(Refusal::bad_request(format!("run {run} has no task {:?}", query.task)));
    };
    let imagined = imagined(task, &query.change)?;
    let task = TaskKey { task: index as u32, item: query.item.unwrap_or(0) };
    match backend.request(Request::Query(Query::WhatIf { run, task, imagined })).await {
        Response::WhatIf(view) => Ok(HttpResponse::Ok().json(view)),
        Response::Problem(problem) => Err(problem.into()),
        _ => Err(Refusal::unexpected("WhatIf")),
    }
}

async fn definition_of(backend: &dyn Backend, run: RunId) -> Result<Definition, Refusal> {
    let view = match backend.request(Request::Query(Query::Run { run })).await {
        Response::Run(view) => view,
        Response::Problem(problem) => return Err(problem.into()),
        _ => return Err(Refusal::unexpected("Run")),
    };
    let name = WorkflowName { namespace: view.namespace, name: view.workflow };
    let query = Query::Workflow { name, version: Some(view.version) };
    match backend.request(Request::Query(query)).await {
        Response::Workflow(detail) => definition::parse("definition", detail.source.as_bytes())
            .map(|parsed| parsed.definition)
            .map_err(|_| Refusal::unexpected("a stored definition")),
        Response::Problem(problem) => Err(problem.into()),
        _ => Err(Refusal::unexpected("Workflow")),
    }
}

/// Amounts change the first request, and the others are left out.
fn imagined(task: &Task, text: &str) -> Result<Change, Refusal> {
    let wrong = |part: &str| {
        Refusal::bad_request(format!(
            "{part:?} cannot be imagined; write amounts (cpu=1,memory=5GiB), group=GROUP, zone=any, priority=high, \
             uncordon=WORKER or worker=WORKER, with commas between"
        ))
    };
    let (mut change, mut request) = (Change::default(), None::<Amounts>);
    for part in text.split(',') {
        let (key, value) = part.split_once('=').ok_or_else(|| wrong(part))?;
        match key {
            "zone" if value == "any" => change.any_zone = true,
            "group" => change.group = Some(reference::name(value)?),
            "uncordon" => change.uncordon = Some(reference::name(value)?),
            "worker" => change.worker = Some(reference::name(value)?),
            "priority" => {
                let level = serde_json::from_value(value.into());
                change.priority = Some(level.map_err(|_| wrong(part))?);
            }
            key => {
                let resource: Resource = key.parse().map_err(|_| wrong(part))?;
                let amount = resource.parse_amount(value).ok_or_else(|| wrong(part))?;
                let before = request.unwrap_or_else(|| task.requests().swap_remove(0));
                request = Some(before.with(resource, amount));
            }
        }
    }
    change.requests = request.map(|request| vec![request]);
    Ok(change)
}

/// `GET /groups`
pub(super) async fn groups(backend: web::Data<dyn Backend>) -> Result<HttpResponse, Refusal> {
    match backend.request(Request::Query(Query::WorkerGroups)).await {
        Response::WorkerGroups(items) => Ok(HttpResponse::Ok().json(Page { items, next: None })),
        Response::Problem(problem) => Err(problem.into()),
        _ => Err(Refusal::unexpected("WorkerGroups")),
    }
}

/// `GET /quotas`
pub(super) async fn quotas(backend: web::Data<dyn Backend>) -> Result<HttpResponse, Refusal> {
    match backend.request(Request::Query(Query::Quotas)).await {
        Response::Quotas(items) => Ok(HttpResponse::Ok().json(Page { items, next: None })),
        Response::Problem(problem) => Err(problem.into()),
        _ => Err(Refusal::unexpected("Quotas")),
    }
}

/// `POST /groups/{name}`: spans as text; what is left out stays as it is
pub(super) async fn set_group(
    backend: web::Data<dyn Backend>,
    caller: Caller,
    path: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let name = reference::name(&path)?;
    let bytes = read_body(payload, BODY_BYTES_MAX).await?;
    let body: GroupBody = serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::bad_request(format!("the body is not one of a worker group: {error}")))?;
    let span = |text: Option<String>| -> Result<Option<Span>, Refusal> {
        let span = text.map(|text| text.parse::<Span>()).transpose();
        span.map_err(|error| Refusal::bad_request(error.to_string()))
    };
    let policy = match &body.policy {
        None => None,
        Some(word) => Some(policy(word)?),
    };
    let change = GroupChange {
        policy,
        ageing: span(body.ageing)?,
        slow_start: span(body.slow_start)?,
        thresholds: body.thresholds,
    };
    changed(&**backend, Command::SetGroup { name, change, by: caller.0 }).await
}

/// `DELETE /groups/{name}`
pub(super) async fn delete_group(
    backend: web::Data<dyn Backend>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let name = reference::name(&path)?;
    changed(&**backend, Command::DeleteGroup { name, by: caller.0 }).await
}

fn policy(word: &str) -> Result<Policy, Refusal> {
    Policy::ALL.into_iter().find(|policy| policy.name() == word).ok_or_else(|| {
        let words: Vec<&str> = Policy::ALL.into_iter().map(Policy::name).collect();
        Refusal::bad_request(format!("there is no policy {word:?}; there are {}", words.join(", ")))
    })
}

/// `POST /quotas/{namespace}`: an amount by resource, or null for none
pub(super) async fn set_quota(
    backend: web::Data<dyn Backend>,
    caller: Caller,
    path: web::Path<String>,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let namespace = reference::name(&path)?;
    let bytes = read_body(payload, BODY_BYTES_MAX).await?;
    let change: QuotaChange = serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::bad_request(format!("the body is not one of a quota: {error}")))?;
    changed(&**backend, Command::SetQuota { namespace, change, by: caller.0 }).await
}

async fn changed(backend: &dyn Backend, command: Command) -> Result<HttpResponse, Refusal> {
    match backend.request(Request::Command(command)).await {
        Response::Changed { name, changed } => Ok(HttpResponse::Ok().json(ChangedBody { name, changed })),
        Response::Problem(problem) => Err(problem.into()),
        _ => Err(Refusal::unexpected("a command")),
    }
}
