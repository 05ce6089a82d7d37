//! The API's connections: each waits at the threshold until it has said hello, goes through TLS when it is its turn, and is
//! then served HTTP. Must not know the routes.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_http::body::MessageBody;
use actix_http::error::DispatchError;
use actix_http::{HttpService, Protocol, Request, Response};
use actix_server::{GracefulShutdownSignal, Server};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;
use slog::Logger;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use super::Security;
use super::crowd::Crowd;
use crate::env::tcp::Threshold;
use crate::pki::explain;

/// Threads that serve requests; JSON of large lists is the dearest thing they do.
const WORKERS: usize = 2;
/// Most callers without TLS yet. Each costs some 20 KB: the server sets aside for each what its requests will need.
const STRANGERS_MAX: usize = 1_024;
/// Never reached: the threshold bounds those without TLS and the crowd those with it, and here one could only wait behind
/// the other.
const PER_WORKER_MAX: usize = 100_000;
/// How long open answers may go on once the server is asked to stop.
const STOP_GRACE_S: u64 = 1;
/// A client that sends its head this slowly is cut off.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two requests on one connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const HTTP_1: &[u8] = b"http/1.1";

/// A line that HTTP is spoken on, and who is at its other end.
type Caller<T> = (T, Protocol, Option<SocketAddr>);

/// The server, which runs when it is awaited in an actix system.
pub(super) fn server<F, A, S, B>(
    app: F,
    security: &Security,
    listener: TcpListener,
    log: &Logger,
) -> io::Result<Server>
where
    F: Fn() -> A + Clone + Send + 'static,
    A: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let builder = Server::build()
        .workers(WORKERS)
        .max_concurrent_connections(PER_WORKER_MAX)
        .shutdown_timeout(STOP_GRACE_S)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let threshold = Arc::new(Threshold::new(STRANGERS_MAX, log.clone()));
    let crowd = Crowd::new(threshold.clone());
    let builder =
        match security {
            Security::Loopback => builder.listen("api", listener, move || {
                let threshold = threshold.clone();
                fn_service(move |stream| plainly(threshold.clone(), stream)).and_then(http(
                    app.clone(),
                    crowd.clone(),
                    stopping.clone(),
                ))
            }),
            Security::Tls(identity) => {
                let mut config = identity.api_listener();
                config.alpn_protocols = vec![HTTP_1.to_vec()];
                let config = Arc::new(config);
                builder.listen("api", listener, move || {
                    let (threshold, config) = (threshold.clone(), config.clone());
                    fn_service(move |stream| under_tls(threshold.clone(), config.clone(), stream))
                        .and_then(http(app.clone(), crowd.clone(), stopping.clone()))
                })
            }
        };
    Ok(builder?.run())
}

/// What is spoken once a line is there.
fn http<T, F, A, S, B>(
    app: F,
    crowd: Crowd,
    stopping: GracefulShutdownSignal,
) -> impl ServiceFactory<Caller<T>, Config = (), Response = (), Error = DispatchError, InitError = ()>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
    F: Fn() -> A,
    A: IntoServiceFactory<S, Request>,
    S: ServiceFactory<Request, Config = AppConfig> + 'static,
    S::Error: Into<actix_web::Error> + 'static,
    S::InitError: fmt::Debug,
    S::Response: Into<Response<B>> + 'static,
    <S::Service as Service<Request>>::Future: 'static,
    S::Service: 'static,
    B: MessageBody + 'static,
{
    let app = app().into_factory().map_err(|error| error.into().error_response());
    HttpService::build()
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .keep_alive(KEEP_ALIVE)
        .client_request_timeout(HEAD_TIMEOUT)
        .on_connect_ext(move |line: &T, extensions| crowd.enter(line as &dyn Any, extensions))
        .finish(map_config(app, |_| AppConfig::default()))
}

async fn plainly(threshold: Arc<Threshold>, stream: TcpStream) -> Result<Caller<TcpStream>, DispatchError> {
    let source = stream.peer_addr()?;
    said(&threshold, source, async {
        stream.set_nodelay(true)?;
        let caller = threshold.enter(source).map_err(io::Error::other)?;
        let ((), _place) = threshold.hear(caller, stream.readable()).await?;
        Ok((stream, Protocol::Http1, Some(source)))
    })
    .await
}

async fn under_tls(
    threshold: Arc<Threshold>,
    config: Arc<ServerConfig>,
    stream: TcpStream,
) -> Result<Caller<TlsStream<TcpStream>>, DispatchError> {
    let source = stream.peer_addr()?;
    said(&threshold, source, async {
        stream.set_nodelay(true)?;
        let caller = threshold.enter(source).map_err(io::Error::other)?;
        let hello = tokio_rustls::LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream);
        let (hello, _place) = threshold.hear(caller, hello).await?;
        let line = threshold.shake(hello.into_stream(config)).await?;
        Ok((line, Protocol::Http1, Some(source)))
    })
    .await
}

/// Says why a caller was refused.
async fn said<T>(
    threshold: &Threshold,
    source: SocketAddr,
    outcome: impl Future<Output = io::Result<T>>,
) -> Result<T, DispatchError> {
    outcome.await.map_err(|error| {
        threshold.complain(source, &explain(&error));
        DispatchError::Io(error)
    })
}
