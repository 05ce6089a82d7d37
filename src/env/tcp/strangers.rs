//! Callers that have not shown who they are: a bounded number in all, and from one host.
//! Must not know why they call.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};

/// Most at a time. Above it callers are closed at once and come back after their pause. Each costs a descriptor and some
/// 30 KB for its handshake's time at most.
const STRANGERS_MAX: usize = 512;
/// Most of one host: half, so that no single host shuts the door on all others. A thousand agents of one host that come
/// back at once are through in a few rounds.
const PER_HOST_MAX: usize = STRANGERS_MAX / 2;

/// Counts callers by host.
#[derive(Debug)]
pub(crate) struct Strangers {
    max: usize,
    per_host_max: usize,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    count: usize,
    by_host: BTreeMap<IpAddr, usize>,
}

/// A stranger's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    inside: Arc<Mutex<Inside>>,
    host: IpAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Crowded {
    #[error("there are {max} such connections already, and no more are taken")]
    All { max: usize },
    #[error("there are {max} such connections from its host already, and no more are taken")]
    Host { max: usize },
}

impl Default for Strangers {
    fn default() -> Strangers {
        Strangers::new(STRANGERS_MAX, PER_HOST_MAX)
    }
}

impl Strangers {
    pub(crate) fn new(max: usize, per_host_max: usize) -> Strangers {
        Strangers { max, per_host_max, inside: Arc::default() }
    }

    pub(crate) fn enter(&self, source: IpAddr) -> Result<Place, Crowded> {
        let host = host(source);
        let mut inside = self.inside.lock().expect("nothing panics while it counts");
        if inside.count >= self.max {
            return Err(Crowded::All { max: self.max });
        }
        let of_host = inside.by_host.entry(host).or_default();
        if *of_host >= self.per_host_max {
            return Err(Crowded::Host { max: self.per_host_max });
        }
        *of_host += 1;
        inside.count += 1;
        Ok(Place { inside: self.inside.clone(), host })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.inside.lock().expect("nothing panics while it counts");
        inside.count -= 1;
        let left = inside.by_host.get_mut(&self.host).map(|of_host| {
            *of_host -= 1;
            *of_host
        });
        if left == Some(0) {
            inside.by_host.remove(&self.host);
        }
    }
}

/// One host has a whole /64 of IPv6 addresses to call from.
pub(super) fn host(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX))),
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_takes_half_and_all_take_all() {
        let strangers = Strangers::default();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let from = |text: &str, count: usize| -> Vec<Place> {
            (0..count).map(|_| strangers.enter(ip(text)).unwrap()).collect()
        };
        let one = from("10.0.0.1", PER_HOST_MAX);
        assert_eq!(strangers.enter(ip("::ffff:10.0.0.1")).unwrap_err(), Crowded::Host { max: PER_HOST_MAX });
        let other = from("fd00::1", PER_HOST_MAX - 1);
        let last = from("fd00::2", 1);
        assert_eq!(strangers.enter(ip("10.0.0.9")).unwrap_err(), Crowded::All { max: STRANGERS_MAX });
        drop(last);
        assert_eq!(strangers.enter(ip("10.0.0.1")).unwrap_err(), Crowded::Host { max: PER_HOST_MAX });
        drop((one, other));
        assert_eq!(from("10.0.0.1", PER_HOST_MAX).len(), PER_HOST_MAX);
        assert!(strangers.inside.lock().unwrap().by_host.is_empty());
    }
}
