//! What a backup holds, counted while all of it is checked.

use std::path::Path;

use hortator_proto::row::key::{self, Key};
use serde::Serialize;

use super::format::Header;
use super::reader::{BackupError, Part, StoredRow, read_backup};

/// Counts of a whole backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contents {
    #[serde(flatten)]
    pub header: Header,
    pub contents: Vec<GroupContents>,
    #[serde(flatten)]
    pub counts: Counts,
}

/// One group: as it stands in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct GroupContents {
    pub group: u32,
    pub rows: u64,
    /// Of keys and values.
    pub bytes: u64,
}

/// By what rows are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub workflows: u64,
    pub versions: u64,
    pub runs_live: u64,
    pub runs_finished: u64,
    pub task_runs: u64,
    pub earlier_attempts: u64,
    pub history: u64,
    pub start_keys: u64,
    pub workers: u64,
    pub masters: u64,
    /// Of kinds that this program does not count, or does not know.
    pub other: u64,
}

/// Reads all of it.
pub fn inspect(path: &Path) -> Result<Contents, BackupError> {
    let (mut groups, mut counts) = (Vec::new(), Counts::default());
    let mut runs = 0;
    let header = read_backup(path, |part| {
        match part {
            Part::Header(_) => {}
            Part::Rows { group, rows } => {
                if groups.last().is_none_or(|last: &GroupContents| last.group != group) {
                    groups.push(GroupContents { group, ..GroupContents::default() });
                }
                let last = groups.last_mut().expect("it was just looked at");
                last.rows += rows.len() as u64;
                last.bytes += rows.iter().map(|row| (row.key.len() + row.value.len()) as u64).sum::<u64>();
                rows.iter().for_each(|row| count(row, &mut counts, &mut runs));
            }
            Part::GroupEnd { group } => {
                if groups.last().is_none_or(|last: &GroupContents| last.group != group) {
                    groups.push(GroupContents { group, ..GroupContents::default() });
                }
            }
        }
        Ok::<(), BackupError>(())
    })?;
    counts.runs_finished = runs - counts.runs_live.min(runs);
    Ok(Contents { header, contents: groups, counts })
}

fn count(row: &StoredRow<'_>, counts: &mut Counts, runs: &mut u64) {
    let of = match key::parse(row.key) {
        Some(Key::Workflow(_)) => &mut counts.workflows,
        Some(Key::Version { .. }) => &mut counts.versions,
        Some(Key::Run(_)) => runs,
        Some(Key::LiveRun(_)) => &mut counts.runs_live,
        Some(Key::TaskRun(_)) => &mut counts.task_runs,
        Some(Key::EarlierAttempt(_)) => &mut counts.earlier_attempts,
        Some(Key::History { .. }) => &mut counts.history,
        Some(Key::StartKey { .. }) => &mut counts.start_keys,
        Some(Key::Worker(_)) => &mut counts.workers,
        Some(Key::Master(_)) => &mut counts.masters,
        _ => &mut counts.other,
    };
    *of += 1;
}
