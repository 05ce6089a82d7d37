//! The newest heartbeat of each worker that came to this master, for leaders of the membership group to come. Pure; times are arguments. It must not know what a heartbeat means, or who is lost.

use std::collections::{BTreeMap, BTreeSet};

use hortator_core::id::Name;
use hortator_core::lease::WORKER_LEASE_MIN;
use hortator_core::time::Span;
use hortator_proto::frame::HeardHeartbeat;

/// One that is older renews no lease, or hardly any.
const KEPT: Span = WORKER_LEASE_MIN;

/// A leader in its term: one that is elected anew has lost what waited for its confirmation.
type Leader = (u64, u64);

#[derive(Debug, Default)]
pub(super) struct Heard {
    newest: BTreeMap<Name, (Span, HeardHeartbeat)>,
    /// Those that `told` has not been told.
    untold: BTreeSet<Name>,
    told: Option<Leader>,
}

impl Heard {
    pub(super) fn note(&mut self, heard: HeardHeartbeat, now: Span) {
        self.untold.insert(heard.worker.clone());
        self.newest.insert(heard.worker.clone(), (now, heard));
    }

    pub(super) fn forget(&mut self, now: Span) {
        self.newest.retain(|_, (at, _)| now.0 < at.0 + KEPT.0);
        self.untold.retain(|worker| self.newest.contains_key(worker));
    }

    /// What that leader is to be told now: one that has just been elected, all that is kept, since its worker may be in
    /// a pause and say nothing more.
    pub(super) fn untold(&mut self, leader: Leader) -> Vec<HeardHeartbeat> {
        if self.told.replace(leader) != Some(leader) {
            self.untold = self.newest.keys().cloned().collect();
        }
        let untold = std::mem::take(&mut self.untold);
        untold.iter().map(|worker| self.newest[worker].1.clone()).collect()
    }

    pub(super) fn kept(&self) -> Vec<HeardHeartbeat> {
        self.newest.values().map(|(_, heard)| heard.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use hortator_proto::frame::Heartbeat;

    use super::*;

    fn beat(worker: &str, sequence: u64) -> HeardHeartbeat {
        let heartbeat = Heartbeat { sequence, ..Heartbeat::default() };
        HeardHeartbeat { worker: Name::new(worker).expect("a name"), heartbeat }
    }

    fn sequences(heard: Vec<HeardHeartbeat>) -> Vec<u64> {
        heard.iter().map(|heard| heard.heartbeat.sequence).collect()
    }

    #[test]
    fn each_leader_is_told_the_newest_once_while_it_is_of_use() {
        let mut heard = Heard::default();
        heard.note(beat("w1", 1), Span::from_secs(100));
        heard.note(beat("w1", 2), Span::from_secs(101));
        heard.note(beat("w2", 3), Span::from_secs(105));
        assert_eq!(sequences(heard.untold((1, 5))), [2, 3]);
        assert_eq!(sequences(heard.untold((1, 5))), [0; 0]);
        heard.note(beat("w2", 4), Span::from_secs(106));
        assert_eq!(sequences(heard.untold((1, 5))), [4]);
        assert_eq!(sequences(heard.untold((1, 6))), [2, 4], "elected anew");
        heard.forget(Span::from_secs(112));
        assert_eq!(sequences(heard.untold((2, 7))), [4], "the other is too old");
        assert_eq!(sequences(heard.kept()), [4]);
    }
}
