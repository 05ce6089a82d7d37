//! The API over TLS from outside: whom the client believes, what each role may do, what a revoked token ends, and
//! which callers are hung up on.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{FutureExt, LocalBoxFuture};
use hortator::api::access::{Bearer, CaSource, NoCa, Standing, TokenCheck, TokenRefusal};
use hortator::api::backend::Check;
use hortator::api::{ApiServer, Backend, Door, Security, serve_door};
use hortator::cli::client::{Call, Client, Patience, Target, Way};
use hortator::cli::context::{self, Context, Contexts, save};
use hortator::cli::error::Error;
use hortator::cli::join::{join, renew};
use hortator::env::SystemClock;
use hortator::pki::{
    ApiToken, Ca, ClusterFacts, Identity, JoinToken, NodeKey, NodeRole, TlsIdentity, hash, hex,
};
use hortator_actors::gateway::LogSelector;
use hortator_actors::seam::Clock;
use hortator_core::access::{Role, SecretHash};
use hortator_core::cluster::{JoinedAs, Joiner};
use hortator_core::id::{Name, Position, RunId};
use hortator_core::time::Timestamp;
use hortator_proto::api::{Command, Problem, ProblemKind, Query, Request, Response, Welcome};
use hortator_proto::frame::LogChunk;
use serde_json::{Value, json};
use tokio::sync::watch;

const CLUSTER: [u8; 16] = [5; 16];
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers as little as routes need, and remembers the keys of starts.
#[derive(Default)]
struct Memory {
    keys: Mutex<Vec<Option<String>>>,
    /// Of join tokens that were made: id, hash of the secret, and the key that it was used for.
    joins: Mutex<BTreeMap<String, (SecretHash, Option<SecretHash>)>>,
}

impl Memory {
    fn redeem(&self, token: &str, hash: SecretHash, key: SecretHash, joiner: Joiner) -> Response {
        let mut joins = self.joins.lock().unwrap();
        let refuse = |code: &str| Response::Problem(Problem::new(ProblemKind::Forbidden, code, "no"));
        match joins.get_mut(token).filter(|known| known.0 == hash) {
            None => refuse("H3055"),
            Some((_, Some(used))) if *used != key => refuse("H3056"),
            Some((_, used)) => {
                *used = Some(key);
                let node = match joiner {
                    Joiner::Master { .. } => JoinedAs::Master { id: 4 },
                    Joiner::Worker { name } => JoinedAs::Worker { name },
                };
                let (cluster, masters) = (hex(&CLUSTER), Vec::new());
                Response::Redeemed(Box::new(Welcome { node, cluster, generation: 2, shards: 4, masters }))
            }
        }
    }
}

impl Backend for Memory {
    fn request(&self, request: Request) -> LocalBoxFuture<'_, Response> {
        let position = Position { group: 1, index: 1 };
        let answer = match request {
            Request::Query(Query::Workers) => Response::Workers(Vec::new()),
            Request::Query(Query::Tokens) => Response::Tokens(Vec::new()),
            Request::Query(Query::Events { .. }) => {
                Response::Events { entries: Vec::new(), last: false, position }
            }
            Request::Command(Command::Start { key, .. }) => {
                self.keys.lock().unwrap().push(key);
                Response::Started { run: RunId::new(1, 1, 1), existing: false, position }
            }
            Request::Command(Command::TokenCreate { name, .. }) => {
                Response::Changed { name: name.to_string(), changed: true }
            }
            Request::Command(Command::JoinTokenCreate { id, hash, .. }) => {
                self.joins.lock().unwrap().insert(id.clone(), (hash, None));
                Response::Changed { name: id, changed: true }
            }
            Request::Command(Command::Redeem { token, hash, key, joiner }) => {
                self.redeem(&token, hash, key, joiner)
            }
            Request::Query(Query::Masters) => Response::Masters(vec![
                serde_json::from_value(json!({
                    "id": 1, "name": "n1", "state": "member", "peer": "", "worker": "", "api": "seed.invalid:1",
                    "added_at": "2026-11-20T14:02:03Z",
                }))
                .unwrap(),
            ]),
            Request::Query(Query::Status) => Response::Status(Box::new(
                serde_json::from_value(json!({
                    "cluster": "prod", "verdict": "available", "sentence": "", "masters": [], "groups": [],
                    "workers": [], "runs_live": 0, "runs_queued": 0, "tasks_active": 0,
                }))
                .unwrap(),
            )),
            other => panic!("{other:?} is not asked here"),
        };
        async { answer }.boxed_local()
    }

    fn read_log(&self, _: LogSelector, _: u64, _: u32) -> LocalBoxFuture<'_, Result<LogChunk, Problem>> {
        unreachable!("no log is read here")
    }

    fn applied_past(&self, _: u32, _: u64) -> LocalBoxFuture<'_, u64> {
        std::future::pending().boxed_local()
    }

    fn readiness(&self) -> LocalBoxFuture<'_, Vec<Check>> {
        async { Vec::new() }.boxed_local()
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

/// Tokens that a test may end.
#[derive(Clone, Default)]
struct Tokens {
    known: watch::Sender<BTreeMap<SecretHash, Result<Bearer, TokenRefusal>>>,
    /// Made elsewhere: each time somebody waits for others, the next one comes.
    on_their_way: Arc<Mutex<VecDeque<ApiToken>>>,
}

impl Tokens {
    fn put(&self, token: &str, verdict: Result<Role, TokenRefusal>) {
        let bearer = verdict.map(|role| Bearer { name: token.into(), role });
        self.known.send_modify(|known| drop(known.insert(SecretHash(hash(token)), bearer)));
    }
}

impl TokenCheck for Tokens {
    fn bearer(&self, hash: &SecretHash) -> Result<Bearer, TokenRefusal> {
        self.known.borrow().get(hash).cloned().unwrap_or(Err(TokenRefusal::Unknown))
    }

    fn others(&self) -> Option<LocalBoxFuture<'static, ()>> {
        let (tokens, mut known) = (self.clone(), self.known.subscribe());
        let others = async move {
            let next = tokens.on_their_way.lock().unwrap().pop_front();
            next.iter().for_each(|token| tokens.put(token.text(), Ok(Role::Viewer)));
            known.changed().await.expect("the test's tokens stay");
        };
        Some(others.boxed_local())
    }
}

/// The authority, and who was removed from the cluster.
struct Authority {
    certificate: String,
    key: String,
    removed: Mutex<Vec<NodeRole>>,
}

impl CaSource for Authority {
    fn ca(&self) -> Option<Ca> {
        Ca::from_pem(&self.certificate, &self.key).ok()
    }

    fn standing(&self, role: &NodeRole) -> Standing {
        match self.removed.lock().unwrap().contains(role) {
            true => Standing::Removed,
            false => Standing::Belongs { addresses: vec!["m1.example.org:8910".into()] },
        }
    }

    fn apis(&self) -> Vec<String> {
        vec!["m1.example.org:8910".into(), "m2.example.org:8910".into()]
    }

    fn now(&self) -> Timestamp {
        SystemClock.wall()
    }
}

struct World {
    ca: Ca,
    authority: Arc<Authority>,
    tokens: Arc<Tokens>,
    memory: Arc<Memory>,
    server: ApiServer,
}

impl World {
    fn start() -> World {
        let now = SystemClock.wall();
        let ca = Ca::create(CLUSTER, now);
        let key = NodeKey::create();
        let role = NodeRole::Master(1);
        let names = ["m1.example.org".to_owned()];
        let identity = Identity {
            certificate_pem: ca.sign(&key.csr(), &role, &names, now).unwrap(),
            facts: ClusterFacts { cluster: CLUSTER, name: "t".into(), generation: 1, shards: 1 },
            role,
            authority_pem: ca.certificate_pem().into(),
            key,
        };
        let tokens = Arc::new(Tokens::default());
        for (token, role) in [("view", Role::Viewer), ("operate", Role::Operator), ("admin", Role::Admin)] {
            tokens.put(token, Ok(role));
        }
        tokens.put("over", Err(TokenRefusal::Expired));
        let security = Security::Tls(TlsIdentity::new(&identity).unwrap());
        let authority = Arc::new(Authority {
            certificate: ca.certificate_pem().into(),
            key: ca.key_pem(),
            removed: Mutex::default(),
        });
        let door = Door { security, tokens: tokens.clone(), authority: authority.clone() };
        let memory = Arc::new(Memory::default());
        let log = slog::Logger::root(slog::Discard, slog::o!());
        let server = serve_door(memory.clone(), door, loopback(), &log).unwrap();
        World { ca, authority, tokens, memory, server }
    }

    fn way(&self) -> Way {
        Way::of_authority(&format!("sha256:{}", self.ca.fingerprint())).unwrap()
    }

    fn client(&self, token: &str) -> Client {
        client(&[self.server.address()], token, self.way())
    }
}

fn patience() -> Patience {
    let time = Duration::from_secs(5);
    Patience { connect: Duration::from_secs(1), request: time, retry: Duration::from_secs(1) }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn client(addresses: &[SocketAddr], token: &str, way: Way) -> Client {
    let addresses = addresses.iter().map(|&address| address.into()).collect();
    let target = Target { addresses, token: token.into(), way, source: "the test".into() };
    Client::new(target, patience(), false)
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    actix_rt::System::new().block_on(work)
}

fn start() -> Call {
    Call::post_json("/runs", &json!({ "workflow": "etl", "namespace": "default" }))
}

#[test]
fn masters_are_believed_by_their_authority_only() {
    let (world, other) = (World::start(), Ca::create(CLUSTER, SystemClock.wall()));
    let directory = tempfile::tempdir().unwrap();
    let file = |ca: &Ca, name: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, ca.certificate_pem()).unwrap();
        path.display().to_string()
    };
    let (own_file, other_file) = (file(&world.ca, "own.pem"), file(&other, "other.pem"));
    let ask = |ca: &str| -> Result<Value, Error> {
        let way = Way::of_authority(ca)?;
        block_on(client(&[world.server.address()], "view", way).ask(Call::get("/workers")))
    };
    assert_eq!(ask(&own_file).unwrap()["items"], json!([]));
    assert_eq!(ask(&format!("sha256:{}", world.ca.fingerprint())).unwrap()["items"], json!([]));
    for (ca, code, sentence) in [
        (other_file, "H1005", "is not believed: its certificate is of another authority"),
        (
            format!("sha256:{}", other.fingerprint()),
            "H1005",
            "is not believed: it does not show the authority",
        ),
        ("sha256:12".to_owned(), "H1005", "64 hexadecimal digits"),
        ("/nowhere/ca.pem".to_owned(), "H1005", "cannot read the authority's certificate in /nowhere/ca.pem"),
    ] {
        let error = ask(&ca).unwrap_err();
        assert!(error.code == code && error.detail.contains(sentence), "{error}");
    }
    let plain: Result<Value, Error> =
        block_on(client(&[world.server.address()], "view", Way::Plain).ask(Call::get("/workers")));
    assert!(plain.is_err());
}

#[test]
fn a_token_does_not_travel_in_the_clear_nor_does_a_server_offer_it() {
    let way = Way::Plain.check(&["10.0.0.1:1".parse().unwrap()]).unwrap_err();
    assert!(way.to_string().contains("would travel in the clear"), "{way}");
    assert!(Way::Plain.check(&["127.0.0.1:1".parse().unwrap()]).is_ok());
    let world = World::start();
    let door = Door { security: Security::Loopback, tokens: world.tokens.clone(), authority: Arc::new(NoCa) };
    let log = slog::Logger::root(slog::Discard, slog::o!());
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 0));
    let error = serve_door(world.memory.clone(), door, everywhere, &log).unwrap_err();
    assert!(error.to_string().contains("can be reached from other hosts"), "{error}");
}

#[test]
fn roles_decide_and_say_what_is_missing() {
    let world = World::start();
    let tokens = || Call::get("/cluster/tokens");
    let create =
        || Call::post_json("/cluster/tokens", &json!({ "name": "ci", "role": "viewer", "valid_for": "30d" }));
    let read = || Call::get("/workers");
    let fine = "";
    for (token, call, code) in [
        ("view", read(), fine),
        ("view", start(), "H1203"),
        ("view", tokens(), "H1203"),
        ("operate", read(), fine),
        ("operate", start(), fine),
        ("operate", tokens(), "H1203"),
        ("operate", create(), "H1203"),
        ("admin", start(), fine),
        ("admin", tokens(), fine),
        ("admin", create(), fine),
        ("over", read(), "H1202"),
        ("nobody", read(), "H1201"),
        ("", read(), "H1201"),
    ] {
        let told = format!("{token} {call:?}");
        let answer: Result<Value, Error> = block_on(world.client(token).ask(call));
        assert_eq!(
            answer.as_ref().map_or_else(|error| error.code.as_str(), |_| ""),
            code,
            "{told} {answer:?}"
        );
    }
    let made: Value = block_on(world.client("admin").ask(create())).unwrap();
    let token: ApiToken = made["token"].as_str().unwrap().parse().unwrap();
    let damaged = token.text().replacen(&token.text()[9..11], "__", 1);
    let error = block_on(world.client(&damaged).ask::<Value>(read())).unwrap_err();
    assert!(error.detail.contains("a character of it was changed or lost"), "{error}");
    let error = block_on(world.client("view").ask::<Value>(start())).unwrap_err();
    assert_eq!(error.detail, "token \"view\" has the role viewer, and this needs the role operator");
}

#[test]
fn a_token_that_was_made_a_moment_ago_is_waited_for() {
    let world = World::start();
    let ask = |token: &ApiToken| -> Result<Value, Error> {
        block_on(world.client(token.text()).ask(Call::get("/workers")))
    };
    let [first, second, nobodys] = [(); 3].map(|()| ApiToken::create());
    world.tokens.on_their_way.lock().unwrap().extend([first, second.clone()]);
    ask(&second).expect("it comes after another one");
    assert_eq!(ask(&nobodys).unwrap_err().code, "H1201");
}

#[test]
fn a_revoked_token_ends_what_is_open() {
    let world = World::start();
    let client = world.client("view");
    let run = RunId::new(1, 1, 1);
    block_on(async {
        let call = Call::get(format!("/runs/{run}/events")).header("Accept", "text/event-stream");
        let mut pieces = client.open(call).await.unwrap();
        // While the token counts, nothing comes and nothing ends.
        let open = tokio::time::timeout(Duration::from_millis(1_200), pieces.next()).await;
        assert!(open.is_err(), "{open:?}");
        world.tokens.put("view", Err(TokenRefusal::Revoked));
        let begun = Instant::now();
        let end: Option<Result<Bytes, _>> = tokio::time::timeout(PATIENCE, pieces.next()).await.unwrap();
        assert!(!matches!(end, Some(Ok(_))), "{end:?}");
        println!("the stream ended {:?} after its token", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(1));
        let error = client.ask::<Value>(Call::get("/workers")).await.unwrap_err();
        assert_eq!((error.code.as_str(), error.detail.as_str()), ("H1202", "the bearer token was revoked"));
    });
}

/// Takes connections and hangs up on each after its first bytes.
fn a_master_that_dies() -> SocketAddr {
    let listener = TcpListener::bind(loopback()).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().read(&mut [0; 1]);
        }
    });
    address
}

#[test]
fn a_request_goes_on_to_the_next_master_with_its_key() {
    let world = World::start();
    let gone = TcpListener::bind(loopback()).unwrap().local_addr().unwrap();
    for _ in 0..5 {
        let addresses = [gone, a_master_that_dies(), world.server.address()];
        let client = client(&addresses, "operate", world.way());
        let call = start().header("Idempotency-Key", "once");
        let _: Value = block_on(client.ask(call)).unwrap();
    }
    let keys = world.memory.keys.lock().unwrap();
    assert!(keys.len() == 5 && keys.iter().all(|key| key.as_deref() == Some("once")), "{keys:?}");
}

/// It takes the connection and says nothing, as a stopped process does, for as long as it is held.
fn a_frozen_master() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(loopback()).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[test]
fn a_frozen_master_costs_a_moment_and_a_context_learns_where_others_are() {
    let world = World::start();
    let (_held, frozen) = a_frozen_master();
    let home = tempfile::tempdir().unwrap();
    let context = Context {
        addresses: vec![frozen.into()],
        token: "operate".into(),
        ca: None,
        learned: Vec::new(),
        namespace: None,
    };
    save(home.path(), "prod", context).unwrap();
    let mut slowest = Duration::ZERO;
    for call in [Call::get("/workers"), start().header("Idempotency-Key", "once"), start()] {
        // The order is random, so each is tried until the frozen one was surely first.
        for _ in 0..6 {
            let client = client(&[frozen, world.server.address()], "operate", world.way());
            let client = client.remembering(Some(context::Memory::new(home.path(), "prod")));
            let begun = Instant::now();
            let _: Value = block_on(client.ask(call.clone())).unwrap();
            slowest = slowest.max(begun.elapsed());
        }
    }
    println!("slowest beside a frozen master: {slowest:?}");
    assert!(slowest > Duration::from_millis(400) && slowest < Duration::from_secs(3), "{slowest:?}");
    let contexts = Contexts::read(home.path()).unwrap();
    let learned: Vec<String> = contexts.contexts["prod"].learned.iter().map(ToString::to_string).collect();
    assert_eq!(learned, ["m1.example.org:8910", "m2.example.org:8910"]);
}

/// Says something, keeps silent, and tells how long the server bore it.
fn borne(address: SocketAddr, bytes: &[u8]) -> Duration {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let begun = Instant::now();
    let _ = stream.write_all(bytes);
    // A reset is a way to close.
    let _ = stream.read_to_end(&mut Vec::new());
    begun.elapsed()
}

#[test]
fn silent_and_rude_callers_are_hung_up_on_and_others_served() {
    let world = World::start();
    let address = world.server.address();
    for bytes in [&b""[..], b"GET / HTTP/1.1\r\n", &[0x16, 3, 1, 2, 0, 1], &[0xff; 4096]] {
        let time = borne(address, bytes);
        assert!(time < Duration::from_secs(10), "{time:?}");
    }
    // As many as descriptors of a test allow; all of them silent.
    let silent: Vec<TcpStream> =
        (0..400).filter_map(|_| TcpStream::connect_timeout(&address, PATIENCE).ok()).collect();
    let begun = Instant::now();
    let _: Value = block_on(world.client("view").ask(Call::get("/workers"))).unwrap();
    println!("answered {:?} beside {} silent callers", begun.elapsed(), silent.len());
    assert!(begun.elapsed() < Duration::from_secs(2));
}

impl World {
    /// A token that an admin makes over the API; its seed is where this server really is.
    fn join_token(&self, role: Value) -> JoinToken {
        let call = Call::post_json("/cluster/join-tokens", &json!({ "role": role, "valid_for": "2h" }));
        let made: Value = block_on(self.client("admin").ask(call)).unwrap();
        let token: JoinToken = made["token"].as_str().unwrap().parse().unwrap();
        assert_eq!(token.seeds, ["seed.invalid:1"]);
        JoinToken { seeds: vec![self.server.address().to_string()], ..token }
    }

    fn join(&self, token: &JoinToken, joiner: Joiner) -> Result<Identity, Error> {
        block_on(join(token, joiner, NodeKey::create(), patience())).map(|joined| joined.identity)
    }
}

fn worker(name: &str) -> Joiner {
    Joiner::Worker { name: Name::new(name).unwrap() }
}

fn master(host: &str) -> Joiner {
    let at = |port: u16| format!("{host}:{port}");
    Joiner::Master { peer: at(7001), worker: at(7002), api: at(8910) }
}

#[test]
fn a_join_token_buys_a_node_its_identity() {
    let world = World::start();
    let identity = world.join(&world.join_token(json!("worker")), worker("w1")).unwrap();
    let facts = ClusterFacts { cluster: CLUSTER, name: "prod".into(), generation: 2, shards: 4 };
    assert_eq!((&identity.facts, &identity.role.to_string()), (&facts, &"worker/w1".to_owned()));
    let token = world.join_token(json!({ "master": { "name": "n4" } }));
    let identity = world.join(&token, master("m4.example.org")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    identity.write(directory.path()).unwrap();
    let read = Identity::read(directory.path()).unwrap();
    assert_eq!(read.role, NodeRole::Master(4));
    assert_eq!(read.certified().unwrap().addresses, ["m4.example.org"]);
    let again = world.join(&token, master("m5.example.org")).unwrap_err();
    assert_eq!(again.code, "H3056", "another key is another node: {again}");
}

#[test]
fn joins_that_cannot_be_say_why() {
    let (world, other) = (World::start(), World::start());
    let good = world.join_token(json!("worker"));
    let damaged_secret = JoinToken { secret: [0; 32], ..good.clone() };
    let foreign = JoinToken { seeds: vec![other.server.address().to_string()], ..good.clone() };
    let other_cluster = JoinToken { cluster: [6; 16], ..good.clone() };
    for (token, joiner, code, sentence) in [
        (&damaged_secret, worker("w1"), "H3055", "no"),
        (&foreign, worker("w1"), "H1005", "is of another cluster"),
        (&other_cluster, worker("w1"), "H1206", "of another cluster than the one of this master"),
        (&good, master("not a host"), "H1206", "is neither an IP address nor a DNS name"),
        (&JoinToken { seeds: Vec::new(), ..good.clone() }, worker("w1"), "H1004", "names no master to ask"),
        (&JoinToken { seeds: vec!["x".into()], ..good.clone() }, worker("w1"), "H1004", "write HOST:PORT"),
    ] {
        let error = world.join(token, joiner).unwrap_err();
        assert!(error.code == code && error.detail.contains(sentence), "{error}");
    }
    let body = |csr: &str, secret: &str| {
        json!({ "cluster": hex(&CLUSTER), "token": good.id, "secret": secret, "csr": csr,
            "joiner": { "worker": { "name": "w1" } } })
    };
    for (csr, secret, code) in
        [("torn", hex(&good.secret), "H1206"), (&NodeKey::create().csr(), "12".into(), "H1302")]
    {
        let call = Call::post_json("/cluster/join", &body(csr, &secret));
        assert_eq!(block_on(world.client("").ask::<Value>(call)).unwrap_err().code, code);
    }
    // None of that has used it up.
    world.join(&good, worker("w1")).unwrap();
    for (token, code) in [("view", "H1203"), ("operate", "H1203")] {
        let call = Call::post_json("/cluster/join-tokens", &json!({ "role": "worker" }));
        assert_eq!(block_on(world.client(token).ask::<Value>(call)).unwrap_err().code, code);
    }
}

#[test]
fn a_certificate_buys_the_next_one() {
    let world = World::start();
    let mut identity = world.join(&world.join_token(json!("worker")), worker("w1")).unwrap();
    let tls = TlsIdentity::new(&identity).unwrap();
    let seeds = [world.server.address().to_string()];
    let directory = tempfile::tempdir().unwrap();
    identity.write(directory.path()).unwrap();
    let renewed = block_on(renew(&tls, &identity.key, &seeds, patience())).unwrap();
    tls.replace(&renewed).unwrap();
    // What the cluster knows of it now stands in it, whatever the old one said.
    assert_eq!(tls.certified().addresses, ["m1.example.org"]);
    identity.replace_certificate(directory.path(), renewed).unwrap();
    let error = block_on(renew(&tls, &NodeKey::create(), &seeds, patience())).unwrap_err();
    assert!(error.code == "H1208" && error.detail.contains("another key"), "{error}");
    let bare = Call::post_json("/cluster/renew", &json!({ "csr": identity.key.csr() }));
    let error = block_on(world.client("admin").ask::<Value>(bare)).unwrap_err();
    assert!(
        error.code == "H1208" && error.detail.contains("not opened with a node's certificate"),
        "{error}"
    );
    world.authority.removed.lock().unwrap().push(identity.role.clone());
    let error = block_on(renew(&tls, &identity.key, &seeds, patience())).unwrap_err();
    assert!(error.detail.contains("worker/w1 does not belong to the cluster any more"), "{error}");
}
