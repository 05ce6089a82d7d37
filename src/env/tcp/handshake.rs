//! The first frame of each side: which cluster, which node, and proof of the cluster's secret.
//! The caller speaks first; who does not know the secret hears nothing back.

use std::fmt;
use std::hint::black_box;

use hortator_core::id::Name;
use hortator_proto::frame::NodeId;

use super::TcpConfig;

/// Longer first frames are not handshakes.
pub(super) const HANDSHAKE_BYTES_MAX: usize = 1024;
const MAGIC: [u8; 4] = *b"HTR1";
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
}

/// What this node says of itself.
pub(super) fn encode(config: &TcpConfig) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    bytes.extend(MAGIC);
    bytes.extend(config.cluster);
    bytes.extend(config.secret.0);
    match &config.node {
        NodeId::Master(id) => {
            bytes.push(MASTER);
            bytes.extend(id.to_le_bytes());
        }
        NodeId::Worker(name) => {
            bytes.push(WORKER);
            put_text(&mut bytes, name.as_str());
        }
    }
    let version: String = config.version.chars().take(VERSION_BYTES_MAX / 4).collect();
    put_text(&mut bytes, &version);
    bytes
}

/// What the other node says, when it is one of ours. Bytes after the known ones are a later version's.
pub(super) fn check(config: &TcpConfig, bytes: &[u8]) -> Result<Peer, HandshakeError> {
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
    if Secret(*secret) != config.secret {
        return Err(HandshakeError::WrongSecret);
    }
    let (node, rest) = take_node(rest).ok_or(garbage.clone())?;
    let (version, _) = take_text(rest).filter(|(text, _)| text.len() <= VERSION_BYTES_MAX).ok_or(garbage)?;
    Ok(Peer { node, version: version.to_owned() })
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
