//! The cluster's own affairs over HTTP: its masters, and tokens of people. Secrets are drawn here, shown once, and forgotten.

use actix_web::{HttpResponse, web};
use hortator_core::access::{Role, SecretHash};
use hortator_core::id::Name;
use hortator_core::time::Span;
use hortator_proto::api::{Command, MasterDetail, Query, Request, Response};
use serde::{Deserialize, Serialize};

use super::Backend;
use super::body::Page;
use super::problem::Refusal;
use super::reference;
use super::routes::{Admin, BODY_BYTES_MAX, read_body};
use crate::pki::ApiToken;

/// The body of `POST /cluster/tokens`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenBody {
    pub name: Name,
    pub role: Role,
    /// As `30d`; without it the token lasts until it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<String>,
}

/// Its answer: the only time that the secret is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TokenMade {
    pub name: Name,
    pub role: Role,
    pub token: String,
}

/// The answer of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangedBody {
    pub name: String,
    /// False when it was so already.
    pub changed: bool,
}

/// `GET /cluster/tokens`
pub(super) async fn tokens(backend: web::Data<dyn Backend>, _: Admin) -> Result<HttpResponse, Refusal> {
    match backend.request(Request::Query(Query::Tokens)).await {
        Response::Tokens(items) => Ok(HttpResponse::Ok().json(Page { items, next: None })),
        other => Err(Refusal::of(other, "Tokens")),
    }
}

/// `POST /cluster/tokens`
pub(super) async fn create_token(
    backend: web::Data<dyn Backend>,
    _: Admin,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let body: TokenBody = json(payload).await?;
    let token = ApiToken::create();
    let command = Command::TokenCreate {
        name: body.name.clone(),
        hash: SecretHash(token.hash()),
        role: body.role,
        valid_for: body.valid_for.as_deref().map(span).transpose()?,
    };
    changed(&**backend, command).await?;
    let made = TokenMade { name: body.name, role: body.role, token: token.text().to_owned() };
    Ok(HttpResponse::Created().json(made))
}

/// `DELETE /cluster/tokens/{name}`
pub(super) async fn revoke_token(
    backend: web::Data<dyn Backend>,
    _: Admin,
    path: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let name = reference::name(&path)?;
    Ok(HttpResponse::Ok().json(changed(&**backend, Command::TokenRevoke { name }).await?))
}

/// `GET /cluster/masters`
pub(super) async fn masters(backend: web::Data<dyn Backend>) -> Result<HttpResponse, Refusal> {
    let items = all_masters(&**backend).await?;
    Ok(HttpResponse::Ok().json(Page { items, next: None }))
}

/// `DELETE /cluster/masters/{id}`: `3` or `n3`.
pub(super) async fn remove_master(
    backend: web::Data<dyn Backend>,
    _: Admin,
    path: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let digits = path.strip_prefix('n').unwrap_or(&path);
    let id = digits.parse().map_err(|_| {
        Refusal::bad_request(format!("{:?} is not a master's id, which is like 3 or n3", path.as_str()))
    })?;
    Ok(HttpResponse::Ok().json(changed(&**backend, Command::MasterRemove { id }).await?))
}

pub(super) async fn all_masters(backend: &dyn Backend) -> Result<Vec<MasterDetail>, Refusal> {
    match backend.request(Request::Query(Query::Masters)).await {
        Response::Masters(masters) => Ok(masters),
        other => Err(Refusal::of(other, "Masters")),
    }
}

pub(super) async fn changed(backend: &dyn Backend, command: Command) -> Result<ChangedBody, Refusal> {
    match backend.request(Request::Command(command)).await {
        Response::Changed { name, changed } => Ok(ChangedBody { name, changed }),
        other => Err(Refusal::of(other, "the change")),
    }
}

pub(super) async fn json<T: for<'de> Deserialize<'de>>(payload: web::Payload) -> Result<T, Refusal> {
    let bytes = read_body(payload, BODY_BYTES_MAX).await?;
    serde_json::from_slice(&bytes).map_err(|error| Refusal::bad_request(format!("in the body: {error}")))
}

pub(super) fn span(text: &str) -> Result<Span, Refusal> {
    text.parse().map_err(|error| Refusal::bad_request(format!("in valid_for: {error}")))
}
