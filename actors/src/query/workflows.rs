//! Lists of workflows, and one with its text.

use hortator_core::id::{Name, RunId, WorkflowName};
use hortator_core::run::RunHeader;
use hortator_proto::api::{PAGE_MAX, Problem, ProblemKind, Response, WorkflowDetail, WorkflowView};
use hortator_proto::row::{self, VersionRow, WorkflowRow};
use hortator_raft::RowsView;

use super::Failure;

/// Live runs shown with a workflow; a list of runs shows them all.
const LIVE_SHOWN_MAX: usize = 100;
/// Newest runs looked at for the live ones.
const NEWEST_LOOKED_AT: usize = 1_000;

pub(super) fn list(
    rows: &RowsView,
    namespace: Option<&Name>,
    after: Option<&WorkflowName>,
    limit: u32,
) -> Result<Response, Failure> {
    let limit = limit.clamp(1, PAGE_MAX) as usize;
    let prefix = namespace.map_or_else(row::key::workflows, row::key::workflows_of);
    let (first, to) = row::key::range(&prefix);
    let from = after.map_or(first, |name| crate::shard::rebuild::after(&row::key::workflow(name)));
    let mut views = Vec::new();
    for (_, stored) in rows.scan(&from, &to, limit, false)? {
        let workflow = WorkflowRow::decode(&stored.value)?;
        let version = version(rows, &workflow.name, workflow.latest)?;
        views.push(view(&workflow.name, &version));
    }
    Ok(Response::Workflows(views))
}

fn view(name: &WorkflowName, version: &VersionRow) -> WorkflowView {
    WorkflowView {
        namespace: name.namespace.clone(),
        name: name.name.clone(),
        version: version.version,
        tasks: version.tasks,
        applied_at: version.applied_at,
        by: version.by.clone(),
    }
}

fn version(rows: &RowsView, name: &WorkflowName, number: u32) -> Result<VersionRow, Failure> {
    match rows.get(&row::key::version(name, number))? {
        Some(stored) => Ok(VersionRow::decode(&stored.value)?),
        None => {
            let detail = format!("workflow {name} has no version {number}");
            Err(Failure::Problem(Problem::new(ProblemKind::NotFound, "H2202", detail)))
        }
    }
}

pub(super) fn detail(rows: &RowsView, name: &WorkflowName, number: Option<u32>) -> Result<Response, Failure> {
    let workflow = known(rows, name)?;
    let version = version(rows, name, number.unwrap_or(workflow.latest))?;
    let mut source = Vec::new();
    for chunk in 0..version.source_chunks {
        if let Some(stored) = rows.get(&row::key::source_chunk(name, version.version, chunk))? {
            source.extend_from_slice(&stored.value);
        }
    }
    Ok(Response::Workflow(Box::new(WorkflowDetail {
        view: view(name, &version),
        latest: workflow.latest,
        hash: version.hash,
        source: String::from_utf8_lossy(&source).into_owned(),
        live: live(rows, name)?,
    })))
}

pub(super) fn known(rows: &RowsView, name: &WorkflowName) -> Result<WorkflowRow, Failure> {
    match rows.get(&row::key::workflow(name))? {
        Some(stored) => Ok(WorkflowRow::decode(&stored.value)?),
        None => {
            let detail = format!("workflow {name} does not exist");
            let problem = Problem::new(ProblemKind::NotFound, "H2201", detail).hint("hortator workflow list");
            Err(Failure::Problem(problem))
        }
    }
}

fn live(rows: &RowsView, name: &WorkflowName) -> Result<Vec<RunId>, Failure> {
    let (from, to) = row::key::range(&row::key::runs_of_workflow(name));
    let mut live = Vec::new();
    for (key, _) in rows.scan(&from, &to, NEWEST_LOOKED_AT, true)? {
        let Some(run) = row::key::parse_run_of_workflow(&key) else { continue };
        if let Some(stored) = rows.get(&row::key::run(run))? {
            let header: RunHeader = row::decode_run(&stored.value)?;
            if header.is_live() && live.len() < LIVE_SHOWN_MAX {
                live.push(run);
            }
        }
    }
    live.reverse();
    Ok(live)
}
