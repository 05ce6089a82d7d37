//! What was said last of something that each answer replaces, and what may have been said besides: an asker who hears
//! nothing does not know whether it happened, or will. Must not know what it is about.

use std::collections::BTreeSet;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said<T> {
    acknowledged: Option<T>,
    /// Without an answer: each may come true as late as it likes.
    unanswered: BTreeSet<T>,
}

impl<T> Default for Said<T> {
    fn default() -> Said<T> {
        Said { acknowledged: None, unanswered: BTreeSet::new() }
    }
}

impl<T: Ord> Said<T> {
    pub fn acknowledge(&mut self, what: T) {
        self.acknowledged = Some(what);
    }

    pub fn ask_in_vain(&mut self, what: T) {
        self.unanswered.insert(what);
    }

    /// Whether nothing that was acknowledged is lost where there is nothing in the end.
    pub fn allows_none(&self) -> bool {
        self.acknowledged.is_none()
    }

    /// Whether nothing that was acknowledged is lost where it is so in the end.
    pub fn allows(&self, end: &T) -> bool {
        self.acknowledged.as_ref().is_none_or(|last| last == end) || self.unanswered.contains(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_said_last_or_not_answered_may_be() {
        let mut said = Said::default();
        assert!(said.allows(&1) && said.allows_none(), "nobody has said anything");
        said.ask_in_vain(4);
        assert!(said.allows_none(), "nobody has answered");
        said.acknowledge(1);
        said.acknowledge(2);
        assert!(said.allows(&2) && !said.allows(&1) && !said.allows_none());
        said.ask_in_vain(3);
        assert!(said.allows(&2) && said.allows(&3) && !said.allows(&1));
    }
}
