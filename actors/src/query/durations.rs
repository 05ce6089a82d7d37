//! How long a workflow's tasks take, on which workers. Must not know how it was learned.

use std::collections::BTreeMap;

use hortator_core::dispatch::{LearnedTasks, NO_CLASS, Resource, WorkerClass};
use hortator_core::id::WorkflowName;
use hortator_proto::api::{DurationView, DurationsView, Response, WorkerClassView};
use hortator_proto::row::WorkerRow;
use hortator_raft::RowsView;

use super::{Failure, workflows};
use crate::worker_table::WorkerTable;

/// What only the deciding thread knows: successes since the last write too.
#[derive(Debug)]
pub(super) struct Taught {
    pub learned: LearnedTasks,
    pub workers: std::sync::Arc<WorkerTable>,
}

pub(super) fn show(rows: &RowsView, name: &WorkflowName, taught: &Taught) -> Result<Response, Failure> {
    workflows::known(rows, name)?;
    let (mut classes, mut tasks) = (BTreeMap::new(), Vec::new());
    for (task, class, learned, last_seen) in taught.learned.iter() {
        let Some(estimate) = learned.estimate() else { continue };
        classes.entry(class).or_insert_with(|| class_view(class, &taught.workers));
        tasks.push(DurationView {
            task: task.clone(),
            class: word(class),
            samples: estimate.samples as u32,
            p50_s: estimate.p50.0 as f64 / 1e6,
            p95_s: estimate.p95.0 as f64 / 1e6,
            last_seen,
        });
    }
    let WorkflowName { namespace, name: workflow } = name.clone();
    let classes = classes.into_values().collect();
    Ok(Response::Durations(DurationsView { namespace, workflow, classes, tasks }))
}

fn word(class: WorkerClass) -> String {
    format!("{class:04x}")
}

fn class_view(class: WorkerClass, table: &WorkerTable) -> WorkerClassView {
    let alike = |row: &&WorkerRow| {
        class != NO_CLASS && row.lost_through < row.incarnation && row.profile.class() == class
    };
    let alike: Vec<&WorkerRow> = table.workers.values().map(|row| &**row).filter(alike).collect();
    let has = alike.first().map(|row| {
        let WorkerRow { profile, .. } = row;
        profile.resources.clone().with(Resource::Gpu, profile.devices.len() as u64)
    });
    WorkerClassView { class: word(class), workers: alike.len() as u32, has: has.unwrap_or_default() }
}
