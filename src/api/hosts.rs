//! Which Host headers a request may carry. A page that a browser shows from elsewhere may reach this server under a name
//! of its own (DNS rebinding), so only names that mean this server are served.

use std::net::IpAddr;

use crate::pki::TlsIdentity;

/// The names of this server.
#[derive(Clone, Debug)]
pub(super) enum Hosts {
    /// Plain HTTP on the loopback address with this port.
    Loopback { port: u16 },
    /// TLS: the names of the certificate that it shows now. Addresses cannot be rebound, and a proxy may have another
    /// port.
    Certified(TlsIdentity),
}

impl Hosts {
    pub(super) fn own(&self, host: &str) -> bool {
        match self {
            Hosts::Loopback { port } => is_loopback(host, *port),
            Hosts::Certified(identity) => is_named(host, || identity.certified().addresses.clone()),
        }
    }

    pub(super) fn hint(&self) -> String {
        match self {
            Hosts::Loopback { port } => format!("use http://127.0.0.1:{port} or http://localhost:{port}"),
            Hosts::Certified(identity) => hint(&identity.certified().addresses),
        }
    }
}

fn is_named(host: &str, names: impl FnOnce() -> Vec<String>) -> bool {
    let name = without_port(host);
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let known = || names().iter().any(|own| own.eq_ignore_ascii_case(name));
    address.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost") || known()
}

fn hint(names: &[String]) -> String {
    match names {
        [] => "use its IP address".into(),
        names => format!("use its IP address, or a name of its certificate: {}", names.join(", ")),
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') && !name.is_empty() => name,
        _ => host,
    }
}

fn is_loopback(host: &str, port: u16) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, given)) if !given.ends_with(']') => {
            if given != port.to_string() {
                return false;
            }
            name
        }
        _ if port == 80 => host,
        _ => return false,
    };
    // No name can be made to lead here that reads as an address.
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) || name.eq_ignore_ascii_case("localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_host_pass() {
        let hosts = Hosts::Loopback { port: 8910 };
        for good in ["127.0.0.1:8910", "127.10.0.2:8910", "localhost:8910", "LOCALHOST:8910", "[::1]:8910"] {
            assert!(hosts.own(good), "{good}");
        }
        for bad in
            ["", "evil.example:8910", "127.0.0.1", "127.0.0.1:80", "localhost", "[::1]", "a.localhost:8910"]
        {
            assert!(!hosts.own(bad), "{bad}");
        }
        let eighty = Hosts::Loopback { port: 80 };
        assert!(eighty.own("localhost") && eighty.own("[::1]"));
    }

    #[test]
    fn under_tls_addresses_and_names_of_the_certificate_pass() {
        let names = || vec!["m1.example.org".to_owned(), "10.0.0.1".to_owned()];
        for good in
            ["10.0.0.9:8910", "[fd00::1]:8910", "[::1]", "M1.example.org:9", "m1.example.org", "localhost:1"]
        {
            assert!(is_named(good, names), "{good}");
        }
        for bad in ["", ":8910", "evil.example:8910", "m2.example.org", "m1.example.org.evil:8910"] {
            assert!(!is_named(bad, names), "{bad}");
        }
    }
}
