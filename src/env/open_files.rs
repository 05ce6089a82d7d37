//! How many files and connections this process may have open: all that the system allows. Must not know what for.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use slog::{Logger, info, warn};

/// Connections of the three ports at their bounds, files of groups and logs, two descriptors for each attempt: under
/// this a crowd of callers can be what keeps the next file from being opened.
const ENOUGH: u64 = 65_536;
/// What Linux gives a process that nobody has given more.
const USUAL: u64 = 1024;

/// The limit is the process's, so what it was is remembered for the whole process too.
static AT_START: OnceLock<u64> = OnceLock::new();

/// Raises the limit. Returns what it was when the process began, for tasks: programs that use `select` must not see a
/// larger one.
pub fn raise_open_files(log: &Logger) -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return USUAL };
    let at_start = *AT_START.get_or_init(|| soft);
    if soft < hard {
        match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            Ok(()) => info!(log, "the limit of open files is raised"; "from" => soft, "to" => hard),
            Err(error) => {
                warn!(log, "the limit of open files cannot be raised"; "soft" => soft, "hard" => hard,
                    "error" => %error);
            }
        }
    }
    if hard < ENOUGH {
        warn!(log, "few files and connections may be open at a time: give this process more, as LimitNOFILE=65536 in \
             its unit or ulimit -Hn"; "code" => "H1019", "hard" => hard, "enough" => ENOUGH);
    }
    at_start
}
