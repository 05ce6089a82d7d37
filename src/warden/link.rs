//! The warden's end of the connection to its agent: bytes and descriptors in, notices out, never waiting.
//! Must not know what frames mean.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use super::kernel::adopt;
use super::wire::Notice;

/// Bytes taken per receive call: a batch of starts, and little enough to keep the warden small.
const RECEIVE_BYTES: usize = 128 << 10;

/// Most descriptors in one message (the kernel's own bound is 253).
const RECEIVE_DESCRIPTORS: usize = 128;

/// Unsent notices beyond which nothing new is read: an agent that does not listen gets no more started.
const OUTBOX_BYTES_MAX: usize = 1 << 20;

/// What a receive call brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    Something,
    Nothing,
    Closed,
}

#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
    scratch: Box<[u8]>,
    control: Vec<u8>,
    /// Bytes received and not yet taken.
    pub(super) inbox: Vec<u8>,
    /// Descriptors in the order of the frames they belong to.
    pub(super) descriptors: VecDeque<OwnedFd>,
    outbox: Vec<u8>,
}

impl Link {
    pub(super) fn new(socket: OwnedFd) -> Link {
        Link {
            socket,
            scratch: vec![0; RECEIVE_BYTES].into_boxed_slice(),
            control: nix::cmsg_space!([RawFd; RECEIVE_DESCRIPTORS]),
            inbox: Vec::new(),
            descriptors: VecDeque::new(),
            outbox: Vec::new(),
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Takes what has arrived, at most `RECEIVE_BYTES`.
    pub(super) fn receive(&mut self) -> Received {
        let mut parts = [IoSliceMut::new(&mut self.scratch)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = match recvmsg::<()>(self.socket.as_raw_fd(), &mut parts, Some(&mut self.control), flags)
        {
            Ok(message) => message,
            Err(Errno::EAGAIN | Errno::EINTR) => return Received::Nothing,
            Err(_) => return Received::Closed,
        };
        // Truncated control data means that descriptors were lost: the frames cannot be served any more.
        let Ok(controls) = message.cmsgs() else { return Received::Closed };
        for control in controls {
            if let ControlMessageOwned::ScmRights(raw) = control {
                self.descriptors.extend(raw.into_iter().map(adopt));
            }
        }
        let bytes = message.bytes;
        self.inbox.extend_from_slice(&self.scratch[..bytes]);
        if bytes == 0 { Received::Closed } else { Received::Something }
    }

    pub(super) fn put(&mut self, notice: Notice) {
        notice.put(&mut self.outbox);
    }

    /// Sends what the socket takes now. A closed socket swallows everything: reading will tell.
    pub(super) fn flush(&mut self) {
        let mut sent = 0;
        while sent < self.outbox.len() {
            let parts = [IoSlice::new(&self.outbox[sent..])];
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            match sendmsg::<()>(self.socket.as_raw_fd(), &parts, &[], flags, None) {
                Ok(bytes) => sent += bytes,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(_) => sent = self.outbox.len(),
            }
        }
        self.outbox.drain(..sent);
    }

    pub(super) fn has_unsent(&self) -> bool {
        !self.outbox.is_empty()
    }

    pub(super) fn is_overfull(&self) -> bool {
        self.outbox.len() > OUTBOX_BYTES_MAX
    }
}
