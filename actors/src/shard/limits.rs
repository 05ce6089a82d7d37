//! What a shard has to do with limits, of both sides: its own task runs' wants, and which rows elsewhere say something new to
//! them or to the limits whose home it is. It must not know who gets a limit.
//!
//! ```text
//!  TaskActor ─ wants ─▶ rows of this shard ┄┄▶ replicas ┄┄▶ look_elsewhere at the home ─▶ LimitActor
//!  TaskActor ◀─ Look::AtLimits ─ look_elsewhere ◀┄┄ replicas ◀┄┄ rows of the home ◀─ holds ─┘
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::rc::Rc;
use std::sync::Arc;

use hortator_core::id::{LimitName, TaskRunId};
use hortator_core::limit::{LimitSeen, Want, WantNumber, WantRecord};
use hortator_core::reason::{Holder, LISTED_MAX, Reason};
use hortator_core::time::Timestamp;
use hortator_proto::row::{self, key::Key};
use hortator_raft::{Changed, Cursor, ReadError, Row, Rows, RowsView, Write};
use slog::error;

use super::context::ShardContext;
use super::leading::Leading;
use crate::limit::{LimitActor, LookAtWants};
use crate::mailbox::Mailbox;
use crate::shard::rebuild::after;
use crate::task::Look;

/// Rows read at a time.
const PAGE: usize = 2_000;

/// Limits of one shard that are told to metrics, the first by name: each is three lines of every answer.
const MEASURED_MAX: usize = 1_000;

/// The rows of all groups, as this master's replicas have them.
pub type AllRows = Arc<BTreeMap<u32, Rows>>;

/// See the module. Bounded by the active task runs of the shard, and by the limits whose home it is.
#[derive(Debug)]
pub struct LimitDesk {
    rows: AllRows,
    shards: u32,
    /// All wants of this shard that are in rows or handed in: rows may still show those that are gone.
    wants: RefCell<BTreeMap<TaskRunId, BTreeMap<LimitName, WantNumber>>>,
    /// What task runs wait for now.
    seeking: RefCell<BTreeMap<TaskRunId, Sought>>,
    /// Task runs whose limit's rows have changed since they looked.
    news: RefCell<BTreeSet<TaskRunId>>,
    /// What the actors of limits are to look at.
    unseen: RefCell<BTreeMap<LimitName, Unseen>>,
    actors: RefCell<BTreeMap<LimitName, Mailbox<LimitActor>>>,
    /// Of limits that have an actor.
    use_now: RefCell<BTreeMap<LimitName, LimitUse>>,
    cursors: RefCell<BTreeMap<u32, Cursor>>,
}

/// What a task run waits for.
#[derive(Clone, Debug)]
pub struct Sought {
    pub limit: LimitName,
    pub want: Want,
    /// It is ready since then.
    pub since: Timestamp,
}

/// How much of a limit is given, and how many wait for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitUse {
    pub used: u64,
    pub waiting: u64,
}

/// A limit in figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitSize {
    pub name: LimitName,
    pub max: u32,
    pub now: LimitUse,
}

/// Whose wants may have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unseen {
    pub task_runs: BTreeSet<TaskRunId>,
    /// Of everybody who is known from these shards.
    pub shards: BTreeSet<u32>,
}

/// Limits as their homes' rows show them here, each looked at once: thousands may wait for one, and thousands hold it.
#[derive(Debug)]
pub struct Looks<'a> {
    desk: &'a LimitDesk,
    leading: &'a Leading,
    seen: RefCell<BTreeMap<LimitName, LimitSeen>>,
}

impl Looks<'_> {
    /// Since when a task run is ready that waits for a limit, and why.
    pub fn reasons(&self, task_run: TaskRunId) -> Option<(Timestamp, Vec<Reason>)> {
        let seeking = self.desk.seeking.borrow();
        let Sought { limit, want, since } = seeking.get(&task_run)?;
        Some((*since, self.reasons_of(limit, want)))
    }

    /// Why it waits, also of one that has not asked for it yet.
    pub fn reasons_of(&self, limit: &LimitName, want: &Want) -> Vec<Reason> {
        let mut seen = self.seen.borrow_mut();
        let seen = seen.entry(limit.clone()).or_insert_with(|| self.desk.seen(limit));
        let reason = want.reason(&limit.namespace, seen.clone());
        match (self.leading.no_leader(limit.shard(self.desk.shards)), reason.is_undecided()) {
            (None, _) => vec![reason],
            // It would be decided, if anybody were there to do it.
            (Some(no_leader), true) => vec![no_leader],
            // Without a leader it gets nothing of what others give back either.
            (Some(no_leader), false) => vec![reason, no_leader],
        }
    }
}

impl LimitDesk {
    pub fn new(rows: AllRows) -> LimitDesk {
        let shards = rows.keys().filter(|group| **group > 0).count() as u32;
        LimitDesk {
            rows,
            shards,
            wants: RefCell::default(),
            seeking: RefCell::default(),
            news: RefCell::default(),
            unseen: RefCell::default(),
            actors: RefCell::default(),
            use_now: RefCell::default(),
            cursors: RefCell::default(),
        }
    }

    pub fn all_rows(&self) -> AllRows {
        self.rows.clone()
    }

    /// The wants that lie in rows when an epoch begins.
    pub fn restore(&self, own: &Rows) -> Result<(), ReadError> {
        let mut wants = self.wants.borrow_mut();
        each(own, &row::key::wants(), |key, stored| {
            let (Some(Key::Want { limit, task_run }), Ok(want)) =
                (row::key::parse(key), row::decode_want(&stored.value))
            else {
                return;
            };
            wants.entry(task_run).or_default().insert(limit, want.number);
        })
    }

    /// The row that says that a task run wants a limit; none when it is there.
    pub fn want(&self, limit: &LimitName, task_run: TaskRunId, record: &WantRecord) -> Option<Write> {
        let before =
            self.wants.borrow_mut().entry(task_run).or_default().insert(limit.clone(), record.number);
        let write = || Write::Put { key: row::key::want(limit, task_run), value: row::encode_want(record) };
        (before != Some(record.number)).then(write)
    }

    /// It wants nothing any more.
    pub fn leave(&self, task_run: TaskRunId) -> Vec<Write> {
        self.seek(task_run, None);
        let left = self.wants.borrow_mut().remove(&task_run).unwrap_or_default();
        left.into_keys().map(|limit| Write::Delete { key: row::key::want(&limit, task_run) }).collect()
    }

    /// The same of all of a run's.
    pub fn leave_all(&self, task_runs: RangeInclusive<TaskRunId>) -> Vec<Write> {
        let left: Vec<TaskRunId> = self.wants.borrow().range(task_runs).map(|(id, _)| *id).collect();
        left.into_iter().flat_map(|task_run| self.leave(task_run)).collect()
    }

    /// What it waits for from now on, or that it waits for none.
    pub fn seek(&self, task_run: TaskRunId, what: Option<Sought>) {
        match what {
            Some(what) => drop(self.seeking.borrow_mut().insert(task_run, what)),
            None => drop(self.seeking.borrow_mut().remove(&task_run)),
        }
        self.news.borrow_mut().remove(&task_run);
    }

    /// Whether there is something new for a task run that waits.
    pub fn has_news(&self, task_run: TaskRunId) -> bool {
        let news = self.news.borrow();
        !news.is_empty() && news.contains(&task_run)
    }

    /// Whether the limit's home shows that the task run holds it for that attempt. Once it does it stays so until the want
    /// goes, however old the replica is.
    pub fn is_held(&self, limit: &LimitName, task_run: TaskRunId, number: WantNumber) -> bool {
        let Some(rows) = self.rows.get(&limit.shard(self.shards)) else { return false };
        let stored = rows.get(&row::key::hold(limit, task_run)).ok().flatten();
        stored
            .and_then(|stored| row::decode_hold(&stored.value).ok())
            .is_some_and(|hold| hold.number == number)
    }

    /// A look at the rows of a task run's shard.
    pub fn view(&self, shard: u32) -> Option<RowsView> {
        self.rows.get(&shard)?.read().ok()
    }

    pub fn actor(&self, limit: &LimitName) -> Option<Mailbox<LimitActor>> {
        self.actors.borrow().get(limit).cloned()
    }

    pub fn set_actor(&self, limit: &LimitName, actor: Mailbox<LimitActor>) {
        self.actors.borrow_mut().insert(limit.clone(), actor);
    }

    pub fn set_use(&self, limit: &LimitName, now: LimitUse) {
        self.use_now.borrow_mut().insert(limit.clone(), now);
    }

    /// The limits whose home this is, in figures.
    pub fn sizes(&self, own: &Rows) -> Result<Vec<LimitSize>, ReadError> {
        let use_now = self.use_now.borrow();
        let size = |(key, stored): &(bytes::Bytes, Row)| {
            let (Some(Key::Limit(name)), Ok(record)) =
                (row::key::parse(key), row::decode_limit(&stored.value))
            else {
                return None;
            };
            let now = use_now.get(&name).copied().unwrap_or_default();
            Some(LimitSize { name, max: record.max, now })
        };
        Ok(own.scan_prefix(&row::key::limits(), MEASURED_MAX)?.iter().filter_map(size).collect())
    }

    /// The actors of the epoch go.
    pub fn close(&self) {
        self.actors.take();
    }

    pub fn take_unseen(&self, limit: &LimitName) -> Unseen {
        self.unseen.borrow_mut().remove(limit).unwrap_or_default()
    }

    /// For one answer about many task runs.
    pub fn looks<'a>(&'a self, leading: &'a Leading) -> Looks<'a> {
        Looks { desk: self, leading, seen: RefCell::default() }
    }

    fn seen(&self, limit: &LimitName) -> LimitSeen {
        let mut seen = LimitSeen { max: None, used: 0, holding: 0, holders: Vec::new() };
        let Some(rows) = self.rows.get(&limit.shard(self.shards)) else { return seen };
        let record = rows.get(&row::key::limit(limit)).ok().flatten();
        seen.max = record.and_then(|stored| Some(row::decode_limit(&stored.value).ok()?.max));
        // A replica that is not open shows nothing, as if nobody held it.
        let _ = each(rows, &row::key::holds_of(limit), |key, stored| {
            let (Some(Key::Hold { task_run, .. }), Ok(hold)) =
                (row::key::parse(key), row::decode_hold(&stored.value))
            else {
                return;
            };
            seen.used += u64::from(hold.weight);
            seen.holding += 1;
            if seen.holders.len() < LISTED_MAX {
                seen.holders.push(Holder { run: task_run.run, task: task_run.key, since: hold.since });
            }
        });
        seen
    }
}

/// Finds what is new in all groups' rows here, and tells whom it concerns. Costs little when nothing is.
pub fn look_elsewhere(context: &Rc<ShardContext>) {
    let desk = &context.limits;
    for (shard, rows) in desk.rows.range(1..) {
        let changed = rows.changed(desk.cursors.borrow_mut().entry(*shard).or_default());
        match changed {
            Changed::Rows(keys) => keys.iter().for_each(|key| note(context, key)),
            Changed::Anything => {
                if let Err(error) = note_all(context, *shard, rows) {
                    error!(context.log, "rows of limits cannot be read"; "of_shard" => shard, "error" => %error);
                    desk.cursors.borrow_mut().remove(shard);
                }
            }
        }
    }
    tell(context);
}

fn note(context: &ShardContext, key: &[u8]) {
    let desk = &context.limits;
    match row::key::parse(key) {
        Some(Key::Want { limit, task_run }) if limit.shard(desk.shards) == context.shard => {
            desk.unseen.borrow_mut().entry(limit).or_default().task_runs.insert(task_run);
        }
        Some(Key::Hold { limit, task_run }) if task_run.run.shard() == context.shard => {
            let waits = desk.seeking.borrow().get(&task_run).is_some_and(|sought| sought.limit == limit);
            if waits {
                desk.news.borrow_mut().insert(task_run);
            }
        }
        _ => {}
    }
}

/// Anything in that shard's rows may be new, or gone.
fn note_all(context: &ShardContext, shard: u32, rows: &Rows) -> Result<(), ReadError> {
    let desk = &context.limits;
    each(rows, &row::key::wants(), |key, _| note(context, key))?;
    // Who holds without wanting any more; the actors know of holds that are not in rows yet.
    each(&context.rows, &row::key::holds(), |key, _| {
        if let Some(Key::Hold { limit, task_run }) = row::key::parse(key)
            && task_run.run.shard() == shard
        {
            desk.unseen.borrow_mut().entry(limit).or_default().task_runs.insert(task_run);
        }
    })?;
    for limit in desk.actors.borrow().keys() {
        desk.unseen.borrow_mut().entry(limit.clone()).or_default().shards.insert(shard);
    }
    let seeking = desk.seeking.borrow();
    let of_shard = seeking.iter().filter(|(_, sought)| sought.limit.shard(desk.shards) == shard);
    desk.news.borrow_mut().extend(of_shard.map(|(task_run, _)| *task_run));
    Ok(())
}

/// Refused notices are repeated with the next look.
fn tell(context: &Rc<ShardContext>) {
    let desk = &context.limits;
    let limits: Vec<LimitName> = desk.unseen.borrow().keys().cloned().collect();
    for limit in limits {
        match LimitActor::of(context, &limit) {
            Ok(actor) => drop(actor.send(LookAtWants)),
            Err(error) => {
                error!(context.log, "limit cannot be rebuilt"; "limit" => %limit, "error" => %error);
            }
        }
    }
    let (news, tasks) = (desk.news.borrow(), context.tasks.borrow());
    for task in news.iter().filter_map(|task_run| tasks.get(task_run)) {
        let _ = task.send(Look::AtLimits);
    }
}

/// All rows with that prefix, page by page.
pub fn each(rows: &Rows, prefix: &[u8], mut look: impl FnMut(&[u8], &Row)) -> Result<(), ReadError> {
    let (mut from, to) = row::key::range(prefix);
    loop {
        let page = rows.scan(&from, &to, PAGE, false)?;
        page.iter().for_each(|(key, stored)| look(key, stored));
        match page.last() {
            Some((key, _)) if page.len() == PAGE => from = after(key),
            _ => return Ok(()),
        }
    }
}
