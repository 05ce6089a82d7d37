//! Many workers that lose their connections at one moment and come back: how long until each is believed in again.
//! They are agents in this process with certificates of their own and nothing to run; the masters are processes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use hortator_actors::agent::{self, AgentConfig, AgentHandle, AgentSeams};
use hortator_actors::mailbox::Meter;
use hortator_actors::mutant::Mutant;
use hortator_actors::seam::{
    Clock, HostMetrics, HostSample, LaunchListener, LaunchSpec, Launcher, LogReader, SpoolFile, Stop,
};
use hortator_core::cluster::{JoinRole, Joiner};
use hortator_core::id::Fence;
use hortator_core::id::{AttemptId, Name, RunId};
use hortator_core::time::Span;
use hortator_proto::frame::{LogAnswer, LogRequest, NodeId, WorkerProfile};
use hortator_raft::Entropy;
use serde::Serialize;

use super::{Cluster, Plan, percentile};
use crate::api::join::{JoinTokenBody, JoinTokenMade};
use crate::cli::client::{Call, Patience};
use crate::cli::error::{Error, Exit};
use crate::cli::join;
use crate::cli::session::Session;
use crate::env::{CallFrom, Listen, OsEntropy, Security, SystemClock, TcpConfig, TcpTransport, ThreadRooms};
use crate::pki::{NodeKey, TlsIdentity};

/// Joins at one time: enough to keep two masters' cores busy.
const JOINS_AT_ONCE: usize = 16;
/// A master that is busy with the others' certificates may take a moment.
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(3),
    request: Duration::from_secs(10),
    retry: Duration::from_secs(30),
};
/// Between two looks at all agents; the resolution of what is measured.
const LOOK: Duration = Duration::from_millis(50);
/// Far above what is promised; whoever is not back by then is counted as missing.
const BACK_MAX: Duration = Duration::from_secs(60);

/// How they came back, in milliseconds since all were told to.
#[derive(Clone, Debug, Serialize)]
pub struct SessionsReport {
    pub sessions: u32,
    pub masters: u32,
    /// From no connection and no life at all: handshakes with all masters, registration, first lease.
    pub first: Spread,
    /// The same lives after all connections were closed.
    pub again: Spread,
    /// Changes of leader or term that masters saw meanwhile, all groups and masters together.
    pub leader_changes: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct Spread {
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl SessionsReport {
    pub fn lines(&self) -> String {
        let spread = |spread: &Spread| {
            format!("p50 {:.0} ms, p99 {:.0} ms, last {:.0} ms", spread.p50_ms, spread.p99_ms, spread.max_ms)
        };
        format!(
            "{} light workers and {} masters\nleased at first  {}\nleased again     {}\nleader changes   {}\n",
            self.sessions,
            self.masters,
            spread(&self.first),
            spread(&self.again),
            self.leader_changes
        )
    }
}

/// An agent with connections and nothing to run.
struct LightWorker {
    agent: AgentHandle,
    transport: Arc<TcpTransport>,
    masters: Vec<String>,
}

/// Lets so many in, closes all their connections, and watches them come back.
pub async fn sessions(
    count: u32,
    plan: &Plan,
    cluster: &Cluster,
    session: &Session,
) -> Result<SessionsReport, Error> {
    let joined: Vec<Result<Admitted, Error>> = stream::iter(1..=count)
        .map(|number| admit(number, session))
        .buffer_unordered(JOINS_AT_ONCE)
        .collect()
        .await;
    let admitted = joined.into_iter().collect::<Result<Vec<Admitted>, Error>>()?;
    let rooms = ThreadRooms::new("light");
    let workers = admitted
        .into_iter()
        .map(|admitted| LightWorker::start(admitted, &rooms, plan))
        .collect::<Result<Vec<LightWorker>, Error>>()?;
    let before = cluster.counters().await?;
    let first = come_back(&workers).await?;
    for worker in &workers {
        worker.transport.dial(Vec::new());
    }
    until_apart(&workers).await?;
    let again = come_back(&workers).await?;
    let leader_changes = cluster.counters().await?.since(&before).leader_changes;
    drop(workers);
    Ok(SessionsReport { sessions: count, masters: plan.masters, first, again, leader_changes })
}

/// A worker's identity and where the masters are.
struct Admitted {
    name: Name,
    cluster: [u8; 16],
    identity: TlsIdentity,
    masters: Vec<String>,
}

async fn admit(number: u32, session: &Session) -> Result<Admitted, Error> {
    let name = Name::new(&format!("light-{number}")).expect("the grammar of names allows it");
    let body = JoinTokenBody { role: JoinRole::Worker, valid_for: None };
    let made: JoinTokenMade = session.client.ask(Call::post_json("/cluster/join-tokens", &body)).await?;
    let token = made.token.parse().map_err(|error| trouble(format!("the join token: {error}")))?;
    let joiner = Joiner::Worker { name: name.clone() };
    let joined = join::join(&token, joiner, NodeKey::create(), PATIENCE).await?;
    let identity = TlsIdentity::new(&joined.identity).map_err(|error| trouble(error.to_string()))?;
    let masters = joined.masters.into_iter().map(|master| master.worker).collect();
    Ok(Admitted { name, cluster: joined.identity.facts.cluster, identity, masters })
}

impl LightWorker {
    /// It calls nobody yet.
    fn start(admitted: Admitted, rooms: &ThreadRooms, plan: &Plan) -> Result<LightWorker, Error> {
        let Admitted { name, cluster, identity, masters } = admitted;
        let tcp = TcpConfig {
            node: NodeId::Worker(name.clone()),
            cluster,
            security: Security::Tls(identity),
            version: env!("CARGO_PKG_VERSION").into(),
            listen: Listen::Nowhere,
            call_from: CallFrom::Any,
        };
        let transport = TcpTransport::start(tcp, &plan.log)
            .map_err(|error| Error::io("cannot start a light worker", &error))?;
        let transport = Arc::new(transport);
        let profile = WorkerProfile {
            groups: vec![Name::new("light").expect("the grammar of names allows it")],
            slots: 1,
            kinds: Vec::new(),
            zone: None,
            labels: Default::default(),
            version: env!("CARGO_PKG_VERSION").into(),
            host: "light".into(),
            ..WorkerProfile::default()
        };
        let seams = AgentSeams {
            clock: Arc::new(SystemClock),
            entropy: Arc::new(|_: &str| Box::new(OsEntropy::new()) as Box<dyn Entropy>),
            transport: transport.clone(),
            launcher: Arc::new(Idle),
            logs: Arc::new(Idle),
            host: Box::new(Idle),
            meter: Arc::<Meter>::default(),
        };
        let config = AgentConfig { name, profile, earlier_lives_dead: true, mutant: Mutant::None };
        let agent = agent::start(rooms, config, seams, Box::new(Idle), &plan.log);
        Ok(LightWorker { agent, transport, masters })
    }
}

/// Tells all to call the masters, and waits until each has a lease that rests on a heartbeat of after that.
async fn come_back(workers: &[LightWorker]) -> Result<Spread, Error> {
    let (begun, told) = (Instant::now(), SystemClock.boot());
    for worker in workers {
        worker.transport.dial(worker.masters.clone());
    }
    let mut missing: Vec<&LightWorker> = workers.iter().collect();
    let mut took = Vec::new();
    while !missing.is_empty() {
        if begun.elapsed() > BACK_MAX {
            return Err(trouble(format!("{} of {} workers are not leased", missing.len(), workers.len())));
        }
        tokio::time::sleep(LOOK).await;
        let mut still = Vec::new();
        for worker in missing {
            match worker.agent.observe().await {
                Some(seen) if seen.renewed_at > told => took.push(begun.elapsed().as_secs_f64() * 1e3),
                _ => still.push(worker),
            }
        }
        missing = still;
    }
    let max_ms = took.iter().copied().fold(0.0, f64::max);
    Ok(Spread { p50_ms: percentile(&mut took, 50), p99_ms: percentile(&mut took, 99), max_ms })
}

async fn until_apart(workers: &[LightWorker]) -> Result<(), Error> {
    let begun = Instant::now();
    for worker in workers {
        while worker.agent.observe().await.is_some_and(|seen| !seen.sessions.is_empty()) {
            if begun.elapsed() > BACK_MAX {
                return Err(trouble("connections do not close".into()));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

fn trouble(detail: String) -> Error {
    Error::new(Exit::Unexpected, "H9032", detail)
}

/// Launches nothing, keeps nothing, has nothing to tell.
struct Idle;

impl Launcher for Idle {
    fn listen(&self, _: LaunchListener) {}
    fn start(&self, specs: Vec<LaunchSpec>) {
        assert!(specs.is_empty(), "no task asks for the group of light workers");
    }
    fn stop(&self, _: AttemptId, _: Fence, _: Stop) {}
    fn set_deadline(&self, _: Option<Span>) {}
    fn run_ended(&self, _: RunId) {}
    fn shutdown(&self) {}
}

impl LogReader for Idle {
    fn read(&self, request: &LogRequest, reply: Box<dyn FnOnce(LogAnswer) + Send>) {
        reply(LogAnswer { id: request.id, result: Err("a light worker has no logs".into()) });
    }
}

impl HostMetrics for Idle {
    fn sample(&mut self) -> HostSample {
        HostSample::default()
    }
}

impl SpoolFile for Idle {
    fn read(&mut self) -> std::io::Result<Vec<bytes::Bytes>> {
        Ok(Vec::new())
    }
    fn append(&mut self, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }
    fn replace(&mut self, _: &[bytes::Bytes]) -> std::io::Result<()> {
        Ok(())
    }
}
