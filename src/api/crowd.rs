//! Bounds the connections of each host, and knows which node is at the other end of one, when it shows a certificate.
//! Must not know HTTP.

use std::any::Any;
use std::net::Shutdown;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use slog::{Logger, warn};
use socket2::SockRef;
use tokio::time::Instant;

use crate::env::tcp::{Complaints, Strangers, Verdict};
use crate::pki::Certified;

pub(super) struct Crowd {
    callers: Strangers,
    complaints: Complaints,
    log: Logger,
}

impl Crowd {
    pub(super) fn new(per_host_max: usize, log: Logger) -> Crowd {
        // The server itself bounds the sum.
        Crowd { callers: Strangers::new(usize::MAX, per_host_max), complaints: Complaints::default(), log }
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
        match self.callers.enter(source.ip()) {
            Ok(place) => {
                extensions.insert(place);
            }
            Err(crowded) => {
                // It may have hung up meanwhile.
                let _ = SockRef::from(socket).shutdown(Shutdown::Both);
                if let Verdict::Say { swallowed } = self.complaints.weigh(source.ip(), Instant::now()) {
                    warn!(self.log, "a caller was refused"; "source" => %source, "error" => %crowded,
                        "not_logged_before" => swallowed);
                }
            }
        }
    }
}
