//! Keeps one address connected: calls, shakes hands, runs the connection, and calls again after a pause.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rand::seq::SliceRandom;
use slog::{debug, info, warn};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep, timeout};

use super::connection::{self, FrameReader, write_frame};
use super::handshake::{self, HANDSHAKE_BYTES_MAX, Peer};
use super::peers::Direction;
use super::{Net, options};

/// The first pause; a peer that restarts is back at once.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest pause: short against the 1.5 s in which a lost leader is replaced.
const PAUSE_MAX: Duration = Duration::from_millis(800);
/// After a connection that lasted this long the pauses begin anew.
const LASTED: Duration = Duration::from_secs(5);
/// An address of this node itself, or of a peer that is connected under another address, is tried again rarely.
const PAUSE_WHEN_NEEDLESS: Duration = Duration::from_secs(30);
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// From connected to answered.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, thiserror::Error)]
enum DialError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Refused(#[from] handshake::HandshakeError),
    #[error("it does not answer in time")]
    TimedOut,
    #[error("it is this node itself, or a peer that is connected under another address")]
    Needless,
}

/// Never ends; aborted when the address is no longer wanted.
pub(super) async fn keep_connected(net: Arc<Net>, address: String) {
    let log = net.log.new(slog::o!("address" => address.clone()));
    let mut pause = PAUSE_MIN;
    let mut told = String::new();
    loop {
        let begin = Instant::now();
        let error = match connect(&net, &address).await {
            Ok((stream, frames, peer)) => match net.peers.register(&peer.node, Direction::Dialled) {
                Some(own) => {
                    info!(log, "connected"; "peer" => %peer.node, "version" => peer.version);
                    told.clear();
                    let error = connection::run(stream, frames, &net.peers, &own).await;
                    info!(log, "disconnected"; "peer" => %peer.node, "error" => %error);
                    DialError::Io(error)
                }
                None => DialError::Needless,
            },
            Err(error) => error,
        };
        if begin.elapsed() >= LASTED {
            pause = PAUSE_MIN;
        }
        // Each reason is told once until something changes.
        let reason = error.to_string();
        match &error {
            DialError::Needless => debug!(log, "not connected"; "error" => %error),
            DialError::Io(_) | DialError::Refused(_) | DialError::TimedOut if reason != told => {
                warn!(log, "not connected"; "error" => %error);
            }
            DialError::Io(_) | DialError::Refused(_) | DialError::TimedOut => {}
        }
        told = reason;
        let next = if matches!(error, DialError::Needless) { PAUSE_WHEN_NEEDLESS } else { pause };
        sleep(next.mul_f64(rand::random_range(0.5..1.0))).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// A connected stream after the handshake; what was read beyond it is in the reader.
async fn connect(net: &Net, address: &str) -> Result<(TcpStream, FrameReader, Peer), DialError> {
    let mut stream = open(address).await?;
    options::set(&stream)?;
    let shake = async {
        write_frame(&mut stream, &handshake::encode(&net.config)).await?;
        let mut frames = FrameReader::default();
        let answer = frames.next(&mut stream, HANDSHAKE_BYTES_MAX).await?;
        Ok::<_, DialError>((handshake::check(&net.config, &answer)?, frames))
    };
    let (peer, frames) = timeout(HANDSHAKE_MAX, shake).await.map_err(|_| DialError::TimedOut)??;
    if peer.node == net.config.node {
        return Err(DialError::Needless);
    }
    Ok((stream, frames, peer))
}

/// The first of the name's addresses that answers, in random order.
async fn open(address: &str) -> Result<TcpStream, DialError> {
    let mut candidates: Vec<_> = lookup_host(address).await?.collect();
    candidates.shuffle(&mut rand::rng());
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address").into();
    for candidate in candidates {
        match timeout(CONNECT_MAX, TcpStream::connect(candidate)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error.into(),
            Err(_) => last = DialError::TimedOut,
        }
    }
    Err(last)
}
