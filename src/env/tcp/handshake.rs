//! The first frame of each side. Between processes of one host: which cluster, which node, and proof of the cluster's
//! secret. Under TLS, which has proved all that: the program's version.
//! The caller speaks first; who does not prove who it is hears nothing back.

use std::fmt;
use std::hint::black_box;

use hortator_core::id::Name;
use hortator_proto::frame::NodeId;

use super::stream::Known;
use super::{Security, TcpConfig};

/// Longer first frames are not handshakes.
pub(super) const HANDSHAKE_BYTES_MAX: usize = 1024;
const MAGIC: [u8; 4] = *b"HTR1";
const MAGIC_TLS: [u8; 4] = *b"HTR2";
/// The answer to one who is known and does not belong to the cluster any more.
const MAGIC_REMOVED: [u8; 4] = *b"HTRX";
const VERSION_BYTES_MAX: usize = 64;
const MASTER: u8 = 1;
const WORKER: u8 = 2;

/// Known to all nodes of a cluster and to nobody else, so that no other process on the host can pass for one.
#[derive(Clone)]
pub struct Secret(pub [u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl PartialEq for Secret {
    /// Takes as long for any two secrets.
    fn eq(&self, other: &Secret) -> bool {
        let difference =
            self.0.iter().zip(&other.0).fold(0, |difference, (a, b)| black_box(difference | (a ^ b)));
        black_box(difference) == 0
    }
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) version: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HandshakeError {
    #[error("it does not speak this protocol")]
    Garbage,
    #[error("it belongs to another cluster")]
    ForeignCluster,
    #[error("it does not know the cluster's secret")]
    WrongSecret,
    #[error("it says that this node was removed from the cluster")]
    Removed,
}

/// What this node says of itself.
pub(super) fn encode(config: &TcpConfig) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    match &config.security {
        Security::Secret(secret) => put_proof(&mut bytes, config, secret),
        Security::Tls(_) => bytes.extend(MAGIC_TLS),
    }
    let version: String = config.version.chars().take(VERSION_BYTES_MAX / 4).collect();
    put_text(&mut bytes, &version);
    bytes
}

fn put_proof(bytes: &mut Vec<u8>, config: &TcpConfig, secret: &Secret) {
    bytes.extend(MAGIC);
    bytes.extend(config.cluster);
    bytes.extend(secret.0);
    match &config.node {
        NodeId::Master(id) => {
            bytes.push(MASTER);
            bytes.extend(id.to_le_bytes());
        }
        NodeId::Worker(name) => {
            bytes.push(WORKER);
            put_text(bytes, name.as_str());
        }
    }
}

/// What a caller hears that has proved who it is, and that the cluster has removed.
pub(super) fn removed() -> Vec<u8> {
    MAGIC_REMOVED.to_vec()
}

/// What the answering node says. Who answers has been proved only under TLS; elsewhere nobody is removed.
pub(super) fn check_answer(config: &TcpConfig, known: &Known, bytes: &[u8]) -> Result<Peer, HandshakeError> {
    match known {
        Known::Node(_) if bytes.starts_with(&MAGIC_REMOVED) => Err(HandshakeError::Removed),
        Known::Node(_) | Known::Nobody => check(config, known, bytes),
    }
}

/// What the other node says, when it is one of ours. Bytes after the known ones are a later version's.
pub(super) fn check(config: &TcpConfig, known: &Known, bytes: &[u8]) -> Result<Peer, HandshakeError> {
    let garbage = HandshakeError::Garbage;
    let (node, rest) = match (&config.security, known) {
        (Security::Tls(_), Known::Node(node)) => {
            (node.clone(), bytes.strip_prefix(&MAGIC_TLS).ok_or(garbage.clone())?)
        }
        (Security::Secret(secret), Known::Nobody) => check_proof(config, secret, bytes)?,
        (Security::Tls(_), Known::Nobody) | (Security::Secret(_), Known::Node(_)) => {
            unreachable!("lines are made by the same configuration")
        }
    };
    let (version, _) = take_text(rest).filter(|(text, _)| text.len() <= VERSION_BYTES_MAX).ok_or(garbage)?;
    Ok(Peer { node, version: version.to_owned() })
}

fn check_proof<'a>(
    config: &TcpConfig,
    known: &Secret,
    bytes: &'a [u8],
) -> Result<(NodeId, &'a [u8]), HandshakeError> {
    let garbage = HandshakeError::Garbage;
    let (magic, rest) = bytes.split_first_chunk::<4>().ok_or(garbage.clone())?;
    let (cluster, rest) = rest.split_first_chunk::<16>().ok_or(garbage.clone())?;
    let (secret, rest) = rest.split_first_chunk::<32>().ok_or(garbage.clone())?;
    if *magic != MAGIC {
        return Err(garbage);
    }
    if *cluster != config.cluster {
        return Err(HandshakeError::ForeignCluster);
    }
    if Secret(*secret) != *known {
        return Err(HandshakeError::WrongSecret);
    }
    take_node(rest).ok_or(garbage)
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.push(u8::try_from(text.len()).expect("names and versions are short"));
    bytes.extend(text.as_bytes());
}

fn take_node(bytes: &[u8]) -> Option<(NodeId, &[u8])> {
    match bytes.split_first()? {
        (&MASTER, rest) => {
            let (id, rest) = rest.split_first_chunk::<8>()?;
            Some((NodeId::Master(u64::from_le_bytes(*id)), rest))
        }
        (&WORKER, rest) => {
            let (name, rest) = take_text(rest)?;
            Some((NodeId::Worker(Name::new(name).ok()?), rest))
        }
        _ => None,
    }
}

fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (text, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}
