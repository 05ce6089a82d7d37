//! Which path and method lead where, and how a request's parts are read.
//! Must not know what the routes answer.

use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::{PathError, QueryPayloadError};
use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use actix_web::{FromRequest, HttpMessage, HttpRequest, Resource};
use bytes::Bytes;
use hortator_core::access::Role;
use hortator_proto::api::{Problem, ProblemKind};

use super::access::Bearer;
use super::problem::{Refusal, code};
use super::{
    backup, cluster, events, faults, health, inside, join, limits, logs, placement, runs, schedules, workers,
    workflows,
};

/// Largest body of everything but an apply.
pub(super) const BODY_BYTES_MAX: usize = 1 << 20;

/// For a whole body: the largest definition over a line of 4 Mbit/s. Whoever drips it holds a connection no longer.
const BODY_TIME_MAX: Duration = Duration::from_secs(40);

/// Who asks, by the name of the token; it stands in the history of what was asked.
#[derive(Clone, Debug)]
pub(super) struct Caller(pub(super) String);

impl FromRequest for Caller {
    type Error = Refusal;
    type Future = Ready<Result<Caller, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let bearer = request.extensions().get::<Bearer>().map(|bearer| Caller(bearer.name.clone()));
        ready(bearer.ok_or_else(|| Refusal::unexpected("who asks")))
    }
}

impl FromRequest for Bearer {
    type Error = Refusal;
    type Future = Ready<Result<Bearer, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let bearer = request.extensions().get::<Bearer>().cloned();
        ready(bearer.ok_or_else(|| Refusal::unexpected("who asks")))
    }
}

/// Only for the bearer of an admin's token, whatever the guard thought of the path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Admin;

impl FromRequest for Admin {
    type Error = Refusal;
    type Future = Ready<Result<Admin, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let role = request.extensions().get::<Bearer>().map(|bearer| bearer.role);
        ready(match role {
            Some(Role::Admin) => Ok(Admin),
            _ => Err(Refusal::unexpected("who asks")),
        })
    }
}

/// All routes, the same for the server and for tests.
pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .app_data(web::QueryConfig::default().error_handler(|error, _| refuse_query(&error).into()))
        .app_data(web::PathConfig::default().error_handler(|error, _| refuse_path(&error).into()))
        .service(at("/livez").route(web::get().to(health::livez)))
        .service(at("/healthz").route(web::get().to(health::livez)))
        .service(at("/readyz").route(web::get().to(health::readyz)))
        .service(at("/metrics").route(web::get().to(health::metrics)))
        .service(web::scope("/api/v1").configure(version_1))
        .default_service(web::to(no_route));
}

fn version_1(config: &mut ServiceConfig) {
    config
        .service(
            at("/workflows").route(web::get().to(workflows::list)).route(web::post().to(workflows::apply)),
        )
        .service(at("/workflows/{namespace}/{name}").route(web::get().to(workflows::show)))
        .service(at("/workflows/{namespace}/{name}/durations").route(web::get().to(workflows::durations)))
        .service(at("/schedules").route(web::get().to(schedules::list)))
        .service(at("/schedules/{namespace}/{workflow}/{schedule}").route(web::get().to(schedules::show)))
        .service(
            at("/schedules/{namespace}/{workflow}/{schedule}/next").route(web::get().to(schedules::next)),
        )
        .service(
            at("/schedules/{namespace}/{workflow}/{schedule}/history")
                .route(web::get().to(schedules::history)),
        )
        .service(
            at("/schedules/{namespace}/{workflow}/{schedule}/explain")
                .route(web::get().to(schedules::explain)),
        )
        .service(
            at("/schedules/{namespace}/{workflow}/{schedule}/trigger")
                .route(web::post().to(schedules::trigger)),
        )
        .service(
            at("/schedules/{namespace}/{workflow}/{schedule}/enable")
                .route(web::post().to(schedules::enable)),
        )
        .service(
            at("/schedules/{namespace}/{workflow}/{schedule}/disable")
                .route(web::post().to(schedules::disable)),
        )
        .service(at("/runs").route(web::get().to(runs::list)).route(web::post().to(runs::start)))
        .service(at("/runs/{run}").route(web::get().to(runs::show)))
        .service(at("/runs/{run}/tasks").route(web::get().to(runs::tasks)))
        .service(at("/runs/{run}/tasks/{task}").route(web::get().to(runs::task)))
        .service(at("/runs/{run}/tasks/{task}/log").route(web::get().to(logs::show)))
        .service(at("/runs/{run}/events").route(web::get().to(events::show)))
        .service(at("/runs/{run}/explain").route(web::get().to(runs::explain)))
        .service(at("/runs/{run}/cancel").route(web::post().to(runs::cancel)))
        .service(at("/runs/{run}/retry").route(web::post().to(runs::retry)))
        .service(at("/workers").route(web::get().to(workers::list)))
        .service(at("/workers/{name}").route(web::get().to(workers::show)))
        .service(at("/workers/{name}/why").route(web::get().to(placement::why)))
        .service(at("/runs/{id}/what-if").route(web::get().to(placement::what_if)))
        .service(at("/groups").route(web::get().to(placement::groups)))
        .service(
            at("/groups/{name}")
                .route(web::post().to(placement::set_group))
                .route(web::delete().to(placement::delete_group)),
        )
        .service(at("/quotas").route(web::get().to(placement::quotas)))
        .service(at("/quotas/{namespace}").route(web::post().to(placement::set_quota)))
        .service(at("/limits").route(web::get().to(limits::list)))
        .service(
            at("/limits/{namespace}/{name}")
                .route(web::get().to(limits::show))
                .route(web::post().to(limits::set))
                .route(web::delete().to(limits::delete)),
        )
        .service(at("/workers/{name}/cordon").route(web::post().to(workers::cordon)))
        .service(at("/workers/{name}/uncordon").route(web::post().to(workers::uncordon)))
        .service(at("/workers/{name}/drain").route(web::post().to(workers::drain)))
        .service(at("/settings").route(web::get().to(workers::settings)).route(web::post().to(workers::set)))
        .service(at("/status").route(web::get().to(health::status)))
        .service(at("/whoami").route(web::get().to(health::whoami)))
        .service(at("/backup").route(web::get().to(backup::save)))
        .service(
            at("/cluster/tokens")
                .route(web::get().to(cluster::tokens))
                .route(web::post().to(cluster::create_token)),
        )
        .service(at("/cluster/tokens/{name}").route(web::delete().to(cluster::revoke_token)))
        .service(at("/cluster/masters").route(web::get().to(cluster::masters)))
        .service(at("/cluster/masters/{id}").route(web::delete().to(cluster::remove_master)))
        .service(at("/cluster/actors").route(web::get().to(inside::actors)))
        .service(at("/cluster/actor").route(web::get().to(inside::actor)))
        .service(at("/cluster/actor/messages").route(web::get().to(inside::messages)))
        .service(at("/cluster/actor/restart").route(web::post().to(inside::restart)))
        .service(at("/cluster/slow").route(web::get().to(inside::slow)))
        .service(at("/cluster/dead-letters").route(web::get().to(inside::dead_letters)))
        .service(at("/cluster/warnings").route(web::get().to(inside::warnings)))
        .service(at("/balance").route(web::get().to(inside::balance)))
        .service(at("/cluster/rows").route(web::get().to(inside::sums)))
        .service(at("/cluster/rows/{group}").route(web::get().to(inside::audit)))
        .service(at("/cluster/raft").route(web::get().to(inside::groups)))
        .service(at("/cluster/raft/{group}/log").route(web::get().to(inside::log)))
        .service(at("/cluster/raft/{group}/transfer").route(web::post().to(inside::transfer)))
        .service(at("/cluster/raft/{group}/snapshot").route(web::post().to(inside::cut_log)))
        .service(
            at("/cluster/faults")
                .route(web::get().to(faults::list))
                .route(web::post().to(faults::add))
                .route(web::delete().to(faults::clear_all)),
        )
        .service(at("/cluster/faults/{id}").route(web::delete().to(faults::clear)))
        .service(at("/cluster/join-tokens").route(web::post().to(join::create_token)))
        .service(at("/cluster/join").route(web::post().to(join::join)))
        .service(at("/cluster/renew").route(web::post().to(join::renew)))
        .default_service(web::to(no_route));
}

/// A path whose other methods are refused by name.
fn at(path: &str) -> Resource {
    web::resource(path).default_service(web::to(no_method))
}

async fn no_route(request: HttpRequest) -> Result<&'static str, Refusal> {
    let detail = format!("there is nothing at {:?}", request.path());
    Err(Problem::new(ProblemKind::NotFound, code::NO_ROUTE, detail).hint("the API begins at /api/v1").into())
}

async fn no_method(request: HttpRequest) -> Result<&'static str, Refusal> {
    let detail = format!("{:?} does not take {}", request.path(), request.method());
    let problem = Problem::new(ProblemKind::Invalid, code::NO_ROUTE, detail);
    Err(Refusal { status: StatusCode::METHOD_NOT_ALLOWED, ..problem.into() })
}

fn refuse_query(error: &QueryPayloadError) -> Refusal {
    match error {
        QueryPayloadError::Deserialize(error) => Refusal::bad_request(format!("in the query: {error}")),
        other => Refusal::bad_request(format!("the query cannot be read: {other}")),
    }
}

fn refuse_path(error: &PathError) -> Refusal {
    Refusal::bad_request(format!("the path cannot be read: {error}"))
}

/// The whole body, or a refusal that names the bound.
pub(super) async fn read_body(payload: web::Payload, bytes_max: usize) -> Result<Bytes, Refusal> {
    let Ok(read) = tokio::time::timeout(BODY_TIME_MAX, payload.to_bytes_limited(bytes_max)).await else {
        let seconds = BODY_TIME_MAX.as_secs();
        return Err(Refusal::bad_request(format!("the body did not arrive within {seconds} s")));
    };
    match read {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(Refusal::bad_request(format!("the body cannot be read: {error}"))),
        Err(_) => {
            let detail = format!("the body is larger than {bytes_max} bytes");
            let problem =
                Problem::new(ProblemKind::Invalid, code::TOO_LARGE, detail).param("limit", bytes_max);
            Err(Refusal { status: StatusCode::PAYLOAD_TOO_LARGE, ..problem.into() })
        }
    }
}
