//! What the tests of the launcher stand on: a launcher in a directory of its own, and scripts to start.
//! Must not assert anything about attempts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use hortator_actors::seam::{LaunchEnd, LaunchEvent, LaunchNames, LaunchProgram, LaunchSpec, Launcher};
use hortator_core::definition::ValueType;
use hortator_core::id::{AttemptId, Fence, Name, RunId, TaskKey, TaskRunId};
use hortator_core::time::Span;
use slog::Logger;

use crate::executors::{LauncherConfig, ProcessLauncher, WardenCommand};
use crate::log_file::LogId;
use crate::warden;

/// A test that takes longer than this hangs.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) const ROLE: &str = "HTR_TEST_ROLE";

/// Not a test: the warden of the tests. The test harness owns `main`, so a warden begins here.
#[test]
fn warden_role() {
    if std::env::var(ROLE).as_deref() == Ok("warden") {
        let args: Vec<String> = std::env::args().collect();
        let own = &args[args.len() - 2..];
        let _ = warden::warden_main(own);
        std::process::exit(0);
    }
}

/// Not a test: a worker's agent that starts scripts and waits to be killed.
#[test]
fn agent_role() {
    if std::env::var(ROLE).as_deref() == Ok("agent") {
        let dir = PathBuf::from(std::env::var("HTR_TEST_DIR").unwrap());
        let setup = Setup::in_directory(&dir);
        let script = std::env::var("HTR_TEST_SCRIPT").unwrap();
        setup.launcher.start(vec![setup.script("main", &script)]);
        loop {
            std::thread::park();
        }
    }
}

/// This test program, told to run only `role`.
pub(super) fn again(role: &str) -> WardenCommand {
    let module = module_path!().split_once("::").unwrap().1;
    let args = ["--exact", &format!("{module}::{role}_role"), "--nocapture", "--test-threads=1"];
    WardenCommand {
        program: std::env::current_exe().unwrap(),
        args: args.map(Into::into).to_vec(),
        env: vec![(ROLE.into(), role.into())],
    }
}

pub(super) fn quiet() -> Logger {
    Logger::root(slog::Discard, slog::o!())
}

pub(super) struct Setup {
    pub(super) launcher: ProcessLauncher,
    pub(super) events: Receiver<LaunchEvent>,
    pub(super) dir: PathBuf,
    pub(super) _temporary: Option<tempfile::TempDir>,
}

impl Setup {
    pub(super) fn new() -> Setup {
        let temporary = tempfile::tempdir().unwrap();
        let setup = Setup::in_directory(temporary.path());
        Setup { _temporary: Some(temporary), ..setup }
    }

    pub(super) fn in_directory(dir: &Path) -> Setup {
        let mut config = LauncherConfig::new(dir.into(), name("w1"));
        config.warden = again("warden");
        let launcher = ProcessLauncher::start(config, &quiet()).unwrap();
        let (sender, events) = channel();
        launcher.listen(Arc::new(move |batch| batch.into_iter().for_each(|event| drop(sender.send(event)))));
        Setup { launcher, events, dir: dir.into(), _temporary: None }
    }

    pub(super) fn script(&self, task: &str, text: &str) -> LaunchSpec {
        spec(task, text)
    }

    /// Starts one script and waits for its end.
    pub(super) fn run(&self, text: &str) -> LaunchEnd {
        self.run_spec(spec("main", text))
    }

    pub(super) fn run_spec(&self, spec: LaunchSpec) -> LaunchEnd {
        self.launcher.start(vec![spec]);
        self.next_end()
    }

    pub(super) fn next_event(&self) -> LaunchEvent {
        self.events.recv_timeout(PATIENCE).expect("an event in time")
    }

    pub(super) fn next_end(&self) -> LaunchEnd {
        loop {
            match self.next_event() {
                LaunchEvent::Ended(end) => return end,
                LaunchEvent::Started { .. } => {}
                other => panic!("{other:?} instead of an end"),
            }
        }
    }

    pub(super) fn started_pid(&self) -> i32 {
        match self.next_event() {
            LaunchEvent::Started { pid, .. } => pid as i32,
            other => panic!("{other:?} instead of a start"),
        }
    }

    /// The log of task `main`, without time stamps.
    pub(super) fn log(&self) -> String {
        let text = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        text.lines().map(|line| format!("{}\n", &line[28..])).collect()
    }

    pub(super) fn log_path(&self) -> PathBuf {
        let id = LogId {
            namespace: name("retail"),
            workflow: name("daily"),
            run: run(),
            task: name("main"),
            item: None,
            attempt: 1,
        };
        id.path(&self.launcher.logs())
    }

    /// Waits until the script has made this file in the run's directory; returns its text.
    pub(super) fn await_file(&self, name: &str) -> String {
        await_text(&self.dir.join("runs").join(run().to_string()).join(name))
    }
}

/// Waits for a file that ends with a line end.
pub(super) fn await_text(path: &Path) -> String {
    await_some(|| std::fs::read_to_string(path).ok().filter(|text| text.ends_with('\n'))).trim().to_owned()
}

pub(super) fn await_some<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(super) fn alive(pid: i32) -> bool {
    // A zombie that its parent has not reaped yet is dead.
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(super) fn run() -> RunId {
    RunId::new(1, 1, 1)
}

pub(super) fn spec(task: &str, text: &str) -> LaunchSpec {
    LaunchSpec {
        attempt: AttemptId {
            task_run: TaskRunId { run: run(), key: TaskKey { task: 0, item: 0 } },
            attempt: 1,
        },
        fence: Fence { generation: 1, shard: 2, term: 3, index: 4 },
        names: LaunchNames {
            namespace: name("retail"),
            workflow: name("daily"),
            task: name(task),
            item: None,
        },
        program: LaunchProgram::Script { interpreter: "sh".into(), text: text.into() },
        env: BTreeMap::new(),
        outputs: BTreeMap::new(),
        grace: Span::from_millis(300),
        deadline: None,
    }
}

/// Another attempt of another task run, whatever the number.
pub(super) fn numbered(number: u32, text: &str) -> LaunchSpec {
    let mut spec = spec("many", text);
    spec.attempt.task_run.key.item = number;
    spec.names.item = Some(number);
    spec
}

pub(super) fn declares(mut spec: LaunchSpec, outputs: &[(&str, ValueType)]) -> LaunchSpec {
    spec.outputs = outputs.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
    spec
}
