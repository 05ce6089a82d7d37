//! `hortator run events`: what happened in a run, entry by entry of the log.
//! People see the tasks' names; programs get the events as the cluster keeps them.

use hortator_core::event::Event;
use hortator_proto::api::EventEntry;
use serde_json::Value;

use super::runs::find;
use crate::cli::args::EventsArgs;
use crate::cli::error::{Error, Exit};
use crate::cli::follow::{TaskInfo, task_infos};
use crate::cli::history::{Entries, History, Message};
use crate::cli::output::{Form, Output};
use crate::cli::reference::task_name;
use crate::cli::session::Session;

pub async fn events(session: &Session, args: EventsArgs) -> Result<Exit, Error> {
    let view = find(session, &args.run).await?;
    // Names are for people only.
    let tasks = match session.output.is_json() {
        true => Vec::new(),
        false => task_infos(&session.client, &view).await?,
    };
    if args.follow {
        let mut history = History::new(&session.client, view.id, args.after);
        while let Message::Entry(lines) = history.next().await? {
            lines.into_iter().try_for_each(|line| print(&session.output, line, &tasks))?;
        }
        return Ok(Exit::Success);
    }
    let mut entries = Entries::new(&session.client, view.id, args.after);
    while let Some(entry) = entries.next().await? {
        lines(&entry).into_iter().try_for_each(|line| print(&session.output, line, &tasks))?;
    }
    Ok(Exit::Success)
}

/// The events of an entry, each with its position and time, as the stream has them.
fn lines(entry: &EventEntry) -> Vec<Value> {
    let line = |event: &Event| {
        let mut value = serde_json::to_value(event).unwrap_or_default();
        if let Value::Object(fields) = &mut value {
            fields.insert("position".into(), entry.position.to_string().into());
            fields.insert("at".into(), entry.at.to_string().into());
        }
        value
    };
    entry.events.iter().map(line).collect()
}

fn print(output: &Output, line: Value, tasks: &[TaskInfo]) -> Result<(), Error> {
    if output.is_json() {
        // A history is a stream: one document a line in either JSON form.
        return output.text(&format!("{line}\n"));
    }
    let Value::Object(mut fields) = line else { return Ok(()) };
    let mut take = |name: &str| match fields.remove(name) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let (position, at, event) = (take("position"), take("at"), take("event"));
    let task =
        fields.remove("key").filter(Value::is_object).map(|key| named(&key, tasks)).unwrap_or_default();
    let rest = if fields.is_empty() { String::new() } else { Value::Object(fields).to_string() };
    match output.form {
        Form::Name => output.text(&format!("{position}\n")),
        Form::Table => {
            let line = format!("{at}  {position:<10} {event:<20} {task:<16} {rest}");
            output.text(&format!("{}\n", line.trim_end()))
        }
        _ => output.text(&format!("{}\n", [position, at, event, task, rest].join("\t"))),
    }
}

/// A task run's key as people write it.
fn named(key: &Value, tasks: &[TaskInfo]) -> String {
    let number = |name: &str| key.get(name).and_then(Value::as_u64).unwrap_or(0) as u32;
    let (task, item) = (number("task"), number("item"));
    match tasks.get(task as usize) {
        Some(info) => task_name(&info.id, info.foreach.then_some(item)),
        None => format!("task {task}"),
    }
}
