//! Marks in the code that a simulated world listens to: what must always hold, what should happen sometimes, what may
//! be done differently for once, and what replicas do. Outside a world nobody listens, and a mark is one branch on a
//! thread's own flag. Must not know what a listener makes of it.

use bytes::Bytes;

use crate::batch::Batch;
use crate::entry::Payload;
use crate::position::{GroupId, Position, ReplicaId};

crate::ear!(Listener);

/// Something that a replica did, for checks that compare replicas while they work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed<'a> {
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
        /// What it holds; see [`batch_in`].
        data: &'a Bytes,
    },
    /// It has said, or counts on it, that all entries up to there are on its disk as its term's leader has them.
    Promises {
        /// Of this group.
        group: GroupId,
        /// The replica.
        replica: ReplicaId,
        /// The term.
        term: u64,
        /// Place in the log.
        index: u64,
    },
    /// It has said that it votes for that one.
    Votes {
        /// Of this group.
        group: GroupId,
        /// The replica.
        replica: ReplicaId,
        /// In this term.
        term: u64,
        /// The candidate.
        to: ReplicaId,
    },
    /// It starts with what its file says.
    Boots {
        /// Of this group.
        group: GroupId,
        /// The replica.
        replica: ReplicaId,
        /// Drawn when its directory was made.
        origin: u64,
        /// The number of this boot of it.
        boot: u64,
        /// The term it was in.
        term: u64,
        /// Whom it has voted for in that term; 0 for nobody.
        vote: ReplicaId,
        /// End of its log.
        last: u64,
        /// Up to which entry its rows are applied.
        applied: u64,
    },
    /// The rows of all entries up to there are on its disk.
    Settles {
        /// Of this group.
        group: GroupId,
        /// The replica.
        replica: ReplicaId,
        /// The last of them.
        index: u64,
    },
    /// Its rows up to there can be read.
    Shows {
        /// Of this group.
        group: GroupId,
        /// The replica.
        replica: ReplicaId,
        /// Place in the log.
        index: u64,
    },
    /// It has applied a change of the members.
    Members {
        /// Of this group.
        group: GroupId,
        /// The replica.
        replica: ReplicaId,
        /// Place in the log.
        index: u64,
        /// Its term.
        term: u64,
        /// With a vote from here on.
        voters: &'a [ReplicaId],
        /// With a vote as well, until a joint configuration is left; none in any other.
        outgoing: &'a [ReplicaId],
        /// Without a vote, now or once the joint configuration is left.
        learners: &'a [ReplicaId],
    },
    /// It remembers on its disk who another is: that one's words count from here on.
    Meets {
        /// In this group.
        group: GroupId,
        /// The replica.
        replica: ReplicaId,
        /// Who it has met.
        peer: ReplicaId,
        /// Of that one's directory.
        origin: u64,
        /// The boot that it was in by the last word that is remembered.
        boot: u64,
    },
    /// It refuses another for good, for having forgotten what it once said.
    Refuses {
        /// In this group.
        group: GroupId,
        /// The replica.
        replica: ReplicaId,
        /// Who is refused.
        peer: ReplicaId,
    },
    /// Its rows after something that replaced or reread all of them.
    Holds {
        /// Of this group.
        group: GroupId,
        /// The replica.
        replica: ReplicaId,
        /// Up to which entry they are applied.
        index: u64,
        /// Sum of [`row_digest`] over all rows.
        digest: u64,
    },
}

/// The row writes in an entry; none in an entry that has no rows.
pub fn batch_in(data: &Bytes) -> Option<Batch> {
    match Payload::parse(data) {
        Ok(Payload::Batch { batch, .. }) => Batch::decode(&batch).ok(),
        Ok(Payload::Nothing | Payload::Barrier { .. }) | Err(_) => None,
    }
}

/// A number for a row; the sum over all rows does not depend on their order.
pub fn row_digest(key: &[u8], value: &[u8], written: Position) -> u64 {
    let mut digest = 0xcbf2_9ce4_8422_2325_u64;
    let mut mix = |word: u64| digest = (digest.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mix(u64::from(crc32fast::hash(key)) << 32 | u64::from(crc32fast::hash(value)));
    mix(written.term);
    mix(written.index);
    mix((key.len() as u64) << 32 | value.len() as u64);
    digest ^ digest >> 29
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
    fn deed(&mut self, deed: Deed<'_>);
}

/// Millionths for what may happen to an entry: up to `most` for a group's first hundred, and then less the longer its log
/// is, so that it happens in a quiet group about as often as in a busy one.
pub fn rare(most: u64, index: u64) -> u64 {
    most * 100 / index.max(100)
}

/// Tells of a deed; what it costs to describe it is spent only when somebody listens.
#[inline]
pub fn deed<'a>(deed: impl FnOnce() -> Deed<'a>) {
    if is_heard() {
        with(|listener| listener.deed(deed()));
    }
}

/// What must hold whenever it is passed.
#[macro_export]
macro_rules! always {
    ($holds:expr, $name:literal) => {
        if $crate::marks::is_heard() && !$holds {
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
        if $crate::marks::is_heard() && $holds {
            $crate::marks::with(|listener| listener.sometimes($name));
        }
    };
}

/// A place where nobody should ever come by.
#[macro_export]
macro_rules! unreachable_mark {
    ($name:literal) => {
        if $crate::marks::is_heard() {
            $crate::marks::with(|listener| listener.never($name));
        }
    };
}

/// True now and then in a simulated world: for what is legal and rare. Always false elsewhere.
#[macro_export]
macro_rules! buggify {
    ($name:literal, $millionths:expr) => {
        $crate::marks::is_heard() && $crate::marks::with(|listener| listener.buggify($name, $millionths))
    };
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
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
        fn deed(&mut self, deed: Deed<'_>) {
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
