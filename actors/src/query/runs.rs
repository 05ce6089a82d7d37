//! Lists of runs, newest first, and single ones.

use hortator_core::id::{RunId, WorkflowName};
use hortator_core::run::RunHeader;
use hortator_proto::api::{PAGE_MAX, Problem, ProblemKind, Response, RunFilter, RunView};
use hortator_proto::row;
use hortator_raft::RowsView;

use super::{Failure, Reader, header_of, view};

/// Runs looked at for one page of a filtered list; a rarer match is found by asking on from the cursor.
const LOOKED_AT_MAX: usize = 50_000;
/// Rows read at a time.
const SCAN: usize = 500;

pub(super) fn list(
    reader: &Reader,
    rows: &RowsView,
    filter: &RunFilter,
    before: Option<RunId>,
    limit: u32,
) -> Result<Response, Failure> {
    let limit = limit.clamp(1, PAGE_MAX) as usize;
    let mut found = Vec::new();
    let (first, after_last) = row::key::range(&row::key::runs());
    let mut end = before.map_or(after_last, row::key::run);
    let mut looked_at = 0;
    while found.len() < limit && looked_at < LOOKED_AT_MAX {
        let page = rows.scan(&first, &end, SCAN, true)?;
        let Some((last, _)) = page.last() else { break };
        end = last.clone();
        looked_at += page.len();
        for (_, stored) in &page {
            let header = row::decode_run(&stored.value)?;
            if matches(filter, &header) && found.len() < limit {
                found.push(run_view(reader, rows, &header)?);
            }
        }
    }
    Ok(Response::Runs(found))
}

fn matches(filter: &RunFilter, header: &RunHeader) -> bool {
    let state = filter.states.is_empty() || filter.states.iter().any(|word| word == header.word());
    let workflow = filter.workflow.as_ref().is_none_or(|name| *name == header.workflow);
    let namespace = filter.namespace.as_ref().is_none_or(|name| *name == header.workflow.namespace);
    let since = filter.since.is_none_or(|since| header.created_at >= since);
    state && workflow && namespace && since
}

fn run_view(reader: &Reader, rows: &RowsView, header: &RunHeader) -> Result<RunView, Failure> {
    let definition = reader.definitions.get(&reader.rows, &header.workflow, header.version)?;
    let mut run_view = view::run(header, &definition);
    run_view.position = reader.position(rows)?;
    Ok(run_view)
}

pub(super) fn one(reader: &Reader, rows: &RowsView, run: RunId) -> Result<Response, Failure> {
    let header = header_of(rows, run)?;
    Ok(Response::Run(Box::new(run_view(reader, rows, &header)?)))
}

pub(super) fn nth(
    reader: &Reader,
    rows: &RowsView,
    workflow: &WorkflowName,
    back: u32,
) -> Result<Response, Failure> {
    let (from, to) = row::key::range(&row::key::runs_of_workflow(workflow));
    let page = rows.scan(&from, &to, back as usize + 1, true)?;
    match page.get(back as usize).and_then(|(key, _)| row::key::parse_run_of_workflow(key)) {
        Some(run) => one(reader, rows, run),
        None => {
            let count = page.len();
            let detail =
                format!("workflow {workflow} has {count} runs; the {}. newest was asked for", back + 1);
            let problem = Problem::new(ProblemKind::NotFound, "H3002", detail);
            Err(Failure::Problem(problem.hint(format!("hortator ps --workflow {}", workflow.name))))
        }
    }
}
