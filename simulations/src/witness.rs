//! Remembers what mattered while a world was played: who began and fell, who led, what was committed, which frames carried
//! work, what clients were told. Must not know how it is shown.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hortator_core::id::{AttemptId, TaskKey};
use hortator_proto::frame::{Content, Envelope, FromWorker, PeerFrame, ToWorker, Word};
use hortator_raft::marks::Deed;

use crate::world::trace::What;

/// Most that is remembered; a story to be read is far shorter.
const MOMENTS_MAX: usize = 2_000_000;
/// Letters of an id that are shown.
const ID_SHOWN: usize = 4;

/// Something that mattered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since the world began.
    pub at: u64,
    /// A node, a client, or `faults`.
    pub who: String,
    pub kind: Kind,
    pub words: String,
}

/// In the order in which they are given up when a story is too long: the first stay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Fault,
    Life,
    Told,
    Leads,
    Process,
    Commits,
    /// A frame that carries work of a run, from this node.
    Work(String),
    /// A frame between replicas, from this node.
    Raft(String),
    /// A request that a master passes on, or its answer.
    Passed(String),
}

/// See the module. Clones share what they remember.
#[derive(Clone, Debug, Default)]
pub struct Witness(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    now: u64,
    moments: Vec<Moment>,
    committed: BTreeSet<(u32, u64)>,
}

impl Witness {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn moments(&self) -> Vec<Moment> {
        self.memory().moments.clone()
    }

    pub(crate) fn see(&self, at: u64, who: &str, what: &What<'_>) {
        let mut memory = self.memory();
        memory.now = at;
        let (kind, words) = match what {
            What::Life { word } if who != "world" => (Kind::Life, (*word).to_owned()),
            What::Fault { words } => (Kind::Fault, (*words).to_owned()),
            What::Client { words } => (Kind::Told, (*words).to_owned()),
            What::Process { line } => (Kind::Process, (*line).to_owned()),
            What::Frame { from, bytes } => match label(from, who, bytes.0) {
                Some(labelled) => labelled,
                None => return,
            },
            _ => return,
        };
        memory.remember(who, kind, &words);
    }

    pub(crate) fn deed(&self, deed: Deed<'_>) {
        let mut memory = self.memory();
        match deed {
            Deed::Leads { group, term, replica } => {
                memory.remember(
                    &format!("n{replica}"),
                    Kind::Leads,
                    &format!("leads group {group} in term {term}"),
                );
            }
            Deed::Applies { group, index, replica, term, .. } if memory.committed.insert((group, index)) => {
                let words = format!("applies {group}:{index} of term {term}, the first to do so");
                memory.remember(&format!("n{replica}"), Kind::Commits, &words);
            }
            _ => {}
        }
    }
}

impl Memory {
    fn remember(&mut self, who: &str, kind: Kind, words: &str) {
        if self.moments.len() < MOMENTS_MAX {
            let moment = Moment { at: self.now, who: who.to_owned(), kind, words: shortened(words) };
            self.moments.push(moment);
        }
    }
}

/// Ids by their last letters, which differ.
fn shortened(words: &str) -> String {
    let mut text = String::new();
    let mut word = String::new();
    for letter in words.chars().chain(std::iter::once('\n')) {
        if letter.is_ascii_alphanumeric() {
            word.push(letter);
            continue;
        }
        let is_id = word.len() == 26 && word.starts_with("01");
        text.push_str(if is_id { &word[word.len() - ID_SHOWN..] } else { &word });
        word.clear();
        text.push(letter);
    }
    text.pop();
    text
}

/// What a frame says, if it is more than keeping up.
fn label(from: &str, to: &str, bytes: &[u8]) -> Option<(Kind, String)> {
    let is_master = |node: &str| node.strip_prefix('n').is_some_and(|id| id.parse::<u64>().is_ok());
    let bytes = Bytes::copy_from_slice(bytes);
    let frame = match Envelope::is_one(&bytes) {
        true => match Envelope::decode_shared(&bytes).ok()?.content {
            Content::Frame(frame) => frame,
            Content::Links(_) | Content::Workers { .. } => return None,
        },
        false => bytes,
    };
    let work = |words: String| Some((Kind::Work(from.to_owned()), words));
    if !is_master(from) {
        return from_worker(FromWorker::decode(&frame).ok()?).and_then(work);
    }
    if !is_master(to) {
        return to_worker(ToWorker::decode(&frame).ok()?).and_then(work);
    }
    let passed = |words: &str| Some((Kind::Passed(from.to_owned()), words.to_owned()));
    match PeerFrame::decode(&frame).ok()? {
        PeerFrame::Raft { group, payload } | PeerFrame::Hello { group, payload } => {
            let words = hortator_raft::words_of(&payload)?;
            Some((Kind::Raft(from.to_owned()), format!("group {group}: {words}")))
        }
        PeerFrame::Request { .. } => passed("passes a request on"),
        PeerFrame::Response { .. } => passed("answers what was passed on"),
        PeerFrame::HandShardOver { shard, to } => {
            Some((Kind::Raft(from.to_owned()), format!("hand shard {shard} over to n{to}")))
        }
        _ => None,
    }
}

fn to_worker(frame: ToWorker) -> Option<String> {
    Some(match frame {
        ToWorker::Registered { incarnation, .. } => format!("registered as incarnation {incarnation}"),
        ToWorker::Run(attempts) => {
            let each = attempts.iter().map(|run| format!("{} {}", run.task, attempt(&run.attempt)));
            format!("run {}", each.collect::<Vec<_>>().join(", "))
        }
        ToWorker::Stop(attempts) => {
            let each = attempts.iter().map(|stop| attempt(&stop.attempt));
            format!("stop {}", each.collect::<Vec<_>>().join(", "))
        }
        ToWorker::Ask { attempts, .. } => {
            let each = attempts.iter().map(|(asked, _)| attempt(asked));
            format!("what of {}?", each.collect::<Vec<_>>().join(", "))
        }
        _ => return None,
    })
}

fn from_worker(frame: FromWorker) -> Option<String> {
    Some(match frame {
        FromWorker::Register(_) => "registers".to_owned(),
        FromWorker::Reports(reports) => {
            let each = reports.iter().map(|report| match &report.word {
                Word::Ended(end) => format!("{} has ended: {:?}", attempt(&report.attempt), end.result),
                Word::Refused { why } => format!("{} is refused: {why}", attempt(&report.attempt)),
            });
            each.collect::<Vec<_>>().join(", ")
        }
        _ => return None,
    })
}

fn attempt(attempt: &AttemptId) -> String {
    let TaskKey { task, item } = attempt.task_run.key;
    format!("{} {task}[{item}]#{}", attempt.task_run.run, attempt.attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shortened() {
        assert_eq!(shortened("run 01HF7YBSF506PP6EHSCC87C23M: t0#1"), "run C23M: t0#1");
        assert_eq!(shortened("nothing"), "nothing");
    }
}
