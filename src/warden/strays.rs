//! Finds the processes that carry an attempt's tag, wherever they hide: other group, other session, orphaned.
//! Must not know attempts: it answers which processes carry a wanted tag.
//!
//! Pids are handed out in rising order, so everything that a short attempt could have started lies between its
//! own pid and the newest one: asking each number costs a fifth of a microsecond. For older attempts the whole
//! process list is walked.

use std::fs::File;
use std::os::unix::fs::FileExt;

use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::kernel::tag_of;

/// Longest range of pids that is asked number by number; beyond it the list of processes is shorter.
const PROBE_PIDS_MAX: i32 = 1024;

/// How often the search follows processes that were started while it ran.
const CHASE_ROUNDS_MAX: u32 = 8;

/// Bits of a tag that count attempts; the bits above say whose tag it is.
const TAG_SEQ_BITS: u32 = 40;

/// Draws the part of tags that tells one warden's processes from another's: bit 62 and 22 random bits.
pub(crate) fn new_tag_base(random: u64) -> u64 {
    (1 << 62) | ((random & 0x3f_ffff) << TAG_SEQ_BITS)
}

/// The attempt number in a tag of that base.
pub(crate) fn seq_of(tag: u64, base: u64) -> Option<u64> {
    (tag >> TAG_SEQ_BITS == base >> TAG_SEQ_BITS).then_some(tag & ((1 << TAG_SEQ_BITS) - 1))
}

/// The list of processes, as far as this process may see it.
pub(crate) fn all_pids() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[derive(Debug)]
pub(super) struct Strays {
    /// None where it is not the kernel's own: containers may show a copy that lags behind.
    loadavg: Option<File>,
    base: u64,
}

impl Strays {
    pub(super) fn new(base: u64) -> std::io::Result<Strays> {
        let loadavg = File::open("/proc/loadavg")?;
        let is_kernels = fstatfs(&loadavg).is_ok_and(|fs| fs.filesystem_type() == PROC_SUPER_MAGIC);
        Ok(Strays { loadavg: is_kernels.then_some(loadavg), base })
    }

    /// Processes with a tag of ours whose attempt number is `wanted`. With `since`, only those started after that
    /// pid was given out, which must have been less than a turn of the pid numbers ago.
    pub(super) fn find(&self, since: Option<i32>, wanted: impl Fn(u64) -> bool) -> Vec<(i32, u64)> {
        let mut found = Vec::new();
        let mut ask = |pid: i32| {
            let seq = tag_of(pid).and_then(|tag| seq_of(tag, self.base));
            found.extend(seq.filter(|seq| wanted(*seq)).map(|seq| (pid, seq)));
        };
        let Some(newest) = self.newest_pid() else {
            all_pids().into_iter().for_each(ask);
            return found;
        };
        match since {
            Some(since) if (0..=PROBE_PIDS_MAX).contains(&(newest - since)) => {
                (since + 1..=newest).for_each(&mut ask)
            }
            _ => all_pids().into_iter().for_each(&mut ask),
        }
        let mut seen = newest;
        for _ in 0..CHASE_ROUNDS_MAX {
            match self.newest_pid() {
                Some(newer) if newer > seen && newer - seen <= PROBE_PIDS_MAX => {
                    (seen + 1..=newer).for_each(&mut ask);
                    seen = newer;
                }
                _ => break,
            }
        }
        found
    }

    /// The pid given out last, the fifth field of `/proc/loadavg`.
    fn newest_pid(&self) -> Option<i32> {
        let mut text = [0u8; 128];
        let length = self.loadavg.as_ref()?.read_at(&mut text, 0).ok()?;
        std::str::from_utf8(&text[..length]).ok()?.split_ascii_whitespace().nth(4)?.parse().ok()
    }
}

/// Children of `parent` by the kernel's word, tag or not: the slow way, for the very end.
pub(super) fn children_of(parent: i32) -> Vec<i32> {
    all_pids().into_iter().filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

/// The pid of a process's parent.
pub(super) fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so fields are counted after its last one.
    stat.rsplit(')').next()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_name_their_base_and_attempt() {
        let (base, other) = (new_tag_base(5), new_tag_base(6));
        assert_eq!(seq_of(base + 77, base), Some(77));
        assert_eq!(seq_of(base + 77, other), None);
        assert_eq!(seq_of(u64::MAX, base), None, "an unlimited process carries no tag");
    }

    #[test]
    fn finds_the_newest_pid_and_children() {
        let strays = Strays::new(new_tag_base(1)).unwrap();
        let mut child = std::process::Command::new("sleep").arg("30").spawn().unwrap();
        let pid = child.id() as i32;
        assert!(children_of(nix::unistd::getpid().as_raw()).contains(&pid));
        assert!(strays.newest_pid().is_some());
        assert!(strays.find(None, |_| true).is_empty());
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
