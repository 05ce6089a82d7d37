//! Bounds the connections that are served, in all and of each host, and knows which node is at the other end of one, when
//! it shows a certificate. Must not know HTTP.

use std::any::Any;
use std::collections::BTreeMap;
use std::net::{IpAddr, Shutdown};
use std::sync::{Arc, Mutex};

use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use socket2::SockRef;
use tokio_rustls::server::TlsStream;

use crate::env::tcp::{Threshold, host};
use crate::pki::Certified;

/// Connections at a time; a client holds one or two.
const CONNECTIONS_MAX: usize = 4_096;
/// Connections of one host at a time, so that no single host takes them all.
const PER_HOST_MAX: usize = CONNECTIONS_MAX / 4;

#[derive(Clone)]
pub(super) struct Crowd {
    inside: Arc<Mutex<Inside>>,
    threshold: Arc<Threshold>,
}

#[derive(Debug, Default)]
struct Inside {
    count: usize,
    by_host: BTreeMap<IpAddr, usize>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
struct Place {
    inside: Arc<Mutex<Inside>>,
    host: IpAddr,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Crowded {
    #[error("there are {CONNECTIONS_MAX} connections already, and no more are taken")]
    All,
    #[error("there are {PER_HOST_MAX} connections from its host already, and no more are taken")]
    Host,
}

impl Crowd {
    /// Complaints go where those about strangers go.
    pub(super) fn new(threshold: Arc<Threshold>) -> Crowd {
        Crowd { inside: Arc::default(), threshold }
    }

    /// A connection begins; its place and the node's certificate stay with it until it ends.
    pub(super) fn enter(&self, io: &dyn Any, extensions: &mut Extensions) {
        let tls = io.downcast_ref::<TlsStream<TcpStream>>();
        let socket = tls.map(|tls| tls.get_ref().0).or_else(|| io.downcast_ref::<TcpStream>());
        let certificates = tls.and_then(|tls| tls.get_ref().1.peer_certificates());
        let certified = certificates.and_then(|chain| Certified::from_der(chain.first()?).ok());
        if let Some(certified) = certified {
            extensions.insert(certified);
        }
        let Some((socket, source)) = socket.and_then(|socket| Some((socket, socket.peer_addr().ok()?)))
        else {
            return;
        };
        match enter(&self.inside, source.ip()) {
            Ok(place) => {
                extensions.insert(place);
            }
            Err(crowded) => {
                // It may have hung up meanwhile.
                let _ = SockRef::from(socket).shutdown(Shutdown::Both);
                self.threshold.complain(source, &crowded.to_string());
            }
        }
    }
}

fn enter(crowd: &Arc<Mutex<Inside>>, source: IpAddr) -> Result<Place, Crowded> {
    let host = host(source);
    let mut inside = crowd.lock().expect("nothing panics while it counts");
    if inside.count >= CONNECTIONS_MAX {
        return Err(Crowded::All);
    }
    if inside.by_host.get(&host).is_some_and(|of_host| *of_host >= PER_HOST_MAX) {
        return Err(Crowded::Host);
    }
    *inside.by_host.entry(host).or_default() += 1;
    inside.count += 1;
    Ok(Place { inside: crowd.clone(), host })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_takes_a_part_and_all_take_all() {
        let crowd = Arc::default();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let from =
            |text: &str| (0..PER_HOST_MAX).map(|_| enter(&crowd, ip(text)).unwrap()).collect::<Vec<_>>();
        let one = from("10.0.0.1");
        assert_eq!(enter(&crowd, ip("::ffff:10.0.0.1")).unwrap_err(), Crowded::Host);
        let mut others: Vec<_> = ["fd00::1", "10.0.0.2", "10.0.0.3"].into_iter().flat_map(from).collect();
        assert_eq!(enter(&crowd, ip("10.0.0.9")).unwrap_err(), Crowded::All);
        others.pop();
        assert_eq!(enter(&crowd, ip("10.0.0.1")).unwrap_err(), Crowded::Host);
        enter(&crowd, ip("10.0.0.9")).unwrap();
        drop((one, others));
        let inside = crowd.lock().unwrap();
        assert_eq!((inside.count, inside.by_host.len()), (0, 0));
    }
}
