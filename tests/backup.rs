//! A cluster is copied while it works, dies whole, and lives again out of the copy as another cluster.

mod harness;
mod nodes;
mod program;

use harness::wait_until;
use nix::sys::signal::Signal;
use nodes::{NodeProcess, free_ports};
use program::Home;
use serde_json::Value;

/// Waits for a file, which the test makes; writes down each start with its fence.
fn workflow(home: &Home, name: &str, delivery: &str) -> String {
    let home_path = home.path().display();
    let text = format!(
        "hortator: v1\nname: {name}\ntasks:\n  - id: a\n    delivery: {delivery}\n    shell:\n      script: |\n        \
         echo {name} $HTR_FENCE >> {home_path}/starts\n        while ! test -e {home_path}/go; do sleep 0.1; done\n  \
         - id: b\n    noop: {{}}\n    needs: [a]\n"
    );
    home.write(&format!("{name}.workflow.yaml"), text)
}

const QUICK: &str = "hortator: v1\nname: quick\ntasks:\n  - id: a\n    shell: { script: 'exit 0' }\n";

/// Ports are given, so that the new cluster can be where the old one was.
fn master_file(home: &Home, name: &str, ports: &[u16]) -> String {
    let text = format!(
        "[node]\ndata = \"{}/{name}\"\n[listen]\npeers = \"127.0.0.1:{}\"\nworkers = \"127.0.0.1:{}\"\napi = \
         \"127.0.0.1:{}\"\n",
        home.path().display(),
        ports[0],
        ports[1],
        ports[2]
    );
    home.write(&format!("{name}.toml"), text)
}

fn worker_file(home: &Home, directory: &str) {
    let text = format!("[node]\ndata = \"{}/{directory}\"\n[worker]\nname = \"w1\"\n", home.path().display());
    home.write(&format!("{directory}.toml"), text);
}

fn start(home: &Home, role: &str, name: &str, more: &[&str]) -> NodeProcess {
    NodeProcess::start_more(home, role, name, &[], more).until_ready()
}

fn join_token(home: &Home, arguments: &[&str]) -> String {
    let made = home.call(&[&["cluster", "add"], arguments, &["-o", "json"]].concat()).expect(0).json();
    made["token"].as_str().unwrap().to_owned()
}

fn start_run(home: &Home, arguments: &[&str]) -> String {
    home.call(&[&["start"], arguments, &["-o", "name"]].concat()).expect(0).stdout.trim().to_owned()
}

fn state(home: &Home, run: &str) -> String {
    let view = home.call(&["run", "show", run, "-o", "json"]).expect(0).json();
    view["state"].as_str().unwrap().to_owned()
}

fn starts(home: &Home) -> Vec<String> {
    let text = std::fs::read_to_string(home.path().join("starts")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_cluster_that_is_lost_whole_lives_again_out_of_its_backup() {
    let home = Home::new();
    let (first, second) = (free_ports(3), free_ports(3));
    let file = master_file(&home, "m1", &first);
    let formed =
        home.call(&["cluster", "init", "--config", &file, "--name", "prod", "-o", "json"]).expect(0).json();
    let m1 = start(&home, "master", "m1", &[]);
    wait_until("a formed cluster", || home.call(&["status"]).code == 0);
    master_file(&home, "m2", &second);
    let token = join_token(&home, &["master", "--name", "m2"]);
    let m2 = start(&home, "master", "m2", &["--join", &token]);
    worker_file(&home, "w1");
    let old_worker = start(&home, "worker", "w1", &["--join", &join_token(&home, &["worker"])]);
    let everywhere = |state: &str| {
        let members = home.call(&["cluster", "members", "-o", "json"]).expect(0).json();
        members["items"].as_array().unwrap().iter().filter(|master| master["state"] == state).count()
    };
    wait_until("two members", || everywhere("member") == 2);

    // One run is over, two live.
    let quick = home.write("quick.workflow.yaml", QUICK);
    let (again, once) = (workflow(&home, "again", "at_least_once"), workflow(&home, "once", "at_most_once"));
    home.call(&["workflow", "apply", &quick, &again, &once]).expect(0);
    home.call(&["start", "quick", "--key", "k1", "--wait"]).expect(0);
    let finished = start_run(&home, &["quick", "--key", "k1"]);
    let (again, once) = (start_run(&home, &["again"]), start_run(&home, &["once"]));
    wait_until("both tasks run", || starts(&home).len() == 2);

    // Of a master that leads only some groups.
    let backup = home.path().join("prod.backup").display().to_string();
    let address = m2.address("api");
    home.call(&["backup", "save", &backup, "--addr", &address]).expect(0);
    let refused = home.call(&["backup", "save", &backup]).expect(4);
    assert!(refused.stderr.contains("[H4206]"), "{}", refused.stderr);
    let contents = home.call(&["backup", "inspect", &backup, "-o", "json"]).expect(0).json();
    for (what, count) in [
        ("workflows", 3),
        ("runs_live", 2),
        ("runs_finished", 1),
        ("task_runs", 3),
        ("start_keys", 3),
        ("workers", 1),
        ("masters", 2),
        ("generation", 1),
        ("shards", 4),
    ] {
        assert_eq!(contents[what], count, "{what} of {contents}");
    }
    let text = home.call(&["backup", "inspect", &backup]).expect(0).stdout;
    assert!(text.contains("2 live, 1 finished") && text.contains("all checksums good"), "{text}");
    let after = start_run(&home, &["quick", "--wait"]);

    m1.kill(Signal::SIGKILL);
    m2.kill(Signal::SIGKILL);
    // Where the first master was, in another directory.
    let config = master_file(&home, "r1", &first);
    let short = home.write("short.backup", &std::fs::read(&backup).unwrap()[..500]);
    let refused = home.call(&["backup", "restore", &short, "--config", &config]).expect(7);
    assert!(refused.stderr.contains("[H4202]"), "{}", refused.stderr);
    let data = home.path().join("r1").display().to_string();
    // The configuration's own directory is another one here: the flag counts.
    master_file(&home, "unused", &first);
    let unused = home.path().join("unused.toml").display().to_string();
    let restored = home
        .call(&["backup", "restore", &backup, "--config", &unused, "--data", &data, "-o", "json"])
        .expect(0);
    let restored = restored.json();
    assert_eq!((&restored["name"], &restored["shards"]), (&"prod".into(), &4.into()));
    assert_ne!(restored["cluster"], formed["cluster"]);
    let refused = home.call(&["backup", "restore", &backup, "--config", &config]).expect(4);
    assert!(refused.stderr.contains("[H1016]"), "{}", refused.stderr);

    let r1 = start(&home, "master", "r1", &[]);
    wait_until("the restored cluster", || home.call(&["status"]).code == 0);
    let members: Value = home.call(&["cluster", "members", "-o", "json"]).expect(0).json();
    assert_eq!(members["items"].as_array().unwrap().len(), 1, "{members}");
    // The old nodes find it where the old cluster was, and are told what they are.
    let hears = "with an empty directory and a join token of it";
    wait_until("the old worker hears that it does not belong here", || old_worker.log().contains(hears));
    let _old_master = start(&home, "master", "m2", &[]);
    wait_until("the old master is refused", || r1.log().contains(hears));
    let old_token = std::fs::read_to_string(home.path().join("m1/admin.token")).unwrap();
    let mut command = home.command(&["status"]);
    let child = command.env("HORTATOR_TOKEN", old_token.trim()).spawn().unwrap();
    program::finish(child, &["status"]).expect(5);

    assert_eq!(state(&home, &finished), "succeeded");
    assert!(home.call(&["run", "events", &finished]).expect(0).stdout.contains("succeeded"));
    home.call(&["run", "show", &after]).expect(3);
    assert_eq!(start_run(&home, &["quick", "--key", "k1"]), finished, "the key has made its run");
    wait_until("a lost attempt that may not be repeated fails", || state(&home, &once) == "failed");
    assert_eq!((state(&home, &again).as_str(), starts(&home).len()), ("running", 2), "nobody works yet");

    let other =
        home.call(&["server", "worker", "--config", &home.path().join("w1.toml").display().to_string()]);
    assert_ne!(other.code, 0, "its directory is in use, and of the old cluster");
    worker_file(&home, "w1new");
    let _worker = start(&home, "worker", "w1new", &["--join", &join_token(&home, &["worker"])]);
    wait_until("the lost attempt is repeated", || starts(&home).len() == 3);
    assert!(starts(&home)[2].starts_with("again 2-"), "a higher generation: {:?}", starts(&home));
    std::fs::write(home.path().join("go"), "").unwrap();
    home.call(&["run", "show", &again, "--wait"]).expect(0);
    let new = start_run(&home, &["quick", "--wait"]);
    assert!(![&finished, &again, &once, &after].contains(&&new));
    // And it can be copied again.
    let second = home.path().join("second.backup").display().to_string();
    home.call(&["backup", "save", &second]).expect(0);
    let contents = home.call(&["backup", "inspect", &second, "-o", "json"]).expect(0).json();
    assert_eq!((&contents["generation"], &contents["runs_live"]), (&2.into(), &0.into()), "{contents}");
}
