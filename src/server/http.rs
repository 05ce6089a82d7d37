//! What a worker answers over HTTP: whether it lives, whether it is registered, what it counts. Nothing of it is a
//! secret, and nothing can be changed here.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpResponse, HttpServer, web};
use hortator_actors::agent::AgentHandle;
use hortator_actors::mailbox::Meter;
use slog::{Logger, o, warn};

use super::Error;
use crate::env::Links;
use crate::node::metrics::{END, certificate, counter, disk, gauge, links, process};
use crate::pki::TlsIdentity;

/// Supervisors and collectors, several times over.
const CONNECTIONS_MAX: usize = 64;
/// Open answers are a few KB.
const STOP_GRACE_S: u64 = 1;

pub(super) struct WorkerHttp {
    address: SocketAddr,
    handle: ServerHandle,
    thread: JoinHandle<()>,
}

/// What it tells of.
pub(super) struct Seen {
    pub(super) agent: AgentHandle,
    pub(super) meter: Arc<Meter>,
    pub(super) links: Links,
    /// The directory whose disk counts.
    pub(super) data: PathBuf,
    /// None without certificates.
    pub(super) tls: Option<TlsIdentity>,
}

impl WorkerHttp {
    pub(super) fn start(address: SocketAddr, seen: Seen, log: &Logger) -> Result<WorkerHttp, Error> {
        let failed = |source| Error::Http { address, source };
        let listener = TcpListener::bind(address).map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let log = log.new(o!("http" => bound.to_string()));
        let (sender, receiver) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("http".into())
            .spawn(move || run(seen, listener, &sender, &log))
            .map_err(Error::System)?;
        let ended = |_| Error::System(std::io::Error::other("the thread for listen.http ended"));
        let handle = receiver.recv().map_err(ended)?;
        Ok(WorkerHttp { address: bound, handle, thread })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn stop(self) {
        // The future only names the wish; sending it is done when the call returns.
        drop(self.handle.stop(true));
        let _ = self.thread.join();
    }
}

fn run(seen: Seen, listener: TcpListener, ready: &mpsc::SyncSender<ServerHandle>, log: &Logger) {
    let seen = web::Data::new(seen);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(seen.clone())
            .route("/livez", web::get().to(async || "ok\n"))
            .route("/healthz", web::get().to(async || "ok\n"))
            .route("/readyz", web::get().to(readyz))
            .route("/metrics", web::get().to(metrics))
    })
    .workers(1)
    .max_connections(CONNECTIONS_MAX)
    .shutdown_timeout(STOP_GRACE_S)
    .disable_signals()
    .listen(listener);
    let ended = server.map(HttpServer::run).and_then(|server| {
        let _ = ready.send(server.handle());
        actix_rt::System::new().block_on(server)
    });
    if let Err(error) = ended {
        warn!(log, "the worker's HTTP server ended"; "error" => %error);
    }
}

async fn readyz(seen: web::Data<Seen>) -> HttpResponse {
    match seen.agent.observe().await {
        Some(agent) if agent.incarnation.is_some() => HttpResponse::Ok().body("ready\n"),
        Some(_) => {
            HttpResponse::ServiceUnavailable().body("[-] registered failed: no master has\nnot ready\n")
        }
        None => HttpResponse::ServiceUnavailable().body("[-] agent failed: it is gone\nnot ready\n"),
    }
}

async fn metrics(seen: web::Data<Seen>) -> HttpResponse {
    let (mut text, meter) = (String::new(), &seen.meter);
    for (name, help, value) in [
        ("actor_messages", "Messages between actors", &meter.actor_messages),
        ("actor_messages_refused", "Messages that found a full mailbox", &meter.messages_refused),
        ("frames_sent", "Frames sent", &meter.frames_sent),
        ("frames_received", "Frames received", &meter.frames_received),
        ("log_bytes", "Bytes of logs of attempts that have ended", &meter.log_bytes),
        ("log_dropped", "Bytes of output that a full log or disk did not take", &meter.log_dropped),
    ] {
        counter(&mut text, name, help, value.load(Ordering::Relaxed));
    }
    if let Some(agent) = seen.agent.observe().await {
        for (name, help, value) in [
            ("spool_reports", "Reports that no master has acknowledged", agent.reports),
            ("spool_bytes", "Bytes of the spool", agent.spool_bytes),
            ("attempts_running", "Attempts that run", agent.running),
        ] {
            gauge(&mut text, name, help, value as u64);
        }
    }
    links(&mut text, &seen.links);
    disk(&mut text, &seen.data);
    seen.tls.iter().for_each(|tls| certificate(&mut text, tls));
    process(&mut text);
    text.push_str(END);
    HttpResponse::Ok().content_type("application/openmetrics-text; version=1.0.0; charset=utf-8").body(text)
}
