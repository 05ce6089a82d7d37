//! Removes old logs, by age and by total size, and the directories that become empty.
//! Must not know which attempts run: a log that was written to within `YOUNG` is left alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use hortator_core::time::{Span, Timestamp};

/// A log younger than this is never removed for its size: it may belong to a running attempt.
const YOUNG: Span = Span::from_secs(60);

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub files_removed: u64,
    pub bytes_removed: u64,
    pub bytes_kept: u64,
}

/// Removes logs last written more than `keep` ago, then the oldest until at most `keep_bytes` are left. A file
/// that cannot be removed is passed over and tried again at the next sweep.
pub fn sweep(logs: &Path, now: Timestamp, keep: Span, keep_bytes: u64) -> io::Result<Swept> {
    let mut files = Vec::new();
    let mut directories = Vec::new();
    walk(logs, &mut files, &mut directories)?;
    files.sort();
    let mut swept = Swept { bytes_kept: files.iter().map(|(_, bytes, _)| bytes).sum(), ..Swept::default() };
    for (written, bytes, path) in &files {
        let age = now.since(*written);
        let too_much = swept.bytes_kept > keep_bytes && age > YOUNG;
        if (age > keep || too_much) && fs::remove_file(path).is_ok() {
            swept.files_removed += 1;
            swept.bytes_removed += bytes;
            swept.bytes_kept -= bytes;
        }
    }
    // Deepest first, as they were pushed last; one that is not empty, or is being filled, refuses.
    for directory in directories.iter().rev().filter(|_| swept.files_removed > 0) {
        let _ = fs::remove_dir(directory);
    }
    Ok(swept)
}

type LogFile = (Timestamp, u64, PathBuf);

fn walk(directory: &Path, files: &mut Vec<LogFile>, directories: &mut Vec<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Ok(meta) = entry.metadata() else { continue };
        if meta.is_dir() {
            directories.push(entry.path());
            walk(&entry.path(), files, directories)?;
        } else {
            let since_1970 = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let written = Timestamp(i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX));
            files.push((written, meta.len(), entry.path()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::FileTimes;
    use std::time::Duration;

    /// Files of 100 bytes, aged in seconds; returns which are left.
    fn check(ages: &[u64], keep: Span, keep_bytes: u64) -> Vec<u64> {
        let dir = tempfile::tempdir().unwrap();
        let path = |age: &u64| dir.path().join("ns/wf").join(format!("run{age}")).join("t.1.log");
        let now = 1_000_000;
        for age in ages {
            fs::create_dir_all(path(age).parent().unwrap()).unwrap();
            fs::write(path(age), [b'x'; 100]).unwrap();
            let written = UNIX_EPOCH + Duration::from_secs(now - age);
            fs::File::options()
                .write(true)
                .open(path(age))
                .unwrap()
                .set_times(FileTimes::new().set_modified(written))
                .unwrap();
        }
        let swept = sweep(dir.path(), Timestamp(now as i64 * 1_000_000), keep, keep_bytes).unwrap();
        let left: Vec<u64> = ages.iter().copied().filter(|age| path(age).exists()).collect();
        assert_eq!(swept.bytes_kept, 100 * left.len() as u64);
        assert_eq!(swept.files_removed, (ages.len() - left.len()) as u64);
        let run_dirs = fs::read_dir(dir.path().join("ns/wf")).map_or(0, |entries| entries.count());
        assert_eq!(run_dirs, left.len(), "empty directories are gone");
        left
    }

    #[test]
    fn by_age_then_by_size() {
        let hour = Span::from_secs(3600);
        assert_eq!(check(&[10, 3599, 3601, 9000], hour, 1000), [10, 3599]);
        assert_eq!(check(&[10, 100, 200, 300], hour, 250), [10, 100]);
        assert_eq!(check(&[10, 20, 30], hour, 0), [10, 20, 30], "young ones stay");
        assert_eq!(check(&[], hour, 0), [] as [u64; 0]);
    }
}
