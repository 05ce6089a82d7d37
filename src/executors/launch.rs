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
            self.shared.remover.remove(self.shared.directories.attempts_of(run));
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
        let worker = shared.config.worker.as_str();
        let script = script_text(&spec.program, worker)?;
        let script = match (&spec.program, &script) {
            (_, Some(text)) => Some(text.as_str()),
            (LaunchProgram::Script { text, .. }, None) => Some(text.as_str()),
            (LaunchProgram::File { .. }, None) => None,
        };
        let paths = shared.directories.of_attempt(spec);
        let environment = Environment::new(&shared.config.environment, spec, &paths, &shared.config.worker)?;
        let interpreter = find_interpreter(interpreter_of(&spec.program), environment.path(), worker)?;
        let (outputs, errors) = (new_pipe(worker)?, new_pipe(worker)?);
        self.make_for_run(spec.attempt.task_run.run, false)?;
        if paths.make(script).is_err() {
            // Somebody may have removed the run's directories; then they are made again, otherwise this fails too.
            self.make_for_run(spec.attempt.task_run.run, true)?;
            paths.make(script).map_err(|(path, error)| LaunchError::prepare(&path, worker, &error))?;
        }
        let read = match &spec.program {
            LaunchProgram::Script { .. } => paths.script.as_os_str().as_encoded_bytes(),
            LaunchProgram::File { path, .. } => path.as_bytes(),
        };
        let program = interpreter.as_bytes();
        let argv = [interpreter_of(&spec.program).as_bytes(), read];
        let directory = paths.work.as_os_str().as_encoded_bytes();
        put_start(&mut self.message.frames, seq, spec.grace.0, [program, directory], &argv, environment.iter());
        let asked = Asked {
            interpreter: interpreter.clone(),
            worker: worker.into(),
            environment_bytes: environment.bytes(),
            longest: environment.longest(),
        };
        drop(environment);
        let followed = Followed {
            attempt: spec.attempt,
            fence: spec.fence,
            declared: spec.outputs.clone(),
            had_script: script.is_some(),
            started_at: None,
            pipes: [Some(outputs.0), Some(errors.0)],
            log: LogWriter::new(paths.log.clone(), shared.config.log_bytes_max),
            asked,
            paths,
        };
        self.hand_over(seq, followed, connection);
        self.message.descriptors.extend([outputs.1, errors.1]);
        Ok(())
    }

    /// From here on the follow thread has the attempt. It must know it before its first event can come.
    fn hand_over(&self, seq: u64, followed: Followed, connection: &Connection) {
        let mut fresh = connection.fresh.lock().expect("no panic under this lock");
        for (stream, pipe) in followed.pipes.iter().flatten().enumerate() {
            let event = EpollEvent::new(EpollFlags::EPOLLIN, seq << 1 | stream as u64);
            // Only a lack of memory or of watches refuses; then the output is read at the end, as far as it fits.
            let _ = connection.epoll.add(pipe, event);
        }
        fresh.push((seq, followed));
    }

    fn make_for_run(&mut self, run: RunId, again: bool) -> Result<(), LaunchError> {
        if again || !self.runs.contains(&run) {
            let worker = self.shared.config.worker.as_str();
            let made = self.shared.directories.make_for_run(run);
            made.map_err(|(path, error)| LaunchError::prepare(&path, worker, &error))?;
            self.runs.insert(run);
        }
        Ok(())
    }
}

fn interpreter_of(program: &LaunchProgram) -> &str {
    match program {
        LaunchProgram::Script { interpreter, .. } | LaunchProgram::File { interpreter, .. } => interpreter,
    }
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
