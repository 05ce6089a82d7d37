//! `kill -9` at bad moments: a whole cluster in one process dies again and again under load, and nothing that was
//! acknowledged is lost, run twice or left behind. The tasks themselves keep the ledger that is judged.
//!
//! Repeat: `HORTATOR_TEST_SEED=N HORTATOR_TEST_KILLS=20 cargo test --test kill`

mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use program::{Home, LIMIT};
use serde_json::Value;

/// Every task run writes when it starts and when it ends.
const WORKFLOW: &str = r#"
hortator: v1
name: ledger
defaults: { env: { LEDGER: "LEDGER_PATH" } }
tasks:
  - id: first
    shell: { script: &script 'note() { echo "$1 $HTR_RUN_ID $HTR_TASK ${HTR_ITEM:-0} $HTR_ATTEMPT $(date +%s%N)" >> "$LEDGER"; }; note s; sleep 0.15; note e' }
  - id: middle
    needs: [first]
    foreach: { items: [0, 1, 2, 3], as: number }
    shell: { script: *script }
  - id: last
    needs: [middle]
    shell: { script: *script }
"#;

/// A task run: run, task, item.
type Key = (String, String, u32);

/// The moment at which the cluster is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// A start was sent and not answered.
    BeforeCommit,
    /// A start was answered; its first attempt is on its way.
    Dispatched,
    /// A process has begun and not ended.
    Running,
    /// A process has ended, and no one has seen its success.
    FinishedUnreported,
}

const PHASES: [Phase; 4] =
    [Phase::BeforeCommit, Phase::Dispatched, Phase::Running, Phase::FinishedUnreported];

struct Line {
    starts: bool,
    key: Key,
    attempt: u32,
    at: u128,
}

struct World {
    home: Home,
    masters: &'static str,
    ledger: PathBuf,
    acknowledged: BTreeSet<String>,
    /// Seen as succeeded through the API, with the attempt that was.
    seen: BTreeMap<Key, u32>,
    seed: u64,
}

impl World {
    fn draw(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below
    }

    fn up(&self) -> Child {
        let data = self.home.path().join("data").display().to_string();
        let arguments = ["dev", "--masters", self.masters, "--workers", "1", "--port", "0", "--data", &data];
        let errors =
            std::fs::OpenOptions::new().create(true).append(true).open(self.home.path().join("stderr"));
        let mut child = self.home.command(&arguments).stderr(errors.unwrap()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let stderr = || std::fs::read_to_string(self.home.path().join("stderr")).unwrap_or_default();
        assert!(line.starts_with("ready "), "not ready: {line:?}\n{}", stderr());
        child
    }

    fn start(&mut self) {
        let run = self.home.call(&["start", "ledger", "-o", "name"]).expect(0).stdout.trim().to_string();
        self.acknowledged.insert(run);
    }

    fn lines(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(&self.ledger).unwrap_or_default();
        text.lines().filter_map(parse).collect()
    }

    fn unfinished(&self) -> usize {
        let lines = self.lines();
        lines.iter().filter(|line| line.starts).count() - lines.iter().filter(|line| !line.starts).count()
    }

    /// Remembers what the API says has succeeded.
    fn look(&mut self) {
        for run in self.acknowledged.clone() {
            let tasks = self.home.call(&["run", "tasks", &run, "-o", "json"]).expect(0).json();
            for task in items(&tasks).iter().filter(|task| task["state"] == "succeeded") {
                let item = task["item"].as_u64().unwrap_or(0) as u32;
                let key = (run.clone(), task["id"].as_str().unwrap().to_string(), item);
                self.seen.insert(key, task["attempt"].as_u64().unwrap() as u32);
            }
        }
    }

    /// Waits for the moment; false when it did not come.
    fn wait_for(&mut self, phase: Phase) -> bool {
        let before = self.lines().len();
        match phase {
            Phase::BeforeCommit => {
                // Nobody waits for this start: whether it happened is unknown, and both are right.
                let mut child = self.home.command(&["start", "ledger", "-o", "name"]).spawn().unwrap();
                std::thread::sleep(Duration::from_millis(self.draw(40)));
                let _ = child.kill();
                let _ = child.wait();
                true
            }
            Phase::Dispatched => {
                self.start();
                true
            }
            Phase::Running => {
                self.start();
                until(|| self.unfinished() > 0)
            }
            Phase::FinishedUnreported => {
                self.start();
                until(|| self.lines().iter().skip(before).any(|line| !line.starts))
            }
        }
    }

    fn kill(&mut self, mut cluster: Child, phase: Phase) {
        let came = self.wait_for(phase);
        assert!(came, "the moment {phase:?} never came");
        cluster.kill().unwrap();
        cluster.wait().unwrap();
        let home = self.home.path().to_path_buf();
        let gone = Instant::now() + Duration::from_secs(2);
        while attempts_alive(&home) > 0 {
            assert!(Instant::now() < gone, "{} processes outlive their agent by 2 s", attempts_alive(&home));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn finish(&mut self) {
        let cluster = self.up();
        for run in self.acknowledged.clone() {
            let mut last = String::new();
            let done = until(|| {
                last = self.home.call(&["run", "show", &run, "-o", "json"]).expect(0).json()["state"]
                    .to_string();
                last == "\"succeeded\""
            });
            assert!(done, "acknowledged run {run} is {last}");
            self.at_most_one_success(&run);
        }
        let mut cluster = cluster;
        cluster.kill().unwrap();
        cluster.wait().unwrap();
    }

    fn at_most_one_success(&self, run: &str) {
        let events = self.home.call(&["run", "events", run, "-o", "json"]).expect(0).stdout;
        let mut successes: BTreeMap<String, u32> = BTreeMap::new();
        for document in serde_json::Deserializer::from_str(&events).into_iter::<Value>() {
            walk(&document.unwrap(), &mut |event| {
                if event["event"] == "task_ended" && event["outcome"]["outcome"] == "succeeded" {
                    *successes.entry(event["key"].to_string()).or_default() += 1;
                }
            });
        }
        assert_eq!(successes.len(), 6, "six task runs succeed in run {run}: {successes:?}");
        assert!(successes.values().all(|count| *count == 1), "a second success in run {run}: {successes:?}");
    }

    fn judge_ledger(&self) {
        let mut attempts: BTreeMap<Key, BTreeMap<u32, (u128, Option<u128>)>> = BTreeMap::new();
        for line in self.lines() {
            let of_key = attempts.entry(line.key.clone()).or_default();
            if line.starts {
                let twice = of_key.insert(line.attempt, (line.at, None));
                assert!(twice.is_none(), "attempt {} of {:?} started twice", line.attempt, line.key);
            } else if let Some(attempt) = of_key.get_mut(&line.attempt) {
                attempt.1 = Some(line.at);
            }
        }
        for (key, of_key) in &attempts {
            for ((earlier, (_, end)), (later, (start, _))) in of_key.iter().zip(of_key.iter().skip(1)) {
                let apart = end.is_none_or(|end| end <= *start);
                assert!(apart, "attempts {earlier} and {later} of {key:?} overlap");
            }
            if let Some(seen) = self.seen.get(key) {
                let newest = of_key.keys().last().unwrap();
                assert!(
                    newest <= seen,
                    "{key:?} was seen as succeeded in attempt {seen}, then ran as {newest}"
                );
            }
        }
    }
}

fn parse(line: &str) -> Option<Line> {
    let parts: Vec<&str> = line.split(' ').collect();
    let [word, run, task, item, attempt, at] = parts[..] else { return None };
    let key = (run.to_string(), task.to_string(), item.parse().ok()?);
    Some(Line { starts: word == "s", key, attempt: attempt.parse().ok()?, at: at.parse().ok()? })
}

/// The list in a document, which may be the document itself.
fn items(document: &Value) -> Vec<Value> {
    let list =
        document.as_array().or_else(|| document["items"].as_array()).or_else(|| document["tasks"].as_array());
    list.cloned().unwrap_or_else(|| panic!("no list in {document}"))
}

fn walk(value: &Value, visit: &mut dyn FnMut(&Value)) {
    match value {
        Value::Object(map) => {
            visit(value);
            map.values().for_each(|value| walk(value, visit));
        }
        Value::Array(list) => list.iter().for_each(|value| walk(value, visit)),
        _ => {}
    }
}

fn until(mut condition: impl FnMut() -> bool) -> bool {
    let limit = Instant::now() + LIMIT;
    while !condition() {
        if Instant::now() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Task processes of this test's workers: they carry a fence, and directories below this home.
fn attempts_alive(home: &Path) -> usize {
    let home = home.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let environments = processes.filter_map(|entry| std::fs::read(entry.path().join("environ")).ok());
    environments
        .filter(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            text.contains("HTR_FENCE=") && text.contains(&home)
        })
        .count()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn story(masters: &'static str, kills: u64) {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let seed = number("HORTATOR_TEST_SEED").unwrap_or(clock).max(1);
    println!(
        "seed {seed}; repeat: HORTATOR_TEST_SEED={seed} HORTATOR_TEST_KILLS={kills} cargo test --test kill"
    );
    let home = Home::new();
    let ledger = home.path().join("ledger");
    let text = WORKFLOW.replace("LEDGER_PATH", &ledger.display().to_string());
    let file = home.write("ledger.workflow.yaml", text);
    let (acknowledged, seen) = (BTreeSet::new(), BTreeMap::new());
    let mut world = World { home, masters, ledger, acknowledged, seen, seed };
    let mut landed: BTreeMap<Phase, u64> = BTreeMap::new();
    for kill in 0..kills {
        let cluster = world.up();
        if kill == 0 {
            world.home.call(&["workflow", "apply", &file]).expect(0);
        }
        world.start();
        std::thread::sleep(Duration::from_millis(world.draw(400)));
        world.look();
        let phase = PHASES[(kill % 4) as usize];
        world.kill(cluster, phase);
        *landed.entry(phase).or_default() += 1;
    }
    println!("kills by phase: {landed:?}");
    assert_eq!(landed.len(), PHASES.len(), "a phase was never hit: {landed:?}");
    world.finish();
    world.judge_ledger();
}

#[test]
fn one_master_killed_again_and_again() {
    story("1", number("HORTATOR_TEST_KILLS").unwrap_or(4));
}

#[test]
fn three_masters_in_one_process_killed_again_and_again() {
    story("3", number("HORTATOR_TEST_KILLS").unwrap_or(4));
}
