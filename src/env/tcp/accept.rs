//! Lets peers in: whoever shows who it is, in order, up to a number of connections.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use slog::{error, info};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::connection::{self, FrameReader, write_frame};
use super::handshake::{self, HANDSHAKE_BYTES_MAX, Peer};
use super::peers::Direction;
use super::strangers::Silent;
use super::stream::{Answering, Line};
use super::threshold::Threshold;
use super::{Admits, Net, options};
use crate::pki::explain;

/// Most peers connected at a time: a thousand workers and masters, several times over.
const CONNECTIONS_MAX: usize = 4096;
/// Most callers that have not shown who they are. A silent one costs a descriptor and some 10 KB, one in its handshake some
/// 30 KB. A fleet of half as many workers behind one address of a translating router comes back at once and waits in line.
const STRANGERS_MAX: usize = 4096;
/// After a failed accept (no descriptors left), before the next.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What all callers of one listener share.
struct Door {
    net: Arc<Net>,
    admits: Admits,
    answering: Answering,
    connections: Semaphore,
    threshold: Threshold,
}

pub(super) async fn accept_all(net: Arc<Net>, listener: std::net::TcpListener, admits: Admits) {
    let listener = match listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)) {
        Ok(listener) => listener,
        Err(problem) => return error!(net.log, "nobody can connect"; "error" => %problem),
    };
    let door = Arc::new(Door {
        answering: admits.answering(&net.config.security),
        admits,
        connections: Semaphore::new(CONNECTIONS_MAX),
        threshold: Threshold::new(STRANGERS_MAX, net.log.clone()),
        net,
    });
    loop {
        match listener.accept().await {
            Ok((stream, source)) => match door.threshold.enter(source) {
                Ok(caller) => {
                    let door = door.clone();
                    tokio::spawn(async move { door.serve(stream, source, caller).await });
                }
                Err(crowded) => door.threshold.complain(source, &crowded.to_string()),
            },
            Err(problem) => {
                let nobody = SocketAddr::from((IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));
                door.threshold.complain(nobody, &format!("connections cannot be accepted: {problem}"));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Door {
    async fn serve(&self, stream: TcpStream, source: SocketAddr, caller: Silent) {
        let mut frames = FrameReader::default();
        let (line, peer) = match self.let_in(stream, caller, &mut frames).await {
            Ok(shaken) => shaken,
            // This node called itself, since its own address is in the list of masters.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => return,
            Err(error) => return self.threshold.complain(source, &explain(&error)),
        };
        let Ok(_connection) = self.connections.try_acquire() else {
            return self.threshold.complain(source, "there are too many connections");
        };
        let Some(own) = self.net.peers.register(&peer.node, Direction::Accepted) else {
            return;
        };
        info!(self.net.log, "a peer connected"; "peer" => %peer.node, "version" => peer.version, "source" => %source);
        let error = connection::run(line, frames, &self.net.peers, &own).await;
        info!(self.net.log, "a peer disconnected"; "peer" => %peer.node, "error" => explain(&error));
    }

    async fn let_in(
        &self,
        stream: TcpStream,
        caller: Silent,
        frames: &mut FrameReader,
    ) -> io::Result<(Line, Peer)> {
        options::set(&stream)?;
        let (greeted, _place) = self.threshold.hear(caller, self.answering.greet(stream)).await?;
        self.threshold
            .shake(async {
                let line = greeted.answer().await?;
                self.shake(line, frames).await
            })
            .await
    }

    async fn shake(&self, mut line: Line, frames: &mut FrameReader) -> io::Result<(Line, Peer)> {
        let config = &self.net.config;
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
}
