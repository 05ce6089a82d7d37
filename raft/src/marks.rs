//! Marks in the code that a simulated world listens to: what must always hold, what should happen sometimes, what may
//! be done differently for once, and what replicas do. Outside a world nobody listens, and a mark is one branch on a
//! thread's own flag. Must not know what a listener makes of it.

use std::cell::{Cell, RefCell};

use crate::position::{GroupId, ReplicaId};

thread_local! {
    static HEARD: Cell<bool> = const { Cell::new(false) };
    static LISTENER: RefCell<Option<Box<dyn Listener>>> = const { RefCell::new(None) };
}

/// Something that a replica did, for checks that compare replicas while they work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It leads.
    Leads {
        /// Of this group.
        group: GroupId,
        /// In this term.
        term: u64,
        /// The replica.
        replica: ReplicaId,
    },
    /// It hands a committed entry to its rows.
    Applies {
        /// Of this group.
        group: GroupId,
        /// The replica.
        replica: ReplicaId,
        /// Place in the log.
        index: u64,
        /// Its term.
        term: u64,
        /// Checksum of what it holds.
        checksum: u32,
    },
}

/// A world's ear.
pub trait Listener {
    /// A `sometimes!` was passed, and held.
    fn sometimes(&mut self, name: &'static str);
    /// An `always!` did not hold, or an `unreachable_mark!` was reached.
    fn never(&mut self, name: &'static str);
    /// Whether a rare but legal thing happens now; the chance is in millionths.
    fn buggify(&mut self, name: &'static str, millionths: u64) -> bool;
    /// See [`Deed`].
    fn deed(&mut self, deed: Deed);
}

/// From now on this thread's marks are heard.
pub fn listen(listener: Box<dyn Listener>) {
    LISTENER.set(Some(listener));
    HEARD.set(true);
}

/// Nobody listens any more.
pub fn deafen() {
    HEARD.set(false);
    LISTENER.set(None);
}

/// Whether anybody listens.
#[inline]
pub fn are_heard() -> bool {
    HEARD.get()
}

/// Tells the listener, if there is one.
pub fn with<T: Default>(tell: impl FnOnce(&mut dyn Listener) -> T) -> T {
    LISTENER.with_borrow_mut(|listener| {
        listener.as_mut().map_or_else(T::default, |listener| tell(&mut **listener))
    })
}

/// Tells of a deed; what it costs to describe it is spent only when somebody listens.
#[inline]
pub fn deed(deed: impl FnOnce() -> Deed) {
    if are_heard() {
        with(|listener| listener.deed(deed()));
    }
}

/// What must hold whenever it is passed.
#[macro_export]
macro_rules! always {
    ($holds:expr, $name:literal) => {
        if $crate::marks::are_heard() && !$holds {
            $crate::marks::with(|listener| listener.never($name));
        }
    };
}

/// What should hold now and then, or a long simulation has not been where it should have been.
#[macro_export]
macro_rules! sometimes {
    ($name:literal) => {
        $crate::sometimes!(true, $name)
    };
    ($holds:expr, $name:literal) => {
        if $crate::marks::are_heard() && $holds {
            $crate::marks::with(|listener| listener.sometimes($name));
        }
    };
}

/// A place where nobody should ever come by.
#[macro_export]
macro_rules! unreachable_mark {
    ($name:literal) => {
        if $crate::marks::are_heard() {
            $crate::marks::with(|listener| listener.never($name));
        }
    };
}

/// True now and then in a simulated world: for what is legal and rare. Always false elsewhere.
#[macro_export]
macro_rules! buggify {
    ($name:literal, $millionths:expr) => {
        $crate::marks::are_heard() && $crate::marks::with(|listener| listener.buggify($name, $millionths))
    };
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[derive(Clone, Default)]
    struct Notes(Rc<RefCell<Vec<String>>>);

    impl Listener for Notes {
        fn sometimes(&mut self, name: &'static str) {
            self.0.borrow_mut().push(format!("sometimes {name}"));
        }
        fn never(&mut self, name: &'static str) {
            self.0.borrow_mut().push(format!("never {name}"));
        }
        fn buggify(&mut self, _: &'static str, millionths: u64) -> bool {
            millionths == 1_000_000
        }
        fn deed(&mut self, deed: Deed) {
            self.0.borrow_mut().push(format!("{deed:?}"));
        }
    }

    #[test]
    fn marks_are_inert_unless_somebody_listens() {
        let pass = || {
            always!(1 + 1 == 3, "sums");
            sometimes!(1 + 1 == 2, "good sums");
            sometimes!(false, "bad sums");
            unreachable_mark!("nowhere");
            (buggify!("x", 1_000_000), buggify!("x", 0))
        };
        assert_eq!(pass(), (false, false));
        let notes = Notes::default();
        listen(Box::new(notes.clone()));
        assert_eq!(pass(), (true, false));
        deafen();
        assert_eq!(pass(), (false, false));
        assert_eq!(*notes.0.borrow(), ["never sums", "sometimes good sums", "never nowhere"]);
    }
}
