//! Whether this process lives, whether it is ready, what it counts, and how the cluster is.
//! The cluster's verdict comes from its quorum, never from the fact that a node answered.

use std::fmt::Write as _;

use actix_web::{HttpResponse, web};
use hortator_proto::api::{Query, Request, Response};
use serde::Deserialize;

use super::Backend;
use super::access::Bearer;
use super::body::WhoBody;
use super::problem::Refusal;
use super::requests::Requests;
use super::streams::Streams;

/// `GET /livez`: the threads that serve HTTP answer.
pub(super) async fn livez() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain").body("ok\n")
}

/// Ends OpenMetrics text.
const END: &str = "# EOF\n";

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

/// `GET /whoami`
pub(super) async fn whoami(bearer: Bearer) -> HttpResponse {
    HttpResponse::Ok().json(WhoBody { name: bearer.name, role: bearer.role })
}

/// `GET /metrics`: what the master counts, and what this server does.
pub(super) async fn metrics(
    backend: web::Data<dyn Backend>,
    requests: web::Data<Requests>,
    streams: web::Data<Streams>,
) -> HttpResponse {
    let mut text = backend.metrics().await;
    text.truncate(text.trim_end_matches(END).len());
    requests.write(&mut text);
    let open = streams.open();
    let _ = writeln!(
        text,
        "# HELP hortator_stream_clients Answers that stay open.\n# TYPE hortator_stream_clients gauge"
    );
    let _ = writeln!(text, "hortator_stream_clients {open}");
    text.push_str(END);
    HttpResponse::Ok().content_type("application/openmetrics-text; version=1.0.0; charset=utf-8").body(text)
}

/// `GET /status`
pub(super) async fn status(backend: web::Data<dyn Backend>) -> Result<HttpResponse, Refusal> {
    match backend.request(Request::Query(Query::Status)).await {
        Response::Status(mut view) => {
            view.faults = backend.faults().lines();
            Ok(HttpResponse::Ok().json(view))
        }
        other => Err(Refusal::of(other, "Status")),
    }
}
