//! Who is who: the cluster's own certificate authority, nodes' keys and certificates, and the tokens of people and of
//! nodes that join. Pure of the network: it makes TLS configurations and reads certificates, others open sockets.
//!
//! ```text
//!  first master: Ca ──sign(csr, role)──▶ certificate ─┐
//!  NodeKey ──csr──▶ (join, with a JoinToken) ─────────┴─▶ Identity on disk ─▶ TlsIdentity ─▶ listeners, dials
//! ```
//!
//! A certificate says who a node is in one URI, `hortator://CLUSTER/master/3` or `/worker/w1`; what a node says of
//! itself counts nowhere. Names and addresses in it matter to clients of the API only.
//!
//! **Renewal.** A node's certificate is valid for `NODE_DAYS`, the authority for `CA_DAYS`. When less than a third of
//! its time is left (`Certified::needs_renewal`), a node asks any master's API for a new one, with its old
//! certificate as its proof and the same key; open connections stay, new ones use the new certificate at once. A master's
//! new certificate names the addresses that the cluster knows of it now, so one that has moved asks at once. A node
//! whose certificate has expired is not let in any more: what it has open goes on, but nothing new opens, and its logs
//! say so. It then joins again with a new join token, a master under a new id.

mod ca;
mod certified;
mod identity_file;
mod node_key;
mod role;
#[cfg(test)]
mod tests;
mod tls;
mod token;
mod verify;

pub use ca::{CA_DAYS, Ca, CaError, NODE_DAYS, SignError, check_addresses, request_key};
pub use certified::{CertificateError, Certified, bare_hosts, fingerprint};
pub use identity_file::{ClusterFacts, Identity, IdentityError, replace as replace_file};
pub use node_key::{CSR_BYTES_MAX, KeyError, NodeKey};
pub use role::{NodeName, NodeNameError, NodeRole, PeerKind};
pub use tls::{PeerError, TlsError, TlsIdentity, client_of_authority, client_of_fingerprint, explain};
pub use token::{ApiToken, JoinToken, TokenError, hash, random_bytes};

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Hexadecimal digits as bytes; none when there are too few, too many or other ones.
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}
