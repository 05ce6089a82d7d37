//! What processes of attempts really did: each start and end, in the order of the world's time, whatever masters and
//! agents believe. Must not know why a process ended.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hortator_core::id::{AttemptId, Fence, Name};

use crate::evidence::{Given, LedgerKey, LedgerLine, Mark};

use super::agenda::Agenda;
use super::trace::{Trace, What};

/// A process as the ledger names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub attempt: AttemptId,
    pub fence: Fence,
    pub task: Name,
    pub item: Option<u32>,
    pub given: Given,
}

/// See the module. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    lines: Arc<Mutex<Vec<LedgerLine>>>,
    agenda: Arc<Agenda>,
    trace: Trace,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({} lines)", self.length())
    }
}

impl Ledger {
    /// One that goes on behind these lines.
    pub fn new(lines: Vec<LedgerLine>, agenda: Arc<Agenda>, trace: Trace) -> Ledger {
        Ledger { lines: Arc::new(Mutex::new(lines)), agenda, trace }
    }

    fn held(&self) -> MutexGuard<'_, Vec<LedgerLine>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self, worker: &str, entry: &Entry, mark: Mark) {
        let now = self.agenda.now();
        let line = LedgerLine {
            mark,
            key: LedgerKey {
                run: entry.attempt.task_run.run,
                task: entry.task.to_string(),
                item: entry.item.unwrap_or(0),
            },
            attempt: entry.attempt.attempt,
            fence: entry.fence,
            // The true time: what a host's clock says may be wrong.
            at: self.agenda.wall(now),
            worker: worker.to_owned(),
            given: entry.given.clone(),
        };
        let words = format!(
            "{mark:?} {} {}[{}]#{} {}",
            line.key.run, line.key.task, line.key.item, line.attempt, line.fence
        );
        self.trace.note(now, worker, What::Process { line: &words });
        self.held().push(line);
    }

    pub fn length(&self) -> usize {
        self.held().len()
    }

    /// Drops the other lines. Gives for each length that it had how many of so many lines are left.
    pub fn retain(&self, keep: impl Fn(&LedgerLine) -> bool) -> Vec<usize> {
        let mut lines = self.held();
        let mut left = vec![0];
        for line in &*lines {
            left.push(left[left.len() - 1] + usize::from(keep(line)));
        }
        lines.retain(keep);
        left
    }

    pub fn lines(&self) -> Vec<LedgerLine> {
        self.held().clone()
    }
}
