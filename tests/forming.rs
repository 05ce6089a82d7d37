//! A cluster as a deployer makes one: formed by one master, joined by others with a token each, all of it under TLS and
//! through the commands that people use. And what a node is told that cannot be let in.

mod harness;
mod nodes;
mod program;

use harness::wait_until;
use nix::sys::signal::Signal;
use nodes::{NodeProcess, free_ports};
use program::{Finished, Home};
use serde_json::Value;

const SLEEPERS: &str = "hortator: v1
name: sleepers
tasks:
  - id: a
    shell: { script: 'sleep 0.4' }
  - id: b
    shell: { script: 'sleep 0.4' }
    needs: [a]
";

/// The configuration file of a master on ports of its own.
fn master_file(home: &Home, name: &str) -> String {
    let ports = free_ports(3);
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

fn worker_file(home: &Home, name: &str) -> String {
    let text = format!("[node]\ndata = \"{}/{name}\"\n[worker]\nname = \"{name}\"\n", home.path().display());
    home.write(&format!("{name}.toml"), text)
}

fn init(home: &Home, file: &str, name: &str) -> Value {
    home.call(&["cluster", "init", "--config", file, "--name", name, "-o", "json"]).expect(0).json()
}

fn start(home: &Home, role: &str, name: &str, more: &[&str]) -> NodeProcess {
    NodeProcess::start_more(home, role, name, &[], more).until_ready()
}

fn join_token(home: &Home, arguments: &[&str]) -> String {
    let made = home.call(&[&["cluster", "add"], arguments, &["-o", "json"]].concat()).expect(0).json();
    let token = made["token"].as_str().unwrap();
    assert!(made["command"].as_str().unwrap().ends_with(&format!("--join {token}")), "{made}");
    token.to_owned()
}

fn members(home: &Home) -> String {
    let list = home.call(&["cluster", "members", "-o", "json"]).expect(0).json();
    let state = |master: &Value| {
        format!("{} {}", master["name"].as_str().unwrap(), master["state"].as_str().unwrap())
    };
    list["items"].as_array().unwrap().iter().map(state).collect::<Vec<_>>().join(", ")
}

fn mode(path: std::path::PathBuf) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
}

#[test]
fn one_master_forms_a_cluster_and_others_join_with_a_token_each() {
    let home = Home::new();
    let formed = init(&home, &master_file(&home, "m1"), "prod");
    assert_eq!(formed["shards"], 4);
    for file in ["identity.toml", "node.key", "founding.toml", "admin.token"] {
        assert_eq!(mode(home.path().join("m1").join(file)), 0o600, "{file}");
    }
    let first = start(&home, "master", "m1", &[]);
    wait_until("a formed cluster", || home.call(&["status"]).code == 0);
    let founding = home.path().join("m1/founding.toml");
    wait_until("the end of the file with the authority's key", || !founding.exists());

    let mut others = Vec::new();
    for name in ["m2", "m3"] {
        master_file(&home, name);
        let token = join_token(&home, &["master", "--name", name]);
        others.push(start(&home, "master", name, &["--join", &token]));
    }
    worker_file(&home, "w1");
    let token = join_token(&home, &["worker"]);
    let file = home.write("token", format!("{token}\n"));
    let config = std::fs::read_to_string(home.path().join("w1.toml")).unwrap();
    home.write("w1.toml", format!("{config}[join]\ntoken_file = \"{file}\"\n"));
    let worker = start(&home, "worker", "w1", &[]);
    wait_until("three members", || members(&home) == "n1 member, m2 member, m3 member");

    home.call(&["workflow", "apply", &home.write("sleepers.workflow.yaml", SLEEPERS)]).expect(0);
    let run = home.call(&["start", "sleepers", "-o", "name"]).expect(0).stdout.trim().to_owned();
    // The one that formed it is no more than the others; the worker learns of them from it.
    let more: Vec<String> = others.iter().map(|master| master.address("api")).collect();
    let addresses: Vec<&str> = more.iter().flat_map(|address| ["--addr", address.as_str()]).collect();
    first.kill(Signal::SIGKILL);
    home.call(&[&["run", "show", &run, "--follow"], &addresses[..]].concat()).expect(0);
    let again = home.call(&[&["start", "sleepers", "--wait"], &addresses[..]].concat());
    again.expect(0);

    // A worker that starts again needs no token.
    assert_eq!(worker.end(Signal::SIGTERM), 0, "{}", worker.log());
    let _worker = start(&home, "worker", "w1", &[]);
    // A dead master is replaced under a new id.
    home.call(&[&["cluster", "remove", "n1"], &addresses[..]].concat()).expect(0);
    let shown =
        || home.call(&[&["cluster", "members", "-o", "json"], &addresses[..]].concat()).expect(0).stdout;
    wait_until("n1 is gone", || shown().contains("\"removed\""));
    home.call(&[&["start", "sleepers", "--wait"], &addresses[..]].concat()).expect(0);
}

#[test]
fn tokens_of_people_allow_what_their_role_does() {
    let home = Home::new();
    init(&home, &master_file(&home, "m1"), "prod");
    let _master = start(&home, "master", "m1", &[]);
    wait_until("a formed cluster", || home.call(&["status"]).code == 0);
    let made =
        home.call(&["cluster", "token", "create", "bob", "--role", "viewer", "-o", "json"]).expect(0).json();
    let token = made["token"].as_str().unwrap().to_owned();
    let as_bob = |arguments: &[&str]| -> Finished {
        program::finish(home.command(arguments).env("HORTATOR_TOKEN", &token).spawn().unwrap(), arguments)
    };
    as_bob(&["status"]).expect(0);
    let refused = as_bob(&["cluster", "token", "list"]).expect(5);
    assert!(refused.stderr.contains("role"), "{}", refused.stderr);
    home.call(&["cluster", "token", "revoke", "bob"]).expect(0);
    assert!(as_bob(&["status"]).expect(5).stderr.contains("revoked"));
}

#[test]
fn who_cannot_be_let_in_hears_why_and_what_to_do() {
    let home = Home::new();
    let file = master_file(&home, "m1");
    init(&home, &file, "one");
    let again = home.call(&["cluster", "init", "--config", &file]).expect(4);
    assert!(again.stderr.contains("master/1 of cluster \"one\" already"), "{}", again.stderr);
    let _master = start(&home, "master", "m1", &[]);
    wait_until("a formed cluster", || home.call(&["status"]).code == 0);

    worker_file(&home, "w1");
    let token = join_token(&home, &["worker"]);
    assert_eq!(start(&home, "worker", "w1", &["--join", &token]).end(Signal::SIGTERM), 0);
    worker_file(&home, "w2");
    let w3 = master_file(&home, "w3");
    std::fs::create_dir(home.path().join("w3")).unwrap();
    home.write("w3/group-0.redb", "");
    let w1_renamed = home.write(
        "w9.toml",
        std::fs::read_to_string(home.path().join("w1.toml"))
            .unwrap()
            .replace("name = \"w1\"", "name = \"w9\""),
    );

    let elsewhere = Home::new();
    let foreign_file = master_file(&elsewhere, "m1");
    init(&elsewhere, &foreign_file, "two");
    let _other = start(&elsewhere, "master", "m1", &[]);
    wait_until("another cluster", || elsewhere.call(&["status"]).code == 0);
    let foreign = join_token(&elsewhere, &["worker"]);
    let master_token = join_token(&home, &["master", "--name", "m2"]);
    let path = |name: &str| home.path().join(format!("{name}.toml")).display().to_string();
    let (w1, w2) = (path("w1"), path("w2"));
    let cases: [(&str, &str, &str, i32, &[&str]); 7] = [
        ("worker", &w2, &token, 5, &["has let worker w1 in", "lets in one node only", "[H1015]"]),
        ("worker", &w2, "hjt1_x", 2, &["damaged", "[H1015]"]),
        ("worker", &w2, &master_token, 5, &["lets in a master"]),
        ("worker", &w1, &foreign, 4, &["of another cluster", "empty directory", "[H1016]"]),
        ("worker", &w1_renamed, &token, 4, &["joined as w1", "w9 now"]),
        ("master", &w3, &master_token, 4, &["whose identity is gone", "cluster remove"]),
        ("master", &file, "", 4, &["in use by another process"]),
    ];
    for (role, config, token, code, parts) in cases {
        let mut arguments = vec!["server", role, "--config", config];
        if !token.is_empty() {
            arguments.extend(["--join", token]);
        }
        let finished = home.call(&arguments);
        for part in parts {
            assert!(finished.stderr.contains(part), "{arguments:?}\n{} lacks {part:?}", finished.stderr);
        }
        assert_eq!(finished.code, code, "{arguments:?}\n{}", finished.stderr);
    }
    let file = home.write(
        "m4.toml",
        format!("[node]\ndata = \"{}/m4\"\n[listen]\npeers = \"127.0.0.1:0\"\n", home.path().display()),
    );
    let finished = home.call(&["cluster", "init", "--config", &file]).expect(7);
    assert!(finished.stderr.contains("advertise.peers"), "{}", finished.stderr);
}

/// Emptied, and restored from an older copy: in both cases it has promised what it does not know any more.
#[test]
fn a_master_that_has_forgotten_ends_with_a_sentence() {
    let home = Home::new();
    init(&home, &master_file(&home, "m1"), "prod");
    let _first = start(&home, "master", "m1", &[]);
    wait_until("a formed cluster", || home.call(&["status"]).code == 0);
    let mut others = Vec::new();
    for name in ["m2", "m3"] {
        master_file(&home, name);
        let token = join_token(&home, &["master", "--name", name]);
        others.push(start(&home, "master", name, &["--join", &token]));
    }
    wait_until("three members", || members(&home) == "n1 member, m2 member, m3 member");
    others[1].kill(Signal::SIGKILL);
    drop(others.pop());
    for entry in std::fs::read_dir(home.path().join("m3")).unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with("group-") {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let config = home.path().join("m3.toml").display().to_string();
    let ended = home.call(&["server", "master", "--config", &config]).expect(4);
    for part in ["n3 may not take part any more", "cluster remove n3", "[H1016]"] {
        assert!(ended.stderr.contains(part), "{} lacks {part:?}", ended.stderr);
    }
}
