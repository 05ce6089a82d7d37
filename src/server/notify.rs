//! What systemd is told: ready, stopping, still alive. One datagram each; without systemd nothing is sent.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// How long it waits for a sign of life; none when it does not watch.
    pub(super) watchdog: Option<Duration>,
}

impl Supervisor {
    /// As this process's environment names it.
    pub(super) fn of_environment() -> Supervisor {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let socket = variable("NOTIFY_SOCKET").and_then(|name| connect(name.as_bytes()).ok());
        let own = std::process::id().to_string();
        let mine = variable("WATCHDOG_PID").is_none_or(|pid| pid.as_bytes() == own.as_bytes());
        let micros = variable("WATCHDOG_USEC").and_then(|value| value.to_str()?.parse().ok());
        Supervisor { socket, watchdog: micros.filter(|_| mine).map(Duration::from_micros) }
    }

    /// A supervisor that does not listen any more is no reason to stop working.
    pub(super) fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.socket {
            let _ = socket.send_to_addr(state.as_bytes(), address);
        }
    }
}

/// A name that begins with `@` is abstract.
fn connect(name: &[u8]) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
    };
    Ok((UnixDatagram::unbound()?, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_arrives_under_a_path_and_under_an_abstract_name() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("notify");
        let named = UnixDatagram::bind(&path).unwrap();
        let name = format!("hortator-notify-{}", std::process::id());
        let hidden =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes()).unwrap()).unwrap();
        let at = [(path.to_str().unwrap().to_owned(), named), (format!("@{name}"), hidden)];
        for (name, listener) in at {
            let socket = Some(connect(name.as_bytes()).unwrap());
            Supervisor { socket, watchdog: None }.tell("READY=1");
            let mut bytes = [0; 16];
            let count = listener.recv(&mut bytes).unwrap();
            assert_eq!(&bytes[..count], b"READY=1");
        }
        Supervisor { socket: None, watchdog: None }.tell("READY=1");
    }
}
