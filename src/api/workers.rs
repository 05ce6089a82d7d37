//! Workers: list, show, cordon, uncordon, drain; and the settings about them.
//! Must not know how a loss is decided.

use actix_web::{HttpResponse, web};
use hortator_core::id::Name;
use hortator_core::time::Span;
use hortator_proto::api::{
    Command, Problem, ProblemKind, Query, Request, Response, SettingsChange, WorkerOrder, WorkerView,
};

use super::Backend;
use super::body::{ChangedBody, Page, SettingsBody};
use super::problem::Refusal;
use super::reference;
use super::routes::{BODY_BYTES_MAX, Caller, read_body};

/// `GET /workers`
pub(super) async fn list(backend: web::Data<dyn Backend>) -> Result<HttpResponse, Refusal> {
    let items = all(&**backend).await?;
    Ok(HttpResponse::Ok().json(Page { items, next: None }))
}

/// `GET /workers/{name}`
pub(super) async fn show(
    backend: web::Data<dyn Backend>,
    path: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    let name: Name = reference::name(&path)?;
    match all(&**backend).await?.into_iter().find(|view| view.name == name) {
        Some(view) => Ok(HttpResponse::Ok().json(view)),
        None => {
            let detail = format!("there is no worker {name}");
            Err(Problem::new(ProblemKind::NotFound, "H3070", detail).hint("hortator worker list").into())
        }
    }
}

async fn all(backend: &dyn Backend) -> Result<Vec<WorkerView>, Refusal> {
    match backend.request(Request::Query(Query::Workers)).await {
        Response::Workers(items) => Ok(items),
        other => Err(Refusal::of(other, "Workers")),
    }
}

/// `POST /workers/{name}/cordon`
pub(super) async fn cordon(
    backend: web::Data<dyn Backend>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    order(&**backend, caller, &path, WorkerOrder::Cordon).await
}

/// `POST /workers/{name}/uncordon`
pub(super) async fn uncordon(
    backend: web::Data<dyn Backend>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    order(&**backend, caller, &path, WorkerOrder::Uncordon).await
}

/// `POST /workers/{name}/drain`
pub(super) async fn drain(
    backend: web::Data<dyn Backend>,
    caller: Caller,
    path: web::Path<String>,
) -> Result<HttpResponse, Refusal> {
    order(&**backend, caller, &path, WorkerOrder::Drain).await
}

async fn order(
    backend: &dyn Backend,
    caller: Caller,
    name: &str,
    order: WorkerOrder,
) -> Result<HttpResponse, Refusal> {
    let command = Command::OrderWorker { name: reference::name(name)?, order, by: caller.0 };
    change(backend, command).await
}

async fn change(backend: &dyn Backend, command: Command) -> Result<HttpResponse, Refusal> {
    match backend.request(Request::Command(command)).await {
        Response::Changed { name, changed } => Ok(HttpResponse::Ok().json(ChangedBody { name, changed })),
        other => Err(Refusal::of(other, "a command")),
    }
}

/// `GET /settings`
pub(super) async fn settings(backend: web::Data<dyn Backend>) -> Result<HttpResponse, Refusal> {
    match backend.request(Request::Query(Query::Settings)).await {
        Response::Settings(view) => Ok(HttpResponse::Ok().json(view)),
        other => Err(Refusal::of(other, "Settings")),
    }
}

/// `POST /settings`: spans as text; what is left out stays as it is
pub(super) async fn set(
    backend: web::Data<dyn Backend>,
    caller: Caller,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let bytes = read_body(payload, BODY_BYTES_MAX).await?;
    let body: SettingsBody = serde_json::from_slice(&bytes)
        .map_err(|error| Refusal::bad_request(format!("the body is not one of settings: {error}")))?;
    let span = |text: Option<String>| -> Result<Option<Span>, Refusal> {
        text.map(|text| text.parse::<Span>())
            .transpose()
            .map_err(|error| Refusal::bad_request(error.to_string()))
    };
    let asked = SettingsChange {
        worker_lease: span(body.worker_lease)?,
        declare_lost: span(body.declare_lost)?,
        history_keep: span(body.history_keep)?,
        history_keep_runs: body.history_keep_runs,
    };
    change(&**backend, Command::ChangeSettings { change: asked, by: caller.0 }).await
}
