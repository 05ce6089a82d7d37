//! What the actors of one epoch leave for each other and must not lose: a notice that is refused is refused by a full
//! mailbox, and with each message in it its actor looks here. Must not know what they make of it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use hortator_core::id::{Fence, RunId, TaskRunId, WorkflowName};
use hortator_core::reason::Reason;
use hortator_core::time::Timestamp;
use hortator_core::workflow;

/// See the module. Bounded by what is live: a few moves and one wish per run, one place, one reason and one moment
/// per task run.
#[derive(Debug, Default)]
pub struct Board {
    moves: RefCell<BTreeMap<WorkflowName, Vec<Move>>>,
    wishes: RefCell<BTreeMap<RunId, Wish>>,
    places: RefCell<BTreeMap<TaskRunId, Place>>,
    waits: RefCell<BTreeMap<TaskRunId, Reason>>,
    passing: RefCell<BTreeMap<TaskRunId, Passing>>,
}

/// Moments of a task run that usually pass within one turn, or one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// Its actor has not had its first turn.
    Begins,
    /// The dispatch of an attempt is decided, and not committed.
    Commits { since: Timestamp },
}

/// What a workflow is to know of its runs, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// It has finished.
    Left(RunId),
    /// Finished before, it is live again.
    Returned { run: RunId, place: workflow::Place },
}

/// What a workflow wants of a run; a newer wish takes the place of an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It has its turn.
    Begin,
    /// A newer run takes its place: it is to be cancelled.
    GiveWay(workflow::Displaced),
}

/// Where the entry that dispatched an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub attempt: u16,
    pub fence: Fence,
}

impl Board {
    pub fn moved(&self, workflow: &WorkflowName, what: Move) {
        self.moves.borrow_mut().entry(workflow.clone()).or_default().push(what);
    }

    /// Also of a time when the workflow had no actor: a rebuild starts runs before their workflows, and what these read in
    /// rows may be older than the end of such a run.
    pub fn take_moves(&self, workflow: &WorkflowName) -> Vec<Move> {
        let mut moves = self.moves.borrow_mut();
        if moves.is_empty() { Vec::new() } else { moves.remove(workflow).unwrap_or_default() }
    }

    pub fn wish(&self, run: RunId, wish: Wish) {
        self.wishes.borrow_mut().insert(run, wish);
    }

    pub fn take_wish(&self, run: RunId) -> Option<Wish> {
        self.wishes.borrow_mut().remove(&run)
    }

    /// Only of an attempt whose actor could not be told.
    pub fn placed(&self, task_run: TaskRunId, place: Place) {
        self.places.borrow_mut().insert(task_run, place);
    }

    /// Why a task run waits before it is offered, or that it does not any more.
    pub fn waits(&self, task_run: TaskRunId, reason: Option<Reason>) {
        let mut waits = self.waits.borrow_mut();
        match reason {
            Some(reason) => drop(waits.insert(task_run, reason)),
            None => drop(waits.remove(&task_run)),
        }
    }

    pub fn why_it_waits(&self, task_run: TaskRunId) -> Option<Reason> {
        self.waits.borrow().get(&task_run).cloned()
    }

    pub fn passes(&self, task_run: TaskRunId, through: Passing) {
        self.passing.borrow_mut().insert(task_run, through);
    }

    /// It has come through.
    pub fn passed(&self, task_run: TaskRunId) {
        self.passing.borrow_mut().remove(&task_run);
    }

    pub fn passing(&self, task_run: TaskRunId) -> Option<Passing> {
        self.passing.borrow().get(&task_run).copied()
    }

    pub fn take_place(&self, task_run: TaskRunId) -> Option<Place> {
        self.places.borrow_mut().remove(&task_run)
    }
}
