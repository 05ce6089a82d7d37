//! `hortator workflow …`: check, store, list, show and draw definitions.
//! Checking and drawing a file needs no cluster and is done by the same code as the server's.

use std::io::Read;
use std::path::Path;

use hortator_core::definition::{self, DEFINITION_BYTES_MAX, Definition, Parsed};
use hortator_core::id::Name;
use hortator_proto::api::{WorkflowDetail, WorkflowView};

use crate::api::body::{AppliedBody, Page, TaskWaits};
use crate::cli::args::{GraphArgs, GraphFormat};
use crate::cli::client::{Call, query};
use crate::cli::error::{Error, Exit, code};
use crate::cli::output::{Field, Form, Listed, Output};
use crate::cli::reference::WorkflowReference;
use crate::cli::session::Session;

/// A file's bytes, or stdin's for `-`, and the name that messages call it. One byte more than allowed is read, so
/// that a larger file is refused by its size without being read whole.
pub fn read_file(path: &Path) -> Result<(String, Vec<u8>), Error> {
    let name = if path == Path::new("-") { "stdin".into() } else { path.display().to_string() };
    let mut bytes = Vec::new();
    let bound = DEFINITION_BYTES_MAX as u64 + 1;
    let read = match path == Path::new("-") {
        true => std::io::stdin().lock().take(bound).read_to_end(&mut bytes),
        false => std::fs::File::open(path).and_then(|file| file.take(bound).read_to_end(&mut bytes)),
    };
    match read {
        Ok(_) => Ok((name, bytes)),
        Err(error) => {
            let exit =
                if error.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Unexpected };
            Err(Error::new(exit, code::FILE, format!("cannot read {name}: {}", plain(&error))))
        }
    }
}

/// The operating system's sentence without its number.
pub fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

/// Checks a definition; what is wrong becomes an error that shows every place.
pub fn check(name: &str, bytes: &[u8]) -> Result<Parsed, Error> {
    definition::parse(name, bytes).map_err(|invalid| {
        let source = String::from_utf8_lossy(bytes);
        let count = invalid.diagnostics.len();
        let errors = if count == 1 { "1 error".into() } else { format!("{count} errors") };
        let first =
            invalid.diagnostics.first().map_or(code::DEFINITION.to_owned(), |one| one.code.to_string());
        let mut error = Error::new(Exit::Invalid, code::DEFINITION, format!("{name} has {errors}"))
            .hint(format!("hortator help {first}"));
        error.places.push(definition::render_all(&invalid.diagnostics, &source));
        error
    })
}

/// `hortator workflow validate`
pub fn validate(files: &[std::path::PathBuf], output: &Output) -> Result<Exit, Error> {
    let mut exit = Exit::Success;
    for path in files {
        let (name, bytes) = read_file(path)?;
        let source = String::from_utf8_lossy(&bytes);
        let found = match definition::parse(&name, &bytes) {
            Ok(parsed) => {
                let tasks = parsed.definition.tasks.len();
                if !output.is_json() {
                    output
                        .text(&format!("{name}\tvalid\t{} with {tasks} tasks\n", parsed.definition.name))?;
                }
                parsed.warnings
            }
            Err(invalid) => {
                exit = Exit::Invalid;
                invalid.diagnostics
            }
        };
        if output.is_json() {
            let valid = !found.iter().any(|one| one.severity == definition::Severity::Error);
            output.document(&serde_json::json!({ "file": name, "valid": valid, "diagnostics": found }))?;
        } else if !found.is_empty() {
            eprint!("{}", definition::render_all(&found, &source));
        }
    }
    Ok(exit)
}

/// `hortator workflow apply`: all files are checked before the first is sent.
pub async fn apply(
    session: &Session,
    files: &[std::path::PathBuf],
    if_version: Option<u32>,
) -> Result<Exit, Error> {
    let mut checked = Vec::new();
    for path in files {
        let (name, bytes) = read_file(path)?;
        let parsed = check(&name, &bytes)?;
        if !parsed.warnings.is_empty() {
            eprint!("{}", definition::render_all(&parsed.warnings, &String::from_utf8_lossy(&bytes)));
        }
        checked.push((name, bytes));
    }
    for (name, bytes) in checked {
        let applied = send(session, &name, bytes, if_version).await?;
        let full = format!("{}/{}", applied.namespace, applied.name);
        let what = if applied.changed { "applied" } else { "unchanged" };
        session.output.one(&applied, &full, || format!("{full}\tv{}\t{what}\n", applied.version))?;
        for waits in &applied.waits {
            let TaskWaits { task, code, reason, help } = waits;
            session.output.warn(&format!("task {task} would wait: {reason} [{code}]; {help}"));
        }
        session.output.hint(&format!("start it: hortator start {full} --follow"));
    }
    Ok(Exit::Success)
}

/// Applies one definition.
pub async fn send(
    session: &Session,
    file: &str,
    bytes: Vec<u8>,
    if_version: Option<u32>,
) -> Result<AppliedBody, Error> {
    let pairs =
        [("file", Some(file.to_owned())), ("if_version", if_version.map(|version| version.to_string()))];
    let call = Call::post(format!("/workflows{}", query(&pairs)), bytes.into())
        .header("Content-Type", "application/yaml");
    session.client.ask(call).await
}

/// `hortator workflow list`
pub async fn list(session: &Session, all_namespaces: bool) -> Result<Exit, Error> {
    let workflows = all(session, all_namespaces).await?;
    session.output.list(&workflows)?;
    if workflows.is_empty() {
        session.output.hint("no workflows; store one: hortator workflow apply FILE");
    }
    Ok(Exit::Success)
}

/// Page by page.
pub async fn all(session: &Session, all_namespaces: bool) -> Result<Vec<WorkflowView>, Error> {
    let namespace = (!all_namespaces).then(|| session.namespace.to_string());
    let (mut workflows, mut cursor) = (Vec::new(), None);
    loop {
        let pairs = [("namespace", namespace.clone()), ("limit", Some("1000".into())), ("cursor", cursor)];
        let page: Page<WorkflowView> =
            session.client.ask(Call::get(format!("/workflows{}", query(&pairs)))).await?;
        workflows.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(workflows);
        }
    }
}

impl Listed for WorkflowView {
    const HEADERS: &'static [&'static str] = &["NAMESPACE", "WORKFLOW", "VERSION", "TASKS", "APPLIED", "BY"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        vec![
            self.namespace.to_string().into(),
            self.name.to_string().into(),
            self.version.to_string().into(),
            self.tasks.to_string().into(),
            output.time(Some(self.applied_at)).into(),
            self.by.clone().into(),
        ]
    }

    fn name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// `hortator workflow show`
pub async fn show(session: &Session, name: &str, source: bool) -> Result<Exit, Error> {
    let detail = fetch(session, name).await?;
    if source {
        session.output.text(&detail.source)?;
        return Ok(Exit::Success);
    }
    let full = detail.view.name();
    session.output.one(&detail, &full, || {
        let WorkflowDetail { view, latest, hash, live, .. } = &detail;
        let newest = if view.version == *latest { " (latest)".into() } else { format!(" of {latest}") };
        let mut text = format!("{full} v{}{newest}\n", view.version);
        let applied = session.output.time(Some(view.applied_at));
        let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<12}{value}\n"));
        line("tasks", view.tasks.to_string());
        line("applied", format!("{applied} by {}", view.by));
        line("hash", hash.clone());
        line("live runs", live.len().to_string());
        live.iter().for_each(|run| line("", run.to_string()));
        text
    })?;
    session.output.hint(&format!(
        "see the file: hortator workflow show {full} --source; how long its tasks take: hortator workflow durations {full}"
    ));
    Ok(Exit::Success)
}

async fn fetch(session: &Session, name: &str) -> Result<WorkflowDetail, Error> {
    let reference = WorkflowReference::parse(name, &session.namespace)?;
    session.client.ask(Call::get(reference.path())).await
}

/// Whether `graph` means a file: a path, or something that is there.
pub fn is_file(what: &str) -> bool {
    what == "-" || what.contains('.') || Path::new(what).is_file()
}

/// `hortator workflow graph FILE`
pub fn graph_of_file(args: &GraphArgs, output: &Output) -> Result<Exit, Error> {
    let (name, bytes) = read_file(Path::new(&args.what))?;
    let parsed = check(&name, &bytes)?;
    draw(&parsed.definition, args.format, output)
}

/// `hortator workflow graph NAME`
pub async fn graph_of_applied(session: &Session, args: &GraphArgs) -> Result<Exit, Error> {
    let detail = fetch(session, &args.what).await?;
    let parsed = check(&args.what, detail.source.as_bytes())?;
    draw(&parsed.definition, args.format, &session.output)
}

fn draw(workflow: &Definition, format: GraphFormat, output: &Output) -> Result<Exit, Error> {
    if output.is_json() {
        let tasks = workflow.tasks.iter().enumerate().map(|(index, task)| {
            let needs: Vec<&Name> = workflow
                .graph
                .parents(index as u32)
                .iter()
                .map(|parent| &workflow.tasks[*parent as usize].id)
                .collect();
            serde_json::json!({ "id": task.id, "needs": needs })
        });
        output.document(&serde_json::json!({ "name": workflow.name, "tasks": tasks.collect::<Vec<_>>() }))?;
        return Ok(Exit::Success);
    }
    let text = match format {
        _ if output.form == Form::Name => {
            workflow.tasks.iter().map(|task| format!("{}\n", task.id)).collect()
        }
        GraphFormat::Ascii => definition::draw::ascii(workflow),
        GraphFormat::Dot => definition::draw::dot(workflow),
        GraphFormat::Mermaid => definition::draw::mermaid(workflow),
    };
    output.text(&text)?;
    Ok(Exit::Success)
}
