//! An attempt's log as plain text: from an offset to its end, or followed until the attempt is over.
//! Offsets are bytes of the log file, so a client that counted what it got can go on from there.

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use hortator_actors::gateway::LogSelector;
use hortator_core::id::{Position, RunId};
use hortator_proto::api::{Problem, ProblemKind, Query, Request, Response, TaskRunDetail, TaskSelector};
use hortator_proto::frame::LogChunk;
use serde::Deserialize;

use super::Backend;
use super::body::namespace_default;
use super::events::is_passing;
use super::problem::{Refusal, code};
use super::reference;
use super::streams::{KEEPALIVE, Pace, Streams, Ticket};

/// Bytes asked of the worker at a time; well below a frame's bound.
const BYTES_PER_READ: u32 = 256 << 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    item: Option<u32>,
    attempt: Option<u16>,
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    follow: bool,
    namespace: Option<String>,
}

/// `GET /runs/{id}/tasks/{task}/log`
pub(super) async fn show(
    backend: web::Data<dyn Backend>,
    streams: web::Data<Streams>,
    path: web::Path<(String, String)>,
    query: web::Query<LogQuery>,
) -> Result<HttpResponse, Refusal> {
    let (run, task) = path.into_inner();
    let namespace = query.namespace.as_deref().map_or_else(|| Ok(namespace_default()), reference::name)?;
    let run = reference::run_id(&**backend, &run, &namespace).await?;
    let task = TaskSelector { task: reference::name(&task)?, item: query.item };
    let ticket = streams.enter()?;
    let log = match query.follow {
        true => wait_for_attempt(&**backend, run, &task, query.attempt).await?,
        false => select(&detail(&**backend, run, &task).await?, run, query.attempt)?,
    };
    let first = backend.read_log(log.clone(), query.offset, BYTES_PER_READ).await?;
    let reader = Reader {
        backend,
        log,
        offset: query.offset,
        follow: query.follow,
        ready: Some(first),
        pace: Pace::new(),
        over: false,
        _ticket: ticket,
    };
    let attempt = reader.log.attempt;
    let chunks = stream::unfold(reader, |mut reader| async move {
        let chunk = reader.next_chunk().await?;
        Some((chunk, reader))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header(("Hortator-Attempt", attempt.to_string()))
        .streaming(chunks))
}

pub(super) async fn detail(
    backend: &dyn Backend,
    run: RunId,
    task: &TaskSelector,
) -> Result<TaskRunDetail, Refusal> {
    match backend.request(Request::Query(Query::TaskRun { run, task: task.clone() })).await {
        Response::TaskRun(detail) => Ok(*detail),
        other => Err(Refusal::of(other, "TaskRun")),
    }
}

/// The log of the attempt asked for, else of the latest.
fn select(detail: &TaskRunDetail, run: RunId, attempt: Option<u16>) -> Result<LogSelector, Refusal> {
    let view = &detail.view;
    let Some(latest) = detail.attempts.last() else {
        let detail =
            format!("task {:?} has no log: it is {} and was never started", view.id.as_str(), view.state);
        let hint = format!("hortator explain {run}/{}", view.id);
        return Err(Problem::new(ProblemKind::Conflict, code::NOT_STARTED, detail).hint(hint).into());
    };
    let found = match attempt {
        None => Some(latest),
        Some(number) => detail.attempts.iter().find(|attempt| attempt.attempt == number),
    };
    let found = found.ok_or_else(|| {
        let (number, latest) = (attempt.unwrap_or_default(), latest.attempt);
        let detail = format!("task {:?} has no attempt {number}; its latest is {latest}", view.id.as_str());
        Refusal::from(Problem::new(ProblemKind::NotFound, code::NO_SUCH_ATTEMPT, detail))
    })?;
    Ok(LogSelector {
        run,
        namespace: detail.namespace.clone(),
        workflow: detail.workflow.clone(),
        task: view.id.clone(),
        key: detail.key,
        item: view.item,
        attempt: found.attempt,
        worker: found.worker.clone(),
    })
}

/// Waits until the task run has the attempt, or is over without it.
async fn wait_for_attempt(
    backend: &dyn Backend,
    run: RunId,
    task: &TaskSelector,
    attempt: Option<u16>,
) -> Result<LogSelector, Refusal> {
    let mut pace = Pace::new();
    loop {
        // The position is taken first, so nothing that happens after the look is missed.
        let seen = run_position(backend, run).await?;
        let detail = detail(backend, run, task).await?;
        match select(&detail, run, attempt) {
            Ok(log) => return Ok(log),
            Err(refusal) if detail.last => return Err(refusal),
            Err(_) => pace.news(backend, seen, KEEPALIVE).await,
        };
    }
}

async fn run_position(backend: &dyn Backend, run: RunId) -> Result<Position, Refusal> {
    match backend.request(Request::Query(Query::Run { run })).await {
        Response::Run(view) => Ok(view.position),
        other => Err(Refusal::of(other, "Run")),
    }
}

struct Reader {
    backend: web::Data<dyn Backend>,
    log: LogSelector,
    offset: u64,
    follow: bool,
    /// A piece that was already read.
    ready: Option<LogChunk>,
    pace: Pace,
    over: bool,
    _ticket: Ticket,
}

impl Reader {
    /// The next piece of text; an error cuts the answer short, which the client sees as an incomplete one.
    async fn next_chunk(&mut self) -> Option<Result<Bytes, actix_web::Error>> {
        while !self.over {
            let read = match self.ready.take() {
                Some(chunk) => Ok(chunk),
                None => self.backend.read_log(self.log.clone(), self.offset, BYTES_PER_READ).await,
            };
            match read {
                Ok(chunk) if chunk.bytes.is_empty() => {
                    // A closed log may still grow between the last read and its end; one empty read of a closed
                    // one is the end.
                    self.over = !(self.follow && chunk.open);
                    if !self.over {
                        self.pace.rest().await;
                    }
                }
                Ok(chunk) => {
                    self.offset = chunk.next_offset;
                    self.pace.reset();
                    return Some(Ok(chunk.bytes));
                }
                Err(problem) if self.follow && is_passing(problem.kind) => self.pace.rest().await,
                Err(problem) => {
                    self.over = true;
                    return Some(Err(Refusal::from(problem).into()));
                }
            }
        }
        None
    }
}
