//! Names and numbers by which everything is known: names, run ids, task run keys, attempts, fences, positions.
//! Must not know how ids are drawn: the caller brings the clock and the random bits.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Longest name in bytes; fits a DNS label, a file name and a table column (UX guide 5.6).
pub const NAME_BYTES_MAX: usize = 63;

/// A name a person chose: workflow, namespace, task, worker, worker group. Grammar `[a-z][a-z0-9-]{0,62}`. Names go with
/// most messages, so clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

/// Why a text is not a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a name: {why}; a name is a lower-case letter, then up to 62 of a-z, 0-9 and -")]
pub struct NameError {
    /// The text as given, cut to 80 characters.
    pub text: String,
    /// The first rule it breaks.
    pub why: &'static str,
}

impl Name {
    /// Checks the grammar; the text itself becomes the name, nothing is folded or trimmed.
    pub fn new(text: &str) -> Result<Name, NameError> {
        let refuse = |why| Err(NameError { text: text.chars().take(80).collect(), why });
        let bytes = text.as_bytes();
        if bytes.is_empty() {
            return refuse("it is empty");
        }
        if bytes.len() > NAME_BYTES_MAX {
            return refuse("it is longer than 63 characters");
        }
        if !bytes[0].is_ascii_lowercase() {
            return refuse("it does not begin with a lower-case letter");
        }
        if !bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-') {
            return refuse("it holds another character");
        }
        Ok(Name(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Name, NameError> {
        Name::new(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.as_str().to_owned()
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Name, NameError> {
        Name::new(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A workflow's full name, `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkflowName {
    pub namespace: Name,
    pub name: Name,
}

impl WorkflowName {
    /// The shard that holds the workflow and everything of it: `1 + fnv1a64("namespace/name") % shards`.
    pub fn shard(&self, shards: u32) -> u32 {
        home(&self.to_string(), shards)
    }
}

/// A limit's full name, `namespace/name`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LimitName {
    pub namespace: Name,
    pub name: Name,
}

impl LimitName {
    /// The limit's home, found like a workflow's.
    pub fn shard(&self, shards: u32) -> u32 {
        home(&self.to_string(), shards)
    }
}

impl fmt::Display for LimitName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

fn home(name: &str, shards: u32) -> u32 {
    assert!(shards > 0, "a cluster has at least one shard");
    1 + (fnv1a64(name.as_bytes()) % u64::from(shards)) as u32
}

impl fmt::Display for WorkflowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// FNV-1a, 64 bit: fixed for ever, since it decides where a workflow lives.
pub fn fnv1a64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A run: a ULID (48 bits of milliseconds, 80 of randomness) whose first random byte is the shard, so that any
/// master can route by it. Shown as 26 characters of Crockford's base 32.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(pub u128);

/// The text is not a run id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a run id: 26 characters of 0-9 and A-Z without I, L, O, U are needed")]
pub struct RunIdError(pub String);

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const RUN_ID_CHARS: usize = 26;

impl RunId {
    /// `millis` since 1970 (48 bits kept), the shard (1..=255) and 72 random bits.
    pub fn new(millis: u64, shard: u32, random: u128) -> RunId {
        let shard = u8::try_from(shard).expect("a cluster has at most 255 shards");
        let low = random & ((1 << 72) - 1);
        RunId((u128::from(millis & 0xffff_ffff_ffff) << 80) | (u128::from(shard) << 72) | low)
    }

    /// When it was made, to the millisecond.
    pub fn made_at(self) -> Timestamp {
        Timestamp(i64::try_from((self.0 >> 80) * 1_000).unwrap_or(i64::MAX))
    }

    /// The shard that holds the run.
    pub fn shard(self) -> u32 {
        ((self.0 >> 72) & 0xff) as u32
    }

    /// Big-endian, as in row keys: runs sort by time.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub fn from_bytes(bytes: [u8; 16]) -> RunId {
        RunId(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = (0..RUN_ID_CHARS)
            .rev()
            .map(|place| CROCKFORD[((self.0 >> (5 * place)) & 31) as usize] as char)
            .collect();
        f.pad(&text)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RunId {
    type Err = RunIdError;
    fn from_str(text: &str) -> Result<RunId, RunIdError> {
        let refuse = || RunIdError(text.chars().take(80).collect());
        // 26 characters carry 130 bits; the first may only use three of its five.
        if text.len() != RUN_ID_CHARS || text.as_bytes()[0] > b'7' {
            return Err(refuse());
        }
        text.bytes()
            .try_fold(0u128, |bits, byte| {
                let value = CROCKFORD.iter().position(|c| *c == byte.to_ascii_uppercase())?;
                Some((bits << 5) | value as u128)
            })
            .map(RunId)
            .ok_or_else(refuse)
    }
}

impl TryFrom<String> for RunId {
    type Error = RunIdError;
    fn try_from(text: String) -> Result<RunId, RunIdError> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> String {
        id.to_string()
    }
}

/// A task's place in its workflow's list of tasks.
pub type TaskIndex = u32;

/// A task run inside its run: the task's index, and the item of a `foreach` (0 without one).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskKey {
    pub task: TaskIndex,
    pub item: u32,
}

/// A task run: a task within one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskRunId {
    pub run: RunId,
    pub key: TaskKey,
}

/// One try of a task run, numbered from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    pub task_run: TaskRunId,
    pub attempt: u16,
}

/// What makes an attempt unmistakable: the entry that dispatched it. Ordered: a later dispatch of one shard is
/// greater; attempts dispatched by one entry share it, so a report names the attempt and its fence. Given to the
/// process as `HTR_FENCE`, `generation-shard-term-index`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// Raised when a cluster is restored from a backup.
    pub generation: u32,
    pub shard: u32,
    pub term: u64,
    pub index: u64,
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fence { generation, shard, term, index } = self;
        write!(f, "{generation}-{shard}-{term}-{index}")
    }
}

/// Where in the log something happened: `GROUP:INDEX`, also in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Position {
    pub group: u32,
    pub index: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.group, self.index)
    }
}

/// The text is not a position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a position; write GROUP:INDEX, for example 2:812338")]
pub struct PositionError(pub String);

impl FromStr for Position {
    type Err = PositionError;
    fn from_str(text: &str) -> Result<Position, PositionError> {
        let refuse = || PositionError(text.chars().take(80).collect());
        let (group, index) = text.split_once(':').ok_or_else(refuse)?;
        match (group.parse(), index.parse()) {
            (Ok(group), Ok(index)) => Ok(Position { group, index }),
            _ => Err(refuse()),
        }
    }
}

impl TryFrom<String> for Position {
    type Error = PositionError;
    fn try_from(text: String) -> Result<Position, PositionError> {
        text.parse()
    }
}

impl From<Position> for String {
    fn from(position: Position) -> String {
        position.to_string()
    }
}

/// One life of a worker's agent, numbered from 1, never reused.
pub type Incarnation = u64;

/// A worker in one of its lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkerRef {
    pub name: Name,
    pub incarnation: Incarnation,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "etl-2", &"x".repeat(63)] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "A", "1a", "a_b", "a.b", "é", "-a", "a b", &"x".repeat(64)] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn run_ids_carry_their_shard_and_survive_text() {
        let id = RunId::new(1_795_000_000_000, 200, u128::MAX);
        assert_eq!(id.shard(), 200);
        assert_eq!(id.to_string().parse::<RunId>(), Ok(id));
        assert_eq!(id.to_string().to_lowercase().parse::<RunId>(), Ok(id));
        for bad in [
            "",
            "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
            "01J",
            "01ARZ3NDEKTSV4RRFFQ69G5FAU",
            "é1ARZ3NDEKTSV4RRFFQ69G5FA",
        ] {
            assert!(bad.parse::<RunId>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn shard_of_a_workflow_is_fixed_for_ever() {
        let name =
            WorkflowName { namespace: Name::new("retail").unwrap(), name: Name::new("daily").unwrap() };
        assert_eq!(fnv1a64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a64(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(name.shard(4), 1 + (fnv1a64(b"retail/daily") % 4) as u32);
    }
}
