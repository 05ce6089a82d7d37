//! `hortator explain RUN/TASK --at`: why it did not run at a moment of the past, as far as its history says, and what
//! ended the waiting. What the Dispatcher said of it then is kept nowhere, and that is said too.

use std::fmt::Write as _;

use hortator_core::definition::Task;
use hortator_core::event::Event;
use hortator_core::id::{Position, RunId, TaskIndex, TaskKey};
use hortator_core::replay::TaskThen;
use hortator_core::run::RunPhase;
use hortator_core::task_run::{Fate, LOSSES_MAX, TaskPhase};
use hortator_core::time::Timestamp;
use hortator_proto::api::RunView;
use serde::Serialize;

use super::replay::{Walk, before, now, sentence};
use crate::cli::client::Call;
use crate::cli::error::{Error, Exit};
use crate::cli::output::{Output, short};
use crate::cli::reference::{RunReference, TaskReference, Then};
use crate::cli::session::Session;

/// Waiting task runs explained in one answer.
const EXPLAINED_MAX: usize = 100;
/// Open parents named for one task.
const PARENTS_NAMED_MAX: usize = 10;

#[derive(Debug, Serialize)]
struct Explained {
    run: RunId,
    /// Of the last entry up to there.
    position: Position,
    at: Timestamp,
    run_state: String,
    tasks: Vec<Waited>,
    /// Others that waited too.
    more: usize,
}

#[derive(Debug, Serialize)]
struct Waited {
    #[serde(skip)]
    key: TaskKey,
    task: String,
    state: String,
    since: Option<Timestamp>,
    why: Vec<Why>,
    /// The first thing that happened to it afterwards.
    then: Option<Next>,
}

/// What its history says of why it did not run.
#[derive(Debug, Serialize)]
struct Why {
    /// None where the history does not have what decided.
    code: Option<&'static str>,
    what: String,
}

impl Why {
    fn known(code: &'static str, what: String) -> Why {
        Why { code: Some(code), what }
    }

    fn unknown(what: String) -> Why {
        Why { code: None, what }
    }
}

#[derive(Debug, Serialize)]
struct Next {
    position: Position,
    at: Timestamp,
    what: String,
}

pub(super) async fn explain(session: &Session, reference: RunReference, then: Then) -> Result<Exit, Error> {
    let view: RunView = session.client.ask(Call::get(reference.path("", &[]))).await?;
    let mut walk = Walk::begin(session, &view).await?;
    let entry = walk.to(&view, then).await?.ok_or_else(|| before(&view))?;
    let at = now(then, &entry);
    let all = walk.replay.tasks(at);
    let chosen = all.iter().filter(|then| match &reference.task {
        Some(task) => is(&walk, then.key, task),
        None => ["waiting", "ready", "backoff", "queued"].contains(&then.word),
    });
    let tasks: Vec<Waited> = chosen.map(|then| waited(&walk, then)).collect();
    if let (Some(task), true) = (&reference.task, tasks.is_empty()) {
        let detail = format!("run {} has no task {:?}", view.id, task.task.as_str());
        return Err(
            Error::new(Exit::NotFound, "H3003", detail).hint(format!("hortator run tasks {}", view.id))
        );
    }
    let mut explained = Explained {
        run: view.id,
        position: entry.position,
        at,
        run_state: walk.replay.run().header().word().to_owned(),
        more: tasks.len().saturating_sub(EXPLAINED_MAX),
        tasks,
    };
    explained.tasks.truncate(EXPLAINED_MAX);
    look_ahead(&mut walk, &mut explained.tasks).await?;
    let output = &session.output;
    output.one(&explained, &explained.run.to_string(), || text(&explained, output))?;
    Ok(Exit::Success)
}

fn is(walk: &Walk<'_>, key: TaskKey, task: &TaskReference) -> bool {
    let spec = &walk.definition.tasks[key.task as usize];
    spec.id == task.task && task.item.is_none_or(|item| item == key.item)
}

fn waited(walk: &Walk<'_>, then: &TaskThen<'_>) -> Waited {
    Waited {
        key: then.key,
        task: walk.label(then.key),
        state: then.word.to_owned(),
        since: then.since,
        why: why(walk, then),
        then: None,
    }
}

fn why(walk: &Walk<'_>, then: &TaskThen<'_>) -> Vec<Why> {
    let spec = &walk.definition.tasks[then.key.task as usize];
    let phase = then.row.map(|row| &row.phase);
    match (then.word, phase) {
        ("ready", _) => vec![Why::unknown(format!(
            "it could run, and waited for its limits or for a worker of group {}; for which of them, and what these \
             lacked (R202 to R402), is not in the history",
            spec.group
        ))],
        (_, Some(TaskPhase::Backoff { until })) => vec![backoff(spec, then, *until)],
        (_, Some(TaskPhase::Dispatched(attempt) | TaskPhase::Stopping { attempt, .. })) => {
            vec![Why::unknown(format!(
                "attempt {} was on {} since {}; whether that worker had it by then (R501) is not in the history",
                attempt.number, attempt.worker.name, attempt.dispatched_at
            ))]
        }
        (_, Some(TaskPhase::Ended { at, .. })) => vec![Why::unknown(format!("it had ended, at {at}"))],
        _ => waited_for(walk, then.key),
    }
}

/// With both sides: how many tries or losses in a row there were, of how many.
fn backoff(spec: &Task, then: &TaskThen<'_>, until: Timestamp) -> Why {
    let Some((row, last)) = then.row.and_then(|row| Some((row, row.last.as_ref()?))) else {
        return Why::unknown(format!("the next attempt was not to begin before {until}"));
    };
    match &last.fate {
        Fate::Lost { .. } => Why::known(
            "R112",
            format!(
                "attempt {} was lost with {}, {} in a row of at most {LOSSES_MAX}; the next was not to begin before {until}",
                last.number, last.worker.name, row.losses
            ),
        ),
        fate @ (Fate::Reported { .. } | Fate::LostAfterTimeout { .. }) => Why::known(
            "R111",
            format!(
                "try {} of {} failed, with attempt {}: {fate}; the next was not to begin before {until}",
                row.tries,
                spec.retry.max + 1,
                last.number
            ),
        ),
    }
}

/// Of one that was not ready.
fn waited_for(walk: &Walk<'_>, key: TaskKey) -> Vec<Why> {
    let run = walk.replay.run();
    let mut why = Vec::new();
    match (&run.header().phase, run.header().word()) {
        (RunPhase::Stopping { .. }, _) => {
            why.push(Why::known("R106", "its run started nothing new, since a task had failed".to_owned()));
        }
        (RunPhase::Cancelling { request, .. }, _) => {
            let what = format!("its run started nothing new: {} had cancelled it", request.by);
            why.push(Why::known("R106", what));
        }
        (_, "quarantined") => why.push(Why::known("R130", "its run was in quarantine".to_owned())),
        (_, "queued") => why.push(Why::known(
            "R201",
            "its run waited for its turn: others of the workflow were in front of it".to_owned(),
        )),
        (_, _) => {}
    }
    let name = |task: TaskIndex| walk.definition.tasks[task as usize].id.to_string();
    let open = run.open_parents(key.task).count();
    let against = run.skipped_for(key.task);
    if open > 0 && !against.is_empty() {
        let against: Vec<String> = against
            .iter()
            .map(|parent| format!("{} ({})", name(parent.task), parent.result.word()))
            .collect();
        let what = format!("it was to be skipped when {open} more had ended, for {}", against.join(", "));
        why.push(Why::known("R102", what));
    } else if open > 0 {
        let named: Vec<String> = run.open_parents(key.task).take(PARENTS_NAMED_MAX).map(name).collect();
        let more = open - named.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let what = format!("it needed {}{more}, which had not ended", named.join(", "));
        why.push(Why::known("R101", what));
    }
    if let (true, Some((active, max))) = (why.is_empty(), run.items_active(key.task)) {
        why.push(Why::known("R205", format!("{active} items of its task were active, of at most {max}")));
    }
    if why.is_empty() {
        why.push(Why::unknown(format!("its run was {}", run.header().word())));
    }
    why
}

/// Reads on until each of them has been heard of again.
async fn look_ahead(walk: &mut Walk<'_>, tasks: &mut [Waited]) -> Result<(), Error> {
    let mut left = tasks.len();
    while left > 0 {
        let Some(entry) = walk.next().await? else { return Ok(()) };
        for event in &entry.events {
            // An item of a task that ends as a whole is meant as well.
            let about = |task: &&mut Waited| {
                task.then.is_none() && event.task_key().is_some_and(|key| covers(key, task.key))
                    || task.then.is_none() && matches!(event, Event::RunFinished { .. })
            };
            for task in tasks.iter_mut().filter(about) {
                let what = sentence(event, &walk.definition);
                task.then = Some(Next { position: entry.position, at: entry.at, what });
                left -= 1;
            }
        }
    }
    Ok(())
}

fn covers(said: TaskKey, meant: TaskKey) -> bool {
    said == meant || said == TaskKey { item: hortator_core::run::WHOLE_TASK, ..meant }
}

fn text(explained: &Explained, output: &Output) -> String {
    let Explained { run, position, at, run_state, tasks, more } = explained;
    let mut text = String::new();
    for Waited { task, state, since, why, then, .. } in tasks {
        let since = since.map(|since| format!(" for {}", short(at.since(since)))).unwrap_or_default();
        let _ = writeln!(text, "{task} was {}{since}:", state.to_uppercase());
        for (number, why) in (1..).zip(why) {
            let code = why.code.map(|code| format!("{code}  ")).unwrap_or_default();
            let _ = writeln!(text, "  {number}  {code}{}", why.what);
        }
        let _ = match then {
            Some(Next { position, at: later, what }) => {
                writeln!(text, "  after {} more, at {position}: {what}", short(later.since(*at)))
            }
            None => writeln!(text, "  nothing has happened to it since"),
        };
    }
    if tasks.is_empty() {
        let _ = writeln!(text, "nothing of run {run} waited; it was {}", output.painted_state(run_state));
    }
    if *more > 0 {
        let _ = writeln!(
            text,
            "\n… and {more} more task runs waited: hortator explain {run}/TASK --at {position}"
        );
    }
    let _ = writeln!(text, "\nAs of {position}, {at}.");
    text
}
