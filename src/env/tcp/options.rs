//! How our sockets are set: small frames leave at once, and a dead peer is noticed in seconds.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Sent and unacknowledged for this long, the connection is dead: shorter than a lease, longer than a hiccup.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(5);
/// An idle connection is probed after this long, and given up after `UNACKNOWLEDGED_MAX` without an answer.
const IDLE_BEFORE_PROBE: Duration = Duration::from_secs(5);
const PROBE_EVERY: Duration = Duration::from_secs(1);

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
