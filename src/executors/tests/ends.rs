//! How attempts end, what they see, and what they leave.

use hortator_actors::seam::{LaunchEvent, LaunchProgram, LaunchResult, Launcher, Stop};
use hortator_core::definition::ValueType;
use hortator_core::time::Timestamp;

use super::setup::{Setup, await_some, declares, run, spec};

#[test]
fn exit_codes_and_signals() {
    let setup = Setup::new();
    for (script, expect) in [
        (":", LaunchResult::Exited { code: 0 }),
        ("exit 75", LaunchResult::Exited { code: 75 }),
        ("kill -9 $$", LaunchResult::Signalled { signal: 9 }),
        ("kill -s SEGV $$", LaunchResult::Signalled { signal: 11 }),
        // The first real-time signal: safe wrappers of wait stumble on it.
        ("kill -34 $$", LaunchResult::Signalled { signal: 34 }),
    ] {
        let end = setup.run(script);
        assert_eq!(end.result, expect, "{script}");
        assert!(end.started_at.unwrap() <= end.finished_at);
        assert!(setup.launcher.is_empty());
    }
}

#[test]
fn a_started_attempt_says_so_first_and_leaves_nothing_but_its_log() {
    let setup = Setup::new();
    let end = setup.run("echo out; echo err >&2; printf unfinished; touch file; mkdir dir; echo > dir/x");
    assert_eq!(end.result, LaunchResult::Exited { code: 0 });
    assert_eq!(setup.log().lines().count(), 3);
    for line in ["o out\n", "e err\n", "o unfinished\n"] {
        assert!(setup.log().contains(line), "{line}");
    }
    assert_eq!(end.log.bytes_kept, std::fs::metadata(setup.log_path()).unwrap().len());
    let trash = setup.dir.join("trash");
    await_some(|| (std::fs::read_dir(&trash).unwrap().count() == 0).then_some(()));
    assert!(!setup.dir.join("work/0").exists());
    assert!(setup.dir.join("runs").join(run().to_string()).exists());
    setup.launcher.run_ended(run());
    await_some(|| (!setup.dir.join("runs").join(run().to_string()).exists()).then_some(()));
}

#[test]
fn a_silent_attempt_has_no_log() {
    let setup = Setup::new();
    assert_eq!(setup.run(":").log, Default::default());
    assert!(!setup.log_path().exists());
}

#[test]
fn the_environment_is_ours_alone() {
    let setup = Setup::new();
    let mut spec = spec("main", "env | sort; pwd; ulimit -n; umask; cat; ls /proc/self/fd | wc -l");
    spec.env.insert("HTR_INPUT_DAY".into(), "2026-11-20".into());
    spec.env.insert("HTR_FENCE".into(), "forged".into());
    spec.env.insert("LANG".into(), "zh_CN.UTF-8".into());
    spec.deadline = Some(Timestamp(1));
    assert_eq!(setup.run_spec(spec).result, LaunchResult::Exited { code: 0 });
    let log = setup.log();
    let work = setup.dir.join("work/0");
    for line in [
        "o HTR_ATTEMPT=1",
        "o HTR_DEADLINE=1970-01-01T00:00:00.000001Z",
        "o HTR_FENCE=1-2-3-4",
        "o HTR_INPUT_DAY=2026-11-20",
        "o HTR_NAMESPACE=retail",
        "o HTR_TASK=main",
        "o HTR_WORKER=w1",
        "o HTR_WORKFLOW=daily",
        "o LANG=zh_CN.UTF-8",
        "o 0077",
        &format!("o HTR_RUN_ID={}", run()),
        &format!("o HTR_WORKDIR={}", work.display()),
        &format!("o {}", work.display()),
        // Three streams, the lock, and the directory that `ls` reads.
        "o 5",
    ] {
        assert!(log.lines().any(|found| found == line), "{line} in\n{log}");
    }
    for absent in ["HTR_TEST_ROLE", "TZ=", "CARGO"] {
        assert!(!log.contains(absent), "{absent} in\n{log}");
    }
}

#[test]
fn signals_have_their_default_meaning() {
    let setup = Setup::new();
    setup.run("cat /proc/self/status");
    let log = setup.log();
    let mask = |name: &str| {
        let line = log.lines().find_map(|line| line.strip_prefix(&format!("o {name}:\t"))).unwrap();
        u64::from_str_radix(line, 16).unwrap()
    };
    // 32 and 33 are the C library's own and cannot be changed through it.
    let changeable = !(0b11 << 31);
    assert_eq!(
        (mask("SigBlk"), mask("SigIgn") & changeable, mask("SigCgt") & changeable),
        (0, 0, 0),
        "{log}"
    );
}

#[test]
fn outputs() {
    let setup = Setup::new();
    let declared = [("rows", ValueType::Int)];
    let end = setup.run_spec(declares(spec("main", "echo rows=123 >> $HTR_OUTPUT"), &declared));
    assert_eq!(end.result, LaunchResult::Exited { code: 0 });
    assert_eq!(end.outputs["rows"], 123);
    let end = setup.run_spec(declares(spec("main", "echo rows=many >> $HTR_OUTPUT"), &declared));
    assert!(
        matches!(&end.result, LaunchResult::OutputsInvalid { error } if error.contains("rows=\"many\"")),
        "{end:?}"
    );
    let end = setup.run_spec(declares(spec("main", "echo junk > $HTR_OUTPUT; exit 3"), &declared));
    assert_eq!(end.result, LaunchResult::Exited { code: 3 }, "outputs of a failure do not matter");
    let end = setup.run_spec(declares(spec("main", ":"), &declared));
    assert!(
        matches!(&end.result, LaunchResult::OutputsInvalid { error } if error.contains("not written")),
        "{end:?}"
    );
}

#[test]
fn files_and_other_interpreters() {
    let setup = Setup::new();
    let file = setup.dir.join("given.sh");
    std::fs::write(&file, "echo from a file; exit 4").unwrap();
    let mut given = spec("main", "");
    given.program = LaunchProgram::File { interpreter: "/bin/sh".into(), path: file.display().to_string() };
    assert_eq!(setup.run_spec(given).result, LaunchResult::Exited { code: 4 });
    assert_eq!(setup.log(), "o from a file\n");
    assert!(file.exists());
    let mut cat = spec("main", "this is not shell\n");
    cat.program = LaunchProgram::Script { interpreter: "cat".into(), text: "this is not shell\n".into() };
    setup.run_spec(cat);
    assert_eq!(setup.log(), "o this is not shell\n");
}

#[test]
fn a_stop_is_polite_first() {
    let setup = Setup::new();
    let spec = spec(
        "main",
        "trap 'echo stopped; exit 9' TERM; echo > $HTR_RUN_DIR/ready; while :; do sleep 0.02; done",
    );
    setup.launcher.start(vec![spec.clone()]);
    setup.await_file("ready");
    setup.launcher.stop(spec.attempt, spec.fence, Stop::Term);
    assert_eq!(setup.next_end().result, LaunchResult::Exited { code: 9 });
    // The shell itself may tell of its child that got the signal too.
    assert_eq!(setup.log().matches("o stopped\n").count(), 1, "{}", setup.log());
}

#[test]
fn a_stop_on_the_heels_of_its_start_is_not_lost() {
    let setup = Setup::new();
    for how in [Stop::Term, Stop::Kill] {
        let spec = spec("main", "sleep 100");
        setup.launcher.start(vec![spec.clone()]);
        setup.launcher.stop(spec.attempt, spec.fence, how);
        let end = setup.next_end();
        assert!(
            matches!(end.result, LaunchResult::Signalled { .. } | LaunchResult::NotStarted { .. }),
            "{end:?}"
        );
    }
}

#[test]
fn the_same_fence_is_started_once() {
    let setup = Setup::new();
    let spec = spec("main", "echo once; sleep 0.2");
    setup.launcher.start(vec![spec.clone(), spec.clone()]);
    setup.launcher.start(vec![spec]);
    setup.next_end();
    assert_eq!(setup.log(), "o once\n");
    assert!(setup.events.try_recv().is_err());
    setup.launcher.shutdown();
    assert!(matches!(setup.next_event(), LaunchEvent::WardenGone { .. }));
}
