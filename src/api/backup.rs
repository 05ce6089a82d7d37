//! A backup of the whole cluster as one answer, made while it is sent. Must not know what rows mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::{HttpResponse, rt, web};
use bytes::Bytes;
use futures_util::stream;
use hortator_proto::api::{Problem, ProblemKind, Query, Request, Response};
use hortator_raft::RowsView;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::Backend;
use super::access::CaSource;
use super::problem::{Refusal, code};
use super::routes::Admin;
use crate::backup::{SaveError, Saving};

/// How long a client may take nothing: the views keep old pages of the groups' files alive meanwhile.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// Frames that wait to be sent, each about a quarter of a MiB.
const AHEAD: usize = 4;
/// Groups of the largest cluster: shards and the membership group.
const GROUPS_MAX: u32 = 256;

/// Whether a backup is being made by this master: one at a time, since each costs reading everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Backups(Arc<AtomicBool>);

/// The right to make one; given back when dropped.
#[derive(Debug)]
struct Turn(Arc<AtomicBool>);

impl Backups {
    fn enter(&self) -> Result<Turn, Refusal> {
        if !self.0.swap(true, Ordering::AcqRel) {
            return Ok(Turn(self.0.clone()));
        }
        let detail = "this master makes a backup already, and one at a time";
        let problem = Problem::new(ProblemKind::Busy, code::BACKUP_RUNS, detail);
        Err(problem.hint("wait for it, or ask another master with --addr").into())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// `GET /backup`
pub(super) async fn save(
    backend: web::Data<dyn Backend>,
    source: web::Data<dyn CaSource>,
    backups: web::Data<Backups>,
    _: Admin,
) -> Result<HttpResponse, Refusal> {
    let turn = backups.enter()?;
    let name = match backend.request(Request::Query(Query::Status)).await {
        Response::Status(view) => view.cluster,
        other => return Err(Refusal::of(other, "Status")),
    };
    let views = cuts(&**backend).await?;
    let saving = Saving::new(&name, views, source.now()).map_err(|error| failed(&error))?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    rt::spawn(produce(saving, sender, turn));
    let body = stream::unfold(receiver, |mut frames| async move { Some((frames.recv().await?, frames)) });
    Ok(HttpResponse::Ok().content_type("application/octet-stream").streaming(body))
}

/// Views of all shards, then of the membership group: it knows every life of a worker that a shard names.
async fn cuts(backend: &dyn Backend) -> Result<Vec<(u32, RowsView)>, Refusal> {
    let mut views = Vec::new();
    let shards = backend.shards().min(GROUPS_MAX);
    for group in (1..=shards).chain([0]) {
        views.push((group, backend.cut(group).await?));
    }
    Ok(views)
}

/// Reads no faster than half of one core, so that a master that leads goes on leading. An answer that breaks off has no
/// end, and so whoever reads it knows.
async fn produce(mut saving: Saving, frames: mpsc::Sender<Result<Bytes, actix_web::Error>>, _turn: Turn) {
    loop {
        let begun = Instant::now();
        let read = web::block(move || {
            let frame = saving.step();
            (saving, frame)
        });
        let Ok((back, frame)) = read.await else { return };
        saving = back;
        let took = begun.elapsed();
        let frame = match frame {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => return,
            Err(error) => Err(failed(&error).into()),
        };
        let over = frame.is_err();
        let sent = timeout(STALLED_MAX, frames.send(frame)).await;
        if over || !matches!(sent, Ok(Ok(()))) {
            return;
        }
        sleep(took).await;
    }
}

fn failed(error: &SaveError) -> Refusal {
    let problem = match error {
        SaveError::NotFormed => Problem::new(ProblemKind::Unavailable, "H3067", error.to_string()),
        SaveError::Rows { .. } | SaveError::Cluster(_) => {
            Problem::new(ProblemKind::Internal, "H9004", error.to_string())
        }
    };
    problem.into()
}
