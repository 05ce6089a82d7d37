//! Under which addresses others reach a master: what it listens on, or what it is told to say instead.

use std::net::SocketAddr;

use super::Error;
use crate::config::{AdvertiseSection, MasterListen};

/// As `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reachable {
    pub(super) peers: String,
    pub(super) workers: String,
    pub(super) api: String,
}

impl Reachable {
    /// Refused when others could not find this master there, or not after a restart.
    pub(super) fn of(listen: &MasterListen, advertise: &AdvertiseSection) -> Result<Reachable, Error> {
        let one = |key: &'static str, listen: SocketAddr, told: &Option<String>| match told {
            Some(told) => Ok(told.clone()),
            None if listen.ip().is_unspecified() => {
                let why = "which is every address of this host and so none that others could be told";
                Err(Error::Unreachable { key, address: listen, why })
            }
            None if listen.port() == 0 => {
                Err(Error::Unreachable { key, address: listen, why: "a port that differs at every start" })
            }
            None => Ok(listen.to_string()),
        };
        Ok(Reachable {
            peers: one("peers", listen.peers, &advertise.peers)?,
            workers: one("workers", listen.workers, &advertise.workers)?,
            api: one("api", listen.api, &advertise.api)?,
        })
    }

    /// For the certificate.
    pub(super) fn all(&self) -> [String; 3] {
        [self.peers.clone(), self.workers.clone(), self.api.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_are_told() {
        let listen = |text: &str| MasterListen {
            peers: text.parse().unwrap(),
            workers: "127.0.0.1:2".parse().unwrap(),
            api: "[::1]:3".parse().unwrap(),
        };
        let nothing = || AdvertiseSection { peers: None, workers: None, api: None };
        let told = |text: &str| AdvertiseSection { peers: Some(text.into()), ..nothing() };
        let plain = Reachable::of(&listen("10.0.0.1:1"), &nothing()).unwrap();
        assert_eq!(plain.all(), ["10.0.0.1:1", "127.0.0.1:2", "[::1]:3"]);
        let named = Reachable::of(&listen("0.0.0.0:1"), &told("m1.example:8911")).unwrap();
        assert_eq!(named.peers, "m1.example:8911");
        for (listening, part) in [("0.0.0.0:1", "every address"), ("10.0.0.1:0", "every start")] {
            let message = Reachable::of(&listen(listening), &nothing()).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("advertise.peers"), "{message}");
        }
    }
}
