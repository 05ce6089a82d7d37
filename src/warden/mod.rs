//! The warden: a small re-executed process, parent and child-subreaper of all task processes, that enforces the
//! lease when the agent cannot. One thread, a few MB, no disk: the agent reads output and writes logs.
//! Must not know runs, names, logs or masters.
//!
//! ```text
//! agent ── start, stop, deadline ──▶ warden ── clone, exec ──▶ task process (own group, tag, lock descriptor)
//!       ◀── started, ended ───────          ◀── reaped ──────
//!       ◀── output, by pipes the agent made ──────────────────
//! ```

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::ExitCode;

use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::time::{ClockId, clock_gettime};

mod ending;
mod keeper;
pub(crate) mod kernel;
pub mod leftovers;
mod link;
pub mod lock;
pub mod spawn_rate;
pub(crate) mod strays;
pub(crate) mod wire;

/// First argument of a process that is to be a warden.
pub const WARDEN_ARGUMENT: &str = "__warden";

/// Descriptor number that task processes inherit the lock under: above what scripts redirect by number.
const LOCK_DESCRIPTOR: i32 = 199;

/// Numbers below are the standard streams and what scripts expect to be free.
const OWN_DESCRIPTOR_MIN: i32 = 10;

/// Becomes a warden, or measures the spawn rate, when the first argument after the program's name says so; returns
/// none otherwise. Call it first in `main`: before any thread, descriptor or signal handler exists.
///
/// A warden's standard input is its connection to the agent and its standard output the lock file; its arguments
/// are the soft limit of open files for tasks and the base of their tags.
pub fn main(mut args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let _program = args.next();
    let role = args.next()?;
    let rest: Vec<String> = match role.to_str() {
        Some(WARDEN_ARGUMENT | spawn_rate::SPAWN_RATE_ARGUMENT) => {
            args.map(|arg| arg.to_string_lossy().into_owned()).collect()
        }
        _ => return None,
    };
    if role == WARDEN_ARGUMENT { Some(warden_main(&rest)) } else { Some(spawn_rate::main(&rest)) }
}

/// The whole life of a warden process.
pub(crate) fn warden_main(args: &[String]) -> ExitCode {
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("warden: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &[String]) -> io::Result<()> {
    let number = |place: usize| args.get(place).and_then(|text| text.parse::<u64>().ok());
    let (Some(open_files), Some(tag_base)) = (number(0), number(1)) else {
        return Err(io::Error::other("this argument is for the agent's own use"));
    };
    let (socket, null) = take_descriptors()?;
    nix::unistd::setsid()?;
    nix::unistd::chdir("/")?;
    nix::sys::prctl::set_child_subreaper(true)?;
    nix::sys::prctl::set_name(c"hortator-warden")?;
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, open_files.min(hard), hard)?;
    let (_, tag_hard) = getrlimit(Resource::RLIMIT_LOCKS)?;
    if tag_hard != nix::libc::RLIM_INFINITY {
        let what =
            format!("the hard limit of file locks (ulimit -x) is {tag_hard}; tasks are marked with it. ");
        return Err(io::Error::other(what + "Lift it, for example by removing LimitLOCKS= from the service"));
    }
    keeper::Keeper::new(socket, null, tag_base)?.run();
    Ok(())
}

/// Moves the connection and the lock away from the standard streams and closes everything else. The lock is the
/// one descriptor that tasks inherit; it needs no owner here, since it lives exactly as long as this process.
fn take_descriptors() -> io::Result<(OwnedFd, OwnedFd)> {
    kernel::close_from(3);
    let socket = kernel::adopt(fcntl(io::stdin(), FcntlArg::F_DUPFD_CLOEXEC(OWN_DESCRIPTOR_MIN))?);
    fcntl(io::stdout(), FcntlArg::F_DUPFD(LOCK_DESCRIPTOR))?;
    let null = open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    debug_assert!(null.as_raw_fd() > 2, "the standard streams are open");
    Ok((socket, null))
}

/// Microseconds of the clock that also runs while the machine is suspended: leases are judged on it.
pub fn boot_micros() -> i64 {
    clock_micros(ClockId::CLOCK_BOOTTIME)
}

/// Microseconds since 1970.
pub(crate) fn wall_micros() -> i64 {
    clock_micros(ClockId::CLOCK_REALTIME)
}

fn clock_micros(clock: ClockId) -> i64 {
    let time = clock_gettime(clock).expect("Linux has this clock");
    time.tv_sec() * 1_000_000 + time.tv_nsec() / 1000
}
