//! Worker groups, quotas, and why a worker gets what it gets.
//! Must not know how workers are chosen.

use actix_web::{HttpResponse, web};
use hortator_core::dispatch::Policy;
use hortator_core::time::Span;
use hortator_proto::api::{Command, GroupChange, Query, QuotaChange, Request, Response};

use super::Backend;
use super::body::{ChangedBody, GroupBody, Page};
use super::problem::Refusal;
use super::reference;
use super::routes::{BODY_BYTES_MAX, Caller, read_body};

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
