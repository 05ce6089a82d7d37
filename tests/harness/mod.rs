//! A cluster's HTTP API over plain sockets, so that a test sees what a client sees.
//! Each test file uses a part of this.
#![allow(dead_code)]

pub(crate) mod cluster;
pub(crate) mod ledger;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::program::{Dev, Home, LIMIT};

/// Waits until it holds; a condition that never does fails the test with these words.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < until, "not within {LIMIT:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
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

/// The bytes of a body, out of their chunks where they come in such.
struct Body {
    from: BufReader<TcpStream>,
    /// Of the present chunk; none when there are no chunks.
    left: Option<usize>,
}

impl Read for Body {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(left) = &mut self.left else { return self.from.read(into) };
        if *left == 0 {
            let mut line = String::new();
            // The line before is the end of the chunk before.
            while line.trim().is_empty() {
                line.clear();
                if self.from.read_line(&mut line)? == 0 {
                    return Err(cut());
                }
            }
            *left = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            if *left == 0 {
                self.left = None;
                // What follows is an empty line and the end.
                io::copy(&mut self.from, &mut io::sink())?;
                return Ok(0);
            }
        }
        let most = into.len().min(*left);
        let count = self.from.read(&mut into[..most])?;
        if count == 0 && most > 0 {
            return Err(cut());
        }
        *left -= count;
        Ok(count)
    }
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the answer is cut short")
}

impl Api {
    pub(crate) fn of(dev: &Dev) -> Api {
        Api::at(&dev.home, &dev.url)
    }

    /// That of the cluster at `url`, with the token of the context it wrote into its home.
    pub(crate) fn at(home: &Home, url: &str) -> Api {
        let contexts = home.path().join("config/hortator/contexts.toml");
        let contexts: toml::Table = std::fs::read_to_string(contexts).unwrap().parse().unwrap();
        let token = contexts["contexts"]["dev"]["token"].as_str().unwrap().to_owned();
        Api { address: url.trim_start_matches("http://").to_owned(), token }
    }

    /// One request with exactly these headers, over a connection of its own. An answer that is cut short is an error.
    pub(crate) fn raw(&self, line: &str, headers: &[(&str, &str)], body: &str) -> io::Result<Answer> {
        let (head, mut from) = self.send(line, headers, body)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(cut)?;
        let mut body = String::new();
        from.read_to_string(&mut body)?;
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        match length.is_some_and(|length: usize| length != body.len()) {
            true => Err(cut()),
            false => Ok(Answer { status, body }),
        }
    }

    /// The answer's head, and its body as it comes.
    fn send(&self, line: &str, headers: &[(&str, &str)], body: &str) -> io::Result<(String, Body)> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let length = body.len();
        let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\nContent-Length: {length}\r\n");
        headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
        stream.write_all((text + "\r\n" + body).as_bytes())?;
        let (mut from, mut head) = (BufReader::new(stream), String::new());
        while !head.ends_with("\r\n\r\n") {
            if from.read_line(&mut head)? == 0 {
                return Err(cut());
            }
        }
        let head = head.to_ascii_lowercase();
        let chunked = head.contains("transfer-encoding: chunked");
        Ok((head, Body { from, left: chunked.then_some(0) }))
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
        let (head, from) = self.send(&format!("GET /api/v1{path}"), &headers, "").unwrap();
        assert!(head.starts_with("http/1.1 200 "), "{head}");
        BufReader::new(from).lines().map_while(Result::ok)
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

/// How many processes have this text in their environment.
pub(crate) fn processes_with(text: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let environments = processes.filter_map(|entry| std::fs::read(entry.path().join("environ")).ok());
    environments.filter(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes())).count()
}
