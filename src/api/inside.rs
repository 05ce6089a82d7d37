//! Looks into the master that is asked: actors and mailboxes, replicas of groups and their logs. For admins.
//! Must not know how anything is counted.

use actix_web::{HttpResponse, web};
use hortator_core::time::Span;
use hortator_proto::api::{ActorOrder, Look, Problem, ProblemKind, Query, Request, Response, Sight};
use hortator_raft::Audit;
use serde::{Deserialize, Serialize};

use super::Backend;
use super::body::AuditBody;
use super::cluster::json;
use super::problem::Refusal;
use super::routes::Admin;

/// Actors shown when nobody says how many.
const TOP_DEFAULT: usize = 20;
/// Most actors of one answer.
const TOP_MAX: usize = 1_000;
/// How long an actor is listened to when nobody says.
const LISTEN_DEFAULT: Span = Span::from_secs(5);
/// Entries of a log shown when nobody says how many; the group gives no more than its own bound.
const LOG_DEFAULT: u64 = 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActorsQuery {
    #[serde(default)]
    by: ActorOrder,
    top: Option<usize>,
}

/// `GET /cluster/actors?by=mailbox|age|time|messages|slowest&top=20`
pub(super) async fn actors(
    backend: web::Data<dyn Backend>,
    _: Admin,
    query: web::Query<ActorsQuery>,
) -> Result<HttpResponse, Refusal> {
    let top = query.top.unwrap_or(TOP_DEFAULT).min(TOP_MAX);
    match backend.look(Look::Actors { order: query.by, top }).await? {
        Sight::Actors(view) => Ok(HttpResponse::Ok().json(view)),
        _ => Err(Refusal::unexpected("Actors")),
    }
}

/// `GET /cluster/raft`
pub(super) async fn groups(backend: web::Data<dyn Backend>, _: Admin) -> Result<HttpResponse, Refusal> {
    match backend.look(Look::Raft).await? {
        Sight::Raft(view) => Ok(HttpResponse::Ok().json(view)),
        _ => Err(Refusal::unexpected("Raft")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    /// Without it, the newest.
    from: Option<u64>,
    limit: Option<u64>,
}

/// `GET /cluster/raft/{group}/log?from=INDEX&limit=20`
pub(super) async fn log(
    backend: web::Data<dyn Backend>,
    _: Admin,
    path: web::Path<u32>,
    query: web::Query<LogQuery>,
) -> Result<HttpResponse, Refusal> {
    let (group, limit) = (path.into_inner(), query.limit.unwrap_or(LOG_DEFAULT));
    let from = match query.from {
        Some(from) => from,
        None => match backend.look(Look::Log { group, from: u64::MAX, limit: 0 }).await? {
            Sight::Log(view) => (view.last + 1).saturating_sub(limit),
            _ => return Err(Refusal::unexpected("Log")),
        },
    };
    match backend.look(Look::Log { group, from, limit }).await? {
        Sight::Log(view) => Ok(HttpResponse::Ok().json(view)),
        _ => Err(Refusal::unexpected("Log")),
    }
}

/// The body of `POST /cluster/raft/{group}/transfer`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransferBody {
    /// The master's id.
    pub to: u64,
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransferredBody {
    pub group: u32,
    pub leader: u64,
    pub term: u64,
}

/// `POST /cluster/raft/{group}/transfer`
pub(super) async fn transfer(
    backend: web::Data<dyn Backend>,
    _: Admin,
    path: web::Path<u32>,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let group = path.into_inner();
    let body: TransferBody = json(payload).await?;
    match backend.look(Look::HandOver { group, to: body.to }).await? {
        Sight::HandedOver { leader, term } => {
            Ok(HttpResponse::Ok().json(TransferredBody { group, leader, term }))
        }
        _ => Err(Refusal::unexpected("HandedOver")),
    }
}

/// `POST /cluster/raft/{group}/snapshot`: the log of the asked master's replica is cut behind what others need
pub(super) async fn cut_log(
    backend: web::Data<dyn Backend>,
    _: Admin,
    path: web::Path<u32>,
) -> Result<HttpResponse, Refusal> {
    match backend.look(Look::CutLog { group: path.into_inner() }).await? {
        Sight::LogCut(view) => Ok(HttpResponse::Ok().json(view)),
        _ => Err(Refusal::unexpected("LogCut")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActorQuery {
    id: String,
}

/// `GET /cluster/actor?id=KIND:NAME`
pub(super) async fn actor(
    backend: web::Data<dyn Backend>,
    _: Admin,
    query: web::Query<ActorQuery>,
) -> Result<HttpResponse, Refusal> {
    match backend.look(Look::Actor { id: query.into_inner().id }).await? {
        Sight::Actor(view) => Ok(HttpResponse::Ok().json(view)),
        _ => Err(Refusal::unexpected("Actor")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MessagesQuery {
    id: String,
    r#for: Option<String>,
}

/// `GET /cluster/actor/messages?id=KIND:NAME&for=5s`: answered when that time is over.
pub(super) async fn messages(
    backend: web::Data<dyn Backend>,
    _: Admin,
    query: web::Query<MessagesQuery>,
) -> Result<HttpResponse, Refusal> {
    let MessagesQuery { id, r#for } = query.into_inner();
    let asked = r#for.as_deref().map(str::parse::<Span>).transpose();
    let lasts =
        asked.map_err(|error| Refusal::bad_request(format!("for: {error}")))?.unwrap_or(LISTEN_DEFAULT);
    match backend.look(Look::Messages { id, lasts }).await? {
        Sight::Messages(view) => Ok(HttpResponse::Ok().json(view)),
        _ => Err(Refusal::unexpected("Messages")),
    }
}

/// The body of `POST /cluster/actor/restart`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestartBody {
    pub id: String,
}

/// `POST /cluster/actor/restart`
pub(super) async fn restart(
    backend: web::Data<dyn Backend>,
    _: Admin,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let RestartBody { id } = json(payload).await?;
    match backend.look(Look::Restart { id }).await? {
        Sight::Restarted(view) => Ok(HttpResponse::Ok().json(view)),
        _ => Err(Refusal::unexpected("Restarted")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SlowQuery {
    top: Option<usize>,
}

/// `GET /cluster/slow?top=20`
pub(super) async fn slow(
    backend: web::Data<dyn Backend>,
    _: Admin,
    query: web::Query<SlowQuery>,
) -> Result<HttpResponse, Refusal> {
    match backend.look(Look::Slow { top: query.top.unwrap_or(TOP_DEFAULT) }).await? {
        Sight::Slow(view) => Ok(HttpResponse::Ok().json(view)),
        _ => Err(Refusal::unexpected("Slow")),
    }
}

/// `GET /cluster/dead-letters`
pub(super) async fn dead_letters(backend: web::Data<dyn Backend>, _: Admin) -> Result<HttpResponse, Refusal> {
    match backend.look(Look::DeadLetters).await? {
        Sight::DeadLetters(view) => Ok(HttpResponse::Ok().json(view)),
        _ => Err(Refusal::unexpected("DeadLetters")),
    }
}

/// `GET /cluster/warnings`
pub(super) async fn warnings(backend: web::Data<dyn Backend>, _: Admin) -> Result<HttpResponse, Refusal> {
    match backend.look(Look::Warnings).await? {
        Sight::Warnings(view) => Ok(HttpResponse::Ok().json(view)),
        _ => Err(Refusal::unexpected("Warnings")),
    }
}

/// `GET /balance`, from the membership leader
pub(super) async fn balance(backend: web::Data<dyn Backend>, _: Admin) -> Result<HttpResponse, Refusal> {
    match backend.request(Request::Query(Query::Balance)).await {
        Response::Balance(view) => Ok(HttpResponse::Ok().json(view)),
        other => Err(Refusal::of(other, "Balance")),
    }
}

/// `GET /cluster/rows`: sums of the rows of this master's replicas
pub(super) async fn sums(backend: web::Data<dyn Backend>, _: Admin) -> Result<HttpResponse, Refusal> {
    match backend.look(Look::Sums).await? {
        Sight::Sums(view) => Ok(HttpResponse::Ok().json(view)),
        _ => Err(Refusal::unexpected("Sums")),
    }
}

/// `GET /cluster/rows/{group}`: reads every row of the replica, on a thread of its own
pub(super) async fn audit(
    backend: web::Data<dyn Backend>,
    _: Admin,
    path: web::Path<u32>,
) -> Result<HttpResponse, Refusal> {
    let group = path.into_inner();
    let view = backend.cut(group).await?;
    let audit = web::block(move || view.audit()).await;
    let audit = audit.map_err(|_| Refusal::unexpected("the audit"))?.map_err(|error| {
        let detail = format!("the rows of group {group} cannot be read on this master: {error}");
        Problem::new(ProblemKind::Unavailable, "H1106", detail)
    })?;
    let Audit { position, rows, bytes, broken, kept, counted } = audit;
    Ok(HttpResponse::Ok().json(AuditBody {
        group,
        index: position.index,
        rows,
        bytes,
        broken,
        kept,
        counted,
    }))
}
