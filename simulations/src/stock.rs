//! What workers have and namespaces may hold, at each index of the membership group's log. Must not know who places.

use std::collections::BTreeMap;

use hortator_actors::leaders::MEMBERSHIP;
use hortator_core::dispatch::Quota;
use hortator_core::id::{Name, WorkerRef};
use hortator_proto::frame::WorkerProfile;
use hortator_proto::row::key::{self, Key};
use hortator_proto::row::{QuotaRow, WorkerRow};
use hortator_raft::marks::{Deed, batch_in};
use hortator_raft::{Batch, Write};

/// See the module.
#[derive(Debug, Default)]
pub struct Stock {
    /// The last entry that was looked at.
    applied: u64,
    /// By the index of the entry that made them so; none of a worker that is not there any more.
    workers: BTreeMap<Name, BTreeMap<u64, Option<WorkerRow>>>,
    quotas: BTreeMap<Name, BTreeMap<u64, Quota>>,
}

impl Stock {
    pub fn on(&mut self, deed: &Deed<'_>) {
        if let Deed::Applies { group: MEMBERSHIP, index, data, .. } = *deed {
            self.applies(index, || batch_in(data));
        }
    }

    pub(crate) fn applies(&mut self, index: u64, batch: impl FnOnce() -> Option<Batch>) {
        if index <= self.applied {
            return;
        }
        self.applied = index;
        for write in batch().unwrap_or_default().writes {
            self.take(index, &write);
        }
    }

    fn take(&mut self, index: u64, write: &Write) -> Option<()> {
        match write {
            Write::Put { key, value } => match key::parse(key)? {
                Key::Worker(name) => {
                    let row = WorkerRow::decode(value).ok()?;
                    self.workers.entry(name).or_default().insert(index, Some(row));
                }
                Key::Quota(namespace) => {
                    let row = QuotaRow::decode(value).ok()?;
                    self.quotas.entry(namespace).or_default().insert(index, row.most);
                }
                _ => {}
            },
            Write::Delete { key } => match key::parse(key)? {
                Key::Worker(name) => _ = self.workers.entry(name).or_default().insert(index, None),
                Key::Quota(namespace) => {
                    self.quotas.entry(namespace).or_default().insert(index, Quota::new());
                }
                _ => {}
            },
            Write::DeleteRange { .. } | Write::PutAtIndex { .. } => {}
        }
        Some(())
    }

    /// What that life of a worker has, where it is the present one by the rows of that index and not lost.
    pub fn of_life(&self, worker: &WorkerRef, rows: u64) -> Option<&WorkerProfile> {
        let row = last(self.workers.get(&worker.name)?, rows)?.as_ref()?;
        let lives = row.incarnation == worker.incarnation && row.lost_through < worker.incarnation;
        lives.then_some(&row.profile)
    }

    /// The most that the namespace may hold by the rows of that index.
    pub fn quota(&self, namespace: &Name, rows: u64) -> Option<&Quota> {
        last(self.quotas.get(namespace)?, rows)
    }

    /// Forgets what was replaced: nobody rests on it any more.
    pub fn forget_replaced(&mut self) {
        self.workers.values_mut().for_each(keep_last);
        self.quotas.values_mut().for_each(keep_last);
    }
}

fn last<T>(by_index: &BTreeMap<u64, T>, rows: u64) -> Option<&T> {
    by_index.range(..=rows).next_back().map(|(_, value)| value)
}

fn keep_last<T>(by_index: &mut BTreeMap<u64, T>) {
    if let Some((last, value)) = by_index.pop_last() {
        *by_index = BTreeMap::from([(last, value)]);
    }
}

#[cfg(test)]
mod tests {
    use hortator_core::dispatch::Resource;
    use hortator_core::time::Timestamp;
    use hortator_proto::frame::LifeId;
    use hortator_proto::row::Admission;

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    fn worker(incarnation: u64, lost_through: u64, slots: u32) -> Write {
        let row = WorkerRow {
            name: name("w1"),
            incarnation,
            life: LifeId::default(),
            profile: WorkerProfile { slots, ..WorkerProfile::default() },
            registered_at: Timestamp(0),
            lost_through,
            spooled: Vec::new(),
            admission: Admission::Open,
        };
        Write::Put { key: key::worker(&row.name), value: row.encode() }
    }

    fn quota(slots: u64) -> Write {
        let most = Quota::from([(Resource::Slots, slots)]);
        let row = QuotaRow { namespace: name("default"), most };
        Write::Put { key: key::quota(&row.namespace), value: row.encode() }
    }

    #[test]
    fn what_there_is_at_an_index() {
        let gone = Write::Delete { key: key::worker(&name("w1")) };
        let mut stock = Stock::default();
        for (index, write) in
            [(2, worker(1, 0, 4)), (4, quota(3)), (6, worker(1, 1, 4)), (8, worker(2, 1, 5)), (9, quota(1))]
                .into_iter()
                .chain([(11, gone)])
        {
            stock.applies(index, || Some(Batch { writes: vec![write] }));
            stock.applies(index, || unreachable!("the entry was looked at"));
        }
        for (rows, first, second, most) in [
            (1, None, None, None),
            (3, Some(4), None, None),
            (5, Some(4), None, Some(3)),
            (7, None, None, Some(3)),
            (8, None, Some(5), Some(3)),
            (10, None, Some(5), Some(1)),
            (11, None, None, Some(1)),
        ] {
            let life = |incarnation| {
                let worker = WorkerRef { name: name("w1"), incarnation };
                stock.of_life(&worker, rows).map(|profile| profile.slots)
            };
            let quota = stock.quota(&name("default"), rows);
            let found = (life(1), life(2), quota.map(|quota| quota[&Resource::Slots]));
            assert_eq!(found, (first, second, most), "{rows}");
        }
    }
}
