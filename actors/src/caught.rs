//! Panics of deciders: they are pure, so nothing is half done when one panics, and only its run is concerned. Everything
//! else that panics ends the process. Must not know what follows.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use hortator_core::id::{LimitName, RunId, TaskRunId, WorkflowName};

/// What a run that is quarantined for it says, and a command that comes to nothing.
pub(crate) const CODE: &str = "H9010";

thread_local! {
    static DECIDING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic on this thread would be one of a decider's. The process's panic hook asks.
pub fn is_deciding() -> bool {
    DECIDING.get()
}

/// Whose decision it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decides {
    Workflow(WorkflowName),
    Run(RunId),
    TaskRun(TaskRunId),
    Limit(LimitName),
}

/// Calls a decider; an error says in its own words why it panicked.
pub(crate) fn caught<T>(decides: impl FnOnce() -> Decides, decider: impl FnOnce() -> T) -> Result<T, String> {
    let before = DECIDING.replace(true);
    let decided = catch_unwind(AssertUnwindSafe(|| {
        trip::look(decides);
        decider()
    }));
    DECIDING.set(before);
    decided.map_err(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_string());
        text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no words".to_string())
    })
}

/// Deciders that panic on purpose, for tests. No build that is released has it.
#[cfg(debug_assertions)]
pub mod trip {
    use std::cell::RefCell;

    use super::Decides;

    type Trips = Box<dyn Fn(&Decides) -> bool>;

    thread_local! {
        static TRIPS: RefCell<Option<Trips>> = const { RefCell::new(None) };
    }

    /// From now on, on this thread.
    pub fn when(trips: impl Fn(&Decides) -> bool + 'static) {
        TRIPS.set(Some(Box::new(trips)));
    }

    pub fn never() {
        TRIPS.set(None);
    }

    pub(super) fn look(decides: impl FnOnce() -> Decides) {
        let trips = TRIPS.with_borrow(|trips| trips.as_ref().is_some_and(|trips| trips(&decides())));
        assert!(!trips, "the decider panics on purpose");
    }
}

#[cfg(not(debug_assertions))]
mod trip {
    pub(super) fn look(_: impl FnOnce() -> super::Decides) {}
}
