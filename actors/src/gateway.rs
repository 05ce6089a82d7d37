//! The door for clients on every master: takes a request, finds the leader of its group, passes the answer back.
//! Must not know HTTP, and decides nothing.

mod cut;
mod questions;
mod reply;
mod workers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use bytes::Bytes;
use hortator_core::id::{AttemptId, Name, RunId, TaskKey, TaskRunId};
use hortator_proto::api::{Home, Look, Problem, ProblemKind, Query, Request, Response, Sight};
use hortator_proto::frame::{LogAnswer, LogChunk, LogRequest, PeerFrame, SpeaksFor, ToWorker};
use hortator_proto::row::CaRow;
use hortator_raft::Rows;
use slog::{Logger, debug};
use tokio::sync::oneshot;

use crate::context::{self, Context};
use crate::inside;
use crate::leaders::{Leaders, Leadership, MEMBERSHIP};
use crate::mailbox::{Mailbox, Meter};
use crate::membership::{self, AskMembership};
use crate::merge;
use crate::metrics;
use crate::observe::ActorName;
use crate::post::Post;
use crate::shard::AskShard;
use crate::status::{self, StatusParts};
use crate::tables::Tables;

pub use questions::QuestionIds;
use questions::{Coming, Lately, is_done_once};
use reply::{Memory, timed_out};
pub use reply::{NO_LEADER, PeerReply, ReplyTo, busy, no_leader};

/// How long a request looks for its leader and waits for the answer. Longer than an election and a rebuild; a client
/// that gives up earlier repeats itself with its idempotency key.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before a request that found no leader looks again; an election takes half a second at least.
const RETRY_PAUSE: Duration = Duration::from_millis(25);
/// How long a question that may be asked twice waits for its answer before it is asked again, at first; each time it
/// waits twice as long. A frame between masters may be lost with its connection.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long a worker may take to read a piece of a log; reading 1 MiB takes a few milliseconds.
const LOG_TIMEOUT: Duration = Duration::from_secs(5);
/// Requests under way on one master; above it clients are told to come back.
const REQUESTS_MAX: usize = 10_000;

/// What the HTTP layer holds. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct GatewayHandle {
    gateway: Mailbox<Gateway>,
    ids: QuestionIds,
    rows: BTreeMap<u32, Rows>,
    applied: BTreeMap<u32, tokio::sync::watch::Receiver<u64>>,
    status: StatusParts,
    tables: Tables,
    shards: u32,
}

/// Which log to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSelector {
    pub run: RunId,
    pub namespace: Name,
    pub workflow: Name,
    pub task: Name,
    pub key: TaskKey,
    /// Set for items of a `foreach`.
    pub item: Option<u32>,
    pub attempt: u16,
    pub worker: Name,
}

impl GatewayHandle {
    pub fn new(
        gateway: Mailbox<Gateway>,
        ids: QuestionIds,
        rows: BTreeMap<u32, Rows>,
        applied: BTreeMap<u32, tokio::sync::watch::Receiver<u64>>,
        status: StatusParts,
        shards: u32,
    ) -> GatewayHandle {
        let tables = status.tables.clone();
        GatewayHandle { gateway, ids, rows, applied, status, tables, shards }
    }

    /// Masters and tokens as this master's rows have them. Whoever keeps a stream open looks again when they change.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The cluster's authority for certificates, with its private key: for whoever signs, and for nobody else. None
    /// on a master that has not caught up yet, and in a cluster without certificates.
    pub fn authority(&self) -> Option<CaRow> {
        // A file that is closed for the moment is as good as one that has not caught up.
        membership::authority(self.rows.get(&MEMBERSHIP)?).ok().flatten()
    }

    /// The rows of one group as this master has them, for who compares replicas.
    pub fn rows_of(&self, group: u32) -> Option<&Rows> {
        self.rows.get(&group)
    }

    /// Routes a request to its leader and waits for the answer, at most `REQUEST_TIMEOUT`.
    pub async fn request(&self, request: Request) -> Response {
        let deadline = tokio::time::Instant::now() + REQUEST_TIMEOUT;
        match request.home(self.shards) {
            Home::Here => status::status(&self.status, self.workers().await).await,
            Home::Membership if matches!(request, Request::Query(Query::Workers)) => {
                Response::Workers(self.workers().await)
            }
            Home::Membership => self.ask(MEMBERSHIP, request, deadline).await,
            Home::Shard(shard) => self.ask(shard, request, deadline).await,
            Home::EveryShard => {
                let mut parts = Vec::new();
                for shard in 1..=self.shards {
                    parts.push(self.ask(shard, request.clone(), deadline).await);
                }
                merge::merge(&request, parts)
            }
        }
    }

    async fn ask(&self, group: u32, request: Request, deadline: tokio::time::Instant) -> Response {
        let of_membership = request.home(self.shards) == Home::Membership;
        if group > self.shards || (group == MEMBERSHIP) != of_membership {
            let detail =
                format!("no such run: its id names shard {group}, and this cluster has {}", self.shards);
            return Response::Problem(Problem::new(ProblemKind::NotFound, "H3001", detail));
        }
        let mut patience = ASK_AGAIN_AFTER;
        // However often it is asked, it is one question.
        let id = self.ids.take();
        loop {
            let (reply, answer) = oneshot::channel();
            let until = match is_repeatable(&request) {
                true => deadline.min(tokio::time::Instant::now() + patience),
                false => deadline,
            };
            let asked = self.gateway.send(AskLeader { id, group, request: request.clone(), reply });
            let response = match asked {
                Err(_) => busy("this master handles as many requests as it can"),
                Ok(()) => match tokio::time::timeout_at(until, answer).await {
                    Ok(Ok(response)) => response,
                    // The leader went away with the question, or the question never came there; whether a command
                    // happened is unknown, and the shard answers a repeated one by its key.
                    Ok(Err(_)) if is_repeatable(&request) => no_leader(group),
                    Err(_) if until < deadline => {
                        patience *= 2;
                        no_leader(group)
                    }
                    Ok(Err(_)) | Err(_) => return timed_out(group),
                },
            };
            let again = matches!(&response, Response::Problem(problem) if problem.code == NO_LEADER);
            if !again || tokio::time::Instant::now() + RETRY_PAUSE >= deadline {
                return response;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// Reads whole lines of an attempt's log from its worker, at most `bytes_max`.
    pub async fn read_log(&self, log: LogSelector, offset: u64, bytes_max: u32) -> Result<LogChunk, Problem> {
        let worker = log.worker.clone();
        let (reply, answer) = oneshot::channel();
        let asked = self.gateway.send(AskWorker { log, offset, bytes_max, reply });
        let gone = || {
            let detail = format!(
                "the log lies on worker {worker}, which does not answer; a lost host's logs are gone"
            );
            Problem::new(ProblemKind::Unavailable, "H3010", detail).hint("hortator worker list")
        };
        if asked.is_err() {
            return Err(gone());
        }
        match tokio::time::timeout(LOG_TIMEOUT, answer).await {
            Ok(Ok(LogAnswer { result: Ok(chunk), .. })) => Ok(chunk),
            Ok(Ok(LogAnswer { result: Err(why), .. })) => Err(Problem::new(
                ProblemKind::NotFound,
                "H3011",
                format!("worker {worker} has no such log: {why}"),
            )),
            Ok(Err(_)) | Err(_) => Err(gone()),
        }
    }

    /// Resolves when this master's replica of the group has applied more than `index`, with what it has applied.
    pub async fn applied_past(&self, group: u32, index: u64) -> u64 {
        let Some(mut applied) = self.applied.get(&group).cloned() else {
            return std::future::pending().await;
        };
        match applied.wait_for(|applied| *applied > index).await {
            Ok(applied) => *applied,
            Err(_) => std::future::pending().await,
        }
    }

    /// Number of shards of the cluster.
    pub fn shards(&self) -> u32 {
        self.shards
    }

    /// Whether this master is ready to serve, with a line per check.
    pub async fn readiness(&self) -> Vec<(String, Result<(), String>)> {
        status::readiness(&self.status)
    }

    /// The node's metrics in OpenMetrics text.
    pub async fn metrics(&self) -> String {
        metrics::metrics(&self.status).await
    }

    /// A look into this master itself.
    pub async fn look(&self, look: Look) -> Result<Sight, Problem> {
        inside::look(&self.status, look).await
    }
}

impl std::fmt::Debug for GatewayHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GatewayHandle")
    }
}

/// Whether asking twice does no harm: queries, and commands that carry a key or lead to one state.
fn is_repeatable(request: &Request) -> bool {
    use hortator_proto::api::Command;
    match request {
        Request::Query(_) => true,
        Request::Command(Command::Start { key, .. } | Command::ScheduleTrigger { key, .. }) => key.is_some(),
        Request::Command(Command::SetLimit { .. } | Command::DeleteLimit { .. }) => true,
        Request::Command(Command::Apply { .. } | Command::Cancel { .. } | Command::ScheduleSwitch { .. }) => {
            true
        }
        Request::Command(
            Command::OrderWorker { .. }
            | Command::ChangeSettings { .. }
            | Command::SetGroup { .. }
            | Command::DeleteGroup { .. }
            | Command::SetQuota { .. },
        ) => true,
        Request::Command(
            Command::TokenCreate { .. }
            | Command::TokenRevoke { .. }
            | Command::JoinTokenCreate { .. }
            | Command::Redeem { .. }
            | Command::MasterRemove { .. }
            | Command::MasterMove { .. },
        ) => true,
        Request::Command(Command::RetryFailed { .. }) => false,
    }
}

/// Where a master is, only it may say.
fn speaks_for_another(from: u64, request: &Request) -> bool {
    use hortator_proto::api::Command;
    matches!(request, Request::Command(Command::MasterMove { id, .. }) if *id != from)
}

/// A client's request, for the leader of a group.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AskLeader {
    pub id: u64,
    pub group: u32,
    pub request: Request,
    pub reply: oneshot::Sender<Response>,
}

/// A client reads a log.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AskWorker {
    pub log: LogSelector,
    pub offset: u64,
    pub bytes_max: u32,
    pub reply: oneshot::Sender<LogAnswer>,
}

/// Another master's Gateway asks this one's shard.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AskedByPeer {
    pub from: u64,
    pub id: u64,
    pub body: Bytes,
}

/// Another master answers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PeerAnswer {
    pub from: u64,
    pub id: u64,
    pub body: Bytes,
}

/// A worker answers.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LogAnswered(pub LogAnswer);

/// What travels between two Gateways.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct PeerBody {
    group: u32,
    /// In which the asked one leads: what comes to a later leader was asked again meanwhile, or given up.
    term: u64,
    request: Request,
}

/// See the module.
pub struct Gateway {
    me: u64,
    post: Arc<Post>,
    leaders: Arc<Leaders>,
    ids: QuestionIds,
    lately: Arc<Lately>,
    asked: BTreeMap<u64, oneshot::Sender<Response>>,
    logs: BTreeMap<u64, oneshot::Sender<LogAnswer>>,
    log: Logger,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gateway(n{})", self.me)
    }
}

impl Gateway {
    /// Starts it in the present room.
    pub fn start_in_room(
        me: u64,
        ids: QuestionIds,
        post: Arc<Post>,
        leaders: Arc<Leaders>,
        meter: Arc<Meter>,
        log: Logger,
    ) -> Mailbox<Gateway> {
        let (asked, logs) = (BTreeMap::new(), BTreeMap::new());
        let gateway = Gateway { me, post, leaders, ids, lately: Arc::default(), asked, logs, log };
        context::start(&meter, ActorName::Only, gateway)
    }

    /// Questions whose client has gone away are forgotten.
    fn sweep(&mut self) {
        self.asked.retain(|_, reply| !reply.is_closed());
        self.logs.retain(|_, reply| !reply.is_closed());
    }

    /// A full mailbox drops the question with its reply channel: the asking side sees that it closed.
    fn ask_here(&self, (group, term): (u32, u64), request: Request, reply: ReplyTo) {
        let _ = match (self.post.shard(group), self.post.membership()) {
            (Some(shard), _) => shard.send(AskShard { term, request, reply }),
            (None, Some(membership)) if group == MEMBERSHIP => {
                membership.send(AskMembership { term, request, reply })
            }
            (None, _) => return reply.send(no_leader(group)),
        };
    }
}

impl Actor for Gateway {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.set_mailbox_capacity(REQUESTS_MAX);
        ctx.run_interval(REQUEST_TIMEOUT, |gateway, _| gateway.sweep());
    }
}

impl Handler<AskLeader> for Gateway {
    type Result = ();

    fn handle(&mut self, AskLeader { id, group, request, reply }: AskLeader, _: &mut Context<Self>) {
        let Leadership { leader, term } = self.leaders.of(group);
        match leader {
            None => drop(reply.send(no_leader(group))),
            Some(leader) if leader == self.me => self.ask_here((group, term), request, ReplyTo::Here(reply)),
            Some(_) if self.asked.len() >= REQUESTS_MAX => {
                drop(reply.send(busy("too many requests are under way")))
            }
            Some(leader) => {
                self.asked.insert(id, reply);
                let body =
                    serde_json::to_vec(&PeerBody { group, term, request }).expect("a request is always JSON");
                self.post.to_master(leader, PeerFrame::Request { id, body: body.into() });
            }
        }
    }
}

impl Handler<AskedByPeer> for Gateway {
    type Result = ();

    fn handle(&mut self, AskedByPeer { from, id, body }: AskedByPeer, _: &mut Context<Self>) {
        let PeerBody { group, term, request } = match serde_json::from_slice(&body) {
            Ok(body) => body,
            Err(error) => {
                return debug!(self.log, "peer's request refused"; "from" => from, "error" => %error);
            }
        };
        let once = is_done_once(&request);
        if once {
            match self.lately.comes(from, id) {
                Coming::First => {}
                Coming::UnderWay => return,
                Coming::Answered(body) => {
                    return self.post.to_master(from, PeerFrame::Response { id, body });
                }
            }
        }
        let memory = if once { Memory::Kept(self.lately.clone()) } else { Memory::None };
        let reply = ReplyTo::Peer(PeerReply::new(self.post.clone(), (from, id), memory));
        if speaks_for_another(from, &request) {
            let detail = format!("n{from} asks to move another master than itself");
            return reply.send(Response::Problem(Problem::new(ProblemKind::Forbidden, "H3069", detail)));
        }
        self.ask_here((group, term), request, reply);
    }
}

impl Handler<PeerAnswer> for Gateway {
    type Result = ();

    fn handle(&mut self, PeerAnswer { from, id, body }: PeerAnswer, _: &mut Context<Self>) {
        let Some(reply) = self.asked.remove(&id) else { return };
        if body.is_empty() {
            // The question was dropped there, and so it is here.
            return;
        }
        match serde_json::from_slice::<Response>(&body) {
            Ok(response) => drop(reply.send(response)),
            Err(error) => debug!(self.log, "peer's answer refused"; "from" => from, "error" => %error),
        }
    }
}

impl Handler<AskWorker> for Gateway {
    type Result = ();

    fn handle(&mut self, AskWorker { log, offset, bytes_max, reply }: AskWorker, _: &mut Context<Self>) {
        let id = self.ids.take();
        self.logs.insert(id, reply);
        let task_run = TaskRunId { run: log.run, key: log.key };
        let request = LogRequest {
            id,
            attempt: AttemptId { task_run, attempt: log.attempt },
            namespace: log.namespace,
            workflow: log.workflow,
            task: log.task,
            item: log.item,
            offset,
            bytes_max,
        };
        self.post.to_worker(SpeaksFor::Nobody, &log.worker, &ToWorker::ReadLog(request));
    }
}

impl Handler<LogAnswered> for Gateway {
    type Result = ();

    fn handle(&mut self, LogAnswered(answer): LogAnswered, _: &mut Context<Self>) {
        if let Some(reply) = self.logs.remove(&answer.id) {
            drop(reply.send(answer));
        }
    }
}
