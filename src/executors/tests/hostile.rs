//! Scripts that mean no good.

use std::time::{Duration, Instant};

use hortator_actors::seam::{LaunchEnd, LaunchProgram, LaunchResult, LaunchSpec, Launcher, Stop};

use super::setup::{Setup, alive, await_some, spec};
use crate::log_file::LOG_BYTES_MAX;

fn refused(setup: &Setup, spec: LaunchSpec, expect: &str) {
    let end = setup.run_spec(spec);
    assert!(matches!(&end.result, LaunchResult::NotStarted { error } if error.contains(expect)), "{end:?}");
    assert_eq!(end.started_at, None);
    assert!(setup.launcher.is_empty());
}

fn interpreted_by(interpreter: &str) -> LaunchSpec {
    let mut spec = spec("main", ":");
    spec.program = LaunchProgram::Script { interpreter: interpreter.into(), text: ":".into() };
    spec
}

#[test]
fn what_cannot_be_started_is_said_in_a_sentence() {
    let setup = Setup::new();
    refused(&setup, interpreted_by("python9"), "interpreter \"python9\" is not in the PATH of worker w1");
    refused(&setup, interpreted_by("/nonexistent/sh"), "does not exist on worker w1");
    refused(&setup, interpreted_by("/etc/passwd"), "may not be executed");
    let text = setup.dir.join("no-program");
    std::fs::write(&text, "\u{1}\u{2}").unwrap();
    std::fs::set_permissions(&text, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    refused(&setup, interpreted_by(text.to_str().unwrap()), "is not a program this machine can run");
    std::fs::write(&text, "#!/nonexistent/interpreter\n").unwrap();
    refused(
        &setup,
        interpreted_by(text.to_str().unwrap()),
        "loader or interpreter of its own that is missing",
    );
    refused(&setup, spec("main", "echo \0"), "the script holds a NUL character");
    let with = |name: &str, value: String| {
        let mut spec = spec("main", ":");
        spec.env.insert(name.into(), value);
        spec
    };
    refused(&setup, with("A", "\0".into()), "variable \"A\" holds a NUL");
    refused(&setup, with("A=B", String::new()), "\"A=B\" cannot be given");
    refused(&setup, with("BIG", "x".repeat(200 << 10)), "variable \"BIG\" takes 204800 bytes");
    refused(&setup, with("BIG", "x".repeat(5 << 20)), "more than any program can be given");
    let mut many = spec("main", ":");
    many.env = (0..3000).map(|n| (format!("V{n}"), "x".repeat(1000))).collect();
    refused(&setup, many, "more than Linux gives a program");
    assert_eq!(setup.run(":").result, LaunchResult::Exited { code: 0 }, "the warden has survived it all");
}

#[test]
fn scripts_of_any_shape() {
    let setup = Setup::new();
    let padding = "# padding padding padding padding padding padding\n".repeat(21_000);
    for (script, log) in [
        ("echo a\r\necho b\r\n".to_owned(), "o a\no b\n"),
        ("echo 中文 '\u{1F6A3}'".to_owned(), "o 中文 \u{1F6A3}\n"),
        (format!("{padding}echo end"), "o end\n"),
        (String::new(), ""),
        ("printf 'a\\0b\\377\\n'".to_owned(), "o a\0b\u{fffd}\n"),
    ] {
        let _ = std::fs::remove_file(setup.log_path());
        assert_eq!(setup.run(&script).result, LaunchResult::Exited { code: 0 });
        assert_eq!(setup.log(), log);
    }
}

fn check_flood(script: &str, bytes: u64) -> (LaunchEnd, Setup) {
    let setup = Setup::new();
    let start = Instant::now();
    let end = setup.run(script);
    eprintln!("{bytes} bytes in {:?}", start.elapsed());
    assert_eq!(end.result, LaunchResult::Exited { code: 0 });
    assert!(
        end.log.bytes_kept <= LOG_BYTES_MAX && end.log.bytes_kept > LOG_BYTES_MAX - (200 << 10),
        "{end:?}"
    );
    let size = std::fs::metadata(setup.log_path()).unwrap().len();
    assert!(size > end.log.bytes_kept && size < end.log.bytes_kept + 200, "the mark comes on top");
    (end, setup)
}

#[test]
fn a_gigabyte_is_drained_and_counted() {
    let bytes = 1 << 30;
    let (end, setup) = check_flood("head -c 1073741824 /dev/zero | tr '\\0' '\\n'", bytes);
    let lines = end.log.bytes_kept / 31;
    assert_eq!(end.log.bytes_dropped + lines, bytes);
    let mark = format!("{:>20} bytes of output were dropped", end.log.bytes_dropped);
    let log = setup.log();
    assert_eq!(log.lines().filter(|line| line.starts_with("m log cut here")).count(), 1);
    assert!(log.lines().last().unwrap().contains(&mark));
}

#[test]
fn a_line_without_end() {
    let bytes = 100 << 20;
    let (end, setup) = check_flood("head -c 104857600 /dev/zero | tr '\\0' x; echo done >&2", bytes);
    let lines = end.log.bytes_kept.div_ceil((64 << 10) + 31);
    let text = end.log.bytes_kept - 31 * lines;
    assert!((bytes..bytes + 10).contains(&(end.log.bytes_dropped + text)), "{end:?}");
    assert!(setup.log().lines().all(|line| line.len() <= (64 << 10) + 2));
}

#[test]
fn a_process_that_ignores_term_is_killed_after_its_grace() {
    let setup = Setup::new();
    let spec = spec("main", "trap '' TERM; echo > $HTR_RUN_DIR/ready; while :; do sleep 0.05; done");
    setup.launcher.start(vec![spec.clone()]);
    setup.await_file("ready");
    let start = Instant::now();
    setup.launcher.stop(spec.attempt, spec.fence, Stop::Term);
    assert_eq!(setup.next_end().result, LaunchResult::Signalled { signal: 9 });
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(290) && took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_stopped_process_hears_its_term() {
    let setup = Setup::new();
    let spec = spec("main", "trap 'exit 7' TERM; echo $$ > $HTR_RUN_DIR/ready; kill -STOP $$; sleep 100");
    setup.launcher.start(vec![spec.clone()]);
    setup.await_file("ready");
    std::thread::sleep(Duration::from_millis(50));
    setup.launcher.stop(spec.attempt, spec.fence, Stop::Term);
    assert_eq!(setup.next_end().result, LaunchResult::Exited { code: 7 });
}

/// Runs a script that leaves something running and exits; its pid is the file's text.
fn check_left_behind(script: &str) {
    let setup = Setup::new();
    let start = Instant::now();
    let end = setup.run(script);
    assert_eq!(end.result, LaunchResult::Exited { code: 0 }, "{script}");
    assert!(start.elapsed() < Duration::from_secs(10), "hung on {script}");
    let pid: i32 = setup.await_file("pid").parse().unwrap();
    assert!(!alive(pid), "{script} left {pid}");
}

#[test]
fn what_a_script_leaves_behind_is_killed() {
    let wait = "while ! [ -s $HTR_RUN_DIR/pid ]; do sleep 0.01; done";
    for daemon in [
        // In the group, holding both pipes open.
        "(echo $(exec sh -c 'echo $PPID') > $HTR_RUN_DIR/pid; sleep 1000) &",
        // A session of its own.
        "setsid sh -c 'echo $$ > $HTR_RUN_DIR/pid; sleep 1000' &",
        // The classical daemon: two forks, a session, no descriptor, no environment.
        "(setsid env -i sh -c 'echo $$ > '$HTR_RUN_DIR'/pid; exec sleep 1000' </dev/null >/dev/null 2>&1 199>&- &) &",
        // Deaf as well.
        "(setsid sh -c 'trap \"\" TERM HUP INT; echo $$ > $HTR_RUN_DIR/pid; while :; do sleep 1; done' &) &",
    ] {
        check_left_behind(&format!("{daemon}\n{wait}"));
    }
}

#[test]
fn a_process_that_keeps_forking_away_is_caught() {
    // Each one starts its successor in a session of its own and exits.
    let hop = "n=0; while [ $n -lt 3 ]; do n=$((n+1)); done; sleep 0.01; setsid sh $0 & exit";
    check_left_behind(&format!(
        "echo '{hop}' > hop; (setsid sh hop &) & sleep 0.1; sh -c 'echo $$' > $HTR_RUN_DIR/pid"
    ));
    let hoppers = || crate::warden::strays::all_pids().into_iter().filter(|pid| is_hop(*pid)).count();
    await_some(|| (hoppers() == 0).then_some(()));
}

fn is_hop(pid: i32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == b"sh\0hop\0")
}

#[test]
fn a_long_attempt_is_cleaned_up_too() {
    check_left_behind("setsid sh -c 'echo $$ > $HTR_RUN_DIR/pid; exec sleep 1000' & sleep 0.5");
}

#[test]
fn orphans_of_a_running_attempt_are_let_be() {
    let setup = Setup::new();
    let first = spec("main", "(setsid sh -c 'echo $$ > $HTR_RUN_DIR/pid; exec sleep 1000' &); sleep 1");
    setup.launcher.start(vec![first]);
    let pid: i32 = setup.await_file("pid").parse().unwrap();
    let mut other = spec("other", "sleep 0.1");
    other.attempt.task_run.key.task = 1;
    assert_eq!(setup.run_spec(other).attempt.task_run.key.task, 1);
    assert!(alive(pid), "the end of another attempt does not concern it");
    assert_eq!(setup.next_end().result, LaunchResult::Exited { code: 0 });
    assert!(!alive(pid));
}

#[test]
fn closed_streams_and_a_vanished_directory() {
    let setup = Setup::new();
    let end = setup.run("exec >&- 2>&-; sleep 0.2; exit 5");
    assert_eq!(end.result, LaunchResult::Exited { code: 5 });
    let end = setup.run("rm -rf $HTR_WORKDIR $HTR_RUN_DIR; exit 6");
    assert_eq!(end.result, LaunchResult::Exited { code: 6 });
    let end = setup.run("rm -rf $HTR_WORKDIR/..; exit 7");
    assert_eq!(end.result, LaunchResult::Exited { code: 7 });
    let end = setup.run("mkdir -p a/b; touch a/b/c; chmod 0 a/b a; mkdir $HTR_OUTPUT");
    assert!(matches!(end.result, LaunchResult::OutputsInvalid { .. }), "{end:?}");
    assert_eq!(setup.run(":").result, LaunchResult::Exited { code: 0 });
}
