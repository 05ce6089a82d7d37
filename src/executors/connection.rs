//! The agent's end of the connection to its warden: starting the process, sending requests, taking notices.
//! Must not know attempts beyond their numbers.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSlice, Read};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::{ControlMessage, MsgFlags, recv, sendmsg};

use super::followed::Followed;
use crate::warden::WARDEN_ARGUMENT;
use crate::warden::wire::{FRAME_BYTES_MAX, LENGTH_BYTES, Notice};

/// How long a new warden may take to say that it is up: a loaded machine starts a process slowly.
const READY_WAIT: Duration = Duration::from_secs(10);

/// How long to wait when more descriptors are on their way than the user may have in flight.
const IN_FLIGHT_PAUSE: Duration = Duration::from_millis(1);

/// The connection's own token; attempts use twice their number, plus one for errors.
pub(super) const TOKEN_LINK: u64 = u64::MAX;

/// How to start a warden: this program again, unless a test says otherwise. The open files limit and the base of
/// tags come as two more arguments.
#[derive(Clone, Debug)]
pub struct WardenCommand {
    pub program: PathBuf,
    pub args: Vec<OsString>,
    pub env: Vec<(OsString, OsString)>,
}

impl Default for WardenCommand {
    /// The running binary itself, even when its file has been replaced by a newer one.
    fn default() -> WardenCommand {
        WardenCommand {
            program: "/proc/self/exe".into(),
            args: vec![WARDEN_ARGUMENT.into()],
            env: Vec::new(),
        }
    }
}

/// Why there is no warden.
#[derive(Debug, thiserror::Error)]
pub enum WardenError {
    #[error("cannot start the warden {}", program.display())]
    Spawn {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the warden did not come up ({status}); its own message is on standard error")]
    NotReady {
        status: String,
        #[source]
        source: io::Error,
    },
}

/// One warden's connection; another warden gets another one.
#[derive(Debug)]
pub(super) struct Connection {
    socket: UnixStream,
    pub(super) epoll: Epoll,
    /// Attempts whose pipes are in `epoll` and that the follow thread has not taken yet.
    pub(super) fresh: Mutex<Vec<(u64, Followed)>>,
}

/// Starts a warden that holds `lock` from now on, and waits until it is up.
pub(super) fn start_warden(
    command: &WardenCommand,
    lock: File,
    open_files: u64,
    tag_base: u64,
) -> Result<(Child, Connection), WardenError> {
    let spawn = |source| WardenError::Spawn { program: command.program.clone(), source };
    let (mut ours, theirs) = UnixStream::pair().map_err(spawn)?;
    let mut child = Command::new(&command.program)
        .arg0("hortator-warden")
        .args(&command.args)
        .args([open_files.to_string(), tag_base.to_string()])
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(lock))
        .spawn()
        .map_err(spawn)?;
    let connection = await_ready(&mut ours).and_then(|()| Connection::new(ours));
    match connection {
        Ok(connection) => Ok((child, connection)),
        Err(source) => {
            let _ = child.kill();
            let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            Err(WardenError::NotReady { status, source })
        }
    }
}

fn await_ready(socket: &mut UnixStream) -> io::Result<()> {
    socket.set_read_timeout(Some(READY_WAIT))?;
    let mut length = [0; LENGTH_BYTES];
    socket.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    let mut frame = vec![0; length.min(FRAME_BYTES_MAX)];
    socket.read_exact(&mut frame)?;
    socket.set_read_timeout(None)?;
    match Notice::read(&frame) {
        Ok(Notice::Ready { .. }) => Ok(()),
        other => Err(io::Error::other(format!("{other:?} instead of its being ready"))),
    }
}

/// What a look at the socket brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Bytes(usize),
    Nothing,
    Closed,
}

impl Connection {
    fn new(socket: UnixStream) -> io::Result<Connection> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, TOKEN_LINK))?;
        Ok(Connection { socket, epoll, fresh: Mutex::default() })
    }

    /// Sends whole frames, the descriptors with the first byte. Waits while the warden is busy. A warden that is
    /// gone swallows everything: the follow thread notices.
    pub(super) fn send(&self, frames: &[u8], descriptors: &[RawFd]) {
        let mut sent = 0;
        while sent < frames.len() {
            let rights = [ControlMessage::ScmRights(descriptors)];
            let with_first = sent == 0 && !descriptors.is_empty();
            let controls = if with_first { rights.as_slice() } else { &[] };
            let parts = [IoSlice::new(&frames[sent..])];
            match sendmsg::<()>(self.socket.as_raw_fd(), &parts, controls, MsgFlags::MSG_NOSIGNAL, None) {
                Ok(bytes) => sent += bytes,
                Err(Errno::EINTR) => {}
                Err(Errno::ETOOMANYREFS) => std::thread::sleep(IN_FLIGHT_PAUSE),
                Err(_) => return,
            }
        }
    }

    pub(super) fn receive(&self, buffer: &mut [u8]) -> Received {
        match recv(self.socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => Received::Closed,
            Ok(bytes) => Received::Bytes(bytes),
            Err(Errno::EAGAIN | Errno::EINTR) => Received::Nothing,
            Err(_) => Received::Closed,
        }
    }

    pub(super) fn take_fresh(&self) -> Vec<(u64, Followed)> {
        std::mem::take(&mut *self.fresh.lock().expect("no panic under this lock"))
    }
}
