//! Where attempts work: numbered directories below `work/`, handed from attempt to attempt.
//! Must not know processes.
//!
//! Making and removing a directory and a file per attempt costs a journalled file system more than the process
//! itself. So a directory that an attempt has not touched serves the next one, and scripts are written over. That is
//! safe because an attempt only ends when no process of it is left; what was touched is moved away and removed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use nix::fcntl::OFlag;

use super::directories::private;
use super::remover::Remover;

/// The directory of one attempt at a time, and two files beside it.
#[derive(Debug)]
pub(super) struct Workplace {
    /// `HTR_WORKDIR`: empty at the start, the process's current directory.
    pub(super) work: PathBuf,
    pub(super) script: PathBuf,
    /// `HTR_OUTPUT`: does not exist at the start.
    pub(super) output: PathBuf,
    /// What the directory looked like when it was made; none when it has to be made.
    made: Option<Looks>,
}

/// Changes when anything is made or removed in a directory, or its rights change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Looks {
    inode: u64,
    mode: u32,
    changed: (i64, i64),
}

/// All of them.
#[derive(Debug)]
pub(super) struct Workplaces {
    directory: PathBuf,
    trash: PathBuf,
    /// Tells what this agent moves away from what earlier ones did.
    started_ns: u128,
    moved: AtomicU64,
    free: Mutex<Vec<Workplace>>,
    /// How many there are: the number of the next one.
    count: AtomicU64,
}

impl Workplaces {
    /// Moves what an earlier agent left aside, in one step; returns what to remove at leisure.
    pub(super) fn new(data: &Path, now: SystemTime) -> io::Result<(Workplaces, Vec<PathBuf>)> {
        let (directory, trash) = (data.join("work"), data.join("trash"));
        private().recursive(true).create(&trash)?;
        let started_ns = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        match fs::rename(&directory, trash.join(started_ns.to_string())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        private().create(&directory)?;
        let old = fs::read_dir(&trash)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        let (moved, free, count) = (AtomicU64::new(0), Mutex::default(), AtomicU64::new(0));
        Ok((Workplaces { directory, trash, started_ns, moved, free, count }, old))
    }

    /// One that is free, or a new one. Lowest numbers are used again first, as a stack, while they are warm.
    pub(super) fn take(&self) -> Workplace {
        if let Some(free) = self.free.lock().expect("no panic under this lock").pop() {
            return free;
        }
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let path = |end: &str| self.directory.join(format!("{number}{end}"));
        Workplace { work: path(""), script: path(".script"), output: path(".output"), made: None }
    }

    /// After its attempt, whether that started or not. One that cannot be cleared is never used again.
    pub(super) fn give_back(&self, mut place: Workplace, remover: &Remover) {
        if remove_any(&place.output).is_err() {
            return;
        }
        if place.made.is_some() && !place.is_untouched() {
            place.made = None;
            let removed = match fs::remove_dir(&place.work) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(_) => self.move_away(&place.work, remover),
                removed => removed,
            };
            if removed.is_err() {
                return;
            }
        }
        self.free.lock().expect("no panic under this lock").push(place);
    }

    fn move_away(&self, path: &Path, remover: &Remover) -> io::Result<()> {
        let number = self.moved.fetch_add(1, Ordering::Relaxed);
        let to = self.trash.join(format!("{}-{number}", self.started_ns));
        fs::rename(path, &to)?;
        remover.remove(to);
        Ok(())
    }
}

impl Workplace {
    /// Makes the directory, when there is none to use again, and writes the script. The error comes with the path.
    pub(super) fn prepare(&mut self, script: Option<&str>) -> Result<(), (PathBuf, io::Error)> {
        if self.made.is_none() {
            self.make().map_err(|error| (self.work.clone(), error))?;
        }
        let Some(text) = script else { return Ok(()) };
        let written = self.write_over(text).or_else(|_| {
            // The last attempt has played with it.
            remove_any(&self.script)?;
            self.write_over(text)
        });
        written.map_err(|error| (self.script.clone(), error))
    }

    fn make(&mut self) -> io::Result<()> {
        let made = match private().create(&self.work) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove_any(&self.work)?;
                private().create(&self.work)
            }
            // Somebody removed the directory of all of them.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                private().recursive(true).create(&self.work)
            }
            made => made,
        };
        made?;
        self.made = Some(looks(&self.work)?);
        Ok(())
    }

    /// Not truncated first: file systems write a file out at once when it is replaced that way.
    fn write_over(&self, text: &str) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600).custom_flags(OFlag::O_NOFOLLOW.bits());
        let mut file: File = options.open(&self.script)?;
        let meta = file.metadata()?;
        if !meta.is_file() || meta.nlink() != 1 || meta.mode() & 0o777 != 0o600 {
            return Err(io::Error::other("not the file it was"));
        }
        file.write_all(text.as_bytes())?;
        if meta.len() > text.len() as u64 { file.set_len(text.len() as u64) } else { Ok(()) }
    }

    /// The same directory, of the same looks, and empty: its looks alone may hide a change within a clock tick.
    fn is_untouched(&self) -> bool {
        let same = looks(&self.work).is_ok_and(|looks| self.made == Some(looks));
        same && fs::read_dir(&self.work).is_ok_and(|mut entries| entries.next().is_none())
    }
}

fn looks(directory: &Path) -> io::Result<Looks> {
    let meta = fs::symlink_metadata(directory)?;
    Ok(Looks { inode: meta.ino(), mode: meta.mode(), changed: (meta.ctime(), meta.ctime_nsec()) })
}

/// A file, a link, or a directory with all that is in it.
fn remove_any(path: &Path) -> io::Result<()> {
    let removed = match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => fs::remove_dir_all(path),
        removed => removed,
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// One attempt does this to its place; the next one must find it empty, with its own script in it.
    fn check(mischief: impl Fn(&Workplace), reused: bool) {
        let dir = tempfile::tempdir().unwrap();
        let (places, old) = Workplaces::new(dir.path(), SystemTime::UNIX_EPOCH).unwrap();
        assert!(old.is_empty());
        let remover = Remover::new(slog::Logger::root(slog::Discard, slog::o!()));
        let mut place = places.take();
        place.prepare(Some("the first script")).unwrap();
        let (path, inode) = (place.work.clone(), place.made.unwrap().inode);
        mischief(&place);
        places.give_back(place, &remover);
        let mut place = places.take();
        assert_eq!(place.made.is_some_and(|made| made.inode == inode), reused);
        place.prepare(Some("the second")).unwrap();
        assert_eq!(place.work, path);
        assert_eq!(fs::read_to_string(&place.script).unwrap(), "the second");
        assert_eq!(fs::read_dir(&place.work).unwrap().count(), 0);
        assert_eq!(fs::metadata(&place.work).unwrap().mode() & 0o777, 0o700);
        assert!(fs::symlink_metadata(&place.output).is_err());
    }

    #[test]
    fn the_next_attempt_finds_nothing_of_the_last() {
        check(|_| {}, true);
        check(|place| fs::write(&place.output, "a=1").unwrap(), true);
        check(|place| fs::write(place.work.join("x"), "").unwrap(), false);
        check(|place| fs::create_dir_all(place.work.join("a/b")).unwrap(), false);
        check(|place| fs::remove_dir(&place.work).unwrap(), false);
        check(|place| fs::remove_dir_all(place.work.parent().unwrap()).unwrap(), false);
        check(|place| fs::set_permissions(&place.work, PermissionsExt::from_mode(0o777)).unwrap(), false);
        check(|place| fs::create_dir_all(place.output.join("a")).unwrap(), true);
        check(|place| symlink("/etc", &place.output).unwrap(), true);
        check(|place| fs::remove_file(&place.script).unwrap(), true);
        check(|place| fs::set_permissions(&place.script, PermissionsExt::from_mode(0o400)).unwrap(), true);
        let other = tempfile::NamedTempFile::new().unwrap();
        let swap = |place: &Workplace| {
            fs::remove_file(&place.script).unwrap();
            symlink(other.path(), &place.script).unwrap();
        };
        check(swap, true);
        check(|place| fs::hard_link(&place.script, place.script.with_extension("link")).unwrap(), true);
        assert_eq!(fs::read_to_string(other.path()).unwrap(), "", "no link was followed");
    }

    #[test]
    fn what_an_earlier_agent_left_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("work/3/big")).unwrap();
        let (places, old) = Workplaces::new(dir.path(), SystemTime::now()).unwrap();
        assert!(old.len() == 1 && old[0].join("3/big").exists());
        assert_eq!(fs::read_dir(dir.path().join("work")).unwrap().count(), 0);
        assert_eq!(places.take().work, dir.path().join("work/0"));
        assert_eq!(places.take().work, dir.path().join("work/1"));
    }
}
