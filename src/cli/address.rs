//! Where a master's API is, as people write it: `HOST:PORT`, by address or name. Must not know what is asked there.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `HOST:PORT`; an IPv6 address is in brackets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address; write HOST:PORT, for example 10.0.0.1:8910 or m1.example.org:8910")]
pub struct AddressError(String);

impl Address {
    /// Only processes of this host are there.
    pub fn is_loopback(&self) -> bool {
        let host = self.0.rsplit_once(':').map_or("", |(host, _)| host);
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let wrong = || AddressError(text.chars().take(80).collect());
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Address(address.to_string()));
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let good = !host.is_empty() && host.bytes().all(letter) && port.parse::<u16>().is_ok();
        good.then(|| Address(text.to_ascii_lowercase())).ok_or_else(wrong)
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Address {
        Address(address.to_string())
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Address, AddressError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hosts_with_ports() {
        for (good, loopback) in [
            ("127.0.0.1:1", true),
            ("[::1]:8910", true),
            ("localhost:8910", true),
            ("10.0.0.1:8910", false),
            ("m1.example.org:8910", false),
            ("localhost.example.org:1", false),
        ] {
            let address: Address = good.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.is_loopback()), (good, loopback));
        }
        for bad in ["", ":", "h", "h:", ":1", "h:70000", "http://h:1", "a b:1", "::1", "h:1/x", "u@h:1"] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?}");
        }
    }
}
