//! A run's history read by a machine of its own, so that a mistake in the deciders is not repeated by their judge.

use std::collections::{BTreeMap, BTreeSet};

use hortator_core::event::Event;
use hortator_core::id::TaskKey;
use hortator_core::time::Timestamp;

use crate::evidence::{Evidence, Mark, RunEvidence, Shown};

/// S3: legal transitions, one open attempt at a time, final states final, stamps and positions that rise.
pub(super) fn histories_are_legal(evidence: &Evidence) -> Vec<String> {
    let runs = evidence.runs.iter();
    let mut wrong: Vec<String> = runs
        .flat_map(|(id, run)| {
            read(run).into_iter().map(move |why| format!("run {id}: {why}")).collect::<Vec<_>>()
        })
        .collect();
    wrong.extend(evidence.settled.iter().filter_map(|(id, settled)| match &settled.now {
        Shown::State(now) if *now != settled.state => {
            Some(format!("run {id} was {} when it was judged and is {now}", settled.state))
        }
        _ => None,
    }));
    wrong.extend(started_again(evidence));
    wrong
}

/// Lines of what was settled are not kept, so these are new.
fn started_again(evidence: &Evidence) -> impl Iterator<Item = String> {
    let starts = evidence.ledger.iter().filter(|line| line.mark == Mark::Start);
    starts.filter_map(|line| {
        let settled = evidence.settled.get(&line.key.run)?;
        Some(format!("{:?} starts at {}, and its run was {}", line.key, line.at, settled.state))
    })
}

#[derive(Default)]
struct Reader {
    at: Timestamp,
    index: u64,
    created: bool,
    finished: bool,
    /// Number of the attempt that is dispatched and has not ended.
    open: BTreeMap<TaskKey, u16>,
    /// Number of the last attempt that was dispatched, and whether it was refused: then its number is used again.
    last: BTreeMap<TaskKey, (u16, Fate)>,
    over: BTreeSet<TaskKey>,
    wrong: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Refused,
    Over,
}

fn read(run: &RunEvidence) -> Vec<String> {
    let mut reader = Reader::default();
    for (position, entry) in &run.history {
        if entry.at < reader.at {
            reader.wrong.push(format!("{position} is stamped {} after {}", entry.at, reader.at));
        }
        if position.index <= reader.index {
            reader.wrong.push(format!("{position} comes after index {}", reader.index));
        }
        (reader.at, reader.index) = (entry.at, position.index);
        for event in &entry.events {
            reader.event(event);
        }
    }
    if !reader.created {
        reader.wrong.push("its history does not begin with its creation".to_owned());
    }
    let final_state = ["succeeded", "failed", "cancelled"].contains(&run.state.as_str());
    if final_state != reader.finished {
        reader.wrong.push(format!("it is {} and its history says otherwise", run.state));
    }
    reader.wrong
}

impl Reader {
    fn event(&mut self, event: &Event) {
        if self.finished && !matches!(event, Event::RunRetried { .. }) {
            self.wrong.push(format!("after its end: {event:?}"));
        }
        match event {
            Event::RunCreated { .. } if self.created => self.wrong.push("it was created twice".to_owned()),
            Event::RunCreated { .. } => self.created = true,
            Event::RunStarted
            | Event::RunCancelRequested { .. }
            | Event::RunStopping { .. }
            | Event::RunQuarantined { .. } => {}
            Event::RunFinished { .. } => {
                if let Some((key, attempt)) = self.open.iter().next() {
                    self.wrong.push(format!("it ended while attempt {attempt} of {key:?} was open"));
                }
                self.finished = true;
            }
            Event::RunRetried { tasks, .. } => {
                self.finished = false;
                self.over.retain(|key| !tasks.contains(&key.task));
            }
            Event::AttemptDispatched { key, attempt, .. } => self.dispatched(*key, *attempt),
            Event::AttemptStopping { key, attempt, .. } => self.expect_open(*key, *attempt, "stops"),
            Event::AttemptRefused { key, attempt, .. } => self.ended(*key, *attempt, Fate::Refused),
            Event::AttemptEnded { key, attempt, .. } | Event::AttemptLost { key, attempt, .. } => {
                self.ended(*key, *attempt, Fate::Over);
            }
            Event::TaskBackoff { key, .. } if self.over.contains(key) => {
                self.wrong.push(format!("{key:?} is over and is to be tried again"));
            }
            Event::TaskBackoff { .. } => {}
            Event::TaskEnded { key, .. } => {
                if self.open.contains_key(key) {
                    self.wrong.push(format!("{key:?} ended while an attempt of it was open"));
                }
                if !self.over.insert(*key) {
                    self.wrong.push(format!("{key:?} ended twice"));
                }
            }
        }
    }

    fn dispatched(&mut self, key: TaskKey, attempt: u16) {
        if self.over.contains(&key) {
            self.wrong.push(format!("attempt {attempt} of {key:?} was dispatched after its end"));
        }
        if let Some(open) = self.open.insert(key, attempt) {
            self.wrong.push(format!("attempt {attempt} of {key:?} was dispatched while {open} was open"));
        }
        let expected = match self.last.insert(key, (attempt, Fate::Open)) {
            None => 1,
            Some((last, Fate::Refused)) => last,
            Some((last, Fate::Open | Fate::Over)) => last + 1,
        };
        if attempt != expected {
            self.wrong.push(format!("attempt {attempt} of {key:?} was dispatched, {expected} was its turn"));
        }
    }

    fn ended(&mut self, key: TaskKey, attempt: u16, fate: Fate) {
        self.expect_open(key, attempt, "ends");
        self.open.remove(&key);
        self.last.insert(key, (attempt, fate));
    }

    fn expect_open(&mut self, key: TaskKey, attempt: u16, what: &str) {
        if self.open.get(&key) != Some(&attempt) {
            self.wrong.push(format!("attempt {attempt} of {key:?} {what} and was not open"));
        }
    }
}
