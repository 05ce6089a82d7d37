//! The warden's loop: takes requests, starts processes, and waits for what comes next.
//! Must not know files, logs, directories or runs: an attempt is a number here. How attempts end is in `ending`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

use super::ending::RESCAN_PAUSE;
use super::kernel::{Exec, ExecError, Forker, Stage, take_signals};
use super::link::{Link, Received};
use super::strays::Strays;
use super::wire::{EndReason, Notice, Request, Start, split};
use super::{boot_micros, wall_micros};

/// Starts after which the agent hears of them, even in the middle of a batch.
const STARTS_PER_FLUSH: u32 = 8;

/// Longest wait without a look around: what no event announces (a lost signal, a hidden stray) is seen then.
const IDLE_WAIT: Duration = Duration::from_secs(1);

const TOKEN_LINK: u64 = 0;
const TOKEN_CHILD: u64 = 1;
const TOKEN_DEADLINE: u64 = 2;

#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) pid: i32,
    pub(super) started: Instant,
    pub(super) grace: Duration,
    /// The main process's wait status and when it was reaped; from then on only strays can be left.
    pub(super) ended: Option<(i32, i64)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// Everything was asked to end; at this time it is killed, and again and again until nothing is left.
    Ending {
        kill_at: Instant,
        /// From then to the next time.
        pause: Duration,
    },
}

#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) link: Link,
    forker: Forker,
    pub(super) strays: Strays,
    tag_base: u64,
    epoll: Epoll,
    child_event: EventFd,
    deadline_timer: TimerFd,
    deadline_us: Option<i64>,
    pub(super) attempts: BTreeMap<u64, Attempt>,
    pub(super) by_pid: HashMap<i32, u64>,
    /// Attempts whose main process has ended and whose strays are being looked for.
    pub(super) ending: Vec<u64>,
    /// When stopped attempts are killed.
    pub(super) kills: BTreeSet<(Instant, u64)>,
    /// Not before then are strays looked for again.
    pub(super) scan_at: Instant,
    pub(super) rescan_pause: Duration,
    pub(super) phase: Phase,
    starts_unflushed: u32,
}

impl Keeper {
    /// `null` is every task's standard input; `tag_base` comes from the agent, which remembers it on disk.
    pub(super) fn new(socket: OwnedFd, null: OwnedFd, tag_base: u64) -> io::Result<Keeper> {
        let child_event = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        let deadline_timer = TimerFd::new(ClockId::CLOCK_BOOTTIME, flags)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, TOKEN_LINK))?;
        epoll.add(&child_event, EpollEvent::new(EpollFlags::EPOLLIN, TOKEN_CHILD))?;
        epoll.add(&deadline_timer, EpollEvent::new(EpollFlags::EPOLLIN, TOKEN_DEADLINE))?;
        take_signals(child_event.as_fd().as_raw_fd());
        Ok(Keeper {
            link: Link::new(socket),
            forker: Forker::new(null),
            strays: Strays::new(tag_base)?,
            tag_base,
            epoll,
            child_event,
            deadline_timer,
            deadline_us: None,
            attempts: BTreeMap::new(),
            by_pid: HashMap::new(),
            ending: Vec::new(),
            kills: BTreeSet::new(),
            scan_at: Instant::now(),
            rescan_pause: RESCAN_PAUSE,
            phase: Phase::Serving,
            starts_unflushed: 0,
        })
    }

    /// Serves until no descendant is left after the end was asked for, or came by itself.
    pub(super) fn run(mut self) {
        let pid = nix::unistd::getpid().as_raw() as u32;
        self.link.put(Notice::Ready { pid, tag_base: self.tag_base });
        self.link.flush();
        loop {
            let link_ready = self.wait();
            if link_ready {
                self.take_requests();
            }
            self.check_deadline();
            self.reap_ended();
            self.settle();
            self.kill_overdue();
            self.link.flush();
            if self.finished() {
                return;
            }
        }
    }

    /// Sleeps until something happens or is due; says whether the agent may have sent something.
    fn wait(&mut self) -> bool {
        let now = Instant::now();
        let due = [
            self.kills.first().map(|(at, _)| *at),
            (!self.ending.is_empty()).then_some(self.scan_at),
            match self.phase {
                Phase::Serving => None,
                Phase::Ending { kill_at, .. } => Some(kill_at),
            },
        ];
        let wait =
            due.into_iter().flatten().min().map_or(IDLE_WAIT, |at| at.duration_since(now)).min(IDLE_WAIT);
        // Rounded up: waking before the time is due would only spin.
        let millis = u16::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(u16::MAX);
        let mut interest = EpollFlags::empty();
        interest.set(EpollFlags::EPOLLIN, !self.link.is_overfull() && self.phase == Phase::Serving);
        interest.set(EpollFlags::EPOLLOUT, self.link.has_unsent());
        let mut event = EpollEvent::new(interest, TOKEN_LINK);
        let mut events = [EpollEvent::empty(); 4];
        let _ = self.epoll.modify(self.link.as_fd(), &mut event);
        let count = self.epoll.wait(&mut events, EpollTimeout::from(millis)).unwrap_or(0);
        let mut link_ready = false;
        for event in &events[..count] {
            match event.data() {
                TOKEN_CHILD => drop(self.child_event.read()),
                TOKEN_DEADLINE => drop(self.deadline_timer.wait()),
                _ if self.phase != Phase::Serving => {
                    // Closed for good: listening on would only spin.
                    if event.events().intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
                        let _ = self.epoll.delete(self.link.as_fd());
                    }
                }
                _ => link_ready |= !event.events().difference(EpollFlags::EPOLLOUT).is_empty(),
            }
        }
        link_ready
    }

    fn take_requests(&mut self) {
        let received = self.link.receive();
        let inbox = std::mem::take(&mut self.link.inbox);
        let mut used = 0;
        while self.phase == Phase::Serving {
            match split(&inbox[used..]) {
                Ok(Some((frame, bytes))) => {
                    used += bytes;
                    match Request::read(frame) {
                        Ok(request) => self.on_request(request),
                        Err(_) => self.end_all(EndReason::AgentGone),
                    }
                }
                Ok(None) => break,
                Err(_) => self.end_all(EndReason::AgentGone),
            }
        }
        self.link.inbox = inbox;
        self.link.inbox.drain(..used);
        if received == Received::Closed {
            self.end_all(EndReason::AgentGone);
        }
    }

    fn on_request(&mut self, request: Request<'_>) {
        match request {
            Request::Start(start) => self.start(&start),
            Request::Stop { seq, kill } => self.stop(seq, kill),
            Request::Deadline(deadline_us) => self.set_deadline(deadline_us),
            Request::Shutdown => self.end_all(EndReason::Shutdown),
        }
    }

    fn start(&mut self, start: &Start<'_>) {
        self.check_deadline();
        let (stdout, stderr) = (self.link.descriptors.pop_front(), self.link.descriptors.pop_front());
        let at_us = wall_micros();
        let started = Instant::now();
        let result = match (self.phase == Phase::Serving, stdout, stderr) {
            (true, Some(stdout), Some(stderr)) => self.forker.exec(&Exec {
                program: start.program,
                directory: start.directory,
                argv: &start.argv,
                envp: &start.envp,
                stdout: stdout.as_raw_fd(),
                stderr: stderr.as_raw_fd(),
                tag: self.tag_base + start.seq,
            }),
            (true, ..) => Err(ExecError { stage: Stage::Descriptors, errno: Errno::EBADF }),
            (false, ..) => Err(ExecError { stage: Stage::Expired, errno: Errno::ETIME }),
        };
        let seq = start.seq;
        match result {
            Ok(pid) => {
                let grace = Duration::from_micros(start.grace_us);
                self.attempts.insert(seq, Attempt { pid, started, grace, ended: None });
                self.by_pid.insert(pid, seq);
                self.link.put(Notice::Started { seq, pid: pid as u32, at_us });
            }
            Err(ExecError { stage, errno }) => {
                self.link.put(Notice::NotStarted { seq, stage: stage as u8, errno: errno as i32, at_us });
            }
        }
        self.starts_unflushed += 1;
        if self.starts_unflushed >= STARTS_PER_FLUSH {
            self.starts_unflushed = 0;
            self.reap_ended();
            self.settle();
            self.link.flush();
        }
    }

    /// A deadline in the past ends everything at the next check.
    fn set_deadline(&mut self, deadline_us: Option<i64>) {
        self.deadline_us = deadline_us;
        let set = match deadline_us {
            // Zero would disarm the timer, and a passed deadline is caught by the check that follows anyway.
            Some(at) if at > 0 => {
                let at = TimeSpec::from_duration(Duration::from_micros(at.unsigned_abs()));
                self.deadline_timer.set(Expiration::OneShot(at), TimerSetTimeFlags::TFD_TIMER_ABSTIME)
            }
            _ => self.deadline_timer.unset(),
        };
        set.expect("a timer takes any positive time");
    }

    fn check_deadline(&mut self) {
        if self.deadline_us.is_some_and(|at| boot_micros() >= at) {
            self.end_all(EndReason::Deadline);
        }
    }
}
