//! Schedules: list, show, what comes, what was, why; trigger, switch on and off.
//! Must not know when one fires.

use actix_web::{HttpRequest, HttpResponse, web};
use hortator_core::id::{Name, WorkflowName};
use hortator_core::time::Timestamp;
use hortator_proto::api::{Command, Query, Request, Response, ScheduleSwitch};
use serde::Deserialize;

use super::Backend;
use super::body::{ChangedBody, Page, StartedBody};
use super::problem::Refusal;
use super::reference::{self, NamespacedQuery};
use super::routes::Caller;
use super::runs::idempotency_key;

/// Times to come, when the request does not say how many.
const NEXT_DEFAULT: u32 = 10;

type Place = web::Path<(String, String, String)>;

fn place(path: &Place) -> Result<(WorkflowName, Name), Refusal> {
    let workflow = WorkflowName { namespace: reference::name(&path.0)?, name: reference::name(&path.1)? };
    Ok((workflow, reference::name(&path.2)?))
}

fn time(text: Option<&str>) -> Result<Option<Timestamp>, Refusal> {
    let read = |text: &str| text.parse().map_err(|error| Refusal::bad_request(format!("{error}")));
    text.map(read).transpose()
}

/// `GET /schedules`
pub(super) async fn list(
    backend: web::Data<dyn Backend>,
    query: web::Query<NamespacedQuery>,
) -> Result<HttpResponse, Refusal> {
    let limit = reference::limit(query.limit)?;
    let namespace = query.namespace.as_deref().map(reference::name).transpose()?;
    let after = match &query.cursor {
        Some(text) => Some(cursor(text)?),
        None => None,
    };
    match backend.request(Request::Query(Query::Schedules { namespace, after, limit })).await {
        Response::Schedules(items) => {
            let cursor = |last: &hortator_proto::api::ScheduleView| {
                format!("{}/{}/{}", last.namespace, last.workflow, last.id)
            };
            Ok(HttpResponse::Ok().json(Page::of(items, limit, cursor)))
        }
        other => Err(Refusal::of(other, "Schedules")),
    }
}

fn cursor(text: &str) -> Result<(WorkflowName, Name), Refusal> {
    let parts: Vec<&str> = text.split('/').collect();
    match parts.as_slice() {
        [namespace, workflow, schedule] => {
            let workflow =
                WorkflowName { namespace: reference::name(namespace)?, name: reference::name(workflow)? };
            Ok((workflow, reference::name(schedule)?))
        }
        _ => {
            Err(Refusal::bad_request(format!("{text:?} is not a cursor of this list; take `next` of a page")))
        }
    }
}

/// `GET /schedules/{namespace}/{workflow}/{schedule}`
pub(super) async fn show(backend: web::Data<dyn Backend>, path: Place) -> Result<HttpResponse, Refusal> {
    let (workflow, schedule) = place(&path)?;
    match backend.request(Request::Query(Query::Schedule { workflow, schedule })).await {
        Response::Schedule(view) => Ok(HttpResponse::Ok().json(view)),
        other => Err(Refusal::of(other, "Schedule")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NextQuery {
    count: Option<u32>,
}

/// `GET …/next`
pub(super) async fn next(
    backend: web::Data<dyn Backend>,
    path: Place,
    query: web::Query<NextQuery>,
) -> Result<HttpResponse, Refusal> {
    let (workflow, schedule) = place(&path)?;
    let count = query.count.unwrap_or(NEXT_DEFAULT);
    match backend.request(Request::Query(Query::ScheduleNext { workflow, schedule, count })).await {
        Response::ScheduleNext(items) => Ok(HttpResponse::Ok().json(Page { items, next: None })),
        other => Err(Refusal::of(other, "ScheduleNext")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HistoryQuery {
    before: Option<String>,
    limit: Option<u32>,
}

/// `GET …/history`
pub(super) async fn history(
    backend: web::Data<dyn Backend>,
    path: Place,
    query: web::Query<HistoryQuery>,
) -> Result<HttpResponse, Refusal> {
    let (workflow, schedule) = place(&path)?;
    let (before, limit) = (time(query.before.as_deref())?, reference::limit(query.limit)?);
    let query = Query::ScheduleHistory { workflow, schedule, before, limit };
    match backend.request(Request::Query(query)).await {
        Response::ScheduleHistory(history) => Ok(HttpResponse::Ok().json(history)),
        other => Err(Refusal::of(other, "ScheduleHistory")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainQuery {
    at: Option<String>,
}

/// `GET …/explain`
pub(super) async fn explain(
    backend: web::Data<dyn Backend>,
    path: Place,
    query: web::Query<ExplainQuery>,
) -> Result<HttpResponse, Refusal> {
    let (workflow, schedule) = place(&path)?;
    let at = time(query.at.as_deref())?;
    match backend.request(Request::Query(Query::ExplainSchedule { workflow, schedule, at })).await {
        Response::ScheduleExplain(explained) => Ok(HttpResponse::Ok().json(explained)),
        other => Err(Refusal::of(other, "ExplainSchedule")),
    }
}

/// `POST …/trigger`
pub(super) async fn trigger(
    backend: web::Data<dyn Backend>,
    caller: Caller,
    path: Place,
    request: HttpRequest,
) -> Result<HttpResponse, Refusal> {
    let (workflow, schedule) = place(&path)?;
    let key = idempotency_key(&request)?;
    let command = Command::ScheduleTrigger { workflow, schedule, key, by: caller.0 };
    match backend.request(Request::Command(command)).await {
        Response::Started { run, existing, position } => {
            let mut response = if existing { HttpResponse::Ok() } else { HttpResponse::Created() };
            Ok(response
                .insert_header(("Hortator-Position", position.to_string()))
                .insert_header(("Location", format!("/api/v1/runs/{run}")))
                .json(StartedBody { run, existing, position }))
        }
        other => Err(Refusal::of(other, "ScheduleTrigger")),
    }
}

/// `POST …/enable`
pub(super) async fn enable(
    backend: web::Data<dyn Backend>,
    caller: Caller,
    path: Place,
) -> Result<HttpResponse, Refusal> {
    switch(&**backend, caller, &path, ScheduleSwitch::On).await
}

/// `POST …/disable`
pub(super) async fn disable(
    backend: web::Data<dyn Backend>,
    caller: Caller,
    path: Place,
) -> Result<HttpResponse, Refusal> {
    switch(&**backend, caller, &path, ScheduleSwitch::Off).await
}

async fn switch(
    backend: &dyn Backend,
    caller: Caller,
    path: &Place,
    to: ScheduleSwitch,
) -> Result<HttpResponse, Refusal> {
    let (workflow, schedule) = place(path)?;
    let command = Command::ScheduleSwitch { workflow, schedule, to, by: caller.0 };
    match backend.request(Request::Command(command)).await {
        Response::Changed { name, changed } => Ok(HttpResponse::Ok().json(ChangedBody { name, changed })),
        other => Err(Refusal::of(other, "ScheduleSwitch")),
    }
}
