//! Masters and workers as processes of their own, started as a deployer starts them: what a kill, a signal and a
//! restart leave, and how a configuration that cannot be right is refused.

mod harness;
mod nodes;
mod program;

use harness::wait_until;
use nix::sys::signal::Signal;
use nodes::Cluster;
use program::Home;
use serde_json::Value;

/// Long enough for a kill in the middle, short enough to wait for.
const SLEEPERS: &str = "hortator: v1
name: sleepers
tasks:
  - id: a
    shell: { script: 'sleep 0.4' }
  - id: b
    shell: { script: 'sleep 0.4' }
    needs: [a]
  - id: c
    shell: { script: 'sleep 0.4' }
    needs: [b]
";

/// The leader of the workflow's shard, as the cluster says.
fn leader(cluster: &Cluster) -> usize {
    let mut found = None;
    wait_until("a leader of shard 1", || {
        found = cluster.statuses().into_iter().flatten().find_map(|status: Value| {
            let groups = status["groups"].as_array()?;
            groups.iter().find(|group| group["group"] == 1)?["leader"].as_u64()
        });
        found.is_some()
    });
    found.unwrap() as usize - 1
}

#[test]
fn a_killed_leader_a_stopped_master_and_a_killed_worker_lose_nothing() {
    let mut cluster = Cluster::start(3, 2);
    cluster.api(0).apply(SLEEPERS);
    let mut runs: Vec<String> = (0..6)
        .map(|run| cluster.api(run % 3).start("sleepers", &format!("first-{run}")).unwrap().0)
        .collect();

    let killed = leader(&cluster);
    cluster.masters[killed].kill(Signal::SIGKILL);
    let other = (killed + 1) % 3;
    wait_until("a start after the kill", || match cluster.api(other).start("sleepers", "second") {
        Ok((run, _)) => {
            runs.push(run);
            true
        }
        Err(_) => false,
    });
    cluster.restart_master(killed);
    cluster.until_available(3);

    // A stop hands leadership over and is no accident.
    let stopped = leader(&cluster);
    let code = cluster.masters[stopped].end(Signal::SIGTERM);
    assert_eq!(code, 0, "{}", cluster.masters[stopped].log());
    cluster.restart_master(stopped);
    cluster.until_available(3);

    assert_eq!(cluster.workers[0].end(Signal::SIGTERM), 0, "{}", cluster.workers[0].log());
    cluster.restart_worker(0);
    runs.push(cluster.api(0).start("sleepers", "third").unwrap().0);
    for run in runs {
        let survivor = cluster.api(other);
        assert_eq!(survivor.end_of(&run), "succeeded", "{run}");
    }
}

#[test]
fn a_worker_that_is_asked_to_end_lets_its_tasks_end_and_starts_no_more() {
    let mut cluster = Cluster::start(1, 1);
    let api = cluster.api(0);
    let flag = cluster.home.path().join("flag");
    let sleep = "sleep 0.4";
    // A line for each start.
    api.apply(&SLEEPERS.replace(sleep, &format!("echo started >> {}; {sleep}", flag.display())));
    let (run, _) = api.start("sleepers", "one").unwrap();
    let tasks = |state: &str| -> Value { api.get(&format!("/runs/{run}/tasks?state={state}")) };
    wait_until("a process", || flag.exists());
    assert_eq!(cluster.workers[0].end(Signal::SIGTERM), 0, "{}", cluster.workers[0].log());
    let ended = tasks("succeeded");
    assert_eq!(
        ended["items"].as_array().map(Vec::len),
        Some(1),
        "what ran has ended, nothing else began: {ended}"
    );
    cluster.restart_worker(0);
    assert_eq!(api.end_of(&run), "succeeded");
    // An attempt that came to the ending worker too late is refused, and never began.
    let started = std::fs::read_to_string(&flag).unwrap().lines().count();
    assert_eq!(Some(started), tasks("succeeded")["items"].as_array().map(Vec::len), "nothing ran twice");
}

#[test]
fn signals_end_a_process_cleanly_and_a_second_one_at_once() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let cluster = Cluster::start(1, 0);
        let master = &cluster.masters[0];
        master.kill(Signal::SIGHUP);
        wait_until("the line about HUP", || master.log().contains("signal ignored"));
        assert_eq!(master.end(signal), 0, "{}", master.log());
    }
    let cluster = Cluster::start(1, 0);
    let (master, api) = (&cluster.masters[0], cluster.api(0));
    api.apply(SLEEPERS);
    let (run, _) = api.start("sleepers", "one").unwrap();
    // Nobody works, so this answer is open when the stop begins, which gives it a moment.
    let open = api.stream(&format!("/runs/{run}/events"), &[("Accept", "text/event-stream")]);
    master.kill(Signal::SIGTERM);
    wait_until("the beginning of the end", || master.log().contains("\"stopping\""));
    assert_eq!(master.end(Signal::SIGTERM), 128 + Signal::SIGTERM as i32, "{}", master.log());
    drop(open);
}

#[test]
fn what_cannot_be_right_is_refused_with_a_sentence() {
    let home = Home::new();
    let data = home.path().display().to_string();
    let development = format!("[development]\nshared_file = \"{data}/cluster.toml\"\n");
    let node = format!("[node]\ndata = \"{data}/node\"\n");
    let cases: [(&str, String, i32, &[&str]); 8] = [
        ("master", node.clone(), 4, &["belongs to no cluster", "cluster init", "[H1013]"]),
        ("worker", node.clone() + "[worker]\nname = \"w1\"\n", 4, &["belongs to no cluster", "[H1013]"]),
        (
            "master",
            format!("{node}[listen]\npeers = \"0.0.0.0:0\"\n{development}"),
            7,
            &["listen.peers is 0.0.0.0:0", "without certificates", "[H1014]"],
        ),
        (
            "master",
            format!("{node}[listen]\napi = \"[::]:0\"\n{development}"),
            7,
            &["listen.api is [::]:0", "without certificates"],
        ),
        (
            "master",
            format!("{node}{development}id = 3\nmasters = [{{ id = 1, peers = \"127.0.0.1:1\" }}]\n"),
            7,
            &["development.id is 3"],
        ),
        ("master", "[listen]\npers = \"\"\n".into(), 7, &["node.toml:2", "did you mean", "[H2002]"]),
        ("worker", "[worker]\nname = \"No Name\"\n".into(), 7, &["is no name for a worker"]),
        ("worker", "[worker\n".into(), 7, &["node.toml:1"]),
    ];
    for (role, text, code, parts) in cases {
        let file = home.write("node.toml", &text);
        let finished = home.call(&["server", role, "--config", &file]).expect(code);
        for part in parts {
            assert!(finished.stderr.contains(part), "{text}\n{} lacks {part:?}", finished.stderr);
        }
    }
    let finished = home.call(&["server", "master", "--config", &format!("{data}/none.toml")]).expect(7);
    assert!(finished.stderr.contains("none.toml"), "{}", finished.stderr);
}

#[test]
fn a_master_with_a_worker_in_one_process_runs_work() {
    let cluster = Cluster::start_all();
    cluster.until_available(1);
    let api = cluster.api(0);
    api.apply(SLEEPERS);
    let (run, _) = api.start("sleepers", "one").unwrap();
    assert_eq!(api.end_of(&run), "succeeded");
    let metrics = api.ask("GET /metrics", "").expect(200).body;
    assert!(metrics.contains("hortator_store_syncs_total ") && metrics.ends_with("# EOF\n"), "{metrics}");
    assert_eq!(cluster.masters[0].end(Signal::SIGTERM), 0, "{}", cluster.masters[0].log());
}

#[test]
fn supervisors_hear_of_readiness_life_and_the_end() {
    let home = Home::new();
    let path = home.path().join("notify");
    let supervisor = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    supervisor.set_read_timeout(Some(program::LIMIT)).unwrap();
    let cluster =
        Cluster::start_with(1, 0, &[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "300000")]);
    let hear = || {
        let mut bytes = [0; 256];
        let count = supervisor.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    let until = |word: &str| while hear() != word {};
    until("READY=1");
    until("WATCHDOG=1");
    until("WATCHDOG=1");
    cluster.masters[0].kill(Signal::SIGTERM);
    until("STOPPING=1");
}

#[test]
fn several_masters_are_measured_as_processes() {
    let home = Home::new();
    let arguments =
        ["bench", "--masters", "3", "--tasks", "200", "--runs", "1", "--slots", "64", "-o", "json"];
    let report = home.call(&arguments).expect(0).json();
    assert_eq!((report["masters"].as_u64(), report["tasks"].as_u64()), (Some(3), Some(200)));
    let per_task = &report["per_task"];
    for count in ["row_writes", "entries", "syncs", "frames", "actor_messages"] {
        assert!(per_task[count].as_f64().unwrap() > 0.0, "{count}: {report}");
    }
    // Each of three masters writes and syncs: more than one alone could.
    assert!(report["peak_rss_bytes"].as_u64().unwrap() > 30_000_000, "{report}");
}
