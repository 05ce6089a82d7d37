//! Removes directory trees on a thread of its own: a task may have left a million files.
//! Must not know what the trees were for.

use std::collections::VecDeque;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard};

use slog::{Logger, warn};

/// Trees that wait. Beyond that they stay until the worker's next start, which removes all it finds.
const QUEUE_MAX: usize = 100_000;

#[derive(Debug, Default)]
struct Queue {
    paths: VecDeque<PathBuf>,
    closed: bool,
}

#[derive(Debug)]
pub(super) struct Remover {
    queue: Mutex<Queue>,
    wake: Condvar,
    log: Logger,
}

impl Remover {
    pub(super) fn new(log: Logger) -> Remover {
        Remover { queue: Mutex::default(), wake: Condvar::new(), log }
    }

    pub(super) fn remove(&self, path: PathBuf) {
        let mut queue = self.lock();
        if queue.paths.len() >= QUEUE_MAX {
            drop(queue);
            warn!(self.log, "a directory is left until the next start, too many wait"; "path" => %path.display());
            return;
        }
        queue.paths.push_back(path);
        self.wake.notify_one();
    }

    /// What waits is left for the next start.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// The thread.
    pub(super) fn run(&self) {
        loop {
            let mut queue = self.lock();
            let path = loop {
                if queue.closed {
                    return;
                }
                match queue.paths.pop_front() {
                    Some(path) => break path,
                    None => queue = self.wake.wait(queue).expect("no panic under this lock"),
                }
            };
            drop(queue);
            if let Err(error) = remove_tree(&path) {
                warn!(self.log, "cannot remove a directory"; "path" => %path.display(), "error" => %error);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no panic under this lock")
    }
}

/// Removes a tree, opening directories that the task closed to itself. Follows no link.
fn remove_tree(path: &Path) -> io::Result<()> {
    let result = match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_directories(path);
            fs::remove_dir_all(path)
        }
        result => result,
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn open_directories(top: &Path) {
    let mut waiting = vec![top.to_owned()];
    while let Some(path) = waiting.pop() {
        let _ = fs::set_permissions(&path, Permissions::from_mode(0o700));
        let entries = fs::read_dir(&path).into_iter().flatten().flatten();
        waiting.extend(entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
    }
}
