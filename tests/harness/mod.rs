//! A cluster that keeps its data, can be killed and started again, and is asked over HTTP with plain sockets, so that
//! a test sees what a client sees and decides itself what a broken answer means. Each test file uses a part of this.
#![allow(dead_code)]

pub(crate) mod ledger;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Child;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::program::{Home, LIMIT};

/// Waits until it holds; a condition that never does fails the test with these words.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < until, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Numbers that one seed repeats.
pub(crate) struct Draw(u64);

impl Draw {
    /// The seed of HORTATOR_TEST_SEED, else one of the clock; it is printed with the command that repeats it.
    pub(crate) fn new(test: &str) -> Draw {
        let given = std::env::var("HORTATOR_TEST_SEED").ok().and_then(|text| text.parse().ok());
        let clock = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64;
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

/// Where the API is, and what it asks for.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) address: String,
    pub(crate) token: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

impl Api {
    /// One request with exactly these headers. It is HTTP/1.0, so an answer is never in chunks and ends with the
    /// connection; one that is cut short is an error.
    pub(crate) fn raw(&self, line: &str, headers: &[(&str, &str)], body: &str) -> io::Result<Answer> {
        let mut stream = self.send(line, headers, body)?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is cut short");
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(cut)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if length.is_some_and(|length: usize| length != body.len()) {
            return Err(cut());
        }
        Ok(Answer { status, head, body: body.to_owned() })
    }

    fn send(&self, line: &str, headers: &[(&str, &str)], body: &str) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let mut text = format!("{line} HTTP/1.0\r\nContent-Length: {}\r\n", body.len());
        headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
        stream.write_all((text + "\r\n" + body).as_bytes())?;
        Ok(stream)
    }

    pub(crate) fn ask_with(&self, line: &str, more: &[(&str, &str)], body: &str) -> io::Result<Answer> {
        let token = format!("Bearer {}", self.token);
        let mut headers = vec![("Host", self.address.as_str()), ("Authorization", token.as_str())];
        headers.extend(more);
        self.raw(line, &headers, body)
    }

    #[track_caller]
    pub(crate) fn ask(&self, line: &str, body: &str) -> Answer {
        self.ask_with(line, &[], body).unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    #[track_caller]
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> T {
        self.ask(&format!("GET /api/v1{path}"), "").expect(200).json()
    }

    /// The lines of an answer as they come, until it ends or the connection breaks.
    pub(crate) fn stream(&self, path: &str, more: &[(&str, &str)]) -> impl Iterator<Item = String> + use<> {
        let token = format!("Bearer {}", self.token);
        let mut headers = vec![("Host", self.address.as_str()), ("Authorization", token.as_str())];
        headers.extend(more);
        let stream = self.send(&format!("GET /api/v1{path}"), &headers, "").unwrap();
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let status = lines.next().unwrap_or_default();
        assert!(status.contains(" 200 "), "{status}");
        lines.skip_while(|line| !line.is_empty()).skip(1)
    }

    /// Starts a run under an idempotency key: its id, and whether it was there before.
    pub(crate) fn start(&self, workflow: &str, key: &str) -> io::Result<(String, bool)> {
        let body = json!({ "workflow": workflow }).to_string();
        let answer = self.ask_with("POST /api/v1/runs", &[("Idempotency-Key", key)], &body)?;
        let document: Value = answer.json();
        match (document["run"].as_str(), document["existing"].as_bool()) {
            (Some(run), Some(existing)) => Ok((run.to_owned(), existing)),
            _ => Err(io::Error::other(format!("not started: {answer:?}"))),
        }
    }

    #[track_caller]
    pub(crate) fn apply(&self, definition: &str) {
        let answer = self.ask("POST /api/v1/workflows", definition);
        assert!((200..300).contains(&answer.status), "{answer:?}");
    }

    /// Waits for the run's end and gives its state.
    #[track_caller]
    pub(crate) fn end_of(&self, run: &str) -> String {
        let mut state = String::new();
        wait_until(&format!("the end of run {run}"), || {
            let view: Value = self.get(&format!("/runs/{run}?wait=20s"));
            state = view["state"].as_str().unwrap().to_owned();
            ["succeeded", "failed", "cancelled"].contains(&state.as_str())
        });
        state
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

    fn errors(&self) -> std::path::PathBuf {
        self.home.path().join("dev.stderr")
    }

    /// What it has said on stderr so far, in all its lives.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.errors()).unwrap_or_default()
    }

    /// Starts it and gives its API once it is ready.
    pub(crate) fn up(&mut self) -> Api {
        let stdout = self.spawn().stdout.take().unwrap();
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("ready http://") else {
            panic!("not ready: {line:?}\n{}", self.said());
        };
        let contexts = self.home.path().join("config/hortator/contexts.toml");
        let contexts: toml::Table = std::fs::read_to_string(contexts).unwrap().parse().unwrap();
        let token = contexts["contexts"]["dev"]["token"].as_str().unwrap().to_owned();
        Api { address: address.to_owned(), token }
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
        assert!(std::thread::panicking() || !self.said().contains("panicked"), "{}", self.said());
    }
}

/// How many processes have this text in their environment.
pub(crate) fn processes_with(text: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let environments = processes.filter_map(|entry| std::fs::read(entry.path().join("environ")).ok());
    environments.filter(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes())).count()
}
