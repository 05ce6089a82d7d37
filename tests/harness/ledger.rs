//! What the tasks themselves write down: each attempt appends a line when it starts, while it runs and as the last
//! thing it does. Every line is 128 bytes and one write, so none lies across two pages: it is there or not, also when
//! its writer is killed, and the order in the file is the order in time.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A task run: run, task, item.
pub(crate) type Key = (String, String, u32);

/// The shell function `say`, which writes a line; `LEDGER` is in the task's environment.
pub(crate) const SAY: &str =
    r#"say() { printf "%-127s\n" "$1 $HTR_RUN_ID $HTR_TASK ${HTR_ITEM:-0} $HTR_FENCE" >> "$LEDGER"; }"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Start,
    Beat,
    End,
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Of its first byte.
    pub(crate) at: u64,
    pub(crate) mark: Mark,
    pub(crate) key: Key,
    /// Of the entry that dispatched the attempt; with the key it names one attempt.
    pub(crate) index: u64,
}

fn parse(at: u64, line: &str) -> Option<Line> {
    let [mark, run, task, item, fence] = line.trim_end().split(' ').collect::<Vec<_>>()[..] else {
        return None;
    };
    let mark = match mark {
        "start" => Mark::Start,
        "beat" => Mark::Beat,
        "end" => Mark::End,
        _ => return None,
    };
    let index = fence.rsplit('-').next()?.parse().ok()?;
    Some(Line { at, mark, key: (run.to_owned(), task.to_owned(), item.parse().ok()?), index })
}

#[derive(Debug)]
pub(crate) struct Ledger(PathBuf);

impl Ledger {
    pub(crate) fn new(directory: &Path) -> Ledger {
        let path = directory.join("ledger");
        std::fs::write(&path, "").unwrap();
        Ledger(path)
    }

    pub(crate) fn path(&self) -> String {
        self.0.display().to_string()
    }

    /// In bytes: what is appended from now on stands there or later.
    pub(crate) fn size(&self) -> u64 {
        std::fs::metadata(&self.0).unwrap().len()
    }

    /// Those that begin at this byte or later.
    pub(crate) fn lines_from(&self, start: u64) -> Vec<Line> {
        let mut file = File::open(&self.0).unwrap();
        file.seek(SeekFrom::Start(start)).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        let mut at = start;
        let lines = text.split_inclusive('\n').map(|line| {
            let parsed = line.strip_suffix('\n').and_then(|line| parse(at, line));
            at += line.len() as u64;
            parsed.unwrap_or_else(|| panic!("a line of the ledger is torn: {line:?}"))
        });
        lines.collect()
    }

    /// No attempt says anything once another one of its task run has started, and none starts twice.
    pub(crate) fn check_no_overlap(&self) {
        let mut current: BTreeMap<Key, u64> = BTreeMap::new();
        for line in self.lines_from(0) {
            match line.mark {
                Mark::Start => {
                    let before = current.insert(line.key.clone(), line.index);
                    let later = before.is_none_or(|before| before < line.index);
                    assert!(later, "{line:?} starts after {before:?}");
                }
                Mark::Beat | Mark::End => {
                    let now = current.get(&line.key);
                    assert_eq!(now, Some(&line.index), "{line:?} is said beside attempt {now:?}");
                }
            }
        }
    }
}
