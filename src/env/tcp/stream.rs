//! A connection's two directions, plain or under TLS, and what TLS has proved of the other end.
//! Must not know what is said over them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hortator_actors::seam::Clock;
use hortator_proto::frame::NodeId;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake, TlsConnector};

use super::Security;
use crate::env::SystemClock;
use crate::pki::{PeerError, PeerKind, TlsIdentity};

pub(super) struct Line {
    pub(super) reader: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) writer: Box<dyn AsyncWrite + Send + Unpin>,
    pub(super) peer: Known,
}

/// Who is at the other end, as far as the line itself tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// By its certificate. What it says of itself does not count.
    Node(NodeId),
    /// It has yet to prove who it is.
    Nobody,
}

/// How one listener answers; made once, since it remembers sessions to be resumed.
pub(super) enum Answering {
    Plain,
    Tls(Arc<ServerConfig>),
}

/// A caller that has said hello.
pub(super) enum Greeted {
    Plain(TcpStream),
    Tls(Box<StartHandshake<TcpStream>>, Arc<ServerConfig>),
}

/// How this node calls others; made once, for the same reason.
pub(super) enum Calling {
    Plain,
    Tls(TlsConnector, TlsIdentity),
}

impl Answering {
    pub(super) fn new(security: &Security, kind: PeerKind) -> Answering {
        match security {
            Security::Secret(_) => Answering::Plain,
            Security::Tls(identity) => Answering::Tls(identity.node_listener(kind)),
        }
    }

    /// Waits until the caller has said something of sense: a whole hello of TLS, or anything on a plain line, which
    /// only processes of this host reach.
    pub(super) async fn greet(&self, stream: TcpStream) -> io::Result<Greeted> {
        match self {
            Answering::Plain => {
                stream.readable().await?;
                Ok(Greeted::Plain(stream))
            }
            Answering::Tls(config) => {
                let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
                Ok(Greeted::Tls(Box::new(hello), config.clone()))
            }
        }
    }
}

impl Greeted {
    pub(super) async fn answer(self) -> io::Result<Line> {
        match self {
            Greeted::Plain(stream) => Ok(plain(stream)),
            Greeted::Tls(hello, config) => {
                let stream = hello.into_stream(config).await?;
                let node = TlsIdentity::peer(stream.get_ref().1.peer_certificates(), SystemClock.wall());
                under_tls(stream, node)
            }
        }
    }
}

impl Calling {
    pub(super) fn new(security: &Security) -> Calling {
        match security {
            Security::Secret(_) => Calling::Plain,
            Security::Tls(identity) => Calling::Tls(identity.node_dialler().into(), identity.clone()),
        }
    }

    pub(super) async fn call(&self, to: SocketAddr, stream: TcpStream) -> io::Result<Line> {
        let Calling::Tls(connector, identity) = self else {
            return Ok(plain(stream));
        };
        // Who answers is in the certificate.
        let stream = connector.connect(identity.session_name(to), stream).await?;
        let node = TlsIdentity::peer(stream.get_ref().1.peer_certificates(), SystemClock.wall());
        under_tls(stream, node)
    }
}

fn plain(stream: TcpStream) -> Line {
    let (reader, writer) = stream.into_split();
    Line { reader: Box::new(reader), writer: Box::new(writer), peer: Known::Nobody }
}

fn under_tls(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    node: Result<NodeId, PeerError>,
) -> io::Result<Line> {
    let node = node.map_err(|error| io::Error::new(io::ErrorKind::PermissionDenied, error))?;
    let (reader, writer) = split(stream);
    Ok(Line { reader: Box::new(reader), writer: Box::new(writer), peer: Known::Node(node) })
}
