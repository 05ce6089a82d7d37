//! What the tasks themselves write down: each attempt appends a line when it starts, while it runs and as the last
//! thing it does. Lines are shorter than a page and appended in one write, so their order in the file is their order in time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A task run: run, task, item.
pub(crate) type Key = (String, String, u32);

/// The shell function `say`, which writes a line; `LEDGER` is in the task's environment.
pub(crate) const SAY: &str =
    r#"say() { echo "$1 $HTR_RUN_ID $HTR_TASK ${HTR_ITEM:-0} $HTR_FENCE" >> "$LEDGER"; }"#;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    Start,
    Beat,
    End,
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) mark: Mark,
    pub(crate) key: Key,
    /// Of the entry that dispatched the attempt; with the key it names one attempt.
    pub(crate) index: u64,
}

fn parse(line: &str) -> Option<Line> {
    let [mark, run, task, item, fence] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
    let mark = match mark {
        "start" => Mark::Start,
        "beat" => Mark::Beat,
        "end" => Mark::End,
        _ => return None,
    };
    let index = fence.rsplit('-').next()?.parse().ok()?;
    Some(Line { mark, key: (run.to_owned(), task.to_owned(), item.parse().ok()?), index })
}

#[derive(Debug)]
pub(crate) struct Ledger(PathBuf);

impl Ledger {
    pub(crate) fn new(directory: &Path) -> Ledger {
        Ledger(directory.join("ledger"))
    }

    pub(crate) fn path(&self) -> String {
        self.0.display().to_string()
    }

    pub(crate) fn lines(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines()
            .map(|line| parse(line).unwrap_or_else(|| panic!("a line of the ledger is torn: {line:?}")))
            .collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.lines().len()
    }

    /// No attempt says anything once another one of its task run has started, and none starts twice.
    pub(crate) fn check_no_overlap(&self) {
        let mut current: BTreeMap<Key, u64> = BTreeMap::new();
        for (place, line) in self.lines().into_iter().enumerate() {
            match line.mark {
                Mark::Start => {
                    let before = current.insert(line.key.clone(), line.index);
                    let later = before.is_none_or(|before| before < line.index);
                    assert!(later, "line {place}: {line:?} starts after {before:?}");
                }
                Mark::Beat | Mark::End => {
                    let now = current.get(&line.key);
                    assert_eq!(now, Some(&line.index), "line {place}: {line:?} runs beside another attempt");
                }
            }
        }
    }
}
