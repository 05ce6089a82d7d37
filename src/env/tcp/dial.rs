//! Keeps one address connected: calls, shakes hands, runs the connection, and calls again after a pause.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hortator_proto::frame::NodeId;
use rand::seq::SliceRandom;
use slog::{Logger, debug, info, warn};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout};

use super::connection::{self, FrameReader, write_frame};
use super::handshake::{self, HANDSHAKE_BYTES_MAX, Peer};
use super::peers::{Direction, Registered};
use super::stream::Line;
use super::{CallFrom, Net, options};
use crate::pki::explain;

/// Pauses of a master: it calls few, and is back at once. The longest is short against the 1.5 s in which a lost leader is
/// replaced.
const OF_MASTERS: Pauses = Pauses { first: Duration::from_millis(20), longest: Duration::from_millis(800) };
/// Pauses of a worker, which may be one of a thousand that lost a master in the same moment and know nothing of each
/// other: already the first spreads them over half of a second, and a master that lost them all has no more than some
/// two thousand handshakes a second to do. Heartbeats to any other master count meanwhile.
const OF_WORKERS: Pauses = Pauses { first: Duration::from_millis(500), longest: Duration::from_secs(1) };
/// A master's answer to a master comes at once or not at all. A worker waits in line behind all others that came back
/// with it, and would lose its place by hanging up.
const ANSWER_TO_MASTER_MAX: Duration = Duration::from_secs(5);
const ANSWER_TO_WORKER_MAX: Duration = Duration::from_secs(10);
/// After a connection that lasted this long the pauses begin anew.
const LASTED: Duration = Duration::from_secs(5);
/// An address of this node itself, or of a peer that is connected under another address, is tried again rarely.
const PAUSE_WHEN_NEEDLESS: Duration = Duration::from_secs(30);
/// Name servers answer within this or not at all; each try asks anew.
const RESOLVE_MAX: Duration = Duration::from_secs(5);
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// Between two calls: any time up to a bound that doubles.
struct Pauses {
    first: Duration,
    longest: Duration,
}

impl Pauses {
    fn of(node: &NodeId) -> Pauses {
        match node {
            NodeId::Master(_) => OF_MASTERS,
            NodeId::Worker(_) => OF_WORKERS,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("{}", explain(.0))]
    Io(#[from] io::Error),
    #[error("{0}")]
    Refused(#[from] handshake::HandshakeError),
    #[error("it does not answer in time")]
    TimedOut,
    #[error("its name is not resolved in time")]
    Unresolved,
    #[error(
        "it is this node itself, a peer that is connected under another address, or one that was removed"
    )]
    Needless,
}

/// A line to a peer, after the handshake; what was read beyond it is in the reader.
struct Connected {
    line: Line,
    frames: FrameReader,
    peer: Peer,
    own: Registered,
}

/// Never ends; aborted when the address is no longer wanted.
pub(super) async fn keep_connected(net: Arc<Net>, address: String) {
    let log = net.log.new(slog::o!("address" => address.clone()));
    let pauses = Pauses::of(&net.config.node);
    let mut pause = pauses.first;
    let mut told = String::new();
    loop {
        let begin = Instant::now();
        let error = match connect(&net, &address).await {
            Ok(connected) => {
                told.clear();
                DialError::Io(stay(&net, &log, connected).await)
            }
            Err(error) => error,
        };
        if begin.elapsed() >= LASTED {
            pause = pauses.first;
        }
        tell(&log, &error, &mut told);
        let next = if matches!(error, DialError::Needless) { PAUSE_WHEN_NEEDLESS } else { pause };
        sleep(next.mul_f64(rand::random_range(0.0..1.0))).await;
        pause = (pause * 2).min(pauses.longest);
    }
}

async fn stay(net: &Net, log: &Logger, connected: Connected) -> io::Error {
    let Connected { line, frames, peer, own } = connected;
    info!(log, "connected"; "peer" => %peer.node, "version" => peer.version);
    let error = connection::run(line, frames, &net.peers, &own).await;
    info!(log, "disconnected"; "peer" => %peer.node, "error" => explain(&error));
    error
}

/// Each reason is told once until something changes.
fn tell(log: &Logger, error: &DialError, told: &mut String) {
    let reason = error.to_string();
    match error {
        DialError::Needless => debug!(log, "not connected"; "error" => %error),
        _ if reason != *told => warn!(log, "not connected"; "error" => %error),
        _ => {}
    }
    *told = reason;
}

/// A line to the first of the name's addresses that leads to a peer we have no line to, in random order.
async fn connect(net: &Net, address: &str) -> Result<Connected, DialError> {
    let resolved = timeout(RESOLVE_MAX, lookup_host(address)).await.map_err(|_| DialError::Unresolved)?;
    let mut candidates: Vec<_> = resolved?.collect();
    candidates.shuffle(&mut rand::rng());
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address").into();
    for candidate in candidates {
        match try_one(net, candidate).await {
            Ok(connected) => return Ok(connected),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn call(from: CallFrom, candidate: SocketAddr) -> io::Result<TcpStream> {
    let CallFrom::Address(own) = from else { return TcpStream::connect(candidate).await };
    let socket = if candidate.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(own, 0))?;
    socket.connect(candidate).await
}

async fn try_one(net: &Net, candidate: SocketAddr) -> Result<Connected, DialError> {
    let connecting = timeout(CONNECT_MAX, call(net.config.call_from, candidate));
    let stream = connecting.await.map_err(|_| DialError::TimedOut)??;
    options::set(&stream)?;
    let answer_max = match net.config.node {
        NodeId::Master(_) => ANSWER_TO_MASTER_MAX,
        NodeId::Worker(_) => ANSWER_TO_WORKER_MAX,
    };
    let shaking = timeout(answer_max, shake(net, candidate, stream));
    let (line, frames, peer) = shaking.await.map_err(|_| DialError::TimedOut)??;
    if peer.node == net.config.node {
        return Err(DialError::Needless);
    }
    let own = net.peers.register(&peer.node, Direction::Dialled).ok_or(DialError::Needless)?;
    Ok(Connected { line, frames, peer, own })
}

async fn shake(net: &Net, to: SocketAddr, stream: TcpStream) -> Result<(Line, FrameReader, Peer), DialError> {
    let mut line = net.calling.call(to, stream).await?;
    write_frame(&mut line.writer, &handshake::encode(&net.config)).await?;
    let mut frames = FrameReader::default();
    let answer = frames.next(&mut line.reader, HANDSHAKE_BYTES_MAX).await?;
    let peer = handshake::check_answer(&net.config, &line.peer, &answer).inspect_err(|error| {
        if matches!(error, handshake::HandshakeError::Removed) {
            net.removed.store(true, Ordering::Relaxed);
        }
    })?;
    Ok((line, frames, peer))
}
