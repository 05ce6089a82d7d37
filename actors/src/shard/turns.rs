//! Which live runs have their turn, by workflow, and how many wait for theirs, as their actors say: whoever explains one run
//! need not look at all others. Must not know who gives turns.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use hortator_core::id::{RunId, WorkflowName};
use hortator_core::run::RunHeader;

/// See the module. Bounded by the live runs of the shard.
#[derive(Debug, Default)]
pub struct Turns {
    holders: RefCell<BTreeMap<WorkflowName, BTreeSet<RunId>>>,
    waiting: Cell<u64>,
}

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Waits,
    Has,
    Over,
}

impl Turn {
    pub fn of(header: &RunHeader) -> Turn {
        match (header.is_live(), header.word()) {
            (false, _) => Turn::Over,
            (true, "queued") => Turn::Waits,
            (true, _) => Turn::Has,
        }
    }
}

impl Turns {
    /// `was`: what was last said of the run, `Over` if nothing was.
    pub fn changed(&self, workflow: &WorkflowName, run: RunId, was: Turn, is: Turn) {
        if was == is {
            return;
        }
        match was {
            Turn::Waits => self.waiting.set(self.waiting.get() - 1),
            Turn::Has => self.gives_back(workflow, run),
            Turn::Over => {}
        }
        match is {
            Turn::Waits => self.waiting.set(self.waiting.get() + 1),
            Turn::Has => {
                self.holders.borrow_mut().entry(workflow.clone()).or_default().insert(run);
            }
            Turn::Over => {}
        }
    }

    fn gives_back(&self, workflow: &WorkflowName, run: RunId) {
        let mut holders = self.holders.borrow_mut();
        let Some(of_workflow) = holders.get_mut(workflow) else { return };
        of_workflow.remove(&run);
        if of_workflow.is_empty() {
            holders.remove(workflow);
        }
    }

    /// Runs that wait for their turn.
    pub fn waiting(&self) -> u64 {
        self.waiting.get()
    }

    /// How many runs of the workflow have their turn, and the oldest `named` of them.
    pub fn holders(&self, workflow: &WorkflowName, named: usize) -> (u64, Vec<RunId>) {
        let holders = self.holders.borrow();
        let Some(of_workflow) = holders.get(workflow) else { return (0, Vec::new()) };
        (of_workflow.len() as u64, of_workflow.iter().take(named).copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use hortator_core::id::Name;

    use super::*;

    #[test]
    fn whoever_has_its_turn_is_told_by_workflow_and_nobody_else() {
        let [daily, hourly] = ["daily", "hourly"].map(|name| WorkflowName {
            namespace: Name::new("default").expect("a name"),
            name: Name::new(name).expect("a name"),
        });
        let (turns, run) = (Turns::default(), RunId);
        for (workflow, id, was, is) in [
            (&daily, 1, Turn::Over, Turn::Waits),
            (&daily, 1, Turn::Waits, Turn::Has),
            (&daily, 2, Turn::Over, Turn::Has),
            (&daily, 3, Turn::Over, Turn::Waits),
            (&hourly, 4, Turn::Over, Turn::Has),
            (&hourly, 4, Turn::Has, Turn::Over),
            (&daily, 2, Turn::Has, Turn::Has),
        ] {
            turns.changed(workflow, run(id), was, is);
        }
        assert_eq!(turns.holders(&daily, 10), (2, vec![run(1), run(2)]));
        assert_eq!(turns.holders(&daily, 1), (2, vec![run(1)]));
        assert_eq!(turns.holders(&hourly, 10), (0, Vec::new()));
        assert_eq!(turns.waiting(), 1);
        turns.changed(&daily, run(1), Turn::Has, Turn::Over);
        turns.changed(&daily, run(3), Turn::Waits, Turn::Over);
        assert_eq!((turns.holders(&daily, 10), turns.waiting()), ((1, vec![run(2)]), 0));
    }
}
