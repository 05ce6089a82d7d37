//! Finds and kills the processes that a dead warden could not: holders of its lock, carriers of its tags.
//! Must not know why they were left.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::kernel::tag_of;
use super::strays::{all_pids, parent_of, seq_of};

/// A process that an earlier worker left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    pub pid: i32,
    /// The kernel's short name of it.
    pub name: String,
}

impl Leftover {
    pub(super) fn kill(&self) {
        let _ = kill(Pid::from_raw(self.pid), Signal::SIGKILL);
    }
}

/// Every process but the caller that holds the lock on `lock_path` or carries a tag of that base.
pub(super) fn find(lock_path: &Path, tag_base: Option<u64>) -> Vec<Leftover> {
    let own = nix::unistd::getpid().as_raw();
    let tagged =
        |pid| tag_base.is_some_and(|base| tag_of(pid).is_some_and(|tag| seq_of(tag, base).is_some()));
    // In this order: once the child has become its program, it does not hold what is ours any more.
    let is_left = |pid: &i32| {
        *pid != own && (tagged(*pid) || (!is_child_before_exec(own, *pid) && holds(*pid, lock_path)))
    };
    let with_name = |pid| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned();
        Leftover { pid, name }
    };
    all_pids().into_iter().filter(is_left).map(with_name).collect()
}

/// Whether it is a child that another thread of ours is just starting: until it has become its program it has our
/// descriptors, the lock among them, and our command line.
fn is_child_before_exec(own: i32, pid: i32) -> bool {
    let line = |pid: i32| fs::read(format!("/proc/{pid}/cmdline")).ok();
    parent_of(pid) == Some(own) && line(pid) == line(own)
}

/// Whether one of the process's descriptors holds a lock on that file; having it open to read does not count.
fn holds(pid: i32, lock_path: &Path) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    let is_lock = |descriptor: &Path| {
        // By name first: asking a file system that hangs for the file itself would hang as well.
        let same_name = fs::read_link(descriptor).is_ok_and(|link| link.file_name() == lock_path.file_name());
        let inode = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
        same_name && inode(descriptor).is_some_and(|found| Some(found) == inode(lock_path))
    };
    descriptors.flatten().any(|entry| {
        let info = Path::new("/proc").join(pid.to_string()).join("fdinfo").join(entry.file_name());
        is_lock(&entry.path()) && fs::read_to_string(info).is_ok_and(|text| text.contains("FLOCK"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::process::{Command, Stdio};

    #[test]
    fn holders_are_found_and_mere_readers_are_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let held = File::open(file.path()).unwrap();
        held.try_lock().unwrap();
        let mut holder = Command::new("sleep").arg("30").stdin(Stdio::from(held)).spawn().unwrap();
        let reader = Stdio::from(File::open(file.path()).unwrap());
        let mut reader = Command::new("sleep").arg("30").stdin(reader).spawn().unwrap();
        let found = find(file.path(), None);
        assert_eq!(found.iter().map(|left| left.pid).collect::<Vec<_>>(), [holder.id() as i32]);
        assert_eq!(found[0].name, "sleep");
        found[0].kill();
        assert!(!is_child_before_exec(nix::unistd::getpid().as_raw(), holder.id() as i32));
        holder.wait().unwrap();
        reader.kill().unwrap();
        reader.wait().unwrap();
    }
}
