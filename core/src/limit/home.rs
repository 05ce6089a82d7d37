//! One limit at its home: who holds it, and who waits in which order. Pure: what replicas of other groups show is an
//! argument. Must not know how long anything takes, or how a hold reaches its task run.

use std::collections::BTreeMap;

use super::{HoldRecord, WantRecord};
use crate::definition::Priority;
use crate::id::{RunId, TaskKey, TaskRunId};
use crate::time::Timestamp;

/// What a replica of the task run's shard shows of its want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The replica has applied its log up to there.
    pub applied: u64,
    /// The want with the index of the entry that wrote it.
    pub want: Option<(u64, WantRecord)>,
}

/// A fact of the home's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HomeEvent {
    Held { task_run: TaskRunId, hold: HoldRecord },
    Ended { task_run: TaskRunId },
}

/// In which order a limit is given. Less is better: that of the Dispatcher as far as rows have it. Within a task priority of
/// a run those come first that wanted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    run_priority: Priority,
    run_created: Timestamp,
    run: RunId,
    task_priority: Priority,
    position: u64,
    key: TaskKey,
}

impl Place {
    /// Of a want that the entry at `position` wrote, in the log of the task run's shard.
    pub fn of(task_run: TaskRunId, want: &WantRecord, position: u64) -> Place {
        Place {
            run_priority: want.run_priority,
            run_created: want.run_created,
            run: task_run.run,
            task_priority: want.task_priority,
            position,
            key: task_run.key,
        }
    }

    pub fn task_run(&self) -> TaskRunId {
        TaskRunId { run: self.run, key: self.key }
    }
}

/// See the module. Holders are facts; who waits is what replicas have shown so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HomeState {
    /// None: there is no such limit, and nothing of it may be held.
    max: Option<u32>,
    used: u64,
    holders: BTreeMap<TaskRunId, HoldRecord>,
    queue: BTreeMap<Place, WantRecord>,
    places: BTreeMap<TaskRunId, Place>,
}

impl HomeState {
    /// As rows have it.
    pub fn new(max: Option<u32>, holders: BTreeMap<TaskRunId, HoldRecord>) -> HomeState {
        let used = holders.values().map(|hold| u64::from(hold.weight)).sum();
        HomeState { max, used, holders, queue: BTreeMap::new(), places: BTreeMap::new() }
    }

    /// Whoever holds goes on holding.
    pub fn set_max(&mut self, max: Option<u32>) {
        self.max = max;
    }

    pub fn max(&self) -> Option<u32> {
        self.max
    }

    /// So much of it is given.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// How many wait for it.
    pub fn waiting(&self) -> u64 {
        self.queue.len() as u64
    }

    /// Everybody who is known here.
    pub fn known(&self) -> impl Iterator<Item = TaskRunId> + '_ {
        self.holders.keys().chain(self.places.keys()).copied()
    }

    /// What a replica shows of one task run's want: whether it waits, and the end of its hold when the replica is at or
    /// above the hold's want and shows another want or none. One below it proves nothing: it may not have come to the
    /// want yet.
    pub fn look(&mut self, task_run: TaskRunId, seen: Seen) -> Option<HomeEvent> {
        self.forget_waiter(task_run);
        let (ends, waits) = match (self.holders.get(&task_run), &seen.want) {
            (Some(hold), _) if seen.applied < hold.position => (false, false),
            (Some(hold), Some((_, want))) if want.number == hold.number => (false, false),
            (Some(_), want) => (true, want.is_some()),
            (None, want) => (false, want.is_some()),
        };
        if let Some((position, want)) = seen.want.filter(|_| waits) {
            let place = Place::of(task_run, &want, position);
            self.places.insert(task_run, place);
            self.queue.insert(place, want);
        }
        ends.then_some(HomeEvent::Ended { task_run })
    }

    /// Who holds it next, at most `most`. Nobody is overtaken: when the first does not fit, all behind it wait, so that a
    /// heavy want is not starved by light ones. One that could never be met is passed by, until the maximum is raised.
    pub fn grants(&self, most: usize, now: Timestamp) -> Vec<HomeEvent> {
        let Some(max) = self.max.map(u64::from) else { return Vec::new() };
        let mut free = max.saturating_sub(self.used);
        let mut grants = Vec::new();
        for (place, want) in &self.queue {
            let task_run = place.task_run();
            let weight = u64::from(want.weight);
            // With an older want's hold that is not known to be over yet.
            if weight > max || self.holders.contains_key(&task_run) {
                continue;
            }
            if weight > free || grants.len() == most {
                break;
            }
            free -= weight;
            let WantRecord { number, weight, .. } = *want;
            let hold = HoldRecord { number, weight, position: place.position, since: now };
            grants.push(HomeEvent::Held { task_run, hold });
        }
        grants
    }

    pub fn apply(&mut self, event: &HomeEvent) {
        match event {
            HomeEvent::Held { task_run, hold } => {
                self.forget_waiter(*task_run);
                self.used += u64::from(hold.weight);
                let before = self.holders.insert(*task_run, *hold);
                assert!(before.is_none(), "{task_run:?} holds the limit twice");
            }
            HomeEvent::Ended { task_run } => {
                if let Some(hold) = self.holders.remove(task_run) {
                    self.used -= u64::from(hold.weight);
                }
            }
        }
    }

    fn forget_waiter(&mut self, task_run: TaskRunId) {
        if let Some(place) = self.places.remove(&task_run) {
            self.queue.remove(&place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Name;
    use crate::limit::WantNumber;

    /// `RUN.TASK` as a task run.
    fn task_run(text: &str) -> TaskRunId {
        let (run, task) = text.split_once('.').unwrap();
        TaskRunId { run: RunId(run.parse().unwrap()), key: TaskKey { task: task.parse().unwrap(), item: 0 } }
    }

    fn want(words: &[&str]) -> Option<(u64, WantRecord)> {
        let [position, attempt, weight, priorities @ ..] = words else { return None };
        let priority = |place: usize| match priorities.get(place) {
            Some(&"high") => Priority::High,
            Some(&"low") => Priority::Low,
            _ => Priority::Normal,
        };
        let record = WantRecord {
            number: WantNumber { round: 0, attempt: attempt.parse().unwrap() },
            weight: weight.parse().unwrap(),
            run_priority: priority(0),
            run_created: Timestamp(0),
            task_priority: priority(1),
            workflow: Name::new("w").unwrap(),
            task: Name::new("t").unwrap(),
        };
        Some((position.parse().unwrap(), record))
    }

    /// Each line: `max N|none`, or `see RUN.TASK APPLIED [POSITION ATTEMPT WEIGHT [RUN_PRIORITY [TASK_PRIORITY]]]`;
    /// after `=>` who holds it then.
    fn check(story: &str) {
        let mut state = HomeState::default();
        for line in story.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (news, expected) = line.split_once("=>").unwrap();
            let words: Vec<&str> = news.split_whitespace().collect();
            let ended = match words.as_slice() {
                ["max", max] => {
                    state.set_max(max.parse().ok());
                    None
                }
                ["see", who, applied, rest @ ..] => {
                    let seen = Seen { applied: applied.parse().unwrap(), want: want(rest) };
                    state.look(task_run(who), seen)
                }
                other => panic!("{other:?}"),
            };
            ended.iter().for_each(|event| state.apply(event));
            for event in state.grants(usize::MAX, Timestamp(0)) {
                state.apply(&event);
            }
            let holders: Vec<String> = state
                .holders
                .iter()
                .map(|(id, hold)| format!("{}.{}#{}", id.run.0, id.key.task, hold.number.attempt))
                .collect();
            assert_eq!(holders.join(" "), expected.trim(), "after {line}");
            assert_eq!(state.used, state.holders.values().map(|hold| u64::from(hold.weight)).sum::<u64>());
            assert_eq!(state.queue.len(), state.places.len());
        }
    }

    #[test]
    fn as_much_as_there_is_in_order() {
        check(
            "see 1.0 5 5 1 1             =>
             max 2                       => 1.0#1
             see 2.0 6 6 1 1             => 1.0#1 2.0#1
             see 4.0 9 7 1 1             => 1.0#1 2.0#1
             see 3.0 9 9 1 1             => 1.0#1 2.0#1
             see 5.0 9 8 1 1 high        => 1.0#1 2.0#1
             see 1.0 9                   => 2.0#1 5.0#1
             see 2.0 9                   => 3.0#1 5.0#1
             max 3                       => 3.0#1 4.0#1 5.0#1
             max none                    => 3.0#1 4.0#1 5.0#1
             see 4.0 10                  => 3.0#1 5.0#1",
        );
    }

    #[test]
    fn within_a_run_by_task_priority_and_then_by_who_wanted_first() {
        check(
            "max 1                              =>
             see 1.9 5 5 1 1                    => 1.9#1
             see 1.3 9 6 1 1                    => 1.9#1
             see 1.2 9 7 1 1                    => 1.9#1
             see 1.4 9 8 1 1 normal high        => 1.9#1
             see 1.9 9                          => 1.4#1
             see 1.4 10                         => 1.3#1
             see 1.3 10                         => 1.2#1",
        );
    }

    #[test]
    fn a_heavy_want_is_not_overtaken_unless_it_can_never_be_met() {
        check(
            "max 3                    =>
             see 1.0 5 5 1 2          => 1.0#1
             see 2.0 6 6 1 3          => 1.0#1
             see 3.0 7 7 1 1          => 1.0#1
             see 4.0 8 8 1 9          => 1.0#1
             see 1.0 9                => 2.0#1
             see 2.0 9                => 3.0#1
             max 10                   => 3.0#1 4.0#1",
        );
    }

    #[test]
    fn a_replica_below_the_want_proves_nothing() {
        check(
            "max 1                 =>
             see 1.0 7 7 2 1       => 1.0#2
             see 2.0 9 9 1 1       => 1.0#2
             see 1.0 6             => 1.0#2
             see 1.0 6 3 1 1       => 1.0#2
             see 1.0 7 7 2 1       => 1.0#2
             see 1.0 8             => 2.0#1",
        );
    }

    #[test]
    fn the_next_attempt_wants_anew_and_waits_in_its_place() {
        check(
            "max 1                 =>
             see 1.0 5 5 1 1       => 1.0#1
             see 2.0 6 6 1 1       => 1.0#1
             see 1.0 8 8 2 1       => 1.0#2
             see 1.0 9             => 2.0#1",
        );
    }

    #[test]
    fn a_lower_maximum_takes_nothing_away() {
        check(
            "max 2                 =>
             see 1.0 5 5 1 1       => 1.0#1
             see 2.0 6 6 1 1       => 1.0#1 2.0#1
             max 1                 => 1.0#1 2.0#1
             see 3.0 7 7 1 1       => 1.0#1 2.0#1
             see 1.0 8             => 2.0#1
             see 2.0 8             => 3.0#1",
        );
    }
}
