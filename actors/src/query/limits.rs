//! Limits: how much of each is in use, who holds it and who waits. Holds are the home's own; who waits is in the rows of
//! the task runs' shards, as this master's replicas have them.

use std::collections::BTreeMap;

use hortator_core::id::{LimitName, Name, TaskRunId};
use hortator_core::limit::{Place, WantRecord};
use hortator_proto::api::{LimitDetail, LimitUser, LimitView, PAGE_MAX, Response};
use hortator_proto::row::{self, key::Key};
use hortator_raft::RowsView;

use super::{Failure, Reader};
use crate::limit::no_such_limit;
use crate::shard::limits::each;

/// Holders and waiters shown of one limit; counts are of all.
const SHOWN_MAX: usize = 100;

pub(super) fn list(
    reader: &Reader,
    rows: &RowsView,
    namespace: Option<&Name>,
    after: Option<&LimitName>,
    limit: u32,
) -> Result<Response, Failure> {
    let limit = limit.clamp(1, PAGE_MAX) as usize;
    let prefix = namespace.map_or_else(row::key::limits, row::key::limits_of);
    let (first, to) = row::key::range(&prefix);
    let from = after.map_or(first, |name| crate::shard::rebuild::after(&row::key::limit(name)));
    let mut views = Vec::new();
    for (key, _) in rows.scan(&from, &to, limit, false)? {
        if let Some(Key::Limit(name)) = row::key::parse(&key) {
            views.push(detail(reader, rows, &name)?.view);
        }
    }
    Ok(Response::Limits(views))
}

pub(super) fn one(reader: &Reader, rows: &RowsView, name: &LimitName) -> Result<Response, Failure> {
    let detail = detail(reader, rows, name)?;
    if detail.view.max.is_none() && detail.holders.is_empty() && detail.waiters.is_empty() {
        return Err(Failure::Problem(no_such_limit(name)));
    }
    Ok(Response::Limit(Box::new(detail)))
}

fn detail(reader: &Reader, rows: &RowsView, name: &LimitName) -> Result<LimitDetail, Failure> {
    let stored = rows.get(&row::key::limit(name))?;
    let record = stored.map(|stored| row::decode_limit(&stored.value)).transpose()?;
    let mut view = LimitView {
        namespace: name.namespace.clone(),
        name: name.name.clone(),
        max: record.as_ref().map(|record| record.max),
        used: 0,
        holders: 0,
        waiters: 0,
        by: record.as_ref().map(|record| record.by.clone()),
        set_at: record.as_ref().map(|record| record.set_at),
    };
    let mut wants = wants(reader, name)?;
    let mut holders = Vec::new();
    for (key, stored) in rows.scan_prefix(&row::key::holds_of(name), usize::MAX)? {
        let Some(Key::Hold { task_run, .. }) = row::key::parse(&key) else { continue };
        let hold = row::decode_hold(&stored.value)?;
        view.used += u64::from(hold.weight);
        view.holders += 1;
        let is_met = wants.get(&task_run).is_some_and(|(_, want)| want.number == hold.number);
        let want = if is_met { wants.remove(&task_run) } else { None };
        if holders.len() < SHOWN_MAX {
            let want = want.as_ref().map(|(_, want)| want);
            holders.push(user(task_run, hold.weight, want, Some(hold.since)));
        }
    }
    view.waiters = wants.len() as u64;
    let mut waiting: Vec<(Place, WantRecord)> = wants.into_values().collect();
    waiting.sort_by_key(|(place, _)| *place);
    let shown = waiting.iter().take(SHOWN_MAX);
    let waiters = shown.map(|(place, want)| user(place.task_run(), want.weight, Some(want), None)).collect();
    Ok(LimitDetail { view, holders, waiters })
}

/// All wants of the limit, each with its place in the order in which it is given.
fn wants(reader: &Reader, name: &LimitName) -> Result<BTreeMap<TaskRunId, (Place, WantRecord)>, Failure> {
    let mut wants = BTreeMap::new();
    for rows in reader.all_rows.range(1..).map(|(_, rows)| rows) {
        each(rows, &row::key::wants_of(name), |key, stored| {
            if let (Some(Key::Want { task_run, .. }), Ok(want)) =
                (row::key::parse(key), row::decode_want(&stored.value))
            {
                wants.insert(task_run, (Place::of(task_run, &want, stored.written.index), want));
            }
        })?;
    }
    Ok(wants)
}

fn user(
    id: TaskRunId,
    weight: u32,
    want: Option<&WantRecord>,
    since: Option<hortator_core::time::Timestamp>,
) -> LimitUser {
    LimitUser {
        run: id.run,
        key: id.key,
        workflow: want.map(|want| want.workflow.clone()),
        task: want.map(|want| want.task.clone()),
        weight,
        since,
    }
}
