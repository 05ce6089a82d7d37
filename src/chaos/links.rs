//! The network between the nodes: a relay before every node, which all others dial. Whoever dials does so from an
//! address of its own, so the relay knows between which two nodes a connection runs, and does to it what the fault plan says.
//! Bytes are held back, never lost: to a stream a broken path looks like that, and late frames are the nastier fault.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

/// A node's place in the cluster: masters first, then workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place(pub u8);

/// Bytes that travel together and are delayed together, about what a segment is.
const SEGMENT_BYTES: usize = 1_400;
/// A lost segment of a thin stream is sent again after this (Linux's shortest retransmission timeout).
const RETRANSMIT_AFTER: Duration = Duration::from_millis(200);
/// No segment is lost more often in a row than a kernel would try within a few seconds.
const LOST_IN_A_ROW_MAX: u32 = 5;

/// What the network does now.
#[derive(Clone, Debug, Default, PartialEq)]
struct Weather {
    /// From whom to whom nothing travels, and how many faults want it so: one that ends must not end another's.
    cut: BTreeMap<(Place, Place), u32>,
    /// Of 1,000 segments so many are lost at a time.
    loss_permille: u32,
}

/// The relays of a cluster.
#[derive(Clone)]
pub(super) struct Links {
    weather: watch::Sender<Weather>,
    random: Arc<Mutex<ChaCha8Rng>>,
    runtime: Handle,
}

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Links({:?})", *self.weather.borrow())
    }
}

impl Place {
    /// The address that the node dials from and listens on.
    pub(super) fn own(self) -> IpAddr {
        Ipv4Addr::new(127, 10, 0, self.0).into()
    }

    /// The address of the relay before it.
    pub(super) fn relay(self) -> IpAddr {
        Ipv4Addr::new(127, 20, 0, self.0).into()
    }

    fn of(address: IpAddr) -> Option<Place> {
        match address {
            IpAddr::V4(address) if address.octets()[..3] == [127, 10, 0] => Some(Place(address.octets()[3])),
            _ => None,
        }
    }
}

impl Links {
    /// Relays run on that runtime.
    pub(super) fn new(seed: u64, runtime: Handle) -> Links {
        Links {
            weather: watch::Sender::new(Weather::default()),
            random: Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed))),
            runtime,
        }
    }

    /// Opens a relay before a node's port and gives its address; the node need not listen yet.
    pub(super) fn open(&self, to: Place, port: u16) -> io::Result<SocketAddr> {
        let listener = std::net::TcpListener::bind((to.relay(), port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let links = self.clone();
        let behind = (to.own(), port).into();
        self.runtime.spawn(async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => links.accept(listener, to, behind).await,
                Err(error) => unreachable!("a listener of this runtime: {error}"),
            }
        });
        Ok(address)
    }

    /// Nothing travels from `from` to `to` until it is healed.
    pub(super) fn cut(&self, from: Place, to: Place) {
        self.weather.send_modify(|weather| *weather.cut.entry((from, to)).or_default() += 1);
    }

    pub(super) fn heal(&self, from: Place, to: Place) {
        self.weather.send_modify(|weather| {
            let left = weather.cut.remove(&(from, to)).unwrap_or(0).saturating_sub(1);
            if left > 0 {
                weather.cut.insert((from, to), left);
            }
        });
    }

    /// All is well again.
    pub(super) fn heal_all(&self) {
        self.weather.send_replace(Weather::default());
    }

    pub(super) fn lose(&self, permille: u32) {
        self.weather.send_modify(|weather| weather.loss_permille = permille);
    }

    async fn accept(&self, listener: TcpListener, to: Place, behind: SocketAddr) {
        loop {
            // An error here is one connection's, or passes.
            let Ok((stream, peer)) = listener.accept().await else { continue };
            let Some(from) = Place::of(peer.ip()) else { continue };
            let links = self.clone();
            tokio::spawn(async move { links.relay(stream, from, to, behind).await });
        }
    }

    async fn relay(&self, inner: TcpStream, from: Place, to: Place, behind: SocketAddr) {
        // A connection comes about only when both directions do.
        self.wait_until_open(from, to).await;
        self.wait_until_open(to, from).await;
        let Ok(outer) = TcpStream::connect(behind).await else { return };
        if inner.set_nodelay(true).is_err() || outer.set_nodelay(true).is_err() {
            return;
        }
        let (inner_read, inner_write) = inner.into_split();
        let (outer_read, outer_write) = outer.into_split();
        // When one direction ends, the connection does.
        tokio::select! {
            biased;
            () = self.carry(inner_read, outer_write, from, to) => {}
            () = self.carry(outer_read, inner_write, to, from) => {}
        }
    }

    async fn carry(&self, mut source: OwnedReadHalf, mut target: OwnedWriteHalf, from: Place, to: Place) {
        let mut segment = [0; SEGMENT_BYTES];
        loop {
            let Ok(length @ 1..) = source.read(&mut segment).await else { return };
            let delay = self.delay();
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            self.wait_until_open(from, to).await;
            if target.write_all(&segment[..length]).await.is_err() {
                return;
            }
        }
    }

    async fn wait_until_open(&self, from: Place, to: Place) {
        let mut weather = self.weather.subscribe();
        // The sender lives as long as this.
        let _ = weather.wait_for(|weather| !weather.cut.contains_key(&(from, to))).await;
    }

    fn delay(&self) -> Duration {
        let permille = self.weather.borrow().loss_permille;
        if permille == 0 {
            return Duration::ZERO;
        }
        let mut random = self.random();
        let mut delay = Duration::ZERO;
        for lost in 0..LOST_IN_A_ROW_MAX {
            if random.random_range(0..1_000) >= permille {
                break;
            }
            delay += RETRANSMIT_AFTER * 2u32.pow(lost);
        }
        delay
    }

    fn random(&self) -> MutexGuard<'_, ChaCha8Rng> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Place = Place(201);
    const B: Place = Place(202);

    async fn dial(from: Place, to: SocketAddr) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((from.own(), 0).into()).unwrap();
        socket.connect(to).await.unwrap()
    }

    #[tokio::test]
    async fn a_cut_holds_one_direction_back_and_healing_lets_it_go() {
        let links = Links::new(1, Handle::current());
        let node = TcpListener::bind((B.own(), 0)).await.unwrap();
        let relay = links.open(B, node.local_addr().unwrap().port()).unwrap();
        let mut caller = dial(A, relay).await;
        let (mut called, _) = node.accept().await.unwrap();
        let mut byte = [0; 1];

        links.cut(A, B);
        links.cut(A, B);
        links.heal(A, B);
        assert!(links.weather.borrow().cut.contains_key(&(A, B)), "the other fault still wants it cut");
        caller.write_all(b"x").await.unwrap();
        called.write_all(b"y").await.unwrap();
        caller.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"y", "the other direction is open");
        assert!(called.try_read(&mut byte).is_err(), "nothing comes through while one of two cuts lasts");
        links.heal(A, B);
        called.read_exact(&mut byte).await.unwrap();
        assert_eq!(&byte, b"x", "what was held back comes late");

        drop(caller);
        assert_eq!(called.read(&mut byte).await.unwrap(), 0, "an end is passed on");
    }

    #[tokio::test]
    async fn segments_are_lost_as_often_as_they_should() {
        let links = Links::new(1, Handle::current());
        assert_eq!(links.delay(), Duration::ZERO);
        links.lose(200);
        let delayed = (0..10_000).filter(|_| !links.delay().is_zero()).count();
        assert!((1_800..2_200).contains(&delayed), "{delayed} of 10,000");
    }
}
