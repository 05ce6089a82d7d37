//! The follow thread's work with one warden: output into logs, notices into events, until the connection closes.
//! Must not start anything.

use std::collections::HashMap;

use hortator_actors::seam::LaunchEvent;
use hortator_core::time::Timestamp;
use nix::sys::epoll::{EpollEvent, EpollTimeout};

use super::connection::{Connection, Received, TOKEN_LINK};
use super::followed::Followed;
use super::launcher::Shared;
use crate::log_file::Stream;
use crate::warden::wall_micros;
use crate::warden::wire::{EndReason, Notice, split};

/// Bytes read at a time: what a pipe holds by default.
const READ_BYTES: usize = 64 << 10;

/// Ready descriptors seen per turn.
const EVENTS_PER_TURN: usize = 256;

pub(super) struct Follower<'a> {
    shared: &'a Shared,
    connection: &'a Connection,
    attempts: HashMap<u64, Followed>,
    /// Bytes of notices that are not whole yet.
    inbox: Vec<u8>,
    buffer: Box<[u8]>,
    events: Vec<LaunchEvent>,
    reason: Option<EndReason>,
}

impl<'a> Follower<'a> {
    pub(super) fn new(shared: &'a Shared, connection: &'a Connection) -> Follower<'a> {
        Follower {
            shared,
            connection,
            attempts: HashMap::new(),
            inbox: Vec::new(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            events: Vec::new(),
            reason: None,
        }
    }

    /// Follows until the warden is gone; returns why it said it would go, and the attempts that did not end.
    pub(super) fn run(mut self) -> (Option<EndReason>, Vec<Followed>) {
        let mut ready = [EpollEvent::empty(); EVENTS_PER_TURN];
        loop {
            let count = self.connection.epoll.wait(&mut ready, EpollTimeout::NONE).unwrap_or(0);
            // An attempt is handed over before any of its events can come.
            self.attempts.extend(self.connection.take_fresh());
            let now = Timestamp(wall_micros());
            let mut link_ready = false;
            for event in &ready[..count] {
                match event.data() {
                    TOKEN_LINK => link_ready = true,
                    token => self.on_output(token, now),
                }
            }
            let open = !link_ready || self.take_notices();
            self.shared.deliver(std::mem::take(&mut self.events));
            if !open {
                return (self.reason, self.attempts.into_values().collect());
            }
        }
    }

    fn on_output(&mut self, token: u64, now: Timestamp) {
        let stream = if token & 1 == 0 { Stream::Output } else { Stream::Errors };
        if let Some(attempt) = self.attempts.get_mut(&(token >> 1)) {
            attempt.on_readable(stream, &mut self.buffer, now);
        }
    }

    /// False when the connection is closed, or says what it cannot say.
    fn take_notices(&mut self) -> bool {
        let received = self.connection.receive(&mut self.buffer);
        if let Received::Bytes(bytes) = received {
            self.inbox.extend_from_slice(&self.buffer[..bytes]);
            self.attempts.extend(self.connection.take_fresh());
        }
        let inbox = std::mem::take(&mut self.inbox);
        let mut used = 0;
        let sane = loop {
            match split(&inbox[used..]) {
                Ok(Some((frame, bytes))) => {
                    used += bytes;
                    match Notice::read(frame) {
                        Ok(notice) => self.on_notice(notice),
                        Err(_) => break false,
                    }
                }
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        self.inbox = inbox;
        self.inbox.drain(..used);
        sane && received != Received::Closed
    }

    fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Ready { .. } => {}
            Notice::Started { seq, pid, at_us } => {
                let Some(attempt) = self.attempts.get_mut(&seq) else { return };
                let at = Timestamp(at_us);
                attempt.started_at = Some(at);
                let (attempt, fence) = (attempt.attempt, attempt.fence);
                self.events.push(LaunchEvent::Started { attempt, fence, pid, at });
            }
            Notice::NotStarted { seq, stage, errno, at_us } => {
                let Some(attempt) = self.attempts.remove(&seq) else { return };
                let end = attempt.not_started(stage, errno, Timestamp(at_us), self.shared);
                self.shared.orders.forget(&(end.attempt, end.fence));
                self.events.push(LaunchEvent::Ended(end));
            }
            Notice::Ended { seq, status, at_us } => {
                let Some(attempt) = self.attempts.remove(&seq) else { return };
                let end = attempt.end(status, Timestamp(at_us), &mut self.buffer, self.shared);
                self.shared.orders.forget(&(end.attempt, end.fence));
                self.events.push(LaunchEvent::Ended(end));
            }
            Notice::Ending(reason) => self.reason = Some(reason),
        }
    }
}
