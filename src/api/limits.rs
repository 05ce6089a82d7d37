//! Limits: list them, show one, set and delete. Must not know who decides who holds one.

use actix_web::{HttpResponse, web};
use hortator_core::id::LimitName;
use hortator_proto::api::{Command, Query, Request, Response};

use super::Backend;
use super::body::{ChangedBody, LimitBody, Page, namespace_default};
use super::problem::Refusal;
use super::reference::{self, NamespacedQuery};
use super::routes::{BODY_BYTES_MAX, Caller, read_body};

/// `GET /limits`
pub(super) async fn list(
    backend: web::Data<dyn Backend>,
    query: web::Query<NamespacedQuery>,
) -> Result<HttpResponse, Refusal> {
    let limit = reference::limit(query.limit)?;
    let namespace = query.namespace.as_deref().map(reference::name).transpose()?;
    let after = match &query.cursor {
        Some(text) => {
            let name = reference::workflow(text, &namespace_default())?;
            Some(LimitName { namespace: name.namespace, name: name.name })
        }
        None => None,
    };
    match backend.request(Request::Query(Query::Limits { namespace, after, limit })).await {
        Response::Limits(items) => {
            let page = Page::of(items, limit, |last| format!("{}/{}", last.namespace, last.name));
            Ok(HttpResponse::Ok().json(page))
        }
        other => Err(Refusal::of(other, "Limits")),
    }
}

/// `GET /limits/{namespace}/{name}`
pub(super) async fn show(
    backend: web::Data<dyn Backend>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    match backend.request(Request::Query(Query::Limit { name: named(&path)? })).await {
        Response::Limit(detail) => Ok(HttpResponse::Ok().json(detail)),
        other => Err(Refusal::of(other, "Limit")),
    }
}

/// `POST /limits/{namespace}/{name}`: how much of it there is
pub(super) async fn set(
    backend: web::Data<dyn Backend>,
    caller: Caller,
    path: web::Path<(String, String)>,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let name = named(&path)?;
    let bytes = read_body(payload, BODY_BYTES_MAX).await?;
    let body: LimitBody = serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::bad_request(format!("the body is not one of a limit: {error}")))?;
    change(&**backend, Command::SetLimit { name, max: body.max, by: caller.0 }).await
}

/// `DELETE /limits/{namespace}/{name}`
pub(super) async fn delete(
    backend: web::Data<dyn Backend>,
    caller: Caller,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    change(&**backend, Command::DeleteLimit { name: named(&path)?, by: caller.0 }).await
}

fn named(path: &(String, String)) -> Result<LimitName, Refusal> {
    Ok(LimitName { namespace: reference::name(&path.0)?, name: reference::name(&path.1)? })
}

async fn change(backend: &dyn Backend, command: Command) -> Result<HttpResponse, Refusal> {
    match backend.request(Request::Command(command)).await {
        Response::Changed { name, changed } => Ok(HttpResponse::Ok().json(ChangedBody { name, changed })),
        other => Err(Refusal::of(other, "a command about a limit")),
    }
}
