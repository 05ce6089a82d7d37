//! An operator looks into a cluster of three masters that was formed as a deployer forms it: what is wrong, what
//! happened, who leads, whether the masters' rows agree.

mod harness;
mod nodes;
mod program;

use std::os::unix::fs::FileExt as _;
use std::path::Path;

use harness::{Api, wait_until};
use nix::sys::signal::Signal;
use nodes::{NodeProcess, free_ports, init, join_token, master_file, start, worker_file};
use program::{Finished, Home, finish};
use redb::{Database, ReadableTable, TableDefinition};
use serde_json::Value;

const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");

/// Its task runs until a file is there.
const HELD: &str = "hortator: v1
name: held
tasks:
  - id: first
    noop: {}
  - id: waits
    needs: [first]
    shell: { script: 'echo here; until test -e GATE; do sleep 0.05; done' }
";

struct Formed {
    home: Home,
    masters: Vec<NodeProcess>,
    _worker: NodeProcess,
    /// Where the worker answers over HTTP.
    http: String,
}

impl Formed {
    fn start() -> Formed {
        let home = Home::new();
        init(&home, &master_file(&home, "m1"), "prod");
        let mut masters = vec![start(&home, "master", "m1", &[])];
        wait_until("a formed cluster", || home.call(&["status"]).code == 0);
        for name in ["m2", "m3"] {
            master_file(&home, name);
            let token = join_token(&home, &["master", "--name", name]);
            masters.push(start(&home, "master", name, &["--join", &token]));
        }
        worker_file(&home, "w1");
        let [port] = free_ports(1)[..] else { unreachable!() };
        let http = format!("127.0.0.1:{port}");
        let text = std::fs::read_to_string(home.path().join("w1.toml")).unwrap();
        home.write("w1.toml", format!("{text}[listen]\nhttp = \"{http}\"\n"));
        let token = join_token(&home, &["worker"]);
        let worker = start(&home, "worker", "w1", &["--join", &token]);
        let formed = Formed { home, masters, _worker: worker, http };
        formed.until_whole();
        formed
    }

    /// Three members with a vote in every group, and all of them live.
    fn until_whole(&self) {
        wait_until("three masters that are well", || {
            let findings = self.call(&["doctor", "-o", "json"]);
            let Ok(document) = serde_json::from_str::<Value>(&findings.stdout) else { return false };
            let of = |check: &str| {
                let all = document["items"].as_array().unwrap().iter();
                all.filter(|finding| finding["check"] == check).all(|finding| finding["result"] == "ok")
            };
            let said = findings.stdout.contains("1 master may be lost");
            said && of("masters") && of("quorum") && of("replicas") && of("workers")
        });
    }

    #[track_caller]
    fn call(&self, arguments: &[&str]) -> Finished {
        self.home.call(arguments)
    }

    #[track_caller]
    fn shell(&self, commands: &str) -> Finished {
        self.call(&["shell", "--write", "-c", commands])
    }

    /// A series of the worker's own metrics.
    fn of_worker(&self, series: &str) -> u64 {
        let api = Api { address: self.http.clone(), token: String::new() };
        let text = api.ask("GET /metrics", "").expect(200).body;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series} is not in\n{text}")).parse().unwrap()
    }

    /// The verdict on each group, and the exit code.
    fn verify(&self, more: &[&str]) -> (Vec<String>, Finished) {
        let said = self.call(&[&["raft", "verify", "-o", "json"], more].concat());
        let document = said.json();
        let verdicts = document["items"].as_array().unwrap().iter();
        (verdicts.map(|group| group["verdict"].as_str().unwrap().to_owned()).collect(), said)
    }
}

/// redb knows nothing of the sum behind its header, and a file without one is of an earlier build: otherwise the change
/// would be found when the file is opened.
fn without_sum(file: &Path) {
    const SUM: (u64, usize) = (320, 8);
    let file = std::fs::File::options().write(true).open(file).unwrap();
    file.write_all_at(&[0; SUM.1], SUM.0).unwrap();
}

#[test]
fn masters_that_agree_are_told_from_one_whose_rows_were_changed() {
    let mut cluster = Formed::start();
    let gate = cluster.home.path().join("gate");
    std::fs::write(&gate, "").unwrap();
    let text = HELD.replace("GATE", &gate.display().to_string());
    cluster.call(&["workflow", "apply", &cluster.home.write("held.workflow.yaml", text)]).expect(0);
    cluster.call(&["start", "held", "--wait"]).expect(0);

    // All rows of all groups are the same while everything goes on.
    wait_until("sums that all have", || cluster.verify(&[]).0.iter().all(|verdict| verdict == "same"));
    let (verdicts, said) = cluster.verify(&["--deep"]);
    assert_eq!((verdicts.len(), said.code), (5, 0), "{}", said.stdout);
    assert!(!said.stderr.contains("not compared"), "{}", said.stderr);

    // One master goes away: what the doctor says.
    assert_eq!(cluster.masters[2].end(Signal::SIGTERM), 0);
    let mut found = String::new();
    wait_until("the doctor's finding", || {
        let finished = cluster.call(&["doctor"]);
        found = finished.stdout;
        finished.code == 12 && found.contains("none more may be lost")
    });
    assert!(found.contains("m3 does not answer") && found.contains("hortator cluster remove m3"), "{found}");

    // Somebody takes a row out of its file.
    let group = {
        let directory = cluster.home.path().join("m3");
        let file = |group: u32| directory.join(format!("group-{group}.redb"));
        let mut taken = None;
        for group in 1..=4 {
            let database = Database::open(file(group)).unwrap();
            let transaction = database.begin_write().unwrap();
            let key = {
                let table = transaction.open_table(ROWS).unwrap();
                let rows = table.iter().unwrap().map(|row| row.unwrap().0.value().to_vec());
                // History is read by people only, so nothing that decides stumbles over it.
                rows.into_iter().find(|key| key.first() == Some(&b'h'))
            };
            taken = key.is_some().then_some(group);
            if let Some(key) = key {
                transaction.open_table(ROWS).unwrap().remove(key.as_slice()).unwrap();
            }
            transaction.commit().unwrap();
            drop(database);
            without_sum(&file(group));
            if taken.is_some() {
                break;
            }
        }
        taken.expect("the run has a history in one of the shards")
    };
    cluster.masters[2] = start(&cluster.home, "master", "m3", &[]);
    cluster.until_whole();
    let (verdicts, said) = cluster.verify(&["--deep"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(
        said.stderr.contains("H9040") && said.stdout.contains("the rows of m3 are not"),
        "{}",
        said.stdout
    );
    for (number, verdict) in verdicts.iter().enumerate() {
        assert_eq!(verdict == "DIFFERENT", number == group as usize, "group {number}: {verdict}");
    }
}

#[test]
fn an_operator_walks_through_a_cluster() {
    let cluster = Formed::start();
    // One master's own inside.
    for (chosen, name) in [("node m2", "m2"), ("m3", "m3"), ("n1", "n1")] {
        let view = cluster.shell(&format!("use {chosen}; actors | json")).expect(0).json();
        assert_eq!(view["master"], name, "use {chosen}");
    }

    // A token counts at every master as soon as somebody has it.
    for round in 0..12 {
        let name = format!("ci-{round}");
        let made = cluster.call(&["cluster", "token", "create", &name, "--role", "viewer", "-o", "json"]);
        let token = made.expect(0).json()["token"].as_str().unwrap().to_owned();
        let address = cluster.masters[round % 3].address("api");
        let arguments = ["workflow", "list", "--addr", &address];
        let asking = cluster.home.command(&arguments).env("HORTATOR_TOKEN", token).spawn().unwrap();
        finish(asking, &arguments).expect(0);
    }

    // Leaders are spread at once, by the Balancer's own plan.
    let leads = || -> Vec<usize> {
        let view: Value = cluster.shell("balance | json").expect(0).json();
        let masters = view["masters"].as_array().unwrap().iter();
        masters.map(|master| master["leads"].as_array().unwrap().len()).collect()
    };
    wait_until("leaders on all three masters", || {
        cluster.call(&["cluster", "rebalance", "--dry-run"]).expect(0);
        let moved = cluster.shell("rebalance").code;
        assert!([0, 6, 10].contains(&moved), "{moved}");
        let leads = leads();
        leads.len() == 3 && leads.iter().all(|count| *count > 0)
    });

    // A worker is emptied while it has work.
    let gate = cluster.home.path().join("gate");
    let text = HELD.replace("GATE", &gate.display().to_string());
    cluster.call(&["workflow", "apply", &cluster.home.write("held.workflow.yaml", text)]).expect(0);
    let run = cluster.call(&["start", "held", "-o", "name"]).expect(0).stdout.trim().to_owned();
    let worker = || cluster.call(&["worker", "show", "w1", "-o", "json"]).expect(0).json();
    wait_until("a running attempt", || worker()["running"] == 1);
    let arguments = ["worker", "drain", "w1", "--wait", "--deadline", "120s"];
    let mut draining = cluster.home.command(&arguments).spawn().unwrap();
    wait_until("the order", || worker()["state"] == "draining");
    assert_eq!(worker()["running"], 1, "what runs goes on");
    if draining.try_wait().unwrap().is_some() {
        panic!("it does not wait for the last attempt: {:?}", finish(draining, &arguments));
    }
    let before = cluster.of_worker("hortator_log_bytes_total");
    std::fs::write(&gate, "").unwrap();
    let drained = finish(draining, &arguments).expect(0);
    assert!(drained.stdout.contains("drained"), "{}", drained.stdout);
    assert_eq!(cluster.call(&["run", "show", &run, "-o", "json"]).expect(0).json()["state"], "succeeded");
    // A line with its time, by the end of the attempt.
    assert!(cluster.of_worker("hortator_log_bytes_total") > "here".len() as u64 && before == 0);
    assert_eq!(cluster.of_worker("hortator_log_dropped_total"), 0);
    assert_eq!(cluster.of_worker("hortator_peer_connections{kind=\"master\"}"), 3);
    assert!(cluster.of_worker("hortator_peer_bytes_total{kind=\"master\",dir=\"sent\"}") > 100);
    let found = cluster.call(&["doctor"]).stdout;
    assert!(found.contains("w1 is drained by admin") && found.contains("worker uncordon w1"), "{found}");
    cluster.call(&["worker", "uncordon", "w1"]).expect(0);

    // What happened, from the logs of all groups; and into a file.
    let file = cluster.home.path().join("events");
    cluster.shell(&format!("events --last 200 > '{}'", file.display())).expect(0);
    let all = std::fs::read_to_string(&file).unwrap();
    for part in
        ["worker w1\tchanges", "finished: succeeded", "waits: attempt 1 dispatched to w1", "members change"]
    {
        assert!(all.contains(part), "{part:?} is not in\n{all}");
    }
    let only = cluster.call(&["events", "--last", "200", "finished: "]).expect(0).stdout;
    assert_eq!(only.lines().count(), 1, "{only}");

    // Then and now: between the first entry of the run and its last.
    let positions = cluster.call(&["run", "events", &run, "-o", "name"]).expect(0).stdout;
    let positions: Vec<&str> = positions.lines().collect();
    let (first, last) = (positions[0], *positions.last().unwrap());
    let changes = cluster.call(&["diff", first, last, "--object", &run, "-o", "json"]).expect(0).json();
    let change = |what: &str| {
        let all = changes["items"].as_array().unwrap();
        all.iter()
            .find(|change| change["what"] == what)
            .unwrap_or_else(|| panic!("{what} is not in {changes}"))
            .clone()
    };
    assert_eq!(change("run")["after"]["state"], "succeeded");
    assert_eq!(change("waits")["before"]["state"], "waiting");
    assert_eq!(change("waits")["after"]["worker"], "w1");
    let then = cluster.shell(&format!("at {first}; explain {run}/waits; diff {first} {last} --object {run}"));
    let then = then.expect(0).stdout;
    for part in
        ["waits was WAITING", "R101  it needed first", "dispatched to w1", "succeeded, attempt 1 on w1"]
    {
        assert!(then.contains(part), "{part:?} is not in\n{then}");
    }
    let same = cluster.call(&["diff", last, last, "--object", &run]).expect(0);
    assert!(same.stderr.contains("nothing of run"), "{}", same.stderr);
}
