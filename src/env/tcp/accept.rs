//! Lets peers in: a bounded number of callers, each with little time to show who it is.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use slog::{debug, error, info, warn};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

use super::connection::{self, FrameReader, write_frame};
use super::handshake::{self, HANDSHAKE_BYTES_MAX, Peer};
use super::peers::Direction;
use super::{Net, options};

/// Most connections let in at a time: a thousand workers and masters, several times over.
const CONNECTIONS_MAX: usize = 4096;
/// Most callers that have not shown who they are; above it new ones are closed at once.
const STRANGERS_MAX: usize = 256;
/// A caller's time for its handshake; a peer needs a round trip.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// After a failed accept (no descriptors left), before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Sources whose refusal is remembered as logged.
const SOURCES_MAX: usize = 1024;

/// What all callers share.
struct Door {
    net: Arc<Net>,
    connections: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    /// Who has been complained about, and for what: each once.
    told: Mutex<BTreeSet<(IpAddr, String)>>,
}

pub(super) async fn accept_all(net: Arc<Net>, listener: std::net::TcpListener) {
    let listener = match listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)) {
        Ok(listener) => listener,
        Err(problem) => return error!(net.log, "nobody can connect"; "error" => %problem),
    };
    let door = Arc::new(Door {
        net,
        connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
        told: Mutex::default(),
    });
    loop {
        match listener.accept().await {
            Ok((stream, source)) => door.let_in(stream, source),
            Err(problem) => {
                warn!(door.net.log, "a connection was not accepted"; "error" => %problem);
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Door {
    fn let_in(self: &Arc<Door>, stream: TcpStream, source: SocketAddr) {
        let stranger = self.strangers.clone().try_acquire_owned();
        let place = self.connections.clone().try_acquire_owned();
        match (stranger, place) {
            (Ok(stranger), Ok(place)) => {
                let door = self.clone();
                tokio::spawn(async move { door.serve(stream, source, stranger, place).await });
            }
            _ => self.complain(source, "there are too many connections"),
        }
    }

    async fn serve(
        &self,
        mut stream: TcpStream,
        source: SocketAddr,
        stranger: OwnedSemaphorePermit,
        _place: OwnedSemaphorePermit,
    ) {
        let mut frames = FrameReader::default();
        let peer = match timeout(HANDSHAKE_MAX, self.shake(&mut stream, &mut frames)).await {
            Ok(Ok(peer)) => peer,
            // This node called itself, since its own address is in the list of masters.
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => return,
            Ok(Err(error)) => return self.complain(source, &error.to_string()),
            Err(_) => return self.complain(source, "it did not say who it is in time"),
        };
        drop(stranger);
        let Some(own) = self.net.peers.register(&peer.node, Direction::Accepted) else {
            return;
        };
        info!(self.net.log, "a peer connected"; "peer" => %peer.node, "version" => peer.version, "source" => %source);
        let error = connection::run(stream, frames, &self.net.peers, &own).await;
        info!(self.net.log, "a peer disconnected"; "peer" => %peer.node, "error" => %error);
    }

    async fn shake(&self, stream: &mut TcpStream, frames: &mut FrameReader) -> io::Result<Peer> {
        options::set(stream)?;
        let hello = frames.next(stream, HANDSHAKE_BYTES_MAX).await?;
        let refuse = |error| io::Error::new(io::ErrorKind::PermissionDenied, error);
        let peer = handshake::check(&self.net.config, &hello).map_err(refuse)?;
        write_frame(stream, &handshake::encode(&self.net.config)).await?;
        // A node that calls itself finds that out by our answer.
        match peer.node == self.net.config.node {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(peer),
        }
    }

    fn complain(&self, source: SocketAddr, why: &str) {
        let mut told = self.told.lock().expect("nothing panics while it holds the list");
        if told.len() >= SOURCES_MAX {
            told.clear();
        }
        if told.insert((source.ip(), why.to_owned())) {
            warn!(self.net.log, "a caller was refused"; "source" => %source, "error" => why);
        } else {
            debug!(self.net.log, "a caller was refused again"; "source" => %source, "error" => why);
        }
    }
}
