//! `kill -9` at random moments: a whole cluster in one process dies again and again under load, and nothing that was
//! acknowledged is lost, run twice or left behind. The tasks themselves keep the ledger that is judged. A kill counts
//! for a phase when the log that is read afterwards, beside the ledger, shows that it hit one.
//!
//! Longer: `HORTATOR_TEST_KILLS=20 cargo test --test kill` kills in 20 rounds of 20 runs.

mod harness;
mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant, SystemTime};

use harness::ledger::{Key, Ledger, Mark, SAY};
use harness::{Api, Cluster, Draw, processes_with};
use hortator::api::body::EventsPage;
use hortator_core::event::{Event, TaskOutcome};
use hortator_core::id::TaskKey;
use hortator_core::time::Timestamp;
use serde_json::Value;

const TASKS: [&str; 3] = ["first", "middle", "last"];
/// Task runs of one run.
const TASK_RUNS: usize = 6;
const OUTLIVES_MAX: Duration = Duration::from_secs(2);

fn workflow(ledger: &Ledger) -> String {
    let script = format!("{SAY}; say start; sleep 0.03; say beat; sleep 0.03; say beat; say end");
    format!(
        "hortator: v1\nname: ledger\ndefaults: {{ env: {{ LEDGER: '{}' }} }}\ntasks:\n  \
         - {{ id: first, shell: {{ script: &script '{script}' }} }}\n  \
         - {{ id: middle, needs: [first], foreach: {{ items: [0, 1, 2, 3], as: number }}, shell: {{ script: *script }} }}\n  \
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
enum Moment {
    Random,
    StartsInFlight,
    AfterStart,
    AfterEnd,
}

const MOMENTS: [Moment; 4] = [Moment::StartsInFlight, Moment::AfterEnd, Moment::AfterStart, Moment::Random];

/// One kill: when, and how many lines the ledger had once all processes were gone.
struct Kill {
    at: Timestamp,
    lines: usize,
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
    /// The first length of the ledger at which the API had said that it has succeeded.
    seen: BTreeMap<Key, usize>,
    kills: u64,
    phases: BTreeMap<Phase, u64>,
}

impl Story {
    /// Starts runs, kills the cluster at some moment, starts it again and waits for the runs to end.
    fn round(&mut self, number: u64, runs: u64) {
        let api = self.cluster.up();
        if number == 0 {
            api.apply(&workflow(&self.ledger));
        }
        let mut acknowledged: BTreeSet<String> = BTreeSet::new();
        for place in 0..runs {
            acknowledged.insert(api.start("ledger", &format!("{number}-{place}")).unwrap().0);
        }
        let (kill, unanswered) = self.kill_at(MOMENTS[number as usize % 4], &api, &mut acknowledged, number);
        let mut kills = vec![kill];
        // Now and then once more while it recovers.
        if self.draw.below(3) == 0 {
            self.cluster.spawn();
            std::thread::sleep(Duration::from_millis(self.draw.below(1_500)));
            kills.push(self.kill());
        }
        self.kills += kills.len() as u64;
        let api = self.cluster.up();
        for key in unanswered {
            let (run, existing) = api.start("ledger", &key).unwrap();
            if !existing {
                *self.phases.entry(Phase::BeforeCommit).or_default() += 1;
            }
            acknowledged.insert(run);
        }
        for run in &acknowledged {
            assert_eq!(api.end_of(run), "succeeded", "run {run}");
            let attempts = history(&api, run);
            self.classify(&attempts, &kills);
        }
        self.kill();
    }

    /// Looks at what the API says has succeeded until the moment of the kill comes; then kills. Gives the keys of
    /// starts that had no answer when it was killed.
    fn kill_at(
        &mut self,
        moment: Moment,
        api: &Api,
        runs: &mut BTreeSet<String>,
        round: u64,
    ) -> (Kill, Vec<String>) {
        let until = Instant::now() + Duration::from_millis(self.draw.below(600));
        while Instant::now() < until {
            for run in runs.iter() {
                self.look(api, run);
            }
        }
        let mut unanswered = Vec::new();
        match moment {
            Moment::Random => {}
            Moment::StartsInFlight => {
                let starts: Vec<_> =
                    (0..3).map(|place| start_aside(api, format!("{round}-late-{place}"))).collect();
                std::thread::sleep(Duration::from_micros(self.draw.below(8_000)));
                let kill = self.kill();
                for start in starts {
                    let (key, run) = start.join().unwrap();
                    match run {
                        Some(run) => drop(runs.insert(run)),
                        None => unanswered.push(key),
                    }
                }
                return (kill, unanswered);
            }
            Moment::AfterStart => {
                runs.insert(api.start("ledger", &format!("{round}-last")).unwrap().0);
                std::thread::sleep(Duration::from_micros(self.draw.below(8_000)));
            }
            Moment::AfterEnd => {
                let before = self.ledger.len();
                let patience = Instant::now() + Duration::from_millis(500);
                let ended = || self.ledger.lines()[before..].iter().any(|line| line.mark == Mark::End);
                while Instant::now() < patience && !ended() {
                    std::thread::yield_now();
                }
            }
        }
        (self.kill(), unanswered)
    }

    fn look(&mut self, api: &Api, run: &str) {
        let page: Value = api.get(&format!("/runs/{run}/tasks?state=succeeded"));
        let lines = self.ledger.len();
        for task in page["items"].as_array().unwrap() {
            let item = task["item"].as_u64().unwrap_or(0) as u32;
            let key = (run.to_owned(), task["id"].as_str().unwrap().to_owned(), item);
            self.seen.entry(key).or_insert(lines);
        }
    }

    /// Kills, and waits until no process of an attempt is left, for as long as one may be.
    fn kill(&mut self) -> Kill {
        let at = now();
        self.cluster.kill();
        let (begun, mark) = (Instant::now(), format!("LEDGER={}", self.ledger.path()));
        loop {
            let left = processes_with(&mark);
            if left == 0 {
                return Kill { at, lines: self.ledger.len() };
            }
            let longer = begun.elapsed();
            assert!(longer < OUTLIVES_MAX, "{left} processes outlive their agent by {longer:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn classify(&mut self, attempts: &[Attempt], kills: &[Kill]) {
        let lines = self.ledger.lines();
        for kill in kills {
            let open = attempts.iter().filter(|one| one.dispatched <= kill.at && kill.at < one.ended);
            for attempt in open {
                let own = lines[..kill.lines]
                    .iter()
                    .filter(|line| (&line.key, line.index) == (&attempt.key, attempt.index));
                let phase = match own.last().map(|line| line.mark) {
                    None => Phase::Dispatched,
                    Some(Mark::Start | Mark::Beat) => Phase::Running,
                    Some(Mark::End) => Phase::FinishedUnreported,
                };
                *self.phases.entry(phase).or_default() += 1;
            }
        }
    }

    fn check_ledger(&self) {
        self.ledger.check_no_overlap();
        let lines = self.ledger.lines();
        for (key, seen) in &self.seen {
            let again = lines[*seen..].iter().find(|line| line.key == *key);
            assert!(again.is_none(), "it was seen as succeeded, then ran again: {again:?}");
        }
        assert!(!self.seen.is_empty(), "the API never said that anything has succeeded");
    }
}

/// Starts a run on a thread of its own; gives the key, and the run when there was an answer.
fn start_aside(api: &Api, key: String) -> std::thread::JoinHandle<(String, Option<String>)> {
    let api = api.clone();
    std::thread::spawn(move || {
        let run = api.start("ledger", &key).ok().map(|(run, _)| run);
        (key, run)
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
    let cluster = Cluster::new(&["--masters", masters, "--workers", "1"]);
    let ledger = Ledger::new(cluster.home.path());
    let draw = Draw::new("kill");
    let mut story = Story { cluster, ledger, draw, seen: BTreeMap::new(), kills: 0, phases: BTreeMap::new() };
    // Moments are random: a few rounds more when they missed a phase.
    let hit_all = |story: &Story| PHASES.iter().all(|phase| story.phases.contains_key(phase));
    let mut round = 0;
    while round < rounds || (round < 4 * rounds && !hit_all(&story)) {
        story.round(round, runs);
        round += 1;
    }
    println!("{} kills; what they hit: {:?}", story.kills, story.phases);
    story.check_ledger();
    assert!(hit_all(&story), "no kill hit some phase: {:?}", story.phases);
}

#[test]
fn one_master_killed_again_and_again() {
    story("1");
}

#[test]
fn three_masters_in_one_process_killed_again_and_again() {
    story("3");
}
