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
use super::guard::{Gate, guard};
use super::routes;
use super::streams::Streams;

/// Threads that serve requests; JSON of large lists is the dearest thing they do.
const WORKERS: usize = 2;
/// Connections at a time; a client holds one or two.
const CONNECTIONS_MAX: usize = 2_048;
/// How long open answers may go on once the server is asked to stop.
const STOP_GRACE_S: u64 = 1;
/// A client that sends its head this slowly is cut off.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address}")]
    Bind {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot start the API's thread")]
    Thread(#[source] std::io::Error),
    #[error("the API's server ended before it began")]
    Ended,
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

/// Serves a master's API. `address` must be a loopback address: there is no TLS yet.
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
    assert!(address.ip().is_loopback(), "{address} is reachable from outside, and the API has no TLS");
    assert!(!token.is_empty(), "an API without a token would be open to every user of this host");
    let bind_error = |source| Error::Bind { address, source };
    let listener = TcpListener::bind(address).map_err(bind_error)?;
    let bound = listener.local_addr().map_err(bind_error)?;
    let log = log.new(o!("api" => bound.to_string()));
    let (sender, receiver) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name("api".into())
        .spawn(move || run(backend, token, listener, bound, &log, &sender))
        .map_err(Error::Thread)?;
    let handle = receiver.recv().map_err(|_| Error::Ended)?;
    Ok(ApiServer { address: bound, handle, thread })
}

fn run(
    backend: Arc<dyn Backend>,
    token: String,
    listener: TcpListener,
    bound: SocketAddr,
    log: &Logger,
    ready: &mpsc::SyncSender<ServerHandle>,
) {
    let gate = web::Data::new(Gate::new(token, bound.port(), log.clone()));
    let streams = web::Data::new(Streams::default());
    let backend: web::Data<dyn Backend> = web::Data::from(backend);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(backend.clone())
            .app_data(streams.clone())
            .app_data(gate.clone())
            .configure(routes::configure)
            .wrap(from_fn(guard))
    })
    .workers(WORKERS)
    .max_connections(CONNECTIONS_MAX / WORKERS)
    .client_request_timeout(HEAD_TIMEOUT)
    .tcp_nodelay(true)
    .shutdown_timeout(STOP_GRACE_S)
    .disable_signals()
    .listen(listener);
    let result = server.map(HttpServer::run).map(|server| {
        let _ = ready.send(server.handle());
        actix_rt::System::new().block_on(server)
    });
    match result {
        Ok(Ok(())) => info!(log, "api stopped"),
        Ok(Err(error)) | Err(error) => warn!(log, "api ended"; "error" => %error),
    }
}
