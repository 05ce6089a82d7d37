//! The writer: the one place that changes a group's file, one transaction after the other.
//! Runs on a thread of its own or is stepped by hand; knows nothing of raft's rules.

use std::io;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableDatabase};

use super::fatal::fatal;
use super::file::{Boot, OpenFile, is_want_of_space};
use super::queue::{Install, Job, JobKind, Queue};
use super::rows::Current;
use super::staging::Staging;
use super::sum::Checkpoint;
use super::transaction::{self, Written};
use crate::backend::{StoreBackend, Wake};
use crate::config::GroupConfig;
use crate::marks;
use crate::store::Hard;

/// Bytes of one transaction: bounds the latency of a sync and the memory under it.
const TRANSACTION_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Commits in memory before one is made durable anyway: redb cannot free pages before.
const UNSYNCED_COMMITS_MAX: u32 = 256;
/// Piece by which the ballast file is filled.
const BALLAST_PIECE_BYTES: usize = 1024 * 1024;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing was queued.
    Idle,
    /// One transaction or one piece of snapshot work was done.
    Worked,
    /// The group is closed or stopped; the writer has let go of the file and will do nothing more.
    Ended,
}

/// Writes what a [`crate::Group`] hands over. Production gives it a thread and calls [`Writer::run`].
pub struct Writer {
    /// Of what was last made durable, until the next is. The store frees the pages that a commit replaced in a second pass
    /// after it, unless somebody may still read them; then the next commit frees them on its way. Dropped before the file.
    reader: Option<ReadTransaction>,
    config: GroupConfig,
    backend: Arc<dyn StoreBackend>,
    current: Arc<Current>,
    queue: Arc<Queue>,
    wake: Arc<dyn Wake>,
    log: slog::Logger,
    written: Written,
    staging: Option<Staging>,
    unsynced: u32,
    ended: bool,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("group", &self.config.group).finish_non_exhaustive()
    }
}

impl Writer {
    pub(crate) fn new(
        config: GroupConfig,
        backend: Arc<dyn StoreBackend>,
        current: Arc<Current>,
        queue: Arc<Queue>,
        wake: Arc<dyn Wake>,
        boot: &Boot,
        log: slog::Logger,
    ) -> Writer {
        let written = Written::new(boot.hard, boot.last.index, boot.sum, &config);
        Writer {
            reader: None,
            config,
            backend,
            current,
            queue,
            wake,
            log,
            written,
            staging: None,
            unsynced: 0,
            ended: false,
        }
    }

    /// Works until the group is closed or stopped, waiting for jobs in between.
    pub fn run(mut self) {
        loop {
            match self.run_one() {
                Step::Worked => {}
                Step::Ended => return,
                Step::Idle => {
                    self.queue.wait();
                }
            }
        }
    }

    /// From now on `bell` is called whenever there may be something to do: for who steps the writer instead of giving
    /// it a thread. It must return at once.
    pub fn ring(&self, bell: Box<dyn Fn() + Send + Sync>) {
        self.queue.ring(bell);
    }

    /// Does everything that is queued.
    pub fn run_pending(&mut self) -> Step {
        loop {
            match self.run_one() {
                Step::Worked => {}
                other => return other,
            }
        }
    }

    /// Does one step: all transactional jobs at the head of the queue together, or one other job.
    pub fn run_one(&mut self) -> Step {
        if self.ended {
            return Step::Ended;
        }
        let jobs = self.queue.take(TRANSACTION_BYTES_MAX);
        if jobs.is_empty() {
            if self.queue.is_closed() {
                return self.end();
            }
            return Step::Idle;
        }
        let step = match self.work(&jobs) {
            Ok(durable) => {
                self.queue.finish(&jobs, durable);
                Step::Worked
            }
            Err(error) => self.on_error(error),
        };
        self.wake.wake();
        step
    }

    fn work(&mut self, jobs: &[Job]) -> Result<bool, redb::Error> {
        let Some(file) = self.current.file() else { fatal(format_args!("the writer has no file")) };
        match &jobs[0].kind {
            JobKind::Write(_) | JobKind::Remember { .. } => return self.write(&file, jobs),
            JobKind::StageBegin { id } => {
                self.staging = None;
                self.staging = Some(Staging::begin(*id, &self.config, &*self.backend)?);
            }
            JobKind::StageRows { id, rows } => {
                if let Some(staging) = self.staging.as_mut().filter(|staging| staging.id == *id) {
                    staging.add(rows)?;
                }
            }
            JobKind::StageDrop { id } => {
                if self.staging.as_ref().is_some_and(|staging| staging.id == *id) {
                    self.staging = None;
                    self.backend.remove(&self.config.incoming_file_name())?;
                }
            }
            JobKind::Install(install) => {
                self.install(&file, install)?;
                return Ok(true);
            }
            JobKind::Ballast { bytes } => self.ballast(*bytes),
        }
        Ok(false)
    }

    fn write(&mut self, file: &OpenFile, jobs: &[Job]) -> Result<bool, redb::Error> {
        let sync = jobs.iter().any(|job| match &job.kind {
            JobKind::Write(write) => write.sync || !write.entries.is_empty(),
            _ => true,
        });
        let durable = sync || self.unsynced >= UNSYNCED_COMMITS_MAX;
        transaction::write(file, jobs, &mut self.written, durable)?;
        if durable {
            self.reader = Some(file.database.begin_read()?);
        }
        self.unsynced = if durable { 0 } else { self.unsynced + 1 };
        let mark = jobs.iter().rev().find_map(|job| match &job.kind {
            JobKind::Write(write) => write.apply.as_ref().map(|apply| apply.mark),
            _ => None,
        });
        if let Some(mark) = mark {
            self.current.set_applied(mark.position.index);
            let latest = Checkpoint { index: mark.position.index, sum: self.written.sum.value() };
            self.current.sums.extend(&self.written.checkpoints, latest);
            self.written.checkpoints.clear();
            self.current.changes.extend(self.written.changed.drain(..), mark.position.index);
        }
        if durable {
            self.note_settled();
        }
        Ok(durable)
    }

    fn install(&mut self, old: &OpenFile, install: &Install) -> Result<(), redb::Error> {
        let Some(staging) = self.staging.take_if(|staging| staging.id == install.id) else {
            fatal(format_args!("raft took snapshot {} that was never staged", install.id))
        };
        let hard = install.hard.unwrap_or(self.written.hard);
        // raft has taken the snapshot, so what it covers is committed
        let hard = Hard { commit: hard.commit.max(install.mark.position.index), ..hard };
        let sum = staging.sum;
        self.reader = None;
        let file = match staging.install(old, install, hard, &self.config, &*self.backend) {
            Ok(file) => file,
            Err(error) => {
                // half a rename: which file is the group's is known only after a restart
                if !self.backend.is_dead() && !is_disk_full(&error) {
                    fatal(format_args!("installing a snapshot failed: {error}"));
                }
                return Err(error);
            }
        };
        self.written = Written::new(hard, install.mark.position.index, sum, &self.config);
        self.unsynced = 0;
        self.current.replace(Some(file));
        self.current.set_applied(install.mark.position.index);
        self.current.sums.restart(Checkpoint { index: install.mark.position.index, sum: sum.value() });
        self.current.changes.restart(install.mark.position.index);
        self.note_settled();
        slog::info!(self.log, "snapshot installed"; "index" => install.mark.position.index);
        Ok(())
    }

    /// For who compares with what is there after a crash.
    fn note_settled(&self) {
        let (group, replica) = (self.config.group, self.config.replica);
        marks::deed(|| marks::Deed::Settles { group, replica, index: self.current.applied() });
    }

    /// Best effort: a ballast that cannot be written is no reason to stop.
    fn ballast(&self, bytes: u64) {
        let name = self.config.ballast_file_name();
        let done = if bytes == 0 { self.backend.remove(&name) } else { self.fill_ballast(&name, bytes) };
        if let Err(error) = done {
            slog::warn!(self.log, "ballast file could not be changed"; "bytes" => bytes, "error" => %error);
        }
    }

    /// Writes real bytes, since a file with holes reserves nothing.
    fn fill_ballast(&self, name: &str, bytes: u64) -> io::Result<()> {
        let file = self.backend.open(name)?;
        let piece = vec![0x5a; BALLAST_PIECE_BYTES];
        let mut offset = file.len()?;
        if offset < bytes {
            file.set_len(bytes)?;
        }
        while offset < bytes {
            let length = (bytes - offset).min(piece.len() as u64);
            file.write(offset, &piece[..length as usize])?;
            offset += length;
        }
        file.close()
    }

    fn on_error(&mut self, error: redb::Error) -> Step {
        if self.backend.is_dead() {
            return self.end();
        }
        let sync_failed = self.current.file().is_some_and(|file| file.flags.sync_failed())
            || self.staging.as_ref().is_some_and(Staging::sync_failed);
        if sync_failed {
            // the kernel may have dropped the pages: a second try would lie
            crate::sometimes!("store: a failed sync stopped a replica");
            fatal(format_args!("a sync failed: {error}"));
        }
        if !is_disk_full(&error) {
            fatal(format_args!("a write failed: {error}"));
        }
        crate::sometimes!("store: a full disk stopped a replica");
        slog::error!(self.log, "disk is full, replica stopped"; "error" => %error);
        self.queue.stop(format!("the disk is full: {error}"));
        self.end()
    }

    fn end(&mut self) -> Step {
        self.ended = true;
        self.reader = None;
        self.staging = None;
        self.current.replace(None);
        Step::Ended
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.writer_gone(self.ended || self.backend.is_dead());
        self.wake.wake();
    }
}

/// True when an error only says that there is no space.
fn is_disk_full(error: &redb::Error) -> bool {
    matches!(error, redb::Error::Io(error) if is_want_of_space(error))
}
