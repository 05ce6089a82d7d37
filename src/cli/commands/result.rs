//! How a finished run is shown: a table for people, one document for programs.
//! The document's keys are a public contract.

use hortator_core::id::{Name, RunId};
use hortator_core::time::Timestamp;
use hortator_proto::api::{PAGE_MAX, RunView, TaskRunView};
use serde::Serialize;

use crate::api::body::Page;
use crate::cli::client::{Call, Client, query};
use crate::cli::error::Error;
use crate::cli::output::{Field, Form, Output};
use crate::cli::reference::task_name;
use crate::cli::session::Session;

/// Task runs shown to people in one table; a longer list shows what did not succeed.
const ROWS_MAX: usize = 100;

/// What `run FILE`, `start --wait` and `run show --wait` print as JSON.
#[derive(Debug, Serialize)]
pub struct RunResult {
    pub run: RunId,
    pub state: String,
    pub tasks: Vec<TaskResult>,
}

#[derive(Debug, Serialize)]
pub struct TaskResult {
    /// With the item, as in `transform[2]`.
    pub id: String,
    pub state: String,
    pub attempt: u16,
    pub worker: Option<Name>,
    pub exit_code: Option<i32>,
    pub ready_at: Option<Timestamp>,
    /// The agent's clock around start and reap, like `finished_at`.
    pub started_at: Option<Timestamp>,
    pub finished_at: Option<Timestamp>,
}

impl From<&TaskRunView> for TaskResult {
    fn from(view: &TaskRunView) -> TaskResult {
        TaskResult {
            id: task_name(&view.id, view.item),
            state: view.state.clone(),
            attempt: view.attempt,
            worker: view.worker.clone(),
            exit_code: view.exit_code,
            ready_at: view.ready_at,
            started_at: view.started_at,
            finished_at: view.finished_at,
        }
    }
}

/// All task runs of a run in these states (none: in every state), page by page.
pub async fn all_tasks(client: &Client, run: RunId, states: &[String]) -> Result<Vec<TaskRunView>, Error> {
    let (mut tasks, mut cursor) = (Vec::new(), None);
    let states = (!states.is_empty()).then(|| states.join(","));
    loop {
        let pairs = [("state", states.clone()), ("limit", Some(PAGE_MAX.to_string())), ("cursor", cursor)];
        let page: Page<TaskRunView> =
            client.ask(Call::get(format!("/runs/{run}/tasks{}", query(&pairs)))).await?;
        tasks.extend(page.items);
        cursor = page.next;
        if cursor.is_none() {
            return Ok(tasks);
        }
    }
}

/// Prints a run that is over.
pub async fn print(session: &Session, run: RunId) -> Result<(), Error> {
    let output = &session.output;
    let view: RunView = session.client.ask(Call::get(format!("/runs/{run}"))).await?;
    if output.form == Form::Name {
        return output.text(&format!("{run}\n"));
    }
    let tasks = all_tasks(&session.client, run, &[]).await?;
    if output.form != Form::Table {
        // A result for programs says what; why is for whoever reads along.
        eprint!("{}", causes(&tasks));
    }
    if output.is_json() {
        let tasks = tasks.iter().map(TaskResult::from).collect();
        return output.document(&RunResult { run, state: view.state, tasks });
    }
    print_for_people(output, &view, &tasks)
}

fn print_for_people(output: &Output, view: &RunView, tasks: &[TaskRunView]) -> Result<(), Error> {
    let shown: Vec<&TaskRunView> = match output.form == Form::Table && tasks.len() > ROWS_MAX {
        true => tasks.iter().filter(|task| task.state != "succeeded").take(ROWS_MAX).collect(),
        false => tasks.iter().collect(),
    };
    if !shown.is_empty() {
        output.table(&TASK_HEADERS, shown.iter().map(|task| task_row(task, output)).collect())?;
    }
    if output.form != Form::Table {
        return Ok(());
    }
    if shown.len() < tasks.len() {
        let succeeded = tasks.iter().filter(|task| task.state == "succeeded").count();
        let other = tasks.len() - succeeded;
        output
            .text(&format!("{} of {other} task runs that did not succeed; {succeeded} did\n", shown.len()))?;
    }
    output.text(&format!("\n{}\n{}", summary(output, view), causes(tasks)))
}

/// Why tasks failed, a line each.
fn causes(tasks: &[TaskRunView]) -> String {
    let failed = tasks.iter().filter(|task| task.state == "failed").take(ROWS_MAX);
    failed
        .filter_map(|task| Some(format!("  {}: {}\n", task_name(&task.id, task.item), task.error.as_ref()?)))
        .collect()
}

/// `✓ succeeded: etl v2, 12 tasks in 1.2s (run 01J…)`
pub fn summary(output: &Output, view: &RunView) -> String {
    let tasks: u32 = view.counts.values().sum();
    let tasks = if tasks == 1 { "1 task".into() } else { format!("{tasks} tasks") };
    let took = output.took(view.started_at.or(Some(view.created_at)), view.finished_at);
    let state = output.painted_state(&view.state);
    let failed = view.first_failed.as_ref().map(|task| format!("; first failed: {task}")).unwrap_or_default();
    format!("{state}: {} v{}, {tasks} in {took} (run {}){failed}", view.workflow, view.version, view.id)
}

pub const TASK_HEADERS: [&str; 7] = ["TASK", "STATE", "ATTEMPT", "WORKER", "EXIT", "WAITED", "TOOK"];

pub fn task_row(task: &TaskRunView, output: &Output) -> Vec<Field> {
    let exit = match (task.exit_code, task.signal) {
        (Some(code), _) => code.to_string(),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => output.nothing(),
    };
    vec![
        task_name(&task.id, task.item).into(),
        Field::State(task.state.clone()),
        if task.attempt == 0 { output.nothing() } else { task.attempt.to_string() }.into(),
        task.worker.as_ref().map_or_else(|| output.nothing(), Name::to_string).into(),
        exit.into(),
        match task.started_at.or(task.finished_at) {
            None if task.ready_at.is_none() => output.nothing(),
            until => output.took(task.ready_at, until),
        }
        .into(),
        output.took(task.started_at, task.finished_at).into(),
    ]
}
