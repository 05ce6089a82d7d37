//! What stands before every handshake of a listener: silent callers are borne for a while and make room for others,
//! those that have said hello wait in line, and few handshakes are worked on at a time. Must not know what a handshake is.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use slog::{Logger, debug, warn};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::complaints::{Complaints, Verdict};
use super::strangers::{Crowded, Silent, Spoken, Strangers};

/// A caller's time for its hello: one packet of TLS, and what a long way loses.
pub(crate) const HELLO_MAX: Duration = Duration::from_secs(5);
/// A caller's time for the rest, once it is its turn; a peer needs two round trips.
pub(crate) const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Handshakes worked on at a time. The first of a crowd are so through, and heard, while the last still wait; over a way
/// of 100 ms some hundreds a second come in all the same.
const TURNS: usize = 64;
/// A turn's length. A handshake that takes longer waits for its caller, and goes on beside the next ones.
const TURN_MAX: Duration = Duration::from_millis(500);

pub(crate) struct Threshold {
    strangers: Strangers,
    turns: Semaphore,
    complaints: Complaints,
    log: Logger,
}

impl Threshold {
    /// For so many callers at a time.
    pub(crate) fn new(strangers_max: usize, log: Logger) -> Threshold {
        let (strangers, complaints) = (Strangers::new(strangers_max), Complaints::default());
        Threshold { strangers, turns: Semaphore::new(TURNS), complaints, log }
    }

    pub(crate) fn enter(&self, source: SocketAddr) -> Result<Silent, Crowded> {
        self.strangers.enter(source.ip())
    }

    /// Waits for a caller's hello, as long as it is borne.
    pub(crate) async fn hear<T>(
        &self,
        mut caller: Silent,
        hello: impl Future<Output = io::Result<T>>,
    ) -> io::Result<(T, Spoken)> {
        let refuse = |crowded| io::Error::new(io::ErrorKind::ResourceBusy, crowded);
        let heard = tokio::select! {
            crowded = caller.sent_away() => return Err(refuse(crowded)),
            heard = timeout(HELLO_MAX, hello) => heard.map_err(|_| late())??,
        };
        Ok((heard, caller.heard().map_err(refuse)?))
    }

    /// Does the rest of a handshake when it is its turn.
    pub(crate) async fn shake<T>(&self, rest: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let turn = self.turns.acquire().await.map_err(io::Error::other)?;
        let mut rest = pin!(timeout(HANDSHAKE_MAX, rest));
        let done = match timeout(TURN_MAX, &mut rest).await {
            Ok(done) => done,
            Err(_) => {
                drop(turn);
                rest.await
            }
        };
        done.map_err(|_| late())?
    }

    /// Once a minute for each host.
    pub(crate) fn complain(&self, source: SocketAddr, why: &str) {
        match self.complaints.weigh(source.ip(), Instant::now()) {
            Verdict::Say { swallowed } => warn!(self.log, "a caller was refused";
                "source" => %source, "error" => why, "not_logged_before" => swallowed),
            Verdict::Swallow => {
                debug!(self.log, "a caller was refused again"; "source" => %source, "error" => why);
            }
        }
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it did not show who it is in time")
}
