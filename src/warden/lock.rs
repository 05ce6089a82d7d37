//! The right to run tasks on a data directory: one agent at a time, and never beside what a dead one left.
//! Must not know sockets or attempts.
//!
//! Two files. `agent.lock` is held by the living agent alone. `warden.lock` is held by the warden and inherited by
//! every task process, so it is free only when all of them are dead; with the first in hand, whoever holds the
//! second is a leftover. `warden.boot` says under which kernel boot, and with which tags, the last ones ran.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use slog::{Logger, info, warn};

use super::leftovers::{self, Leftover};
use super::strays::new_tag_base;

/// How long an agent that was just killed may take to let go: a program it was starting may hold its descriptors.
const AGENT_END_WAIT: Duration = Duration::from_millis(300);

/// How long a dying warden may take to end its tasks politely before everything is killed: its emergency grace,
/// and as much again for reaping.
const WARDEN_END_WAIT: Duration = Duration::from_millis(1000);

/// How long killed processes may take to disappear; longer means that the kernel cannot kill them.
const KILL_WAIT: Duration = Duration::from_secs(10);

/// Between two tries of a lock.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// What is known of the agent before this one on the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreviousBoot {
    /// Nobody ran here before.
    First,
    /// The machine has not been restarted since: this lock proves that the old attempts are dead.
    SameBoot,
    /// The machine, or another one, ran it under another boot: here only silence proves anything.
    OtherBoot,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("cannot use {} in the data directory; it must be writable for the user of the worker", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "another worker runs on {} (process {pid}); stop it, or give this one another data directory",
        data_dir.display()
    )]
    AnotherWorker { data_dir: PathBuf, pid: String },
    #[error(
        "{} is still held after {waited_s} s by what an earlier worker left: {}; end these processes, then start again",
        data_dir.display(),
        list(leftovers)
    )]
    Leftovers { data_dir: PathBuf, waited_s: u64, leftovers: Vec<Leftover> },
}

fn list(leftovers: &[Leftover]) -> String {
    match leftovers {
        [] => "processes that cannot be seen from here, perhaps in another container".to_owned(),
        some => some.iter().map(|one| format!("{} ({})", one.pid, one.name)).collect::<Vec<_>>().join(", "),
    }
}

/// Held by the agent as long as it may have a warden; dropping it lets another agent in once the tasks are dead.
#[derive(Debug)]
pub struct Lock {
    /// Keeps other agents out.
    agent: File,
    /// For the warden to inherit; given away at its start.
    pub(crate) warden: Option<File>,
    pub(crate) tag_base: u64,
    pub previous_boot: PreviousBoot,
}

impl Drop for Lock {
    /// Unlocks by word: closing is not enough while a program that another thread starts has copies.
    fn drop(&mut self) {
        let held = [Some(&self.agent), self.warden.as_ref()];
        held.into_iter().flatten().for_each(|file| drop(file.unlock()));
    }
}

/// Gets the lock of a data directory, killing what a dead agent left. Blocks, at most about 11 s.
pub fn acquire_lock(data_dir: &Path, log: &Logger) -> Result<Lock, LockError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| LockError::File { path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(failed(data_dir))?;
    let agent_path = data_dir.join("agent.lock");
    let mut agent = open_lock(&agent_path).map_err(failed(&agent_path))?;
    if !lock_within(&agent, AGENT_END_WAIT).map_err(failed(&agent_path))? {
        let mut pid = String::new();
        let _ = agent.read_to_string(&mut pid);
        return Err(LockError::AnotherWorker { data_dir: data_dir.into(), pid: pid.trim().into() });
    }
    write_pid(&mut agent).map_err(failed(&agent_path))?;

    let boot_path = data_dir.join("warden.boot");
    let boot_id = boot_id().map_err(failed(Path::new("/proc/sys/kernel/random/boot_id")))?;
    let before = std::fs::read_to_string(&boot_path).ok();
    let (previous_boot, old_tag_base) = read_boot(before.as_deref(), &boot_id);
    let warden = clear_and_lock(data_dir, old_tag_base, WARDEN_END_WAIT, log)?;

    let mut random = [0; 8];
    let urandom = Path::new("/dev/urandom");
    File::open(urandom).and_then(|mut file| file.read_exact(&mut random)).map_err(failed(urandom))?;
    let tag_base = new_tag_base(u64::from_le_bytes(random));
    std::fs::write(&boot_path, format!("{boot_id} {tag_base}\n")).map_err(failed(&boot_path))?;
    info!(log, "data directory locked"; "data_dir" => %data_dir.display(), "previous_boot" => ?previous_boot);
    Ok(Lock { agent, warden: Some(warden), tag_base, previous_boot })
}

/// False when it is still held after that time.
fn lock_within(file: &File, patience: Duration) -> io::Result<bool> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if start.elapsed() >= patience => return Ok(false),
            Err(TryLockError::WouldBlock) => std::thread::sleep(RETRY_PAUSE),
            Err(TryLockError::Error(source)) => return Err(source),
        }
    }
}

/// Waits `patience` for the holders of the warden's lock to end by themselves, then kills them. With the lock in
/// hand, kills also what carries a tag of `old_tag_base` and has closed the inherited descriptor.
pub(crate) fn clear_and_lock(
    data_dir: &Path,
    old_tag_base: Option<u64>,
    patience: Duration,
    log: &Logger,
) -> Result<File, LockError> {
    let path = data_dir.join("warden.lock");
    let failed = |source| LockError::File { path: path.clone(), source };
    open_lock(&path).map_err(failed)?;
    // Only for reading: nothing is ever written through the descriptor that tasks inherit.
    let file = File::open(&path).map_err(failed)?;
    let start = Instant::now();
    let mut seen = std::collections::BTreeSet::new();
    loop {
        let free = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        };
        let impatient = free || start.elapsed() >= patience;
        let left = if impatient { leftovers::find(&path, old_tag_base) } else { Vec::new() };
        if free && left.is_empty() {
            return Ok(file);
        }
        for leftover in &left {
            if seen.insert(leftover.pid) {
                warn!(log, "killing a process that an earlier worker left"; "pid" => leftover.pid, "name" => &leftover.name);
            }
            leftover.kill();
        }
        if start.elapsed() >= patience + KILL_WAIT {
            let waited_s = start.elapsed().as_secs();
            return Err(LockError::Leftovers { data_dir: data_dir.into(), waited_s, leftovers: left });
        }
        std::thread::sleep(RETRY_PAUSE);
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn write_pid(agent: &mut File) -> io::Result<()> {
    agent.set_len(0)?;
    agent.rewind()?;
    writeln!(agent, "{}", std::process::id())
}

/// The kernel's name for the time since it was started.
fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

fn read_boot(before: Option<&str>, boot_id: &str) -> (PreviousBoot, Option<u64>) {
    let Some(before) = before else { return (PreviousBoot::First, None) };
    let mut words = before.split_ascii_whitespace();
    match words.next() {
        Some(id) if id == boot_id => {
            (PreviousBoot::SameBoot, words.next().and_then(|word| word.parse().ok()))
        }
        // A torn file proves nothing, like another boot.
        _ => (PreviousBoot::OtherBoot, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quiet() -> Logger {
        Logger::root(slog::Discard, slog::o!())
    }

    #[test]
    fn one_agent_at_a_time_and_the_boot_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let lock = acquire_lock(dir.path(), &quiet()).unwrap();
        assert_eq!(lock.previous_boot, PreviousBoot::First);
        let error = acquire_lock(dir.path(), &quiet()).unwrap_err().to_string();
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        drop(lock);
        assert_eq!(acquire_lock(dir.path(), &quiet()).unwrap().previous_boot, PreviousBoot::SameBoot);
        std::fs::write(dir.path().join("warden.boot"), "another 17\n").unwrap();
        assert_eq!(acquire_lock(dir.path(), &quiet()).unwrap().previous_boot, PreviousBoot::OtherBoot);
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = acquire_lock(&file.path().join("data"), &quiet()).unwrap_err();
        assert!(error.to_string().contains("data"), "{error}");
    }
}
