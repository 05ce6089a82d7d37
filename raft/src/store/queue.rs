//! What the group hands to the writer, and how far the writer has come.
//! A queue with two counters; knows nothing of raft or redb.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};

use bytes::Bytes;
use raft::eraftpb::Entry;

use super::fatal::fatal;
use super::tables::{Hard, Mark, Memory};
use crate::entry::weight;
use crate::position::{Position, ReplicaId};

/// One piece of work. Jobs are done in order; `sequence` counts them from 1.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) sequence: u64,
    pub(crate) kind: JobKind,
}

#[derive(Debug)]
pub(crate) enum JobKind {
    /// Part of a transaction, together with its neighbours.
    Write(Box<WriteJob>),
    /// Remember a peer's boot, durably.
    Remember { peer: ReplicaId, memory: Memory },
    /// Begin a new file for an incoming snapshot, forgetting an unfinished one.
    StageBegin { id: u64 },
    /// Rows of the snapshot, in order.
    StageRows { id: u64, rows: Bytes },
    /// The snapshot is not wanted any more.
    StageDrop { id: u64 },
    /// The snapshot is complete and raft has taken it: replace the file.
    Install(Box<Install>),
    /// Keep a ballast file of that many bytes, or none.
    Ballast { bytes: u64 },
}

/// New entries, state and rows of entries known committed.
#[derive(Debug, Default)]
pub(crate) struct WriteJob {
    pub(crate) entries: Vec<Entry>,
    pub(crate) hard: Option<Hard>,
    pub(crate) apply: Option<Apply>,
    /// Cut the log up to and including this entry; waits for a durable transaction.
    pub(crate) truncate: Option<Position>,
    /// Must be on disk before it counts as done.
    pub(crate) sync: bool,
}

/// Committed entries to apply, and what holds when they are.
#[derive(Debug)]
pub(crate) struct Apply {
    pub(crate) entries: Vec<Entry>,
    pub(crate) conf: Option<Vec<u8>>,
    pub(crate) mark: Mark,
}

/// State that goes into a snapshot's file just before it replaces the old one.
#[derive(Debug)]
pub(crate) struct Install {
    pub(crate) id: u64,
    pub(crate) hard: Option<Hard>,
    pub(crate) conf: Vec<u8>,
    pub(crate) mark: Mark,
}

impl Job {
    fn bytes(&self) -> u64 {
        match &self.kind {
            JobKind::Write(write) => {
                let applied = write.apply.iter().flat_map(|apply| &apply.entries);
                write.entries.iter().chain(applied).map(weight).sum()
            }
            JobKind::StageRows { rows, .. } => rows.len() as u64,
            _ => 0,
        }
    }

    /// True when the job shares a transaction with its neighbours.
    pub(crate) fn is_transactional(&self) -> bool {
        matches!(self.kind, JobKind::Write(_) | JobKind::Remember { .. })
    }
}

/// How far the writer has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// Jobs up to this sequence are visible to readers.
    pub(crate) finished: u64,
    /// Jobs up to this sequence are on disk.
    pub(crate) durable: u64,
    /// The disk is full; nothing more will be written.
    pub(crate) stopped: Option<String>,
}

#[derive(Debug, Default)]
struct Inner {
    jobs: VecDeque<Job>,
    bytes: u64,
    progress: Progress,
    closed: bool,
    ended: bool,
    died: bool,
}

#[derive(Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    filled: Condvar,
    /// Where no thread waits on `filled`.
    bell: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        match self.inner.lock() {
            Ok(inner) => inner,
            Err(_) => fatal(format_args!("a panic while the write queue was held")),
        }
    }

    pub(crate) fn push(&self, job: Job) {
        let mut inner = self.lock();
        inner.bytes += job.bytes();
        inner.jobs.push_back(job);
        drop(inner);
        self.tell();
    }

    /// From now on `bell` is called whenever there may be something to do; a second bell is not heard.
    pub(super) fn ring(&self, bell: Box<dyn Fn() + Send + Sync>) {
        let _ = self.bell.set(bell);
    }

    fn tell(&self) {
        self.filled.notify_one();
        if let Some(bell) = self.bell.get() {
            bell();
        }
    }

    /// Bytes queued or being written.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// How far the writer has come; a verdict when its thread died.
    pub(crate) fn progress(&self) -> Progress {
        let inner = self.lock();
        if inner.died {
            drop(inner);
            fatal(format_args!("the writer died"));
        }
        inner.progress.clone()
    }

    /// True when the writer has stopped; the group learns why from [`Queue::progress`].
    pub(crate) fn has_stopped(&self) -> bool {
        self.lock().progress.stopped.is_some()
    }

    /// No more jobs; the writer does what is queued and ends.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.tell();
    }

    /// Waits for a job; false when the queue is closed and empty.
    pub(super) fn wait(&self) -> bool {
        let mut inner = self.lock();
        while inner.jobs.is_empty() && !inner.closed {
            inner = match self.filled.wait(inner) {
                Ok(inner) => inner,
                Err(_) => fatal(format_args!("a panic while the write queue was held")),
            };
        }
        !inner.jobs.is_empty()
    }

    /// Takes the jobs of the next step: one that stands alone, or neighbours up to `bytes_max`.
    pub(super) fn take(&self, bytes_max: u64) -> Vec<Job> {
        let mut inner = self.lock();
        let mut taken: Vec<Job> = Vec::new();
        let mut bytes = 0;
        while let Some(job) = inner.jobs.front() {
            let alone = !job.is_transactional();
            bytes += job.bytes();
            if !taken.is_empty() && (alone || bytes > bytes_max) {
                break;
            }
            taken.extend(inner.jobs.pop_front());
            if alone {
                break;
            }
        }
        taken
    }

    pub(super) fn is_closed(&self) -> bool {
        let inner = self.lock();
        inner.closed && inner.jobs.is_empty()
    }

    pub(super) fn finish(&self, jobs: &[Job], durable: bool) {
        let Some(last) = jobs.last() else { return };
        let mut inner = self.lock();
        inner.bytes -= jobs.iter().map(Job::bytes).sum::<u64>();
        inner.progress.finished = last.sequence;
        if durable {
            inner.progress.durable = last.sequence;
        }
    }

    pub(super) fn stop(&self, reason: String) {
        let mut inner = self.lock();
        inner.progress.stopped = Some(reason);
        inner.jobs.clear();
        inner.bytes = 0;
    }

    /// The writer is gone; unless it ended in order, the group must not go on.
    pub(super) fn writer_gone(&self, in_order: bool) {
        let Ok(mut inner) = self.inner.lock() else { return };
        inner.ended = true;
        inner.died = !in_order && !inner.closed;
    }
}
