//! The launch thread: takes orders, prepares what an attempt needs on disk, and tells the warden.
//! Must not wait for processes: what becomes of them is the follow thread's.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd, OwnedFd};

use hortator_actors::seam::{LaunchEnd, LaunchEvent, LaunchProgram, LaunchResult, LaunchSpec, LogStat};
use hortator_core::id::RunId;
use hortator_core::time::Timestamp;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::epoll::{EpollEvent, EpollFlags};
use nix::unistd::pipe2;

use super::connection::Connection;
use super::environment::Environment;
use super::followed::Followed;
use super::launcher::Shared;
use super::orders::Batch;
use super::program::{find_interpreter, script_text};
use super::start_error::{Asked, LaunchError};
use super::workplace::Workplace;
use crate::log_file::LogWriter;
use crate::warden::wall_micros;
use crate::warden::wire::{put_deadline, put_shutdown, put_start, put_stop};

/// What goes to the warden in one message.
#[derive(Default)]
struct Message {
    frames: Vec<u8>,
    /// The writing ends of the pipes; closed here once they are sent.
    descriptors: Vec<OwnedFd>,
}

pub(super) struct LaunchThread<'a> {
    shared: &'a Shared,
    /// Runs whose directories are there.
    runs: BTreeSet<RunId>,
    message: Message,
}

impl<'a> LaunchThread<'a> {
    pub(super) fn new(shared: &'a Shared) -> LaunchThread<'a> {
        LaunchThread { shared, runs: BTreeSet::new(), message: Message::default() }
    }

    pub(super) fn run(mut self) {
        loop {
            let batch = self.shared.orders.take();
            let closed = batch.closed;
            self.serve(batch);
            if closed {
                return;
            }
        }
    }

    fn serve(&mut self, batch: Batch) {
        for run in batch.ended_runs {
            self.runs.remove(&run);
            self.shared.remover.remove(self.shared.directories.run_dir(run));
        }
        let mut refused = Vec::new();
        refused.extend(batch.withdrawn.into_iter().map(|(_, spec)| (spec, LaunchError::Stopped)));
        // Held for the whole turn: when the warden goes, the other thread waits until nothing is half handed over.
        let current = self.shared.connection.lock().expect("no panic under this lock");
        if let Some(connection) = current.as_ref() {
            if let Some(deadline_us) = batch.deadline {
                put_deadline(&mut self.message.frames, deadline_us);
            }
            for (seq, spec) in batch.starts {
                if let Err(error) = self.start(seq, &spec, connection) {
                    refused.push((spec, error));
                }
            }
            for (seq, kill) in batch.stops {
                put_stop(&mut self.message.frames, seq, kill);
            }
            if batch.shutdown {
                put_shutdown(&mut self.message.frames);
            }
            let raw: Vec<_> = self.message.descriptors.iter().map(|fd| fd.as_raw_fd()).collect();
            connection.send(&self.message.frames, &raw);
        }
        drop(current);
        self.message.frames.clear();
        self.message.descriptors.clear();
        self.shared.deliver(refused.into_iter().map(|(spec, error)| self.refusal(&spec, &error)).collect());
    }

    fn refusal(&self, spec: &LaunchSpec, error: &LaunchError) -> LaunchEvent {
        self.shared.orders.forget(&(spec.attempt, spec.fence));
        not_started(spec, error)
    }

    /// Prepares one attempt and adds it to the message. Nothing of it is left when that fails.
    fn start(&mut self, seq: u64, spec: &LaunchSpec, connection: &Connection) -> Result<(), LaunchError> {
        let shared = self.shared;
        let mut place = shared.workplaces.take();
        match self.prepare(seq, spec, &mut place) {
            Ok((asked, [outputs, errors])) => {
                let followed = Followed {
                    attempt: spec.attempt,
                    fence: spec.fence,
                    declared: spec.outputs.clone(),
                    started_at: None,
                    pipes: [Some(outputs), Some(errors)],
                    log: LogWriter::new(shared.directories.log_of(spec), shared.config.log_bytes_max),
                    asked,
                    place,
                };
                hand_over(seq, followed, connection);
                Ok(())
            }
            Err(error) => {
                shared.workplaces.give_back(place, &shared.remover);
                Err(error)
            }
        }
    }

    /// The steps that may fail; the last one puts the start into the message. Returns the pipes' reading ends.
    fn prepare(
        &mut self,
        seq: u64,
        spec: &LaunchSpec,
        place: &mut Workplace,
    ) -> Result<(Asked, [OwnedFd; 2]), LaunchError> {
        let shared = self.shared;
        let worker = shared.config.worker.as_str();
        let run_dir = shared.directories.run_dir(spec.attempt.task_run.run);
        let plain = script_text(&spec.program, worker)?;
        let (name, script, given) = match &spec.program {
            LaunchProgram::Script { interpreter, text } => {
                (interpreter, Some(plain.as_deref().unwrap_or(text)), place.script.clone())
            }
            LaunchProgram::File { interpreter, path } => (interpreter, None, path.into()),
        };
        let environment =
            Environment::new(&shared.config.environment, spec, place, &run_dir, &shared.config.worker)?;
        let interpreter = find_interpreter(name, environment.path(), worker)?;
        let ((outputs, to_outputs), (errors, to_errors)) = (new_pipe(worker)?, new_pipe(worker)?);
        self.make_run_dir(spec.attempt.task_run.run)?;
        place.prepare(script).map_err(|(path, error)| LaunchError::prepare(&path, worker, &error))?;
        let directory = place.work.as_os_str().as_encoded_bytes();
        let argv = [name.as_bytes(), given.as_os_str().as_encoded_bytes()];
        let texts = [interpreter.as_bytes(), directory];
        put_start(&mut self.message.frames, seq, spec.grace.0, texts, &argv, environment.iter());
        self.message.descriptors.extend([to_outputs, to_errors]);
        let asked = Asked {
            worker: worker.into(),
            environment_bytes: environment.bytes(),
            longest: environment.longest(),
            interpreter,
        };
        Ok((asked, [outputs, errors]))
    }

    fn make_run_dir(&mut self, run: RunId) -> Result<(), LaunchError> {
        if self.runs.contains(&run) {
            return Ok(());
        }
        let worker = self.shared.config.worker.as_str();
        let made = self.shared.directories.make_run_dir(run);
        made.map_err(|(path, error)| LaunchError::prepare(&path, worker, &error))?;
        self.runs.insert(run);
        Ok(())
    }
}

/// From here on the follow thread has the attempt. It must know it before its first event can come.
fn hand_over(seq: u64, followed: Followed, connection: &Connection) {
    let mut fresh = connection.fresh.lock().expect("no panic under this lock");
    for (stream, pipe) in followed.pipes.iter().flatten().enumerate() {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, seq << 1 | stream as u64);
        // Only a lack of memory or of watches refuses; then the output is read at the end, as far as it fits.
        let _ = connection.epoll.add(pipe, event);
    }
    fresh.push((seq, followed));
}

/// Reading end first; only that one does not block.
fn new_pipe(worker: &str) -> Result<(OwnedFd, OwnedFd), LaunchError> {
    let refused = |errno: nix::errno::Errno| LaunchError::Descriptors {
        worker: worker.into(),
        why: errno.desc().into(),
    };
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC).map_err(refused)?;
    fcntl(&reading, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(refused)?;
    Ok((reading, writing))
}

/// The end of an attempt that never came near the warden.
pub(super) fn not_started(spec: &LaunchSpec, error: &LaunchError) -> LaunchEvent {
    LaunchEvent::Ended(LaunchEnd {
        attempt: spec.attempt,
        fence: spec.fence,
        started_at: None,
        finished_at: Timestamp(wall_micros()),
        result: LaunchResult::NotStarted { error: error.to_string() },
        outputs: BTreeMap::new(),
        log: LogStat::default(),
    })
}
