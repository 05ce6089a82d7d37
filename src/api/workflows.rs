//! Workflows: apply a definition, list them, show one.
//! A definition is checked here, at the edge, by core; what travels on is its checked form.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use hortator_core::definition::{self, DEFINITION_BYTES_MAX, Definition};
use hortator_core::dispatch::Shape;
use hortator_core::id::{LimitName, Name, WorkflowName};
use hortator_core::limit::{LimitSeen, Want};
use hortator_core::reason::Reason;
use hortator_proto::api::{Command, Problem, ProblemKind, Query, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Backend;
use super::body::{AppliedBody, Page, TaskWaits, namespace_default};
use super::problem::{Refusal, code};
use super::reference::{self, NamespacedQuery};
use super::routes::{Caller, read_body};

/// Room for a definition of the largest size; a larger one is still read as far as a clear refusal needs.
const APPLY_BYTES_MAX: usize = DEFINITION_BYTES_MAX + (1 << 20);
/// Diagnostics in one answer; a file with more is told how many were left out.
const DIAGNOSTICS_MAX: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplyQuery {
    /// The file's name as the client knows it, for messages.
    file: Option<String>,
    /// Apply only when this is the latest version now; 0 means that there is none.
    if_version: Option<u32>,
}

/// `POST /workflows`
pub(super) async fn apply(
    backend: web::Data<dyn Backend>,
    caller: Caller,
    query: web::Query<ApplyQuery>,
    payload: web::Payload,
) -> Result<HttpResponse, Refusal> {
    let bytes = read_body(payload, APPLY_BYTES_MAX).await?;
    let file = query.file.clone().unwrap_or_else(|| "definition".into());
    // Checking a file of 100,000 tasks takes a while; the other requests of this thread go on meanwhile.
    let checked = web::block(move || check(&file, &bytes)).await;
    let checked = checked.map_err(|_| Refusal::unexpected("the check of a definition"))??;
    let command = Command::Apply {
        name: checked.name,
        source: checked.source,
        canonical: checked.canonical,
        hash: checked.hash,
        if_version: query.if_version,
        by: caller.0,
    };
    match backend.request(Request::Command(command)).await {
        Response::Applied { name, version, changed, position } => {
            let WorkflowName { namespace, name } = name;
            let warnings = checked.warnings;
            let mut waits = waits(&**backend, checked.shapes).await;
            waits.extend(unset_limits(&**backend, &namespace, checked.limits).await);
            Ok(HttpResponse::Ok()
                .insert_header(("Hortator-Position", position.to_string()))
                .insert_header(("ETag", format!("\"{version}\"")))
                .json(AppliedBody { namespace, name, version, changed, warnings, waits, position }))
        }
        other => Err(Refusal::of(other, "Apply")),
    }
}

struct Checked {
    name: WorkflowName,
    source: String,
    canonical: String,
    hash: String,
    warnings: Vec<Value>,
    /// Each shape once, with the first task that has it.
    shapes: Vec<(Name, Shape)>,
    /// Each limit once, with the first task that wants it and the largest weight.
    limits: BTreeMap<Name, (Name, u32)>,
}

fn check(file: &str, bytes: &Bytes) -> Result<Checked, Refusal> {
    let source = String::from_utf8_lossy(bytes);
    match definition::parse(file, bytes) {
        Ok(parsed) => {
            let json = definition::canonical::to_json(&parsed.definition);
            let hash = definition::canonical::hash_of_json(&json);
            let canonical =
                String::from_utf8(json).map_err(|_| Refusal::unexpected("the check of a definition"))?;
            let warnings = diagnostics(&parsed.warnings, &source);
            let (shapes, limits) = (shapes(&parsed.definition), limits(&parsed.definition));
            Ok(Checked {
                shapes,
                limits,
                name: parsed.definition.name,
                source: source.into_owned(),
                canonical,
                hash,
                warnings,
            })
        }
        Err(invalid) => Err(refuse(file, &invalid.diagnostics, &source)),
    }
}

/// Different shapes of which a warning is given; more would be a page of them.
const SHAPES_MAX: usize = 100;

fn shapes(definition: &Definition) -> Vec<(Name, Shape)> {
    let mut shapes: BTreeMap<Shape, Name> = BTreeMap::new();
    for task in &definition.tasks {
        if shapes.len() < SHAPES_MAX {
            shapes.entry(task.shape(&definition.name.namespace)).or_insert_with(|| task.id.clone());
        }
    }
    shapes.into_iter().map(|(shape, task)| (task, shape)).collect()
}

fn limits(definition: &Definition) -> BTreeMap<Name, (Name, u32)> {
    let mut limits: BTreeMap<Name, (Name, u32)> = BTreeMap::new();
    for task in &definition.tasks {
        for want in &task.limits {
            if limits.len() < SHAPES_MAX || limits.contains_key(&want.key) {
                let known = limits.entry(want.key.clone()).or_insert_with(|| (task.id.clone(), want.weight));
                known.1 = known.1.max(want.weight);
            }
        }
    }
    limits
}

/// Of limits that nobody has set, or that are too small for one of the tasks.
async fn unset_limits(
    backend: &dyn Backend,
    namespace: &Name,
    limits: BTreeMap<Name, (Name, u32)>,
) -> Vec<TaskWaits> {
    let mut waits = Vec::new();
    for (key, (task, weight)) in limits {
        let name = LimitName { namespace: namespace.clone(), name: key.clone() };
        let (max, used) = match backend.request(Request::Query(Query::Limit { name })).await {
            Response::Limit(detail) => (detail.view.max, detail.view.used),
            Response::Problem(problem) if problem.kind == ProblemKind::NotFound => (None, 0),
            _ => continue,
        };
        if max.is_none_or(|max| max < weight) {
            let seen = LimitSeen { max, used, holding: 0, holders: Vec::new() };
            let reason = Want { key, weight }.reason(namespace, seen);
            let (code, help) = (reason.code().to_owned(), reason.help());
            waits.push(TaskWaits { task, code, reason: reason.text(), help });
        }
    }
    waits
}

/// Warnings only: who cannot be asked does not hold up what is applied.
async fn waits(backend: &dyn Backend, tasks: Vec<(Name, Shape)>) -> Vec<TaskWaits> {
    let (tasks, shapes): (Vec<Name>, Vec<Shape>) = tasks.into_iter().unzip();
    let Response::Placeable(all) = backend.request(Request::Query(Query::Placeable { shapes })).await else {
        return Vec::new();
    };
    let waits = |(task, reasons): (Name, Vec<Reason>)| {
        reasons.into_iter().map(move |reason| TaskWaits {
            task: task.clone(),
            code: reason.code().to_owned(),
            reason: reason.text(),
            help: reason.help(),
        })
    };
    tasks.into_iter().zip(all).flat_map(waits).collect()
}

fn refuse(file: &str, found: &[definition::Diagnostic], source: &str) -> Refusal {
    let count = found.len();
    let errors = if count == 1 { "1 error".into() } else { format!("{count} errors") };
    let problem = Problem::new(ProblemKind::Invalid, code::DEFINITION, format!("{file} has {errors}"))
        .hint(format!("hortator workflow validate {file}"))
        .param("count", count);
    Refusal { diagnostics: diagnostics(found, source), ..problem.into() }
}

fn diagnostics(found: &[definition::Diagnostic], source: &str) -> Vec<Value> {
    let one = |diagnostic: &definition::Diagnostic| {
        let mut value = serde_json::to_value(diagnostic).unwrap_or_else(|_| json!({}));
        if let Value::Object(fields) = &mut value {
            fields.insert("rendered".into(), diagnostic.render(source).into());
        }
        value
    };
    found.iter().take(DIAGNOSTICS_MAX).map(one).collect()
}

/// `GET /workflows`
pub(super) async fn list(
    backend: web::Data<dyn Backend>,
    query: web::Query<NamespacedQuery>,
) -> Result<HttpResponse, Refusal> {
    let limit = reference::limit(query.limit)?;
    let namespace = query.namespace.as_deref().map(reference::name).transpose()?;
    let after = match &query.cursor {
        Some(text) => Some(reference::workflow(text, &namespace_default())?),
        None => None,
    };
    match backend.request(Request::Query(Query::Workflows { namespace, after, limit })).await {
        Response::Workflows(items) => {
            let page = Page::of(items, limit, |last| format!("{}/{}", last.namespace, last.name));
            Ok(HttpResponse::Ok().json(page))
        }
        other => Err(Refusal::of(other, "Workflows")),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShowQuery {
    version: Option<u32>,
}

/// `GET /workflows/{namespace}/{name}`
pub(super) async fn show(
    backend: web::Data<dyn Backend>,
    path: web::Path<(String, String)>,
    query: web::Query<ShowQuery>,
) -> Result<HttpResponse, Refusal> {
    let name = WorkflowName { namespace: reference::name(&path.0)?, name: reference::name(&path.1)? };
    match backend.request(Request::Query(Query::Workflow { name, version: query.version })).await {
        Response::Workflow(detail) => {
            let tag = format!("\"{}\"", detail.view.version);
            Ok(HttpResponse::Ok().insert_header(("ETag", tag)).json(detail))
        }
        other => Err(Refusal::of(other, "Workflow")),
    }
}

/// `GET /workflows/{namespace}/{name}/durations`
pub(super) async fn durations(
    backend: web::Data<dyn Backend>,
    path: web::Path<(String, String)>,
) -> Result<HttpResponse, Refusal> {
    let name = WorkflowName { namespace: reference::name(&path.0)?, name: reference::name(&path.1)? };
    match backend.request(Request::Query(Query::Durations { name })).await {
        Response::Durations(view) => Ok(HttpResponse::Ok().json(view)),
        other => Err(Refusal::of(other, "Durations")),
    }
}
