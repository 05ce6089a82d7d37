//! Attempts that have not ended, as the rows of each shard have them in every prefix of its log: one of a task run at a
//! time, and none on a worker's life whose loss the shard's leader has known for long. Must not know who declares losses,
//! or what the end of an attempt leads to.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use hortator_actors::leaders::MEMBERSHIP;
use hortator_core::event::Event;
use hortator_core::id::{AttemptId, Incarnation, Name, WorkerRef};
use hortator_core::task_run::{FenceAt, TaskState};
use hortator_proto::row::key::{self, Key};
use hortator_proto::row::{WorkerRow, decode_history, decode_task};
use hortator_raft::marks::{Deed, batch_in};
use hortator_raft::{Batch, Write};

use crate::checkers::Violation;

/// S4.
pub const ONE: &str = "a task run has one attempt that has not ended, in every prefix of the log";
/// L3: judged while the leader works, since whoever follows it may make up for what it has missed.
pub const LOSSES: &str =
    "what a lost worker's life had is lost with it, as soon as the shard's leader knows of the loss";

/// Seconds of its own work, each with an entry that it proposed and applied, in which a leader may leave an attempt open
/// whose loss its own rows say. It takes a commit, and far less than one even on the slowest disk.
const LEFT_OPEN_MAX: u64 = 5;

/// See the module.
#[derive(Debug, Default)]
pub struct Attempts {
    shards: BTreeMap<u32, Shard>,
    workers: BTreeMap<Name, Life>,
    /// The last entry that is in `workers`.
    membership: u64,
    /// Up to which entry of the membership group each master can read its rows.
    shown: BTreeMap<u64, u64>,
}

#[derive(Debug, Default)]
struct Shard {
    /// The last entry that is in `open`.
    applied: u64,
    /// Of the highest term that was heard of: the term and the replica.
    leader: (u64, u64),
    /// The last second in which that leader applied an entry of its term.
    second: u64,
    /// By the key of the task run's row.
    open: BTreeMap<Bytes, Open>,
}

#[derive(Debug)]
struct Open {
    id: AttemptId,
    /// Where it was dispatched.
    index: u64,
    worker: WorkerRef,
    /// Seconds of its leader's work in which that leader could read of the loss.
    left_open: u64,
}

/// A worker as its newest row says.
#[derive(Debug)]
struct Life {
    written: u64,
    incarnation: Incarnation,
    /// Lives that ended with the world before this one.
    over_through: Incarnation,
    lost_through: Incarnation,
    /// Lives that were lost by silence, and with them what their spools held. A registration ends those before it as well,
    /// and says what lies in the spool.
    silent_through: Incarnation,
    /// Attempts of lost lives that end by their reports, by the place of their dispatch.
    spooled: Vec<(AttemptId, u64)>,
}

impl Attempts {
    /// What speaks against the deed, done in that second of the world.
    pub fn on(&mut self, deed: &Deed<'_>, second: u64) -> Vec<Violation> {
        match *deed {
            Deed::Applies { group, replica, index, term, data } => {
                self.applies((group, index), (term, replica), second, || batch_in(data))
            }
            Deed::Leads { group, term, replica } if group != MEMBERSHIP => {
                let shard = self.shards.entry(group).or_default();
                if shard.leader.0 < term {
                    (shard.leader, shard.second) = ((term, replica), second);
                    shard.open.values_mut().for_each(|open| open.left_open = 0);
                }
                Vec::new()
            }
            Deed::Shows { group: MEMBERSHIP, replica, index }
            | Deed::Holds { group: MEMBERSHIP, replica, index, .. } => {
                self.shown.insert(replica, index);
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// An entry and who applies it in which of its terms; what is in it is looked at once.
    fn applies(
        &mut self,
        (group, index): (u32, u64),
        by: (u64, u64),
        second: u64,
        batch: impl FnOnce() -> Option<Batch>,
    ) -> Vec<Violation> {
        if group == MEMBERSHIP {
            if index > self.membership {
                self.membership = index;
                self.learn(index, batch().unwrap_or_default());
            }
            return Vec::new();
        }
        let shard = self.shards.entry(group).or_default();
        let mut wrong = Vec::new();
        if index > shard.applied {
            shard.applied = index;
            wrong = shard.apply((group, index), &batch().unwrap_or_default());
        }
        if shard.leader == by && shard.second != second {
            shard.second = second;
            wrong.extend(self.left_open(group));
        }
        wrong
    }

    /// When all is healed and has had its time: what is still open on a life whose loss its leader can read of.
    pub fn left(&self) -> Vec<Violation> {
        let mut wrong = Vec::new();
        for (group, shard) in &self.shards {
            let (term, leader) = shard.leader;
            let shown = self.shown.get(&leader).copied().unwrap_or(0);
            let left = shard.open.values().filter(|open| is_known_lost(&self.workers, shown, open));
            wrong.extend(left.map(|Open { id, worker, .. }| Violation {
                checker: "L3",
                promise: LOSSES,
                detail: format!(
                    "{id:?} is open on {worker:?} in the end, and n{leader}, which leads shard {group} in term {term}, can read \
                     of that life's loss"
                ),
            }));
        }
        wrong
    }

    /// From here on only lives that have not begun yet are lives that can be lost.
    pub fn begin_anew(&mut self) {
        self.workers.values_mut().for_each(|life| life.over_through = life.incarnation);
    }

    /// Workers of which a life was lost by silence.
    pub fn losers(&self) -> BTreeSet<Name> {
        let lost = self.workers.iter().filter(|(_, life)| life.silent_through > life.over_through);
        lost.map(|(name, _)| name.clone()).collect()
    }

    fn learn(&mut self, index: u64, batch: Batch) {
        for write in batch.writes {
            let Write::Put { key, value } = write else { continue };
            let Some(Key::Worker(name)) = key::parse(&key) else { continue };
            let Ok(row) = WorkerRow::decode(&value) else { continue };
            let spooled = row.spooled.iter().map(|(attempt, fence)| (*attempt, fence.index)).collect();
            let before = self.workers.get(&name);
            let (over_through, silent_before) =
                before.map_or((0, 0), |life| (life.over_through, life.silent_through));
            let WorkerRow { incarnation, lost_through, .. } = row;
            // Only silence ends the present life.
            let silent_through = if lost_through >= incarnation { incarnation } else { silent_before };
            let life =
                Life { written: index, incarnation, over_through, lost_through, silent_through, spooled };
            self.workers.insert(name, life);
        }
    }

    /// The leader of that group went on for one more second.
    fn left_open(&mut self, group: u32) -> Vec<Violation> {
        let Some(shard) = self.shards.get_mut(&group) else { return Vec::new() };
        let (term, leader) = shard.leader;
        let shown = self.shown.get(&leader).copied().unwrap_or(0);
        let mut wrong = Vec::new();
        for open in shard.open.values_mut() {
            if !is_known_lost(&self.workers, shown, open) {
                open.left_open = 0;
                continue;
            }
            open.left_open += 1;
            if open.left_open == LEFT_OPEN_MAX {
                let Open { id, worker, .. } = open;
                wrong.push(Violation {
                    checker: "L3",
                    promise: LOSSES,
                    detail: format!(
                        "{id:?} is open on {worker:?}, and n{leader}, which leads shard {group} in term {term}, could read of \
                         that life's loss in {LEFT_OPEN_MAX} seconds of its work"
                    ),
                });
            }
        }
        wrong
    }
}

/// Whether the membership's rows up to `shown` say that the attempt is lost with its worker's life.
fn is_known_lost(workers: &BTreeMap<Name, Life>, shown: u64, open: &Open) -> bool {
    let life = workers.get(&open.worker.name).filter(|life| life.written <= shown);
    life.is_some_and(|life| {
        open.worker.incarnation <= life.lost_through && !life.spooled.contains(&(open.id, open.index))
    })
}

impl Shard {
    /// S4.
    fn apply(&mut self, (group, index): (u32, u64), batch: &Batch) -> Vec<Violation> {
        let mut wrong = Vec::new();
        for write in &batch.writes {
            match write {
                Write::Put { key, value } => {
                    if let Some(Key::TaskRun(task_run)) = key::parse(key)
                        && let Ok(state) = decode_task(value)
                    {
                        let before = self.open.remove(key);
                        let after = open_in(&state, index, |attempt| AttemptId { task_run, attempt });
                        let left =
                            before.and_then(|before| left((group, index), &before, after.as_ref(), batch));
                        wrong.extend(left);
                        self.open.extend(after.map(|open| (key.clone(), open)));
                    }
                }
                Write::Delete { key } => drop(self.open.remove(key)),
                Write::DeleteRange { from, to } => self.open.retain(|key, _| key < from || key >= to),
                Write::PutAtIndex { .. } => {}
            }
        }
        wrong
    }
}

/// The attempt in a row that the entry at `index` has written.
fn open_in(state: &TaskState, index: u64, id: impl Fn(u16) -> AttemptId) -> Option<Open> {
    let attempt = state.attempt()?;
    let index = match attempt.fence {
        FenceAt::ThisRow => index,
        FenceAt::Known(fence) => fence.index,
    };
    Some(Open { id: id(attempt.number), index, worker: attempt.worker.clone(), left_open: 0 })
}

/// An attempt gives its place to another or to none, and the same entry does not tell of its end.
fn left((group, index): (u32, u64), before: &Open, after: Option<&Open>, batch: &Batch) -> Option<Violation> {
    let stays = after.is_some_and(|after| (before.id, before.index) == (after.id, after.index));
    (!stays && !tells_end(batch, before.id)).then(|| {
        let place = match after {
            Some(after) => format!("{:?} of entry {}", after.id, after.index),
            None => "nothing".to_owned(),
        };
        let Open { id, index: dispatched, .. } = before;
        let detail = format!(
            "entry {group}:{index}: attempt {id:?} of entry {dispatched} has not ended, and {place} is in its place"
        );
        Violation { checker: "S4", promise: ONE, detail }
    })
}

fn tells_end(batch: &Batch, id: AttemptId) -> bool {
    let history = key::history_of(id.task_run.run);
    let rows = batch.writes.iter().filter_map(|write| match write {
        Write::PutAtIndex { prefix, value } if *prefix == history => decode_history(value).ok(),
        _ => None,
    });
    rows.flat_map(|row| row.events).any(|event| match event {
        Event::AttemptEnded { key, attempt, .. }
        | Event::AttemptLost { key, attempt, .. }
        | Event::AttemptRefused { key, attempt, .. } => (key, attempt) == (id.task_run.key, id.attempt),
        _ => false,
    })
}

#[cfg(test)]
mod tests;
