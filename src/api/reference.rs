//! How paths name things: a run by id or as `NAME@latest`, a workflow by namespace and name, a page by cursor.
//! Must not know what is then done with them.

use actix_web::http::StatusCode;
use hortator_core::id::{Name, RunId, TaskKey, WorkflowName};
use hortator_core::reason::nearest;
use hortator_proto::api::{PAGE_MAX, Problem, ProblemKind, Query, Request, Response};
use serde::Deserialize;

use super::Backend;
use super::problem::{Refusal, code};

/// Items of a page when the request does not say.
const PAGE_DEFAULT: u32 = 100;

/// Which page of a list of named things.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NamespacedQuery {
    pub(super) namespace: Option<String>,
    pub(super) cursor: Option<String>,
    pub(super) limit: Option<u32>,
}

/// Finds the run: an id, or `NAME@latest`, or `NAME@-N` for the Nth before it.
pub(super) async fn run_id(backend: &dyn Backend, text: &str, namespace: &Name) -> Result<RunId, Refusal> {
    let Some((name, which)) = text.split_once('@') else {
        return text.parse().map_err(|error| {
            let mut refusal = Refusal::bad_request(format!("{error}"));
            refusal.problem.hint = Some("a workflow's runs are also NAME@latest, NAME@-1, NAME@-2 …".into());
            refusal
        });
    };
    let back = match which {
        "latest" => Some(0),
        _ => which.strip_prefix('-').and_then(|number| number.parse().ok()),
    };
    let back = back.ok_or_else(|| {
        Refusal::bad_request(format!("{which:?} after @ is neither `latest` nor `-N`, as in {name}@-1"))
    })?;
    let workflow = WorkflowName { namespace: namespace.clone(), name: self::name(name)? };
    match backend.request(Request::Query(Query::NthRun { workflow, back })).await {
        Response::Run(view) => Ok(view.id),
        other => Err(Refusal::of(other, "NthRun")),
    }
}

pub(super) fn name(text: &str) -> Result<Name, Refusal> {
    Name::new(text).map_err(|error| Refusal::bad_request(error.to_string()))
}

/// A workflow as `NAME` or `NAMESPACE/NAME`.
pub(super) fn workflow(text: &str, namespace: &Name) -> Result<WorkflowName, Refusal> {
    match text.split_once('/') {
        Some((namespace, workflow)) => {
            Ok(WorkflowName { namespace: name(namespace)?, name: name(workflow)? })
        }
        None => Ok(WorkflowName { namespace: namespace.clone(), name: name(text)? }),
    }
}

/// The page size asked for, within bounds.
pub(super) fn limit(asked: Option<u32>) -> Result<u32, Refusal> {
    match asked.unwrap_or(PAGE_DEFAULT) {
        0 => Err(Refusal::bad_request("limit=0 asks for nothing; at least 1 is needed")),
        limit => Ok(limit.min(PAGE_MAX)),
    }
}

/// A task run's place as a cursor: `TASK.ITEM`, both numbers.
pub(super) fn task_cursor(text: &str) -> Result<TaskKey, Refusal> {
    let key = text.split_once('.').and_then(|(task, item)| {
        let (task, item) = (task.parse().ok()?, item.parse().ok()?);
        Some(TaskKey { task, item })
    });
    key.ok_or_else(|| {
        Refusal::bad_request(format!("{text:?} is not a cursor of this list; take `next` of a page"))
    })
}

pub(super) fn task_cursor_text(key: TaskKey) -> String {
    format!("{}.{}", key.task, key.item)
}

/// State words that runs have.
pub(super) const RUN_STATES: [&str; 6] =
    ["queued", "running", "quarantined", "succeeded", "failed", "cancelled"];
/// State words that task runs have.
pub(super) const TASK_STATES: [&str; 9] =
    ["waiting", "ready", "dispatched", "running", "backoff", "succeeded", "failed", "cancelled", "skipped"];

/// A comma list of states; empty parts are dropped. A word that is none would match nothing, without a word about it.
pub(super) fn states(text: Option<&str>, known: &[&str]) -> Result<Vec<String>, Refusal> {
    let words = text.unwrap_or("").split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| state(word, known)).collect()
}

fn state(word: &str, known: &[&str]) -> Result<String, Refusal> {
    if known.contains(&word) {
        return Ok(word.to_owned());
    }
    let detail = format!("there is no state {word:?} here; states are {}", known.join(", "));
    let problem = Problem::new(ProblemKind::Invalid, code::NO_STATE, detail).param("states", known.to_vec());
    let problem = match nearest(word, known.iter().copied()) {
        Some(near) => problem.hint(format!("did you mean {near}?")),
        None => problem,
    };
    Err(Refusal { status: StatusCode::BAD_REQUEST, ..problem.into() })
}
