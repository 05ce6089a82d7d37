//! Says what is wrong with callers once per host and minute, so that nobody can fill the log from outside.
//! Must not know what callers do; time is given.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::strangers::host;

/// Between two lines about one host.
const PAUSE: Duration = Duration::from_secs(60);
/// Hosts remembered at a time; callers of more hosts share one line a minute.
const HOSTS_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    hosts: BTreeMap<IpAddr, Line>,
    others: Option<Line>,
}

/// When a host was last complained about, and what was swallowed since.
#[derive(Clone, Copy, Debug)]
struct Line {
    at: Instant,
    swallowed: u64,
}

/// What to do about a complaint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Say it, and that so many were not said before.
    Say {
        swallowed: u64,
    },
    Swallow,
}

impl Complaints {
    pub(super) fn weigh(&self, source: IpAddr, now: Instant) -> Verdict {
        let mut told = self.0.lock().expect("nothing panics while it holds the list");
        let source = host(source);
        if told.hosts.len() >= HOSTS_MAX && !told.hosts.contains_key(&source) {
            told.hosts.retain(|_, line| now - line.at < PAUSE);
        }
        let known = told.hosts.get_mut(&source);
        if let Some(line) = known {
            return line.weigh(now);
        }
        let fresh = Line { at: now, swallowed: 0 };
        if told.hosts.len() < HOSTS_MAX {
            told.hosts.insert(source, fresh);
            return Verdict::Say { swallowed: 0 };
        }
        match &mut told.others {
            Some(line) => line.weigh(now),
            others => {
                *others = Some(fresh);
                Verdict::Say { swallowed: 0 }
            }
        }
    }
}

impl Line {
    fn weigh(&mut self, now: Instant) -> Verdict {
        if now - self.at < PAUSE {
            self.swallowed += 1;
            return Verdict::Swallow;
        }
        let swallowed = self.swallowed;
        *self = Line { at: now, swallowed: 0 };
        Verdict::Say { swallowed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_per_host_and_minute() {
        let complaints = Complaints::default();
        let begin = Instant::now();
        let ip = |number: u32| IpAddr::from(number.to_be_bytes());
        let check = |number: u32, seconds: u64, verdict: Verdict| {
            let now = begin + Duration::from_secs(seconds);
            assert_eq!(complaints.weigh(ip(number), now), verdict, "host {number} after {seconds} s");
        };
        let say = |swallowed| Verdict::Say { swallowed };
        check(1, 0, say(0));
        check(1, 1, Verdict::Swallow);
        check(1, 59, Verdict::Swallow);
        check(2, 59, say(0));
        check(1, 60, say(2));
        check(1, 61, Verdict::Swallow);
        for number in 3..=HOSTS_MAX as u32 {
            check(number, 61, say(0));
        }
        check(5000, 61, say(0));
        check(5001, 62, Verdict::Swallow);
        check(5002, 121, say(0));
    }
}
