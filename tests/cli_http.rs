//! The HTTP API from outside, over a backend that holds a few things in memory: who is let in, what errors look like,
//! how lists are paged, how a history is streamed.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::{FutureExt, LocalBoxFuture};
use hortator::api::backend::Check;
use hortator::api::{ApiServer, Backend, serve_backend};
use hortator_actors::gateway::LogSelector;
use hortator_core::definition::Priority;
use hortator_core::event::{Event, RunOutcome};
use hortator_core::id::{Name, Position, RunId, TaskKey};
use hortator_core::time::Timestamp;
use hortator_proto::api::{
    AttemptView, Command, EventEntry, Problem, ProblemKind, Query, Request, Response, RunView, TaskRunDetail,
    TaskRunView,
};
use hortator_proto::frame::LogChunk;
use serde_json::{Value, json};

const TOKEN: &str = "secret";
const RUNS: u64 = 7;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn run_id(number: u64) -> RunId {
    RunId::new(1_000 + number, 1, u128::from(number))
}

fn run_view(number: u64, state: &str) -> RunView {
    RunView {
        id: run_id(number),
        namespace: name("default"),
        workflow: name("etl"),
        version: 1,
        state: state.into(),
        priority: Priority::Normal,
        by: "admin".into(),
        inputs: BTreeMap::new(),
        created_at: Timestamp(0),
        started_at: None,
        finished_at: None,
        counts: BTreeMap::from([(state.to_owned(), 1)]),
        first_failed: None,
        eta: None,
        reason: None,
        position: Position { group: 1, index: 40 },
    }
}

fn task_view(number: u32) -> TaskRunView {
    TaskRunView {
        id: name("load"),
        item: Some(number),
        state: "succeeded".into(),
        attempt: 1,
        worker: Some(name("w1")),
        exit_code: Some(0),
        signal: None,
        error: None,
        ready_at: None,
        started_at: None,
        finished_at: None,
        outputs: BTreeMap::new(),
        reason: None,
    }
}

/// Answers from memory.
#[derive(Default)]
struct Memory {
    starts: AtomicU64,
}

impl Memory {
    fn answer(&self, request: Request) -> Response {
        match request {
            Request::Query(Query::Runs { before, limit, .. }) => {
                let older =
                    (0..RUNS).rev().filter(|number| before.is_none_or(|before| run_id(*number) < before));
                Response::Runs(
                    older.take(limit as usize).map(|number| run_view(number, "succeeded")).collect(),
                )
            }
            Request::Query(Query::Run { run }) if run == run_id(1) => {
                Response::Run(Box::new(run_view(1, "failed")))
            }
            Request::Query(Query::NthRun { back, .. }) if back < 2 => {
                Response::Run(Box::new(run_view(RUNS - 1 - u64::from(back), "succeeded")))
            }
            Request::Query(Query::TaskRuns { after, limit, .. }) => {
                let first = after.map_or(0, |after| after.item + 1);
                let tasks: Vec<_> = (first..5).take(limit as usize).map(task_view).collect();
                let last = first + tasks.len() as u32;
                let next = (last < 5).then(|| TaskKey { task: 0, item: last - 1 });
                Response::TaskRuns { tasks, next, position: Position { group: 1, index: 40 } }
            }
            Request::Query(Query::TaskRun { task, .. }) => Response::TaskRun(Box::new(TaskRunDetail {
                view: task_view(0),
                key: TaskKey { task: 0, item: 0 },
                namespace: name("default"),
                workflow: name("etl"),
                last: true,
                attempts: if task.task.as_str() == "load" { vec![attempt()] } else { Vec::new() },
            })),
            Request::Query(Query::Events { after, limit, .. }) => events(after, limit),
            Request::Command(Command::Start { key, .. }) => Response::Started {
                run: run_id(self.starts.fetch_add(1, Ordering::Relaxed)),
                existing: key.as_deref() == Some("known"),
                position: Position { group: 1, index: 41 },
            },
            Request::Command(Command::Apply { name, .. }) => Response::Applied {
                name,
                version: 3,
                changed: true,
                position: Position { group: 1, index: 42 },
            },
            Request::Query(Query::Status) => {
                Response::Problem(Problem::new(ProblemKind::Unavailable, "H1102", "shard 1 has no leader"))
            }
            _ => Response::Problem(
                Problem::new(ProblemKind::NotFound, "H3001", "run X does not exist")
                    .hint("hortator ps")
                    .param("run", "X"),
            ),
        }
    }
}

fn attempt() -> AttemptView {
    AttemptView {
        attempt: 1,
        state: "succeeded".into(),
        worker: name("w1"),
        exit_code: Some(0),
        signal: None,
        error: None,
        started_at: None,
        finished_at: None,
    }
}

/// Three entries, at 10, 20 and 30; the one at 20 has two events and the one at 30 ends the run.
fn events(after: u64, limit: u32) -> Response {
    let entry =
        |index, events| EventEntry { position: Position { group: 1, index }, at: Timestamp(0), events };
    let finished = Event::RunFinished { outcome: RunOutcome::Failed };
    let cancel = Event::RunCancelRequested { by: "admin".into(), reason: None };
    let all = [
        entry(10, vec![Event::RunStarted]),
        entry(20, vec![cancel, Event::RunStarted]),
        entry(30, vec![finished]),
    ];
    let entries = all.into_iter().filter(|entry| entry.position.index > after).take(limit as usize).collect();
    Response::Events { entries, last: true, position: Position { group: 1, index: 40 } }
}

const LOG: &str = "2026-11-20T14:02:03.000001Z o one\n2026-11-20T14:02:03.000002Z e two\n";

impl Backend for Memory {
    fn request(&self, request: Request) -> LocalBoxFuture<'_, Response> {
        let answer = self.answer(request);
        async { answer }.boxed_local()
    }

    fn read_log(&self, _: LogSelector, offset: u64, _: u32) -> LocalBoxFuture<'_, Result<LogChunk, Problem>> {
        let bytes = LOG.as_bytes()[offset as usize..].to_vec();
        async { Ok(LogChunk { bytes: bytes.into(), next_offset: LOG.len() as u64, open: false }) }
            .boxed_local()
    }

    fn applied_past(&self, _: u32, index: u64) -> LocalBoxFuture<'_, u64> {
        async move { index + 1 }.boxed_local()
    }

    fn readiness(&self) -> LocalBoxFuture<'_, Vec<Check>> {
        let checks = vec![("leaders".into(), Ok(())), ("lag".into(), Err("too far behind".into()))];
        async { checks }.boxed_local()
    }

    fn look(
        &self,
        _: hortator_proto::api::Look,
    ) -> LocalBoxFuture<'_, Result<hortator_proto::api::Sight, Problem>> {
        async { Err(Problem::new(hortator_proto::api::ProblemKind::Internal, "H9001", "nothing inside")) }
            .boxed_local()
    }

    fn shards(&self) -> u32 {
        1
    }

    fn cut(&self, _: u32) -> LocalBoxFuture<'_, Result<hortator_raft::RowsView, Problem>> {
        async { Err(Problem::new(hortator_proto::api::ProblemKind::Internal, "H9001", "nothing to save")) }
            .boxed_local()
    }

    fn metrics(&self) -> LocalBoxFuture<'_, String> {
        async { "# EOF\n".into() }.boxed_local()
    }
}

struct Server(Option<ApiServer>);

impl Server {
    fn start() -> Server {
        let log = slog::Logger::root(slog::Discard, slog::o!());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Server(Some(serve_backend(Arc::new(Memory::default()), TOKEN.into(), any, &log).unwrap()))
    }

    fn address(&self) -> SocketAddr {
        self.0.as_ref().unwrap().address()
    }

    /// One request over a connection of its own, every header spelt out.
    fn raw(&self, head: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        let mut text = format!("{head} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
        stream.write_all((text + "\r\n").as_bytes()).unwrap();
        // A body that is refused may not be read to its end.
        let _ = stream.write_all(body);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        Answer::parse(&String::from_utf8_lossy(&bytes))
    }

    fn ask(&self, head: &str, body: &str) -> Answer {
        self.ask_with(head, &[], body)
    }

    fn ask_with(&self, head: &str, more: &[(&str, &str)], body: &str) -> Answer {
        let (host, token) = (self.address().to_string(), format!("Bearer {TOKEN}"));
        let mut headers = vec![("Host", host.as_str()), ("Authorization", token.as_str())];
        headers.extend(more);
        self.raw(head, &headers, body.as_bytes())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.0.take().unwrap().stop();
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn parse(text: &str) -> Answer {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let head = head.to_ascii_lowercase();
        let body = if head.contains("transfer-encoding: chunked") { unchunked(body) } else { body.into() };
        Answer { status, head, body }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// A problem document with its code; checks what all of them have.
    fn problem(&self) -> (u16, String) {
        assert!(self.head.contains("content-type: application/problem+json"), "{}", self.head);
        let document = self.json();
        assert_eq!(document["status"], self.status);
        assert_eq!(document["type"], format!("hortator:{}", document["code"].as_str().unwrap()));
        assert!(
            !document["detail"].as_str().unwrap().is_empty()
                && !document["title"].as_str().unwrap().is_empty()
        );
        (self.status, document["code"].as_str().unwrap().into())
    }
}

fn unchunked(mut body: &str) -> String {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        text.push_str(&rest[..size]);
        body = rest.get(size + 2..).unwrap_or("");
    }
    text
}

#[test]
fn only_those_with_the_token_and_the_right_host_are_let_in() {
    let server = Server::start();
    let (host, token) = (server.address().to_string(), format!("Bearer {TOKEN}"));
    let refused = |headers: &[(&str, &str)]| server.raw("GET /api/v1/runs", headers, b"").problem();
    assert_eq!(refused(&[("Host", &host)]), (401, "H1201".into()));
    assert_eq!(refused(&[("Host", &host), ("Authorization", "Bearer secre")]), (401, "H1201".into()));
    assert_eq!(refused(&[("Host", &host), ("Authorization", "Basic secret")]), (401, "H1201".into()));
    assert_eq!(refused(&[("Host", "evil.example"), ("Authorization", &token)]), (403, "H1204".into()));
    let wrong_port = format!("127.0.0.1:{}", server.address().port().wrapping_add(1));
    assert_eq!(refused(&[("Host", &wrong_port), ("Authorization", &token)]), (403, "H1204".into()));
    let localhost = format!("localhost:{}", server.address().port());
    assert_eq!(
        server.raw("GET /api/v1/runs", &[("Host", &localhost), ("Authorization", &token)], b"").status,
        200
    );
    assert_eq!(server.raw("GET /livez", &[("Host", &host)], b"").status, 200);
    assert_eq!(server.raw("GET /livez", &[("Host", "evil.example")], b"").problem().0, 403);
    assert_eq!(server.raw("GET /metrics", &[("Host", &host)], b"").problem().0, 401);
}

#[test]
fn errors_are_problem_documents() {
    let server = Server::start();
    let problem = |head: &str, body: &str| server.ask(head, body).problem();
    assert_eq!(problem("GET /api/v1/nothing", ""), (404, "H1301".into()));
    assert_eq!(problem("GET /", ""), (404, "H1301".into()));
    assert_eq!(problem("DELETE /api/v1/runs", ""), (405, "H1301".into()));
    assert_eq!(problem("GET /api/v1/runs?limit=0", ""), (400, "H1302".into()));
    assert_eq!(problem("GET /api/v1/runs?limit=x", ""), (400, "H1302".into()));
    assert_eq!(problem("GET /api/v1/runs?stat=failed", ""), (400, "H1302".into()));
    assert_eq!(problem("GET /api/v1/runs/nonsense", ""), (400, "H1302".into()));
    assert_eq!(problem("GET /api/v1/runs/etl@first", ""), (400, "H1302".into()));
    assert_eq!(problem("POST /api/v1/runs", "{"), (400, "H1302".into()));
    assert_eq!(problem("POST /api/v1/runs", r#"{"workflow":"etl","nonsense":1}"#), (400, "H1302".into()));
    let missing = server.ask(&format!("GET /api/v1/runs/{}", run_id(99)), "");
    assert_eq!(missing.problem(), (404, "H3001".into()));
    assert_eq!(
        (missing.json()["hint"].clone(), missing.json()["params"].clone()),
        (json!("hortator ps"), json!({"run": "X"}))
    );
    let down = server.ask("GET /api/v1/status", "");
    assert_eq!(down.problem(), (503, "H1102".into()));
    assert!(down.head.contains("retry-after: 1"), "{}", down.head);
    let large = "x".repeat((1 << 20) + 1);
    assert_eq!(problem("POST /api/v1/runs", &large), (413, "H1303".into()));
    assert!(server.ask("GET /", "").head.contains("hortator-request-id: "));
}

#[test]
fn a_definition_is_checked_at_the_edge() {
    let server = Server::start();
    let good = "hortator: v1\nname: tiny\ntasks:\n  - { id: a, noop: {} }\n";
    let applied = server.ask("POST /api/v1/workflows?file=tiny.yaml", good);
    assert_eq!(applied.status, 200, "{}", applied.body);
    assert_eq!((&applied.json()["version"], &applied.json()["position"]), (&json!(3), &json!("1:42")));
    assert!(applied.head.contains("hortator-position: 1:42"));
    let bad = server.ask("POST /api/v1/workflows?file=tiny.yaml", &good.replace("noop", "nop"));
    assert_eq!(bad.problem(), (422, "H2001".into()));
    let first = &bad.json()["diagnostics"][0];
    assert_eq!((&first["file"], &first["line"]), (&json!("tiny.yaml"), &json!(4)));
    assert!(first["rendered"].as_str().unwrap().contains("tiny.yaml:4:"), "{first}");
}

#[test]
fn a_start_says_whether_the_key_was_known() {
    let server = Server::start();
    let start = |key: &[(&str, &str)]| server.ask_with("POST /api/v1/runs", key, r#"{"workflow":"etl"}"#);
    let new = start(&[("Idempotency-Key", "fresh")]);
    assert_eq!((new.status, &new.json()["existing"]), (201, &json!(false)));
    let known = start(&[("Idempotency-Key", "known")]);
    assert_eq!((known.status, &known.json()["existing"]), (200, &json!(true)));
    assert_eq!(start(&[("Idempotency-Key", &"x".repeat(129))]).problem(), (400, "H1302".into()));
    assert_eq!(start(&[("Idempotency-Key", "a b")]).problem().0, 400);
}

#[test]
fn pages_hold_every_item_once() {
    let server = Server::start();
    for limit in [1, 2, 3, 7, 8, 100] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = server.ask(&format!("GET /api/v1/runs?limit={limit}{cursor}"), "").json();
            seen.extend(page["items"].as_array().unwrap().iter().map(|run| run["id"].clone()));
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let all: Vec<Value> = (0..RUNS).rev().map(|number| json!(run_id(number))).collect();
        assert_eq!(seen, all, "pages of {limit}");
    }
    let tasks = |query: &str| server.ask(&format!("GET /api/v1/runs/{}/tasks{query}", run_id(1)), "");
    let page = tasks("?limit=3").json();
    assert_eq!((page["items"].as_array().unwrap().len(), &page["next"]), (3, &json!("0.2")));
    assert_eq!(tasks("?limit=3&cursor=0.2").json()["next"], Value::Null);
    assert_eq!(tasks("?cursor=x").problem(), (400, "H1302".into()));
}

#[test]
fn runs_are_named_by_id_or_from_the_newest() {
    let server = Server::start();
    let id = |text: &str| server.ask(&format!("GET /api/v1/runs/{text}"), "").json()["id"].clone();
    assert_eq!(id(&run_id(1).to_string().to_lowercase()), json!(run_id(1)));
    assert_eq!(id("etl@latest?wait=1s"), Value::Null, "the backend knows only one run by id");
    let found = |text: &str| server.ask(&format!("GET /api/v1/runs/{text}/tasks"), "").status;
    assert_eq!(
        (found("etl@latest"), found("etl@-1"), found("etl%40-1"), found("etl@-2")),
        (200, 200, 200, 404)
    );
    let waited = server.ask(&format!("GET /api/v1/runs/{}?wait=30s", run_id(1)), "");
    assert_eq!((waited.status, &waited.json()["state"]), (200, &json!("failed")));
}

#[test]
fn a_history_is_a_page_or_a_stream_that_can_be_taken_up_again() {
    let server = Server::start();
    let path = format!("GET /api/v1/runs/{}/events", run_id(1));
    let page = server.ask(&format!("{path}?limit=2"), "").json();
    assert_eq!(
        (page["entries"].as_array().unwrap().len(), &page["next"], &page["last"]),
        (2, &json!("1:20"), &json!(false))
    );
    let page = server.ask(&format!("{path}?after=1:20"), "").json();
    assert_eq!((page["entries"].as_array().unwrap().len(), &page["last"]), (1, &json!(true)));
    assert_eq!(server.ask(&format!("{path}?after=2:20"), "").problem(), (400, "H1302".into()));

    let stream = |id: &[(&str, &str)]| {
        let mut headers = vec![("Accept", "text/event-stream")];
        headers.extend(id);
        server.ask_with(&path, &headers, "")
    };
    let all = stream(&[]);
    assert!(all.head.contains("content-type: text/event-stream"));
    let marks: Vec<&str> =
        all.body.lines().filter(|line| !line.starts_with("data") && !line.is_empty()).collect();
    let expected = [
        "event: history",
        "id: 1:10",
        "event: history",
        "event: history",
        "id: 1:20",
        "event: history",
        "id: 1:30",
        "event: end",
    ];
    assert_eq!(marks, expected, "of an entry's events only the last carries the id");
    assert!(
        all.body
            .ends_with(&format!("event: end\ndata: {{\"run\":\"{}\",\"state\":\"failed\"}}\n\n", run_id(1)))
    );
    let rest = stream(&[("Last-Event-ID", "1:20")]).body;
    assert!(rest.contains("id: 1:30") && !rest.contains("id: 1:20"));
}

#[test]
fn a_log_is_plain_text_from_any_offset() {
    let server = Server::start();
    let path = format!("GET /api/v1/runs/{}/tasks/load/log", run_id(1));
    assert_eq!(server.ask(&path, "").body, LOG);
    assert_eq!(server.ask(&format!("{path}?follow=true&item=0"), "").body, LOG);
    assert_eq!(server.ask(&format!("{path}?offset=34"), "").body, LOG[34..]);
    assert!(server.ask(&path, "").head.contains("hortator-attempt: 1"));
    assert_eq!(server.ask(&format!("{path}?attempt=2"), "").problem(), (404, "H3013".into()));
    let never = format!("GET /api/v1/runs/{}/tasks/never/log", run_id(1));
    assert_eq!(server.ask(&never, "").problem(), (409, "H3012".into()));
    assert_eq!(server.ask(&format!("{never}?follow=true"), "").problem(), (409, "H3012".into()));
}

#[test]
fn readiness_lists_what_is_wrong() {
    let server = Server::start();
    let short = server.ask("GET /readyz", "");
    assert_eq!((short.status, short.body.as_str()), (503, "[-] lag failed: too far behind\nnot ready\n"));
    assert!(server.ask("GET /readyz?verbose", "").body.starts_with("[+] leaders ok\n"));
}

/// Programs rely on these keys: a new one may come, none of these may go or change its name.
#[test]
fn answers_have_these_keys() {
    let server = Server::start();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(" ");
    let run = format!("GET /api/v1/runs/{}", run_id(1));
    let page = server.ask("GET /api/v1/runs", "").json();
    assert_eq!(keys(&page), "items next");
    let view = "counts created_at finished_at first_failed id inputs namespace position priority reason started_at \
                state version workflow";
    assert_eq!(keys(&page["items"][0]).replace("by ", ""), view);
    assert_eq!(keys(&server.ask(&run, "").json()), keys(&page["items"][0]));
    let task =
        "attempt error exit_code finished_at id item outputs ready_at reason signal started_at state worker";
    assert_eq!(keys(&server.ask(&format!("{run}/tasks"), "").json()["items"][0]), task);
    let detail = server.ask(&format!("{run}/tasks/load?item=0"), "").json();
    assert_eq!(
        keys(&detail),
        "attempt attempts error exit_code finished_at id item key last namespace outputs ready_at reason signal \
         started_at state worker workflow"
    );
    let attempt = "attempt error exit_code finished_at signal started_at state worker";
    assert_eq!(keys(&detail["attempts"][0]), attempt);
    let events = server.ask(&format!("{run}/events"), "").json();
    assert_eq!(
        (keys(&events), keys(&events["entries"][0])),
        ("entries last next".into(), "at events position".into())
    );
    assert_eq!(
        events["entries"][0],
        json!({"position": "1:10", "at": "1970-01-01T00:00:00.000000Z",
        "events": [{"event": "run_started"}]})
    );
    let started = server.ask("POST /api/v1/runs", r#"{"workflow":"etl"}"#).json();
    assert_eq!(keys(&started), "existing position run");
    let problem = server.ask("GET /api/v1/nothing", "").json();
    assert_eq!(keys(&problem), "code detail hint status title type");
}
