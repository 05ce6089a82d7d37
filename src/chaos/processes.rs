//! The cluster's processes: started, signalled, and started again by whoever plays their supervisor. Must not know plans.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::links::Place;
use crate::forming::strip_environment;

/// A process that ended by itself is started again after this, as a supervisor would.
const RESTART_AFTER: Duration = Duration::from_millis(200);
/// How long a process may take from its start to its ready line.
const READY_MAX: Duration = Duration::from_secs(30);

/// How a process is called: what makes it this node.
#[derive(Clone, Debug)]
pub(super) struct NodeCommand {
    pub(super) place: Place,
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
    /// Its log goes there.
    pub(super) log: PathBuf,
    pub(super) mutant: Option<String>,
}

/// A node's process, or the time at which it starts again.
#[derive(Debug)]
enum Life {
    Up { child: Child, frozen: bool },
    Down { until: Instant },
}

/// One node and its process.
#[derive(Debug)]
pub(super) struct Process {
    command: NodeCommand,
    program: PathBuf,
    life: Life,
    /// Exits that nobody asked for.
    pub(super) surprises: Vec<String>,
}

impl Process {
    /// Starts it and waits for its ready line.
    pub(super) fn start(program: &Path, command: NodeCommand) -> io::Result<Process> {
        let mut child = spawn(program, &command)?;
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            sender.send(read.map(|_| line)).unwrap_or(());
        });
        let line = receiver.recv_timeout(READY_MAX).unwrap_or(Ok(String::new()))?;
        if !line.starts_with("ready ") {
            let _ = child.kill();
            let _ = child.wait();
            let why = format!("{} is not ready; see {}", command.name, command.log.display());
            return Err(io::Error::other(why));
        }
        let life = Life::Up { child, frozen: false };
        Ok(Process { command, program: program.to_owned(), life, surprises: Vec::new() })
    }

    pub(super) fn place(&self) -> Place {
        self.command.place
    }

    pub(super) fn name(&self) -> &str {
        &self.command.name
    }

    /// SIGKILL, and a new start after `rest`.
    pub(super) fn kill(&mut self, rest: Duration) {
        if let Life::Up { child, .. } = &mut self.life {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.life = Life::Down { until: Instant::now() + rest };
    }

    /// SIGTERM: it ends when it has handed over; see [`Process::ended`].
    pub(super) fn terminate(&mut self) {
        self.signal(Signal::SIGTERM);
    }

    /// Whether it has ended; then it starts again after `rest`.
    pub(super) fn ended(&mut self, rest: Duration) -> Option<std::process::ExitStatus> {
        let Life::Up { child, .. } = &mut self.life else { return None };
        let status = child.try_wait().ok().flatten()?;
        self.life = Life::Down { until: Instant::now() + rest };
        Some(status)
    }

    pub(super) fn freeze(&mut self) {
        self.signal(Signal::SIGSTOP);
        if let Life::Up { frozen, .. } = &mut self.life {
            *frozen = true;
        }
    }

    pub(super) fn thaw(&mut self) {
        self.signal(Signal::SIGCONT);
        if let Life::Up { frozen, .. } = &mut self.life {
            *frozen = false;
        }
    }

    /// What a supervisor does: starts it again when its time has come, or when it ended by itself.
    pub(super) fn supervise(&mut self) -> io::Result<()> {
        if let Life::Down { until } = &self.life {
            if Instant::now() >= *until {
                let child = spawn(&self.program, &self.command)?;
                self.life = Life::Up { child, frozen: false };
            }
            return Ok(());
        }
        if let Some(status) = self.ended(RESTART_AFTER) {
            self.surprises.push(format!("{} ended by itself: {status}", self.command.name));
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if let Life::Up { child, .. } = &self.life {
            // It may have ended meanwhile.
            let _ = kill(Pid::from_raw(child.id().cast_signed()), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill(Duration::ZERO);
    }
}

fn spawn(program: &Path, node: &NodeCommand) -> io::Result<Child> {
    let log = File::options().create(true).append(true).open(&node.log)?;
    let mut command = Command::new(program);
    strip_environment(&mut command);
    command.envs(node.mutant.iter().map(|name| ("HTR_MUTANT", name)));
    // A group of its own: an interrupt at the terminal is for the harness, which ends its nodes itself.
    command.args(&node.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).process_group(0);
    command.spawn()
}
