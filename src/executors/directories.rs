//! Where attempts and runs live on disk. Below the data directory:
//! `attempts/<run>/<task>[_<item>].<attempt>/` with `.script` and `.output` beside it, `logs/…`; and `runs/<run>/`
//! there too, or in one place that all workers of the host share.
//! Must not know processes.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hortator_actors::seam::LaunchSpec;
use hortator_core::id::RunId;

use crate::log_file::LogId;

/// A run's directory that nobody touched for so long is removed when a worker starts: no master will say any more
/// that its run has ended.
const RUN_DIRECTORY_KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// The paths of one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AttemptPaths {
    /// `HTR_WORKDIR`: empty at the start, the process's current directory.
    pub(super) work: PathBuf,
    pub(super) script: PathBuf,
    /// `HTR_OUTPUT`: does not exist at the start.
    pub(super) output: PathBuf,
    /// `HTR_RUN_DIR`.
    pub(super) run_dir: PathBuf,
    pub(super) log: PathBuf,
}

#[derive(Debug)]
pub(super) struct Directories {
    data: PathBuf,
    runs: PathBuf,
    logs: PathBuf,
}

impl Directories {
    pub(super) fn new(data: &Path, runs: &Path) -> Directories {
        Directories { data: data.into(), runs: runs.into(), logs: logs_dir(data) }
    }

    pub(super) fn of_attempt(&self, spec: &LaunchSpec) -> AttemptPaths {
        let names = &spec.names;
        let id = LogId {
            namespace: names.namespace.clone(),
            workflow: names.workflow.clone(),
            run: spec.attempt.task_run.run,
            task: names.task.clone(),
            item: names.item,
            attempt: spec.attempt.attempt,
        };
        let (run, stem) = (self.attempts_of(id.run), id.stem());
        AttemptPaths {
            script: run.join(format!("{stem}.script")),
            output: run.join(format!("{stem}.output")),
            work: run.join(stem),
            run_dir: self.run_dir(id.run),
            log: id.path(&self.logs),
        }
    }

    /// What the attempts of a run have on disk while they run.
    pub(super) fn attempts_of(&self, run: RunId) -> PathBuf {
        self.data.join("attempts").join(run.to_string())
    }

    /// What the tasks of a run share on this host.
    pub(super) fn run_dir(&self, run: RunId) -> PathBuf {
        self.runs.join(run.to_string())
    }

    /// Makes what all attempts of a run need. The error comes with the path that refused.
    pub(super) fn make_for_run(&self, run: RunId) -> Result<(), (PathBuf, io::Error)> {
        for path in [self.attempts_of(run), self.run_dir(run)] {
            private().recursive(true).create(&path).map_err(|error| (path, error))?;
        }
        Ok(())
    }

    /// Moves the leavings of an earlier agent aside, in one step; returns what to remove at leisure.
    pub(super) fn set_aside(&self, now: SystemTime) -> io::Result<Vec<PathBuf>> {
        let trash = self.data.join("trash");
        private().recursive(true).create(&trash)?;
        let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        match fs::rename(self.data.join("attempts"), trash.join(since_1970.as_nanos().to_string())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut old = Vec::new();
        for entry in fs::read_dir(&trash)? {
            old.push(entry?.path());
        }
        let runs = fs::read_dir(&self.runs).into_iter().flatten().flatten();
        let is_old = |entry: &fs::DirEntry| {
            let touched = entry.metadata().and_then(|meta| meta.modified());
            touched.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > RUN_DIRECTORY_KEEP))
        };
        old.extend(runs.filter(is_old).map(|entry| entry.path()));
        Ok(old)
    }
}

/// Where a worker keeps the logs of its attempts.
pub(super) fn logs_dir(data: &Path) -> PathBuf {
    data.join("logs")
}

fn private() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}

impl AttemptPaths {
    /// The empty directory and, if there is one, the script. Remains of an attempt of the same name are an error of
    /// somebody else; they are removed rather than shown to the process. The error comes with the path.
    pub(super) fn make(&self, script: Option<&str>) -> Result<(), (PathBuf, io::Error)> {
        let made = match private().create(&self.work) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let _ = fs::remove_dir_all(&self.work);
                let _ = fs::remove_file(&self.output);
                let _ = fs::remove_file(&self.script);
                private().create(&self.work)
            }
            made => made,
        };
        made.map_err(|error| (self.work.clone(), error))?;
        let Some(text) = script else { return Ok(()) };
        let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.script);
        open().and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| (self.script.clone(), error))
    }

    /// Removes what the attempt had, as long as that is quick; false when its directory is not empty.
    pub(super) fn remove_quickly(&self, had_script: bool) -> bool {
        if had_script {
            let _ = fs::remove_file(&self.script);
        }
        if fs::remove_file(&self.output).is_err_and(|e| e.kind() == io::ErrorKind::IsADirectory) {
            let _ = fs::remove_dir_all(&self.output);
        }
        match fs::remove_dir(&self.work) {
            Ok(()) => true,
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }
}
