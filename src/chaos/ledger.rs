//! What the tasks of a chaos run write down themselves: one file that every attempt appends whole lines to, so that the
//! order of its lines is the order of time on this host.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use hortator_simulations::evidence::{LedgerLine, LedgerLineError, parse_ledger};

/// Environment variable of the tasks that names the file; also the mark by which their processes are found.
pub(super) const VARIABLE: &str = "CHAOS_LEDGER";

/// The shell function `say MARK`, for bash, which knows the time without starting a process.
pub(super) const SAY: &str = r#"say() { printf '%s %s %s %s %s %s %s %s\n' "$1" "$HTR_RUN_ID" "$HTR_TASK" "${HTR_ITEM:-0}" "$HTR_ATTEMPT" "$HTR_FENCE" "$EPOCHREALTIME" "$HTR_WORKER" >> "$CHAOS_LEDGER"; }"#;

/// Its clones share what was counted.
#[derive(Clone, Debug)]
pub(super) struct Ledger {
    path: PathBuf,
    counted: Rc<Cell<Counted>>,
}

/// Up to where the lines were counted, since the file is long and looked at often.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    bytes: u64,
    lines: usize,
}

/// The ledger cannot be used as evidence.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error("the ledger {path} cannot be read: {source}")]
    Io {
        path: String,
        #[source]
        source: io::Error,
    },
    #[error(transparent)]
    Line(#[from] LedgerLineError),
}

impl Ledger {
    pub(super) fn new(directory: &Path) -> Ledger {
        Ledger { path: directory.join("ledger"), counted: Rc::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How many whole lines there are now.
    pub(super) fn length(&self) -> usize {
        let mut counted = self.counted.get();
        let mut new = Vec::new();
        let read = std::fs::File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(counted.bytes))?;
            file.read_to_end(&mut new)
        });
        if let (Ok(_), Some(end)) = (read, new.iter().rposition(|byte| *byte == b'\n')) {
            counted.bytes += end as u64 + 1;
            counted.lines += new[..=end].iter().filter(|byte| **byte == b'\n').count();
            self.counted.set(counted);
        }
        counted.lines
    }

    /// All whole lines so far.
    pub(super) fn read(&self) -> Result<Vec<LedgerLine>, LedgerError> {
        match std::fs::read_to_string(&self.path) {
            Ok(text) => Ok(parse_ledger(&text)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(LedgerError::Io { path: self.path.display().to_string(), source }),
        }
    }

    /// How many processes of attempts are alive: they have the ledger in their environment.
    pub(super) fn processes(&self) -> usize {
        let mark = format!("{VARIABLE}={}", self.path.display());
        let Ok(processes) = std::fs::read_dir("/proc") else { return 0 };
        let environments =
            processes.flatten().filter_map(|entry| std::fs::read(entry.path().join("environ")).ok());
        environments.filter(|bytes| bytes.split(|byte| *byte == 0).any(|one| one == mark.as_bytes())).count()
    }
}
