//! Limits as the logs of all shards have them: a hold is given where there is room for it, and ends after the want that it
//! was given to. Must not know processes, nor who waits and in which order.

use std::collections::BTreeMap;

use hortator_core::id::{LimitName, TaskRunId};
use hortator_core::limit::{HoldRecord, WantNumber};
use hortator_proto::row::key::{self, Key};
use hortator_proto::row::{decode_hold, decode_limit, decode_want};
use hortator_raft::marks::{Deed, batch_in};
use hortator_raft::{Batch, Write};

use crate::checkers::Violation;

/// S11, of what is given: at any entry of any log, and not only while processes happen to overlap.
pub const GIVEN: &str =
    "a limit is given where there is room for it, and taken back after what it was given to has ended";

/// See the module.
#[derive(Debug, Default)]
pub struct Holds {
    /// The last entry of each group that was looked at.
    applied: BTreeMap<u32, u64>,
    wants: BTreeMap<(LimitName, TaskRunId), WantNumber>,
    limits: BTreeMap<LimitName, Limit>,
}

#[derive(Debug, Default)]
struct Limit {
    /// None once it is deleted.
    max: Option<u32>,
    holders: BTreeMap<TaskRunId, HoldRecord>,
}

impl Holds {
    /// What speaks against the deed.
    pub fn on(&mut self, deed: &Deed<'_>) -> Vec<Violation> {
        match *deed {
            Deed::Applies { group, index, data, .. } => self.applies((group, index), || batch_in(data)),
            _ => Vec::new(),
        }
    }

    /// An entry, looked at by the first replica that applies it: a home's leader has applied what it decides by, so the
    /// wants of all logs are known here up to there at least.
    fn applies(
        &mut self,
        (group, index): (u32, u64),
        batch: impl FnOnce() -> Option<Batch>,
    ) -> Vec<Violation> {
        let applied = self.applied.entry(group).or_default();
        if index <= *applied {
            return Vec::new();
        }
        *applied = index;
        let writes = batch().unwrap_or_default().writes;
        let wrong = writes.iter().filter_map(|write| self.take(write)).map(|words| Violation {
            checker: "S11",
            promise: GIVEN,
            detail: format!("entry {group}:{index}: {words}"),
        });
        wrong.collect()
    }

    fn take(&mut self, write: &Write) -> Option<String> {
        match write {
            Write::Put { key, value } => match key::parse(key)? {
                Key::Limit(name) => {
                    self.limits.entry(name).or_default().max = Some(decode_limit(value).ok()?.max);
                    None
                }
                Key::Want { limit, task_run } => {
                    self.wants.insert((limit, task_run), decode_want(value).ok()?.number);
                    None
                }
                Key::Hold { limit, task_run } => self.given(limit, task_run, decode_hold(value).ok()?),
                _ => None,
            },
            Write::Delete { key } => match key::parse(key)? {
                Key::Limit(name) => {
                    self.limits.entry(name).or_default().max = None;
                    None
                }
                Key::Want { limit, task_run } => {
                    self.wants.remove(&(limit, task_run));
                    None
                }
                Key::Hold { limit, task_run } => self.taken_back(limit, task_run),
                _ => None,
            },
            Write::DeleteRange { .. } | Write::PutAtIndex { .. } => None,
        }
    }

    fn given(&mut self, limit: LimitName, task_run: TaskRunId, hold: HoldRecord) -> Option<String> {
        let Limit { max, holders } = self.limits.entry(limit.clone()).or_default();
        holders.insert(task_run, hold);
        let used: u64 = holders.values().map(|hold| u64::from(hold.weight)).sum();
        let max = max.map(u64::from);
        (max.is_none_or(|max| used > max))
            .then(|| format!("{task_run:?} gets limit {limit}: {used} are given then, of {max:?}"))
    }

    fn taken_back(&mut self, limit: LimitName, task_run: TaskRunId) -> Option<String> {
        let held = self.limits.get_mut(&limit)?.holders.remove(&task_run)?;
        let wanted = self.wants.get(&(limit.clone(), task_run)).is_some_and(|number| *number == held.number);
        wanted.then(|| format!("limit {limit} is taken from {task_run:?}, which still wants it: {held:?}"))
    }
}

#[cfg(test)]
mod tests {
    use hortator_core::definition::Priority;
    use hortator_core::id::{Name, RunId, TaskKey};
    use hortator_core::limit::{LimitRecord, WantRecord};
    use hortator_core::time::Timestamp;
    use hortator_proto::row::{encode_hold, encode_limit, encode_want};

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    fn limit() -> LimitName {
        LimitName { namespace: name("default"), name: name("licences") }
    }

    fn task_run(task: u32) -> TaskRunId {
        TaskRunId { run: RunId(7 << 100), key: TaskKey { task, item: 0 } }
    }

    fn number(attempt: u16) -> WantNumber {
        WantNumber { round: 0, attempt }
    }

    fn max(max: u32) -> Write {
        let record = LimitRecord { max, by: "op".into(), set_at: Timestamp(0) };
        Write::Put { key: key::limit(&limit()), value: encode_limit(&record) }
    }

    fn want(task: u32, attempt: u16) -> Write {
        let record = WantRecord {
            number: number(attempt),
            weight: 1,
            run_priority: Priority::default(),
            run_created: Timestamp(0),
            task_priority: Priority::default(),
            workflow: name("w"),
            task: name("t"),
        };
        Write::Put { key: key::want(&limit(), task_run(task)), value: encode_want(&record) }
    }

    fn unwant(task: u32) -> Write {
        Write::Delete { key: key::want(&limit(), task_run(task)) }
    }

    fn hold(task: u32, attempt: u16) -> Write {
        let record = HoldRecord { number: number(attempt), weight: 1, position: 1, since: Timestamp(0) };
        Write::Put { key: key::hold(&limit(), task_run(task)), value: encode_hold(&record) }
    }

    fn release(task: u32) -> Write {
        Write::Delete { key: key::hold(&limit(), task_run(task)) }
    }

    #[test]
    fn what_is_given_and_taken_back() {
        let gone = Write::Delete { key: key::limit(&limit()) };
        for (writes, wrong) in [
            (vec![max(1), want(0, 1), hold(0, 1), unwant(0), release(0), want(1, 1), hold(1, 1)], 0),
            // One more than there is.
            (vec![max(1), want(0, 1), want(1, 1), hold(0, 1), hold(1, 1)], 1),
            (vec![max(2), want(0, 1), want(1, 1), hold(0, 1), hold(1, 1)], 0),
            // Who holds goes on under a lower maximum.
            (vec![max(2), want(0, 1), want(1, 1), hold(0, 1), hold(1, 1), max(1)], 0),
            (vec![max(2), want(0, 1), want(1, 1), hold(0, 1), max(1), hold(1, 1)], 1),
            (vec![max(1), want(0, 1), hold(0, 1), release(0)], 1),
            // Its next attempt wants it again.
            (vec![max(1), want(0, 1), hold(0, 1), want(0, 2), release(0), hold(0, 2)], 0),
            (vec![max(1), gone, want(0, 1), hold(0, 1)], 1),
        ] {
            let mut holds = Holds::default();
            let told = writes.iter().cloned().enumerate().flat_map(|(place, write)| {
                holds.applies((1, place as u64 + 1), || Some(Batch { writes: vec![write] }))
            });
            assert_eq!(told.count(), wrong, "{writes:?}");
            let again = holds.applies((1, 1), || unreachable!("the entry was looked at"));
            assert!(again.is_empty());
        }
    }
}
