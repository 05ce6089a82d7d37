//! A cluster whose data outlives it: it is killed and started again over the same files. Numbers that decide when
//! come from one seed, which is printed.

use std::path::PathBuf;
use std::process::Child;
use std::time::SystemTime;

use super::Api;
use crate::program::{Home, ready};

/// Numbers that one seed repeats.
pub(crate) struct Draw(u64);

impl Draw {
    /// The seed of HORTATOR_TEST_SEED, else one of the clock; it is printed with the command that repeats it.
    pub(crate) fn new(test: &str) -> Draw {
        let given = std::env::var("HORTATOR_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let clock = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
        let seed = given.unwrap_or(clock);
        println!("seed {seed}; repeat: HORTATOR_TEST_SEED={seed} cargo test --test {test}");
        Draw(seed)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// `hortator dev` over files that outlive it.
pub(crate) struct Cluster {
    pub(crate) home: Home,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Cluster {
    /// Not running yet.
    pub(crate) fn new(arguments: &[&str]) -> Cluster {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Cluster { home: Home::new(), arguments, child: None }
    }

    /// Starts the process and does not wait until it is ready.
    pub(crate) fn spawn(&mut self) -> &mut Child {
        assert!(self.child.is_none(), "it runs");
        let data = self.home.path().join("data").display().to_string();
        let mut arguments = vec!["dev", "--port", "0", "--data", &data];
        arguments.extend(self.arguments.iter().map(String::as_str));
        let mut command = self.home.command(&arguments);
        let errors = std::fs::OpenOptions::new().create(true).append(true).open(self.errors()).unwrap();
        self.child.insert(command.stderr(errors).spawn().unwrap())
    }

    fn errors(&self) -> PathBuf {
        self.home.path().join("dev.stderr")
    }

    /// Starts it and gives its API once it is ready.
    pub(crate) fn up(&mut self) -> Api {
        let errors = self.errors();
        let url = ready(self.spawn(), &errors);
        Api::at(&self.home, &url)
    }

    /// SIGKILL; returns when the process is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill();
        // What it has said in all its lives.
        let said = std::fs::read_to_string(self.errors()).unwrap_or_default();
        if std::thread::panicking() {
            eprintln!("{said}");
        } else {
            assert!(!said.contains("panicked"), "{said}");
        }
    }
}
