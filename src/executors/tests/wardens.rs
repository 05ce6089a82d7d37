//! Deaths: of the agent, of the warden, of the lease.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hortator_actors::seam::{LaunchEvent, LaunchResult, Launcher};
use hortator_core::time::Span;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::setup::{Setup, again, alive, await_some, await_text, quiet, run, spec};
use crate::warden::boot_micros;
use crate::warden::lock::{LockError, acquire_lock};

/// A tree: the script, a child, and a daemon in its own session, each writing its pid; all deaf to TERM.
const TREE: &str = "trap '' TERM; sh -c 'echo $$ > $HTR_RUN_DIR/child; while :; do sleep 0.05; done' &
(setsid sh -c 'echo $$ > $HTR_RUN_DIR/daemon; while :; do sleep 0.05; done' &)
echo $$ > $HTR_RUN_DIR/main; while :; do sleep 0.05; done";

fn tree_pids(dir: &Path) -> Vec<i32> {
    let path = dir.join("runs").join(run().to_string());
    ["main", "child", "daemon"].map(|name| await_text(&path.join(name)).parse().unwrap()).to_vec()
}

fn start_agent(dir: &Path) -> Child {
    let command = again("agent");
    Command::new(command.program)
        .args(command.args)
        .envs(command.env)
        .env("HTR_TEST_DIR", dir)
        .env("HTR_TEST_SCRIPT", TREE)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn dead_within(pids: &[i32], limit: Duration) {
    let start = Instant::now();
    await_some(|| pids.iter().all(|pid| !alive(*pid)).then_some(()));
    assert!(start.elapsed() < limit, "{:?}", start.elapsed());
}

#[test]
fn an_agent_killed_takes_everything_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = start_agent(dir.path());
    let pids = tree_pids(dir.path());
    assert!(pids.iter().all(|pid| alive(*pid)));
    let error = acquire_lock(dir.path(), &quiet()).unwrap_err();
    assert!(
        matches!(&error, LockError::AnotherWorker { pid, .. } if *pid == agent.id().to_string()),
        "{error}"
    );
    agent.kill().unwrap();
    agent.wait().unwrap();
    dead_within(&pids, Duration::from_secs(2));
    acquire_lock(dir.path(), &quiet()).unwrap();
}

#[test]
fn an_agent_killed_leaves_its_place_to_the_next_one() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = start_agent(dir.path());
    let pids = tree_pids(dir.path());
    let start = Instant::now();
    agent.kill().unwrap();
    agent.wait().unwrap();
    let setup = Setup::in_directory(dir.path());
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(setup.launcher.earlier_lives_dead());
    assert!(pids.iter().all(|pid| !alive(*pid)));
    assert_eq!(setup.run("echo next").result, LaunchResult::Exited { code: 0 });
}

/// The warden is the parent of the script.
fn parent_of(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn agent_and_warden_killed_together() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = start_agent(dir.path());
    let pids = tree_pids(dir.path());
    let warden = Pid::from_raw(parent_of(pids[0]));
    kill(Pid::from_raw(agent.id() as i32), Signal::SIGSTOP).unwrap();
    kill(warden, Signal::SIGKILL).unwrap();
    agent.kill().unwrap();
    agent.wait().unwrap();
    dead_within(&pids[..1], Duration::from_secs(1));
    // Child and daemon have lost everybody who could know them; the next agent finds them by the lock.
    let lock = acquire_lock(dir.path(), &quiet()).unwrap();
    dead_within(&pids, Duration::from_millis(100));
    drop(lock);
}

#[test]
fn a_warden_killed_is_replaced_after_its_tasks_are_dead() {
    let setup = Setup::new();
    setup.launcher.start(vec![spec("main", TREE)]);
    let pids = tree_pids(&setup.dir);
    assert_eq!(setup.started_pid(), pids[0]);
    kill(Pid::from_raw(parent_of(pids[0])), Signal::SIGKILL).unwrap();
    assert!(
        matches!(setup.next_event(), LaunchEvent::WardenGone { reason } if reason.contains("unexpectedly"))
    );
    assert_eq!(setup.next_event(), LaunchEvent::WardenReady { earlier_lives_dead: true });
    dead_within(&pids, Duration::from_millis(100));
    assert!(setup.launcher.is_empty());
    assert_eq!(setup.run("exit 3").result, LaunchResult::Exited { code: 3 });
}

#[test]
fn a_warden_does_not_heed_what_is_meant_for_the_agent() {
    let setup = Setup::new();
    let first = spec("main", "echo > $HTR_RUN_DIR/ready; sleep 0.3");
    setup.launcher.start(vec![first]);
    setup.await_file("ready");
    let warden = Pid::from_raw(parent_of(setup.started_pid()));
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGTSTP] {
        kill(warden, signal).unwrap();
    }
    assert_eq!(setup.next_end().result, LaunchResult::Exited { code: 0 });
    assert_eq!(setup.run(":").result, LaunchResult::Exited { code: 0 });
}

#[test]
fn the_lease_deadline_ends_everything_without_the_agent() {
    let setup = Setup::new();
    setup.launcher.set_deadline(Some(Span((boot_micros() + 60_000_000) as u64)));
    setup.launcher.start(vec![spec("main", TREE)]);
    let pids = tree_pids(&setup.dir);
    let start = Instant::now();
    setup.launcher.set_deadline(Some(Span((boot_micros() + 300_000) as u64)));
    let _started = setup.started_pid();
    assert_eq!(setup.next_end().result, LaunchResult::Signalled { signal: 9 });
    let took = start.elapsed();
    assert!(
        took > Duration::from_millis(780) && took < Duration::from_secs(2),
        "deadline and grace: {took:?}"
    );
    assert!(pids.iter().all(|pid| !alive(*pid)));
    assert!(matches!(setup.next_event(), LaunchEvent::WardenGone { reason } if reason.contains("deadline")));
    assert!(matches!(setup.next_event(), LaunchEvent::WardenReady { .. }));
    assert_eq!(setup.run(":").result, LaunchResult::Exited { code: 0 }, "the new one has no deadline yet");
}

#[test]
fn nothing_starts_past_the_deadline() {
    let setup = Setup::new();
    setup.launcher.set_deadline(Some(Span(1)));
    setup.launcher.start(vec![spec("main", "echo > $HTR_RUN_DIR/started")]);
    loop {
        match setup.next_event() {
            LaunchEvent::Ended(end) => {
                assert!(
                    matches!(&end.result, LaunchResult::NotStarted { error } if error.contains("lease")),
                    "{end:?}"
                );
            }
            LaunchEvent::WardenReady { .. } => break,
            LaunchEvent::WardenGone { .. } => {}
            LaunchEvent::Started { .. } => panic!("started past the deadline"),
        }
    }
    assert!(!setup.dir.join("runs").join(run().to_string()).join("started").exists());
}

#[test]
fn a_shutdown_ends_everything_and_frees_the_directory() {
    let setup = Setup::new();
    setup.launcher.start(vec![spec("main", TREE)]);
    let pids = tree_pids(&setup.dir);
    setup.launcher.shutdown();
    setup.started_pid();
    assert_eq!(setup.next_end().result, LaunchResult::Signalled { signal: 9 });
    assert!(
        matches!(setup.next_event(), LaunchEvent::WardenGone { reason } if reason == "it was told to end")
    );
    assert!(pids.iter().all(|pid| !alive(*pid)));
    let Setup { launcher, dir, _temporary, .. } = setup;
    drop(launcher);
    acquire_lock(&dir, &quiet()).unwrap();
}
