//! Lets peers in: a bounded number of callers, each with little time to show who it is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use slog::{debug, error, info, warn};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::complaints::{Complaints, Verdict};
use super::connection::{self, FrameReader, write_frame};
use super::handshake::{self, HANDSHAKE_BYTES_MAX, Peer};
use super::peers::Direction;
use super::strangers::{Place, Strangers};
use super::stream::{Answering, Line};
use super::{Admits, Net, options};
use crate::pki::explain;

/// Most connections let in at a time: a thousand workers and masters, several times over.
const CONNECTIONS_MAX: usize = 4096;
/// A caller's time for all of its handshake; a peer needs two round trips.
pub(super) const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// After a failed accept (no descriptors left), before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all callers of one listener share.
struct Door {
    net: Arc<Net>,
    admits: Admits,
    answering: Answering,
    connections: Arc<Semaphore>,
    strangers: Strangers,
    complaints: Complaints,
}

pub(super) async fn accept_all(net: Arc<Net>, listener: std::net::TcpListener, admits: Admits) {
    let listener = match listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)) {
        Ok(listener) => listener,
        Err(problem) => return error!(net.log, "nobody can connect"; "error" => %problem),
    };
    let door = Arc::new(Door {
        answering: admits.answering(&net.config.security),
        net,
        admits,
        connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        strangers: Strangers::default(),
        complaints: Complaints::default(),
    });
    loop {
        match listener.accept().await {
            Ok((stream, source)) => door.let_in(stream, source),
            Err(problem) => {
                let nobody = SocketAddr::from((IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
                door.complain(nobody, &format!("connections cannot be accepted: {problem}"));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Door {
    fn let_in(self: &Arc<Door>, stream: TcpStream, source: SocketAddr) {
        let Ok(connection) = self.connections.clone().try_acquire_owned() else {
            return self.complain(source, "there are too many connections");
        };
        match self.strangers.enter(source.ip()) {
            Ok(place) => {
                let door = self.clone();
                tokio::spawn(async move { door.serve(stream, source, place, connection).await });
            }
            Err(crowded) => self.complain(source, &format!("it has not shown who it is, and {crowded}")),
        }
    }

    async fn serve(
        &self,
        stream: TcpStream,
        source: SocketAddr,
        place: Place,
        _connection: OwnedSemaphorePermit,
    ) {
        let mut frames = FrameReader::default();
        let (line, peer) = match timeout(HANDSHAKE_MAX, self.shake(stream, &mut frames)).await {
            Ok(Ok(shaken)) => shaken,
            // This node called itself, since its own address is in the list of masters.
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionAborted => return,
            Ok(Err(error)) => return self.complain(source, &explain(&error)),
            Err(_) => return self.complain(source, "it did not show who it is in time"),
        };
        drop(place);
        let Some(own) = self.net.peers.register(&peer.node, Direction::Accepted) else {
            return;
        };
        info!(self.net.log, "a peer connected"; "peer" => %peer.node, "version" => peer.version, "source" => %source);
        let error = connection::run(line, frames, &self.net.peers, &own).await;
        info!(self.net.log, "a peer disconnected"; "peer" => %peer.node, "error" => explain(&error));
    }

    async fn shake(&self, stream: TcpStream, frames: &mut FrameReader) -> io::Result<(Line, Peer)> {
        options::set(&stream)?;
        let config = &self.net.config;
        let mut line = self.answering.accept(stream).await?;
        let hello = frames.next(&mut line.reader, HANDSHAKE_BYTES_MAX).await?;
        let refuse = |error| io::Error::new(io::ErrorKind::PermissionDenied, error);
        let peer = handshake::check(config, &line.peer, &hello).map_err(refuse)?;
        if !self.admits.node(&peer.node) {
            let why = format!("{} is called at the wrong port of this node", peer.node);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        if self.net.peers.is_barred(&peer.node) {
            // It may not have heard, since it is in no group any more.
            write_frame(&mut line.writer, &handshake::removed()).await?;
            let why = format!("{} was removed from the cluster", peer.node);
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        write_frame(&mut line.writer, &handshake::encode(config)).await?;
        // A node that calls itself finds that out by our answer.
        match peer.node == config.node {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok((line, peer)),
        }
    }

    fn complain(&self, source: SocketAddr, why: &str) {
        match self.complaints.weigh(source.ip(), Instant::now()) {
            Verdict::Say { swallowed } => warn!(self.net.log, "a caller was refused";
                "source" => %source, "error" => why, "not_logged_before" => swallowed),
            Verdict::Swallow => {
                debug!(self.net.log, "a caller was refused again"; "source" => %source, "error" => why);
            }
        }
    }
}
