//! What is done with runs: start, list, show, cancel, retry.
//! Must not know how a run decides.

use hortator_core::id::RunId;
use hortator_core::time::Timestamp;
use hortator_proto::api::{PAGE_MAX, RunView, TaskRunView};
use serde_json::Value;

use super::result::{TASK_HEADERS, all_tasks, summary, task_row};
use super::staying::stay;
use crate::api::body::{AcceptedBody, CancelBody, Page, StartBody, StartedBody};
use crate::cli::args::{CancelArgs, PsArgs, RetryArgs, ShowArgs, StartArgs, TasksArgs, WaitArgs};
use crate::cli::client::{Call, query};
use crate::cli::error::{Error, Exit};
use crate::cli::output::{Field, Listed, Output};
use crate::cli::reference::{RunReference, WorkflowReference, task_name};
use crate::cli::session::Session;

/// `hortator start`
pub async fn start(session: &Session, args: StartArgs) -> Result<Exit, Error> {
    let workflow = WorkflowReference::parse(&args.workflow, &session.namespace)?;
    let body = StartBody {
        workflow: workflow.name,
        namespace: workflow.namespace,
        inputs: args.inputs.into_iter().collect(),
        priority: args.priority,
        version: workflow.version,
    };
    let started = submit(session, &body, args.key).await?;
    let run = started.run;
    if args.wait.wait || args.wait.follow {
        return stay(session, run, &args.wait).await;
    }
    let again = if started.existing { " was started before with this key" } else { "" };
    session.output.one(&started, &run.to_string(), || format!("{run}{again}\n"))?;
    session.output.hint(&format!("follow it: hortator run show {run} --follow"));
    Ok(Exit::Success)
}

/// Starts a run once, however often the connection breaks.
pub async fn submit(session: &Session, body: &StartBody, key: Option<String>) -> Result<StartedBody, Error> {
    let key = key.unwrap_or_else(|| format!("cli-{:032x}", rand::random::<u128>()));
    session.client.ask(Call::post_json("/runs", body).header("Idempotency-Key", key)).await
}

/// `hortator ps`
pub async fn ps(session: &Session, args: PsArgs) -> Result<Exit, Error> {
    let workflow = match args.workflow.or(args.name) {
        Some(text) => Some(WorkflowReference::parse(&text, &session.namespace)?),
        None => None,
    };
    let since =
        args.since.map(|span| Timestamp(session.output.now.0.saturating_sub_unsigned(span.0)).to_string());
    let namespace = (!args.all_namespaces && workflow.is_none()).then(|| session.namespace.to_string());
    let states = (!args.state.is_empty()).then(|| args.state.join(","));
    let (mut runs, mut cursor) = (Vec::new(), None);
    while runs.len() < args.limit as usize {
        let pairs = [
            ("state", states.clone()),
            (
                "workflow",
                workflow.as_ref().map(|workflow| format!("{}/{}", workflow.namespace, workflow.name)),
            ),
            ("namespace", namespace.clone()),
            ("since", since.clone()),
            ("cursor", cursor),
            ("limit", Some((args.limit - runs.len() as u32).min(PAGE_MAX).to_string())),
        ];
        let page: Page<RunView> = session.client.ask(Call::get(format!("/runs{}", query(&pairs)))).await?;
        runs.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    session.output.list(&runs)?;
    if runs.is_empty() {
        session.output.hint("no runs; start one: hortator start NAME");
    }
    Ok(Exit::Success)
}

impl Listed for RunView {
    const HEADERS: &'static [&'static str] =
        &["RUN", "NAMESPACE", "WORKFLOW", "VERSION", "STATE", "TASKS", "CREATED", "TOOK", "NOTE"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        let total: u32 = self.counts.values().sum();
        let over =
            ["succeeded", "failed", "cancelled", "skipped"].iter().filter_map(|word| self.counts.get(*word));
        let failed = self.first_failed.as_ref().map(|task| format!("failed: {task}"));
        vec![
            self.id.to_string().into(),
            self.namespace.to_string().into(),
            self.workflow.to_string().into(),
            self.version.to_string().into(),
            Field::State(self.state.clone()),
            format!("{}/{total}", over.sum::<u32>()).into(),
            output.time(Some(self.created_at)).into(),
            output.took(self.started_at, self.finished_at).into(),
            self.reason.clone().or(failed).unwrap_or_default().into(),
        ]
    }

    fn name(&self) -> String {
        self.id.to_string()
    }
}

/// Finds the run that is meant.
pub async fn find(session: &Session, text: &str) -> Result<RunView, Error> {
    let reference = RunReference::parse(text, &session.namespace)?;
    session.client.ask(Call::get(reference.path("", &[]))).await
}

/// `hortator run show`
pub async fn show(session: &Session, args: ShowArgs) -> Result<Exit, Error> {
    let view = find(session, &args.run).await?;
    if args.wait.wait || args.wait.follow {
        return stay(session, view.id, &args.wait).await;
    }
    session.output.one(&view, &view.id.to_string(), || card(&view, &session.output))?;
    Ok(Exit::Success)
}

fn card(view: &RunView, output: &Output) -> String {
    let mut text = format!("{}\n", summary(output, view));
    let mut line = |name: &str, value: String| text.push_str(&format!("  {name:<12}{value}\n"));
    line("workflow", format!("{}/{} v{}", view.namespace, view.workflow, view.version));
    line("priority", word(&view.priority));
    line("started by", view.by.clone());
    line("created", output.time(Some(view.created_at)));
    line("started", output.time(view.started_at));
    line("finished", output.time(view.finished_at));
    if let Some(eta) = view.eta {
        line("ends", format!("{} at the earliest, by earlier runs", output.time(Some(eta))));
    }
    let counts: Vec<String> = view.counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    line("tasks", counts.join(", "));
    if !view.inputs.is_empty() {
        let inputs: Vec<String> = view.inputs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        line("inputs", inputs.join(" "));
    }
    if let Some(reason) = &view.reason {
        line("waits", reason.clone());
    }
    line("position", view.position.to_string());
    text
}

/// The word by which JSON knows a value.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(Value::String(word)) => word,
        other => other.map(|value| value.to_string()).unwrap_or_default(),
    }
}

/// `hortator run tasks`
pub async fn tasks(session: &Session, args: TasksArgs) -> Result<Exit, Error> {
    let run = find(session, &args.run).await?.id;
    let states = if args.failed { vec!["failed".into()] } else { args.state };
    let tasks: Vec<TaskLine> = all_tasks(&session.client, run, &states)
        .await?
        .into_iter()
        .map(|task| TaskLine { run, task })
        .collect();
    session.output.list(&tasks)?;
    Ok(Exit::Success)
}

/// A task run with its run, so that its name can be pasted: `RUN/TASK`.
struct TaskLine {
    run: RunId,
    task: TaskRunView,
}

impl serde::Serialize for TaskLine {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.task.serialize(serializer)
    }
}

impl Listed for TaskLine {
    const HEADERS: &'static [&'static str] = &{
        let [a, b, c, d, e, f, g] = TASK_HEADERS;
        [a, b, c, d, e, f, g, "NOTE"]
    };

    fn cells(&self, output: &Output) -> Vec<Field> {
        let mut row = task_row(&self.task, output);
        row.push(self.task.error.clone().or(self.task.reason.clone()).unwrap_or_default().into());
        row
    }

    fn name(&self) -> String {
        format!("{}/{}", self.run, task_name(&self.task.id, self.task.item))
    }
}

/// `hortator cancel`
pub async fn cancel(session: &Session, args: CancelArgs) -> Result<Exit, Error> {
    let body = CancelBody { reason: args.reason };
    each(session, &args.runs, &args.wait, |reference| Call::post_json(reference.path("/cancel", &[]), &body))
        .await
}

/// `hortator retry --failed`
pub async fn retry(session: &Session, args: RetryArgs) -> Result<Exit, Error> {
    each(session, &args.runs, &args.wait, |reference| {
        Call::post(reference.path("/retry", &[]), Default::default())
    })
    .await
}

/// Does the same to several runs. One failure does not stop the rest; it shows in the exit code.
async fn each(
    session: &Session,
    runs: &[String],
    wait: &WaitArgs,
    call: impl Fn(&RunReference) -> Call,
) -> Result<Exit, Error> {
    let (mut done, mut failures, mut exit) = (0, Vec::new(), Exit::Success);
    for text in runs {
        match one(session, text, wait, &call).await {
            Ok(Exit::Success) => done += 1,
            Ok(other) => {
                done += 1;
                exit = other;
            }
            Err(error) => failures.push(error),
        }
    }
    match (done, failures.pop()) {
        (_, None) => Ok(exit),
        (0, Some(error)) if failures.is_empty() => Err(error),
        (_, Some(last)) => {
            failures.push(last);
            failures.iter().for_each(|error| eprintln!("error: {error}"));
            Ok(Exit::Partly)
        }
    }
}

async fn one(
    session: &Session,
    text: &str,
    wait: &WaitArgs,
    call: &impl Fn(&RunReference) -> Call,
) -> Result<Exit, Error> {
    let reference = RunReference::parse(text, &session.namespace)?;
    if reference.task.is_some() {
        return Err(Error::usage(format!(
            "{text:?} names a task; only whole runs can be cancelled or retried"
        )));
    }
    let accepted: AcceptedBody = session.client.ask(call(&reference)).await?;
    let run = accepted.run;
    if wait.wait || wait.follow {
        return stay(session, run, wait).await;
    }
    let state = session.output.painted_state(&accepted.state);
    session.output.one(&accepted, &run.to_string(), || format!("{run}\t{state}\n"))?;
    Ok(Exit::Success)
}
