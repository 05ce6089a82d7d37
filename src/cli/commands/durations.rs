//! `hortator workflow durations`: how long tasks take, as learned from their successes. Must not know how it is learned.

use hortator_core::time::{Span, Timestamp};
use hortator_proto::api::{DurationView, DurationsView};
use serde::Serialize;

use super::workflow::all;
use crate::cli::client::Call;
use crate::cli::error::{Error, Exit};
use crate::cli::output::{Field, Form, Listed, Output, short};
use crate::cli::reference::WorkflowReference;
use crate::cli::session::Session;

/// Of these workflows, or of all of the namespace. As JSON it is a document for each, which `sim plan --learned` reads.
pub async fn durations(session: &Session, names: &[String]) -> Result<Exit, Error> {
    let mut views: Vec<DurationsView> = Vec::new();
    for reference in references(session, names).await? {
        let WorkflowReference { namespace, name, .. } = reference;
        views.push(session.client.ask(Call::get(format!("/workflows/{namespace}/{name}/durations"))).await?);
    }
    match session.output.form {
        Form::Json | Form::Jsonl => views.iter().try_for_each(|view| session.output.document(view))?,
        Form::Table | Form::Plain | Form::Name => {
            let rows: Vec<Row> = views.iter().flat_map(rows).collect();
            session.output.list(&rows)?;
            if rows.is_empty() {
                session.output.hint("no task has succeeded yet");
            }
        }
    }
    Ok(Exit::Success)
}

async fn references(session: &Session, names: &[String]) -> Result<Vec<WorkflowReference>, Error> {
    if names.is_empty() {
        let own = all(session, false).await?.into_iter();
        let whole = |view: hortator_proto::api::WorkflowView| WorkflowReference {
            namespace: view.namespace,
            name: view.name,
            version: None,
        };
        return Ok(own.map(whole).collect());
    }
    let one = |name: &String| match WorkflowReference::parse(name, &session.namespace)? {
        WorkflowReference { namespace, name: short, version: Some(_) } => {
            let why = format!("{name:?} names a version, and durations are learned over all of them");
            Err(Error::usage(why).hint(format!("hortator workflow durations {namespace}/{short}")))
        }
        reference => Ok(reference),
    };
    names.iter().map(one).collect()
}

#[derive(Serialize)]
struct Row {
    workflow: String,
    task: String,
    class: String,
    workers: u32,
    samples: u32,
    p50_s: f64,
    p95_s: f64,
    last_seen: Timestamp,
}

fn rows(view: &DurationsView) -> Vec<Row> {
    let workers = |class: &str| view.classes.iter().find(|known| known.class == class);
    let row = |task: &DurationView| Row {
        workflow: format!("{}/{}", view.namespace, view.workflow),
        task: task.task.to_string(),
        class: task.class.clone(),
        workers: workers(&task.class).map_or(0, |class| class.workers),
        samples: task.samples,
        p50_s: task.p50_s,
        p95_s: task.p95_s,
        last_seen: task.last_seen,
    };
    view.tasks.iter().map(row).collect()
}

impl Listed for Row {
    const HEADERS: &'static [&'static str] =
        &["WORKFLOW", "TASK", "CLASS", "WORKERS", "SAMPLES", "P50", "P95", "LAST SEEN"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        let span = |seconds: f64| short(Span((seconds * 1e6) as u64));
        vec![
            self.workflow.clone().into(),
            self.task.clone().into(),
            self.class.clone().into(),
            self.workers.to_string().into(),
            self.samples.to_string().into(),
            span(self.p50_s).into(),
            span(self.p95_s).into(),
            output.time(Some(self.last_seen)).into(),
        ]
    }

    fn name(&self) -> String {
        format!("{}/{}", self.workflow, self.task)
    }
}
