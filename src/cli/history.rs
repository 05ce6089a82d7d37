//! A run's history: as it arrives, over server-sent events taken up again after a broken connection, or in pages.
//! The master's last event of an entry carries the id, so entries come whole and once.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::stream::StreamExt;
use hortator_core::id::{Position, RunId};
use hortator_proto::api::{EventEntry, PAGE_MAX};
use serde_json::Value;

use super::client::{Call, Client, Pieces, query};
use super::error::{Error, Exit, code};
use crate::api::body::{EndBody, EventsPage};
use crate::api::problem::ProblemDocument;

/// Masters send a sign of life every 15 s; after this long without one the connection is dead.
const SILENCE_MAX: Duration = Duration::from_secs(40);
/// Longest message: outputs of one attempt are at most 64 KiB, inputs of a run 256 KiB.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// All events of one log entry, each with `position` and `at`.
    Entry(Vec<Value>),
    End(EndBody),
}

pub struct History<'c> {
    client: &'c Client,
    run: RunId,
    after: Option<Position>,
    pieces: Option<Pieces>,
    parser: Parser,
    /// Events of an entry whose last has not come yet.
    entry: Vec<Value>,
}

impl std::fmt::Debug for History<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("History").field("run", &self.run).field("after", &self.after).finish_non_exhaustive()
    }
}

impl<'c> History<'c> {
    /// From the beginning, or after a position.
    pub fn new(client: &'c Client, run: RunId, after: Option<Position>) -> History<'c> {
        History { client, run, after, pieces: None, parser: Parser::default(), entry: Vec::new() }
    }

    /// Waits for the next message; after `End` there is none.
    pub async fn next(&mut self) -> Result<Message, Error> {
        loop {
            while let Some(event) = self.parser.take() {
                if let Some(message) = self.on_event(event)? {
                    return Ok(message);
                }
            }
            self.read().await?;
        }
    }

    /// Brings more bytes into the parser, over a new connection when the old one is gone.
    async fn read(&mut self) -> Result<(), Error> {
        let pieces = match &mut self.pieces {
            Some(pieces) => pieces,
            None => {
                let mut call =
                    Call::get(format!("/runs/{}/events", self.run)).header("Accept", "text/event-stream");
                if let Some(after) = self.after {
                    call = call.header("Last-Event-ID", after.to_string());
                }
                self.parser = Parser::default();
                self.entry.clear();
                self.pieces.insert(self.client.open(call).await?)
            }
        };
        match tokio::time::timeout(SILENCE_MAX, pieces.next()).await {
            Ok(Some(Ok(bytes))) => self.parser.feed(&bytes),
            Ok(Some(Err(_)) | None) | Err(_) => {
                self.pieces = None;
                Ok(())
            }
        }
    }

    fn on_event(&mut self, event: Event) -> Result<Option<Message>, Error> {
        let malformed = |error: serde_json::Error| {
            Error::new(Exit::Unexpected, code::BAD_ANSWER, format!("the history is not understood: {error}"))
        };
        match event.name.as_str() {
            "history" => {
                self.entry.push(serde_json::from_str(&event.data).map_err(malformed)?);
                let Some(id) = event.id else { return Ok(None) };
                self.after = id.parse().ok();
                Ok(Some(Message::Entry(std::mem::take(&mut self.entry))))
            }
            "end" => Ok(Some(Message::End(serde_json::from_str(&event.data).map_err(malformed)?))),
            "problem" => {
                let document: ProblemDocument = serde_json::from_str(&event.data).map_err(malformed)?;
                Err(Error::from_document(document))
            }
            _ => Ok(None),
        }
    }
}

/// The entries that a history has so far, page by page.
#[derive(Debug)]
pub struct Entries<'c> {
    client: &'c Client,
    run: RunId,
    after: Option<Position>,
    page: VecDeque<EventEntry>,
    /// The page is the last.
    end: bool,
}

impl<'c> Entries<'c> {
    /// From the beginning, or after a position.
    pub fn new(client: &'c Client, run: RunId, after: Option<Position>) -> Entries<'c> {
        Entries { client, run, after, page: VecDeque::new(), end: false }
    }

    /// The next entry; none at the end of what there is.
    pub async fn next(&mut self) -> Result<Option<EventEntry>, Error> {
        if self.page.is_empty() && !self.end {
            let after = self.after.map(|after| after.to_string());
            let pairs = [("after", after), ("limit", Some(PAGE_MAX.to_string()))];
            let path = format!("/runs/{}/events{}", self.run, query(&pairs));
            let page: EventsPage = self.client.ask(Call::get(path)).await?;
            self.end = (page.entries.len() as u32) < PAGE_MAX;
            self.after = Some(page.next);
            self.page = page.entries.into();
        }
        Ok(self.page.pop_front())
    }
}

/// One event of the stream.
#[derive(Clone, Debug, Default, PartialEq)]
struct Event {
    name: String,
    data: String,
    id: Option<String>,
}

/// Cuts a stream of bytes into events.
#[derive(Debug, Default)]
struct Parser {
    bytes: Vec<u8>,
    /// Up to here `bytes` is used up.
    begin: usize,
}

impl Parser {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes.drain(..self.begin);
        self.begin = 0;
        self.bytes.extend_from_slice(bytes);
        match self.bytes.len() > MESSAGE_BYTES_MAX + bytes.len() {
            true => {
                Err(Error::new(Exit::Unexpected, code::BAD_ANSWER, "an event of the history is too large"))
            }
            false => Ok(()),
        }
    }

    fn take(&mut self) -> Option<Event> {
        loop {
            let rest = &self.bytes[self.begin..];
            let end = rest.windows(2).position(|pair| pair == b"\n\n")?;
            let text = String::from_utf8_lossy(&rest[..end]).into_owned();
            self.begin += end + 2;
            let mut event = Event::default();
            for line in text.lines() {
                match line.split_once(": ") {
                    Some(("event", value)) => event.name = value.into(),
                    Some(("data", value)) => event.data.push_str(value),
                    Some(("id", value)) => event.id = Some(value.into()),
                    _ => {}
                }
            }
            if !event.name.is_empty() {
                return Some(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_cut_into_events_however_it_arrives() {
        let stream =
            b": still here\n\nevent: history\ndata: {\"a\":1}\n\nevent: history\ndata: {}\nid: 1:7\n\n";
        for size in [1, 2, 7, 100] {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for piece in stream.chunks(size) {
                parser.feed(piece).unwrap();
                events.extend(std::iter::from_fn(|| parser.take()));
            }
            let ids: Vec<_> = events.iter().map(|event| event.id.as_deref()).collect();
            assert_eq!(ids, [None, Some("1:7")], "pieces of {size}");
            assert_eq!(events[0].data, "{\"a\":1}");
        }
    }
}
