//! What people order about workers: whether one gets new work. Pure decisions over the rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use hortator_core::id::Name;
use hortator_core::time::Timestamp;
use hortator_proto::api::{Problem, ProblemKind, WorkerOrder};
use hortator_proto::row::{Admission, Ordered, WorkerRow};

/// The worker's new row, or its present one when it is so already: the first to order it stays the one who did.
pub(super) fn order(
    workers: &BTreeMap<Name, Arc<WorkerRow>>,
    name: &Name,
    order: WorkerOrder,
    by: String,
    now: Timestamp,
) -> Result<WorkerRow, Problem> {
    let row = workers.get(name).ok_or_else(|| {
        let detail = format!("there is no worker {name}");
        Problem::new(ProblemKind::NotFound, "H3070", detail).hint("hortator worker list")
    })?;
    let ordered = Ordered { by, since: now };
    let admission = match (&row.admission, order) {
        (present @ Admission::Cordoned(_), WorkerOrder::Cordon)
        | (present @ Admission::Draining(_), WorkerOrder::Drain) => present.clone(),
        (_, WorkerOrder::Uncordon) => Admission::Open,
        (_, WorkerOrder::Cordon) => Admission::Cordoned(ordered),
        (_, WorkerOrder::Drain) => Admission::Draining(ordered),
    };
    Ok(WorkerRow { admission, ..row.as_ref().clone() })
}
