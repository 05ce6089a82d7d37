//! `kill -9` at random moments: a whole cluster in one process dies again and again under load, and nothing that was
//! acknowledged is lost, run twice or left behind. The tasks themselves keep the ledger that is judged. A kill counts
//! for a phase when the log that is read afterwards, beside the ledger, shows that it hit one.
//!
//! Longer: `HORTATOR_TEST_KILLS=20 cargo test --test kill` kills in 20 rounds of 20 runs.

mod harness;
mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use harness::cluster::{Cluster, Draw};
use harness::ledger::{Key, Ledger, Line, Mark, SAY};
use harness::{Api, processes_with};
use hortator::api::body::EventsPage;
use hortator_core::event::{Event, TaskOutcome};
use hortator_core::id::TaskKey;
use hortator_core::time::Timestamp;
use program::LIMIT;
use serde_json::Value;

const TASKS: [&str; 3] = ["first", "middle", "last"];
/// Task runs of one run.
const TASK_RUNS: usize = 10;
/// How a request breaks off that was sent and not answered; one that came too late is refused.
const SENT: [ErrorKind; 2] = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
/// Above what any machine needs until each phase was hit.
const ROUNDS_MORE_MAX: u64 = 40;
const OUTLIVES_MAX: Duration = Duration::from_secs(2);

fn workflow(ledger: &Ledger) -> String {
    let script = format!("{SAY}; say start; sleep 0.03; say beat; sleep 0.03; say beat; say end");
    format!(
        "hortator: v1\nname: ledger\ndefaults: {{ env: {{ LEDGER: '{}' }} }}\ntasks:\n  \
         - {{ id: first, shell: {{ script: &script '{script}' }} }}\n  \
         - {{ id: middle, needs: [first], foreach: {{ items: [0, 1, 2, 3, 4, 5, 6, 7], as: number }}, shell: {{ script: *script }} }}\n  \
         - {{ id: last, needs: [middle], shell: {{ script: *script }} }}\n",
        ledger.path()
    )
}

/// Where a kill found a start or an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// A start was sent, and is not in the log.
    BeforeCommit,
    /// The attempt is in the log, its process has not begun.
    Dispatched,
    Running,
    /// The attempt has done its last, and the log does not know.
    FinishedUnreported,
}

const PHASES: [Phase; 4] =
    [Phase::BeforeCommit, Phase::Dispatched, Phase::Running, Phase::FinishedUnreported];

/// What a kill aims at; what it hits is seen afterwards.
#[derive(Clone, Copy, Debug)]
enum Aim {
    StartsInFlight,
    AfterDispatch,
    AfterEnd,
    Anything,
}

const AIMS: [Aim; 4] = [Aim::StartsInFlight, Aim::AfterDispatch, Aim::AfterEnd, Aim::Anything];

struct Kill {
    /// Before it was sent.
    from: Timestamp,
    /// When the cluster was gone.
    gone: Timestamp,
    /// Size of the ledger once the attempts were gone as well.
    said: u64,
    hit: BTreeSet<Phase>,
}

/// Life of one attempt in the log.
struct Attempt {
    key: Key,
    index: u64,
    dispatched: Timestamp,
    ended: Timestamp,
}

struct Story {
    cluster: Cluster,
    ledger: Ledger,
    draw: Draw,
    /// Size of the ledger when this round began.
    begun: u64,
    /// Keys of starts and their runs, of this round.
    runs: BTreeMap<String, String>,
    /// Runs of all rounds, once they have.
    ended: Vec<String>,
    /// Size of the ledger when the API had said that it has succeeded.
    seen: BTreeMap<Key, u64>,
    seen_before_a_kill: bool,
    kills: u64,
    /// Kills that hit it.
    phases: BTreeMap<Phase, u64>,
}

impl Story {
    /// Starts runs, kills the cluster at some moment, starts it again and waits for the runs to end.
    fn round(&mut self, number: u64, runs: u64, aim: Aim) {
        let api = self.cluster.up();
        if number == 0 {
            api.apply(&workflow(&self.ledger));
        }
        self.begun = self.ledger.size();
        self.runs.clear();
        for place in 0..runs {
            self.start(&api, format!("{number}-{place}"));
        }
        let time = Duration::from_millis(self.draw.below(600));
        self.look_for(&api, time);
        let starts = self.aim(aim, &api, number);
        let mut kills = vec![self.kill()];
        let mut unanswered = Vec::new();
        for (key, answer) in starts.into_iter().flat_map(|starts| starts.join().unwrap()) {
            match answer {
                Ok((run, _)) => drop(self.runs.insert(key, run)),
                Err(error) if SENT.contains(&error.kind()) => unanswered.push(key),
                Err(_) => {}
            }
        }
        // Now and then once more while it recovers.
        if self.draw.below(3) == 0 {
            self.cluster.spawn();
            std::thread::sleep(Duration::from_millis(self.draw.below(1_500)));
            kills.push(self.kill());
        }
        let api = self.cluster.up();
        for key in unanswered {
            if !self.start(&api, key).1 {
                kills[0].hit.insert(Phase::BeforeCommit);
            }
        }
        for run in self.runs.values().cloned().collect::<Vec<_>>() {
            assert_eq!(api.end_of(&run), "succeeded", "run {run}");
            self.look(&api, &run);
            self.classify(&history(&api, &run), &mut kills);
            self.ended.push(run);
        }
        self.kills += kills.len() as u64;
        for phase in kills.iter().flat_map(|kill| &kill.hit) {
            *self.phases.entry(*phase).or_default() += 1;
        }
        self.kill();
    }

    /// Gives the run, and whether the start was known already.
    fn start(&mut self, api: &Api, key: String) -> (String, bool) {
        let (run, existing) = api.start("ledger", &key).unwrap();
        self.runs.insert(key, run.clone());
        (run, existing)
    }

    /// Remembers for so long what the API says has succeeded.
    fn look_for(&mut self, api: &Api, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            for run in self.runs.values().cloned().collect::<Vec<_>>() {
                self.look(api, &run);
            }
            self.seen_before_a_kill |= !self.seen.is_empty();
        }
    }

    fn look(&mut self, api: &Api, run: &str) {
        let page: Value = api.get(&format!("/runs/{run}/tasks?state=succeeded"));
        let said = self.ledger.size();
        for task in page["items"].as_array().unwrap() {
            let item = task["item"].as_u64().unwrap_or(0) as u32;
            let key = (run.to_owned(), task["id"].as_str().unwrap().to_owned(), item);
            self.seen.entry(key).or_insert(said);
        }
    }

    /// Returns at the moment of the kill, with the starts that are in flight then.
    fn aim(&mut self, aim: Aim, api: &Api, round: u64) -> Vec<Starts> {
        let mut starts = Vec::new();
        match aim {
            Aim::Anything => return starts,
            Aim::StartsInFlight => {
                let (sender, begun) = mpsc::channel();
                for thread in 0..3 {
                    starts.push(start_aside(api, format!("{round}-late-{thread}"), sender.clone()));
                }
                begun.recv().unwrap();
            }
            Aim::AfterDispatch => {
                // The items of a task are dispatched together: when one has begun, others have not.
                self.start_and_watch(api, round, |line| line.key.1 == "middle");
                return starts;
            }
            Aim::AfterEnd => {
                self.start_and_watch(api, round, |line| line.mark == Mark::End);
                return starts;
            }
        }
        std::thread::sleep(Duration::from_micros(self.draw.below(8_000)));
        starts
    }

    /// Starts a run; returns as soon as such a line is in the ledger.
    fn start_and_watch(&mut self, api: &Api, round: u64, wanted: impl Fn(&Line) -> bool) {
        let (before, until) = (self.ledger.size(), Instant::now() + LIMIT);
        let (run, _) = self.start(api, format!("{round}-late"));
        while !self.ledger.lines_from(before).iter().any(|line| line.key.0 == run && wanted(line)) {
            assert!(Instant::now() < until, "run {run} does nothing");
            std::thread::yield_now();
        }
    }

    /// Kills, and waits until no process of an attempt is left, for as long as one may be.
    fn kill(&mut self) -> Kill {
        let from = now();
        self.cluster.kill();
        let (gone, begun) = (now(), Instant::now());
        let mark = format!("LEDGER={}", self.ledger.path());
        loop {
            let left = processes_with(&mark);
            if left == 0 {
                return Kill { from, gone, said: self.ledger.size(), hit: BTreeSet::new() };
            }
            let longer = begun.elapsed();
            assert!(longer < OUTLIVES_MAX, "{left} processes outlive their agent by {longer:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn classify(&self, attempts: &[Attempt], kills: &mut [Kill]) {
        let lines = self.ledger.lines_from(self.begun);
        for attempt in attempts {
            let hits = |kill: &&mut Kill| attempt.dispatched <= kill.from && kill.gone < attempt.ended;
            // A later kill finds what this one left.
            let Some(kill) = kills.iter_mut().find(hits) else { continue };
            let own = lines.iter().take_while(|line| line.at < kill.said);
            let last = own.filter(|line| (&line.key, line.index) == (&attempt.key, attempt.index)).last();
            kill.hit.insert(match last.map(|line| line.mark) {
                None => Phase::Dispatched,
                Some(Mark::Start | Mark::Beat) => Phase::Running,
                Some(Mark::End) => Phase::FinishedUnreported,
            });
        }
    }

    /// After the last kill nothing has changed for any run.
    fn check(&mut self) {
        let api = self.cluster.up();
        for run in &self.ended {
            assert_eq!(api.end_of(run), "succeeded", "run {run}");
            history(&api, run);
        }
        self.ledger.check_no_overlap();
        for line in self.ledger.lines_from(0) {
            let seen = self.seen.get(&line.key);
            assert!(
                seen.is_none_or(|seen| line.at < *seen),
                "it was seen as succeeded, then ran again: {line:?}"
            );
        }
    }

    /// What to aim at to make up for something that no kill has hit yet.
    fn missing(&self) -> Option<Aim> {
        let phase = PHASES.into_iter().find(|phase| !self.phases.contains_key(phase));
        match phase {
            Some(Phase::BeforeCommit) => Some(Aim::StartsInFlight),
            Some(Phase::Dispatched) => Some(Aim::AfterDispatch),
            Some(Phase::FinishedUnreported) => Some(Aim::AfterEnd),
            Some(Phase::Running) => Some(Aim::Anything),
            None if !self.seen_before_a_kill => Some(Aim::Anything),
            None => None,
        }
    }
}

/// To a start of this key: the run, and whether it was known.
type Answer = (String, io::Result<(String, bool)>);

/// Starts one run after the other until that fails; ends with their keys and what came of them.
type Starts = JoinHandle<Vec<Answer>>;

fn start_aside(api: &Api, key: String, begun: mpsc::Sender<()>) -> Starts {
    let api = api.clone();
    std::thread::spawn(move || {
        let _ = begun.send(());
        let mut answers: Vec<Answer> = Vec::new();
        while answers.last().is_none_or(|(_, answer)| answer.is_ok()) {
            let key = format!("{key}-{}", answers.len());
            let answer = api.start("ledger", &key);
            answers.push((key, answer));
        }
        answers
    })
}

fn now() -> Timestamp {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Timestamp(since.as_micros() as i64)
}

/// The attempts of a run by its history, in which every task run succeeds once.
fn history(api: &Api, run: &str) -> Vec<Attempt> {
    let (mut attempts, mut open, mut successes) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    let page: EventsPage = api.get(&format!("/runs/{run}/events?limit=1000"));
    assert!(page.last, "a run's history is one page");
    for entry in &page.entries {
        for event in &entry.events {
            match event {
                Event::AttemptDispatched { key, .. } => {
                    let earlier = open.insert(*key, (entry.position.index, entry.at));
                    assert!(earlier.is_none(), "two attempts of {key:?} at a time in run {run}");
                }
                Event::AttemptRefused { key, .. }
                | Event::AttemptEnded { key, .. }
                | Event::AttemptLost { key, .. } => {
                    let Some((index, dispatched)) = open.remove(key) else {
                        panic!("an attempt of {key:?} ends that was not open in run {run}");
                    };
                    attempts.push(Attempt { key: named(run, *key), index, dispatched, ended: entry.at });
                }
                Event::TaskEnded { key, outcome: TaskOutcome::Succeeded { .. } } => {
                    *successes.entry(*key).or_insert(0) += 1;
                }
                _ => {}
            }
        }
    }
    assert!(
        successes.len() == TASK_RUNS && successes.values().all(|count| *count == 1),
        "run {run}: {successes:?}"
    );
    attempts
}

fn named(run: &str, key: TaskKey) -> Key {
    (run.to_owned(), TASKS[key.task as usize].to_owned(), key.item)
}

fn story(masters: &str) {
    let wanted = std::env::var("HORTATOR_TEST_KILLS").ok().and_then(|text| text.parse().ok());
    let (rounds, runs) = wanted.map_or((4, 4), |kills: u64| (kills, 20));
    let cluster = Cluster::new(&["--masters", masters, "--workers", "1", "--slots", "32"]);
    let ledger = Ledger::new(cluster.home.path());
    let mut story = Story {
        cluster,
        ledger,
        draw: Draw::new("kill"),
        begun: 0,
        runs: BTreeMap::new(),
        ended: Vec::new(),
        seen: BTreeMap::new(),
        seen_before_a_kill: false,
        kills: 0,
        phases: BTreeMap::new(),
    };
    for round in 0..rounds {
        story.round(round, runs, AIMS[round as usize % AIMS.len()]);
    }
    // Moments are left to chance: more of them while a phase was missed.
    for round in rounds..rounds + ROUNDS_MORE_MAX {
        let Some(aim) = story.missing() else { break };
        story.round(round, runs, aim);
    }
    let (runs, kills) = (story.ended.len(), story.kills);
    println!("{masters} masters, {runs} runs, {kills} kills, which hit {:?}", story.phases);
    story.check();
    assert!(story.missing().is_none(), "never hit: {:?}, of {:?}", story.missing(), story.phases);
}

#[test]
fn one_master_killed_again_and_again() {
    story("1");
}

#[test]
fn three_masters_in_one_process_killed_again_and_again() {
    story("3");
}
