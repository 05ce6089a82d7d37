//! The system calls that safe wrappers do not cover: starting a process on the warden's own memory, the child
//! signal, peeking at ended children, adopting received descriptors. The one file where `unsafe` is allowed.
//! Must not know attempts, frames or time: it takes numbers and C strings and gives numbers back.
#![expect(unsafe_code, reason = "vfork-style clone, signal handlers and raw wait calls have no safe wrapper")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};

/// Signals the warden ignores: a terminal's and a supervisor's wish to stop is meant for the agent, whose end
/// the warden notices by itself. A task gets all of them back with their default meaning.
const IGNORED: [c_int; 8] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGPIPE,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTSTP,
];

/// Stack of the child between clone and exec: a dozen system calls deep, with room to spare.
const CHILD_STACK_BYTES: usize = 64 << 10;

/// The resource that carries an attempt's tag: Linux has ignored this limit since 2.4.25, every descendant
/// inherits it, and it survives exec, a cleared environment, `setsid` and closed descriptors.
const TAG_RESOURCE: libc::__rlimit_resource_t = libc::RLIMIT_LOCKS;

/// Where a start failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    Clone = 1,
    Group = 2,
    ParentGone = 3,
    Tag = 4,
    Directory = 5,
    Descriptors = 6,
    Exec = 7,
    /// Not tried: the lease deadline has passed, or the warden is ending.
    Expired = 8,
}

impl Stage {
    pub(crate) fn from_u8(byte: u8) -> Option<Stage> {
        use Stage::*;
        let all = [Clone, Group, ParentGone, Tag, Directory, Descriptors, Exec, Expired];
        all.into_iter().find(|stage| *stage as u8 == byte)
    }
}

/// A start that failed before the program ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("start failed at {stage:?}: {errno}")]
pub(super) struct ExecError {
    pub(super) stage: Stage,
    pub(super) errno: Errno,
}

/// What to run.
#[derive(Debug)]
pub(super) struct Exec<'a> {
    pub(super) program: &'a CStr,
    pub(super) directory: &'a CStr,
    pub(super) argv: &'a [&'a CStr],
    pub(super) envp: &'a [&'a CStr],
    pub(super) stdout: RawFd,
    pub(super) stderr: RawFd,
    pub(super) tag: u64,
}

/// What the child reads, and where it writes why it failed. Lives on the parent's stack.
struct Job {
    program: *const c_char,
    directory: *const c_char,
    argv: *const *const c_char,
    envp: *const *const c_char,
    stdin: RawFd,
    stdout: RawFd,
    stderr: RawFd,
    parent: libc::pid_t,
    tag: libc::rlimit,
    stage: Stage,
    errno: c_int,
}

/// Starts processes. The child runs on the warden's memory until exec, as in `posix_spawn`, so the cost does not
/// grow with anything; unlike `posix_spawn` it can also set the parent-death signal and the tag.
#[derive(Debug)]
pub(super) struct Forker {
    stack: Box<[u8]>,
    null: OwnedFd,
    parent: libc::pid_t,
}

impl Forker {
    /// `null` is `/dev/null`, open for reading: every task's standard input.
    pub(super) fn new(null: OwnedFd) -> Forker {
        let parent = nix::unistd::getpid().as_raw();
        Forker { stack: vec![0; CHILD_STACK_BYTES].into_boxed_slice(), null, parent }
    }

    /// Starts a process in its own group and returns its pid once the program has begun.
    pub(super) fn exec(&mut self, exec: &Exec<'_>) -> Result<libc::pid_t, ExecError> {
        let pointers = |list: &[&CStr]| -> Vec<*const c_char> {
            list.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
        };
        let (argv, envp) = (pointers(exec.argv), pointers(exec.envp));
        let mut job = Job {
            program: exec.program.as_ptr(),
            directory: exec.directory.as_ptr(),
            argv: argv.as_ptr(),
            envp: envp.as_ptr(),
            stdin: self.null.as_raw_fd(),
            stdout: exec.stdout,
            stderr: exec.stderr,
            parent: self.parent,
            tag: libc::rlimit { rlim_cur: exec.tag, rlim_max: libc::RLIM_INFINITY },
            stage: Stage::Clone,
            errno: 0,
        };
        let mut before = SigSet::empty();
        // No handler may run in the child while it shares our memory.
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), Some(&mut before)).expect("a valid mask");
        // SAFETY: the top of the stack is within the boxed slice, aligned down to 16 bytes, and only one child
        // uses it at a time: CLONE_VFORK suspends this thread until the child has called execve or _exit, so
        // `job` and everything it points to outlive the child's use, and nobody else touches them meanwhile.
        let pid = unsafe {
            let end = self.stack.as_mut_ptr().add(self.stack.len());
            let top = end.sub(end as usize % 16);
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
            libc::clone(child_main, top.cast::<c_void>(), flags, (&raw mut job).cast::<c_void>())
        };
        let clone_errno = Errno::last();
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&before), None).expect("the mask we had");
        if pid < 0 {
            return Err(ExecError { stage: Stage::Clone, errno: clone_errno });
        }
        // SAFETY: the child wrote this field, if at all, before the clone call returned; a plain read through the
        // pointer keeps the compiler from using the value it stored itself.
        let (stage, errno) =
            unsafe { (ptr::read_volatile(&raw const job.stage), ptr::read_volatile(&raw const job.errno)) };
        if errno == 0 {
            return Ok(pid);
        }
        reap(pid);
        Err(ExecError { stage, errno: Errno::from_raw(errno) })
    }
}

/// Runs in the child, on the parent's memory. Only system calls: no allocation, no lock, no panic.
extern "C" fn child_main(argument: *mut c_void) -> c_int {
    let job = argument.cast::<Job>();
    // SAFETY: `argument` is the `Job` on the stack of the suspended parent, alive and ours alone until exec or
    // _exit; all its pointers come from live C strings and null-terminated arrays; every call below is
    // async-signal-safe and acts on this process only.
    unsafe {
        let failed = |stage: Stage| -> ! {
            let errno = Errno::last_raw();
            (*job).stage = stage;
            (*job).errno = if errno == 0 { libc::EINVAL } else { errno };
            libc::_exit(127)
        };
        if libc::setpgid(0, 0) != 0 {
            failed(Stage::Group);
        }
        // The parent may have died before the signal was armed; then nobody would ever send it.
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) != 0
            || libc::getppid() != (*job).parent
        {
            failed(Stage::ParentGone);
        }
        if libc::setrlimit(TAG_RESOURCE, &raw const (*job).tag) != 0 {
            failed(Stage::Tag);
        }
        if libc::chdir((*job).directory) != 0 {
            failed(Stage::Directory);
        }
        if libc::dup2((*job).stdin, 0) < 0
            || libc::dup2((*job).stdout, 1) < 0
            || libc::dup2((*job).stderr, 2) < 0
        {
            failed(Stage::Descriptors);
        }
        for signal in IGNORED {
            libc::signal(signal, libc::SIG_DFL);
        }
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::execve((*job).program, (*job).argv, (*job).envp);
        failed(Stage::Exec)
    }
}

/// The descriptor that the child-signal handler writes to.
static CHILD_EVENT: AtomicI32 = AtomicI32::new(-1);

/// One write of an 8-byte number to an event descriptor; a full counter already says what there is to say.
extern "C" fn on_child_signal(_signal: c_int) {
    let one: u64 = 1;
    // SAFETY: write is async-signal-safe, the buffer is a live local of 8 bytes, and errno is put back because
    // the interrupted code may be about to read it.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(CHILD_EVENT.load(Ordering::Relaxed), (&raw const one).cast::<c_void>(), 8);
        *libc::__errno_location() = errno;
    }
}

/// Gives every signal its default meaning, ignores what the warden ignores, and makes the end of any child
/// readable at `event`, which must stay open as long as the process lives.
pub(super) fn take_signals(event: RawFd) {
    CHILD_EVENT.store(event, Ordering::Relaxed);
    // SAFETY: changes dispositions of this process only; the handler is async-signal-safe; the structure is fully
    // initialised. Numbers that cannot be changed (KILL, STOP, the C library's own) are refused without effect.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            libc::signal(signal, libc::SIG_DFL);
        }
        for signal in IGNORED {
            libc::signal(signal, libc::SIG_IGN);
        }
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_child_signal as *const () as usize;
        action.sa_flags = libc::SA_RESTART | libc::SA_NOCLDSTOP;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(libc::SIGCHLD, &raw const action, ptr::null_mut());
    }
}

/// A child that has ended and is not reaped yet; its pid and group cannot be reused before `reap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Child(libc::pid_t),
    /// Children live, none has ended.
    NoneYet,
    /// There is no child at all.
    NoChildren,
}

pub(super) fn peek_ended() -> Ended {
    // SAFETY: a zeroed siginfo is valid, the call fills it, and `si_pid` is meaningful for child information
    // (zero when nothing has ended, as the structure was zeroed).
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        if libc::waitid(libc::P_ALL, 0, &raw mut info, options) != 0 {
            return if Errno::last() == Errno::ECHILD { Ended::NoChildren } else { Ended::NoneYet };
        }
        match info.si_pid() {
            0 => Ended::NoneYet,
            pid => Ended::Child(pid),
        }
    }
}

/// Takes an ended child's raw wait status and frees its pid. Safe wrappers refuse real-time signals here.
pub(super) fn reap(pid: libc::pid_t) -> c_int {
    let mut status: c_int = 0;
    // SAFETY: `status` is a live local.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } < 0 && Errno::last() == Errno::EINTR {}
    status
}

/// The tag that a process or thread carries; none when there is no such process or it is not ours to ask.
pub(crate) fn tag_of(pid: libc::pid_t) -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: asks only; the structure is a live local.
    let rc = unsafe { libc::prlimit(pid, TAG_RESOURCE, ptr::null(), &raw mut limit) };
    (rc == 0).then_some(limit.rlim_cur)
}

/// Closes every descriptor from `first` on, whoever left it open. Only at the start, before any is owned.
pub(super) fn close_from(first: RawFd) {
    // SAFETY: called by `main` before anything of this process owns a descriptor at or above `first`.
    unsafe { libc::close_range(first as libc::c_uint, libc::c_uint::MAX, 0) };
}

/// Takes ownership of descriptors that the kernel has just made for us.
pub(super) fn adopt(raw: RawFd) -> OwnedFd {
    // SAFETY: callers pass numbers that a receive call or the parent's hand-over has just given to this process
    // and that nothing else owns.
    unsafe { OwnedFd::from_raw_fd(raw) }
}
