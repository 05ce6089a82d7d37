//! Faults that are injected by hand: list, add, clear. For admins, where the process was started with faults allowed.
//! Must not know how a fault is carried out.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use hortator_proto::api::{Problem, ProblemKind};

use super::Backend;
use super::body::Page;
use super::cluster::json;
use super::problem::{Refusal, code};
use super::routes::{Admin, Caller};
use crate::live_faults::{self, Board, LiveFaults, Wanted};

/// `GET /cluster/faults`
pub(super) async fn list(backend: web::Data<dyn Backend>, _: Admin) -> Result<HttpResponse, Refusal> {
    let items = board(&**backend)?.list();
    Ok(HttpResponse::Ok().json(Page { items, next: None }))
}

/// `POST /cluster/faults`: `{"fault": {"do": "kill", "node": "n2"}, "for": "10s"}`
pub(super) async fn add(
    backend: web::Data<dyn Backend>,
    _: Admin,
    caller: Caller,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let board = board(&**backend)?;
    let wanted: Wanted = json(payload).await?;
    // Who kills a node waits until it is gone.
    let added = web::block(move || board.add(&wanted, &caller.0)).await;
    let view = added.map_err(|_| Refusal::unexpected("a fault"))?.map_err(refuse)?;
    Ok(HttpResponse::Created().json(view))
}

/// `DELETE /cluster/faults`
pub(super) async fn clear_all(backend: web::Data<dyn Backend>, _: Admin) -> Result<HttpResponse, Refusal> {
    let items = board(&**backend)?.clear_all();
    Ok(HttpResponse::Ok().json(Page { items, next: None }))
}

/// `DELETE /cluster/faults/{id}`
pub(super) async fn clear(
    backend: web::Data<dyn Backend>,
    _: Admin,
    path: web::Path<u64>,
) -> Result<HttpResponse, Refusal> {
    let view = board(&**backend)?.clear(path.into_inner()).map_err(refuse)?;
    Ok(HttpResponse::Ok().json(view))
}

fn board(backend: &dyn Backend) -> Result<Arc<Board>, Refusal> {
    match backend.faults() {
        LiveFaults::On(board) => Ok(board),
        LiveFaults::Off => {
            let detail = "nobody may inject faults here: this cluster was started without leave for it";
            let problem = Problem::new(ProblemKind::Forbidden, code::NO_FAULTS, detail);
            Err(problem.hint("hortator dev --faults starts one that may be broken").into())
        }
    }
}

fn refuse(refusal: live_faults::Refusal) -> Refusal {
    use live_faults::Refusal as Why;
    let (kind, hint) = match &refusal {
        Why::Bounds(_) | Why::NotPossible(_) => (ProblemKind::Invalid, "hortator fault add --help"),
        Why::NotHere { .. } => (ProblemKind::NotFound, "hortator status"),
        Why::Full => (ProblemKind::Busy, "hortator fault clear"),
        Why::Unknown(_) => (ProblemKind::NotFound, "hortator fault list"),
    };
    Problem::new(kind, code::FAULT, refusal.to_string()).hint(hint).into()
}
