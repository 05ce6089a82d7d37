//! Which masters a world's operator wants, and what became of the others: hosts that are gone, disks that cannot be
//! trusted. Kept apart from the masters themselves, which come and go. Must not know how a cluster is told.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Crew {
    /// How many there are to be.
    wanted: Cell<u64>,
    /// Those that are to leave the cluster, or have left it.
    unwanted: RefCell<BTreeSet<u64>>,
    /// Of the unwanted those that forgot or lost what they had on disk, and may not take part any more.
    spoilt: RefCell<BTreeSet<u64>>,
    /// Those that never start again.
    retired: RefCell<BTreeSet<u64>>,
    /// One change of members at a time.
    busy: Cell<bool>,
    /// Nodes that were let in so far: each needs a name and addresses of its own.
    named: Cell<u64>,
    /// Every id that there was.
    known: RefCell<BTreeSet<u64>>,
    wrong: RefCell<Vec<String>>,
}

impl Crew {
    pub(super) fn new(masters: u64) -> Crew {
        Crew { wanted: Cell::new(masters), known: RefCell::new((1..=masters).collect()), ..Crew::default() }
    }

    pub fn wanted(&self) -> u64 {
        self.wanted.get()
    }

    pub fn want(&self, masters: u64) {
        self.wanted.set(masters);
    }

    /// It is to leave.
    pub fn dismiss(&self, id: u64) {
        self.unwanted.borrow_mut().insert(id);
    }

    /// It has lost what it had on disk, and is to leave.
    pub fn spoil(&self, id: u64) {
        self.spoilt.borrow_mut().insert(id);
        self.dismiss(id);
    }

    pub fn is_wanted(&self, id: u64) -> bool {
        !self.unwanted.borrow().contains(&id)
    }

    pub fn is_spoilt(&self, id: u64) -> bool {
        self.spoilt.borrow().contains(&id)
    }

    pub fn spoilt(&self) -> Vec<u64> {
        self.spoilt.borrow().iter().copied().collect()
    }

    pub(super) fn retire(&self, id: u64) {
        self.retired.borrow_mut().insert(id);
        self.dismiss(id);
    }

    pub fn is_retired(&self, id: u64) -> bool {
        self.retired.borrow().contains(&id)
    }

    /// Nobody was ever to come or go.
    pub fn is_untouched(&self) -> bool {
        self.named.get() == 0 && self.unwanted.borrow().is_empty()
    }

    /// For the next node that is let in.
    pub fn next_number(&self) -> u64 {
        self.named.set(self.named.get() + 1);
        self.named.get()
    }

    /// The cluster has given out this id.
    pub fn note_id(&self, id: u64) {
        if !self.known.borrow_mut().insert(id) {
            self.wrong
                .borrow_mut()
                .push(format!("a new master is let in as n{id}, and there was an n{id} before"));
        }
    }

    /// What was given out twice.
    pub fn wrong(&self) -> Vec<String> {
        self.wrong.borrow().clone()
    }

    /// False when somebody else is at it.
    pub fn begin(&self) -> bool {
        !self.busy.replace(true)
    }

    pub fn end(&self) {
        self.busy.set(false);
    }
}
