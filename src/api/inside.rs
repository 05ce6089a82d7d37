//! Looks into the master that is asked: actors and mailboxes, replicas of groups and their logs. For admins.
//! Must not know how anything is counted.

use actix_web::{HttpResponse, web};
use hortator_proto::api::{ActorOrder, Look, Sight};
use serde::{Deserialize, Serialize};

use super::Backend;
use super::cluster::json;
use super::problem::Refusal;
use super::routes::Admin;

/// Actors shown when nobody says how many.
const TOP_DEFAULT: usize = 20;
/// Most actors of one answer.
const TOP_MAX: usize = 1_000;
/// Entries of a log shown when nobody says how many; the group gives no more than its own bound.
const LOG_DEFAULT: u64 = 20;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActorsQuery {
    #[serde(default)]
    by: ActorOrder,
    top: Option<usize>,
}

/// `GET /cluster/actors?by=mailbox|age|time&top=20`
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
