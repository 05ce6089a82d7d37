//! Learned durations of a workflow by its tasks' names, as its shard keeps them in one row over all versions.
//! Must not know rows.

use std::collections::BTreeMap;

use super::durations::{Learned, LearnedError, WorkerClass};
use crate::id::Name;
use crate::time::{Span, Timestamp};

/// Most tasks of a workflow of which durations are kept: a row of about 60 KB. Others count as the middle of these.
pub const LEARNED_TASKS_MAX: usize = 1024;
/// First byte of an encoding.
const VERSION: u8 = 2;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LearnedTasks(BTreeMap<(Name, WorkerClass), Seen>);

/// What one task's successes on one class of workers say, and when the last of them was, to the second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    learned: Learned,
    last: Timestamp,
}

impl LearnedTasks {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By class of workers.
    pub fn of(&self, task: &Name) -> impl Iterator<Item = (WorkerClass, &Learned)> {
        let range = (task.clone(), 0)..=(task.clone(), WorkerClass::MAX);
        self.0.range(range).map(|((_, class), seen)| (*class, &seen.learned))
    }

    /// By task and class of workers, with the time of the last success.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, WorkerClass, &Learned, Timestamp)> {
        self.0.iter().map(|((task, class), seen)| (task, *class, &seen.learned, seen.last))
    }

    /// A success; says whether that is worth a write: what is expected from now on differs from before, or it is the first
    /// success of its day, which tells what still runs from what runs no more.
    pub fn learn(&mut self, task: &Name, class: WorkerClass, took: Span, at: Timestamp) -> bool {
        let Seen { learned, last } = self.0.entry((task.clone(), class)).or_default();
        let before = (learned.estimate(), last.0 / DAY);
        learned.learn(took);
        *last = Timestamp(at.0 / SECOND * SECOND);
        before != (learned.estimate(), last.0 / DAY)
    }

    /// Version, then of each: length of the name, name, class, second of the last success, length, durations.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        for ((task, class), Seen { learned, last }) in &self.0 {
            let (task, learned) = (task.as_str().as_bytes(), learned.encode());
            bytes.push(u8::try_from(task.len()).expect("names are short"));
            bytes.extend_from_slice(task);
            bytes.extend_from_slice(&class.to_be_bytes());
            bytes.extend_from_slice(&u32::try_from(last.0 / SECOND).unwrap_or(0).to_be_bytes());
            bytes.push(u8::try_from(learned.len()).expect("at most 33 bytes"));
            bytes.extend_from_slice(&learned);
        }
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<LearnedTasks, LearnedError> {
        let error = || LearnedError { len: bytes.len(), first: bytes.first().copied() };
        let Some((VERSION, mut rest)) = bytes.split_first().map(|(first, rest)| (*first, rest)) else {
            return Err(error());
        };
        let mut tasks = BTreeMap::new();
        while !rest.is_empty() {
            let name = piece(&mut rest).ok_or_else(error)?;
            let name =
                std::str::from_utf8(name).ok().and_then(|text| Name::new(text).ok()).ok_or_else(error)?;
            let (class, after) = rest.split_first_chunk::<2>().ok_or_else(error)?;
            let (last, after) = after.split_first_chunk::<4>().ok_or_else(error)?;
            rest = after;
            let learned = Learned::decode(piece(&mut rest).ok_or_else(error)?)?;
            let last = Timestamp(i64::from(u32::from_be_bytes(*last)) * SECOND);
            tasks.insert((name, WorkerClass::from_be_bytes(*class)), Seen { learned, last });
        }
        Ok(LearnedTasks(tasks))
    }
}

/// As many bytes as the first one says.
fn piece<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = bytes.split_first()?;
    let (piece, rest) = rest.split_at_checked(usize::from(*len))?;
    *bytes = rest;
    Some(piece)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_learned_comes_back() {
        let mut tasks = LearnedTasks::default();
        let (load, sum) = (Name::new("load").unwrap(), Name::new("sum").unwrap());
        let at = |second: i64| Timestamp(1_700_000_000 * SECOND + second * SECOND);
        for success in 0..32 {
            assert!(tasks.learn(&load, 7, Span::from_secs(3), at(success)), "one more counts: {success}");
        }
        assert!(!tasks.learn(&load, 7, Span::from_secs(3), at(40)), "the same again is no news");
        assert!(tasks.learn(&load, 7, Span::from_secs(3), at(86_400)), "the first of a day is");
        assert!(tasks.learn(&load, 7, Span::from_secs(30), at(86_401)), "and so is another duration");
        assert!(tasks.learn(&sum, 0, Span::from_millis(5), at(7)));
        assert_eq!(tasks.iter().map(|(_, _, _, last)| last).collect::<Vec<_>>(), [at(86_401), at(7)]);
        let bytes = tasks.encode();
        assert_eq!(LearnedTasks::decode(&bytes), Ok(tasks.clone()));
        assert_eq!(tasks.of(&load).map(|(class, _)| class).collect::<Vec<_>>(), [7]);
        for cut in 1..bytes.len() {
            // What was cut between two tasks reads as fewer tasks, all else is refused.
            let read = LearnedTasks::decode(&bytes[..cut]);
            assert!(read.is_err() || read.is_ok_and(|read| read.len() < 2), "{cut}");
        }
        assert!(LearnedTasks::decode(&[]).is_err() && LearnedTasks::decode(&[9]).is_err());
    }
}
