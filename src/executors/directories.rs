//! Where runs and logs live on disk: `logs/<namespace>/<workflow>/<run>/` below the data directory, and
//! `runs/<run>/` there too, or in one place that all workers of the host share.
//! Must not know processes; where attempts work is `workplace`'s.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hortator_actors::seam::LaunchSpec;
use hortator_core::id::RunId;

use crate::log_file::LogId;

/// A run's directory that nobody touched for so long is removed when a worker starts: no master will say any more
/// that its run has ended.
const RUN_DIRECTORY_KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Debug)]
pub(super) struct Directories {
    runs: PathBuf,
    logs: PathBuf,
}

impl Directories {
    pub(super) fn new(data: &Path, runs: &Path) -> Directories {
        Directories { runs: runs.into(), logs: logs_dir(data) }
    }

    pub(super) fn log_of(&self, spec: &LaunchSpec) -> PathBuf {
        let names = &spec.names;
        let id = LogId {
            namespace: names.namespace.clone(),
            workflow: names.workflow.clone(),
            run: spec.attempt.task_run.run,
            task: names.task.clone(),
            item: names.item,
            attempt: spec.attempt.attempt,
        };
        id.path(&self.logs)
    }

    /// `HTR_RUN_DIR`: what the tasks of a run share on this host.
    pub(super) fn run_dir(&self, run: RunId) -> PathBuf {
        self.runs.join(run.to_string())
    }

    /// The error comes with the path that refused.
    pub(super) fn make_run_dir(&self, run: RunId) -> Result<(), (PathBuf, io::Error)> {
        let path = self.run_dir(run);
        private().recursive(true).create(&path).map_err(|error| (path, error))
    }

    /// Directories of runs that no master remembers.
    pub(super) fn forgotten_runs(&self, now: SystemTime) -> Vec<PathBuf> {
        let runs = fs::read_dir(&self.runs).into_iter().flatten().flatten();
        let is_old = |entry: &fs::DirEntry| {
            let touched = entry.metadata().and_then(|meta| meta.modified());
            touched.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > RUN_DIRECTORY_KEEP))
        };
        runs.filter(is_old).map(|entry| entry.path()).collect()
    }
}

/// Where a worker keeps the logs of its attempts.
pub(super) fn logs_dir(data: &Path) -> PathBuf {
    data.join("logs")
}

/// Makes directories that only the worker's user may enter.
pub(super) fn private() -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    builder
}
