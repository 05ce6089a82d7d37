//! How our sockets are set: small frames leave at once, a dead peer is noticed in seconds, and a crowd of callers finds
//! room to wait.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::TcpStream;

/// Sent and unacknowledged for this long, the connection is dead: shorter than a lease, longer than a hiccup.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);
/// An idle connection is probed after this long, and given up after `UNACKNOWLEDGED_MAX` without an answer.
const IDLE_BEFORE_PROBE: Duration = Duration::from_secs(5);
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Callers that the kernel holds until they are accepted: what Linux allows, several thousand workers that come back at
/// once. One that finds no room is lost for a second.
const BACKLOG: i32 = 4096;

pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A process that restarts takes the port of its last life at once.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

pub(super) fn set(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(IDLE_BEFORE_PROBE).with_interval(PROBE_EVERY))?;
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
        // Retransmit at a steady pace while little is in flight: heartbeats and Raft messages are such streams.
        socket.set_tcp_thin_linear_timeouts(true)?;
    }
    Ok(())
}
