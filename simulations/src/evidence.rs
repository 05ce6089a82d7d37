//! What a cluster under faults leaves behind: what its clients were told, what its tasks wrote down themselves, and what
//! it says of its runs in the end. Must not know how it was gathered.

use std::collections::BTreeMap;
use std::str::FromStr;

use hortator_core::event::HistoryEntry;
use hortator_core::id::{Fence, Position, RunId, TaskKey};
use hortator_core::schedule::{PassedOver, Policy};
use hortator_core::time::Timestamp;

use crate::reckoning::Reckoning;

/// Everything the checkers look at.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Every start that a client asked for, by its idempotency key.
    pub starts: BTreeMap<String, Start>,
    /// Cancels that were acknowledged.
    pub cancels: Vec<Cancel>,
    /// Runs whose failed tasks were to be tried again, as was acknowledged.
    pub retries: Vec<RunId>,
    /// What attempts wrote, in the order of time: the side effect itself, not the scheduler's word.
    pub ledger: Vec<LedgerLine>,
    /// What the cluster says of its runs once it had its time to recover.
    pub runs: BTreeMap<RunId, RunEvidence>,
    /// Task runs that the API said have succeeded, with the length of the ledger at that moment.
    pub seen_succeeded: BTreeMap<LedgerKey, usize>,
    /// Ends that lay safely in the spool of a worker that was never lost by silence and never lost its power.
    pub kept: Vec<(RunId, TaskKey, Fence)>,
    /// When processes began, as their own agents heard it: a word that names another time is not about that attempt.
    pub begun: Vec<(RunId, TaskKey, Fence, Timestamp)>,
    /// Histories as they were followed page by page, by run: places and how many events each had.
    pub followed: Vec<(RunId, Vec<(Position, usize)>)>,
    /// Every schedule that the workload had.
    pub schedules: Vec<ScheduleEvidence>,
    /// The largest maximum of each limit that anybody asked for.
    pub limits: BTreeMap<String, u32>,
    /// Runs that were judged before, and were over then.
    pub settled: BTreeMap<RunId, Settled>,
    /// What each worker has, by resource; nothing is known of those that are not here.
    pub has: BTreeMap<String, u64>,
}

/// A run that was over when it was judged, and what is said of it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The idempotency key of its start.
    pub key: Option<String>,
    pub state: String,
    pub now: Shown,
}

/// What a later look shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    State(String),
    /// It is not there any more, as history has it that is not kept for ever.
    TooOld,
    Nothing,
}

/// What became of one schedule, whose timing stayed the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleEvidence {
    pub name: String,
    pub reckoning: Reckoning,
    pub policy: Policy,
    /// The newest of its spells, as the cluster counts them.
    pub generation: u32,
    /// One after the other.
    pub spells: Vec<Spell>,
    /// Runs that somebody asked for and that take turns with the others.
    pub triggered: Vec<Ran>,
}

/// A time without end or until somebody switched it off, in which a schedule was on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spell {
    /// Its first time is behind this one.
    pub since: Timestamp,
    /// Its last time is not later than this one.
    pub until: Timestamp,
    /// From committed entries, in their order; a range that was passed over is named time by time.
    pub decided: Vec<Decided>,
}

/// A nominal time and its fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    pub nominal: Timestamp,
    /// The stamp of the entry.
    pub at: Timestamp,
    pub fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Fired(Ran),
    PassedOver(PassedOver),
}

/// When a run was under way, by the order of its shard's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    pub run: RunId,
    /// None where it never left the queue.
    pub started_at: Option<Timestamp>,
    /// None where it never ended.
    pub ended_at: Option<Timestamp>,
}

/// What a client was told of its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// Acknowledged, perhaps more than once.
    Acknowledged { runs: Vec<RunId>, first_at: Timestamp },
    /// No answer, or one that says the outcome is unknown.
    Unknown,
}

/// An acknowledged cancel: nothing of the run starts after the cluster says that it is `cancelled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancel {
    pub run: RunId,
    /// The length of the ledger when the run was first seen as `cancelled`.
    pub over_at: usize,
}

/// A task run as its process knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LedgerKey {
    pub run: RunId,
    pub task: String,
    pub item: u32,
}

/// What an attempt was doing when it wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The first thing it did.
    Start,
    /// It was running.
    Beat,
    /// The last thing it did.
    End,
}

/// A line that an attempt appended to the ledger: `MARK RUN TASK ITEM ATTEMPT FENCE SECONDS.MICROS WORKER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerLine {
    pub mark: Mark,
    pub key: LedgerKey,
    pub attempt: u16,
    pub fence: Fence,
    pub at: Timestamp,
    pub worker: String,
    pub given: Given,
}

/// What a process was given beside its words; real ones do not write it down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// The devices that it may use.
    pub devices: Vec<String>,
    /// The mark that a task before it left, after the name of that task.
    pub mark: Option<(String, String)>,
}

/// A run as the cluster shows it.
#[derive(Clone, Debug)]
pub struct RunEvidence {
    pub state: String,
    /// The idempotency key of its start.
    pub key: Option<String>,
    pub tasks: Vec<TaskShape>,
    pub history: Vec<(Position, HistoryEntry)>,
}

/// What the definition says of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskShape {
    pub name: String,
    /// Places in the same list.
    pub parents: Vec<usize>,
    pub delivery: Delivery,
    /// What it must hold while it runs, by name and weight.
    pub limits: Vec<(String, u32)>,
    /// What it takes of its worker, by resource.
    pub takes: BTreeMap<String, u64>,
    /// The task, by its place, whose word it starts on: only where that left `odd`.
    pub only_if_odd: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    #[default]
    AtLeastOnce,
    AtMostOnce,
}

/// The line is not one that an attempt writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line:?} is no line of the ledger: {why}")]
pub struct LedgerLineError {
    pub line: String,
    pub why: &'static str,
}

impl FromStr for LedgerLine {
    type Err = LedgerLineError;

    fn from_str(line: &str) -> Result<LedgerLine, LedgerLineError> {
        parse(line).map_err(|why| LedgerLineError { line: line.to_owned(), why })
    }
}

/// The whole lines of a ledger file; one that is still being written is left for the next reading.
pub fn parse_ledger(text: &str) -> Result<Vec<LedgerLine>, LedgerLineError> {
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(str::parse).collect()
}

fn parse(line: &str) -> Result<LedgerLine, &'static str> {
    let [mark, run, task, item, attempt, fence, at, worker] = line.split(' ').collect::<Vec<_>>()[..] else {
        return Err("it has not eight words");
    };
    let mark = match mark {
        "start" => Mark::Start,
        "beat" => Mark::Beat,
        "end" => Mark::End,
        _ => return Err("the mark is unknown"),
    };
    let key = LedgerKey {
        run: run.parse().map_err(|_| "the run is no id")?,
        task: task.to_owned(),
        item: item.parse().map_err(|_| "the item is no number")?,
    };
    Ok(LedgerLine {
        mark,
        key,
        attempt: attempt.parse().map_err(|_| "the attempt is no number")?,
        fence: parse_fence(fence).ok_or("the fence is none")?,
        at: parse_seconds(at).ok_or("the time is none")?,
        worker: worker.to_owned(),
        given: Given::default(),
    })
}

/// `GENERATION-SHARD-TERM-INDEX`, as in HTR_FENCE.
pub fn parse_fence(text: &str) -> Option<Fence> {
    let [generation, shard, term, index] = text.split('-').collect::<Vec<_>>()[..] else { return None };
    Some(Fence {
        generation: generation.parse().ok()?,
        shard: shard.parse().ok()?,
        term: term.parse().ok()?,
        index: index.parse().ok()?,
    })
}

/// Seconds since 1970 with six digits after the point (or the comma of some locales).
fn parse_seconds(text: &str) -> Option<Timestamp> {
    let (seconds, micros) = text.split_once(['.', ','])?;
    if micros.len() != 6 {
        return None;
    }
    Some(Timestamp(seconds.parse::<i64>().ok()? * 1_000_000 + micros.parse::<i64>().ok()?))
}

impl RunEvidence {
    /// The name under which the ledger knows that task run.
    pub fn ledger_key(&self, run: RunId, key: TaskKey) -> Option<LedgerKey> {
        let task = self.tasks.get(key.task as usize)?;
        Some(LedgerKey { run, task: task.name.clone(), item: key.item })
    }
}
