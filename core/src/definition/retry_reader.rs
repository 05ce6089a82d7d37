//! Reads how a task is retried; each of its keys may come from the task, the defaults, or be left to ours.
//! Must not know tasks.

use super::Code;
use super::model::{Backoff, Retry};
use super::reader::{Reader, shown};
use super::tree::{NodeId, Shape};
use super::vocabulary::{BACKOFFS, RETRY};
use crate::time::Span;

/// Most tries after the first; attempts are numbered in 16 bits, and a task that fails so often needs a person.
const RETRIES_MAX: u32 = 1000;

/// The keys that were given.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RetryDraft {
    max: Option<u32>,
    delay: Option<Span>,
    backoff: Option<Backoff>,
    max_delay: Option<Span>,
    jitter_percent: Option<u8>,
    /// Whether `max` was there, even if it was wrong.
    has_max: bool,
}

impl RetryDraft {
    pub(super) fn read(reader: &mut Reader<'_, '_>, node: NodeId) -> RetryDraft {
        if let Shape::Scalar(text, true) = reader.tree.shape(node)
            && text.parse::<u32>().is_ok()
        {
            let message = "\"retry\" takes a map, not a number".into();
            reader.error(Code::WrongType, node, message, Some(format!("write {{ max: {text} }}")));
            return RetryDraft { has_max: true, ..RetryDraft::default() };
        }
        let Some(fields) = reader.record(node, &RETRY) else {
            return RetryDraft::default();
        };
        RetryDraft {
            has_max: fields.get("max").is_some(),
            max: fields.get("max").and_then(|max| reader.number(max, "\"max\"", 0, RETRIES_MAX)),
            delay: fields.get("delay").and_then(|delay| reader.span(delay, "\"delay\"")),
            backoff: fields
                .get("backoff")
                .and_then(|backoff| reader.choice(backoff, "\"backoff\"", BACKOFFS)),
            max_delay: fields.get("max_delay").and_then(|delay| reader.span(delay, "\"max_delay\"")),
            jitter_percent: fields.get("jitter").and_then(|jitter| percent(reader, jitter)),
        }
    }

    /// These keys, and for those not given the others'.
    pub(super) fn over(self, other: RetryDraft) -> RetryDraft {
        RetryDraft {
            has_max: self.has_max || other.has_max,
            max: self.max.or(other.max),
            delay: self.delay.or(other.delay),
            backoff: self.backoff.or(other.backoff),
            max_delay: self.max_delay.or(other.max_delay),
            jitter_percent: self.jitter_percent.or(other.jitter_percent),
        }
    }

    /// Fills in the rest, and warns of keys that cannot matter.
    pub(super) fn finish(self, reader: &mut Reader<'_, '_>, node: NodeId) -> Retry {
        let retry = self.filled();
        if !self.has_max {
            reader.no_effect(node, "\"retry\" has no effect without \"max\"".into());
        }
        if retry.max_delay < retry.delay {
            let Retry { delay, max_delay, .. } = retry;
            let message = format!("\"max_delay\" ({max_delay}) is shorter than \"delay\" ({delay})");
            reader.error(Code::OutOfRange, node, message, None);
        }
        retry
    }

    pub(super) fn filled(self) -> Retry {
        let ours = Retry::default();
        let delay = self.delay.unwrap_or(ours.delay);
        Retry {
            max: self.max.unwrap_or(ours.max),
            delay,
            backoff: self.backoff.unwrap_or(ours.backoff),
            max_delay: self.max_delay.unwrap_or(ours.max_delay.max(delay)),
            jitter_percent: self.jitter_percent.unwrap_or(ours.jitter_percent),
        }
    }
}

/// `20%`.
fn percent(reader: &mut Reader<'_, '_>, node: NodeId) -> Option<u8> {
    let Shape::Scalar(text, _) = reader.tree.shape(node) else {
        reader.wrong_type(node, "\"jitter\"", "a percentage such as 20%");
        return None;
    };
    let number = text.strip_suffix('%').and_then(|number| number.trim_end().parse().ok());
    let fits = number.filter(|percent| *percent <= 100);
    if fits.is_none() {
        let message = format!("\"jitter\" is \"{}\"; it takes a percentage from 0% to 100%", shown(text));
        let help = text.parse::<u8>().ok().map(|number| format!("write {number}%"));
        reader.error(Code::OutOfRange, node, message, help);
    }
    fits
}
