//! Callers that have not shown who they are: bounded in number, and the silent ones make room.
//! Whoever has said hello keeps its place until it is served. Must not know why anybody calls.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

/// Where strangers wait.
#[derive(Clone, Debug)]
pub(crate) struct Strangers {
    max: usize,
    spoken_per_host_max: usize,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    /// Counts up; the lowest number is the oldest.
    next: u64,
    /// Of both kinds.
    count: usize,
    hosts: BTreeMap<IpAddr, OfHost>,
    /// Hosts by the number of their silent callers, without those that have none.
    crowds: BTreeSet<(usize, IpAddr)>,
}

#[derive(Debug, Default)]
struct OfHost {
    /// Dropping the sender sends the caller away.
    silent: BTreeMap<u64, oneshot::Sender<()>>,
    spoken: usize,
}

/// The place of a caller that has said nothing of sense yet; given back when dropped.
#[derive(Debug)]
pub(crate) struct Silent {
    strangers: Strangers,
    host: IpAddr,
    number: u64,
    sent_away: oneshot::Receiver<()>,
}

/// The place of a caller that has said hello; given back when dropped.
#[derive(Debug)]
pub(crate) struct Spoken {
    strangers: Strangers,
    host: IpAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Crowded {
    #[error("it said nothing while others wait for its place")]
    SentAway,
    #[error("{max} callers wait to be served already, and no more are taken")]
    All { max: usize },
    #[error("{max} callers from its host wait to be served already, and no more are taken")]
    Host { max: usize },
}

impl Strangers {
    /// One host takes half of the places of those that have said hello, so that it does not shut the door on all others.
    pub(super) fn new(max: usize) -> Strangers {
        Strangers { max, spoken_per_host_max: max / 2, inside: Arc::default() }
    }

    /// A place for a newcomer; when all are taken, that of the oldest silent caller of the most crowded host.
    pub(crate) fn enter(&self, source: IpAddr) -> Result<Silent, Crowded> {
        let host = host(source);
        let mut inside = self.lock();
        if inside.count >= self.max && !inside.send_one_away() {
            return Err(Crowded::All { max: self.max });
        }
        let (stay, sent_away) = oneshot::channel();
        let number = inside.next;
        inside.next += 1;
        inside.count += 1;
        inside.change(host, |of_host| of_host.silent.insert(number, stay));
        Ok(Silent { strangers: self.clone(), host, number, sent_away })
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("nothing panics while it counts")
    }
}

impl Silent {
    /// Ends when the place is wanted for another.
    pub(crate) async fn sent_away(&mut self) -> Crowded {
        // Nobody sends anything: the other half is dropped.
        (&mut self.sent_away).await.unwrap_or(());
        Crowded::SentAway
    }

    /// It has said hello.
    pub(crate) fn heard(self) -> Result<Spoken, Crowded> {
        let (strangers, host, number) = (self.strangers.clone(), self.host, self.number);
        let max = strangers.spoken_per_host_max;
        let mut inside = strangers.lock();
        let outcome = inside.change(host, |of_host| {
            if of_host.spoken >= max {
                return Err(Crowded::Host { max });
            }
            of_host.silent.remove(&number).ok_or(Crowded::SentAway)?;
            of_host.spoken += 1;
            Ok(())
        });
        drop(inside);
        // Dropping `self` finds its number gone when it has moved.
        outcome.map(|()| Spoken { strangers, host })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        let mut inside = self.strangers.lock();
        if inside.change(self.host, |of_host| of_host.silent.remove(&self.number)).is_some() {
            inside.count -= 1;
        }
    }
}

impl Drop for Spoken {
    fn drop(&mut self) {
        let mut inside = self.strangers.lock();
        inside.change(self.host, |of_host| of_host.spoken -= 1);
        inside.count -= 1;
    }
}

impl Inside {
    /// Whether there was a silent one.
    fn send_one_away(&mut self) -> bool {
        let Some(&(_, host)) = self.crowds.last() else { return false };
        let gone = self.change(host, |of_host| of_host.silent.pop_first());
        assert!(gone.is_some(), "a crowd has somebody in it");
        self.count -= 1;
        true
    }

    fn change<T>(&mut self, host: IpAddr, change: impl FnOnce(&mut OfHost) -> T) -> T {
        let of_host = self.hosts.entry(host).or_default();
        let before = of_host.silent.len();
        let changed = change(of_host);
        let after = of_host.silent.len();
        if after == 0 && of_host.spoken == 0 {
            self.hosts.remove(&host);
        }
        if before != after {
            self.crowds.remove(&(before, host));
            if after > 0 {
                self.crowds.insert((after, host));
            }
        }
        changed
    }
}

/// One host has a whole /64 of IPv6 addresses to call from.
pub(crate) fn host(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX))),
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_sent_away(silent: &mut Silent) -> bool {
        matches!(silent.sent_away.try_recv(), Err(oneshot::error::TryRecvError::Closed))
    }

    #[test]
    fn the_oldest_silent_one_of_the_largest_crowd_makes_room() {
        let strangers = Strangers::new(6);
        let enter = |from: &str| strangers.enter(ip(from)).unwrap();
        let mut few = [enter("10.0.0.1"), enter("10.0.0.1")];
        // One network of IPv6 is one host.
        let mut many = [enter("fd00::1"), enter("fd00::2"), enter("fd00::3"), enter("fd00::4")];
        let mut late = enter("10.0.0.9");
        assert_eq!(many.each_mut().map(is_sent_away), [true, false, false, false]);
        let mut own = enter("fd00::5");
        assert_eq!(many.each_mut().map(is_sent_away), [true, true, false, false]);
        assert!(![&mut late, &mut own].into_iter().any(is_sent_away));
        assert_eq!(few.each_mut().map(is_sent_away), [false, false]);
        let [first, ..] = many;
        assert_eq!(first.heard().unwrap_err(), Crowded::SentAway, "too late");
    }

    #[test]
    fn whoever_has_spoken_keeps_its_place() {
        let strangers = Strangers { spoken_per_host_max: 3, ..Strangers::new(4) };
        let enter = |from: &str| strangers.enter(ip(from));
        let speak = |from: &str| enter(from).unwrap().heard();
        let fleet = ["10.0.0.1"; 3].map(|from| speak(from).unwrap());
        assert_eq!(speak("::ffff:10.0.0.1").unwrap_err(), Crowded::Host { max: 3 });
        let mut silent = enter("10.0.0.1").unwrap();
        let other = speak("10.0.0.2").unwrap();
        assert!(is_sent_away(&mut silent), "the silent one goes, although it is alone");
        assert_eq!(enter("10.0.0.3").unwrap_err(), Crowded::All { max: 4 });
        drop(fleet);
        assert_eq!(strangers.lock().count, 1);
        drop((other, silent));
        let inside = strangers.lock();
        assert_eq!((inside.count, inside.hosts.len(), inside.crowds.len()), (0, 0, 0));
    }
}
