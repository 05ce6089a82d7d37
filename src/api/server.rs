//! The server's thread: binds the address, runs the routes in an actix system of their own, and stops on request.
//! Slow clients and large answers so never hold up an actor.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use hortator_actors::gateway::GatewayHandle;
use slog::{Logger, info, o, warn};

use super::Backend;
use super::access::{CaSource, NoCa, SingleToken, TokenCheck};
use super::backup::Backups;
use super::crowd::Crowd;
use super::guard::{Gate, guard};
use super::hosts::Hosts;
use super::join::Joins;
use super::routes;
use super::streams::Streams;
use crate::pki::TlsIdentity;

/// Threads that serve requests; JSON of large lists is the dearest thing they do.
const WORKERS: usize = 2;
/// Connections at a time; a client holds one or two.
const CONNECTIONS_MAX: usize = 4_096;
/// Connections of one host at a time, so that no single host takes them all.
const PER_HOST_MAX: usize = CONNECTIONS_MAX / 4;
/// How long open answers may go on once the server is asked to stop.
const STOP_GRACE_S: u64 = 1;
/// A client that sends its head this slowly is cut off.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// For TLS, before the head.
const HANDSHAKE_MAX: Duration = Duration::from_secs(3);
/// Between two requests on one connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Who is let in, and how.
#[derive(Clone)]
pub struct Door {
    pub security: Security,
    pub tokens: Arc<dyn TokenCheck>,
    pub authority: Arc<dyn CaSource>,
}

/// What is between a client and this server.
#[derive(Clone, Debug)]
pub enum Security {
    /// Plain HTTP, for clients on this host.
    Loopback,
    Tls(TlsIdentity),
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address}")]
    Bind {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "{address} can be reached from other hosts, and without certificates the API is plain HTTP: listen on \
         127.0.0.1, or form the cluster with `hortator cluster init`"
    )]
    Plain { address: SocketAddr },
    #[error("cannot start the API's thread")]
    Thread(#[source] std::io::Error),
    #[error("the API's server ended before it began")]
    Ended,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("security", &self.security).finish_non_exhaustive()
    }
}

/// A running server. Dropping it leaves the server running; `stop` ends it.
pub struct ApiServer {
    address: SocketAddr,
    handle: ServerHandle,
    thread: JoinHandle<()>,
}

impl fmt::Debug for ApiServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiServer").field("address", &self.address).finish_non_exhaustive()
    }
}

impl ApiServer {
    /// Where it listens; the port is the real one when port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no new request, lets open ones go on for a moment, and waits for the thread to end.
    pub fn stop(self) {
        // The future only names the wish; sending it is done when the call returns.
        drop(self.handle.stop(true));
        let _ = self.thread.join();
    }
}

/// Serves a master's API to clients on this host, who all have one token.
pub fn serve(
    handle: GatewayHandle,
    token: String,
    address: SocketAddr,
    log: &Logger,
) -> Result<ApiServer, Error> {
    serve_backend(Arc::new(handle), token, address, log)
}

/// As `serve`, for any backend.
pub fn serve_backend(
    backend: Arc<dyn Backend>,
    token: String,
    address: SocketAddr,
    log: &Logger,
) -> Result<ApiServer, Error> {
    let tokens = Arc::new(SingleToken::new(&token));
    let door = Door { security: Security::Loopback, tokens, authority: Arc::new(NoCa) };
    serve_door(backend, door, address, log)
}

/// Serves to whom the door lets in.
pub fn serve_door(
    backend: Arc<dyn Backend>,
    door: Door,
    address: SocketAddr,
    log: &Logger,
) -> Result<ApiServer, Error> {
    if matches!(door.security, Security::Loopback) && !address.ip().is_loopback() {
        return Err(Error::Plain { address });
    }
    let bind_error = |source| Error::Bind { address, source };
    let listener = TcpListener::bind(address).map_err(bind_error)?;
    let bound = listener.local_addr().map_err(bind_error)?;
    let log = log.new(o!("api" => bound.to_string()));
    let (sender, receiver) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("api".into())
        .spawn(move || run(backend, door, listener, bound, &log, &sender))
        .map_err(Error::Thread)?;
    let handle = receiver.recv().map_err(|_| Error::Ended)?;
    Ok(ApiServer { address: bound, handle, thread })
}

fn run(
    backend: Arc<dyn Backend>,
    door: Door,
    listener: TcpListener,
    bound: SocketAddr,
    log: &Logger,
    ready: &mpsc::SyncSender<ServerHandle>,
) {
    let hosts = match &door.security {
        Security::Loopback => Hosts::Loopback { port: bound.port() },
        Security::Tls(identity) => Hosts::Certified(identity.clone()),
    };
    let gate =
        web::Data::new(Gate::new(door.tokens, door.authority.clone(), hosts, bound.port(), log.clone()));
    let streams = web::Data::new(Streams::default());
    let backups = web::Data::new(Backups::default());
    let backend: web::Data<dyn Backend> = web::Data::from(backend);
    let authority: web::Data<dyn CaSource> = web::Data::from(door.authority);
    let joins = web::Data::new(Joins::default());
    let crowd = Crowd::new(PER_HOST_MAX, log.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(backend.clone())
            .app_data(authority.clone())
            .app_data(joins.clone())
            .app_data(streams.clone())
            .app_data(backups.clone())
            .app_data(gate.clone())
            .configure(routes::configure)
            .wrap(from_fn(guard))
    })
    .on_connect(move |io, extensions| crowd.enter(io, extensions))
    .workers(WORKERS)
    .max_connections(CONNECTIONS_MAX / WORKERS)
    // All that a worker takes may be in their handshakes, so that silent ones do not shut out others.
    .max_connection_rate(CONNECTIONS_MAX / WORKERS)
    .client_request_timeout(HEAD_TIMEOUT)
    .tls_handshake_timeout(HANDSHAKE_MAX)
    .keep_alive(KEEP_ALIVE)
    .tcp_nodelay(true)
    .shutdown_timeout(STOP_GRACE_S)
    .disable_signals();
    let server = match &door.security {
        Security::Loopback => server.listen(listener),
        Security::Tls(identity) => server.listen_rustls_0_23(listener, identity.api_listener()),
    };
    let result = server.map(HttpServer::run).map(|server| {
        let _ = ready.send(server.handle());
        actix_rt::System::new().block_on(server)
    });
    match result {
        Ok(Ok(())) => info!(log, "api stopped"),
        Ok(Err(error)) | Err(error) => warn!(log, "api ended"; "error" => %error),
    }
}
