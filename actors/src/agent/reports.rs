//! The words that no master has acknowledged yet, and when each goes to its shard's leader. Pure.
//! Must not know files (`spool` keeps the same words on disk) or who leads: the caller says where to.

use std::collections::{BTreeMap, VecDeque};

use hortator_core::event::AttemptResult;
use hortator_core::id::{AttemptId, Fence};
use hortator_core::time::Span;
use hortator_proto::frame::{Report, Word};
use serde_json::Value;

use super::ledger::Key;

/// An unacknowledged report is sent again after this long: several commits, and short for a person.
pub(crate) const RESEND_AFTER: Span = Span::from_secs(1);
/// Most reports in one frame: enough to make the frame's own cost vanish.
pub(crate) const FRAME_REPORTS_MAX: usize = 4096;
/// Most weight in one frame, a quarter of what a frame may be, since weights are estimates.
pub(crate) const FRAME_WEIGHT_MAX: usize = 4 << 20;
/// Above this weight no new attempt is decided until masters acknowledge; about 160,000 plain reports, whose
/// keys still fit one frame.
pub(crate) const WEIGHT_MAX: usize = 32 << 20;
/// What a report without outputs weighs.
const REPORT_WEIGHT: usize = 200;

/// All unacknowledged reports, of this life and of earlier ones.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    shards: BTreeMap<u32, ShardReports>,
    weight: usize,
    count: usize,
}

/// The queues may hold keys that no longer wait, or that wait in the other queue; `sent_at` tells.
#[derive(Debug, Default)]
struct ShardReports {
    waiting: BTreeMap<Key, Waiting>,
    unsent: VecDeque<Key>,
    sent: VecDeque<(Span, Key)>,
}

#[derive(Debug)]
struct Waiting {
    report: Report,
    weight: usize,
    sent_at: Option<Span>,
}

impl Reports {
    /// A new word; false when the attempt's word was known.
    pub(crate) fn add(&mut self, report: Report) -> bool {
        let key = (report.fence, report.attempt);
        let weight = weight(&report.word);
        let shard = self.shards.entry(key.0.shard).or_default();
        if shard.waiting.contains_key(&key) {
            return false;
        }
        shard.waiting.insert(key, Waiting { report, weight, sent_at: None });
        shard.unsent.push_back(key);
        self.weight += weight;
        self.count += 1;
        true
    }

    pub(crate) fn holds(&self, key: Key) -> bool {
        self.shards.get(&key.0.shard).is_some_and(|shard| shard.waiting.contains_key(&key))
    }

    /// The word is committed; false when it was not waiting.
    pub(crate) fn acknowledge(&mut self, key: Key) -> bool {
        let Some(shard) = self.shards.get_mut(&key.0.shard) else {
            return false;
        };
        let Some(waiting) = shard.waiting.remove(&key) else {
            return false;
        };
        self.weight -= waiting.weight;
        self.count -= 1;
        while shard.sent.front().is_some_and(|(at, key)| !shard.was_sent(key, *at)) {
            shard.sent.pop_front();
        }
        if shard.waiting.is_empty() {
            shard.unsent.clear();
            shard.sent.clear();
        }
        true
    }

    /// Somebody asked: it goes out with the next frame.
    pub(crate) fn send_again(&mut self, key: Key) {
        let Some(shard) = self.shards.get_mut(&key.0.shard) else {
            return;
        };
        let Some(waiting) = shard.waiting.get_mut(&key) else {
            return;
        };
        if waiting.sent_at.take().is_some() {
            shard.unsent.push_back(key);
        }
    }

    /// The shard has a new leader, or its leader a new session: all of the shard's words go out again.
    pub(crate) fn send_all_again(&mut self, shard: u32) {
        let Some(shard) = self.shards.get_mut(&shard) else {
            return;
        };
        shard.sent.clear();
        shard.unsent = shard.waiting.keys().copied().collect();
        shard.waiting.values_mut().for_each(|waiting| waiting.sent_at = None);
    }

    /// What is to be sent now to the leader of the shard, frame by frame.
    pub(crate) fn due(&mut self, shard: u32, now: Span) -> Vec<Vec<Report>> {
        let Some(shard) = self.shards.get_mut(&shard) else {
            return Vec::new();
        };
        shard.give_up_on(now);
        let mut frames = Vec::new();
        let mut frame = Vec::new();
        let mut frame_weight = 0;
        while let Some(key) = shard.unsent.pop_front() {
            let Some(waiting) = shard.waiting.get_mut(&key) else {
                continue;
            };
            if waiting.sent_at.replace(now).is_some() {
                continue;
            }
            let heavy = frame_weight + waiting.weight > FRAME_WEIGHT_MAX && frame_weight > 0;
            if frame.len() == FRAME_REPORTS_MAX || heavy {
                frames.push(std::mem::take(&mut frame));
                frame_weight = 0;
            }
            frame_weight += waiting.weight;
            frame.push(waiting.report.clone());
            shard.sent.push_back((now, key));
        }
        if !frame.is_empty() {
            frames.push(frame);
        }
        frames
    }

    pub(crate) fn shards(&self) -> Vec<u32> {
        self.shards.iter().filter(|(_, shard)| !shard.waiting.is_empty()).map(|(shard, _)| *shard).collect()
    }

    /// As the masters want to hear it: which fences have a word here.
    pub(crate) fn keys(&self) -> Vec<(AttemptId, Fence)> {
        let waiting = self.shards.values().flat_map(|shard| shard.waiting.keys());
        waiting.map(|(fence, attempt)| (*attempt, *fence)).collect()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Report> {
        self.shards.values().flat_map(|shard| shard.waiting.values().map(|waiting| &waiting.report))
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Roughly the bytes of all waiting words.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }

    pub(crate) fn is_full(&self) -> bool {
        self.weight >= WEIGHT_MAX
    }
}

impl ShardReports {
    fn was_sent(&self, key: &Key, at: Span) -> bool {
        self.waiting.get(key).is_some_and(|waiting| waiting.sent_at == Some(at))
    }

    /// What was sent too long ago without an acknowledgement counts as unsent.
    fn give_up_on(&mut self, now: Span) {
        while let Some((at, key)) = self.sent.front().copied() {
            let waits = self.was_sent(&key, at);
            if waits && now.0 < at.0 + RESEND_AFTER.0 {
                break;
            }
            self.sent.pop_front();
            if waits {
                self.waiting.get_mut(&key).expect("it was just seen").sent_at = None;
                self.unsent.push_back(key);
            }
        }
    }
}

/// Roughly how many bytes the word takes in a frame.
pub(crate) fn weight(word: &Word) -> usize {
    let text = match word {
        Word::Refused { why } => why.len(),
        Word::Ended(end) => match &end.result {
            AttemptResult::Succeeded { outputs } => {
                outputs.iter().map(|(name, value)| name.len() + size(value)).sum()
            }
            AttemptResult::NotStarted { error } | AttemptResult::OutputsInvalid { error } => error.len(),
            AttemptResult::Exited { .. }
            | AttemptResult::Signalled { .. }
            | AttemptResult::TimedOut
            | AttemptResult::Cancelled => 0,
        },
    };
    REPORT_WEIGHT + text
}

fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 24,
        Value::String(text) => text.len() + 4,
        Value::Array(items) => items.iter().map(size).sum::<usize>() + 4,
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| name.len() + 4 + size(value)).sum::<usize>() + 4
        }
    }
}
