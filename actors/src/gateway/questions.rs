//! Numbers of questions, and what other masters have asked lately: a command that comes twice, by another way or since its
//! asker heard nothing, is done once in a term. Must not know what commands do.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hortator_proto::api::{Command, Request};
use hortator_raft::Entropy;

/// Commands of one master that are remembered: an asker repeats itself for ten seconds at most, and commands that rows do not
/// know by a key of their own come from people and from what they have automated.
const REMEMBERED: usize = 4_096;

/// Numbers of this master's questions. They begin at random: an answer to its last life must not be taken for one to this.
#[derive(Clone, Debug)]
pub struct QuestionIds(Arc<AtomicU64>);

impl QuestionIds {
    pub fn new(entropy: &mut dyn Entropy) -> QuestionIds {
        // Half of the numbers, so that counting on never wraps.
        QuestionIds(Arc::new(AtomicU64::new(entropy.next_u64("first id") / 2)))
    }

    pub(super) fn take(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Whether doing it twice is not the same as once, and no row says that it was done.
pub(super) fn is_done_once(request: &Request) -> bool {
    match request {
        Request::Query(_) => false,
        Request::Command(Command::Start { key, .. } | Command::ScheduleTrigger { key, .. }) => key.is_none(),
        Request::Command(_) => true,
    }
}

/// Commands of other masters, as far as they are remembered.
#[derive(Debug, Default)]
pub(super) struct Lately(Mutex<BTreeMap<u64, OfMaster>>);

#[derive(Debug, Default)]
struct OfMaster {
    commands: BTreeMap<u64, Done>,
    /// The same, oldest first.
    order: VecDeque<u64>,
}

/// What has become of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Done {
    UnderWay,
    Answered(Bytes),
}

/// What is to be done with a command that comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Coming {
    First,
    /// Its answer will come.
    UnderWay,
    Answered(Bytes),
}

impl Lately {
    /// A command of that master comes.
    pub(super) fn comes(&self, from: u64, id: u64) -> Coming {
        let mut masters = self.lock();
        let of_master = masters.entry(from).or_default();
        match of_master.commands.get(&id) {
            Some(Done::UnderWay) => Coming::UnderWay,
            Some(Done::Answered(body)) => Coming::Answered(body.clone()),
            None => {
                of_master.begin(id);
                Coming::First
            }
        }
    }

    pub(super) fn answered(&self, from: u64, id: u64, body: &Bytes) {
        if let Some(done) = self.lock().get_mut(&from).and_then(|of_master| of_master.commands.get_mut(&id)) {
            *done = Done::Answered(body.clone());
        }
    }

    /// Nothing came of it: the next one is the first again.
    pub(super) fn forget(&self, from: u64, id: u64) {
        if let Some(of_master) = self.lock().get_mut(&from) {
            of_master.commands.remove(&id);
            of_master.order.retain(|known| *known != id);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, OfMaster>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OfMaster {
    fn begin(&mut self, id: u64) {
        if self.order.len() >= REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.commands.remove(&oldest);
        }
        self.commands.insert(id, Done::UnderWay);
        self.order.push_back(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_the_first_once() {
        let lately = Lately::default();
        let body = Bytes::from_static(b"done");
        assert_eq!(lately.comes(1, 7), Coming::First);
        assert_eq!(lately.comes(1, 7), Coming::UnderWay);
        assert_eq!(lately.comes(2, 7), Coming::First, "another master's");
        lately.answered(1, 7, &body);
        assert_eq!(lately.comes(1, 7), Coming::Answered(body.clone()));
        lately.forget(2, 7);
        assert_eq!(lately.comes(2, 7), Coming::First, "nothing came of it");
        for id in 100..100 + REMEMBERED as u64 {
            assert_eq!(lately.comes(1, id), Coming::First);
        }
        lately.answered(1, 7, &body);
        assert_eq!(lately.comes(1, 7), Coming::First, "it is too long ago");
        assert_eq!(lately.lock()[&1].commands.len(), REMEMBERED);
    }
}
