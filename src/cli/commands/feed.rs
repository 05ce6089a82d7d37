//! `hortator events`: what happens in the whole cluster, read from the logs of all groups as the asked master has them.
//! Histories say what became of runs; of other rows only their names are told, since values may be secret.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hortator_core::definition::Definition;
use hortator_core::id::{Position, RunId};
use hortator_core::time::Timestamp;
use hortator_proto::api::{LogEntryView, LogView, RaftView, RunView};
use regex_lite::Regex;
use serde::Serialize;

use super::replay::sentence;
use crate::api::body::EventsPage;
use crate::cli::args::FeedArgs;
use crate::cli::client::{Call, Client, query};
use crate::cli::error::{Error, Exit};
use crate::cli::follow::definition_of;
use crate::cli::output::{Form, Output};
use crate::cli::session::Session;

/// Between two looks at logs that had nothing new.
const PAUSE: Duration = Duration::from_millis(500);
/// Entries read of one group at a time; a master gives no more.
const ENTRIES_MAX: u64 = 200;
/// Runs whose names are remembered; beyond them all are asked for again.
const RUNS_KNOWN_MAX: usize = 1_000;

/// Something that happened.
#[derive(Debug, Serialize)]
struct Happening {
    position: Position,
    /// Of what is in a history; other entries carry no time.
    at: Option<Timestamp>,
    /// A run, a worker, a group.
    about: String,
    what: String,
}

/// How far a group's log was read.
struct Place {
    group: u32,
    next: u64,
}

struct Feed<'c> {
    client: &'c Client,
    places: Vec<Place>,
    runs: BTreeMap<RunId, Arc<Known>>,
}

struct Known {
    name: String,
    definition: Definition,
}

/// `hortator events`
pub async fn feed(session: &Session, args: FeedArgs) -> Result<Exit, Error> {
    let filter = args.filter.as_deref().map(Regex::new).transpose();
    let filter =
        filter.map_err(|error| Error::usage(format!("the filter is no regular expression: {error}")))?;
    let (client, output) = (&session.client, &session.output);
    let view: RaftView = client.ask(Call::get("/cluster/raft")).await?;
    let place =
        |group: u32, commit: u64| Place { group, next: (commit + 1).saturating_sub(args.last).max(1) };
    let places = view.groups.iter().map(|group| place(group.group, group.commit)).collect();
    let mut feed = Feed { client, places, runs: BTreeMap::new() };
    loop {
        let (happenings, more) = feed.read(output).await?;
        for happening in &happenings {
            let line = line(happening, output);
            if filter.as_ref().is_none_or(|filter| filter.is_match(&line)) {
                output.text(&line)?;
            }
        }
        if !args.follow && !more {
            return Ok(Exit::Success);
        }
        if !more {
            tokio::select! {
                biased;
                ended = crate::cli::interrupted() => {
                    ended?;
                    return Ok(Exit::Success);
                }
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

fn line(happening: &Happening, output: &Output) -> String {
    let Happening { position, at, about, what } = happening;
    let at = at.map_or_else(|| output.nothing(), |at| at.to_string());
    match output.form {
        // A stream: one document a line in either JSON form.
        Form::Json | Form::Jsonl => format!("{}\n", serde_json::json!(happening)),
        Form::Name => format!("{position}\n"),
        Form::Table => format!("{at:<27}  {position:<10} {about:<24} {what}\n"),
        Form::Plain => format!("{at}\t{position}\t{about}\t{what}\n"),
    }
}

impl Feed<'_> {
    /// What is new in all groups, and whether there may be more already.
    async fn read(&mut self, output: &Output) -> Result<(Vec<Happening>, bool), Error> {
        let (mut untimed, mut timed, mut more) = (Vec::new(), Vec::new(), false);
        for number in 0..self.places.len() {
            let Place { group, next } = self.places[number];
            let pairs = [("from", Some(next.to_string())), ("limit", Some(ENTRIES_MAX.to_string()))];
            let path = format!("/cluster/raft/{group}/log{}", query(&pairs));
            let view: LogView = self.client.ask(Call::get(path)).await?;
            if view.first > next {
                let (lost, first) = (view.first - next, view.first);
                output
                    .warn(&format!("{lost} entries of group {group} before {first} are in the log no more"));
                self.places[number].next = first;
            }
            let committed = view.entries.iter().filter(|entry| entry.index <= view.commit);
            for entry in committed {
                for happening in self.of(group, entry).await? {
                    let list = if happening.at.is_some() { &mut timed } else { &mut untimed };
                    list.push(happening);
                }
                self.places[number].next = entry.index + 1;
            }
            more |= view.entries.len() as u64 == ENTRIES_MAX;
        }
        // Groups are read one after the other; people read by time.
        timed.sort_by_key(|happening| happening.at);
        untimed.append(&mut timed);
        Ok((untimed, more))
    }

    async fn of(&mut self, group: u32, entry: &LogEntryView) -> Result<Vec<Happening>, Error> {
        let position = Position { group, index: entry.index };
        let plain = |about: String, what: String| Happening { position, at: None, about, what };
        match entry.content.as_str() {
            "barrier" => {
                let epoch = entry.epoch.unwrap_or(0);
                let what = format!("a leader begins epoch {epoch} in term {}", entry.term);
                Ok(vec![plain(format!("group {group}"), what)])
            }
            "members" => {
                let what = format!("members change: {}", entry.text.as_deref().unwrap_or(""));
                Ok(vec![plain(format!("group {group}"), what)])
            }
            "rows" => {
                let mut found = Vec::new();
                let histories = entry.writes.iter().filter_map(|write| write.row.strip_prefix("history of "));
                for run in histories.filter_map(|run| run.parse().ok()) {
                    found.extend(self.history(run, position).await?);
                }
                let others = entry.writes.iter().filter_map(|write| other(&write.row, &write.write));
                found.extend(others.map(|(about, what)| plain(about, what)));
                found.dedup_by(|a, b| (&a.about, &a.what) == (&b.about, &b.what));
                Ok(found)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// What that entry says in a run's history; nothing when the run is deleted meanwhile.
    async fn history(&mut self, run: RunId, position: Position) -> Result<Vec<Happening>, Error> {
        let Some(known) = gone(self.known(run).await)? else { return Ok(Vec::new()) };
        let after = Position { index: position.index - 1, ..position };
        let pairs = [("after", Some(after.to_string())), ("limit", Some("1".to_owned()))];
        let asked = self.client.ask(Call::get(format!("/runs/{run}/events{}", query(&pairs)))).await;
        let Some(page) = gone::<EventsPage>(asked)? else { return Ok(Vec::new()) };
        let entries = page.entries.iter().filter(|entry| entry.position == position);
        let of = |event| sentence(event, &known.definition);
        let lines = entries.flat_map(|entry| entry.events.iter().map(|event| (entry.at, of(event))));
        let about =
            |at: Timestamp, what| Happening { position, at: Some(at), about: known.name.clone(), what };
        Ok(lines.map(|(at, what)| about(at, what)).collect())
    }

    async fn known(&mut self, run: RunId) -> Result<Arc<Known>, Error> {
        if let Some(known) = self.runs.get(&run) {
            return Ok(known.clone());
        }
        let view: RunView = self.client.ask(Call::get(format!("/runs/{run}"))).await?;
        let definition = definition_of(self.client, &view).await?;
        let known = Arc::new(Known { name: format!("{}/{run}", view.workflow), definition });
        if self.runs.len() >= RUNS_KNOWN_MAX {
            self.runs.clear();
        }
        self.runs.insert(run, known.clone());
        Ok(known)
    }
}

fn gone<T>(asked: Result<T, Error>) -> Result<Option<T>, Error> {
    match asked {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.exit == Exit::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Rows that no history tells of, and that people know: which, and what was done with it.
fn other(row: &str, write: &str) -> Option<(String, String)> {
    let what = if write.starts_with("delete") { "is gone" } else { "changes" };
    let told = |about: &str, what: &str| Some((about.to_owned(), what.to_owned()));
    if let Some(version) = row.strip_prefix("version ") {
        let (number, workflow) = version.split_once(" of ")?;
        return told(&format!("workflow {workflow}"), &format!("version {number} is applied"));
    }
    let known = ["worker ", "master ", "token ", "join token ", "settings", "schedule ", "deleted run "];
    let line_of_schedule = row.contains(" at ");
    match known.iter().any(|known| row.starts_with(known)) && !line_of_schedule {
        true => told(row, if row.starts_with("deleted run ") { "is to be deleted" } else { what }),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_people_know() {
        for (row, write, expected) in [
            ("worker w1", "put", Some(("worker w1", "changes"))),
            ("token ci", "delete", Some(("token ci", "is gone"))),
            ("version 3 of default/etl", "put", Some(("workflow default/etl", "version 3 is applied"))),
            ("schedule etl/nightly", "put", Some(("schedule etl/nightly", "changes"))),
            ("schedule etl/nightly at 2026-11-21T02:30:00Z", "put", None),
            ("task run X/0[0]", "put", None),
            ("run X", "put", None),
        ] {
            let found = other(row, write);
            let found = found.as_ref().map(|(about, what)| (about.as_str(), what.as_str()));
            assert_eq!(found, expected, "{row}");
        }
    }
}
