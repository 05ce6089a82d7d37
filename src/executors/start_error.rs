//! Why an attempt did not start, said to the person who wrote the task: what, why, and what to do.
//! Must not decide anything.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::warden::kernel::Stage;

/// Longest single variable or argument that Linux hands to a program (MAX_ARG_STRLEN, 32 pages).
const VARIABLE_BYTES_MAX: usize = 128 << 10;

#[derive(Debug, thiserror::Error)]
pub(super) enum LaunchError {
    #[error(
        "interpreter {interpreter:?} is not in the PATH of worker {worker} ({path}); install it there, or give the path of another one"
    )]
    NotInPath { interpreter: String, worker: String, path: String },
    #[error("interpreter {interpreter:?} {why} on worker {worker}; install it there, or name another one")]
    Interpreter { interpreter: String, worker: String, why: String },
    #[error("interpreter {interpreter:?} is empty or holds a NUL character; name a program, for example sh")]
    InterpreterName { interpreter: String },
    #[error(
        "script file {path:?} is not an absolute path; a worker has no directory to start from, so give the whole path"
    )]
    FileRelative { path: String },
    #[error(
        "script file {path:?} cannot be read on worker {worker} ({why}); put it there for the user of the worker"
    )]
    File { path: String, worker: String, why: String },
    #[error(
        "the script holds a NUL character, at which shells stop or stumble; remove it, or write data to a file"
    )]
    ScriptNul,
    #[error(
        "variable {name:?} cannot be given to a process: a name is not empty and holds neither = nor NUL"
    )]
    VariableName { name: String },
    #[error(
        "the value of variable {name:?} holds a NUL character, which no environment can carry; encode it"
    )]
    VariableNul { name: String },
    #[error(
        "the environment takes {bytes} bytes, more than any program can be given; pass large values through a file in $HTR_RUN_DIR"
    )]
    TooBig { bytes: usize },
    #[error("worker {worker} cannot prepare {} ({why}); see to its data directory", path.display())]
    Prepare { path: PathBuf, worker: String, why: String },
    #[error(
        "worker {worker} has no file descriptor left ({why}); raise its open files limit or lower its slots"
    )]
    Descriptors { worker: String, why: String },
    #[error("stopped before it was started")]
    Stopped,
    #[error("{queued} starts wait on worker {worker} already; lower its slots")]
    QueueFull { queued: usize, worker: String },
}

impl LaunchError {
    pub(super) fn prepare(path: &Path, worker: &str, error: &io::Error) -> LaunchError {
        LaunchError::Prepare { path: path.into(), worker: worker.into(), why: error.to_string() }
    }
}

/// What was asked of the kernel, kept until it is known that the process started.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) interpreter: String,
    pub(super) worker: String,
    pub(super) environment_bytes: usize,
    pub(super) longest: Option<(String, usize)>,
}

impl Asked {
    /// The warden's word for why a start failed, as a sentence.
    pub(super) fn explain(&self, stage: u8, errno: i32) -> String {
        let Asked { interpreter, worker, environment_bytes, longest } = self;
        let errno = Errno::from_raw(errno);
        let why = errno.desc();
        match (Stage::from_u8(stage), errno) {
            (Some(Stage::Expired), _) => {
                format!(
                    "the lease of worker {worker} is over, so it starts nothing; the task runs again when it or another worker is back"
                )
            }
            (Some(Stage::Clone), Errno::EAGAIN) => format!(
                "worker {worker} may not start another process ({why}); raise its limit of processes (ulimit -u, TasksMax=) or lower its slots"
            ),
            (Some(Stage::Clone), _) => {
                format!("worker {worker} cannot start a process ({why}); lower its slots")
            }
            (Some(Stage::Exec), Errno::E2BIG) => match longest {
                Some((name, bytes)) if *bytes >= VARIABLE_BYTES_MAX => format!(
                    "variable {name:?} takes {bytes} bytes, Linux gives a program at most {VARIABLE_BYTES_MAX} in one; pass it through a file in $HTR_RUN_DIR"
                ),
                _ => format!(
                    "the environment takes {environment_bytes} bytes, more than Linux gives a program on worker {worker}; pass large values through a file in $HTR_RUN_DIR"
                ),
            },
            (Some(Stage::Exec), Errno::ENOEXEC) => format!(
                "interpreter {interpreter:?} on worker {worker} is not a program this machine can run (wrong format or processor); install the right one"
            ),
            (Some(Stage::Exec), Errno::ENOENT) => format!(
                "interpreter {interpreter:?} on worker {worker} needs a loader or interpreter of its own that is missing; reinstall it"
            ),
            (Some(Stage::Exec), _) => {
                format!(
                    "interpreter {interpreter:?} cannot be run on worker {worker} ({why}); see to its permissions"
                )
            }
            (Some(stage), _) => {
                format!(
                    "worker {worker} cannot start a process ({stage:?}: {why}); this is a fault of the worker, report it"
                )
            }
            (None, _) => format!(
                "worker {worker} cannot start a process ({why}); this is a fault of the worker, report it"
            ),
        }
    }
}
