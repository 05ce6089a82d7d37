//! The server's thread: binds the address, runs the routes in an actix system of their own, and stops on request.
//! Slow clients and large answers so never hold up an actor.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, web};
use hortator_actors::gateway::GatewayHandle;
use slog::{Logger, info, o, warn};

use super::Backend;
use super::access::{CaSource, NoCa, SingleToken, TokenCheck};
use super::backup::Backups;
use super::guard::{Gate, guard};
use super::hosts::Hosts;
use super::join::Joins;
use super::requests::Requests;
use super::routes;
use super::sockets;
use super::streams::Streams;
use crate::env;
use crate::pki::TlsIdentity;

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
    let listener = env::tcp::listen(address).map_err(bind_error)?;
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
    let requests = web::Data::new(Requests::default());
    let (tokens, port) = (door.tokens, bound.port());
    let gate = Gate::new(tokens, door.authority.clone(), hosts, port, requests.clone(), log.clone());
    let gate = web::Data::new(gate);
    let streams = web::Data::new(Streams::default());
    let backups = web::Data::new(Backups::default());
    let backend: web::Data<dyn Backend> = web::Data::from(backend);
    let authority: web::Data<dyn CaSource> = web::Data::from(door.authority);
    let joins = web::Data::new(Joins::default());
    let app = move || {
        App::new()
            .app_data(backend.clone())
            .app_data(authority.clone())
            .app_data(joins.clone())
            .app_data(streams.clone())
            .app_data(backups.clone())
            .app_data(gate.clone())
            .app_data(requests.clone())
            .configure(routes::configure)
            .wrap(from_fn(guard))
    };
    // It begins its threads at once, within the system.
    let result = actix_rt::System::new().block_on(async {
        let server = sockets::server(app, &door.security, listener, log)?;
        let _ = ready.send(server.handle());
        server.await
    });
    match result {
        Ok(()) => info!(log, "api stopped"),
        Err(error) => warn!(log, "api ended"; "error" => %error),
    }
}
