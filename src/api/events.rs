//! A run's history: a page of it as JSON, or all of it and what follows as server-sent events.
//! An event's id is its position, `GROUP:INDEX`; of the events of one entry the last carries it, so a client that
//! comes back with Last-Event-ID sees every entry once and whole.

use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::stream;
use hortator_core::id::{Position, RunId};
use hortator_core::time::Timestamp;
use hortator_proto::api::{EventEntry, ProblemKind, Query, Request, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Backend;
use super::body::{EndBody, EventsPage, namespace_default};
use super::problem::Refusal;
use super::reference;
use super::streams::{KEEPALIVE, Pace, Streams, Ticket};

/// Entries fetched at a time for a stream.
const ENTRIES_PER_LOOK: u32 = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    after: Option<String>,
    limit: Option<u32>,
    namespace: Option<String>,
}

/// `GET /runs/{id}/events`
pub(super) async fn show(
    backend: web::Data<dyn Backend>,
    streams: web::Data<Streams>,
    request: HttpRequest,
    path: web::Path<String>,
    query: web::Query<EventsQuery>,
) -> Result<HttpResponse, Refusal> {
    let namespace = query.namespace.as_deref().map_or_else(|| Ok(namespace_default()), reference::name)?;
    let run = reference::run_id(&**backend, &path, &namespace).await?;
    let after = match last_event_id(request.headers())?.or(query.after.as_deref()) {
        Some(text) => parse_position(text, run)?.index,
        None => 0,
    };
    if wants_stream(request.headers()) {
        return follow(backend, &streams, run, after).await;
    }
    let limit = reference::limit(query.limit)?;
    let (entries, last, position) = look(&**backend, run, after, limit).await?;
    let full = entries.len() as u32 >= limit;
    let next = entries.last().map_or(Position { group: run.shard(), index: after }, |entry| entry.position);
    Ok(HttpResponse::Ok().insert_header(("Hortator-Position", position.to_string())).json(EventsPage {
        entries,
        last: last && !full,
        next,
    }))
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    accept.split(',').any(|part| part.split(';').next().unwrap_or("").trim() == "text/event-stream")
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(value) = headers.get("Last-Event-ID") else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| Refusal::bad_request("Last-Event-ID is not plain text"))?;
    Ok(Some(text.trim()).filter(|text| !text.is_empty()))
}

fn parse_position(text: &str, run: RunId) -> Result<Position, Refusal> {
    let position: Position = text.parse().map_err(|error| Refusal::bad_request(format!("{error}")))?;
    if position.group != run.shard() {
        let shard = run.shard();
        return Err(Refusal::bad_request(format!(
            "position {position} is of another group; the run is in {shard}"
        )));
    }
    Ok(position)
}

async fn look(
    backend: &dyn Backend,
    run: RunId,
    after: u64,
    limit: u32,
) -> Result<(Vec<EventEntry>, bool, Position), Refusal> {
    match backend.request(Request::Query(Query::Events { run, after, limit })).await {
        Response::Events { entries, last, position } => Ok((entries, last, position)),
        other => Err(Refusal::of(other, "Events")),
    }
}

/// Answers with a stream once the first look has succeeded, so that a wrong run is still a 404.
async fn follow(
    backend: web::Data<dyn Backend>,
    streams: &Streams,
    run: RunId,
    after: u64,
) -> Result<HttpResponse, Refusal> {
    let ticket = streams.enter()?;
    let first = look(&**backend, run, after, ENTRIES_PER_LOOK).await?;
    let follower =
        Follower { backend, run, after, ready: Some(first), pace: Pace::new(), done: false, _ticket: ticket };
    let chunks = stream::unfold(follower, |mut follower| async move {
        let chunk = follower.next_chunk().await?;
        Some((Ok::<Bytes, actix_web::Error>(chunk), follower))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(chunks))
}

struct Follower {
    backend: web::Data<dyn Backend>,
    run: RunId,
    /// Everything up to this index was sent.
    after: u64,
    /// A look that was already made.
    ready: Option<(Vec<EventEntry>, bool, Position)>,
    pace: Pace,
    done: bool,
    _ticket: Ticket,
}

impl Follower {
    /// The next piece of the stream; none after the `end` event.
    async fn next_chunk(&mut self) -> Option<Bytes> {
        let mut waited = Duration::ZERO;
        while !self.done {
            let looked = match self.ready.take() {
                Some(looked) => Ok(looked),
                None => look(&**self.backend, self.run, self.after, ENTRIES_PER_LOOK).await,
            };
            let begun = tokio::time::Instant::now();
            match looked {
                Ok((entries, last, position)) => {
                    let full = entries.len() as u32 >= ENTRIES_PER_LOOK;
                    let end = last && !full;
                    if end || !entries.is_empty() {
                        return Some(self.chunk(entries, end).await);
                    }
                    self.after = self.after.max(position.index);
                    let seen = Position { group: self.run.shard(), index: self.after };
                    self.pace.news(&**self.backend, seen, KEEPALIVE.saturating_sub(waited)).await;
                }
                Err(refusal) if is_passing(refusal.problem.kind) => self.pace.rest().await,
                Err(refusal) => {
                    self.done = true;
                    return Some(message("problem", &refusal.document(), None).into());
                }
            }
            waited += begun.elapsed();
            if waited >= KEEPALIVE {
                return Some(Bytes::from_static(b": still here\n\n"));
            }
        }
        None
    }

    async fn chunk(&mut self, entries: Vec<EventEntry>, end: bool) -> Bytes {
        let mut text = String::new();
        for entry in &entries {
            write_entry(&mut text, entry);
        }
        if let Some(entry) = entries.last() {
            self.after = entry.position.index;
            self.pace.reset();
        }
        if end {
            self.done = true;
            let run = self.run;
            let state = match self.backend.request(Request::Query(Query::Run { run })).await {
                Response::Run(view) => view.state,
                _ => "unknown".into(),
            };
            text.push_str(&message("end", &EndBody { run, state }, None));
        }
        text.into()
    }
}

/// A refusal that time may lift: the stream waits instead of ending.
pub(super) fn is_passing(kind: ProblemKind) -> bool {
    matches!(kind, ProblemKind::Busy | ProblemKind::Unavailable)
}

fn write_entry(text: &mut String, entry: &EventEntry) {
    #[derive(Serialize)]
    struct Line<'a> {
        position: Position,
        at: Timestamp,
        #[serde(flatten)]
        event: &'a hortator_core::event::Event,
    }
    let count = entry.events.len();
    for (place, event) in entry.events.iter().enumerate() {
        let id = (place + 1 == count).then_some(entry.position);
        text.push_str(&message("history", &Line { position: entry.position, at: entry.at, event }, id));
    }
}

fn message(event: &str, data: &impl Serialize, id: Option<Position>) -> String {
    let data =
        serde_json::to_string(data).unwrap_or_else(|error| json!({ "error": error.to_string() }).to_string());
    match id {
        Some(id) => format!("event: {event}\ndata: {data}\nid: {id}\n\n"),
        None => format!("event: {event}\ndata: {data}\n\n"),
    }
}
