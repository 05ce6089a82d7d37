//! How attempts end: reaping, killing what a main process left behind, stopping on request, ending everything.
//!
//! An attempt is its main process: when that has ended, whatever else carries the attempt's tag is killed at once,
//! in its group or outside, and the attempt ends when none is left. So no attempt ends with a process behind it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};

use super::keeper::{Keeper, Phase};
use super::kernel::{Ended, peek_ended, reap};
use super::strays::children_of;
use super::wall_micros;
use super::wire::{EndReason, Notice};

/// Between TERM and KILL when everything must end: part of the gap between lease and declared loss.
const EMERGENCY_GRACE: Duration = Duration::from_millis(500);

/// Between rounds of killing until nothing is left; doubles up to a bound, as what is left then cannot be killed.
const EMERGENCY_PAUSE: Duration = Duration::from_millis(5);
const EMERGENCY_PAUSE_MAX: Duration = Duration::from_millis(500);

/// An attempt younger than this can only have started processes with numbers after its own: no machine gives out
/// all its pids (32,768 at least) in that time.
const PROBE_AGE_MAX: Duration = Duration::from_millis(200);

/// Pause before looking again for processes that were just killed; doubles up to a bound while none goes.
pub(super) const RESCAN_PAUSE: Duration = Duration::from_millis(2);
const RESCAN_PAUSE_MAX: Duration = Duration::from_millis(250);

/// After a search, this many times its duration is for other work, however many processes there are.
const SCAN_PAUSE_FACTOR: u32 = 4;

impl Keeper {
    /// Reaps every child that has ended. A main process takes its group with it.
    pub(super) fn reap_ended(&mut self) {
        while let Ended::Child(pid) = peek_ended() {
            let main = self.by_pid.remove(&pid);
            if main.is_some() {
                // Before reaping: until then the zombie keeps the group's number from being used again.
                signal_group(pid, Signal::SIGKILL);
            }
            let status = reap(pid);
            let attempt = main.and_then(|seq| self.attempts.get_mut(&seq).map(|attempt| (seq, attempt)));
            if let Some((seq, attempt)) = attempt {
                attempt.ended = Some((status, wall_micros()));
                self.ending.push(seq);
            }
        }
    }

    /// Looks for what ended attempts left behind, kills it, and reports the attempts that have nothing left.
    pub(super) fn settle(&mut self) {
        let now = Instant::now();
        if self.ending.is_empty() || now < self.scan_at {
            return;
        }
        let ending = self.ending.iter().map(|seq| &self.attempts[seq]);
        let young = ending.clone().all(|attempt| now.duration_since(attempt.started) < PROBE_AGE_MAX);
        let since = young.then(|| ending.map(|attempt| attempt.pid).min()).flatten();
        let running = |seq: u64| self.attempts.get(&seq).is_some_and(|attempt| attempt.ended.is_none());
        let found = self.strays.find(since, |seq| !running(seq));
        for (pid, _) in &found {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        let left: BTreeSet<u64> = found.iter().map(|(_, seq)| *seq).collect();
        let ended = self.ending.extract_if(.., |seq| !left.contains(seq)).collect::<Vec<_>>();
        for seq in ended {
            let attempt = self.attempts.remove(&seq).expect("an ending attempt is known");
            let (status, at_us) = attempt.ended.expect("set when it came to `ending`");
            self.link.put(Notice::Ended { seq, status, at_us });
        }
        let pause = now.elapsed() * SCAN_PAUSE_FACTOR;
        let rescan = if found.is_empty() { Duration::ZERO } else { self.rescan_pause };
        self.rescan_pause = if found.is_empty() { RESCAN_PAUSE } else { (rescan * 2).min(RESCAN_PAUSE_MAX) };
        self.scan_at = Instant::now() + pause.max(rescan);
    }

    /// TERM to the group and KILL to everything after the attempt's grace, or KILL at once. A stopped process is
    /// woken, since it could not hear the signal otherwise.
    pub(super) fn stop(&mut self, seq: u64, at_once: bool) {
        let Some(attempt) = self.attempts.get(&seq).filter(|attempt| attempt.ended.is_none()) else { return };
        if at_once {
            signal_main(attempt.pid, Signal::SIGKILL);
        } else {
            signal_main(attempt.pid, Signal::SIGTERM);
            signal_main(attempt.pid, Signal::SIGCONT);
            self.kills.insert((Instant::now() + attempt.grace, seq));
        }
    }

    /// Kills stopped attempts whose grace is over, and in the ending phase whatever is left.
    pub(super) fn kill_overdue(&mut self) {
        let now = Instant::now();
        while let Some((_, seq)) = self.kills.first().copied().filter(|(at, _)| *at <= now) {
            self.kills.pop_first();
            self.stop(seq, true);
        }
        match self.phase {
            Phase::Ending { kill_at, pause } if kill_at <= now => {
                self.kill_everything();
                let next = (pause * 2).min(EMERGENCY_PAUSE_MAX);
                self.phase = Phase::Ending { kill_at: now + pause, pause: next };
            }
            _ => {}
        }
    }

    fn kill_everything(&self) {
        for pid in self.by_pid.keys() {
            signal_main(*pid, Signal::SIGKILL);
        }
        let tagged = self.strays.find(None, |_| true);
        let own = nix::unistd::getpid().as_raw();
        // Without a tagged process left, any child we still have has shed its tag.
        let hidden = if tagged.is_empty() { children_of(own) } else { Vec::new() };
        for pid in tagged.into_iter().map(|(pid, _)| pid).chain(hidden) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    /// From here on nothing starts; TERM now, KILL after the emergency grace.
    pub(super) fn end_all(&mut self, reason: EndReason) {
        if self.phase != Phase::Serving {
            return;
        }
        self.phase = Phase::Ending { kill_at: Instant::now() + EMERGENCY_GRACE, pause: EMERGENCY_PAUSE };
        self.link.put(Notice::Ending(reason));
        self.link.flush();
        for pid in self.by_pid.keys() {
            signal_main(*pid, Signal::SIGTERM);
            signal_main(*pid, Signal::SIGCONT);
        }
    }

    /// Whether the end was asked for and no descendant is left. Orphans without an attempt do not get the grace.
    pub(super) fn finished(&self) -> bool {
        if self.phase == Phase::Serving || !self.attempts.is_empty() {
            return false;
        }
        self.kill_everything();
        peek_ended() == Ended::NoChildren && self.strays.find(None, |_| true).is_empty()
    }
}

/// The main process with its group, also when it has moved to another one.
fn signal_main(pid: i32, signal: Signal) {
    signal_group(pid, signal);
    // Not twice: a handler would run twice.
    if getpgid(Some(Pid::from_raw(pid))) != Ok(Pid::from_raw(pid)) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

fn signal_group(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(-pid), signal);
}
