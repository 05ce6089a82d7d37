//! What the judges of a long haul remember of the segments before: whatever may still be told, run or promised in a later
//! one. What is settled is kept as its name, key and end, by which each later segment sees whether it stays what it was.
//! Must not know how a world is cut and goes on.

use std::collections::BTreeMap;

use hortator_core::id::{Fence, RunId, TaskKey};
use hortator_core::time::{Span, Timestamp};

use crate::evidence::{Evidence, Mark, RunEvidence, Settled, Shown};
use crate::faults::Due;
use crate::marks::Memory;
use crate::workload::{FINAL, Known, Told};
use crate::world::ledger::Ledger;

/// Runs may be gone when they are so old: history keeps them for thirty days, and a clock may be a day ahead.
const KEPT: Span = Span::from_secs(28 * 24 * 3_600);
/// Of the runs that clients have seen at their end, the newest, which they look at again now and then.
const SEEN_AGAIN: usize = 1_000;
/// Entries of each group's log, behind those that a leader keeps, of which it is known what was committed there.
const ENTRIES: u64 = 10_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Past {
    runs: BTreeMap<RunId, Judged>,
    /// The newest spell of each schedule.
    generations: BTreeMap<String, u32>,
    /// Starts of processes that are in the ledger and were counted.
    counted: usize,
    /// When processes of open runs began, as their hosts heard it.
    pub begun: Vec<Begun>,
    pub known: Known,
    /// When each line of faults is due again.
    pub dues: BTreeMap<usize, Due>,
    pub heard: Memory,
}

/// An attempt, by its fence, and when its process began.
pub type Begun = (RunId, TaskKey, Fence, Timestamp);

/// A run as the last judgement left it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Judged {
    Open,
    Over { key: Option<String>, state: String },
}

impl Past {
    /// Whether it was there at an earlier judgement.
    pub fn knows(&self, run: RunId) -> bool {
        self.runs.contains_key(&run)
    }

    /// Whether nothing of it may change any more.
    pub fn is_settled(&self, run: RunId) -> bool {
        matches!(self.runs.get(&run), Some(Judged::Over { .. }))
    }

    /// Whether that spell of a schedule was over at an earlier judgement.
    pub fn has_judged(&self, schedule: &str, generation: u32) -> bool {
        self.generations.get(schedule).is_some_and(|judged| generation <= *judged)
    }

    /// What was settled, beside the states that are shown now.
    pub fn beside(&self, shown: &BTreeMap<RunId, String>, now: Timestamp) -> BTreeMap<RunId, Settled> {
        let settled = self.runs.iter().filter_map(|(id, judged)| match judged {
            Judged::Over { key, state } => Some((*id, key.clone(), state.clone())),
            Judged::Open => None,
        });
        let look = |id: RunId| match shown.get(&id) {
            Some(state) => Shown::State(state.clone()),
            None if now.since(id.made_at()) > KEPT => Shown::TooOld,
            None => Shown::Nothing,
        };
        settled.map(|(id, key, state)| (id, Settled { key, state, now: look(id) })).collect()
    }

    /// Runs that no earlier judgement saw.
    pub fn count_runs(&self, evidence: &Evidence) -> usize {
        evidence.runs.keys().filter(|run| !self.knows(**run)).count()
    }

    /// Attempts that were not counted before.
    pub fn count_attempts(&self, evidence: &Evidence) -> usize {
        starts_in(evidence) - self.counted
    }

    /// All is judged: from what is over only that is kept by which a later change of it would be seen.
    pub fn settle(&mut self, evidence: &Evidence, ledger: &Ledger, told: &mut Told, log_keep: u64) {
        for (id, run) in &evidence.runs {
            self.runs.insert(*id, judged(run));
        }
        let schedules = evidence.schedules.iter();
        self.generations.extend(schedules.map(|schedule| (schedule.name.clone(), schedule.generation)));
        let is_open = |run: RunId| !self.is_settled(run);
        let left = ledger.retain(|line| is_open(line.key.run));
        let place = |before: usize| left.get(before).or(left.last()).copied().unwrap_or(0);
        told.settle(is_open, place);
        let oldest = told.finals.keys().rev().nth(SEEN_AGAIN).copied();
        told.finals.retain(|run, _| oldest.is_none_or(|oldest| *run > oldest));
        self.counted = evidence
            .ledger
            .iter()
            .filter(|line| line.mark == Mark::Start && !self.is_settled(line.key.run))
            .count();
        self.heard.forget_before(log_keep + ENTRIES);
    }

    /// What of this is about runs that are not over.
    pub fn open(&self, begun: Vec<Begun>) -> Vec<Begun> {
        begun.into_iter().filter(|(run, ..)| !self.is_settled(*run)).collect()
    }
}

fn starts_in(evidence: &Evidence) -> usize {
    evidence.ledger.iter().filter(|line| line.mark == Mark::Start).count()
}

fn judged(run: &RunEvidence) -> Judged {
    match FINAL.contains(&run.state.as_str()) {
        true => Judged::Over { key: run.key.clone(), state: run.state.clone() },
        false => Judged::Open,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::evidence::{Given, LedgerKey, LedgerLine, Start};
    use crate::workload::Cancelled;
    use crate::world::agenda::Agenda;
    use crate::world::clock::BEGINNING;
    use crate::world::trace::Trace;

    const OVER: RunId = RunId(7 << 100);
    const OPEN: RunId = RunId(8 << 100);

    fn start(run: RunId) -> LedgerLine {
        LedgerLine {
            mark: Mark::Start,
            key: key(run),
            attempt: 1,
            fence: Fence { generation: 1, shard: 1, term: 3, index: 5 },
            at: BEGINNING,
            worker: "w1".to_owned(),
            given: Given::default(),
        }
    }

    fn key(run: RunId) -> LedgerKey {
        LedgerKey { run, task: "a".to_owned(), item: 0 }
    }

    fn run(state: &str) -> RunEvidence {
        let (state, key) = (state.to_owned(), Some("k".to_owned()));
        RunEvidence { state, key, tasks: Vec::new(), history: Vec::new() }
    }

    fn acknowledged(run: RunId) -> Start {
        Start::Acknowledged { runs: vec![run], first_at: BEGINNING }
    }

    #[test]
    fn what_is_over_is_dropped_and_what_is_open_stays_where_it_was() {
        let lines = vec![start(OVER), start(OPEN), start(OVER)];
        let agenda = Arc::new(Agenda::new(1, BEGINNING, 0));
        let ledger = Ledger::new(lines.clone(), agenda, Trace::unasked());
        let runs = [(OVER, run("failed")), (OPEN, run("running"))].into();
        let evidence = Evidence { ledger: lines, runs, ..Evidence::default() };
        let mut told = Told::default();
        told.starts = [
            ("over".to_owned(), acknowledged(OVER)),
            ("open".to_owned(), acknowledged(OPEN)),
            ("unknown".to_owned(), Start::Unknown),
        ]
        .into();
        told.cancels = [(OVER, Cancelled::Accepted), (OPEN, Cancelled::Seen(3))].into();
        told.seen_succeeded = [(key(OVER), 1), (key(OPEN), 2)].into();

        let mut past = Past::default();
        assert_eq!((past.count_runs(&evidence), past.count_attempts(&evidence)), (2, 3));
        past.settle(&evidence, &ledger, &mut told, 0);
        assert_eq!(ledger.lines(), [start(OPEN)]);
        assert_eq!(told.starts, [("open".to_owned(), acknowledged(OPEN))].into());
        assert_eq!(told.cancels, [(OPEN, Cancelled::Seen(1))].into());
        assert_eq!(told.seen_succeeded, [(key(OPEN), 1)].into());
        assert!(past.knows(OPEN) && past.is_settled(OVER) && !past.is_settled(OPEN));

        let next = Evidence { ledger: vec![start(OPEN), start(OPEN)], ..evidence };
        assert_eq!((past.count_runs(&next), past.count_attempts(&next)), (0, 1));
    }

    #[test]
    fn a_settled_run_may_go_when_it_is_old() {
        let mut past = Past::default();
        let run = RunId::new(1_000, 1, 0);
        past.runs.insert(run, Judged::Over { key: None, state: "failed".to_owned() });
        let now = |shown: &BTreeMap<RunId, String>, age: Span| {
            past.beside(shown, Timestamp(1_000_000).plus(age))[&run].now.clone()
        };
        let gone = BTreeMap::new();
        assert_eq!(now(&gone, KEPT), Shown::Nothing);
        assert_eq!(now(&gone, Span(KEPT.0 + 1)), Shown::TooOld);
        let there = [(run, "failed".to_owned())].into();
        assert_eq!(now(&there, KEPT), Shown::State("failed".to_owned()));
    }
}
