//! `hortator explain`: why a run, or one of its tasks, is not running, in the cluster's own reasons.
//! Nothing is guessed here: what is printed is what the deciders and the Dispatcher gave.

use std::fmt::Write as _;

use hortator_core::reason::Reason;
use hortator_proto::api::{ExplainView, TaskExplain, WhatIfView};

use crate::cli::args::ExplainArgs;
use crate::cli::client::Call;
use crate::cli::error::{Error, Exit};
use crate::cli::output::{Output, short};
use crate::cli::reference::{RunReference, Then, task_name};
use crate::cli::session::Session;
use crate::cli::states;

pub async fn explain(session: &Session, args: ExplainArgs) -> Result<Exit, Error> {
    if let Some(name) = &args.schedule {
        if args.what != "schedule" {
            let detail =
                format!("{:?} is followed by {name:?}, and only `schedule` takes a second word", args.what);
            return Err(
                Error::usage(detail).hint("hortator explain RUN/TASK, or hortator explain schedule NAME")
            );
        }
        if let Some(Then::Position(position)) = args.at {
            let detail = format!("{position} is a position, and a schedule is asked about by a time");
            return Err(Error::usage(detail).hint("write --at 2026-11-21T02:30:00Z"));
        }
        return super::schedule::explain(session, name, args.at.map(|at| at.to_string())).await;
    }
    let reference = RunReference::parse(&args.what, &session.namespace)?;
    if let Some(then) = args.at {
        return super::explain_then::explain(session, reference, then).await;
    }
    if let Some(change) = args.what_if {
        return what_if(session, &reference, change).await;
    }
    let pairs = [
        ("task", reference.task.as_ref().map(|task| task.task.to_string())),
        ("item", reference.task.as_ref().and_then(|task| task.item).map(|item| item.to_string())),
    ];
    let view: ExplainView = session.client.ask(Call::get(reference.path("/explain", &pairs))).await?;
    let name = view.run.to_string();
    session.output.one(&view, &name, || text(&view, reference.task.is_some(), &session.output))?;
    Ok(Exit::Success)
}

async fn what_if(session: &Session, reference: &RunReference, change: String) -> Result<Exit, Error> {
    let Some(task) = &reference.task else {
        let error = Error::usage("--what-if is about one task".to_owned());
        return Err(error.hint("hortator explain RUN/TASK --what-if cpu=1"));
    };
    let pairs = [
        ("task", Some(task.task.to_string())),
        ("item", task.item.map(|item| item.to_string())),
        ("change", Some(change.clone())),
    ];
    let view: WhatIfView = session.client.ask(Call::get(reference.path("/what-if", &pairs))).await?;
    session.output.one(&view, task.task.as_str(), || {
        let mut text = String::new();
        match &view {
            WhatIfView::Starts { worker } => {
                let _ = writeln!(text, "with {change} it could start now, on {worker}");
            }
            WhatIfView::Follows { behind } => {
                let _ = writeln!(text, "with {change} there would be room, but others come first:");
                write_reasons(&mut text, std::slice::from_ref(behind));
            }
            WhatIfView::Waits { reasons } => {
                let _ = writeln!(text, "with {change} it would wait all the same:");
                write_reasons(&mut text, reasons);
            }
            WhatIfView::Elsewhere { worker, group, groups } => {
                let groups: Vec<&str> = groups.iter().map(|group| group.as_str()).collect();
                let groups = groups.join(", ");
                let _ = writeln!(
                    text,
                    "it asks for worker group {:?}, and {worker} is in {groups}: add group={}, or let it join",
                    group.as_str(),
                    groups.split(", ").next().unwrap_or_default()
                );
            }
            WhatIfView::NotShown => {
                let _ = writeln!(
                    text,
                    "the Dispatcher does not see it wait: it runs, waits for something else first, or others of its \
                     shard come first (hortator explain RUN/TASK)"
                );
            }
        }
        text
    })?;
    Ok(Exit::Success)
}

fn text(view: &ExplainView, one_task: bool, output: &Output) -> String {
    let mut text = String::new();
    if !view.run_reasons.is_empty() {
        let _ = writeln!(text, "run {} is {}. It is not running because:", view.run, upper(&view.run_state));
        write_reasons(&mut text, &view.run_reasons);
    }
    for task in &view.tasks {
        if !text.is_empty() {
            text.push('\n');
        }
        write_task(&mut text, task, output);
    }
    if view.more > 0 {
        let _ =
            writeln!(text, "\n… and {} more task runs wait: hortator explain {}/TASK", view.more, view.run);
    }
    if text.is_empty() {
        let what = if one_task { "the task waits no more" } else { "nothing in it waits any more" };
        let state = output.painted_state(&view.run_state);
        let _ = match states::is_final(&view.run_state) {
            true => writeln!(text, "run {} is {state}; {what}", view.run),
            false if one_task => writeln!(text, "run {} is {state}; the task does not wait", view.run),
            false => writeln!(text, "run {} is {state}; nothing in it waits", view.run),
        };
    }
    if let Some(eta) = view.eta {
        let eta = output.time(Some(eta));
        let _ = writeln!(text, "\nBy earlier runs it ends at {eta} at the earliest, with workers enough.");
    }
    let _ = writeln!(text, "\nAt position {}.", view.position);
    text
}

fn write_task(text: &mut String, task: &TaskExplain, output: &Output) {
    let name = task_name(&task.id, task.item);
    let since =
        task.since.map(|since| format!(" for {}", short(output.now.since(since)))).unwrap_or_default();
    if task.reasons.is_empty() {
        let _ = writeln!(text, "{name} is {}{since}; nothing holds it up", upper(&task.state));
        return;
    }
    let _ = writeln!(text, "{name} has been {}{since}. It is not running because:", upper(&task.state));
    write_reasons(text, &task.reasons);
}

fn write_reasons(text: &mut String, reasons: &[Reason]) {
    for (number, reason) in reasons.iter().enumerate() {
        let _ = writeln!(text, "  {}  {} {}   {}", number + 1, reason.code(), reason.name(), reason.text());
        let help = reason.help();
        if !help.is_empty() {
            let _ = writeln!(text, "        What would help: {help}");
        }
    }
}

fn upper(state: &str) -> String {
    state.to_uppercase()
}
