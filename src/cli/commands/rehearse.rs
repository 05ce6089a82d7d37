//! `hortator workflow test`: a user's own workflow on virtual time, with stubs, as a timeline.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use hortator_core::time::Span;
use hortator_simulations::rehearsal::{Attempt, Rehearsal, RehearsalError, Rehearsed, TaskStory, rehearse};

use super::workflow::{check, read_file};
use crate::cli::args::TestArgs;
use crate::cli::error::{Error, Exit, code, exit_of_kind};
use crate::cli::output::{Field, Output, short};

/// Letters of the timeline.
const WIDE: u64 = 50;

pub(crate) fn test(args: TestArgs, output: &Output) -> Result<Exit, Error> {
    let (name, bytes) = read_file(Path::new(&args.file))?;
    let parsed = check(&name, &bytes)?;
    let mut outputs = std::collections::BTreeMap::new();
    for (task, name, value) in args.outputs {
        outputs.entry(task).or_insert_with(std::collections::BTreeMap::new).insert(name, value);
    }
    let rehearsal = Rehearsal {
        source: String::from_utf8_lossy(&bytes).into_owned(),
        definition: Arc::new(parsed.definition),
        inputs: args.inputs.into_iter().collect(),
        stubs: args.stubs.into_iter().collect(),
        outputs,
        seed: args.seed,
        within: args.within,
    };
    let began = Instant::now();
    let told = rehearse(rehearsal).map_err(error)?;
    match output.is_json() {
        true => output.document(&told)?,
        false => show(&told, began.elapsed().as_secs_f64(), output)?,
    }
    Ok(match told.state.as_str() {
        "succeeded" => Exit::Success,
        "failed" | "cancelled" => Exit::RunFailed,
        _ => Exit::TimedOut,
    })
}

fn error(error: RehearsalError) -> Error {
    match error {
        RehearsalError::Task { .. } => Error::usage(error.to_string()),
        RehearsalError::Refused(problem) => {
            // As over HTTP: what is wrong with inputs is wrong usage.
            let exit = if problem.code.starts_with("H24") { Exit::Usage } else { exit_of_kind(problem.kind) };
            Error::new(exit, &problem.code, problem.detail)
        }
        RehearsalError::Silent(_) => Error::new(Exit::Unexpected, code::CLUSTER_START, error.to_string()),
    }
}

fn show(told: &Rehearsed, seconds: f64, output: &Output) -> Result<(), Error> {
    let rows = told.tasks.iter().map(|task| row(task, told.took)).collect();
    output.table(&["TASK", "STATE", "TRIES", "START", "TOOK", "TIMELINE"], rows)?;
    for task in &told.tasks {
        let name = title(task);
        if let Some(error) = &task.error {
            output.text(&format!("{name}: {error}\n"))?;
        }
        if let Some(reason) = &task.reason {
            output.text(&format!("{name} waits: {reason}\n"))?;
        }
    }
    let reason = told.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let word =
        if ["succeeded", "failed", "cancelled"].contains(&&*told.state) { "after" } else { "still after" };
    output.text(&format!("{} is {}{reason} {word} {}\n", told.workflow, told.state, short(told.took)))?;
    output.hint(&format!("simulated in {seconds:.1} s; # runs, x failed, . waits for a worker or a retry"));
    Ok(())
}

/// When it could have run for the first time.
fn first(task: &TaskStory) -> Option<Span> {
    task.attempts.first().map(|attempt| attempt.start).into_iter().chain(task.ready).min()
}

fn title(task: &TaskStory) -> String {
    match task.item {
        Some(item) => format!("{}[{item}]", task.task),
        None => task.task.clone(),
    }
}

fn row(task: &TaskStory, took: Span) -> Vec<Field> {
    let span = |from: Option<Span>, to: Option<Span>| match (from, to) {
        (Some(from), Some(to)) => short(Span(to.0.saturating_sub(from.0))),
        _ => String::new(),
    };
    vec![
        title(task).into(),
        Field::State(task.state.clone()),
        task.attempts.len().to_string().into(),
        span(Some(Span::ZERO), first(task)).into(),
        span(first(task), task.end).into(),
        bar(task, took).into(),
    ]
}

/// The task's time as letters, from left to right.
fn bar(task: &TaskStory, took: Span) -> String {
    let place = |at: Span| (at.0 * WIDE / took.0.max(1)).min(WIDE - 1) as usize;
    let mut letters = vec![' '; WIDE as usize];
    let mut paint = |from: Span, to: Span, letter: char| {
        letters[place(from)..=place(to)].fill(letter);
    };
    if let Some(first) = first(task) {
        paint(first, task.end.unwrap_or(took), '.');
    }
    for (number, Attempt { start, end }) in task.attempts.iter().enumerate() {
        let last = number + 1 == task.attempts.len();
        let good = last && !["failed", "cancelled"].contains(&task.state.as_str());
        paint(*start, end.unwrap_or(took), if good { '#' } else { 'x' });
    }
    letters.into_iter().collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars() {
        let secs = Span::from_secs;
        let attempt = |start, end| Attempt { start: secs(start), end: Some(secs(end)) };
        let task = TaskStory {
            task: "load".into(),
            item: None,
            state: "succeeded".into(),
            ready: Some(secs(0)),
            start: Some(secs(10)),
            end: Some(secs(49)),
            attempts: vec![attempt(10, 14), attempt(30, 49)],
            exit_code: Some(0),
            error: None,
            reason: None,
            outputs: Default::default(),
        };
        assert_eq!(bar(&task, secs(50)), "..........xxxxx...............####################");
    }
}
