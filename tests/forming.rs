//! A cluster as a deployer makes one: formed by one master, joined by others with a token each, all of it under TLS and
//! through the commands that people use. And what a node is told that cannot be let in.

mod harness;
mod nodes;
mod program;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use harness::wait_until;
use hortator::env::SystemClock;
use hortator::pki::{Ca, Certified, Identity, client_of_authority};
use hortator_actors::seam::Clock;
use hortator_core::time::{Span, Timestamp};
use nix::sys::signal::Signal;
use nodes::{NodeProcess, free_ports, init, join_token, master_file, start, worker_file};
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

/// Signs that node's certificate anew, as of so many days ago, with the authority that the first master forms it with.
fn backdate(home: &Home, name: &str, authority: &Ca, days: u64) {
    let directory = home.path().join(name);
    let mut identity = Identity::read(&directory).unwrap();
    let at = SystemClock.wall().0 - (days * 24 * 60 * 60 * 1_000_000) as i64;
    let old = identity.certified().unwrap();
    let pem = authority.sign(&identity.key.csr(), &identity.role, &old.addresses, Timestamp(at)).unwrap();
    identity.replace_certificate(&directory, pem).unwrap();
}

fn authority(home: &Home, name: &str) -> Ca {
    let founding = std::fs::read_to_string(home.path().join(name).join("founding.toml")).unwrap();
    let founding: toml::Table = founding.parse().unwrap();
    Ca::from_pem(founding["authority"].as_str().unwrap(), founding["authority_key"].as_str().unwrap())
        .unwrap()
}

fn valid_until(home: &Home, name: &str) -> Timestamp {
    Identity::read(&home.path().join(name)).unwrap().certified().unwrap().valid_until
}

/// Until when the certificate counts that a master shows to who calls its API now.
fn shown_until(address: &str, authority: &Ca) -> Timestamp {
    let config = client_of_authority(authority.certificate_pem()).unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut session = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut socket).unwrap();
    }
    Certified::from_der(&session.peer_certificates().unwrap()[0]).unwrap().valid_until
}

/// Three years is `NODE_DAYS`; a certificate that is 800 days old has less than a third of them left.
#[test]
fn certificates_renew_by_themselves() {
    const OLD: u64 = 800;
    let home = Home::new();
    init(&home, &master_file(&home, "m1"), "prod");
    let authority = authority(&home, "m1");
    backdate(&home, "m1", &authority, OLD);
    let before = valid_until(&home, "m1");
    let master = start(&home, "master", "m1", &[]);
    wait_until("a renewed certificate of the master", || valid_until(&home, "m1") > before);
    let year = Span::from_secs(365 * 24 * 60 * 60);
    wait_until("it is shown to new callers", || {
        shown_until(&master.address("api"), &authority) > before.plus(year)
    });

    worker_file(&home, "w1");
    let text = std::fs::read_to_string(home.path().join("w1.toml")).unwrap();
    let [port] = free_ports(1)[..] else { unreachable!() };
    home.write("w1.toml", format!("{text}[listen]\nhttp = \"127.0.0.1:{port}\"\n"));
    let token = join_token(&home, &["worker"]);
    let variable = [("HORTATOR_JOIN_TOKEN", token.as_str())];
    let worker = NodeProcess::start_more(&home, "worker", "w1", &variable, &[]).until_ready();
    assert_eq!(worker.end(Signal::SIGTERM), 0);
    backdate(&home, "w1", &authority, OLD);
    let before = valid_until(&home, "w1");
    let left = |metrics: &str| -> u64 {
        let line = metrics.lines().find_map(|line| line.strip_prefix("hortator_certificate_seconds_left "));
        line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
    };
    let worker = start(&home, "worker", "w1", &[]);
    wait_until("a renewed certificate of the worker", || valid_until(&home, "w1") > before);
    wait_until("it is told", || worker.log().contains("this node has a new certificate"));
    wait_until("it is what the metrics tell of", || {
        left(&get(&format!("127.0.0.1:{port}"), "/metrics")) > 2 * 365 * 24 * 60 * 60
    });
}

/// Plain HTTP, as a collector on this host asks.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Each master of three gets other ports, one after the other, and a worker that was away meanwhile finds them.
#[test]
fn masters_move_one_at_a_time_and_removed_ones_stay_out() {
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
    let token = join_token(&home, &["worker"]);
    let worker = start(&home, "worker", "w1", &["--join", &token]);
    wait_until("three members", || members(&home) == "n1 member, m2 member, m3 member");
    home.call(&["workflow", "apply", &home.write("sleepers.workflow.yaml", SLEEPERS)]).expect(0);
    for place in [2, 1, 0] {
        let name = format!("m{}", place + 1);
        assert_eq!(masters[place].end(Signal::SIGTERM), 0);
        master_file(&home, &name);
        masters[place] = start(&home, "master", &name, &[]);
        let apis: Vec<String> = masters.iter().map(|master| master.address("api")).collect();
        let [flag, other, one] = ["--addr", apis[(place + 1) % 3].as_str(), apis[place].as_str()];
        for asked in [other, one] {
            wait_until("a list with the new address", || {
                let listed = home.call(&["cluster", "members", "-o", "json", flag, asked]);
                listed.code == 0 && listed.stdout.contains(one)
            });
        }
        // The context learns from whoever answers.
        home.call(&["status"]).expect(0);
        // The worker is registered with the cluster as it is now, and the next may go.
        wait_until("all are there", || {
            let status = home.call(&["status", "-o", "json", flag, one]);
            status.code == 0 && status.json()["verdict"] == "available"
        });
        home.call(&["start", "sleepers", "--wait", flag, one]).expect(0);
    }
    assert_eq!(worker.end(Signal::SIGTERM), 0);
    let _worker = start(&home, "worker", "w1", &[]);
    let api = masters[1].address("api");
    // The context was written with one address, where nobody is any more.
    home.call(&["start", "sleepers", "--wait"]).expect(0);

    // One that was removed while it was away is told so by those that it calls.
    masters[2].kill(Signal::SIGKILL);
    home.call(&["cluster", "remove", "n3", "--addr", &api]).expect(0);
    wait_until("n3 is gone", || {
        home.call(&["cluster", "members", "-o", "json", "--addr", &api])
            .expect(0)
            .stdout
            .contains("\"removed\"")
    });
    let config = home.path().join("m3.toml").display().to_string();
    let ended = home.call(&["server", "master", "--config", &config]).expect(4);
    assert!(ended.stderr.contains("it was removed from its cluster"), "{}", ended.stderr);
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
