//! Whether this process lives, whether it is ready, what it counts, and how the cluster is.
//! The cluster's verdict comes from its quorum, never from the fact that a node answered.

use actix_web::{HttpResponse, web};
use hortator_proto::api::{Query, Request, Response};
use serde::Deserialize;

use super::Backend;
use super::problem::Refusal;

/// `GET /livez`: the threads that serve HTTP answer.
pub(super) async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

#[derive(Debug, Deserialize)]
pub(super) struct ReadyQuery {
    verbose: Option<String>,
}

/// `GET /readyz[?verbose]`: 200 when every check passes, else 503.
pub(super) async fn readyz(backend: web::Data<dyn Backend>, query: web::Query<ReadyQuery>) -> HttpResponse {
    let checks = backend.readiness().await;
    let ready = checks.iter().all(|(_, result)| result.is_ok());
    let mut text = String::new();
    for (name, result) in &checks {
        match result {
            Ok(()) if query.verbose.is_some() => text.push_str(&format!("[+] {name} ok\n")),
            Ok(()) => {}
            Err(why) => text.push_str(&format!("[-] {name} failed: {why}\n")),
        }
    }
    text.push_str(if ready { "ready\n" } else { "not ready\n" });
    let mut response = if ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.content_type("text/plain").body(text)
}

/// `GET /metrics`
pub(super) async fn metrics(backend: web::Data<dyn Backend>) -> HttpResponse {
    let text = backend.metrics().await;
    HttpResponse::Ok().content_type("application/openmetrics-text; version=1.0.0; charset=utf-8").body(text)
}

/// `GET /status`
pub(super) async fn status(backend: web::Data<dyn Backend>) -> Result<HttpResponse, Refusal> {
    match backend.request(Request::Query(Query::Status)).await {
        Response::Status(view) => Ok(HttpResponse::Ok().json(view)),
        Response::Problem(problem) => Err(problem.into()),
        _ => Err(Refusal::unexpected("Status")),
    }
}
