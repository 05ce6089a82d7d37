//! `hortator diff`: what changed in a run between two moments, from its history by the fold that moves live runs.
//! Must not ask the cluster for anything but the history and the workflow's version.

use std::collections::BTreeMap;

use hortator_core::id::{Name, TaskKey};
use hortator_core::time::Timestamp;
use serde::Serialize;

use super::replay::{Walk, now};
use super::runs::find;
use crate::cli::args::DiffArgs;
use crate::cli::error::{Error, Exit};
use crate::cli::output::{Field, Listed, Output};
use crate::cli::reference::Then;
use crate::cli::session::Session;

/// One line: the run, or one of its task runs.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Change {
    /// `run`, or a task as people write it.
    what: String,
    /// Nothing before the run was created.
    before: Option<Shown>,
    after: Shown,
    /// Since when it was so, where an event says it.
    since: Option<Timestamp>,
}

/// What people see of a run or a task run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Shown {
    state: String,
    /// 0 for a run, and before the first.
    attempt: u16,
    worker: Option<Name>,
}

/// The run itself comes before its task runs.
type Picture = BTreeMap<Option<TaskKey>, (Shown, Option<Timestamp>)>;

/// `hortator diff`
pub async fn diff(session: &Session, args: DiffArgs) -> Result<Exit, Error> {
    let view = find(session, &args.object).await?;
    let mut walk = Walk::begin(session, &view).await?;
    let (from, to) = in_order(args.from, args.to);
    let before = walk.to(&view, from).await?.map(|entry| picture(&walk, now(from, &entry)));
    let Some(entry) = walk.to(&view, to).await? else {
        return Err(super::replay::before(&view));
    };
    let after = picture(&walk, now(to, &entry));
    let changes = changes(&walk, before.as_ref(), after);
    session.output.list(&changes)?;
    if changes.is_empty() {
        session.output.hint(&format!("nothing of run {} changed between {from} and {to}", view.id));
    }
    Ok(Exit::Success)
}

/// The earlier one first, where that can be seen.
fn in_order(from: Then, to: Then) -> (Then, Then) {
    let later = match (from, to) {
        (Then::Position(from), Then::Position(to)) => from.index > to.index,
        (Then::Time(from), Then::Time(to)) => from > to,
        (Then::Position(_), Then::Time(_)) | (Then::Time(_), Then::Position(_)) => false,
    };
    if later { (to, from) } else { (from, to) }
}

fn picture(walk: &Walk<'_>, now: Timestamp) -> Picture {
    let run = Shown { state: walk.replay.run().header().word().to_owned(), attempt: 0, worker: None };
    let tasks = walk.replay.tasks(now).into_iter().map(|then| {
        let attempt = then.row.and_then(|row| row.attempt());
        let last = then.row.and_then(|row| row.last.as_ref());
        let worker = attempt.map(|attempt| &attempt.worker).or(last.map(|last| &last.worker));
        let shown = Shown {
            state: then.word.to_owned(),
            attempt: then.row.map_or(0, |row| row.attempts),
            worker: worker.map(|worker| worker.name.clone()),
        };
        (Some(then.key), (shown, then.since))
    });
    std::iter::once((None, (run, None))).chain(tasks).collect()
}

fn changes(walk: &Walk<'_>, before: Option<&Picture>, after: Picture) -> Vec<Change> {
    let change = |(key, (after, since)): (Option<TaskKey>, (Shown, Option<Timestamp>))| {
        let before = before.and_then(|before| before.get(&key)).map(|(shown, _)| shown.clone());
        let what = key.map_or_else(|| "run".to_owned(), |key| walk.label(key));
        (before.as_ref() != Some(&after)).then_some(Change { what, before, after, since })
    };
    after.into_iter().filter_map(change).collect()
}

impl Shown {
    fn text(&self) -> String {
        let attempt = if self.attempt == 0 { String::new() } else { format!(", attempt {}", self.attempt) };
        let worker = self.worker.as_ref().map(|worker| format!(" on {worker}")).unwrap_or_default();
        format!("{}{attempt}{worker}", self.state)
    }
}

impl Listed for Change {
    const HEADERS: &'static [&'static str] = &["WHAT", "BEFORE", "AFTER", "SINCE"];

    fn cells(&self, output: &Output) -> Vec<Field> {
        vec![
            self.what.clone().into(),
            self.before.as_ref().map_or_else(|| output.nothing(), Shown::text).into(),
            self.after.text().into(),
            self.since.map_or_else(|| output.nothing(), |since| since.to_string()).into(),
        ]
    }

    fn name(&self) -> String {
        self.what.clone()
    }
}
