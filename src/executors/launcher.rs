//! The launcher: gets the data directory's lock, starts the warden and the threads, and takes the agent's calls.
//! Must not do work in these calls: they hand over and return.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use hortator_actors::seam::{LaunchEvent, LaunchSpec, Launcher, Stop};
use hortator_core::id::{AttemptId, Fence, Name, RunId};
use hortator_core::time::Span;
use slog::{Logger, o, warn};

use super::connection::{Connection, WardenCommand, WardenError, start_warden};
use super::directories::{Directories, logs_dir};
use super::environment::base_environment;
use super::launch::{LaunchThread, not_started};
use super::orders::Orders;
use super::remover::Remover;
use super::start_error::LaunchError;
use super::supervise;
use super::workplace::Workplaces;
use crate::log_file::LOG_BYTES_MAX;
use crate::warden::lock::{Lock, LockError, PreviousBoot, acquire_lock};

/// How long a drop waits for the warden to end everything: its emergency grace, and time to reap.
const DROP_WAIT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug)]
pub struct LauncherConfig {
    /// Everything the worker keeps; made when it does not exist.
    pub data_dir: PathBuf,
    /// Where runs have their shared directories: one place for all workers of a host.
    pub runs_dir: PathBuf,
    /// Told to processes as `HTR_WORKER`.
    pub worker: Name,
    /// Bytes of each log that are kept.
    pub log_bytes_max: u64,
    /// The variables every process gets.
    pub environment: BTreeMap<String, String>,
    pub warden: WardenCommand,
}

impl LauncherConfig {
    /// With the bounds and the environment of production.
    pub fn new(data_dir: PathBuf, worker: Name) -> LauncherConfig {
        LauncherConfig {
            runs_dir: data_dir.join("runs"),
            data_dir,
            worker,
            log_bytes_max: LOG_BYTES_MAX,
            environment: base_environment(),
            warden: WardenCommand::default(),
        }
    }
}

/// Why attempts cannot be run on this host.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Warden(#[from] WardenError),
    #[error("cannot clear what an earlier worker left in {}", data_dir.display())]
    Directory {
        data_dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot start a thread")]
    Thread(#[source] io::Error),
}

/// Where events go.
enum Sink {
    /// Nobody listens yet.
    Kept(Vec<LaunchEvent>),
    Told(Arc<dyn Fn(Vec<LaunchEvent>) + Send + Sync>),
}

/// What the threads share.
pub(super) struct Shared {
    pub(super) config: LauncherConfig,
    pub(super) lock: Lock,
    pub(super) directories: Directories,
    pub(super) orders: Orders,
    pub(super) workplaces: Workplaces,
    pub(super) remover: Remover,
    /// None while there is no warden.
    pub(super) connection: Mutex<Option<Arc<Connection>>>,
    sink: Mutex<Sink>,
    /// Open files that a task may have, as it was before we raised our own limit.
    pub(super) open_files: u64,
    ended: Mutex<bool>,
    ended_wake: Condvar,
    pub(super) log: Logger,
}

impl Shared {
    pub(super) fn deliver(&self, events: Vec<LaunchEvent>) {
        if events.is_empty() {
            return;
        }
        match &mut *self.sink.lock().expect("no panic under this lock") {
            Sink::Kept(kept) => kept.extend(events),
            Sink::Told(listener) => listener(events),
        }
    }
}

/// Runs attempts as processes of this host. Dropping it ends them all.
pub struct ProcessLauncher {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl fmt::Debug for ProcessLauncher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessLauncher({})", self.shared.config.data_dir.display())
    }
}

impl ProcessLauncher {
    /// Blocks until the lock is ours and a warden is up: at most about 20 s, usually a few milliseconds.
    pub fn start(config: LauncherConfig, log: &Logger) -> Result<ProcessLauncher, StartError> {
        let log = log.new(o!("component" => "launcher"));
        let mut lock = acquire_lock(&config.data_dir, &log)?;
        let directories = Directories::new(&config.data_dir, &config.runs_dir);
        let now = SystemTime::now();
        let (workplaces, old) = Workplaces::new(&config.data_dir, now)
            .map_err(|source| StartError::Directory { data_dir: config.data_dir.clone(), source })?;
        let open_files = crate::env::raise_open_files(&log);
        let inherited = lock.warden.take().expect("a new lock holds it");
        let (child, connection) = start_warden(&config.warden, inherited, open_files, lock.tag_base)?;
        let connection = Arc::new(connection);
        let shared = Arc::new(Shared {
            config,
            lock,
            directories,
            orders: Orders::default(),
            workplaces,
            remover: Remover::new(log.clone()),
            connection: Mutex::new(Some(connection.clone())),
            sink: Mutex::new(Sink::Kept(Vec::new())),
            open_files,
            ended: Mutex::new(false),
            ended_wake: Condvar::new(),
            log,
        });
        let forgotten = shared.directories.forgotten_runs(now);
        old.into_iter().chain(forgotten).for_each(|path| shared.remover.remove(path));
        let mut launcher = ProcessLauncher { shared: shared.clone(), threads: Vec::new() };
        launcher.spawn("launch", |shared| LaunchThread::new(shared).run())?;
        launcher.spawn("remove", |shared| shared.remover.run())?;
        launcher.spawn("follow", move |shared| {
            supervise::run(shared, child, connection);
            *shared.ended.lock().expect("no panic under this lock") = true;
            shared.ended_wake.notify_all();
        })?;
        Ok(launcher)
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce(&Shared) + Send + 'static) -> Result<(), StartError> {
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || work(&shared));
        self.threads.push(thread.map_err(StartError::Thread)?);
        Ok(())
    }

    /// Whether nothing of an earlier worker on this directory can be running: it was under this kernel boot, and
    /// the lock is free, or there was none.
    pub fn earlier_lives_dead(&self) -> bool {
        self.shared.lock.previous_boot != PreviousBoot::OtherBoot
    }

    /// Below which directory the logs lie; see `log_file::LogId::path`.
    pub fn logs(&self) -> PathBuf {
        logs_dir(&self.shared.config.data_dir)
    }

    /// Answers whether an attempt may still write to its log; usable from any thread, also after the launcher.
    pub fn open_attempts(&self) -> Arc<dyn Fn(AttemptId) -> bool + Send + Sync> {
        let shared = self.shared.clone();
        Arc::new(move |attempt| shared.orders.knows(attempt))
    }

    /// Attempts that wait to start or run.
    pub fn len(&self) -> usize {
        self.shared.orders.known_len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn data_dir(&self) -> &Path {
        &self.shared.config.data_dir
    }
}

impl Launcher for ProcessLauncher {
    fn listen(&self, events: Arc<dyn Fn(Vec<LaunchEvent>) + Send + Sync>) {
        let mut sink = self.shared.sink.lock().expect("no panic under this lock");
        if let Sink::Kept(kept) = std::mem::replace(&mut *sink, Sink::Told(events.clone()))
            && !kept.is_empty()
        {
            events(kept);
        }
    }

    fn start(&self, specs: Vec<LaunchSpec>) {
        let refused = self.shared.orders.start(specs);
        let worker = self.shared.config.worker.as_str();
        let error = || LaunchError::QueueFull { queued: super::orders::STARTS_MAX, worker: worker.into() };
        self.shared.deliver(refused.iter().map(|spec| not_started(spec, &error())).collect());
    }

    fn stop(&self, attempt: AttemptId, fence: Fence, how: Stop) {
        self.shared.orders.stop((attempt, fence), how);
    }

    fn set_deadline(&self, boot: Option<Span>) {
        let deadline_us = boot.map(|boot| i64::try_from(boot.0).unwrap_or(i64::MAX));
        self.shared.orders.set_deadline(deadline_us);
    }

    fn run_ended(&self, run: RunId) {
        self.shared.orders.run_ended(run);
    }

    fn shutdown(&self) {
        self.shared.orders.shutdown();
    }
}

impl Drop for ProcessLauncher {
    fn drop(&mut self) {
        self.shutdown();
        let ended = self.shared.ended.lock().expect("no panic under this lock");
        let wait = self.shared.ended_wake.wait_timeout_while(ended, DROP_WAIT, |ended| !*ended);
        if wait.is_ok_and(|(_, timeout)| timeout.timed_out()) {
            // The warden goes on without us; the next agent waits for it.
            warn!(self.shared.log, "the warden does not end, its processes cannot be killed");
            return;
        }
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}
