//! `hortator run at` and `hortator run replay`: a run as it was, folded from its history by the code that moves live
//! runs. Must not ask the cluster for anything but the history and the workflow's version.

use std::io::{IsTerminal, Write};
use std::sync::Arc;

use hortator_actors::query::view;
use hortator_core::definition::Definition;
use hortator_core::event::{AttemptResult, Event};
use hortator_core::id::{Position, TaskKey};
use hortator_core::replay::{Replay, TaskThen};
use hortator_core::run::RunHeader;
use hortator_core::time::Timestamp;
use hortator_proto::api::{EventEntry, RunView, TaskRunView};
use serde::Serialize;
use serde_json::json;

use super::runs::find;
use crate::cli::args::{AtArgs, ReplayArgs};
use crate::cli::error::{Error, Exit, code};
use crate::cli::follow::definition_of;
use crate::cli::history::Entries;
use crate::cli::output::{Field, Form, Listed, Output};
use crate::cli::reference::{Then, task_name};
use crate::cli::session::Session;

/// Task runs shown to people after a step; those that wait are left out anyway.
const ROWS_MAX: usize = 100;

/// What `run at` prints as JSON: the run and its task runs as the API showed them then, and the entry's events.
#[derive(Debug, Serialize)]
struct Moment {
    #[serde(flatten)]
    run: RunView,
    /// Of the last entry up to there.
    at: Timestamp,
    tasks: Vec<TaskMoment>,
    events: Vec<Event>,
}

#[derive(Debug, Serialize)]
struct TaskMoment {
    #[serde(flatten)]
    view: TaskRunView,
    since: Option<Timestamp>,
}

/// What `run replay` prints as JSON, for each event.
#[derive(Debug, Serialize)]
struct Step<'a> {
    position: Position,
    at: Timestamp,
    #[serde(flatten)]
    event: &'a Event,
    /// Of the run, after the event.
    run_state: &'a str,
    /// Of the task run that it is about.
    task: Option<String>,
    task_state: Option<&'a str>,
    /// Task runs that have ended, by state.
    ended: std::collections::BTreeMap<String, u32>,
    active: u32,
}

/// `hortator run at`
pub async fn at(session: &Session, args: AtArgs) -> Result<Exit, Error> {
    let view = find(session, &args.run).await?;
    let mut walk = Walk::begin(session, &view).await?;
    let then = match (args.position, args.time) {
        (Some(position), _) => Then::Position(position),
        (None, time) => Then::Time(time.expect("one of the two has to be given")),
    };
    let entry = walk.to(&view, then).await?.ok_or_else(|| before(&view))?;
    let now = now(then, &entry);
    let moment = moment(&walk, entry, now);
    print(&session.output, &moment, &walk.definition)?;
    Ok(Exit::Success)
}

/// `hortator run replay`
pub async fn replay(session: &Session, args: ReplayArgs) -> Result<Exit, Error> {
    let view = find(session, &args.run).await?;
    let mut walk = Walk::begin(session, &view).await?;
    let waits = args.step && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    while let Some(entry) = walk.next().await? {
        for event in &entry.events {
            walk.replay.apply(event, entry.at);
            show(&session.output, &walk, &entry, event)?;
            if waits && !goes_on(&session.output, &walk, entry.at)? {
                return Ok(Exit::Success);
            }
        }
    }
    Ok(Exit::Success)
}

/// The run was created later.
pub(super) fn before(view: &RunView) -> Error {
    let detail = format!("run {} did not exist then: it was created at {}", view.id, view.created_at);
    Error::new(Exit::NotFound, code::BEFORE_RUN, detail)
        .hint(format!("positions of it: hortator run events {}", view.id))
}

/// A back-off that had passed by the time asked for reads ready.
pub(super) fn now(then: Then, entry: &EventEntry) -> Timestamp {
    match then {
        Then::Time(time) => time,
        Then::Position(_) => entry.at,
    }
}

/// A run on its way through its history.
pub(super) struct Walk<'c> {
    entries: Entries<'c>,
    pub(super) replay: Replay,
    pub(super) definition: Arc<Definition>,
    /// The next entry, when it has been read and is not folded yet.
    ahead: Option<EventEntry>,
    /// The last that was folded.
    last: Option<EventEntry>,
}

impl<'c> Walk<'c> {
    pub(super) async fn begin(session: &'c Session, view: &RunView) -> Result<Walk<'c>, Error> {
        let definition = Arc::new(definition_of(&session.client, view).await?);
        let mut entries = Entries::new(&session.client, view.id, None);
        let first = entries.next().await?;
        let header = first.as_ref().and_then(|entry| {
            let created = |event: &Event| RunHeader::created(view.id, event, entry.at);
            entry.events.first().and_then(created)
        });
        let header = header.ok_or_else(|| {
            let detail = format!("the history of run {} no longer reaches back to its creation", view.id);
            Error::new(Exit::NotFound, code::HISTORY_TRIMMED, detail)
                .hint(format!("what is left: hortator run events {}", view.id))
        })?;
        let replay = Replay::new(header, definition.clone());
        Ok(Walk { entries, replay, definition, ahead: first, last: None })
    }

    /// Folds everything up to that moment and gives the last entry; none before the first.
    pub(super) async fn to(&mut self, view: &RunView, then: Then) -> Result<Option<EventEntry>, Error> {
        if let Then::Position(position) = then
            && position.group != view.id.shard()
        {
            let detail = format!("{position} is of another group; the run is in {}", view.id.shard());
            let hint = format!("positions of it: hortator run events {}", view.id);
            return Err(Error::usage(detail).hint(hint));
        }
        while let Some(next) = self.next().await? {
            let includes = match then {
                Then::Position(position) => next.position.index <= position.index,
                Then::Time(time) => next.at <= time,
            };
            if !includes {
                self.ahead = Some(next);
                break;
            }
            self.fold(&next);
            self.last = Some(next);
        }
        Ok(self.last.clone())
    }

    /// The next entry, not folded.
    pub(super) async fn next(&mut self) -> Result<Option<EventEntry>, Error> {
        match self.ahead.take() {
            Some(ahead) => Ok(Some(ahead)),
            None => self.entries.next().await,
        }
    }

    pub(super) fn fold(&mut self, entry: &EventEntry) {
        entry.events.iter().for_each(|event| self.replay.apply(event, entry.at));
    }

    pub(super) fn label(&self, key: TaskKey) -> String {
        match self.definition.tasks.get(key.task as usize) {
            Some(_) => view::label(&self.definition, key),
            None => format!("task {}", key.task),
        }
    }
}

fn moment(walk: &Walk<'_>, entry: EventEntry, now: Timestamp) -> Moment {
    let header = walk.replay.run().header();
    let tasks: Vec<TaskMoment> =
        walk.replay.tasks(now).iter().map(|then| task_moment(&walk.definition, then)).collect();
    let mut run = view::run(header, &walk.definition);
    run.position = entry.position;
    if header.is_live() {
        for task in &tasks {
            *run.counts.entry(task.view.state.clone()).or_default() += 1;
        }
    }
    Moment { run, at: entry.at, tasks, events: entry.events }
}

fn task_moment(definition: &Definition, then: &TaskThen<'_>) -> TaskMoment {
    let mut shown = match then.row {
        Some(row) => view::task_run(definition, row, then.word),
        None => view::without_row(definition, then.key, then.word),
    };
    // The row of a task that ended as a whole stands for each of its items.
    shown.item = definition.tasks[then.key.task as usize].foreach.as_ref().map(|_| then.key.item);
    TaskMoment { view: shown, since: then.since }
}

fn print(output: &Output, moment: &Moment, definition: &Definition) -> Result<(), Error> {
    let run = &moment.run;
    if output.is_json() || output.form == Form::Name {
        return output.one(moment, &run.position.to_string(), String::new);
    }
    let state = output.painted_state(&run.state);
    let counts: Vec<String> = run.counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    let mut head = format!(
        "{state}: {}/{} v{} at {}, {} (run {})\n{}\n",
        run.namespace,
        run.workflow,
        run.version,
        run.position,
        moment.at,
        run.id,
        counts.join(", ")
    );
    head.push_str("changed here:\n");
    moment.events.iter().for_each(|event| head.push_str(&format!("  {}\n", sentence(event, definition))));
    match output.form {
        Form::Table => output.text(&(head + "\n"))?,
        // Columns for a pipe, and nothing else.
        _ => output.hint(head.trim_end()),
    }
    output.list(&moment.tasks)
}

impl Listed for TaskMoment {
    const HEADERS: &'static [&'static str] = &["TASK", "STATE", "ATTEMPT", "WORKER", "SINCE", "NOTE"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        let view = &self.view;
        let attempt = if view.attempt == 0 { output.nothing() } else { view.attempt.to_string() };
        vec![
            self.name().into(),
            Field::State(view.state.clone()),
            attempt.into(),
            view.worker.as_ref().map_or_else(|| output.nothing(), ToString::to_string).into(),
            self.since.map_or_else(|| output.nothing(), |since| since.to_string()).into(),
            view.error.clone().unwrap_or_default().into(),
        ]
    }

    fn name(&self) -> String {
        task_name(&self.view.id, self.view.item)
    }
}

/// One event, and what the run and the task run are after it.
fn show(output: &Output, walk: &Walk<'_>, entry: &EventEntry, event: &Event) -> Result<(), Error> {
    let run = walk.replay.run();
    let run_state = run.header().word();
    let key = event.task_key();
    let word = key.map(|key| run.header().task_word(walk.replay.row(key), entry.at));
    let ended = view::words(&run.counts());
    let (position, at) = (entry.position, entry.at);
    match output.form {
        // A history is a stream: one document a line in either JSON form.
        Form::Json | Form::Jsonl => {
            let task = key.map(|key| walk.label(key));
            let active = run.active();
            let step = Step { position, at, event, run_state, task, task_state: word, ended, active };
            output.text(&format!("{}\n", json!(step)))
        }
        Form::Name => output.text(&format!("{position}\n")),
        Form::Table | Form::Plain => {
            let sentence = sentence(event, &walk.definition);
            let ended: u32 = ended.values().sum();
            let state = format!("run {run_state}, {ended} ended, {} active", run.active());
            match output.form {
                Form::Table => output.text(&format!("{at}  {position:<10} {sentence}  ({state})\n")),
                _ => output.text(&format!("{position}\t{at}\t{sentence}\t{state}\n")),
            }
        }
    }
}

/// Shows what does not wait, and asks for Enter; anything else ends it.
fn goes_on(output: &Output, walk: &Walk<'_>, at: Timestamp) -> Result<bool, Error> {
    let then = walk.replay.tasks(at);
    let shown = then.iter().filter(|then| then.word != "waiting").take(ROWS_MAX);
    let rows: Vec<TaskMoment> = shown.map(|then| task_moment(&walk.definition, then)).collect();
    if !rows.is_empty() && output.form == Form::Table {
        output.list(&rows)?;
    }
    eprint!("Enter: the next event; q: stop ");
    let _ = std::io::stderr().flush();
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    let read = read.map_err(|error| Error::io("cannot read from the terminal", &error))?;
    Ok(read > 0 && line.trim().is_empty())
}

/// An event as people read it.
pub(super) fn sentence(event: &Event, definition: &Definition) -> String {
    let name = |key: &TaskKey| match definition.tasks.get(key.task as usize) {
        Some(_) => view::label(definition, *key),
        None => format!("task {}", key.task),
    };
    match event {
        Event::RunCreated { workflow, version, by, .. } => format!("created by {by}: {workflow} v{version}"),
        Event::RunStarted => "started".into(),
        Event::RunCancelRequested { by, reason } => match reason {
            Some(reason) => format!("cancel asked for by {by}: {reason}"),
            None => format!("cancel asked for by {by}"),
        },
        Event::RunStopping { first_failed } => {
            format!("starts nothing more, because {} failed", name(first_failed))
        }
        Event::RunQuarantined { code, reason } => format!("quarantined: {reason} [{code}]"),
        Event::RunFinished { outcome } => format!("finished: {}", outcome.word()),
        Event::RunRetried { by, tasks } => format!("queued again by {by}, {} tasks afresh", tasks.len()),
        Event::AttemptDispatched { key, attempt, worker, .. } => {
            format!("{}: attempt {attempt} dispatched to {}", name(key), worker.name)
        }
        Event::AttemptStopping { key, attempt, cause } => {
            format!("{}: attempt {attempt} asked to end ({})", name(key), word(cause))
        }
        Event::AttemptRefused { key, attempt, worker, why } => {
            format!("{}: attempt {attempt} refused by {}: {why}", name(key), worker.name)
        }
        Event::AttemptEnded { key, attempt, end, worker } => {
            format!("{}: attempt {attempt} on {}: {}", name(key), worker.name, result(&end.result))
        }
        Event::AttemptLost { key, attempt, worker } => {
            format!("{}: attempt {attempt} lost with {}", name(key), worker.name)
        }
        Event::TaskBackoff { key, until } => format!("{}: next attempt at {until}", name(key)),
        Event::TaskEnded { key, outcome } => format!("{}: {}", name(key), outcome.result().word()),
    }
}

fn result(result: &AttemptResult) -> String {
    hortator_core::task_run::Exit::from(result).to_string()
}

/// The word by which JSON knows a value.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
