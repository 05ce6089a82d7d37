//! The real binary, called as people call it: with a configuration directory of its own and a limit on its time.
//! Each test file uses a part of this.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Far above what anything here takes, also on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(240);

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Finished {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}; stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr))
    }
}

/// A home for one test's configuration and files.
pub(crate) struct Home(tempfile::TempDir);

impl Home {
    pub(crate) fn new() -> Home {
        Home(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file and gives its path as text.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hortator"));
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("HORTATOR_")) {
                command.env_remove(name);
            }
        }
        command.args(arguments).env("XDG_CONFIG_HOME", self.path().join("config")).env("TMPDIR", self.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Calls it and waits for its end.
    #[track_caller]
    pub(crate) fn call(&self, arguments: &[&str]) -> Finished {
        finish(self.command(arguments).spawn().unwrap(), arguments)
    }
}

/// Reads everything and waits; a call that takes too long is killed and fails the test.
#[track_caller]
pub(crate) fn finish(mut child: Child, arguments: &[&str]) -> Finished {
    let read = |mut from: Box<dyn Read + Send>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = from.read_to_string(&mut text);
            text
        })
    };
    let stdout = read(Box::new(child.stdout.take().unwrap()));
    let stderr = read(Box::new(child.stderr.take().unwrap()));
    let until = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > until {
            let _ = child.kill();
            panic!("hortator {} takes over {LIMIT:?}", arguments.join(" "));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    Finished { code: status.code().unwrap_or(-1), stdout, stderr }
}

/// Waits for the ready line of `hortator dev` and gives the address in it.
#[track_caller]
pub(crate) fn ready(child: &mut Child, errors: &Path) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    match line.trim().strip_prefix("ready ") {
        Some(url) => url.to_owned(),
        None => panic!("not ready: {line:?}\n{}", std::fs::read_to_string(errors).unwrap_or_default()),
    }
}

/// `hortator dev`, ready.
pub(crate) struct Dev {
    child: Child,
    pub(crate) home: Home,
    pub(crate) url: String,
}

impl Dev {
    pub(crate) fn start(arguments: &[&str]) -> Dev {
        let home = Home::new();
        // A file takes any number of lines; a pipe that nobody reads would stop the cluster.
        let errors = home.path().join("dev.stderr");
        let mut command = home.command(&[&["dev", "--port", "0"], arguments].concat());
        let mut child = command.stderr(std::fs::File::create(&errors).unwrap()).spawn().unwrap();
        let url = ready(&mut child, &errors);
        Dev { child, home, url }
    }

    #[track_caller]
    pub(crate) fn call(&self, arguments: &[&str]) -> Finished {
        self.home.call(arguments)
    }

    /// Ctrl-C; gives the exit code.
    pub(crate) fn interrupt(mut self) -> i32 {
        nix::sys::signal::kill(pid(&self.child), nix::sys::signal::Signal::SIGINT).unwrap();
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < until, "dev does not stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn pid(child: &Child) -> nix::unistd::Pid {
    nix::unistd::Pid::from_raw(child.id() as i32)
}

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
