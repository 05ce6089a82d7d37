//! One attempt while it runs: its pipes, its log, what it has on disk, and what becomes of it all at the end.
//! Must not know the warden.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use hortator_actors::seam::{LaunchEnd, LaunchResult, LogStat};
use hortator_core::definition::ValueType;
use hortator_core::id::{AttemptId, Fence};
use hortator_core::time::Timestamp;
use nix::errno::Errno;
use nix::libc;
use nix::unistd::read;
use serde_json::Value;

use super::launcher::Shared;
use super::outputs::read_outputs;
use super::start_error::Asked;
use super::workplace::Workplace;
use crate::log_file::{LogWriter, Stream};

/// Most bytes taken from one stream before others get their turn.
const TURN_BYTES_MAX: usize = 1 << 20;

/// Most bytes taken from a stream after the end: what a pipe can hold. Somebody outside may hold the other end.
const DRAIN_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Followed {
    pub(super) attempt: AttemptId,
    pub(super) fence: Fence,
    pub(super) declared: BTreeMap<String, ValueType>,
    pub(super) place: Workplace,
    pub(super) started_at: Option<Timestamp>,
    pub(super) pipes: [Option<OwnedFd>; 2],
    pub(super) log: LogWriter,
    pub(super) asked: Asked,
}

impl Followed {
    /// Takes what a stream has. The pipe does not block, and closes when its writers are gone.
    pub(super) fn pump(&mut self, stream: Stream, buffer: &mut [u8], bytes_max: usize, now: Timestamp) {
        let pipe = &mut self.pipes[stream as usize];
        let mut taken = 0;
        while taken < bytes_max
            && let Some(descriptor) = pipe
        {
            match read(&*descriptor, buffer) {
                Ok(0) => *pipe = None,
                Ok(bytes) => {
                    self.log.take(stream, &buffer[..bytes], now);
                    taken += bytes;
                    // Less than asked: the pipe is empty, and asking again would only say so.
                    if bytes < buffer.len() {
                        break;
                    }
                }
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(_) => *pipe = None,
            }
        }
    }

    /// A turn of an event loop.
    pub(super) fn on_readable(&mut self, stream: Stream, buffer: &mut [u8], now: Timestamp) {
        self.pump(stream, buffer, TURN_BYTES_MAX, now);
    }

    /// The end by the main process's wait status; no process is left, so what the pipes hold is all there is.
    pub(super) fn end(mut self, status: i32, at: Timestamp, buffer: &mut [u8], shared: &Shared) -> LaunchEnd {
        for stream in [Stream::Output, Stream::Errors] {
            self.pump(stream, buffer, DRAIN_BYTES_MAX, at);
        }
        let (result, outputs) = self.result(status);
        self.finish(result, outputs, at, shared)
    }

    /// The end without a beginning.
    pub(super) fn not_started(self, stage: u8, errno: i32, at: Timestamp, shared: &Shared) -> LaunchEnd {
        let error = self.asked.explain(stage, errno);
        self.finish(LaunchResult::NotStarted { error }, BTreeMap::new(), at, shared)
    }

    /// The warden is gone: keeps the log, removes the rest, tells nobody.
    pub(super) fn abandon(self, now: Timestamp, shared: &Shared) {
        self.finish(LaunchResult::Exited { code: 0 }, BTreeMap::new(), now, shared);
    }

    fn result(&self, status: i32) -> (LaunchResult, BTreeMap<String, Value>) {
        if libc::WIFSIGNALED(status) {
            return (LaunchResult::Signalled { signal: libc::WTERMSIG(status) }, BTreeMap::new());
        }
        match libc::WEXITSTATUS(status) {
            0 => match read_outputs(&self.place.output, &self.declared) {
                Ok(outputs) => (LaunchResult::Exited { code: 0 }, outputs),
                Err(error) => (LaunchResult::OutputsInvalid { error: error.to_string() }, BTreeMap::new()),
            },
            code => (LaunchResult::Exited { code }, BTreeMap::new()),
        }
    }

    fn finish(
        self,
        result: LaunchResult,
        outputs: BTreeMap<String, Value>,
        finished_at: Timestamp,
        shared: &Shared,
    ) -> LaunchEnd {
        let (bytes_kept, bytes_dropped) = self.log.finish(finished_at);
        shared.workplaces.give_back(self.place, &shared.remover);
        LaunchEnd {
            attempt: self.attempt,
            fence: self.fence,
            started_at: self.started_at,
            finished_at,
            result,
            outputs,
            log: LogStat { bytes_kept, bytes_dropped },
        }
    }
}
